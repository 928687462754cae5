"""Look-ups in the allow-list: each reason for a refusal, what is decided, and what they cost."""

import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import facts
import pytest
from helpers import START, read_list

import phone
from call_log.store import row_of
from calls import UNKNOWN, Decision, Delivery, Timestamp
from commands import Command, Dial, Hangup, NoAction, Prompts
from events import DialCompleted, Event, IncomingCall, PlayCompleted, SpeakCompleted, parse
from phone import NoNumber, PhoneNumber
from routing import (
    AllowList,
    AllowListError,
    Reason,
    Route,
    RowFault,
    decide,
)

LIST = read_list(facts.ALLOW_LIST)
EXPIRED = "12025550102"
NOW = Timestamp(START, 1000.0)
EXPIRY = facts.PAIR_EXPIRES


def find(
    dialled: str | NoNumber, caller: str | NoNumber, *, now: datetime = START
) -> Route | Reason:
    dialled = dialled if isinstance(dialled, NoNumber) else PhoneNumber(dialled)
    caller = caller if isinstance(caller, NoNumber) else PhoneNumber(caller)
    return LIST.find(dialled, caller, now)


def test_every_caller_may_take_a_route_for_any_caller() -> None:
    route = find(facts.DIALLED, facts.STRANGER)
    assert isinstance(route, Route)
    assert route.dial == Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID), 3600)
    assert (route.destination, route.masking_id) == (facts.DESTINATION, facts.MASKING_ID)
    assert route == find(facts.DIALLED, NoNumber.WITHHELD)
    assert route == find(facts.DIALLED, NoNumber("bad", facts.CALLER))
    assert route == find(facts.DIALLED, NoNumber("bad"))


@pytest.mark.parametrize(
    "caller",
    [
        "sip:front.desk@example.com",
        "sip:12025550188@example.com",
        "12345",
        "+0000000000",
        "0012025550123",
        "1 202 555 0123 (45)",
        "",
    ],
)
def test_a_row_for_any_caller_serves_those_without_a_telephone_number(caller: str) -> None:
    assert isinstance(find(facts.DIALLED, phone.read(caller)), Route)


@pytest.mark.parametrize(
    "caller",
    [
        f"sip:{facts.MASKING_ID}@example.com",
        f"sip:{facts.MASKING_ID}@10.0.0.1",
        f"00{facts.MASKING_ID}",
        f"011{facts.PAIR_NUMBER}",
        f"{facts.MASKING_ID};ext=45",
    ],
)
def test_one_of_our_own_numbers_is_a_loop_however_it_is_written(caller: str) -> None:
    assert find(facts.DIALLED, phone.read(caller)) is Reason.LOOP


@pytest.mark.parametrize("caller", ["02079460199", "00442079460199", "2079460199", "442079460199"])
def test_one_of_our_own_numbers_is_a_loop_as_it_is_written_at_home(caller: str) -> None:
    own = f"to,destination,caller_id_number\n{facts.DIALLED},{facts.DESTINATION},442079460199"
    found = phone.read(caller, home_country_code="44")
    assert read_list(own).find(PhoneNumber(facts.DIALLED), found, START) is Reason.LOOP


def test_a_named_caller_is_known_by_a_clear_number_alone() -> None:
    for caller in "1 202 555 0123 (45)", "sip:12025550123@example.com", "0012025550123":
        assert find(facts.PAIR_NUMBER, phone.read(caller)) is Reason.BAD_NUMBER


REFUSING = read_list(facts.ALLOW_LIST, withheld_callers="refuse")


@pytest.mark.parametrize(
    ("dialled", "caller", "reason"),
    [
        (facts.DIALLED, NoNumber.WITHHELD, Reason.CALLER_WITHHELD),
        (facts.DIALLED, phone.read("anonymous"), Reason.CALLER_WITHHELD),
        (facts.DIALLED, NoNumber("bad"), Reason.BAD_NUMBER),
        (facts.DIALLED, phone.read("sip:jo@example.com"), Reason.CALLER_WITHHELD),
        (facts.DIALLED, phone.read("sip:12025550188@example.com"), Reason.BAD_NUMBER),
        (facts.DIALLED, phone.read("12345"), Reason.BAD_NUMBER),
        (facts.DIALLED, phone.read(12025550188), Reason.BAD_NUMBER),
        (facts.DIALLED, phone.read(f"00{facts.MASKING_ID}"), Reason.LOOP),
        (EXPIRED, NoNumber.WITHHELD, Reason.CALLER_WITHHELD),
        (facts.PAIR_NUMBER, NoNumber.WITHHELD, Reason.CALLER_WITHHELD),
        (facts.NOT_LISTED, NoNumber.WITHHELD, Reason.NOT_LISTED),
        (NoNumber.WITHHELD, NoNumber.WITHHELD, Reason.BAD_NUMBER),
    ],
)
def test_a_row_for_any_caller_can_be_closed_to_those_without_a_number(
    dialled: str | NoNumber, caller: PhoneNumber | NoNumber, reason: Reason
) -> None:
    to = dialled if isinstance(dialled, NoNumber) else PhoneNumber(dialled)
    assert REFUSING.find(to, caller, START) is reason


