"""Why nobody reaches a person: their rows, the nearest one, and the calls that it concerns."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import facts
import pytest
from helpers import START, read_list
from hypothesis import given
from hypothesis import strategies as st

from insight.simulated import is_simulated
from insight.why import (
    Incoming,
    Likeness,
    Nearest,
    Part,
    PersonRow,
    Refusals,
    RowState,
    is_almost,
    nearest,
    own_and_others,
    reached_as_anyone,
    refusals,
    rows_of,
)
from phone import NoNumber, PhoneNumber
from routing import AllowList, Reason

LOOPING = "12025550104"
LIST = f"""\
{facts.ALLOW_LIST}\
{LOOPING},{facts.STRANGER},{facts.STRANGER},{facts.MASKING_ID},,,calls themselves
{LOOPING},{facts.DIALLED},{facts.STRANGER},{facts.MASKING_ID},,,a number of ours calls
"""
DESK, PAIR, EXPIRED, LOOP = map(
    PhoneNumber, (facts.DIALLED, facts.PAIR_NUMBER, "12025550102", LOOPING)
)
RIDER, DRIVER = PhoneNumber(facts.RIDER), PhoneNumber(facts.DRIVER)
EXPIRED_AT = datetime(2026, 1, 31, 18, tzinfo=UTC)


def listed(text: str = LIST) -> AllowList:
    return read_list(text, caller_id_number=facts.MASKING_ID)


def asked(number: str) -> list[PersonRow]:
    return rows_of(PhoneNumber(number), listed(), START)


def seconds(time: datetime) -> float:
    return (time - START).total_seconds()


def test_an_open_row_for_any_caller() -> None:
    assert asked(facts.DESTINATION) == [
        PersonRow(2, Part.DESTINATION, DESK, None, RowState.OPEN, None, None, None)
    ]


def test_a_person_of_a_pair_is_the_caller_of_one_row_and_the_destination_of_the_other() -> None:
    until = facts.PAIR_EXPIRES
    assert asked(RIDER) == [
        PersonRow(3, Part.CALLER, PAIR, DRIVER, RowState.EXPIRES, until, seconds(until), None),
        PersonRow(4, Part.DESTINATION, PAIR, DRIVER, RowState.OPEN, None, None, None),
    ]


def test_an_expired_row_says_since_when() -> None:
    (row,) = asked("12025550112")
    assert row == PersonRow(
        5,
        Part.DESTINATION,
        EXPIRED,
        None,
        RowState.EXPIRED,
        EXPIRED_AT,
        seconds(EXPIRED_AT),
        Reason.EXPIRED,
    )
    assert not row.is_open


def test_a_row_that_can_never_connect_says_why() -> None:
    rows = [(row.line, row.state, row.reason) for row in asked(facts.STRANGER)]
    assert rows == [
        (6, RowState.NEVER_CONNECTS, Reason.CALLER_IS_DESTINATION),
        (7, RowState.NEVER_CONNECTS, Reason.LOOP),
    ]


@pytest.mark.parametrize("number", [facts.DIALLED, facts.MASKING_ID, facts.NOT_LISTED])
def test_a_number_of_ours_or_of_nobody_is_in_no_row_as_a_person(number: str) -> None:
    plain = rows_of(PhoneNumber(number), listed(facts.ALLOW_LIST), START)
    assert plain == []


def test_a_row_expires_at_its_very_time() -> None:
    def state(now: datetime) -> RowState:
        (row,) = rows_of(PhoneNumber("12025550112"), listed(), now)
        return row.state

    assert state(EXPIRED_AT - timedelta(microseconds=1)) is RowState.EXPIRES
    assert state(EXPIRED_AT) is RowState.EXPIRED


def test_rows_for_any_caller_connect_this_one_while_they_are_open() -> None:
    def lines(number: str, now: datetime) -> list[int]:
        return [route.line for route in reached_as_anyone(PhoneNumber(number), listed(), now)]

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


@given(st.integers(0, 10), st.integers(1, 9))
def test_one_wrong_digit_never_hides_the_row(place: int, more: int) -> None:
    right = facts.DRIVER
    wrong = str((int(right[place]) + more) % 10)
    number = PhoneNumber(right[:place] + wrong + right[place + 1 :])
    assert nearest(number, listed()) is not None


def incoming(
    call: str, dialled: str, caller: str, reason: str | None = None, minute: int = 0
) -> Incoming:
    who = PhoneNumber(caller) if caller else NoNumber.WITHHELD
    return Incoming(call, PhoneNumber(dialled), who, reason, START + timedelta(minutes=minute))


def test_a_persons_own_calls_are_apart_from_the_others_to_their_virtual_numbers() -> None:
    to_the_row = incoming("a", facts.PAIR_NUMBER, "")
    made = incoming("b", facts.NOT_LISTED, facts.RIDER)
    received = replace(incoming("c", facts.DIALLED, facts.DRIVER), destination=facts.RIDER)
    of_others = incoming("d", facts.DIALLED, facts.STRANGER)
    without_numbers = Incoming("e", NoNumber.BAD, NoNumber.WITHHELD, "bad_number", START)
    calls = [to_the_row, made, received, of_others, without_numbers]
    assert own_and_others(calls, RIDER, asked(RIDER)) == ([made, received], [to_the_row])
    assert own_and_others(calls, RIDER, []) == ([made, received], [])


def test_a_repeat_with_other_numbers_goes_with_its_call() -> None:
    first = incoming("a", facts.PAIR_NUMBER, facts.RIDER)
    repeat = incoming("a", facts.DIALLED, facts.STRANGER, "conflicting", 1)
    assert own_and_others([repeat, first], RIDER, asked(RIDER)) == ([repeat, first], [])


@pytest.mark.parametrize(
    ("caller", "almost"),
    [
        (RIDER, False),
        (PhoneNumber("2025550123"), True),
        (NoNumber("bad", "12025550123"), True),
        (DRIVER, False),
        (NoNumber.WITHHELD, False),
    ],
)
def test_a_caller_who_ends_like_the_person_is_almost_theirs(
    caller: PhoneNumber | NoNumber, almost: bool
) -> None:
    call = Incoming("a", DESK, caller, "caller_not_listed", START)
    assert is_almost(caller, RIDER) is almost
    own, others = own_and_others([call], RIDER, [])
    assert own == ([call] if caller == RIDER else [])
    assert others == ([call] if almost else [])


def test_refusals_are_counted_by_reason_the_most_frequent_first() -> None:
    calls = [
        incoming("a", PAIR, "", "caller_withheld", 1),
        incoming("b", PAIR, RIDER),
        incoming("c", PAIR, "", "expired", 5),
        incoming("d", PAIR, "", "expired", 3),
        incoming("e", PAIR, "", "bad_number", 2),
    ]
    assert refusals(calls) == [
        Refusals("expired", 2, START + timedelta(minutes=5)),
        Refusals("bad_number", 1, START + timedelta(minutes=2)),
        Refusals("caller_withheld", 1, START + timedelta(minutes=1)),
    ]


def test_a_simulated_call_is_known_by_its_id() -> None:
    assert is_simulated("SIMULATED0123")
    assert not is_simulated(facts.REFERENCE_ID)
    assert not is_simulated("simulated0123")
