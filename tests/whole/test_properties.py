"""The two things that are never allowed to happen, whatever the list and the order of events."""

import json
from datetime import timedelta
from itertools import product
from typing import Any

from helpers import START
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from call_log.memory import InMemoryCalls
from calls import UNKNOWN, CallState, Decision, Delivery, Timestamp
from commands import Command, Dial, Hangup, NoAction, Prompts, Speak
from events import (
    CallCompleted,
    CallLegCompleted,
    DialCompleted,
    Event,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
    UnknownEvent,
    parse,
)
from phone import NoNumber, PhoneNumber
from routing import AllowList, AllowListError, Reason, Route, decide

# Few numbers, so that they meet in every part: caller, dialled, destination and masking ID.
numbers = st.sampled_from([PhoneNumber(f"1202555010{digit}") for digit in range(8)])
no_numbers = [
    NoNumber.WITHHELD,
    NoNumber("bad"),
    *(NoNumber("bad", f"1202555010{digit}0001") for digit in range(8)),
]
parties = numbers | st.sampled_from(no_numbers)
ids = st.sampled_from(["one", "two"])
digits = st.sampled_from(["", "1", "2"])
expiries = st.none() | st.integers(-200, 200).map(lambda s: START + timedelta(seconds=s))
keys = st.none() | st.text("0123456789ABCD*#w", min_size=1, max_size=32)
# Numbers too: what a row says may never become a number that is called or shown.
external_ids = st.none() | numbers | st.text(" order-1234", min_size=1, max_size=64)
greetings = st.none() | numbers | st.just("Your driver is calling. Press 1 or 2.")
languages = st.none() | st.just("de-DE")
events = st.one_of(
    st.builds(IncomingCall, ids, parties, parties),
    st.builds(DialCompleted, ids, st.sampled_from([None, "", "answered", "busy"])),
    st.builds(SpeakCompleted, ids, digits),
    st.builds(PlayCompleted, ids, digits),
    st.builds(CallLegCompleted, ids),
    st.builds(CallCompleted, ids),
    st.builds(UnknownEvent, ids, st.just("something_new")),
)
screening: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"greeting": NoAction()},
        {"greeting": Speak("Hello")},
        {"greeting": Speak("Press 1.", collect_digit=True), "accept_digit": "1"},
        {"greeting": Speak("Press 2.", collect_digit=True), "accept_digit": "2"},
    ]
)
scripts = st.builds(
    lambda greeted, **others: Prompts(**greeted, **others),
    screening,
    refusal=st.just(Hangup()) | st.just(Speak("No")),
    refusals=st.just({}) | st.just({Reason.EXPIRED: Speak("Over")}),
    unavailable=st.just(Hangup()) | st.just(Speak("Away")),
)


SPOKEN = {"Hello", "Press 1.", "Press 2.", "No", "Over", "Away"}


@st.composite
def routes(draw: st.DrawFn) -> Route:
    destination, masking_id = draw(
        st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1])
    )
    own = {"send_dtmf": draw(keys), "external_id": draw(external_ids)}
    dial = Dial(destination, masking_id, draw(st.none() | st.integers(1, 14400)), **own)
    key = draw(numbers), draw(st.none() | numbers)
    return Route(*key, dial, draw(expiries), 0, draw(greetings), draw(languages))


@st.composite
def allow_lists(draw: st.DrawFn) -> AllowList:
    """Any list that can be built: rows that cannot stand beside the earlier ones are left out."""
    standing: list[Route] = []
    for route in draw(st.lists(routes(), max_size=8)):
        try:
            AllowList([*standing, route])
        except AllowListError:
            continue
        standing.append(route)
    return AllowList(standing, refuses_withheld=draw(st.booleans()))


def check(event: Event, decision: Decision, allow_list: AllowList) -> None:
    """Hold one decision against everything that is promised of it."""
    command = decision.command
    people = {route.destination for route in allow_list} | {route.caller for route in allow_list}
    assert isinstance(command, Dial | Speak | Hangup | NoAction)
    if isinstance(command, Dial):
        assert isinstance(event, IncomingCall)
        wire = command.to_wire()["params"]
        assert isinstance(wire, dict)
        assert wire["to"] in {route.destination for route in allow_list}
        assert wire["caller_id_number"] in {route.masking_id for route in allow_list}
        assert wire["caller_id_number"] not in people
        assert wire["caller_id_number"] != event.caller
        assert wire["to"] != event.caller
        assert not (allow_list.refuses_withheld and isinstance(event.caller, NoNumber))
        assert command in [r.dial for r in allow_list if r.line == decision.row_line]
        assert decision.reason is None
    elif isinstance(event, IncomingCall):
        assert isinstance(decision.reason, Reason)
        assert not isinstance(command, NoAction)
    else:
        assert decision == Decision(command, accept_digit=decision.accept_digit)
        assert not isinstance(command, Speak) or command.message in SPOKEN | {
            route.greeting for route in allow_list
        }


def may_act_on_a_live_call(event: Event, call: CallState, asked: set[str | None]) -> bool:
    """Tell whether an answer to this event may end a call that was answered, or speak into it.

    `asked` are the digits that its greetings asked for, `None` for a greeting that asked for none.
    """
    match event:
        case SpeakCompleted(collected_digits=pressed):
            return bool(asked) and not asked & {None, pressed, *call.collected}
        case DialCompleted(status="answered"):
            return not call.spoken  # the greeting, for an event that is delivered again
        case _:
            return isinstance(event, CallLegCompleted | IncomingCall)


