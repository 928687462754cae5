"""What TeleSign says: one frozen class an event, and `parse`, the only doorway from bytes.

No I/O and no opinion: this file tells what arrived, `routing` decides what it means. TeleSign's own
spelling of members appears only in `parse` and its helpers. What TeleSign does not document is read
as loosely as is safe: members we do not know are ignored, missing ones are `None` or empty.

Sources: TeleSign, "Voice - Events" (developer.telesign.com/enterprise/reference/voice-events); the
guide "Set Up a Call with Number Masking"; TeleSign/voice_server_demo for what neither page shows.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn, TypeGuard

import phone
from phone import NoNumber, PhoneNumber

_EVENT_NAME = re.compile(r"[ -~]{1,64}")
_REFERENCE_ID = re.compile(r"[ -~]{1,128}")
_UNCLEAN = re.compile("[\0\ud800-\udfff]")
_BOM = b"\xef\xbb\xbf"
_MAX_NUMBER_LENGTH = 100
_TIMES = ("created_on_utc", "answered_on_utc", "ended_on_utc")


class EventError(Exception):
    """The body is no event. `word` goes into the answer, `cause` (no values) into the log."""

    def __init__(self, word: str, cause: str) -> None:
        super().__init__(cause)
        self.word = word
        self.cause = cause


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A call reached TeleSign on one of our numbers. Source: Voice - Events, `incoming_call`.

    `dialled` is what the caller dialled. The guide takes it for the number that the caller wants to
    reach, the reference for our virtual number; the allow-list serves both readings.
    """

    reference_id: str
    dialled: PhoneNumber | NoNumber
    caller: PhoneNumber | NoNumber

    name: ClassVar = "incoming_call"


@dataclass(frozen=True, slots=True)
class DialCompleted:
    """The called person answered, or the dial failed. Source: Voice - Events, `dial_completed`.

    The one `status` that is known is `answered`; every other text is a failure. `None` when the
    event holds no text there.
    """

    reference_id: str
    status: str | None

    name: ClassVar = "dial_completed"


@dataclass(frozen=True, slots=True)
class SpeakCompleted:
    """A message was spoken to its end. Source: TeleSign/voice_server_demo, `speak_completed`.

    `collected_digits` are the keys that were pressed, empty when there were none.
    """

    reference_id: str
    collected_digits: str

    name: ClassVar = "speak_completed"


@dataclass(frozen=True, slots=True)
class PlayCompleted:
    """Audio was played to its end; read like `speak_completed`. Source: the guide (name only)."""

    reference_id: str
    collected_digits: str

    name: ClassVar = "play_completed"


@dataclass(frozen=True, slots=True)
class CallLegCompleted:
    """One leg ended while the call lives on. Source: TeleSign/voice_server_demo (name and use)."""

    reference_id: str

    name: ClassVar = "call_leg_completed"


@dataclass(frozen=True, slots=True)
class CallLeg:
    """One part of a call, to us or from us. Source: TeleSign/voice_server_demo.

    Times are aware UTC, `duration_s` is as TeleSign says it (its sample counts from the creation).
    What is missing or cannot be read is `None`. `calling` and `called` are `from` and `to`.
    """

    direction: str | None
    calling: PhoneNumber | NoNumber
    called: PhoneNumber | NoNumber
    created: datetime | None
    answered: datetime | None
    ended: datetime | None
    duration_s: float | None
    recording: str | None