def test_a_row_for_any_caller_that_is_closed_to_some_serves_every_number() -> None:
    for dialled, caller in (facts.DIALLED, facts.STRANGER), (facts.PAIR_NUMBER, facts.RIDER):
        found = REFUSING.find(PhoneNumber(dialled), PhoneNumber(caller), START)
        assert found == find(dialled, caller)
        assert isinstance(found, Route)


def test_a_caller_who_is_kept_out_does_not_pass_by_hiding_their_number() -> None:
    text = (
        "to,from,destination,expires\n"
        f"{facts.DIALLED},,{facts.DESTINATION},\n"
        f"{facts.DIALLED},{facts.STRANGER},{facts.DESTINATION},2020-01-01T00:00:00Z\n"
    )
    dialled = PhoneNumber(facts.DIALLED)
    for callers, hidden in ("connect", None), ("refuse", Reason.CALLER_WITHHELD):
        listed = read_list(text, withheld_callers=callers)
        assert listed.find(dialled, PhoneNumber(facts.STRANGER), START) is Reason.EXPIRED
        assert isinstance(listed.find(dialled, PhoneNumber(facts.CALLER), START), Route)
        found = listed.find(dialled, NoNumber.WITHHELD, START)
        assert found is hidden if hidden else isinstance(found, Route)


def test_a_pair_reaches_each_other_behind_one_number() -> None:
    there, back = find(facts.PAIR_NUMBER, facts.RIDER), find(facts.PAIR_NUMBER, facts.DRIVER)
    assert isinstance(there, Route)
    assert isinstance(back, Route)
    assert (there.destination, there.masking_id) == (facts.DRIVER, facts.PAIR_NUMBER)
    assert (back.destination, back.masking_id) == (facts.RIDER, facts.PAIR_NUMBER)


@pytest.mark.parametrize(
    ("dialled", "caller", "reason"),
    [
        (facts.NOT_LISTED, facts.CALLER, Reason.NOT_LISTED),
        (facts.DESTINATION, facts.CALLER, Reason.NOT_LISTED),
        (facts.MASKING_ID, facts.CALLER, Reason.NOT_LISTED),
        (facts.NOT_LISTED, NoNumber.WITHHELD, Reason.NOT_LISTED),
        (facts.PAIR_NUMBER, facts.STRANGER, Reason.CALLER_NOT_LISTED),
        (facts.PAIR_NUMBER, NoNumber.WITHHELD, Reason.CALLER_WITHHELD),
        (EXPIRED, facts.CALLER, Reason.EXPIRED),
        (NoNumber("bad"), facts.CALLER, Reason.BAD_NUMBER),
        (NoNumber.WITHHELD, facts.CALLER, Reason.BAD_NUMBER),
        (facts.PAIR_NUMBER, NoNumber("bad"), Reason.BAD_NUMBER),
        (facts.NOT_LISTED, NoNumber("bad"), Reason.NOT_LISTED),
        (facts.PAIR_NUMBER, NoNumber("bad", facts.RIDER), Reason.BAD_NUMBER),
        (facts.DIALLED, NoNumber("bad", facts.MASKING_ID), Reason.LOOP),
        (facts.DIALLED, NoNumber("bad", f"1{facts.PAIR_NUMBER}10001"), Reason.LOOP),
        (facts.DIALLED, NoNumber("bad", facts.DESTINATION), Reason.CALLER_IS_DESTINATION),
        (EXPIRED, NoNumber("bad"), Reason.EXPIRED),
        (facts.DIALLED, facts.MASKING_ID, Reason.LOOP),
        (facts.DIALLED, facts.DIALLED, Reason.LOOP),
        (facts.DIALLED, facts.PAIR_NUMBER, Reason.LOOP),
        (facts.DIALLED, facts.DESTINATION, Reason.CALLER_IS_DESTINATION),
        (EXPIRED, "12025550112", Reason.EXPIRED),
        (NoNumber("bad"), facts.MASKING_ID, Reason.BAD_NUMBER),
        (facts.NOT_LISTED, facts.MASKING_ID, Reason.LOOP),
    ],
)
def test_each_refusal_has_its_reason(
    dialled: str | NoNumber, caller: str | NoNumber, reason: Reason
) -> None:
    assert find(dialled, caller) is reason


