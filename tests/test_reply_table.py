"""What is answered to what: each row of the table, with the whole answer."""

from dataclasses import dataclass, field
from typing import Any

import facts
import pytest
from conftest import Clock, Door, Lines, payload, post

SPEAK_GREETING = {
    "method": "speak",
    "params": {"tts": {"message": "Your call is connected.", "language": "en-US"}},
}
SPEAK_AND_COLLECT = {
    "method": "speak",
    "params": {
        "tts": {"message": "Press 1 to take the call.", "language": "en-GB"},
        "collect_digits": {"max": 1, "timeout": 10000, "inter_digit_timeout": 3000},
    },
}


def speak(message: str) -> dict[str, Any]:
    return {"method": "speak", "params": {"tts": {"message": message, "language": "en-US"}}}


SCREENING = {
    "greeting": "Press 1 to take the call.",
    "accept_digit": "1",
    "language": "en-GB",
}
MESSAGES = {"refusal_message": "Not possible.", "unavailable_message": "Not there."}
SILENT = {"greeting": ""}

CONNECTED = ["incoming_call"]
ANSWERED = ["incoming_call", "dial_completed_answered"]
TALKING = [*ANSWERED, "speak_completed"]
ACCEPTED = [*ANSWERED, "speak_completed_digit_1"]
REFUSED = ["incoming_call_not_listed"]
FAILED = ["incoming_call", "dial_completed_busy"]


@dataclass
class Row:
    """After `before`, with these settings, the event gets the answer."""

    event: str
    answer: dict[str, Any]
    before: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)


ROWS = [
    Row("incoming_call", facts.DIAL),
    Row("incoming_call_withheld", facts.DIAL),
    Row("incoming_call_not_listed", facts.HANGUP),
    Row("incoming_call_not_listed", speak("Not possible."), [], MESSAGES),
    Row("dial_completed_answered", SPEAK_GREETING, CONNECTED),
    Row("dial_completed_answered", SPEAK_GREETING),
    Row("dial_completed_answered", SPEAK_AND_COLLECT, CONNECTED, SCREENING),
    Row("dial_completed_answered", facts.NO_ACTION, CONNECTED, SILENT),
    Row("dial_completed_busy", facts.HANGUP, CONNECTED),
    Row("dial_completed_busy", facts.HANGUP),
    Row("dial_completed_busy", speak("Not there."), CONNECTED, MESSAGES),
    Row("dial_completed_without_status", facts.NO_ACTION, CONNECTED, MESSAGES),
    Row("speak_completed", facts.HANGUP, REFUSED),
    Row("speak_completed", facts.HANGUP, REFUSED, MESSAGES),
    Row("speak_completed", facts.HANGUP, FAILED, MESSAGES),
    Row("speak_completed", facts.NO_ACTION, ANSWERED),
    Row("speak_completed", facts.NO_ACTION, CONNECTED),
    Row("speak_completed", facts.NO_ACTION),
    Row("speak_completed", facts.HANGUP, ANSWERED, SCREENING),
    Row("speak_completed", facts.HANGUP, [], SCREENING),
    Row("speak_completed_digit_1", facts.NO_ACTION, ANSWERED, SCREENING),
    Row("speak_completed_digit_1", facts.NO_ACTION, [], SCREENING),
    Row("speak_completed_digit_1", facts.HANGUP, ANSWERED, SCREENING | {"accept_digit": "2"}),
    Row("speak_completed_digit_1", facts.HANGUP, FAILED, SCREENING),
    Row("play_completed", facts.HANGUP, REFUSED),
    Row("play_completed", facts.HANGUP, FAILED),
    Row("play_completed", facts.NO_ACTION, ANSWERED),
    Row("play_completed", facts.NO_ACTION),
    Row("play_completed", facts.HANGUP, ANSWERED, SCREENING),
    Row("play_completed_digit_1", facts.NO_ACTION, ANSWERED, SCREENING),
    Row("call_leg_completed", facts.NO_ACTION, FAILED),
    Row("call_leg_completed", facts.HANGUP, ANSWERED),
    Row("call_leg_completed", facts.HANGUP, CONNECTED),
    Row("call_leg_completed", facts.HANGUP, REFUSED),
    Row("call_leg_completed", facts.HANGUP),
    Row("call_completed", facts.NO_ACTION, ANSWERED),
    Row("call_completed", facts.NO_ACTION, REFUSED),
    Row("call_completed", facts.NO_ACTION),
    Row("unknown_event", facts.NO_ACTION, ANSWERED),
    Row("unknown_event", facts.NO_ACTION, REFUSED, MESSAGES),
    Row("unknown_event", facts.NO_ACTION),
    Row("incoming_call", facts.DIAL, CONNECTED),
    Row("incoming_call", facts.DIAL, ANSWERED),
    Row("incoming_call_not_listed", speak("Not possible."), REFUSED, MESSAGES),
    Row("incoming_call", facts.HANGUP, [*ANSWERED, "call_completed"]),
    Row("incoming_call", facts.HANGUP, ["call_completed"]),
    Row("incoming_call_not_listed", facts.HANGUP, CONNECTED, MESSAGES),
    Row("incoming_call", facts.HANGUP, REFUSED, MESSAGES),
    # Late reports, and such as contradict each other: a call that was answered is left alone.
    Row("dial_completed_busy", facts.NO_ACTION, ANSWERED),
    Row("dial_completed_busy", facts.NO_ACTION, ANSWERED, MESSAGES),
    Row("dial_completed_busy", facts.NO_ACTION, TALKING, MESSAGES),
    Row("dial_completed_busy", facts.NO_ACTION, [*ANSWERED, "play_completed"], MESSAGES),
    Row("dial_completed_busy", facts.NO_ACTION, [*FAILED, "dial_completed_answered"], MESSAGES),
    Row("dial_completed_busy", facts.NO_ACTION, [*CONNECTED, "call_completed"], MESSAGES),
    Row("dial_completed_busy", facts.NO_ACTION, ["call_completed"]),
    Row("dial_completed_busy", speak("Not there."), FAILED, MESSAGES),
    Row("dial_completed_answered", SPEAK_GREETING, ANSWERED),
    Row("dial_completed_answered", facts.NO_ACTION, TALKING),
    Row("dial_completed_answered", facts.NO_ACTION, ACCEPTED, SCREENING),
    Row("dial_completed_without_status", facts.NO_ACTION, TALKING, MESSAGES),
    Row("speak_completed", facts.NO_ACTION, ACCEPTED, SCREENING),
    Row("play_completed", facts.NO_ACTION, ACCEPTED, SCREENING),
    Row("speak_completed", facts.HANGUP, TALKING, SCREENING),
    Row("speak_completed", facts.NO_ACTION, [*FAILED, "dial_completed_answered"]),
    Row("speak_completed", facts.NO_ACTION, [*ANSWERED, "dial_completed_busy"]),
    Row("call_leg_completed", facts.HANGUP, [*FAILED, "dial_completed_answered"]),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.event} after {row.before}")
