"""How rows of a list are changed, added and removed, while all other lines stay as they are."""

from datetime import timedelta

import pytest
from helpers import START, read_list

from commands import Dial
from phone import PhoneNumber
from routing import AllowListError, Route
from tools.list_editor.changes import RowChanges, apply

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
