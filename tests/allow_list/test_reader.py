"""The CSV file that people edit: what its rows mean, and all of its faults at once."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import ROOT, read_list

from allow_list import reader
from commands import Dial
from config import Settings
from phone import PhoneNumber
from routing import AllowList, AllowListError, Reason, Route

HEADER = "to,from,destination,caller_id_number,max_call_duration,expires,note"
ALL = f"{HEADER},greeting,language,external_id,send_dtmf"
A, B, C, D = (PhoneNumber(f"1202555010{n}") for n in "1234")


def faults_of(*rows: str, only_fictional: bool = False, **settings: Any) -> list[tuple[int, str]]:
    with pytest.raises(AllowListError) as caught:
        reader.parse(rows, Settings(**settings), only_fictional=only_fictional)
    assert str(caught.value) == f"{len(caught.value.faults)} faults in the allow-list"
    return [(line, message) for line, message in caught.value.faults]


def routes_of(*rows: str, **settings: Any) -> list[Route]:
    return list(read_list("\n".join(rows), **settings))


def test_a_full_row_is_a_route_with_everything() -> None:
    row = f"{A},{B},{C},{D},600,2027-01-31T18:00:00Z,a note"
    expires = datetime(2027, 1, 31, 18, tzinfo=UTC)
    assert routes_of(HEADER, row) == [Route(A, B, Dial(C, D, 600), expires, line=2)]


def test_a_row_may_say_who_calls_which_order_it_is_and_what_to_press() -> None:
    row = f'{A},{B},{C},{D},600,,a note,"Your driver, order 12",es-ES,order 12,w6458#'
    dial = Dial(C, D, 600, send_dtmf="w6458#", external_id="order 12")
    greeting = "Your driver, order 12"
    assert routes_of(ALL, row, f"{A},,{C},,,,,,,,") == [
        Route(A, B, dial, line=2, greeting=greeting, language="es-ES"),
        Route(A, None, Dial(C, A), line=3),
    ]


def test_empty_cells_mean_any_caller_to_itself_and_the_settings() -> None:
    routes = routes_of(HEADER, f"{A},,,,,,", caller_id_number=D, max_call_duration=60)
    assert routes == [Route(A, None, Dial(A, D, 60), None, line=2)]


def test_a_virtual_number_is_its_own_masking_id() -> None:
    routes = routes_of(HEADER, f"{A},,{B},,,,", caller_id_number=D)
    assert routes == [Route(A, None, Dial(B, A), None, line=2)]


def test_no_caller_has_a_number_that_pair_may_give_out() -> None:
    """After the last row behind it is gone, too: the caller would be one of ours."""
    allow_list = read_list(f"to,destination\n{A},{B}\n", virtual_numbers=(C,))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert allow_list.find(A, C, now) is Reason.LOOP
    assert allow_list.find(A, D, now) == Route(A, None, Dial(B, A), line=2)


def test_columns_may_be_left_out_and_in_any_order() -> None:
    assert routes_of("destination,to", f"{B},{A}") == [Route(A, None, Dial(B, A), line=2)]


def test_numbers_and_cells_may_be_written_as_people_do() -> None:
    routes = routes_of(" to , destination", '"+1 (202) 555-0101", 1.202.555.0102 ')
    assert routes == [Route(A, None, Dial(B, A), line=2)]


def test_comments_and_blank_lines_are_passed_over_but_counted() -> None:
    routes = routes_of('# a comment, with "a quote', "", "to,destination", "  ", "#", f"{A},{B}")
    assert [route.line for route in routes] == [6]


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


def test_the_home_country_code_makes_ten_digits_ambiguous() -> None:
    rows = ["to,destination", f"{A},2025550102"]
    assert len(routes_of(*rows)) == 1
    assert [line for line, _ in faults_of(*rows, home_country_code="1")] == [2]


def test_a_list_of_no_rows_connects_nobody() -> None:
    assert routes_of(HEADER) == []


WANTED_NUMBER = "wanted a country code and digits, 7 to 15 in all, such as 12025550100"


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ([], 0, f"wanted a header line ({ALL}), got none"),
        (["# only this"], 0, f"wanted a header line ({ALL}), got none"),
        (["to,form", f"{A},{B}"], 1, f"unknown column 'form': wanted {ALL.replace(',', ', ')}"),
        (
            ["# above", 'to,"from', f"{A},{B}"],
            2,
            "wanted one row of CSV, got: a quote that is not closed in the same line",
        ),
        (
            ["to,destination,,", f"{A},y,,{B}"],
            2,
            f"destination: {WANTED_NUMBER}, got 'y';"
            " cell 4: wanted nothing, as this column has no name, got '*******0102'",
        ),
        (["to,destination", f"{A},{B},"], 2, "wanted 2 cells as in the header, got 3"),
        (["to,destination", A], 2, "wanted 2 cells as in the header, got 1"),
        (["to,destination", f" ,{B}"], 2, f"to: {WANTED_NUMBER}, got ''"),
        (["to,destination", f"+12O2555,{B}"], 2, f"to: {WANTED_NUMBER}, got '+12O2555'"),
        (["to,destination", f"{A}.0,{B}"], 2, f"to: {WANTED_NUMBER}, got '********101.0'"),
        (
            ["to", A],
            2,
            "caller_id_number: wanted a masking ID, here or in the setting of that name, got"
            " neither, and the destination is `to` itself",
        ),
        (
            ["to,destination,caller_id_number", f"{A},{B},{B}"],
            2,
            "caller_id_number: masking ID: wanted a number other than the destination",
        ),
        (
            ["to,destination", f"{A},{B}", f"+{A},{C}"],
            3,
            "to, from: wanted each pair only once, got the same as in line 2",
        ),
    ],
)
def test_a_fault_names_its_line_what_was_wanted_and_what_was_got(
    rows: list[str], line: int, message: str
) -> None:
    assert faults_of(*rows) == [(line, message)]


def test_a_quote_left_open_hides_no_fault_in_the_rows_below() -> None:
    assert faults_of("to,destination", f'{A},"{B}', f"{C},x") == [
        (2, "wanted one row of CSV, got: a quote that is not closed in the same line"),
        (3, f"destination: {WANTED_NUMBER}, got 'x'"),
    ]


PERSON = "wanted a person's number, got"
SHOWN = "which is also a masking ID: a person's real number would be shown to others"
LOOP = "which is a virtual number: the call would loop"


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ([f"{A},,{B},{C}", f"{D},,{C},"], 3, f"destination: {PERSON} ...0103, {SHOWN}"),
        ([f"{A},,{B},{C}", f"{D},{C},{B},"], 3, f"from: {PERSON} ...0103, {SHOWN}"),
        ([f"{A},{A},{B},"], 2, f"from: {PERSON} ...0101, {SHOWN}"),
        ([f"{A},,{B},", f"{C},,{A},"], 3, f"destination: {PERSON} ...0101, {LOOP}"),
        ([f"{A},,{A},{B}", f"{C},,{D},{A}"], 2, f"destination: {PERSON} ...0101, {SHOWN}"),
        ([f"{A},,{B},{C}", f"{D},,{A},{C}"], 3, f"destination: {PERSON} ...0101, {LOOP}"),
    ],
    ids=[
        "a masking ID is dialled",
        "a masking ID calls",
        "a virtual number that is its own masking ID calls",
        "a virtual number that is its own masking ID is dialled",
        "a masking ID is its own destination",
        "a virtual number is dialled",
    ],
)
def test_a_number_with_two_roles_that_exclude_each_other_is_a_fault(
    rows: list[str], line: int, message: str
) -> None:
    header = "to,from,destination,caller_id_number"
    assert faults_of(header, *rows) == [(line, message)]


def test_what_a_row_says_is_checked_as_the_settings_and_the_commands_are() -> None:
    header = "to,destination,greeting,language,external_id,send_dtmf"
    ids = "wanted 1 to 64 printable ASCII characters without commas"
    keys = "wanted 1 to 32 of the keys 0-9 A-D * #, or w for a pause"
    assert faults_of(header, f'{A},{B},a\0,english,"1,2",12x', f"{C},{B},,,{'x' * 65},é") == [
        (
            2,
            "greeting: wanted a text to speak, without broken characters, got 'a\\x00'; language:"
            " wanted a tag such as en-US,"
            f" got 'english'; external_id: {ids}, got '1,2'; send_dtmf: {keys}, got '***'",
        ),
        (3, f"external_id: {ids}, got '{'x' * 65}'; send_dtmf: {keys}, got '*'"),
    ]


def test_all_faults_of_a_row_are_listed() -> None:
    rows = [HEADER, ",x,y,z,0,soon,"]
    ((line, message),) = faults_of(*rows)
    assert line == 2
    assert [part.partition(":")[0] for part in message.split("; ")] == [
        "to", "from", "destination", "caller_id_number", "max_call_duration", "expires",
    ]  # fmt: skip


def test_a_number_that_is_itself_in_one_row_only_is_a_fault() -> None:
    rows = ["to,from,destination,caller_id_number", f"{A},{D},{A},{C}", f"{A},,{B},{C}"]
    message = "destination: wanted ...0101 itself, as in another row with this `to`, got ...0102"
    assert faults_of(*rows) == [(3, message)]


def test_the_default_masking_id_is_nobodys_number_either() -> None:
    rows = ["to,destination", f"{A},{B}"]
    message = f"destination: {PERSON} ...0102, {SHOWN}"
    assert faults_of(*rows, caller_id_number=B) == [(2, message)]


def test_the_default_masking_id_is_nobodys_number_even_when_no_row_uses_it() -> None:
    rows = [
        "to,from,destination,caller_id_number",
        f"{A},,{B},{C}",
        f"{D},,,{C}",
        f"{A},{D},{B},{C}",
    ]
    assert faults_of(*rows, caller_id_number=D) == [
        (3, f"destination: {PERSON} ...0104, {SHOWN}"),
        (4, f"from: {PERSON} ...0104, {SHOWN}"),
    ]


def test_all_faults_come_at_once_in_the_order_of_lines() -> None:
    rows = [HEADER, f"{A},,{B},{C},,,", "x,,,,,,", f"{D},,{C},,,,", f"{D},,{B},,x,y,"]
    assert [line for line, _ in faults_of(*rows)] == [3, 4, 5]


def test_without_a_key_one_real_number_anywhere_is_a_fault() -> None:
    real = "18888888888"
    header = "to,from,destination,caller_id_number"
    rows = f"{real},,{B},{C}", f"{A},{real},{B},{C}", f"{A},,{real},{C}", f"{A},,{B},{real}"
    for column, row in zip(header.split(","), rows, strict=True):
        more = f"{D},,{real[:-1]}7,{C}"
        fictional = f"{C[:-2]}77,,{B},{C}"
        ((line, message),) = faults_of(header, fictional, row, more, only_fictional=True)
        assert line == 3
        assert message.startswith(f"{column}: wanted only fictional numbers")
        assert "got ...8888; rows with real numbers: 2; " in message
        assert "TELESIGN_API_KEY" in message
        assert "verify_signatures = false" in message
        assert real not in message


def test_without_a_key_fictional_numbers_are_fine() -> None:
    text = (ROOT / "allowlist.csv").read_text()
    listed = reader.parse(text.splitlines(), Settings(), only_fictional=True)
    assert len(listed) == 4


def read(path: Path) -> AllowList:
    return reader.read(path, Settings(), only_fictional=False)


def test_a_file_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xef\xbb\xbf" + facts.ALLOW_LIST.replace("\n", "\r\n").encode())
    assert [route.line for route in read(path)] == [2, 3, 4, 5]


@pytest.mark.parametrize("last", ["12025550101,1202555", "12025550101,12025550102"])
def test_a_file_whose_last_row_has_no_line_end_is_refused(last: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"to,destination\n{last}")
    with pytest.raises(AllowListError) as caught:
        read(path)
    message = "wanted a line end after the last row, got none: the file may be incomplete"
    assert caught.value.faults == [(2, message)]


@pytest.mark.parametrize("odd", ["\f", "\v", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_a_line_end_ends_a_comment(odd: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"to,destination\n# old:{odd}12025550101,12025550199\n", encoding="utf-8")
    assert len(read(path)) == 0


def test_a_missing_file_is_a_fault_that_may_pass(tmp_path: Path) -> None:
    with pytest.raises(AllowListError) as caught:
        read(tmp_path / "none.csv")
    remedy = "set allow_list to its path, or run this in its folder"
    message = f"wanted a CSV file, got: No such file or directory; {remedy}"
    assert caught.value.faults == [(0, message)]


def test_a_file_that_may_not_be_read_is_a_fault_of_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", no)
    with pytest.raises(AllowListError) as caught:
        read(tmp_path / "list.csv")
    remedy = "the user who runs this has to be able to read it"
    message = f"wanted a CSV file, got: Permission denied; {remedy}"
    assert caught.value.faults == [(0, message)]
    assert caught.value.unreadable


def test_a_file_in_another_encoding_is_a_fault_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"to,note\n12025550100,caf\xe9\n")
    with pytest.raises(AllowListError) as caught:
        read(path)
    assert caught.value.faults == [
        (2, "wanted UTF-8 text, got another encoding; save the file as 'CSV UTF-8'")
    ]
