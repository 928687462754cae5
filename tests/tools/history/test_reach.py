"""Why nobody reaches a person: their rows, the nearest one, and the calls that it concerns."""

from datetime import UTC, datetime, timedelta

import facts
import pytest
from helpers import START, read_list
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_calls import record_with

from phone import NoNumber, PhoneNumber
from routing import AllowList, Reason
from tools.history.reach import (
    Likeness,
    Nearest,
    almost_from,
    calls_behind,
    nearest,
    open_rows_for,
    other_calls,
    own_calls,
    rows_behind,
    rows_of,
    state,
)

LOOPING = "12025550104"
LIST = f"""\
{facts.ALLOW_LIST}\
{LOOPING},{facts.STRANGER},{facts.STRANGER},{facts.MASKING_ID},,,calls themselves
{LOOPING},{facts.DIALLED},{facts.STRANGER},{facts.MASKING_ID},,,a number of ours calls
"""
RIDER = PhoneNumber(facts.RIDER)
EXPIRED_PERSON = "12025550112"
EXPIRED_AT = datetime(2026, 1, 31, 18, tzinfo=UTC)


def listed(text: str = LIST) -> AllowList:
    return read_list(text, caller_id_number=facts.MASKING_ID)


def rows_and_reasons(number: str, now: datetime = START) -> list[tuple[int, Reason | None]]:
    rows = rows_of(PhoneNumber(number), listed(), now)
    return [(row.route.line, row.reason) for row in rows]


@pytest.mark.parametrize(
    ("number", "rows"),
    [
        (facts.DESTINATION, [(2, None)]),
        (facts.RIDER, [(3, None), (4, None)]),  # the caller of one, the destination of the other
        (EXPIRED_PERSON, [(5, Reason.EXPIRED)]),
        (facts.STRANGER, [(6, Reason.CALLER_IS_DESTINATION), (7, Reason.LOOP)]),
        (facts.MASKING_ID, []),  # a number of ours is nobody's
        (facts.NOT_LISTED, []),
    ],
)
def test_the_rows_of_a_person_and_why_each_refuses(
    number: str, rows: list[tuple[int, Reason | None]]
) -> None:
    assert rows_and_reasons(number) == rows


def test_a_row_for_any_caller_is_open_though_those_without_a_number_are_refused() -> None:
    closed = read_list(facts.ALLOW_LIST, withheld_callers="refuse")
    for listed_ in listed(facts.ALLOW_LIST), closed:
        (row,) = rows_of(PhoneNumber(facts.DESTINATION), listed_, START)
        assert (row.route.line, row.reason) == (2, None)


def test_a_row_expires_at_its_very_time() -> None:
    before = EXPIRED_AT - timedelta(microseconds=1)
    assert rows_and_reasons(EXPIRED_PERSON, before) == [(5, None)]
    assert rows_and_reasons(EXPIRED_PERSON, EXPIRED_AT) == [(5, Reason.EXPIRED)]


def test_rows_for_any_caller_connect_this_one_while_they_are_open() -> None:
    def lines(number: str, now: datetime) -> list[int]:
        reached = open_rows_for(PhoneNumber(number), listed(), now)
        return [row.route.line for row in reached]

    assert lines(facts.NOT_LISTED, START) == [2]
    assert lines(facts.NOT_LISTED, EXPIRED_AT - timedelta(1)) == [2, 5]
    assert lines(facts.DESTINATION, START) == []


def test_a_row_of_their_own_hides_the_one_for_any_caller() -> None:
    row = f"{facts.DIALLED},{facts.RIDER},{facts.DRIVER},{facts.MASKING_ID},,,\n"
    assert open_rows_for(RIDER, listed(facts.ALLOW_LIST + row), START) == []


@pytest.mark.parametrize(
    ("number", "close"),
    [
        ("12025550100", (2, "to", facts.DIALLED, Likeness.SAME)),
        ("12025550199", (2, "caller_id_number", facts.MASKING_ID, Likeness.SAME)),
        ("2025550145", (3, "destination", facts.DRIVER, Likeness.LACKS_1)),
        ("2025550100", (2, "to", facts.DIALLED, Likeness.LACKS_1)),
        ("442025550145", (3, "destination", facts.DRIVER, Likeness.SAME_END)),
        ("12025550113", (2, "destination", facts.DESTINATION, Likeness.ONE_DIGIT)),
        ("12025550132", (3, "from", facts.RIDER, Likeness.SWAPPED)),
        ("12025550154", (3, "destination", facts.DRIVER, Likeness.SWAPPED)),
        ("12025550146", (3, "destination", facts.DRIVER, Likeness.ONE_DIGIT)),
        ("12025550121", (2, "destination", facts.DESTINATION, Likeness.ONE_DIGIT)),
        ("13105550177", None),
    ],
)
def test_the_nearest_cell(number: str, close: tuple[int, str, str, Likeness] | None) -> None:
    found = nearest(PhoneNumber(number), listed(facts.ALLOW_LIST))
    wanted = close and Nearest(close[0], close[1], PhoneNumber(close[2]), close[3])
    assert found == wanted


