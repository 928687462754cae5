from itertools import permutations

import facts
import pytest
from conftest import START

from calls import UNKNOWN, Call, Moment, RecentCalls
from commands import Dial, Hangup, NoAction, Speak
from events import (
    CallCompleted,
    CallLegCompleted,
    DialCompleted,
    Event,
    IncomingCall,
    SpeakCompleted,
    UnknownEvent,
)
from phone import PhoneNumber

ID = facts.REFERENCE_ID
NOW = Moment(START, 1000.0)
INCOMING = IncomingCall(ID, PhoneNumber(facts.DIALLED), PhoneNumber(facts.CALLER))
OTHER = IncomingCall(ID, PhoneNumber(facts.DIALLED), PhoneNumber(facts.STRANGER))
DIAL = Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID))


def story(*events: Event) -> Call:
    call = UNKNOWN
    for event in events:
        call = call.after(event, DIAL if isinstance(event, IncomingCall) else NoAction(), NOW)
    return call


def test_the_first_incoming_call_and_its_reply_stay() -> None:
    call = UNKNOWN.after(INCOMING, DIAL, NOW).after(OTHER, Hangup(), Moment(START, 1100.0))
    assert call == Call(incoming=INCOMING, reply=DIAL, first_seen_s=1000.0)
    assert call.age_s(Moment(START, 1060.5)) == 60.5


@pytest.mark.parametrize(
    ("reply", "refused"), [(DIAL, False), (Hangup(), True), (Speak("x"), True)]
)
def test_a_call_without_a_dial_was_refused(reply: Dial | Hangup | Speak, refused: bool) -> None:
    assert UNKNOWN.after(INCOMING, reply, NOW).was_refused is refused
    assert not UNKNOWN.was_refused


def test_a_story_is_the_same_in_every_order() -> None:
    events: list[Event] = [
        INCOMING,
        DialCompleted(ID, "busy"),
        DialCompleted(ID, "answered"),
        CallCompleted(ID),
    ]
    expected = Call(INCOMING, DIAL, 1000.0, answered=True, failed=True, completed=True)
    assert {story(*order) for order in permutations(events)} == {expected}
    assert not expected.dial_failed


def test_events_that_change_nothing_leave_the_story() -> None:
    for event in (
        SpeakCompleted(ID, "1"),
        CallLegCompleted(ID),
        UnknownEvent(ID, "x"),
        DialCompleted(ID, None),
    ):
        assert story(event) is UNKNOWN


def test_the_memory_tells_what_it_was_told() -> None:
    calls = RecentCalls()
    assert calls.story(ID) is UNKNOWN
    assert calls.record(INCOMING, DIAL, NOW, known=UNKNOWN)
    assert calls.story(ID) == story(INCOMING)


def test_who_decided_on_an_older_story_has_to_decide_again() -> None:
    calls = RecentCalls()
    assert calls.record(INCOMING, DIAL, NOW, known=UNKNOWN)
    assert not calls.record(OTHER, DIAL, NOW, known=UNKNOWN)
    assert calls.story(ID).incoming == INCOMING


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    calls = RecentCalls(most=2)
    for reference_id in "abc":
        assert calls.record(CallCompleted(reference_id), NoAction(), NOW, known=UNKNOWN)
    assert calls.story("a") is UNKNOWN
    assert calls.story("b").completed
    assert calls.story("c").completed
