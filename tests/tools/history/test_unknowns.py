"""What real calls have shown of TeleSign: each question, in a table of logs and answers."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

import facts
import pytest
from helpers import ROOT, read_list
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_calls import event, of_file, stored

from records import StoredEvent, fold
from tools.history import signs
from tools.history.signs import Evidence, Sign, Verdict
from tools.history.unknowns import QUESTIONS, check, finding_of

Call = list[StoredEvent]
Look = Callable[[Evidence], Iterable[Sign]]

DIAL, HANGUP = facts.DIAL, facts.HANGUP
ASKS = {"method": "speak", "params": {"tts": {}, "collect_digits": {"max": 1}}}
LIST = f"{facts.ALLOW_LIST}12025550103,,,,,,itself\n"
IN = of_file("incoming_call", 0, DIAL)
ANSWERED = of_file("dial_completed_answered", 5)
BUSY = of_file("dial_completed_busy", 5)
SPOKEN = of_file("speak_completed", 8)
PLAYED = of_file("play_completed", 8)
LEG = of_file("call_leg_completed", 30, HANGUP)
END = of_file("call_completed", 60)
TIMES = {"created_on_utc": "2026-03-15T06:48:22", "answered_on_utc": "2026-03-15T06:48:24"}
OUT, INBOUND = {**TIMES, "direction": "outbound"}, {**TIMES, "direction": "inbound"}


def found(*calls: Call) -> Evidence:
    logged = [signs.Call(fold(stored), stored) for stored in calls]
    return Evidence(logged, read_list(LIST, caller_id_number=facts.MASKING_ID))


def dialled(to: Any) -> Call:
    return [event("incoming_call", 0, DIAL, to=to)]


def called_by(caller: Any) -> Call:
    return [event("incoming_call", 0, DIAL, to=facts.DIALLED, **{"from": caller})]


def at(name: str, seconds: float) -> StoredEvent:
    return of_file(name, seconds)


def end(**data: Any) -> StoredEvent:
    return event("call_completed", 60, None, **data)


def again(name: str, seconds: float) -> Call:
    return [event(name, 0, None, lasting_s=seconds)]


N, A, S, D = Verdict.NOTHING_YET, Verdict.AS_ASSUMED, Verdict.SEEN, Verdict.DIFFERS
CASES: list[tuple[Look, list[Call], Verdict, dict[str, int]]] = [
    (signs.meaning_of_to, [], N, {}),
    (signs.meaning_of_to, [dialled(facts.DIALLED)] * 2, A, {"a `to`": 2}),
    (signs.meaning_of_to, [dialled(facts.NOT_LISTED)], S, {"not in the list": 1}),
    (signs.meaning_of_to, [dialled("12025550103")], S, {"a `to` that is its own destination": 1}),
    (
        signs.meaning_of_to,
        [dialled(facts.DIALLED)] * 2 + [dialled(facts.NOT_LISTED)],
        S,
        {"a `to`": 2, "not in the list": 1},
    ),
    (
        signs.meaning_of_to,
        [dialled(facts.DIALLED), dialled("")],
        S,
        {"a `to`": 1, "not in the list": 1},
    ),
    (
        signs.meaning_of_to,
        [dialled(facts.DIALLED), dialled(facts.DESTINATION)],
        D,
        {"a `to`": 1, "a destination": 1},
    ),
    (signs.empty_answer, [[IN, END]], N, {}),
    (signs.empty_answer, [[IN, SPOKEN]], S, {"speak_completed, then nothing": 1}),
    (
        signs.empty_answer,
        [[IN, SPOKEN, END]],
        A,
        {"speak_completed, then call_completed within 60 s": 1},
    ),
    (
        signs.empty_answer,
        [[IN, ANSWERED, at("call_completed", 6)]] * 2,
        S,
        {"dial_completed, then call_completed within 1 s": 2},
    ),
    (
        signs.empty_answer,
        [[IN, ANSWERED, at("call_completed", 6)]] * 3,
        D,
        {"dial_completed, then call_completed within 1 s": 3},
    ),
    (
        signs.empty_answer,
        [[IN, PLAYED, of_file("call_leg_completed", 8.5)], [IN, PLAYED, LEG], [IN, PLAYED, END]],
        S,
        {
            "play_completed, then call_leg_completed within 1 s": 1,
            "play_completed, then call_leg_completed within 60 s": 1,
            "play_completed, then call_completed within 60 s": 1,
        },
    ),
    (
        signs.empty_answer,
        [[SPOKEN, at("call_completed", 9), IN]] * 3 + [[SPOKEN, at("call_completed", 1000)]],
        D,
        {
            "speak_completed, then call_completed within 1 s": 3,
            "speak_completed, then call_completed after more than 120 s": 1,
        },
    ),
    (
        signs.empty_answer,  # the newest first: five good calls with another `carry_on`
        [[SPOKEN, at("call_completed", 60)]] * 3
        + [[IN]]
        + [[SPOKEN, at("call_completed", 60)]] * 2
        + [[SPOKEN, at("call_completed", 8.5)]] * 9,
        A,
        {"speak_completed, then call_completed within 60 s": 5},
    ),
    (signs.dial_is_reported, [[IN], [IN, BUSY, end()]], N, {}),
    (signs.dial_is_reported, [[IN, ANSWERED]], A, {"it came": 1}),
    (
        signs.dial_is_reported,
        [[IN, ANSWERED], [IN, end(parts=[OUT, INBOUND])]],
        S,
        {"it came": 1, "connected without it": 1},
    ),
    (signs.dial_is_reported, [[IN, end(**OUT)]], D, {"connected without it": 1}),
    (signs.dial_is_reported, [[IN, end(**INBOUND)]], N, {}),
    (signs.statuses, [], N, {}),
    (signs.statuses, [[ANSWERED]], S, {"answered": 1}),
    (signs.statuses, [[ANSWERED], [BUSY], [BUSY]], S, {"answered": 1, "busy": 2}),
    (signs.statuses, [[BUSY]], S, {"busy": 1}),
    (
        signs.statuses,
        [[event("dial_completed", status="lost 12025550111")]],
        S,
        {"lost *******0111": 1},
    ),
    (signs.statuses, [[of_file("dial_completed_without_status")]], D, {"no status": 1}),
    (signs.withheld_numbers, [called_by(facts.CALLER)], N, {}),
    (signs.withheld_numbers, [[END]], N, {}),
    (signs.withheld_numbers, [called_by("")], S, {'withheld: ""': 1}),
    (signs.withheld_numbers, [called_by("anonymous")], S, {'withheld: "anonymous"': 1}),
    (signs.withheld_numbers, [called_by(None)], S, {"withheld: null": 1}),
    (signs.withheld_numbers, [dialled(facts.DIALLED)], S, {"withheld: no `from`": 1}),
    (signs.withheld_numbers, [called_by("sip:jo@example")], S, {"withheld: an address with @": 1}),
    (signs.withheld_numbers, [called_by("0012025550123")], S, {'bad: "*********0123"': 1}),
    (signs.withheld_numbers, [called_by(5)], S, {"bad: 5": 1}),
    (
        signs.withheld_numbers,
        [called_by("+266696687")],
        D,
        {"digits that spell ANONYMOUS on a keypad": 1},
    ),
    (signs.leg_end, [[IN]], N, {}),
    (signs.leg_end, [[IN, END]], S, {"call_completed without call_leg_completed": 1}),
    (signs.leg_end, [[IN, end()], [IN, BUSY, LEG, end()]], N, {}),
    (signs.leg_end, [[IN, ANSWERED, LEG]], S, {"hangup, then nothing": 1}),
    (signs.leg_end, [[IN, LEG, END]], A, {"hangup, then call_completed": 1}),
    (signs.digit_timeout, [[of_file("dial_completed_answered", 5, ASKS)]], N, {}),
    (
        signs.digit_timeout,
        [[of_file("dial_completed_answered", 5, ASKS), of_file("speak_completed_digit_1", 8)]],
        N,
        {},
    ),
    (
        signs.digit_timeout,
        [
            [of_file("dial_completed_answered", 5, ASKS), at("speak_completed", 18.5)],
            [of_file("dial_completed_answered", 5, ASKS), at("speak_completed", 17)],
        ],
        A,
        {"no key, done within 15 s": 2},
    ),
    (
        signs.digit_timeout,
        [[of_file("dial_completed_answered", 5, ASKS), at("speak_completed", 10_005)]],
        D,
        {"no key, done after more than 120 s": 1},
    ),
    (signs.layout, [[IN]], N, {}),
    (signs.layout, [[END]], A, {"outbound": 1}),
    (signs.layout, [[end(legs=[OUT, INBOUND])]], A, {"outbound, inbound": 1}),
    (
        signs.layout,
        [[end(a=OUT, b=INBOUND)], [end(**OUT), end(**INBOUND)]],
        A,
        {"outbound, inbound": 1, "outbound": 1, "inbound": 1},
    ),
    (signs.layout, [[end(duration=5)], [IN, BUSY, end(**INBOUND)]], N, {}),
    (signs.layout, [[ANSWERED, end(duration=5)]], D, {"no leg's times": 1}),
    (signs.repeats, [[IN, ANSWERED]], N, {}),
    (signs.repeats, [again("call_completed", 4)], S, {"call_completed, within 5 s": 1}),
    (
        signs.repeats,
        [again("call_completed", 400)],
        S,
        {"call_completed, after more than 120 s": 1},
    ),
    (signs.repeats, [again("incoming_call", 120)], S, {"incoming_call, within 120 s": 1}),
    (
        signs.repeats,
        [again("incoming_call", 121)],
        D,
        {"incoming_call, after more than 120 s": 1},
    ),
    (signs.news, [], N, {}),
    (signs.news, [[IN, ANSWERED, SPOKEN, PLAYED, LEG, END]], A, {"all known": 6}),
    (signs.news, [[of_file("unknown_event")]], S, {"the event call_transferred": 1}),
    (
        signs.news,
        [[stored(b'{"event": "dial_completed", "reference_id": "a", "data": [], "status": "x"}')]],
        S,
        {"no object `data` in dial_completed": 1, "status in dial_completed": 1},
    ),
    (
        signs.withheld_numbers,
        [[stored(b'{"event": "incoming_call", "reference_id": "a", "from": ""}')]],
        S,
        {'withheld: ""': 1},
    ),
    (
        signs.withheld_numbers,
        [[stored(b'{"event": "incoming_call", "reference_id": "a", "data": [1]}')]],
        S,
        {"withheld: no `from`": 1},
    ),
    (
        signs.news,
        [
            [event("incoming_call", to="", new=1)],
            [stored(b'{"event": "play_completed", "reference_id": "a", "data": {}, "at": 3}')],
        ],
        S,
        {"data.new in incoming_call": 1, "at in play_completed": 1},
    ),
]


@pytest.mark.parametrize(("look", "calls", "outcome", "values"), CASES)
def test_a_question_is_answered_from_the_calls(
    look: Look, calls: list[Call], outcome: Verdict, values: dict[str, int]
) -> None:
    (question,) = [question for question in QUESTIONS if question.look is look]
    answer = finding_of(question, found(*calls))
    assert (answer.outcome, answer.values) == (outcome, values)
    assert answer.events == sum(values.values())
    assert bool(answer.to_do) == (outcome is not A)


def test_a_purged_call_is_no_evidence() -> None:
    purged = replace(END, body="")
    assert [answer.outcome for question, answer in check(found([purged])) if question.look] == [
        N
    ] * 10


def test_the_page_and_the_command_have_the_same_questions_in_the_same_order() -> None:
    page = (ROOT / "docs/unknowns.md").read_text()
    _, _, *rows = [line for line in page.splitlines() if line.startswith("|")]
    for row, question in zip(rows, QUESTIONS, strict=True):
        assert row.startswith(f"| {question.unknown}")


def test_what_no_log_can_tell_is_said_with_how_to_find_out() -> None:
    answered = check(found([IN, ANSWERED, SPOKEN, LEG, END]))
    by_hand = [(q, answer) for q, answer in answered if answer.outcome is Verdict.NOT_IN_A_LOG]
    assert len(by_hand) == 6
    assert all(answer.to_do and not answer.values for _, answer in by_hand)


def test_at_most_twelve_values_are_shown_and_all_are_counted() -> None:
    calls = [[event("dial_completed", status=f"s{n}")] for n in range(30)]
    answers = [
        answer for question, answer in check(found(*calls)) if question.look is signs.statuses
    ]
    assert [(answer.events, len(answer.values)) for answer in answers] == [(30, 12)]


texts = st.one_of(
    st.just(facts.CALLER),
    st.just(f"sip:+{facts.CALLER}@example"),
    st.text("abc0123456789 +-()", max_size=30),
)
bodies = st.builds(
    lambda name, data: stored(
        json.dumps({"event": name, "reference_id": "a", "data": data}).encode()
    ),
    st.one_of(
        st.sampled_from(["incoming_call", "dial_completed", "speak_completed", "call_completed"]),
        st.just(f"x{facts.CALLER}"),
    ),
    st.dictionaries(
        st.one_of(st.sampled_from(["to", "from", "status", "created_on_utc"]), texts), texts
    ),
)


@settings(max_examples=50)
@given(st.lists(st.lists(bodies, min_size=1, max_size=4), max_size=4))
def test_no_answer_holds_a_number(calls: list[Call]) -> None:
    for _, answer in check(found(*calls)):
        assert re.search("[0-9]{7}", json.dumps(asdict(answer))) is None