@settings(max_examples=50)
@given(st.integers(0, 10), st.integers(1, 9))
def test_one_wrong_digit_never_hides_the_row(place: int, more: int) -> None:
    right = facts.DRIVER
    wrong = str((int(right[place]) + more) % 10)
    number = PhoneNumber(right[:place] + wrong + right[place + 1 :])
    assert nearest(number, listed()) is not None


MADE = record_with(dialled=facts.NOT_LISTED, caller=facts.RIDER)
RECEIVED = record_with(dialled=facts.DIALLED, caller=facts.DRIVER, destination=facts.RIDER)
TO_THEIR_ROW = record_with(dialled=facts.PAIR_NUMBER, caller=NoNumber.WITHHELD)
OF_OTHERS = record_with(dialled=facts.DIALLED, caller=facts.STRANGER)
SHOWS_IT = record_with(dialled=facts.DIALLED, masking_id=facts.PAIR_NUMBER)
CALLS = [MADE, RECEIVED, TO_THEIR_ROW, OF_OTHERS, SHOWS_IT, record_with(dialled=NoNumber("bad"))]


def test_a_persons_own_calls_are_apart_from_the_others_to_their_virtual_numbers() -> None:
    rows = rows_of(RIDER, listed(), START)
    assert [*filter(own_calls(RIDER).passes, CALLS)] == [MADE, RECEIVED]
    assert [*filter(other_calls(RIDER, rows).passes, CALLS)] == [TO_THEIR_ROW]
    assert [*filter(other_calls(RIDER, []).passes, CALLS)] == []


def test_the_calls_behind_a_number_of_ours_are_to_it_or_show_it() -> None:
    behind = calls_behind(PhoneNumber(facts.PAIR_NUMBER))
    assert [*filter(behind.passes, CALLS)] == [TO_THEIR_ROW, SHOWS_IT]


def test_the_rows_behind_a_number_of_ours_and_why_each_refuses() -> None:
    def lines(number: str) -> list[tuple[int, Reason | None]]:
        rows = rows_behind(PhoneNumber(number), listed(), START)
        return [(row.route.line, row.reason) for row in rows]

    assert lines(facts.PAIR_NUMBER) == [(3, None), (4, None)]
    never = [(6, Reason.CALLER_IS_DESTINATION), (7, Reason.LOOP)]
    assert lines(facts.MASKING_ID) == [(2, None), *never]
    assert lines(facts.RIDER) == []


@pytest.mark.parametrize(
    ("caller", "is_almost"),
    [
        (facts.RIDER, False),
        ("2025550123", True),
        (NoNumber("bad", facts.RIDER), True),
        (facts.DRIVER, False),
        (NoNumber.WITHHELD, False),
        (None, False),
    ],
)
def test_a_caller_who_ends_like_the_person_is_almost_theirs(
    caller: PhoneNumber | NoNumber | None, *, is_almost: bool
) -> None:
    call = record_with(dialled=facts.NOT_LISTED, caller=caller)
    assert almost_from(RIDER).passes(call) is is_almost
    assert own_calls(RIDER).passes(call) is (caller == RIDER)
    assert other_calls(RIDER, []).passes(call) is is_almost


@pytest.mark.parametrize(
    ("expires", "text"),
    [
        ("", "open"),
        ("2026-11-23T14:05:59Z", "open, expires in 2 h 5 min"),
        ("2026-11-20T07:00:00Z", "expired 3 d 5 h ago"),
    ],
)
def test_a_row_says_whether_it_is_open_and_until_when(expires: str, text: str) -> None:
    row = f"{facts.DIALLED},,{facts.DESTINATION},{facts.MASKING_ID},,{expires},\n"
    allow_list = listed(f"{LIST.splitlines()[0]}\n{row}")
    (found,) = rows_behind(PhoneNumber(facts.DIALLED), allow_list, START)
    assert state(found, START) == text