def test_the_reply_table(row: Row, door: Door) -> None:
    app = door(**row.settings)
    for name in row.before:
        post(app, payload(name))
    assert post(app, payload(row.event)) == row.answer


def reasons(lines: Lines) -> list[str | None]:
    return [line.get("reason") for line in lines.read()]


def test_a_repeated_call_gets_the_same_answer_for_120_s(
    door: Door, clock: Clock, lines: Lines
) -> None:
    app = door()
    for sleep_s, answer in (0, facts.DIAL), (120, facts.DIAL), (0.001, facts.HANGUP):
        clock.sleep(sleep_s)
        assert post(app, payload("incoming_call")) == answer
    assert reasons(lines) == [None, None, "replayed"]


@pytest.mark.parametrize("jump_s", [-86_400, 31_536_000])
def test_the_wall_clock_cannot_widen_the_window(door: Door, clock: Clock, jump_s: int) -> None:
    app = door()
    assert post(app, payload("incoming_call")) == facts.DIAL
    clock.sleep(jump_s)
    clock.monotonic_s = 1121
    assert post(app, payload("incoming_call")) == facts.HANGUP


def test_a_call_repeated_after_its_end_is_replayed(door: Door, lines: Lines) -> None:
    app = door(**MESSAGES)
    for name in "incoming_call", "call_completed", "incoming_call":
        post(app, payload(name))
    assert reasons(lines) == [None, None, "replayed"]


def test_a_call_whose_end_came_first_is_replayed_and_with_other_numbers_conflicting(
    door: Door, lines: Lines
) -> None:
    post(door(), payload("call_completed"))
    app = door()
    for name in "call_completed", "incoming_call", "incoming_call", "incoming_call_withheld":
        post(app, payload(name))
    assert reasons(lines)[1:] == [None, "replayed", "replayed", "conflicting"]


def test_a_call_repeated_with_other_numbers_is_conflicting(door: Door, lines: Lines) -> None:
    app = door(**MESSAGES)
    for name in "incoming_call", "incoming_call_not_listed", "incoming_call_withheld":
        post(app, payload(name))
    assert reasons(lines) == [None, "conflicting", "conflicting"]


def test_a_repeated_call_whose_route_expired_meanwhile_is_refused(
    door: Door, clock: Clock, lines: Lines
) -> None:
    text = f"to,destination,expires\n{facts.DIALLED},{facts.DESTINATION},2026-11-23T12:01:00Z"
    app = door(text, **MESSAGES)
    assert post(app, payload("incoming_call"))["method"] == "dial"
    clock.sleep(60)
    assert post(app, payload("incoming_call")) == facts.HANGUP
    assert reasons(lines) == [None, "expired"]