class AnyCall(RuleBasedStateMachine):
    """Events in any order, lists swapped between them, time passing."""

    @initialize(allow_list=allow_lists(), script=scripts)
    def start(self, allow_list: AllowList, script: Prompts) -> None:
        self.allow_list = allow_list
        self.script = script
        self.calls = InMemoryCalls()
        self.elapsed_s = 0
        self.dials: dict[str, set[Command]] = {}
        self.asked: dict[str, set[str | None]] = {}

    @rule(script=scripts)
    def start_again_with_other_settings(self, script: Prompts) -> None:
        self.script = script

    @rule(allow_list=allow_lists())
    def swap_the_list(self, allow_list: AllowList) -> None:
        self.allow_list = allow_list

    @rule(seconds=st.sampled_from([1, 60, 120, 121]))
    def wait(self, seconds: int) -> None:
        self.elapsed_s += seconds

    @precondition(lambda self: len(self.allow_list) > 0)
    @rule(data=st.data(), reference_id=ids, other_caller=parties)
    def call_along_a_route(
        self, data: st.DataObject, reference_id: str, other_caller: PhoneNumber | NoNumber
    ) -> None:
        route = data.draw(st.sampled_from(list(self.allow_list)))
        self.deliver(IncomingCall(reference_id, route.dialled, route.caller or other_caller), 1)

    @rule(event=events, copies=st.integers(1, 3))
    def deliver_anything(self, event: Event, copies: int) -> None:
        self.deliver(event, copies)

    def deliver(self, event: Event, copies: int) -> None:
        now = Timestamp(START + timedelta(seconds=self.elapsed_s), 1000.0 + self.elapsed_s)
        for _ in range(copies):
            call, decision = self.calls.answer(
                Delivery(event, b"", now),
                lambda call: decide(event, call, self.allow_list, self.script, now),
            )
            check(event, decision, self.allow_list)
            if call.answered and not call.was_refused and decision.command != NoAction():
                asked = self.asked.get(event.reference_id, set())
                assert may_act_on_a_live_call(event, call, asked), event
            asked = self.asked.setdefault(event.reference_id, set())
            if isinstance(event, SpeakCompleted) and asked and not call.was_refused:
                taken = bool(asked & {None, event.collected_digits, *call.collected})
                assert (decision.command == NoAction()) == taken
            if event == DialCompleted(event.reference_id, "answered"):
                is_greeted = isinstance(decision.command, Speak)
                if (
                    is_greeted or not asked
                ):  # a second report, to which nothing is spoken, asks nothing
                    asked.add(self.script.accept_digit if is_greeted else None)
            if isinstance(decision.command, Dial):
                assert not call.completed
                self.dials.setdefault(event.reference_id, set()).add(decision.command)
                assert len(self.dials[event.reference_id]) == 1


AnyCall.TestCase.settings = settings(max_examples=50, stateful_step_count=20)
test_any_events_in_any_order = AnyCall.TestCase


@settings(max_examples=50)
@given(allow_lists())
def test_a_route_is_found_only_for_its_own_calls(allow_list: AllowList) -> None:
    every: list[PhoneNumber | NoNumber] = [PhoneNumber(f"1202555010{digit}") for digit in range(8)]
    every += no_numbers
    for dialled, caller in product(every, repeat=2):
        found = allow_list.find(dialled, caller, START)
        if isinstance(found, Route):
            assert found in list(allow_list)
            assert found.dialled == dialled
            assert found.caller in (caller, None)
            assert found.destination not in {*allow_list.own_numbers, caller}
            assert found.masking_id in allow_list.own_numbers
            assert found.expires is None or found.expires > START
            if isinstance(caller, NoNumber):
                assert found.caller is None
                assert not allow_list.refuses_withheld
                assert not caller.holds_any({*allow_list.own_numbers, found.destination})


written = numbers | st.sampled_from(
    [None, "", 12025550100, ["12025550101"], "anonymous", "sip:12025550102@example.com"]
    + [f"{before}202555010{digit}" for before in ("", "001", "011 1 ", "+1") for digit in range(8)]
)
members = st.fixed_dictionaries({}, optional={"to": written, "from": written})


@settings(max_examples=200)
@given(
    allow_lists(),
    st.builds(
        lambda beside, data: beside | data,
        members,
        members
        | st.fixed_dictionaries(
            {"data": members | st.none() | st.lists(members, max_size=2) | st.text(max_size=3)}
        ),
    ),
    st.sampled_from(["", "1", "44"]),
)
def test_an_event_in_any_form_is_answered_by_the_list_alone(
    allow_list: AllowList, form: dict[str, object], home_country_code: str
) -> None:
    message = {"event": "incoming_call", "reference_id": "one", **form}
    event = parse(json.dumps(message).encode(), home_country_code=home_country_code)
    now = Timestamp(START, 1000.0)
    check(event, decide(event, UNKNOWN, allow_list, Prompts(), now), allow_list)


def test_a_repeat_that_today_would_dial_elsewhere_is_refused() -> None:
    one, two, mask, dialled, caller = (PhoneNumber(f"1202555010{n}") for n in range(5))
    event = IncomingCall("one", dialled, caller)
    now = Timestamp(START, 1000.0)
    before, after = (AllowList([Route(dialled, None, Dial(to, mask))]) for to in (one, two))
    calls, delivery = InMemoryCalls(), Delivery(event, b"", now)
    _, first = calls.answer(delivery, lambda call: decide(event, call, before, Prompts(), now))
    _, again = calls.answer(delivery, lambda call: decide(event, call, after, Prompts(), now))
    assert first.command == Dial(one, mask)
    assert again == Decision(Hangup(), reason=Reason.CONFLICTING)