@dataclass(frozen=True, slots=True)
class CallCompleted:
    """The whole call is over. Source: the guide; TeleSign/voice_server_demo for its members.

    The guide says that a bridged call is reported with both parts; how they are laid out is shown
    nowhere. `parts` are all objects in the event that hold one of a part's times.
    """

    reference_id: str
    parts: tuple[CallLeg, ...] = ()

    name: ClassVar = "call_completed"


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event that TeleSign did not have when this was written; `name` is its own word for it."""

    reference_id: str
    name: str


Event = (
    IncomingCall
    | DialCompleted
    | SpeakCompleted
    | PlayCompleted
    | CallLegCompleted
    | CallCompleted
    | UnknownEvent
)


def parse(body: bytes, *, home_country_code: str = "") -> Event:
    """Return the event that the body holds.

    A missing, withheld or malformed phone number is part of the event (`phone.NoNumber`), because a
    call waits for its answer. Raises `EventError`, and nothing else, for a body that is not strict
    JSON (`bad_text`, `bad_json`) or not of an event's shape (`bad_event`).
    """
    name, reference_id, data = _envelope(_load(body))
    match name:
        case "incoming_call":
            return IncomingCall(
                reference_id,
                dialled=phone.read(_member(data, "to"), home_country_code=home_country_code),
                caller=phone.read(_member(data, "from"), home_country_code=home_country_code),
            )
        case "dial_completed":
            return DialCompleted(reference_id, _text(data, "status"))
        case "speak_completed":
            return SpeakCompleted(reference_id, _text(data, "collected_digits") or "")
        case "play_completed":
            return PlayCompleted(reference_id, _text(data, "collected_digits") or "")
        case "call_leg_completed":
            return CallLegCompleted(reference_id)
        case "call_completed":
            return CallCompleted(reference_id, tuple(_parts(data, home_country_code)))
        case _:
            return UnknownEvent(reference_id, name)


def _envelope(message: object) -> tuple[str, str, dict[str, object]]:
    """Return event name, reference id and data of a message, each checked."""
    if not isinstance(message, dict):
        raise EventError("bad_event", "wanted a JSON object")
    name, reference_id = _member(message, "event"), _member(message, "reference_id")
    data = message.get("data")
    if not (isinstance(name, str) and _EVENT_NAME.fullmatch(name)):
        raise EventError("bad_event", "event: wanted 1 to 64 printable ASCII characters")
    if not (isinstance(reference_id, str) and _REFERENCE_ID.fullmatch(reference_id)):
        raise EventError("bad_event", "reference_id: wanted 1 to 128 printable ASCII characters")
    if not isinstance(data, dict):
        raise EventError("bad_event", "data: wanted a JSON object")
    return name, reference_id, data


def _member(members: dict[str, object], name: str) -> object:
    """Return a member that we use; in any other, text that cannot be kept does no harm."""
    value = members.get(name)
    if isinstance(value, str) and _UNCLEAN.search(value):
        raise EventError("bad_text", f"{name}: wanted text without NUL and lone surrogates")
    return value


def _text(members: dict[str, object], name: str) -> str | None:
    value = _member(members, name)
    return value if isinstance(value, str) else None


def _parts(data: dict[str, object], home_country_code: str) -> Iterator[CallLeg]:
    for part in _objects(data):
        if not part.keys().isdisjoint(_TIMES):
            created, answered, ended = (_time(_member(part, name)) for name in _TIMES)
            duration = part.get("duration")
            yield CallLeg(
                _text(part, "direction"),
                calling=phone.read(_member(part, "from"), home_country_code=home_country_code),
                called=phone.read(_member(part, "to"), home_country_code=home_country_code),
                created=created,
                answered=answered,
                ended=ended,
                duration_s=duration if _is_amount(duration) else None,
                recording=_text(part, "audio_recording_file_name"),
            )


def _is_amount(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _objects(message: object) -> Iterator[dict[str, object]]:
    """Yield every object in a message, from the outside in."""
    waiting = [message]
    for each in waiting:
        if isinstance(each, dict):
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _time(value: object) -> datetime | None:
    """Read a time without zone as UTC, as its member's name says."""
    try:
        time = datetime.fromisoformat(value)  # type: ignore[arg-type]
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _load(body: bytes) -> Any:
    """Return strict JSON: what two readers could understand differently is refused."""
    if body.startswith(_BOM):
        raise EventError("bad_text", "wanted UTF-8 without a byte order mark")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise EventError("bad_text", "wanted UTF-8") from None
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise EventError("bad_json", "wanted strict JSON") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key twice in one object")
    return members


def _whole(digits: str) -> int:
    if len(digits) > _MAX_NUMBER_LENGTH:
        raise ValueError("a number too long to mean anything")
    return int(digits)


def _decimal(digits: str) -> float:
    number = float(digits)
    if len(digits) > _MAX_NUMBER_LENGTH or math.isinf(number):
        raise ValueError("a number too large to mean anything")
    return number


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_whole,
    parse_float=_decimal,
    parse_constant=_no_constant,
)
