"""Why nobody reaches a person: their rows, the nearest one, and the calls that it concerns."""

import json
from datetime import UTC, datetime, timedelta

import facts
import pytest
from helpers import START, read_list
from hypothesis import given, settings
from hypothesis import strategies as st
from tools.history.simulated import is_simulated

from call_log.store import Row
from phone import PhoneNumber
from routing import AllowList, Reason
from tools.history.reach import (
    Likeness,
    Nearest,
    is_almost,
    nearest,
    own_and_others,
    reached_as_anyone,
    rows_of,
)
from tools.history.totals import by_frequency

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
        reached = reached_as_anyone(PhoneNumber(number), listed(), now)
        return [row.route.line for row in reached]

    assert lines(facts.NOT_LISTED, START) == [2]
    assert lines(facts.NOT_LISTED, EXPIRED_AT - timedelta(1)) == [2, 5]
    assert lines(facts.DESTINATION, START) == []


def test_a_row_of_their_own_hides_the_one_for_any_caller() -> None:
    row = f"{facts.DIALLED},{facts.RIDER},{facts.DRIVER},{facts.MASKING_ID},,,\n"
    assert reached_as_anyone(RIDER, listed(facts.ALLOW_LIST + row), START) == []


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


def incoming(
    call: str, dialled: str | None, caller: str | None, destination: str | None = None
) -> Row:
    """Return an `incoming_call` of the log, answered with a dial if it has a destination."""
    params = {"to": destination}
    reply = json.dumps({"method": "dial", "params": params} if destination else facts.HANGUP)
    return Row(
        call, "incoming_call", b"", caller, dialled, None, reply, None, 1, 1, 1, None, None, b""
    )


def test_a_persons_own_calls_are_apart_from_the_others_to_their_virtual_numbers() -> None:
    to_the_row = incoming("a", facts.PAIR_NUMBER, None)
    made = incoming("b", facts.NOT_LISTED, facts.RIDER)
    received = incoming("c", facts.DIALLED, facts.DRIVER, facts.RIDER)
    of_others = incoming("d", facts.DIALLED, facts.STRANGER)
    calls = [to_the_row, made, received, of_others, incoming("e", "bad", "withheld")]
    rows = rows_of(RIDER, listed(), START)
    assert own_and_others(calls, RIDER, rows) == ([made, received], [to_the_row])
    assert own_and_others(calls, RIDER, []) == ([made, received], [])


def test_a_repeat_with_other_numbers_goes_with_its_call() -> None:
    first = incoming("a", facts.PAIR_NUMBER, facts.RIDER)
    repeat = incoming("a", facts.DIALLED, facts.STRANGER)
    calls = [repeat, first]
    assert own_and_others(calls, RIDER, rows_of(RIDER, listed(), START)) == (calls, [])


@pytest.mark.parametrize(
    ("caller", "almost"),
    [
        (facts.RIDER, False),
        ("2025550123", True),
        ("bad 12025550123", True),
        (facts.DRIVER, False),
        ("withheld", False),
        (None, False),
    ],
)
def test_a_caller_who_ends_like_the_person_is_almost_theirs(
    caller: str | None, almost: bool
) -> None:
    call = incoming("a", facts.DIALLED, caller)
    assert is_almost(caller, RIDER) is almost
    own, others = own_and_others([call], RIDER, [])
    assert own == ([call] if caller == RIDER else [])
    assert others == ([call] if almost else [])


def test_refusals_are_counted_by_reason_the_most_frequent_first() -> None:
    reasons = ["caller_withheld", "expired", "expired", "bad_number"]
    counted = list(by_frequency(reasons).items())
    assert counted == [("expired", 2), ("bad_number", 1), ("caller_withheld", 1)]


def test_a_simulated_call_is_known_by_its_id() -> None:
    assert is_simulated("SIMULATED0123")
    assert not is_simulated(facts.REFERENCE_ID)
    assert not is_simulated("simulated0123")
