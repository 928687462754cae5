"""The record of a call: what became of it, when, and for how long."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import facts
import pytest
from helpers import START, payload

import events
from phone import NoNumber, PhoneNumber
from records import (
    CallRecord,
    Disposition,
    State,
    StoredEvent,
    record,
)
from tools.history.search import has_number_ending

DIAL: dict[str, Any] = facts.DIAL
HANGUP: dict[str, Any] = facts.HANGUP


def received(name: str, seconds: float = 0, reply: Any = None, **more: Any) -> StoredEvent:
    """Return an event of a payload file, received so long after the start."""
    return stored(events.parse(payload(name)), seconds, reply, **more)


def stored(event: events.Event, seconds: float = 0, reply: Any = None, **more: Any) -> StoredEvent:
    time = START + timedelta(seconds=seconds)
    return StoredEvent(
        event, reply or {}, more.get("reason"), time, time, more.get("deliveries", 1), ""
    )


def completed(*legs: dict[str, Any], seconds: float = 60) -> StoredEvent:
    body = {"event": "call_completed", "reference_id": facts.REFERENCE_ID, "data": {"p": legs}}
    return stored(events.parse(json.dumps(body).encode()), seconds)


def folded(*some: StoredEvent, hours_later: float = 1) -> CallRecord:
    return record(some, START + timedelta(hours=hours_later))


INCOMING = received("incoming_call", 0, DIAL)
REFUSED = received("incoming_call_not_listed", 0, HANGUP, reason="not_listed")
ANSWERED = received("dial_completed_answered", 5)
BUSY = received("dial_completed_busy", 5)
PRESSED = received("speak_completed_digit_1", 8)
END = completed(seconds=60)


def dial_completed(status: str) -> StoredEvent:
    return stored(events.DialCompleted(facts.REFERENCE_ID, status), 5)


@pytest.mark.parametrize(
    ("some", "disposition"),
    [
        ([INCOMING, ANSWERED, END], Disposition.ANSWERED),
        ([INCOMING, ANSWERED], Disposition.ANSWERED),
        ([INCOMING, BUSY, END], Disposition.FAILED),
        ([INCOMING, dial_completed("NO_ANSWER"), END], Disposition.NO_ANSWER),
        ([INCOMING, END], Disposition.NO_ANSWER),
        ([INCOMING, BUSY, ANSWERED, END], Disposition.ANSWERED),
        ([INCOMING], Disposition.UNKNOWN),
        ([REFUSED, END], Disposition.REFUSED),
        ([REFUSED], Disposition.REFUSED),
        ([END], Disposition.UNKNOWN),
        ([received("call_completed", 60)], Disposition.ANSWERED),
        ([received("unknown_event")], Disposition.UNKNOWN),
    ],
)
def test_the_disposition_is_the_same_in_every_order_of_events(
    some: list[StoredEvent], disposition: Disposition
) -> None:
    assert {folded(*order).disposition for order in permutations(some)} == {disposition}


@pytest.mark.parametrize(
    ("some", "hours", "state"),
    [
        ([INCOMING], 1, State.IN_PROGRESS),
        ([INCOMING], 4.16, State.IN_PROGRESS),
        ([INCOMING, ANSWERED], 4.17, State.END_UNKNOWN),
        ([INCOMING, END], 1, State.ENDED),
        ([END], 9, State.ENDED),
    ],
)
def test_a_call_is_over_when_its_end_was_received_or_must_have_come(
    some: list[StoredEvent], hours: float, state: State
) -> None:
    assert folded(*some, hours_later=hours).state is state


def test_a_whole_record_from_the_events_alone() -> None:
    again = received("incoming_call", 1, HANGUP, reason="replayed", deliveries=3)
    assert folded(INCOMING, again, ANSWERED, PRESSED, END) == CallRecord(
        reference_id=facts.REFERENCE_ID,
        state=State.ENDED,
        disposition=Disposition.ANSWERED,
        caller=PhoneNumber(facts.CALLER),
        dialled=PhoneNumber(facts.DIALLED),
        destination=PhoneNumber(facts.DESTINATION),
        masking_id=facts.MASKING_ID,
        decision="dial",
        reason=None,
        dial_status="answered",
        created=START,
        answered=START + timedelta(seconds=5),
        ended=START + timedelta(seconds=60),
        duration_s=60.0,
        wait_s=5.0,
        talk_s=55.0,
        collected="1",
        recordings=(),
        deliveries=7,
        legs=(),
    )


def test_a_refused_call_has_its_reason_and_no_talk() -> None:
    call = folded(REFUSED, END)
    assert (call.decision, call.reason) == ("hangup", "not_listed")
    assert (call.destination, call.masking_id) == (None, None)
    assert (call.answered, call.talk_s) == (None, None)
    assert call.duration_s == 60.0


INBOUND = {
    "direction": "inbound",
    "from": facts.CALLER,
    "to": facts.DIALLED,
    "created_on_utc": "2026-11-23T11:59:59.5",
    "answered_on_utc": "2026-11-23T12:00:00.5",
    "ended_on_utc": "2026-11-23T12:00:50",
    "duration": 50,
    "audio_recording_file_name": "one.wav",
}
OUTBOUND = {
    "direction": "outbound",
    "from": facts.MASKING_ID,
    "to": facts.DESTINATION,
    "created_on_utc": "2026-11-23T12:00:00",
    "answered_on_utc": "2026-11-23T12:00:06",
    "ended_on_utc": "2026-11-23T12:00:49",
    "duration": 49,
    "audio_recording_file_name": "one.wav",
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "ends", [[completed(INBOUND, OUTBOUND)], [completed(INBOUND), completed(OUTBOUND)]]
)
def test_telesigns_own_times_are_taken_of_both_legs(ends: Iterable[StoredEvent]) -> None:
    """Talk begins when the called person answers, not when TeleSign takes the call."""
    call = folded(INCOMING, ANSWERED, *ends)
    assert call.created == at("2026-11-23T11:59:59.5")
    assert call.answered == at("2026-11-23T12:00:06")
    assert call.ended == at("2026-11-23T12:00:50")
    assert (call.duration_s, call.talk_s) == (50, 43)
    assert call.recordings == ("one.wav",)
    assert [leg.direction for leg in call.legs] == ["inbound", "outbound"]


def test_the_callers_own_leg_says_nothing_of_the_answer() -> None:
    call = folded(INCOMING, ANSWERED, completed(INBOUND))
    assert call.answered == START + timedelta(seconds=5)


def test_a_call_known_only_from_its_end_has_the_people_of_its_legs() -> None:
    call = folded(completed(INBOUND, OUTBOUND))
    assert (call.caller, call.dialled) == (facts.CALLER, facts.DIALLED)
    assert call.destination == facts.DESTINATION
    assert call.masking_id is None
    assert call.decision is None
    assert call.disposition is Disposition.ANSWERED


def test_clocks_that_contradict_each_other_make_no_negative_talk() -> None:
    late = OUTBOUND | {"answered_on_utc": "2026-11-23T13:00:00"}
    assert folded(INCOMING, ANSWERED, completed(late)).talk_s == 0


def test_a_withheld_caller_is_recorded_as_withheld() -> None:
    assert folded(received("incoming_call_withheld", 0, DIAL)).caller is NoNumber.WITHHELD


def test_an_unknown_event_alone_is_a_call() -> None:
    call = folded(received("unknown_event", 7))
    assert call.created == START + timedelta(seconds=7)
    assert call.state is State.IN_PROGRESS


NO_STATUS = stored(events.DialCompleted(facts.REFERENCE_ID, None), 3)
LATE_BUSY = stored(events.DialCompleted(facts.REFERENCE_ID, "busy"), 9)


@pytest.mark.parametrize(
    ("some", "wait_s", "status"),
    [
        pytest.param([INCOMING], None, None, id="it rings"),
        pytest.param([INCOMING, ANSWERED], 5, "answered", id="by the clock of the server"),
        pytest.param([INCOMING, ANSWERED, completed(INBOUND, OUTBOUND)], 5, "answered",
                     id="not by two clocks"),
        pytest.param([completed(INBOUND, OUTBOUND)], 6.5, None, id="by the legs alone"),
        pytest.param([INCOMING, received("dial_completed_answered", 0.0019996)], 0.002, "answered",
                     id="to the millisecond"),
        pytest.param([ANSWERED], 0, "answered", id="without an incoming call"),
        pytest.param([INCOMING, BUSY, END], None, "busy", id="failed"),
        pytest.param([INCOMING, NO_STATUS], None, None, id="no status"),
        pytest.param([INCOMING, NO_STATUS, BUSY], None, "busy", id="a status, later"),
        pytest.param([INCOMING, dial_completed("REJECTED 21"), LATE_BUSY], None, "REJECTED 21",
                     id="the first of two failures"),
        pytest.param([INCOMING, ANSWERED, LATE_BUSY], 5, "answered", id="a late report"),
        pytest.param([REFUSED, END], None, None, id="refused"),
    ],
)  # fmt: skip
def test_how_long_the_caller_waited_and_what_the_dial_reported(
    some: list[StoredEvent], wait_s: float | None, status: str | None
) -> None:
    call = folded(*some)
    assert (call.wait_s, call.dial_status) == (wait_s, status)


@pytest.mark.parametrize(
    ("digits", "is_held"),
    [
        ("0123", True),  # the caller
        ("5550100", True),  # the dialled number
        ("2025550111", True),  # the destination
        ("0199", True),  # the masking ID
        ("0012", False),
        ("0142", False),
    ],
)
def test_a_number_of_a_call_is_known_by_its_last_digits(digits: str, is_held: bool) -> None:
    assert has_number_ending(folded(INCOMING), digits) is is_held


def test_the_numbers_of_legs_and_of_sip_addresses_count_as_well() -> None:
    assert has_number_ending(folded(completed(INBOUND, OUTBOUND)), "0111")
    sip = events.IncomingCall(facts.REFERENCE_ID, NoNumber.BAD, NoNumber("bad", "12025550188"))
    assert has_number_ending(folded(stored(sip)), "0188")
    assert not has_number_ending(folded(received("incoming_call_withheld")), "0188")
