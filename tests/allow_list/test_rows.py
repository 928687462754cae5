"""How lines become rows, what is no row, and how rows are changed."""

from datetime import timedelta

import pytest
from helpers import START, read_list

from allow_list.rows import RowChanges, RowError, apply, header, rows
from commands import Dial
from phone import PhoneNumber
from routing import AllowListError, Route, RowFault

COLUMNS = "to, from, destination, caller_id_number, max_call_duration, expires, note"


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


def test_a_column_without_a_name_gets_its_position() -> None:
    assert header(["", " to ", "", "note"]) == ["cell 1", "to", "cell 3", "note"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("to,form", f"unknown column 'form': wanted {COLUMNS}"),
        ("to,x,y", f"unknown column 'x', 'y': wanted {COLUMNS}"),
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


NUMBER, ONE, OTHER = map(PhoneNumber, ("12025550161", "12025550130", "12025550131"))
ENDS = START + timedelta(hours=2)


def route(caller: PhoneNumber, destination: PhoneNumber, line: int = 0) -> Route:
    return Route(NUMBER, caller, Dial(destination, NUMBER), ENDS, line)


def applied(text: str, wanted: RowChanges) -> str:
    return "".join(apply(wanted, text.splitlines(keepends=True), note="pair"))


LIST = """\
# mine
note,to,from,destination,expires,max_call_duration
"first, best",12025550161,12025550130,12025550131,2026-01-31T18:00:00Z,600

,12025550100,,12025550111,2026-01-31T18:00:00Z,
# the end
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_changed_row_keeps_its_note_and_duration_and_all_other_lines_stay(end: str) -> None:
    wanted = RowChanges((route(OTHER, ONE),), (route(ONE, OTHER, 3),), frozenset({5}))
    assert (
        applied(LIST.replace("\n", end), wanted)
        == """\
# mine
note,to,from,destination,expires,max_call_duration
"first, best",12025550161,12025550130,12025550131,2026-11-23T14:00:00Z,600

# the end
pair,12025550161,12025550131,12025550130,2026-11-23T14:00:00Z,
""".replace("\n", end)
    )


def test_without_changes_every_byte_stays() -> None:
    assert applied(LIST, RowChanges()) == LIST


def test_ten_digits_are_written_so_that_no_country_code_is_put_before_them() -> None:
    norwegian = PhoneNumber("4791234567")
    text = applied("to,from,destination,expires\n", RowChanges((route(ONE, norwegian),)))
    (read,) = read_list(text, home_country_code="1")
    assert read.destination == norwegian


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# mine\nto,from\n",
         (2, "wanted the columns destination, expires in the header too, got to, from")),
        ("", (0, "wanted the columns from, destination, expires in the header too, got none")),
        ("to,from,destination,expires\n12025550100,,12025550111,",
         (2, "wanted a line end after the last row, got none: the file may be incomplete")),
    ],
)  # fmt: skip
def test_a_list_that_takes_no_rows_is_a_fault(text: str, fault: tuple[int, str]) -> None:
    with pytest.raises(AllowListError) as caught:
        applied(text, RowChanges((route(ONE, OTHER),)))
    assert [(row_fault.line, row_fault.message) for row_fault in caught.value.faults] == [fault]


@pytest.mark.parametrize("error", ["#REF!", "#N/A", "#NAME?", "#DIV/0!", "#VALUE!"])
@pytest.mark.parametrize("quoted", [False, True])
def test_the_error_of_a_formula_in_the_first_cell_is_no_comment(error: str, quoted: bool) -> None:
    """Else the caller of that row would get the row for any caller, without a word."""
    first = f'"{error}"' if quoted else error
    found, faults = rows_of("to,from", f"{first},12025550123", "# REF! was here,")
    assert (found, faults) == ([(1, ["to", "from"]), (2, [error, "12025550123"])], [])
