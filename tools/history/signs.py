"""What stored events show of TeleSign: what it sends, in which words, and what follows our answers.

Each function answers one question of `live_check`: it yields, of each event or call that has to do
with it, whether that is as assumed, and what was seen in words. No number is shown: texts of
TeleSign's own pass through `word`. No I/O, no clock: the times are those at which the events came.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import chain, islice, zip_longest
from typing import Any, NamedTuple

import phone
from calls import ANSWERED
from commands import asks_for_digit
from events import (
    CallCompleted,
    CallLegCompleted,
    DialCompleted,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
    UnknownEvent,
    members_of,
)
from phone import NoNumber
from records import CallRecord, Disposition, StoredEvent
from routing import REPEAT_WINDOW_S, AllowList
from tools.history.fields import decode

SUSPICIOUS_S = 1.0
"""A call that ends so soon after an answer of `{}` was perhaps ended by it."""

MIN_SUDDEN_ENDS = 3
"""Fewer sudden ends are no sign: a person may hang up at any time."""

LAST_CALLS = 5
"""Only the last calls that were answered `{}` count: those before may have got the other form of
`carry_on`, and the log keeps `{}` for either."""

MAX_WAIT_S = 60.0
"""A message and ten seconds for a key take less; the same figure in seconds would take hours."""

_ENVELOPE = {"event", "reference_id", "external_id", "data"}
_DATA = {"to", "from", "status", "collected_digits", "duration", "direction"}
_DATA |= {"created_on_utc", "answered_on_utc", "ended_on_utc", "audio_recording_file_name"}
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_SPELT = {
    name.translate(_KEYPAD): name
    for name in ("ANONYMOUS", "BLOCKED", "PRIVATE", "RESTRICTED", "UNAVAILABLE", "UNKNOWN")
}


class Verdict(StrEnum):
    """What the log says of a question."""

    NOTHING_YET = "nothing yet"
    AS_ASSUMED = "as assumed"
    SEEN = "seen"
    DIFFERS = "look at this"
    NOT_IN_A_LOG = "no log can tell"


Sign = tuple[Verdict, str]


class Call(NamedTuple):
    """A call of the log: its record, and its events in the order in which they were kept."""

    record: CallRecord
    events: Sequence[StoredEvent]

    @property
    def is_dialled(self) -> bool:
        """Whether the call was answered with a dial."""
        return self.record.masking_id is not None

    @property
    def is_answered(self) -> bool:
        """Whether the called person answered."""
        took = (Disposition.CONNECTED, Disposition.DECLINED)
        return self.record.status == ANSWERED or self.record.disposition in took


class Evidence(NamedTuple):
    """The calls to look at, and the list by which they are answered now."""

    calls: Sequence[Call]
    allow_list: AllowList

    def events(self) -> Iterator[StoredEvent]:
        """Yield the events of all calls but purged ones, of which nothing is left to see."""
        return (kept for call in self.calls for kept in call.events if kept.body)


def meaning_of_to(found: Evidence) -> Iterator[Sign]:
    """Yield which part each dialled number plays in the list."""
    dialled = {route.dialled for route in found.allow_list}
    destinations = {route.destination for route in found.allow_list}
    parts = {
        (True, False): (Verdict.AS_ASSUMED, "a `to`"),
        (True, True): (Verdict.SEEN, "a `to` that is its own destination"),
        (False, True): (Verdict.DIFFERS, "a destination"),
        (False, False): (Verdict.SEEN, "not in the list"),
    }
    for kept in found.events():
        if isinstance(kept.event, IncomingCall):
            number = kept.event.dialled
            yield parts[number in dialled, number in destinations]


def empty_answer(found: Evidence) -> Iterator[Sign]:
    """Yield what followed an answer of `{}` to an event of the last live calls, and how soon."""
    kinds = (DialCompleted, SpeakCompleted, PlayCompleted)
    calls = (
        [
            (kept, then)
            for kept, then in _with_next(call)
            if isinstance(kept.event, kinds) and kept.reply == {}
        ]
        for call in found.calls
    )
    after = list(chain.from_iterable(islice(filter(None, calls), LAST_CALLS)))
    ends = Counter(_is_sudden_end(kept, then) for kept, then in after if then)
    is_sign = ends[True] >= max(ends[False], MIN_SUDDEN_ENDS)
    for kept, then in after:
        if then is None:
            yield Verdict.SEEN, f"{kept.event.name}, then nothing"
            continue
        outcome = Verdict.AS_ASSUMED
        if _is_sudden_end(kept, then):
            outcome = Verdict.DIFFERS if is_sign else Verdict.SEEN
        what = f"{word(then.event.name)} {_distance(_seconds(kept, then))}"
        yield outcome, f"{kept.event.name}, then {what}"


def _is_sudden_end(kept: StoredEvent, then: StoredEvent) -> bool:
    is_end = isinstance(then.event, CallCompleted | CallLegCompleted)
    return is_end and _seconds(kept, then) <= SUSPICIOUS_S


def dial_is_reported(found: Evidence) -> Iterator[Sign]:
    """Yield whether `dial_completed` came for each dial that connected two people."""
    connected = [call for call in found.calls if call.is_answered and call.is_dialled]
    came = [
        any(isinstance(kept.event, DialCompleted) for kept in call.events) for call in connected
    ]
    missing = Verdict.SEEN if any(came) else Verdict.DIFFERS
    for is_reported in came:
        yield (Verdict.AS_ASSUMED, "it came") if is_reported else (missing, "connected without it")


def statuses(found: Evidence) -> Iterator[Sign]:
    """Yield the status of each dial."""
    for kept in found.events():
        if isinstance(kept.event, DialCompleted):
            status = kept.event.status
            yield (Verdict.DIFFERS, "no status") if status is None else (Verdict.SEEN, word(status))


def withheld_numbers(found: Evidence) -> Iterator[Sign]:
    """Yield how each caller without a number is written."""
    for kept in found.events():
        if isinstance(kept.event, IncomingCall):
            data, caller = _data(kept), kept.event.caller
            if name := _SPELT.get(str(data.get("from")).strip().removeprefix("+")):
                yield Verdict.DIFFERS, f"digits that spell {name} on a keypad"
            elif isinstance(caller, NoNumber):
                yield Verdict.SEEN, f"{caller.value}: {_form(data)}"


def _form(data: dict[str, Any]) -> str:
    if "from" not in data:
        return "no `from`"
    text = json.dumps(data["from"])
    return "an address with @" if "@" in text else word(text)  # which may name a person


def leg_end(found: Evidence) -> Iterator[Sign]:
    """Yield what followed our `hangup` in answer to `call_leg_completed` of an answered call."""
    for call in filter(lambda call: call.is_answered, found.calls):
        followed = [
            then
            for kept, then in _with_next(call)
            if isinstance(kept.event, CallLegCompleted) and kept.reply.get("method") == "hangup"
        ]
        for then in followed:
            if then:
                yield Verdict.AS_ASSUMED, f"hangup, then {word(then.event.name)}"
            else:
                yield Verdict.SEEN, "hangup, then nothing"
        if not followed and call.is_dialled and call.record.ended:
            yield Verdict.SEEN, "call_completed without call_leg_completed"


def digit_timeout(found: Evidence) -> Iterator[Sign]:
    """Yield how long TeleSign waited for each digit that nobody pressed."""
    for call in found.calls:
        for asked, then in _with_next(call):
            if asks_for_digit(asked.reply) and then and _says_no_digit(then):
                wait_s = _seconds(asked, then)
                outcome = Verdict.DIFFERS if wait_s > MAX_WAIT_S else Verdict.AS_ASSUMED
                yield outcome, f"no key, done {_distance(wait_s)}"


def _says_no_digit(kept: StoredEvent) -> bool:
    return isinstance(kept.event, SpeakCompleted) and not kept.event.collected_digits


def layout(found: Evidence) -> Iterator[Sign]:
    """Yield which legs each `call_completed` of a connected call has."""
    for call in filter(lambda call: call.is_answered, found.calls):
        for kept in call.events:
            if isinstance(kept.event, CallCompleted) and kept.body:
                legs = ", ".join(word(leg.direction or "unknown") for leg in kept.event.legs)
                yield (Verdict.AS_ASSUMED, legs) if legs else (Verdict.DIFFERS, "no leg's times")


def repeats(found: Evidence) -> Iterator[Sign]:
    """Yield which events came again, byte for byte, and how long after the first time."""
    for kept in found.events():
        if kept.deliveries > 1:
            apart_s = (kept.last_seen - kept.first_seen).total_seconds()
            is_replay = isinstance(kept.event, IncomingCall) and apart_s > REPEAT_WINDOW_S
            outcome = Verdict.DIFFERS if is_replay else Verdict.SEEN
            yield outcome, f"{word(kept.event.name)}, {_distance(apart_s)}"


def news(found: Evidence) -> Iterator[Sign]:
    """Yield which events and members have come that this program does not know."""
    for kept in found.events():
        name = word(kept.event.name)
        if isinstance(kept.event, UnknownEvent):
            yield Verdict.SEEN, f"the event {name}"
            continue
        message = decode(kept.body)
        if not isinstance(message, dict):
            yield Verdict.SEEN, f"a member nested too deeply in {name}"
            continue
        unknown = [word(member) for member in message.keys() - _ENVELOPE]
        if isinstance(message.get("data"), dict):
            unknown += [f"data.{word(member)}" for member in message["data"].keys() - _DATA]
        else:
            unknown.append("no object `data`")
        for member in sorted(unknown):
            yield Verdict.SEEN, f"{member} in {name}"
        if not unknown:
            yield Verdict.AS_ASSUMED, "all known"


def _with_next(call: Call) -> Iterator[tuple[StoredEvent, StoredEvent | None]]:
    """Return every event of a call with what came next, `None` after the last."""
    return zip_longest(call.events, call.events[1:])


def _data(kept: StoredEvent) -> dict[str, Any]:
    """Return the members of an event, as they came."""
    message = decode(kept.body)
    return members_of(message) if isinstance(message, dict) else {}


def _seconds(kept: StoredEvent, then: StoredEvent) -> float:
    return (then.first_seen - kept.first_seen).total_seconds()


def _distance(distance_s: float) -> str:
    """Return a distance as one of a few, so that alike ones can be counted together."""
    limits = (1, 5, 15, 60, REPEAT_WINDOW_S)
    limit = next((limit for limit in limits if distance_s <= limit), None)
    return f"within {limit} s" if limit else f"after more than {REPEAT_WINDOW_S} s"


def word(text: str) -> str:
    """Return a word of TeleSign's without a number in it, and not without end."""
    return phone.mask_digits(text)[:40]
