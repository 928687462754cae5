"""What is shown of a call, a leg or an event: redacted or in full, in UTC or in local time.

Without `full`, at most the last four digits of a number are shown, whichever text it is in; masking
IDs are our own and shown whole. Every time bears its zone.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, tzinfo
from typing import Any

import phone
from events import CallLeg
from phone import NoNumber
from records import CallRecord, StoredEvent

_MAX_DEPTH = 100
_KEYS = ("reference_id", "masking_id", "external_id")
_ATTRIBUTES = {"simulated": "is_simulated"}
RECORD_FIELDS = ("reference_id", "simulated", *(field.name for field in fields(CallRecord)[1:]))
_NUMBERS = ("caller", "dialled", "destination", "from_number", "to_number")


@dataclass(frozen=True, slots=True)
class View:
    """How values are shown; the zone `None` is that of this machine."""

    full: bool = False
    zone: tzinfo | None = UTC

    def record(self, record: CallRecord) -> dict[str, Any]:
        """Return a record as JSON takes it, and whether the call is simulated."""
        return {
            name: self.cell(name, getattr(record, _ATTRIBUTES.get(name, name)))
            for name in RECORD_FIELDS
        }

    def event(self, stored: StoredEvent) -> dict[str, Any]:
        """Return an event and the reply to it as JSON takes them; in full, both whole."""
        reply: dict[str, Any] = stored.reply
        shown = {
            "event": self.cell("event", stored.event.name),
            "reply": reply.get("method", "no action"),
            "reason": self.cell("reason", stored.reason),
            "first_seen": self.cell("first_seen", stored.first_seen),
            "last_seen": self.cell("last_seen", stored.last_seen),
            "deliveries": stored.deliveries,
        }
        if not self.full:
            return shown
        return shown | {"body": decode(stored.body) if stored.body else None, "answer": reply}

    def cell(self, name: str, value: Any) -> Any:
        """Return the value of a field, or a leg, as JSON takes it."""
        match value:
            case NoNumber():
                return value.value
            case datetime():
                text = self.at(value).isoformat(timespec="milliseconds")
                return text.replace("+00:00", "Z")
            case CallLeg():
                return self._fields(value)
            case tuple():
                return [self.cell(name, part) for part in value]
            case str() if not self.full:
                return _redact(name, value)
            case _:
                return value

    def at(self, time: datetime) -> datetime:
        """Return a time in the zone that is shown; in UTC if it has none there, as in year 1."""
        try:
            return time.astimezone(self.zone)
        except (OverflowError, ValueError, OSError):
            return time

    def zone_at(self, times: Iterable[datetime]) -> str:
        """Return the zone at these times as people write it: `UTC`, or such as `UTC+01:00`.

        Where the clocks change in between there are two, with a slash.
        """
        return "/".join(sorted({_offset(self.at(time)) for time in times})) or "UTC"

    def _fields(self, value: Any) -> dict[str, Any]:
        return {
            field.name: self.cell(field.name, getattr(value, field.name)) for field in fields(value)
        }


def decode(body: str) -> Any:
    """Return the JSON of an event; its text as it is if it is none, or nested more than 100 deep.

    Python's limits of recursion differ from version to version, and with where they are met.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
    return body if any(isinstance(inner, dict | list) for inner in level) else value


def _within(value: object) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def format_refusals(refusals: Mapping[str, int]) -> str:
    """Return how often calls were refused for which reason, as people read it."""
    return ", ".join(f"{reason or 'no reason'} {count:,}" for reason, count in refusals.items())


def _offset(time: datetime) -> str:
    offset = time.isoformat()[19:].lstrip("0123456789.")
    return "UTC" if offset == "+00:00" else f"UTC{offset}"


def _redact(name: str, text: str) -> str:
    """Return what is shown of a text without `--full`: the one rule for all texts.

    TeleSign chooses its words, so any of them may hold a number.
    """
    if name in _KEYS:
        return text
    if name in _NUMBERS:
        return phone.redact(text)
    return phone.mask_digits(text)
