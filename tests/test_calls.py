import threading
import time
from itertools import permutations

import facts
import pytest
from helpers import START

from call_log.memory import InMemoryCalls
from calls import NO_DIGIT, UNKNOWN, CallState, Decision, Delivery, Timestamp
from commands import Command, Dial, Hangup, NoAction, Speak, Wire
from events import (
    CallCompleted,
    CallLegCompleted,
    DialCompleted,
    Event,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
    UnknownEvent,
)
from phone import PhoneNumber

ID = facts.REFERENCE_ID
NOW = Timestamp(START, 1000.0)
INCOMING = IncomingCall(ID, PhoneNumber(facts.DIALLED), PhoneNumber(facts.CALLER))
OTHER = IncomingCall(ID, PhoneNumber(facts.DIALLED), PhoneNumber(facts.STRANGER))
DIAL = Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID))


def state(*events: Event) -> CallState:
    call = UNKNOWN
    for event in events:
        reply = DIAL if isinstance(event, IncomingCall) else NoAction()
        call = call.after(event, reply.to_wire(), NOW.monotonic_s)
    return call


def deliver(calls: InMemoryCalls, event: Event, reply: Command) -> CallState:
    known, _ = calls.answer(Delivery(event, b"", NOW), lambda _: Decision(reply))
    return known


def test_the_first_incoming_call_and_its_reply_stay() -> None:
    call = UNKNOWN.after(INCOMING, DIAL.to_wire(), 1000.0).after(OTHER, {}, 1100.0)
    assert call == CallState(incoming=INCOMING, reply=DIAL.to_wire(), first_seen_s=1000.0)


def test_a_dial_stands_over_any_other_reply_whichever_was_kept_first() -> None:
    """Two servers may have answered one call while neither could read the log."""
    refused = UNKNOWN.after(INCOMING, Hangup().to_wire(), 1000.0)
    call = refused.after(OTHER, DIAL.to_wire(), 1001.0)
    assert call == CallState(incoming=OTHER, reply=DIAL.to_wire(), first_seen_s=1000.0)
    assert call.after(INCOMING, Hangup().to_wire(), 1002.0) == call


@pytest.mark.parametrize("reply", [DIAL, Hangup()])
def test_of_two_replies_of_one_kind_the_first_stands(reply: Dial | Hangup) -> None:
    call = UNKNOWN.after(INCOMING, reply.to_wire(), 1000.0)
    assert call.after(OTHER, reply.to_wire(), 1001.0) == call


ASKS = Speak("Press a key.", collect_digit=True).to_wire()
FREE = Speak("Your call is connected.").to_wire()


@pytest.mark.parametrize(
    ("greetings", "accepted"),
    [
        ([], ["", "1", "2"]),  # of a call that is not known nothing was asked
        ([(ASKS, "1")], ["1"]),
        ([(ASKS, None)], ["1", "2"]),  # an older program kept no digit
        ([(FREE, None)], ["", "1", "2"]),
        ([({}, None)], ["", "1", "2"]),
        ([(ASKS, "1"), (ASKS, "2")], ["1", "2"]),
        ([(FREE, None), (ASKS, "1")], ["", "1", "2"]),
        ([(ASKS, "1"), (FREE, None)], ["", "1", "2"]),
        ([({}, None), (ASKS, "1")], ["", "1", "2"]),
        ([(ASKS, "1"), ({}, None)], ["1"]),  # a second report, to which nothing is spoken
    ],
)
def test_a_call_is_taken_with_a_digit_that_one_of_its_greetings_asked_for(
    greetings: list[tuple[Wire, str | None]], accepted: list[str]
) -> None:
    call = UNKNOWN
    for reply, digit in greetings:
        call = call.after(DialCompleted(ID, "answered"), reply, 1000.0, digit)
    assert [digit for digit in ("", "1", "2") if call.accepts(digit)] == accepted


@pytest.mark.parametrize(
    ("reply", "refused"), [(DIAL, False), (Hangup(), True), (Speak("x"), True)]
)
def test_a_call_without_a_dial_was_refused(reply: Dial | Hangup | Speak, refused: bool) -> None:
    assert UNKNOWN.after(INCOMING, reply.to_wire(), 0).was_refused is refused
    assert not UNKNOWN.was_refused


def test_a_state_is_the_same_in_every_order() -> None:
    events: list[Event] = [
        INCOMING,
        DialCompleted(ID, "busy"),
        DialCompleted(ID, "answered"),
        CallCompleted(ID),
    ]
    expected = CallState(
        INCOMING,
        DIAL.to_wire(),
        1000.0,
        answered=True,
        failed=True,
        completed=True,
        asked=frozenset({NO_DIGIT}),
    )
    assert all(state(*order) == expected for order in permutations(events))
    assert not expected.dial_failed


def test_events_that_change_nothing_leave_the_state() -> None:
    for event in (
        CallLegCompleted(ID),
        UnknownEvent(ID, "x"),
        DialCompleted(ID, None),
    ):
        assert state(event) is UNKNOWN


@pytest.mark.parametrize("kind", [SpeakCompleted, PlayCompleted])
def test_all_keys_that_were_pressed_stay(kind: type[SpeakCompleted | PlayCompleted]) -> None:
    assert state(kind(ID, "")) == CallState(spoken=True)
    assert state(kind(ID, ""), kind(ID, "1"), kind(ID, "2")) == CallState(
        spoken=True, collected=frozenset("12")
    )


def test_the_memory_returns_the_state_before_each_event() -> None:
    calls = InMemoryCalls()
    assert deliver(calls, INCOMING, DIAL) is UNKNOWN
    assert deliver(calls, OTHER, Hangup()) == state(INCOMING)
    assert calls.state(ID) == state(INCOMING)


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    calls = InMemoryCalls(max_states=2)
    for reference_id in "abc":
        deliver(calls, CallCompleted(reference_id), NoAction())
    assert calls.state("a") is UNKNOWN
    assert calls.state("b").completed
    assert calls.state("c").completed


def test_copies_are_decided_one_after_another() -> None:
    """Without the lock, several would be decided before the first is remembered."""
    calls, knew = InMemoryCalls(), []
    barrier = threading.Barrier(8)

    def decide(call: CallState) -> Decision:
        time.sleep(0.01)
        return Decision(DIAL if call is UNKNOWN else Hangup())

    def deliver_copy() -> None:
        barrier.wait()
        knew.append(calls.answer(Delivery(INCOMING, b"", NOW), decide)[0])

    threads = [threading.Thread(target=deliver_copy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(call is UNKNOWN for call in knew) == [False] * 7 + [True]


def test_a_memory_alone_says_so_and_has_nothing_to_close() -> None:
    calls = InMemoryCalls()
    calls.close()
    assert calls.health() == {"call_log": "off"}
