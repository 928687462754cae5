"""What is answered to what: each row of the table, with the whole answer."""

from dataclasses import dataclass, field
from typing import Any

import facts

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
class Case:
    """After `before`, with these settings, the event gets the answer."""

    event: str
    answer: dict[str, Any]
    before: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)


CASES = [
    Case("incoming_call", facts.DIAL),
    Case("incoming_call_withheld", facts.DIAL),
    Case("incoming_call_not_listed", facts.HANGUP),
    Case("incoming_call_not_listed", speak("Not possible."), [], MESSAGES),
    Case("dial_completed_answered", SPEAK_GREETING, CONNECTED),
    Case("dial_completed_answered", SPEAK_GREETING),
    Case("dial_completed_answered", SPEAK_AND_COLLECT, CONNECTED, SCREENING),
    Case("dial_completed_answered", facts.NO_ACTION, CONNECTED, SILENT),
    Case("dial_completed_busy", facts.HANGUP, CONNECTED),
    Case("dial_completed_busy", facts.HANGUP),
    Case("dial_completed_busy", speak("Not there."), CONNECTED, MESSAGES),
    Case("dial_completed_without_status", facts.NO_ACTION, CONNECTED, MESSAGES),
    Case("speak_completed", facts.HANGUP, REFUSED),
    Case("speak_completed", facts.HANGUP, REFUSED, MESSAGES),
    Case("speak_completed", facts.HANGUP, FAILED, MESSAGES),
    Case("speak_completed", facts.NO_ACTION, ANSWERED),
    Case("speak_completed", facts.NO_ACTION, CONNECTED),
    Case("speak_completed", facts.NO_ACTION),
    Case("speak_completed", facts.HANGUP, ANSWERED, SCREENING),
    Case("speak_completed", facts.NO_ACTION, [], SCREENING),
    Case("speak_completed_digit_1", facts.NO_ACTION, ANSWERED, SCREENING),
    Case("speak_completed_digit_1", facts.NO_ACTION, [], SCREENING),
    Case("speak_completed_digit_1", facts.HANGUP, ANSWERED, SCREENING | {"accept_digit": "2"}),
    Case("speak_completed_digit_1", facts.HANGUP, FAILED, SCREENING),
    Case("play_completed", facts.HANGUP, REFUSED),
    Case("play_completed", facts.HANGUP, FAILED),
    Case("play_completed", facts.NO_ACTION, ANSWERED),
    Case("play_completed", facts.NO_ACTION),
    Case("play_completed", facts.HANGUP, ANSWERED, SCREENING),
    Case("play_completed_digit_1", facts.NO_ACTION, ANSWERED, SCREENING),
    Case("call_leg_completed", facts.NO_ACTION, FAILED),
    Case("call_leg_completed", facts.HANGUP, ANSWERED),
    Case("call_leg_completed", facts.HANGUP, CONNECTED),
    Case("call_leg_completed", facts.HANGUP, REFUSED),
    Case("call_leg_completed", facts.HANGUP),
    Case("call_completed", facts.NO_ACTION, ANSWERED),
    Case("call_completed", facts.NO_ACTION, REFUSED),
    Case("call_completed", facts.NO_ACTION),
    Case("unknown_event", facts.NO_ACTION, ANSWERED),
    Case("unknown_event", facts.NO_ACTION, REFUSED, MESSAGES),
    Case("unknown_event", facts.NO_ACTION),
    Case("incoming_call", facts.DIAL, CONNECTED),
    Case("incoming_call", facts.DIAL, ANSWERED),
    Case("incoming_call_not_listed", speak("Not possible."), REFUSED, MESSAGES),
    Case("incoming_call", facts.HANGUP, [*ANSWERED, "call_completed"]),
    Case("incoming_call", facts.HANGUP, ["call_completed"]),
    Case("incoming_call_not_listed", facts.HANGUP, CONNECTED, MESSAGES),
    Case("incoming_call", facts.HANGUP, REFUSED, MESSAGES),
    # Late reports, and such as contradict each other: a call that was answered is left alone.
    Case("dial_completed_busy", facts.NO_ACTION, ANSWERED),
    Case("dial_completed_busy", facts.NO_ACTION, ANSWERED, MESSAGES),
    Case("dial_completed_busy", facts.NO_ACTION, TALKING, MESSAGES),
    Case("dial_completed_busy", facts.NO_ACTION, [*ANSWERED, "play_completed"], MESSAGES),
    Case("dial_completed_busy", facts.NO_ACTION, [*FAILED, "dial_completed_answered"], MESSAGES),
    Case("dial_completed_busy", facts.NO_ACTION, [*CONNECTED, "call_completed"], MESSAGES),
    Case("dial_completed_busy", facts.NO_ACTION, ["call_completed"]),
    Case("dial_completed_busy", speak("Not there."), FAILED, MESSAGES),
    Case("dial_completed_answered", SPEAK_GREETING, ANSWERED),
    Case("dial_completed_answered", facts.NO_ACTION, TALKING),
    Case("dial_completed_answered", facts.NO_ACTION, ACCEPTED, SCREENING),
    Case("dial_completed_without_status", facts.NO_ACTION, TALKING, MESSAGES),
    Case("speak_completed", facts.NO_ACTION, ACCEPTED, SCREENING),
    Case("play_completed", facts.NO_ACTION, ACCEPTED, SCREENING),
    Case("speak_completed", facts.HANGUP, TALKING, SCREENING),
    Case("speak_completed", facts.NO_ACTION, [*FAILED, "dial_completed_answered"]),
    Case("speak_completed", facts.NO_ACTION, [*ANSWERED, "dial_completed_busy"]),
    Case("call_leg_completed", facts.HANGUP, [*FAILED, "dial_completed_answered"]),
]
