"""The CSV file that people edit: what it means, and every fault told at once."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import ROOT, read_list

from allow_list import reader
from allow_list.reader import RowDefaults
from commands import Dial
from phone import PhoneNumber
from routing import AllowList, AllowListError, Route

HEADER = "to,from,destination,caller_id_number,max_call_duration,expires,note"
A, B, C, D = (PhoneNumber(f"1202555010{n}") for n in "1234")


def faults_of(*rows: str, only_fictional: bool = False, **defaults: Any) -> list[tuple[int, str]]:
    with pytest.raises(AllowListError) as caught:
        reader.parse(rows, RowDefaults(**defaults), only_fictional=only_fictional)
    assert str(caught.value) == f"{len(caught.value.faults)} faults in the allow-list"
    return [(line, message) for line, message in caught.value.faults]


def routes_of(*rows: str, **defaults: Any) -> list[Route]:
    return list(read_list("\n".join(rows), **defaults))


def test_a_full_row() -> None:
    row = f"{A},{B},{C},{D},600,2027-01-31T18:00:00Z,a note"
    expires = datetime(2027, 1, 31, 18, tzinfo=UTC)
    assert routes_of(HEADER, row) == [Route(A, B, Dial(C, D, 600), expires, line=2)]


def test_empty_cells_mean_any_caller_to_itself_and_the_settings() -> None:
    routes = routes_of(HEADER, f"{A},,,,,,", caller_id_number=D, max_call_duration_s=60)
    assert routes == [Route(A, None, Dial(A, D, 60), None, line=2)]


def test_a_virtual_number_is_its_own_masking_id() -> None:
    routes = routes_of(HEADER, f"{A},,{B},,,,", caller_id_number=D)
    assert routes == [Route(A, None, Dial(B, A), None, line=2)]


def test_columns_may_be_left_out_and_in_any_order() -> None:
    assert routes_of("destination,to", f"{B},{A}") == [Route(A, None, Dial(B, A), line=2)]


def test_numbers_and_cells_may_be_written_as_people_do() -> None:
    routes = routes_of(" to , destination", '"+1 (202) 555-0101", 1.202.555.0102 ')
    assert routes == [Route(A, None, Dial(B, A), line=2)]


def test_comments_and_blank_lines_are_passed_over_but_counted() -> None:
    routes = routes_of('# a comment, with "a quote', "", "to,destination", "  ", "#", f"{A},{B}")
    assert [route.line for route in routes] == [6]


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
    ],
)
def test_a_row_that_holds_nothing_and_a_comment_are_no_rows_anywhere(nothing: str) -> None:
    rows = [nothing, HEADER, nothing, f"{A},,{B},,,,", nothing, nothing]
    assert routes_of(*rows) == [Route(A, None, Dial(B, A), line=4)]


def test_columns_that_are_empty_everywhere_are_none() -> None:
    rows = [f"{HEADER},,", f"{A},,{B},,,,ok,,", f'{C},,{D},,,,ok, ,""', ",,,,,,,,"]
    assert routes_of(*rows) == [
        Route(A, None, Dial(B, A), line=2),
        Route(C, None, Dial(D, C), line=3),
    ]
    assert routes_of(",to,,destination", f",{A},,{B}") == [Route(A, None, Dial(B, A), line=2)]


def test_a_cell_too_many_never_makes_a_real_number_a_masking_id() -> None:
    """An empty cell at the end of a row is the only sign that another one has slipped in."""
    rows = ["to,destination,caller_id_number", f"{A},,{B},"]
    assert faults_of(*rows) == [(2, "wanted 3 cells as in the header, got 4")]


def test_a_time_may_be_of_any_zone() -> None:
    (route,) = routes_of("to,destination,expires", f"{A},{B},2027-01-31T18:00:00+05:30")
    zone = timezone(timedelta(hours=5, minutes=30))
    assert route.expires == datetime(2027, 1, 31, 18, tzinfo=zone)


def test_ten_digits_that_are_no_number_at_home_are_read_while_events_are_mended() -> None:
    rows = ["to,destination", "4712345678,4712345679"]
    (route,) = routes_of(*rows, home_country_code="1")
    assert (route.dialled, route.destination) == ("4712345678", "4712345679")


def test_ten_digits_are_ambiguous_while_events_are_mended_by_a_home_country_code() -> None:
    rows = ["to,destination", f"+2025550109,{B}", f"{A},2025550102"]
    assert faults_of(*rows, home_country_code="1") == [
        (
            3,
            "destination: wanted a country code in front, because home_country_code makes 1 that of"
            " ten digits alone, got '******0102'; a + in front says that it is there",
        )
    ]
    assert len(routes_of(*rows)) == 2


def test_a_list_of_no_rows_connects_nobody() -> None:
    assert routes_of(HEADER) == []


@pytest.mark.parametrize("duration", ["1", "14400"])
def test_durations_reach_from_1_to_14400(duration: str) -> None:
    (route,) = routes_of("to,destination,max_call_duration", f"{A},{B},{duration}")
    assert route.dial.max_call_duration_s == int(duration)


WANTED_NUMBER = "wanted a country code and digits, 7 to 15 in all, such as 12025550100"
WANTED_TIME = "wanted a time with its zone, such as 2027-01-31T18:00:00Z"
WANTED_GROUPS = (
    "; digits in groups are read only if they make a number that their country can have, without"
    " an extension, a (0) or a decimal point"
)
COLUMNS = "to, from, destination, caller_id_number, max_call_duration, expires, note"


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ([], 0, f"wanted a header line ({HEADER}), got none"),
        (["# only this"], 0, f"wanted a header line ({HEADER}), got none"),
        (["to,form"], 1, f"unknown column 'form': wanted {COLUMNS}"),
        (
            ["to;from"],
            1,
            f"unknown column 'to;from': wanted {COLUMNS}; separate columns with commas",
        ),
        ([f"{A},,{B},,,,"], 1, f"unknown column '*******0101', '*******0102': wanted {COLUMNS}"),
        (
            ["to,,from", f"{A},x,"],
            2,
            "cell 2: wanted nothing under a header without a name, got 'x'",
        ),
        (
            ["to,destination,,", f"{A},y,,{B}"],
            2,
            "cell 4: wanted nothing under a header without a name, got '*******0102';"
            f" destination: {WANTED_NUMBER}, got 'y'",
        ),
        (["to,destination,,", f"{A},{B}"], 2, "wanted 4 cells as in the header, got 2"),
        (["to,destination,,", f"{A},{B},,,"], 2, "wanted 4 cells as in the header, got 5"),
        (["to,destination", f"{A},{B},"], 2, "wanted 2 cells as in the header, got 3"),
        ([",,", ",to,,to"], 2, "wanted each column once, got one of them twice"),
        (
            ["to,destination", f"{A},12025550111.0"],
            2,
            f"destination: {WANTED_NUMBER}{WANTED_GROUPS}, got '********111.0'",
        ),
        (
            ["to,destination", f"{A},+49 (0)30 23125 002"],
            2,
            f"destination: {WANTED_NUMBER}{WANTED_GROUPS}, got '+** (*)** ****5 002'",
        ),
        (["to,x,y"], 1, f"unknown column 'x', 'y': wanted {COLUMNS}"),
        (["from,destination"], 1, "wanted a column `to`, got from, destination"),
        (["to,from,to"], 1, "wanted each column once, got one of them twice"),
        (["to,from", f"{A}"], 2, "wanted 2 cells as in the header, got 1"),
        (["to,from", f"{A},,"], 2, "wanted 2 cells as in the header, got 3"),
        (["to,from", f",{A}"], 2, "to: wanted the number that callers dial, got nothing"),
        (["to,from", "1202x,"], 2, f"to: {WANTED_NUMBER}, got '1202x'"),
        (["to,from", f"{A},+12O2555"], 2, f"from: {WANTED_NUMBER}, got '+12O2555'"),
        (["to,destination", f"{A},0"], 2, f"destination: {WANTED_NUMBER}, got '0'"),
        (
            ["to,destination,caller_id_number", f"{A},{B},x"],
            2,
            f"caller_id_number: {WANTED_NUMBER}, got 'x'",
        ),
        (
            ["to", A],
            2,
            "caller_id_number: wanted a masking ID, here or as the setting of that name, got"
            " neither: the destination is `to` itself",
        ),
        (
            ["to,destination,caller_id_number", f"{A},{B},{B}"],
            2,
            "caller_id_number: masking ID: wanted another number than the destination",
        ),
        *(
            (
                ["to,destination,max_call_duration", f"{A},{B},{text}"],
                2,
                f"max_call_duration: wanted seconds, 1 to 14400, got '{text}'",
            )
            for text in ("0", "-1", "1.5", "1h", "\u0661", "1e3")
        ),
        (
            ["to,destination,max_call_duration", f"{A},{B},14401"],
            2,
            "max_call_duration: wanted seconds, 1 to 14400, got '14401'",
        ),
        *(
            (["to,destination,expires", f"{A},{B},{text}"], 2, f"expires: {WANTED_TIME}, got {got}")
            for text, got in (
                ("soon", "'soon'"),
                ("0001-01-01T00:00:00+05:00", "'0001-01-01T00:00:00+05:00'"),
                ("2027-02-30T00:00:00Z", "'2027-02-30T00:00:00Z'"),
                ("2027-01-31", "2027-01-31T00:00:00 without one"),
                ("12025550123", "'*******0123'"),
                ("1202-5550-123", "'****-***0-123'"),
                ("2027-01-31T18:00:00", "2027-01-31T18:00:00 without one"),
            )
        ),
        (
            ["to,destination", f"{A},{B}", f"+{A},{C}"],
            3,
            "to, from: wanted each pair once, got that of line 2 again",
        ),
        (
            ["to,destination", f'{A},"{B}'],
            2,
            "wanted one row of CSV, got none: unexpected end of data",
        ),
        (
            ["to,destination", f'{A},"{B}', f'{C},{D}"'],
            2,
            "wanted one row a line, got a quote left open until line 3",
        ),
        (
            ["to,destination", f'{A},"{B}"x'],
            2,
            "wanted one row of CSV, got none: ',' expected after '\"'",
        ),
    ],
)
def test_a_fault_names_its_line_what_was_wanted_and_what_was_got(
    rows: list[str], line: int, message: str
) -> None:
    assert faults_of(*rows) == [(line, message)]


def test_a_quote_left_open_to_the_end_is_told_with_both_its_lines() -> None:
    assert faults_of("to,destination", f'{A},"{B}', f"{C},{D}") == [
        (2, "a quote is left open until line 3"),
        (2, "wanted one row of CSV, got none: unexpected end of data"),
    ]


OURS = (
    "which is a masking ID or a virtual number of this list:"
    " a real number would be shown, or the call would loop"
)


@pytest.mark.parametrize(
    ("rows", "line", "place"),
    [
        ([f"{A},,{B},{C}", f"{D},,{C},"], 3, "destination: wanted a person's number, got ...0103"),
        ([f"{A},,{B},{C}", f"{D},{C},{B},"], 3, "from: wanted a person's number, got ...0103"),
        ([f"{A},{A},{B},"], 2, "from: wanted a person's number, got ...0101"),
        ([f"{A},,{B},", f"{C},,{A},"], 3, "destination: wanted a person's number, got ...0101"),
        (
            [f"{A},,{A},{B}", f"{C},,{D},{A}"],
            2,
            "destination: wanted a person's number, got ...0101",
        ),
        (
            [f"{A},,{B},{C}", f"{D},,{A},{C}"],
            3,
            "destination: wanted a person's number, got ...0101",
        ),
    ],
    ids=[
        "mask dialled",
        "mask calls",
        "own number calls",
        "loop",
        "mask is itself",
        "virtual dialled",
    ],
)
def test_numbers_with_two_parts_to_play_are_faults(rows: list[str], line: int, place: str) -> None:
    header = "to,from,destination,caller_id_number"
    assert faults_of(header, *rows) == [(line, f"{place}, {OURS}")]


def test_all_that_is_wrong_in_a_row_is_told() -> None:
    rows = [HEADER, f"{A},x,y,z,0,soon,"]
    ((line, message),) = faults_of(*rows)
    assert line == 2
    assert [part.partition(":")[0] for part in message.split("; ")] == [
        "from", "destination", "caller_id_number", "max_call_duration", "expires",
    ]  # fmt: skip


def test_a_number_that_is_itself_in_one_row_only_is_a_fault() -> None:
    rows = ["to,from,destination,caller_id_number", f"{A},{D},{A},{C}", f"{A},,{B},{C}"]
    message = "destination: wanted ...0101 itself, as in another row of this `to`, got ...0102"
    assert faults_of(*rows) == [(3, message)]


def test_the_setting_for_masking_ids_may_be_nobodys_number_either() -> None:
    rows = ["to,destination", f"{A},{B}"]
    place = "destination: wanted a person's number, got ...0102"
    assert faults_of(*rows, caller_id_number=B) == [(2, f"{place}, {OURS}")]


def test_the_setting_for_masking_ids_is_nobodys_number_even_when_no_row_uses_it() -> None:
    rows = [
        "to,from,destination,caller_id_number",
        f"{A},,{B},{C}",
        f"{D},,,{C}",
        f"{A},{D},{B},{C}",
    ]
    assert faults_of(*rows, caller_id_number=D) == [
        (3, f"destination: wanted a person's number, got ...0104, {OURS}"),
        (4, f"from: wanted a person's number, got ...0104, {OURS}"),
    ]


def test_all_faults_come_at_once_in_the_order_of_lines() -> None:
    rows = [HEADER, f"{A},,{B},{C},,,", "x,,,,,,", f"{D},,{C},,,,", f"{D},,{B},,x,y,"]
    assert [line for line, _ in faults_of(*rows)] == [3, 4, 5]


def test_without_a_key_one_real_number_anywhere_is_a_fault() -> None:
    real = "18888888888"
    header = "to,from,destination,caller_id_number"
    for row in f"{real},,{B},{C}", f"{A},{real},{B},{C}", f"{A},,{real},{C}", f"{A},,{B},{real}":
        ((line, message),) = faults_of(header, f"{C[:-2]}77,,{B},{C}", row, only_fictional=True)
        assert line == 3
        assert "1 row(s) with real ones" in message
        assert "TELESIGN_API_KEY" in message
        assert "verify_signatures = false" in message
        assert real not in message


def test_without_a_key_fictional_numbers_are_fine() -> None:
    text = (ROOT / "allowlist.csv").read_text()
    listed = reader.parse(text.splitlines(), RowDefaults(), only_fictional=True)
    assert len(listed) == 4


def read(path: Path) -> AllowList:
    return reader.read(path, RowDefaults(), only_fictional=False)


def test_a_file_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xef\xbb\xbf" + facts.ALLOW_LIST.replace("\n", "\r\n").encode())
    assert [route.line for route in read(path)] == [2, 3, 4, 5]


@pytest.mark.parametrize("last", ["12025550101,1202555", "12025550101,12025550102"])
def test_a_file_without_an_end_may_be_cut_short(last: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"to,destination\n{last}")
    with pytest.raises(AllowListError) as caught:
        read(path)
    message = "wanted a line end after the last row, got none: it may be cut short"
    assert caught.value.faults == [(2, message)]


@pytest.mark.parametrize("odd", ["\f", "\v", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_a_line_end_ends_a_comment(odd: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"to,destination\n# old:{odd}12025550101,12025550199\n", encoding="utf-8")
    assert len(read(path)) == 0


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(AllowListError) as caught:
        read(tmp_path / "none.csv")
    message = "wanted a CSV file, got: No such file or directory; allow_list names the file"
    assert caught.value.faults == [(0, message)]


def test_a_file_in_another_encoding_is_a_fault_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"to,note\n12025550100,caf\xe9\n")
    with pytest.raises(AllowListError) as caught:
        read(path)
    assert caught.value.faults == [
        (2, "wanted UTF-8 text, got another encoding; save the file again as 'CSV UTF-8'")
    ]