def test_a_route_ends_at_its_expiry_and_not_before() -> None:
    last = EXPIRY - timedelta(microseconds=1)
    assert isinstance(find(facts.PAIR_NUMBER, facts.RIDER, now=last), Route)
    assert find(facts.PAIR_NUMBER, facts.RIDER, now=EXPIRY) is Reason.EXPIRED


def test_an_expiry_is_compared_across_zones_to_the_edge_of_time() -> None:
    text = "to,destination,expires\n12025550101,12025550102,0001-01-02T00:00:00+23:59"
    found = read_list(text).find(PhoneNumber("12025550101"), NoNumber.WITHHELD, START)
    assert found is Reason.EXPIRED
    east = START.astimezone(timezone(timedelta(hours=14)))
    assert find(facts.PAIR_NUMBER, facts.RIDER, now=east) == find(facts.PAIR_NUMBER, facts.RIDER)


def test_an_expired_row_for_this_caller_does_not_fall_through() -> None:
    listed = read_list(
        "to,from,destination,expires\n"
        f"{facts.DIALLED},{facts.CALLER},{facts.DESTINATION},2020-01-01T00:00:00Z\n"
        f"{facts.DIALLED},,12025550112,"
    )
    dialled, caller = PhoneNumber(facts.DIALLED), PhoneNumber(facts.CALLER)
    assert listed.find(dialled, caller, START) is Reason.EXPIRED
    assert isinstance(listed.find(dialled, PhoneNumber(facts.STRANGER), START), Route)


def test_own_numbers_are_masking_ids_and_virtual_numbers() -> None:
    text = "to,destination,caller_id_number\n12025550101,12025550102,12025550103\n12025550104,,"
    listed = read_list(text, caller_id_number=PhoneNumber("12025550105"))
    assert listed.own_numbers == {"12025550101", "12025550103", "12025550105"}


def test_the_masking_id_of_the_settings_is_ours_even_when_no_row_uses_it() -> None:
    listed = read_list(facts.ALLOW_LIST, caller_id_number=PhoneNumber("12025550160"))
    dialled, caller = PhoneNumber(facts.DIALLED), PhoneNumber("12025550160")
    assert listed.find(dialled, caller, START) is Reason.LOOP


def test_a_list_has_a_length_and_its_routes_in_order() -> None:
    assert len(LIST) == 4
    assert [route.line for route in LIST] == [2, 3, 4, 5]


PAIRS = f"""\
to,from,destination
{facts.PAIR_NUMBER},{facts.RIDER},{facts.DRIVER}
{facts.PAIR_NUMBER},{facts.DRIVER},{facts.RIDER}
{facts.DIALLED},,{facts.DESTINATION}
"""


@pytest.mark.parametrize(
    ("caller", "destination", "line"),
    [(facts.RIDER, facts.DRIVER, 2), (facts.DRIVER, facts.RIDER, 3)],
)
def test_a_call_is_connected_along_the_route_of_its_caller(
    caller: str, destination: str, line: int
) -> None:
    own, pair_number = PhoneNumber(caller), PhoneNumber(facts.PAIR_NUMBER)
    dial = Dial(PhoneNumber(destination), pair_number)
    event = IncomingCall(facts.REFERENCE_ID, pair_number, own)
    answer = Decision(dial, row_line=line)
    assert decide(event, UNKNOWN, read_list(PAIRS), Prompts(), NOW) == answer


@pytest.mark.parametrize(
    ("caller", "reason"),
    [
        (PhoneNumber(facts.STRANGER), Reason.CALLER_NOT_LISTED),
        (NoNumber.WITHHELD, Reason.CALLER_WITHHELD),
        (NoNumber("bad"), Reason.BAD_NUMBER),
    ],
)
def test_a_caller_without_a_route_is_refused_with_the_reason(
    caller: PhoneNumber | NoNumber, reason: Reason
) -> None:
    event = IncomingCall(facts.REFERENCE_ID, PhoneNumber(facts.PAIR_NUMBER), caller)
    assert decide(event, UNKNOWN, read_list(PAIRS), Prompts(), NOW) == Decision(Hangup(), reason)


@pytest.mark.parametrize(
    ("event", "command"),
    [
        (DialCompleted(facts.REFERENCE_ID, "answered"), NoAction()),
        (DialCompleted(facts.REFERENCE_ID, "busy"), Hangup()),
        (SpeakCompleted(facts.REFERENCE_ID, ""), NoAction()),
        (PlayCompleted(facts.REFERENCE_ID, ""), NoAction()),
    ],
)
def test_without_prompts_nothing_is_spoken_and_no_digit_is_needed(
    event: Event, command: Command
) -> None:
    assert decide(event, UNKNOWN, read_list(PAIRS), Prompts(), NOW) == Decision(command)


