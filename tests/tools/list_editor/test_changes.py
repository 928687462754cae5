"""How rows of a list are changed, added and removed, while all other lines stay as they are."""

import csv
from datetime import timedelta
from typing import Any

import pytest
from helpers import START, read_list
from hypothesis import given
from hypothesis import strategies as st

from allow_list.rows import COLUMNS
from commands import Dial
from phone import PhoneNumber
from routing import AllowListError, Route, RowFault
from tools.list_editor.changes import RowChanges, apply

NUMBER, ONE, OTHER = map(PhoneNumber, ("12025550161", "12025550130", "12025550131"))
ENDS = START + timedelta(hours=2)


def route(caller: PhoneNumber, destination: PhoneNumber, **said: Any) -> Route:
    dial = Dial(destination, NUMBER, external_id=said.get("external_id"))
    return Route(NUMBER, caller, dial, ENDS, greeting=said.get("greeting"))


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
def test_of_a_changed_row_the_other_cells_stay_and_so_do_all_other_lines(end: str) -> None:
    changed = {3: {"expires": "2026-11-23T14:00:00Z"}}
    wanted = RowChanges((route(OTHER, ONE),), changed, frozenset({5}))
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


CELL = st.text(st.sampled_from('a" ,#;\u00e9'), max_size=4).map(lambda text: f"x{text}")
WRITTEN = st.one_of(
    CELL.map(lambda text: '"' + text.replace('"', '""') + '"'),
    CELL.map(lambda text: text.replace(",", "")),
    st.just(""),
)


@given(st.lists(WRITTEN, min_size=5, max_size=5), CELL, st.integers(0, 3))
def test_whatever_a_row_holds_one_cell_of_it_changes(
    cells: list[str], text: str, place: int
) -> None:
    names = ["destination", "note", "greeting", "language"]
    line = ",".join(["12025550161", *cells[1:]])
    lines = [f"{','.join(['to', *names])}\n", f"{line}\n"]
    _, new = apply(RowChanges(changed={2: {names[place]: text}}), lines, note="")
    (before,), (after,) = csv.reader([line], strict=True), csv.reader([new], strict=True)
    assert after == [*before[: place + 1], text, *before[place + 2 :]]
    head, tail = ",".join(["12025550161", *cells[1 : place + 1]]), cells[place + 2 :]
    assert new.startswith(f"{head},")
    assert new.endswith("".join(f",{cell}" for cell in tail) + "\n")


NARROW = """\
# mine, and yours
"# a comment, of a spreadsheet",
to,"note"

12025550100,"first, best"
12025550102,
,
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_that_a_list_lacks_are_added_at_the_end_of_its_rows(end: str) -> None:
    changed = {5: {"expires": "2026-11-23T14:00:00Z"}}
    wanted = RowChanges((route(OTHER, ONE, external_id="a 1", greeting="Hi, you"),), changed)
    text = applied(NARROW.replace("\n", end), wanted)
    assert (
        text
        == """\
# mine, and yours
"# a comment, of a spreadsheet",
to,"note",from,destination,expires,greeting,external_id

12025550100,"first, best",,,2026-11-23T14:00:00Z,,
12025550102,,,,,,
,
12025550161,pair,12025550131,12025550130,2026-11-23T14:00:00Z,"Hi, you",a 1
""".replace("\n", end)
    )
    *_, read = read_list(text, caller_id_number=NUMBER)
    assert read == route(OTHER, ONE, external_id="a 1", greeting="Hi, you")._replace(line=8)


def test_only_the_columns_that_are_used_are_added() -> None:
    wanted = RowChanges((route(ONE, OTHER),))
    assert applied("to\n", wanted).startswith("to,from,destination,expires\n")
    masked = route(ONE, OTHER)._replace(dial=Dial(OTHER, PhoneNumber("12025550199")))
    columns = "to,from,destination,caller_id_number,expires\n"
    assert applied("to\n", RowChanges((masked,))).startswith(columns)
    ended = RowChanges(changed={2: {"expires": "2026-11-23T14:00:00Z"}})
    assert applied("to,,\n1,,\n", ended) == "to,,,expires\n1,,,2026-11-23T14:00:00Z\n"
    assert applied("to\n1\n2\n", RowChanges(removed=frozenset({3}))) == "to\n1\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# mine\n", (0, f"wanted a header line ({','.join(COLUMNS)}), got none")),
        ("", (0, f"wanted a header line ({','.join(COLUMNS)}), got none")),
        ("to,from,destination,expires\n12025550100,,12025550111,",
         (2, "wanted a line end after the last row, got none: the file may be incomplete")),
    ],
)  # fmt: skip
def test_a_list_that_takes_no_rows_is_a_fault(text: str, fault: tuple[int, str]) -> None:
    with pytest.raises(AllowListError) as caught:
        applied(text, RowChanges((route(ONE, OTHER),)))
    assert caught.value.faults == [RowFault(*fault)]


@pytest.mark.parametrize(
    ("column", "text", "wanted"),
    [
        ("external_id", "#12", RowChanges((route(ONE, OTHER, external_id="#12"),))),
        ("greeting", "#1, you", RowChanges((route(ONE, OTHER, greeting="#1, you"),))),
        ("greeting", "#1", RowChanges(changed={2: {"greeting": "#1"}})),
    ],
)
def test_a_row_that_would_be_read_as_a_comment_is_a_fault(
    column: str, text: str, wanted: RowChanges
) -> None:
    with pytest.raises(AllowListError) as caught:
        applied(f"{column},to,from,destination,expires\nx,1,,2,\n", wanted)
    message = (
        f"wanted another column in front of {column}, got {text!r} in it: a row that begins with #"
        " is a comment; move the column"
    )
    assert caught.value.faults == [RowFault(0, message)]
    applied(f"to,{column},from,destination,expires\n1,x,,2,\n", wanted)
