"""Stored events and records as a test needs them, without a log."""

import json
from datetime import timedelta
from typing import Any

import facts
from helpers import START, payload

import events
from records import CallRecord, Disposition, StoredEvent


def record_with(**values: Any) -> CallRecord:
    """Return the record of a call of which nothing else is known than that it was connected."""
    nothing = dict.fromkeys(CallRecord.__dataclass_fields__)
    known = {"reference_id": "one", "disposition": Disposition.CONNECTED, "began": START}
    return CallRecord(**{**nothing, **known, **values})


def event(
    name: str, seconds: float = 0, reply: Any = None, *, lasting_s: float = 0, **data: Any
) -> StoredEvent:
    """Return an event with these data; it came so long after the start, last so long after that."""
    message = {"event": name, "reference_id": facts.REFERENCE_ID, "data": data}
    return stored(json.dumps(message).encode(), seconds, reply, lasting_s=lasting_s)


def of_file(name: str, seconds: float = 0, reply: Any = None) -> StoredEvent:
    """Return an event of a payload file, which came so long after the start."""
    return stored(payload(name), seconds, reply)


def stored(
    body: bytes, seconds: float = 0, reply: Any = None, *, lasting_s: float = 0
) -> StoredEvent:
    """Return what is kept of a body; with `lasting_s` it was delivered twice."""
    first = START + timedelta(seconds=seconds)
    return StoredEvent(
        events.parse(body),
        reply or {},
        None,
        first,
        first + timedelta(seconds=lasting_s),
        2 if lasting_s else 1,
        None,
        None,
        body.decode(),
    )
