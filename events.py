"""What TeleSign says: a frozen class for each event, and `parse`, the only way to get one.

No I/O and no opinion: this file says what arrived, `routing` decides what it means. TeleSign's own
spelling of members appears only in `parse` and its helpers. What TeleSign does not document is read
as loosely as is safe: unknown members are ignored, missing ones are `None` or empty.

Sources: TeleSign, "Voice - Events" (developer.telesign.com/enterprise/reference/voice-events); the
guide "Set Up a Call with Number Masking"; TeleSign/voice_server_demo for what neither page shows.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

import phone
from phone import NoNumber, PhoneNumber

_UNCLEAN = re.compile("[\0\ud800-\udfff]")
_MAX_NUMBER_LENGTH = 100
_MAX_SHAPE_LENGTH = 400
_MAX_SHAPE_DEPTH = 3
_TYPE = {str: "text", int: "number", float: "number", bool: "boolean", dict: "object", list: "list"}
_TIMES = ("created_on_utc", "answered_on_utc", "ended_on_utc")

_Reader = Callable[[object], PhoneNumber | NoNumber]


class EventError(Exception):
    """The request is no event. `word` is for the answer, `cause` (without values) for its line.

    `shape` is what came instead, as far as it is JSON: names and types, without a value.
    """

    def __init__(self, word: str, cause: str) -> None:
        super().__init__(cause)
        self.word, self.cause, self.shape = word, cause, ""


@dataclass(frozen=True, slots=True)
class _Event:
    """What all events have. TeleSign echoes the `external_id` of a dial from the next one on.

    An event is equal to itself without it. Source: Voice - Events.
    """

    reference_id: str
    external_id: str | None = field(default=None, kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class IncomingCall(_Event):
    """A call reached TeleSign on one of our numbers. Source: Voice - Events, `incoming_call`.

    `dialled` is what the caller dialled: by the guide the number that they want to reach, by the
    reference our virtual number. The allow-list serves both.
    """

    dialled: PhoneNumber | NoNumber
    caller: PhoneNumber | NoNumber

    name: ClassVar = "incoming_call"


@dataclass(frozen=True, slots=True)
class DialCompleted(_Event):
    """The called person answered, or the dial failed. Source: Voice - Events, `dial_completed`.

    The one `status` that is known is `answered`; every other text is a failure. `None` if the event
    has no text there.
    """

    status: str | None

    name: ClassVar = "dial_completed"


@dataclass(frozen=True, slots=True)
class SpeakCompleted(_Event):
    """A message was spoken to its end. Source: TeleSign/voice_server_demo, `speak_completed`.

    `collected_digits` are the keys that were pressed; empty if none were.
    """

    collected_digits: str

    name: ClassVar = "speak_completed"


@dataclass(frozen=True, slots=True)
class PlayCompleted(SpeakCompleted):
    """Audio was played to its end; read like `speak_completed`. Source: the guide (name only)."""

    name: ClassVar = "play_completed"


@dataclass(frozen=True, slots=True)
class CallLegCompleted(_Event):
    """One leg ended while the call goes on. Source: TeleSign/voice_server_demo (name and use)."""

    name: ClassVar = "call_leg_completed"


@dataclass(frozen=True, slots=True)
class CallLeg:
    """One leg of a call: the caller's to TeleSign, or TeleSign's to the called person.

    Times are aware UTC; what is missing or unreadable is `None`. How long a leg took, and the name
    of a recording, stay in the body. Source: TeleSign/voice_server_demo.
    """

    direction: str | None
    from_number: PhoneNumber | NoNumber
    to_number: PhoneNumber | NoNumber
    created: datetime | None
    answered: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class CallCompleted(_Event):
    """The whole call is over. Source: the guide; TeleSign/voice_server_demo for its members.

    The guide says that both legs of a bridged call are reported, but no page shows in which layout.
    So every object in the message that has one of a leg's times, however deep, is taken for a leg.
    """

    legs: tuple[CallLeg, ...] = ()

    name: ClassVar = "call_completed"


@dataclass(frozen=True, slots=True)
class UnknownEvent(_Event):
    """An event that TeleSign has added since this was written; `name` is TeleSign's."""

    name: str


KnownEvent = IncomingCall | DialCompleted | SpeakCompleted | CallLegCompleted | CallCompleted
Event = KnownEvent | UnknownEvent


def parse(body: bytes, *, home_country_code: str = "") -> Event:
    """Return the event that the body holds.

    A missing, withheld or malformed phone number is part of the event (`phone.NoNumber`), because a
    call waits for its answer. So is `data` that is missing or no object: the members are then
    looked for beside it, where a demo of TeleSign's reads them. Raises `EventError`, and nothing
    else, for a body that is not strict JSON (`bad_text`, `bad_json`) or lacks an event's name or
    reference id (`bad_event`).
    """
    message = _load(body)
    try:
        event = _read_event(message, partial(phone.read, home_country_code=home_country_code))
    except EventError as error:
        error.shape = json.dumps(_shape(message))[1:-1][:_MAX_SHAPE_LENGTH]  # in printable ASCII
        raise
    external_id = message.get("external_id")
    return replace(event, external_id=external_id) if _is_word(external_id, 128) else event