def test_a_route_that_comes_from_no_file_has_line_0() -> None:
    dial = Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID))
    with pytest.raises(AllowListError) as caught:
        AllowList([Route(PhoneNumber(facts.DIALLED), None, dial) for _ in range(2)])
    message = "to, from: wanted each pair only once, got the same as in line 0"
    assert caught.value.faults == [RowFault(0, message)]


def test_a_list_of_routes_alone_is_open_to_callers_who_withhold_their_number() -> None:
    dialled = PhoneNumber(facts.DIALLED)
    dial = Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID))
    route = Route(dialled, None, dial)
    assert AllowList([route]).find(dialled, NoNumber.WITHHELD, START) == route


def test_a_list_lists_the_numbers_that_can_be_dialled() -> None:
    listed = read_list(PAIRS)
    numbers = facts.PAIR_NUMBER, facts.DIALLED, facts.DESTINATION, facts.RIDER
    assert [listed.lists(PhoneNumber(number)) for number in numbers] == [True, True, False, False]


def test_a_fault_is_shown_with_its_file_and_line() -> None:
    assert RowFault(3, "to: wanted a number").at("list.csv") == "list.csv:3: to: wanted a number"
    assert RowFault(0, "wanted a file").at("list.csv") == "list.csv: wanted a file"


def test_a_list_with_faults_was_readable_unless_it_says_otherwise() -> None:
    fault = RowFault(0, "wanted a file")
    assert AllowListError([fault]).unreadable is False
    assert AllowListError([fault], unreadable=True).unreadable is True


def steps_of_a_look_up(listed: AllowList, dialled: str) -> int:
    """Count the lines of Python and the calls that one look-up takes."""
    steps = 0

    def count(*_: object) -> Any:
        nonlocal steps
        steps += 1
        return count

    tracer: Any = sys.gettrace()
    sys.settrace(count)
    try:
        listed.find(PhoneNumber(dialled), PhoneNumber(facts.CALLER), START)
    finally:
        sys.settrace(tracer)
    return steps


def test_a_look_up_takes_as_many_steps_in_a_long_list_as_in_a_short_one() -> None:
    def listed(rows: int) -> AllowList:
        lines = [f"{13_000_000_000 + row},{14_000_000_000 + row}" for row in range(rows)]
        return read_list("\n".join(["to,destination", *lines]))

    short, long = listed(10), listed(20_000)
    for in_short, in_long in ("13000000009", "13000019999"), ("15000000000", "15000000000"):
        assert steps_of_a_look_up(short, in_short) == steps_of_a_look_up(long, in_long)


UNREADABLE = [
    NoNumber.WITHHELD,
    NoNumber("bad"),
    *(phone.read(text) for text in ("sip:12025550123@example.com", "0012025550123", "12345")),
]


@pytest.mark.parametrize("first", UNREADABLE)
@pytest.mark.parametrize("second", UNREADABLE)
def test_an_unreadable_caller_is_the_same_again_and_another_one_conflicts(
    first: PhoneNumber | NoNumber, second: PhoneNumber | NoNumber
) -> None:
    """Also when the first delivery is known from the log alone."""
    dialled = PhoneNumber(facts.DIALLED)
    event, again = (IncomingCall(facts.REFERENCE_ID, dialled, caller) for caller in (first, second))
    answer = decide(event, UNKNOWN, LIST, Prompts(), NOW)
    assert isinstance(answer.command, Dial)
    kept = row_of(Delivery(event, b"", NOW), answer).to_event()
    assert kept == event
    call = UNKNOWN.after(kept, answer.command.to_wire(), NOW.monotonic_s)
    same = answer if first == second else Decision(Hangup(), Reason.CONFLICTING)
    assert decide(again, call, LIST, Prompts(), NOW) == same


def test_the_log_of_an_earlier_version_is_read() -> None:
    event = IncomingCall(facts.REFERENCE_ID, PhoneNumber(facts.DIALLED), NoNumber("bad"))
    row = row_of(Delivery(event, b"", NOW), Decision(Hangup()))
    assert (row.caller, row._replace(caller="withheld").to_event()) == (
        "bad",
        IncomingCall(facts.REFERENCE_ID, PhoneNumber(facts.DIALLED), NoNumber.WITHHELD),
    )


def test_an_incoming_call_of_the_log_has_its_numbers_as_they_were_read_at_home() -> None:
    """Whatever else its body holds: that is not read again, without the home country code."""
    body = b"""{"event": "incoming_call", "reference_id": "one", "external_id": "order-5",
        "data": {"to": "12025550100", "from": "2025550123", "collected_digits": "1"}}"""
    event = parse(body, home_country_code="1")
    kept = row_of(Delivery(event, body, NOW), Decision(Hangup())).to_event()
    assert (
        kept == event == IncomingCall("one", PhoneNumber("12025550100"), PhoneNumber("12025550123"))
    )
