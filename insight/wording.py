"""How TeleSign writes what it sends: which words, which forms, which members.

Each function answers one question of `live_check` from the evidence. No number is shown. No I/O.
"""

from collections import Counter

from call_log.records import StoredEvent
from calls import ANSWERED
from events import (
    CallCompleted,
    CallLegCompleted,
    DialCompleted,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
)
from insight.evidence import (
    PART_TIMES,
    Answer,
    Call,
    Evidence,
    Outcome,
    answer,
    data,
    is_connected,
    message,
    nothing,
    part_places,
    word,
)
from phone import NoNumber, PhoneNumber

_ENVELOPE = {"event", "reference_id", "external_id", "data"}
_NUMBERS = {"to", "from"}
_MEMBERS = {
    IncomingCall.name: _NUMBERS,
    DialCompleted.name: _NUMBERS | {"status"},
    SpeakCompleted.name: _NUMBERS | {"status", "collected_digits"},
    PlayCompleted.name: _NUMBERS | {"status", "collected_digits"},
    CallLegCompleted.name: _NUMBERS | {"status"},
    CallCompleted.name: _NUMBERS
    | {"status", "duration", "direction", "audio_recording_file_name", *PART_TIMES},
}
_KEYPAD = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999", strict=True))
_SPELT = {
    "".join(_KEYPAD[letter] for letter in name): name
    for name in ("ANONYMOUS", "BLOCKED", "PRIVATE", "RESTRICTED", "UNAVAILABLE", "UNKNOWN")
}


def meaning_of_to(found: Evidence) -> Answer:
    """Tell which part the dialled numbers play in the list."""
    values = [
        _part_of(each.event.dialled, found)
        for each in found.of(IncomingCall)
        if isinstance(each.event, IncomingCall)
    ]
    if not values:
        return nothing("call one of your virtual numbers")
    if "a destination" in values:
        to_do = "TeleSign sends the number that is wanted: add rows with it as `to`, and with"
        return answer(Outcome.DIFFERS, values, f"{to_do} an empty destination")
    if "a `to`" in values:
        others = {"no number", "not in the list"}.intersection(values)
        return answer(Outcome.MOSTLY_AS_ASSUMED if others else Outcome.AS_ASSUMED, values)
    return answer(Outcome.SEEN, values, "call a `to` that has another number as destination")


def _part_of(dialled: PhoneNumber | NoNumber, found: Evidence) -> str:
    if isinstance(dialled, NoNumber):
        return "no number"
    match dialled in found.dialled, dialled in found.destinations:
        case True, True:
            return "a `to` that is its own destination"
        case True, False:
            return "a `to`"
        case False, True:
            return "a destination"
        case _:
            return "not in the list"


def statuses(found: Evidence) -> Answer:
    """Return which words `dial_completed` has for a dial that failed."""
    seen = [
        each.event.status
        for each in found.of(DialCompleted)
        if isinstance(each.event, DialCompleted)
    ]
    values = ["no status" if each is None else word(each) for each in seen if each != ANSWERED]
    if "no status" in values:
        return answer(Outcome.DIFFERS, values, "such an event is answered with {}: no greeting")
    if not values:
        return nothing("call a phone that is busy, and one that nobody answers")
    if ANSWERED not in seen:
        to_do = "if one of these calls was answered, TeleSign's word for it is another one"
        return answer(Outcome.SEEN, values, to_do)
    return answer(Outcome.SEEN, values)


def withheld(found: Evidence) -> Answer:
    """Tell how a caller without a number is written."""
    values = [form for each in found.of(IncomingCall) if (form := _caller_form(each))]
    if not values:
        return nothing("call with your number withheld")
    if any(value.startswith("digits that spell") for value in values):
        to_do = "such a caller passes for a number: a row that is for any caller connects them"
        return answer(Outcome.DIFFERS, values, to_do)
    return answer(Outcome.SEEN, values)


def _caller_form(heard: StoredEvent) -> str:
    """Return how a caller without a number was written; empty for one who has a number."""
    if not isinstance(heard.event, IncomingCall) or not heard.body:
        return ""
    members = data(heard)
    sent = members.get("from")
    if "from" not in members:
        return "withheld: no `from`"
    if isinstance(sent, str) and (name := _SPELT.get(sent.strip().removeprefix("+"))):
        return f"digits that spell {name} on a keypad"
    if not isinstance(heard.event.caller, NoNumber):
        return ""
    return f"{heard.event.caller.value}: {_form(sent)}"


def _form(sent: object) -> str:
    if not isinstance(sent, str):
        return "null" if sent is None else type(sent).__name__
    if "@" in sent:  # an address may name a person
        return "an address with @"
    return f'"{word(sent)}"'


def layout(found: Evidence) -> Answer:
    """Return where `call_completed` has the legs of each connected call."""
    connected = filter(is_connected, found.calls)
    values = [where for call in connected if (where := _places(call))]
    if not values:
        return nothing("make a call that is connected, to its end")
    if any("no part's times" in where for where in values):
        to_do = "such a call has no times of TeleSign's: see `calls REFERENCE_ID --json --full`"
        return answer(Outcome.DIFFERS, values, to_do)
    return answer(Outcome.AS_ASSUMED, values)


def _places(call: Call) -> str:
    """Return where the parts of one call stand, for each `call_completed` that it has."""
    ends = [each for each in call if isinstance(each.event, CallCompleted) and each.body]
    counted = [Counter(part_places(data(each))) for each in ends]
    return "; then ".join(
        ", ".join(f"{count} at {place}" for place, count in sorted(each.items()))
        or "no part's times"
        for each in counted
    )


def news(found: Evidence) -> Answer:
    """Tell which events and members have come that this program does not know."""
    heard = [each for call in found.calls for each in call]
    if not heard:
        return nothing("make a call")
    values = [each for one in heard for each in _unknown(one)]
    if not values:
        return answer(Outcome.AS_ASSUMED, ["all known"] * len(heard))
    return answer(Outcome.SEEN, values, "read what TeleSign says of them: none has an effect here")


def _unknown(heard: StoredEvent) -> list[str]:
    name = heard.event.name
    if name not in _MEMBERS:
        return [f"the event {word(name)}"]
    outside = sorted(message(heard).keys() - _ENVELOPE)
    inside = sorted(data(heard).keys() - _MEMBERS[name])
    found = [*map(word, outside), *(f"data.{word(each)}" for each in inside)]
    return [f"{each} in {name}" for each in found]
