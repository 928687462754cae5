"""How lines become rows, and what is no row."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allow_list.rows import RowError, header, rows
from routing import RowFault

COLUMNS = "to, from, destination, caller_id_number, max_call_duration, expires, note"
COLUMNS += ", greeting, language, external_id, send_dtmf"


def rows_of(*lines: str) -> tuple[list[tuple[int, list[str]]], list[RowFault]]:
    faults: list[RowFault] = []
    return list(rows(lines, faults)), faults


@pytest.mark.parametrize(
    "nothing",
    [
        ",,,,,,",
        ",",
        " , ,\t,",
        '"","",""',
        '" ",,',
        "",
        " ",
        "# a note,,,,,,",
        "#,,,",
        " # a note",
        '"# a note, in quotes"',
        '"# a note, in quotes",,,,,,',
        '" # with ""quotes"" in it",,',
        '# a comment, with "a quote',
    ],
)
def test_an_empty_row_and_a_comment_are_passed_over_but_counted(nothing: str) -> None:
    assert rows_of(nothing, "to,from", nothing, '"1, 2",', nothing) == (
        [(2, ["to", "from"]), (4, ["1, 2", ""])],
        [],
    )


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ('1,"2', "a quote that is not closed in the same line"),
        ('1,"2"x', "',' expected after '\"'"),
    ],
)
def test_a_line_that_is_not_csv_is_a_fault_and_the_next_line_is_a_row(line: str, got: str) -> None:
    assert rows_of("to", line, "3") == (
        [(1, ["to"]), (3, ["3"])],
        [RowFault(2, f"wanted one row of CSV, got: {got}")],
    )


@given(st.text('1 ,"#\r\n\0\f\N{LINE SEPARATOR}'))
def test_every_line_is_read_as_the_csv_module_reads_it(text: str) -> None:
    """Plain ones are split without it."""
    line = f"1{text}"
    try:
        cells = next(csv.reader((line,), strict=True))
    except csv.Error:
        found, faults = rows_of(line)
        assert (found, len(faults)) == ([], 1)
    else:
        assert rows_of(line) == ([(1, cells)], [])


def test_a_cell_that_is_too_long_for_the_csv_module_is_a_fault() -> None:
    assert rows_of("1" * csv.field_size_limit(), "1" * (csv.field_size_limit() + 1)) == (
        [(1, ["1" * csv.field_size_limit()])],
        [RowFault(2, "wanted one row of CSV, got: field larger than field limit (131072)")],
    )


def test_a_column_without_a_name_gets_its_position() -> None:
    assert header(["", " to ", "", "note"]) == ["cell 1", "to", "cell 3", "note"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("to,form", f"unknown column 'form': wanted {COLUMNS}"),
        ("to,x,y", f"unknown column 'x', 'y': wanted {COLUMNS}"),
        ("to,From", f"unknown column 'From': wanted {COLUMNS}"),
        ("TO", f"unknown column 'TO': wanted {COLUMNS}"),
        ("to;from", f"unknown column 'to;from': wanted {COLUMNS}; separate columns with commas"),
        ("to\tfrom", f"unknown column 'to\\tfrom': wanted {COLUMNS}; separate columns with commas"),
        (
            "12025550101,,12025550102",
            f"unknown column '*******0101', '*******0102': wanted {COLUMNS}",
        ),
        ("from,destination", "wanted a column `to`, got from, destination"),
        (",to,,to", "wanted each column only once, got to again"),
        ("to,from,to", "wanted each column only once, got to again"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(line: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        header(line.split(","))
    assert str(caught.value) == message


@pytest.mark.parametrize("error", ["#REF!", "#N/A", "#NAME?", "#DIV/0!", "#VALUE!"])
@pytest.mark.parametrize("quoted", [False, True])
def test_the_error_of_a_formula_in_the_first_cell_is_no_comment(error: str, quoted: bool) -> None:
    """Else the caller of that row would get the row for any caller, without a word."""
    first = f'"{error}"' if quoted else error
    found, faults = rows_of("to,from", f"{first},12025550123", "# REF! was here,")
    assert (found, faults) == ([(1, ["to", "from"]), (2, [error, "12025550123"])], [])
