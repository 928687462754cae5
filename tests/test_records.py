"""The record of a call: what became of it, when, and for how long."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import facts
import pytest
from helpers import START, payload

import events
from commands import Speak
from phone import NoNumber, PhoneNumber
from records import CallRecord, Disposition, StoredEvent, fold

DIAL: dict[str, Any] = facts.DIAL
HANGUP: dict[str, Any] = facts.HANGUP


def received(name: str, seconds: float = 0, reply: Any = None, **more: Any) -> StoredEvent:
    """Return an event of a payload file, received so long after the start."""
    return stored(events.parse(payload(name)), seconds, reply, **more)


def stored(event: events.Event, seconds: float = 0, reply: Any = None, **more: Any) -> StoredEvent:
    time = START + timedelta(seconds=seconds)
    kept = StoredEvent(event, reply or {}, more.pop("reason", None), time, time, 1, None, None, "")
    return replace(kept, **more)


def completed(*legs: dict[str, Any], seconds: float = 60) -> StoredEvent:
    body = {"event": "call_completed", "reference_id": facts.REFERENCE_ID, "data": {"p": legs}}
    return stored(events.parse(json.dumps(body).encode()), seconds)


INCOMING = received("incoming_call", 0, DIAL)
REFUSED = received("incoming_call_not_listed", 0, HANGUP, reason="not_listed")
ANSWERED = received("dial_completed_answered", 5)
BUSY = received("dial_completed_busy", 5)
PRESSED = received("speak_completed_digit_1", 8)
END = completed(seconds=60)


def dial_completed(status: str) -> StoredEvent:
    return stored(events.DialCompleted(facts.REFERENCE_ID, status), 5)


ASKS = Speak("Press 1 to take the call.", collect_digit=True).to_wire()
GREETED = received("dial_completed_answered", 5, Speak("Your call is connected.").to_wire())
ASKED = received("dial_completed_answered", 5, ASKS, accept_digit="1")
ASKED_BY_AN_OLDER_PROGRAM = received("dial_completed_answered", 5, ASKS)
NOT_PRESSED = received("speak_completed", 18)


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


BOTH_LEGS = completed(INBOUND, OUTBOUND)
RANG_ONLY = completed(INBOUND, OUTBOUND | {"answered_on_utc": None})


@pytest.mark.parametrize(
    ("some", "disposition"),
    [
        ([INCOMING, ANSWERED, END], Disposition.CONNECTED),
        ([INCOMING, GREETED, NOT_PRESSED, END], Disposition.CONNECTED),
        ([INCOMING, BOTH_LEGS], Disposition.CONNECTED),
        ([BOTH_LEGS], Disposition.CONNECTED),
        ([received("call_completed", 60)], Disposition.CONNECTED),
        ([INCOMING, BUSY, ANSWERED, END], Disposition.CONNECTED),
        ([INCOMING, ASKED, PRESSED, END], Disposition.CONNECTED),
        ([INCOMING, ASKED_BY_AN_OLDER_PROGRAM, PRESSED, END], Disposition.CONNECTED),
        ([INCOMING, GREETED, ASKED, NOT_PRESSED, END], Disposition.CONNECTED),
        ([INCOMING, ASKED, NOT_PRESSED, END], Disposition.DECLINED),
        ([INCOMING, ASKED, NOT_PRESSED, BOTH_LEGS], Disposition.DECLINED),
        ([INCOMING, ASKED, END], Disposition.DECLINED),
        ([INCOMING, ASKED_BY_AN_OLDER_PROGRAM, NOT_PRESSED, END], Disposition.DECLINED),
        ([INCOMING, BUSY, END], Disposition.BUSY),
        ([INCOMING, dial_completed("USER_BUSY"), END], Disposition.BUSY),
        ([INCOMING, dial_completed("NO_ANSWER"), END], Disposition.NO_ANSWER),
        ([INCOMING, dial_completed("rejected"), END], Disposition.FAILED),
        ([INCOMING, dial_completed(""), END], Disposition.FAILED),
        ([INCOMING, RANG_ONLY], Disposition.NO_ANSWER),
        ([INCOMING, END], Disposition.NO_ANSWER),
        ([REFUSED, END], Disposition.REFUSED),
        ([REFUSED, INCOMING, ANSWERED, END], Disposition.CONNECTED),
        ([REFUSED, INCOMING, END], Disposition.NO_ANSWER),
        ([END], Disposition.UNKNOWN),
    ],
)
def test_what_became_of_a_call_is_the_same_in_every_order_of_events(
    some: list[StoredEvent], disposition: Disposition
) -> None:
    for is_old in (False, True):
        found = {fold(order, is_old=is_old).disposition for order in permutations(some)}
        assert found == {disposition}


@pytest.mark.parametrize(
    "some", [[INCOMING], [INCOMING, ANSWERED], [INCOMING, BUSY], [REFUSED], [ASKED, NOT_PRESSED]]
)
def test_a_call_without_an_end_is_in_progress_and_unknown_once_it_is_old(
    some: list[StoredEvent],
) -> None:
    assert fold(some).disposition is Disposition.IN_PROGRESS
    old = fold(some, is_old=True)
    assert (old.disposition, old.ended, old.talk_s) == (Disposition.UNKNOWN, None, None)


def test_a_whole_record_from_the_events_alone() -> None:
    incoming = replace(INCOMING, row_line=7)
    again = received("incoming_call", 1, HANGUP, reason="replayed", deliveries=3)
    assert fold([incoming, again, ASKED, PRESSED, END]) == CallRecord(
        reference_id=facts.REFERENCE_ID,
        disposition=Disposition.CONNECTED,
        began=START,
        ended=START + timedelta(seconds=60),
        caller=PhoneNumber(facts.CALLER),
        dialled=PhoneNumber(facts.DIALLED),
        destination=PhoneNumber(facts.DESTINATION),
        masking_id=facts.MASKING_ID,
        row=7,
        external_id=None,
        reason=None,
        status="answered",
        wait_s=5.0,
        talk_s=55.0,
    )


def test_a_refused_call_has_its_reason_and_no_talk() -> None:
    call = fold([REFUSED, END])
    assert (call.disposition, call.reason) == (Disposition.REFUSED, "not_listed")
    assert (call.destination, call.masking_id, call.row) == (None, None, None)
    assert (call.wait_s, call.talk_s) == (None, None)


def test_talk_counts_for_a_connected_call_alone() -> None:
    assert fold([INCOMING, ASKED, PRESSED, END]).talk_s == 55
    assert fold([INCOMING, ASKED, NOT_PRESSED, END]).talk_s is None


def test_the_id_that_was_sent_with_the_dial_is_in_the_record() -> None:
    dial = {"method": "dial", "params": DIAL["params"] | {"external_id": "order-1234"}}
    assert fold([received("incoming_call", 0, dial), END]).external_id == "order-1234"


def test_without_our_dial_the_record_has_the_id_that_telesign_echoes() -> None:
    echoed = replace(END, event=replace(END.event, external_id="order-5"))
    assert fold([ANSWERED, echoed]).external_id == "order-5"
    assert fold([INCOMING, echoed]).external_id is None


def test_of_several_answers_to_a_call_the_record_has_the_dial() -> None:
    """Another server may have refused it, and written that first."""
    call = fold([REFUSED, replace(INCOMING, row_line=3), END])
    assert (call.destination, call.reason, call.row) == (facts.DESTINATION, None, 3)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("ends", [[BOTH_LEGS], [completed(INBOUND), completed(OUTBOUND)]])
def test_telesigns_own_times_are_taken_of_both_legs(ends: Iterable[StoredEvent]) -> None:
    """Talk begins when the called person answers, and ends with the leg that ends first."""
    call = fold([INCOMING, ANSWERED, *ends])
    assert call.began == at("2026-11-23T11:59:59.5")
    assert call.ended == at("2026-11-23T12:00:50")
    assert call.talk_s == 43


def test_the_callers_own_leg_says_nothing_of_the_answer() -> None:
    assert fold([INCOMING, ANSWERED, completed(INBOUND)]).talk_s == 45


def test_a_call_known_only_from_its_end_has_the_people_of_its_legs() -> None:
    call = fold([BOTH_LEGS])
    assert (call.caller, call.dialled) == (facts.CALLER, facts.DIALLED)
    assert (call.destination, call.masking_id) == (facts.DESTINATION, None)


def test_clocks_that_contradict_each_other_make_no_negative_talk() -> None:
    late = OUTBOUND | {"answered_on_utc": "2026-11-23T13:00:00"}
    assert fold([INCOMING, ANSWERED, completed(late)]).talk_s == 0


def test_a_withheld_caller_is_recorded_as_withheld() -> None:
    assert fold([received("incoming_call_withheld", 0, DIAL)]).caller is NoNumber.WITHHELD


def test_an_unknown_event_alone_is_a_call() -> None:
    call = fold([received("unknown_event", 7)])
    assert call.began == START + timedelta(seconds=7)
    assert call.disposition is Disposition.IN_PROGRESS


def test_a_simulated_call_is_known_by_its_reference_id() -> None:
    event = events.CallCompleted("SIMULATED-1")
    assert fold([stored(event)]).is_simulated
    assert not fold([END]).is_simulated


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
    call = fold(some)
    assert (call.wait_s, call.status) == (wait_s, status)