def members_of(message: dict[str, object]) -> dict[str, object]:
    """Return the object that holds an event's members: `data`, or else the message itself."""
    data = message.get("data")
    return data if isinstance(data, dict) else message


def _read_event(message: object, read: _Reader) -> Event:
    if not isinstance(message, dict):
        raise EventError("bad_event", "wanted a JSON object")
    name, reference_id = _word(message, "event", 64), _word(message, "reference_id", 128)
    data = members_of(message)
    match name:
        case "incoming_call":
            dialled, caller = read(_member(data, "to")), read(_member(data, "from"))
            return IncomingCall(reference_id, dialled, caller)
        case "dial_completed":
            return DialCompleted(reference_id, _text(data, "status"))
        case "speak_completed":
            return SpeakCompleted(reference_id, _text(data, "collected_digits") or "")
        case "play_completed":
            return PlayCompleted(reference_id, _text(data, "collected_digits") or "")
        case "call_leg_completed":
            return CallLegCompleted(reference_id)
        case "call_completed":
            return CallCompleted(reference_id, tuple(_find_legs(message, read)))
        case _:
            return UnknownEvent(reference_id, name)


def _word(message: dict[str, object], name: str, longest: int) -> str:
    """Return a member without which a message is no event."""
    word = _text(message, name) or ""
    if not _is_word(word, longest):
        raise EventError("bad_event", f"{name}: wanted 1 to {longest} printable ASCII characters")
    return word


def _is_word(value: object, longest: int) -> bool:
    if not isinstance(value, str):
        return False
    return value.isascii() and value.isprintable() and 1 <= len(value) <= longest


def _shape(value: object, depth: int = _MAX_SHAPE_DEPTH) -> str:
    """Return the names and types in a message; a number in a name is masked."""
    if isinstance(value, dict) and depth:
        named = [f"{phone.mask_digits(name)}: {_shape(value[name], depth - 1)}" for name in value]
        return f"{{{', '.join(named)}}}"
    if isinstance(value, list) and depth:
        return f"[{', '.join(_shape(item, depth - 1) for item in value)}]"
    return _TYPE.get(type(value), "null")


def _member(members: dict[str, object], name: str) -> object:
    """Return a member that we use. Raises `EventError` for a text that no database can store.

    Members that we do not use are not looked at: any text in them is harmless.
    """
    value = members.get(name)
    if isinstance(value, str) and not value.isprintable() and _UNCLEAN.search(value):
        raise EventError("bad_text", f"{name}: wanted text without NUL and lone surrogates")
    return value


def _text(members: dict[str, object], name: str) -> str | None:
    value = _member(members, name)
    return value if isinstance(value, str) else None


def _find_legs(message: object, read: _Reader) -> Iterator[CallLeg]:
    """Yield every object in a message that has one of a leg's times, from the outside in.

    Without recursion, so that no depth which the JSON decoder reads is too deep here.
    """
    found = [message]
    for value in found:
        if isinstance(value, dict):
            if not value.keys().isdisjoint(_TIMES):
                yield _read_leg(value, read)
            found += value.values()
        elif isinstance(value, list):
            found += value


def _read_leg(members: dict[str, object], read: _Reader) -> CallLeg:
    created, answered, ended = (_read_time(_member(members, name)) for name in _TIMES)
    from_number, to_number = read(_member(members, "from")), read(_member(members, "to"))
    return CallLeg(_text(members, "direction"), from_number, to_number, created, answered, ended)


def _read_time(value: object) -> datetime | None:
    """Return a time in UTC; one without a zone is UTC, as the members' names say."""
    try:
        time = datetime.fromisoformat(value)  # type: ignore[arg-type]
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _load(body: bytes) -> Any:
    """Decode strict JSON: what two parsers could read differently is refused."""
    try:
        return _DECODER.decode(body.decode())
    except (ValueError, RecursionError):  # also of other bytes than UTF-8, or a byte order mark
        raise EventError("bad_json", "wanted strict JSON in UTF-8") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key twice in one object")
    return members


def _number(digits: str, kind: type[int | float] = float) -> float:
    """Return a number; `NaN` and `Infinity`, which are not JSON, come here too."""
    if len(digits) > _MAX_NUMBER_LENGTH or not math.isfinite(number := kind(digits)):
        raise ValueError("a number that is too long, too large or none")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=partial(_number, kind=int),
    parse_float=_number,
    parse_constant=_number,
)
