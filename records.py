"""What became of one call: its record, folded from everything that is kept of it.

It is what the field calls a call detail record: who, when, how long, how it ended. There is no
second definition of that, in no command and in no SQL. Times are those that TeleSign reports; where
it reports none, the time at which the server received the event. No I/O and no clock.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from calls import ANSWERED, UNKNOWN, CallState
from commands import Wire
from events import CallCompleted, CallLeg, DialCompleted, Event, IncomingCall
from phone import NoNumber, PhoneNumber

MAX_CALL = timedelta(hours=4, minutes=10)
"""So long after its first event a call is over in any case: TeleSign's limit is 4 h."""

SIMULATED = "SIMULATED"
"""How the simulator begins each reference id: such a call is no evidence of anything."""

_NO_ANSWER = ("noanswer", "unanswered", "timeout")  # inferred: no page lists the statuses
_BUSY = ("busy", "userbusy")


class Disposition(StrEnum):
    """What became of a call: a closed list.

    `connected`: the called side answered and pressed what was asked; `declined`: it answered, a
    person or a mailbox, and did not. `unknown`: the end was never reported.
    """

    CONNECTED = "connected"
    DECLINED = "declined"
    NO_ANSWER = "no answer"
    BUSY = "busy"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    IN_PROGRESS = "in progress"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that is kept: parsed, with the reply, when it came, and its raw text.

    `row_line` is the line of the list's row that connected the call, `accept_digit` the one that
    the reply asks for.
    """

    event: Event
    reply: Wire
    reason: str | None
    first_seen: datetime
    last_seen: datetime
    deliveries: int
    row_line: int | None
    accept_digit: str | None
    body: str


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. Times are aware UTC; what is not known is `None`.

    `status` is TeleSign's word for the dial: `answered` if any report says so, else that of the
    first failure. `wait_s` counts from the `incoming_call` to the answer; `talk_s`, of a connected
    call, from there to the end of the leg that ended first. Without an `incoming_call` the numbers
    are those of the legs, and `external_id` is the one that TeleSign echoes. `masking_id` is only
    ever that of our `dial`, `row` the line of the list's row that connected the call. `number`
    grows from each record to the next that is written down; a call in progress has none yet.
    """

    reference_id: str
    disposition: Disposition
    began: datetime
    ended: datetime | None
    caller: PhoneNumber | NoNumber | None
    dialled: PhoneNumber | NoNumber | None
    destination: PhoneNumber | NoNumber | None
    masking_id: str | None
    row: int | None
    external_id: str | None
    reason: str | None
    status: str | None
    wait_s: float | None
    talk_s: float | None
    number: int | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether the simulator has played the call."""
        return self.reference_id.startswith(SIMULATED)


def fold(events: Sequence[StoredEvent], *, is_old: bool = False) -> CallRecord:
    """Return the record of a call, given all events of it, of which there is at least one.

    A call without an end is in progress, or `is_old`: its end will never come.
    """
    call = UNKNOWN
    for kept in events:
        call = call.after(kept.event, kept.reply, 0.0, kept.accept_digit)
    stands = (kept for kept in events if (kept.event, kept.reply) == (call.incoming, call.reply))
    incoming = next(stands, None)
    dial: dict[str, Any] = call.dial
    legs = [leg for kept in events for leg in getattr(kept.event, "legs", ())]
    statuses = (getattr(kept.event, "status", None) for kept in events)  # of a dial
    status = ANSWERED if call.answered else next((s for s in statuses if s is not None), None)
    disposition = _disposition(call, legs, status, is_old=is_old)
    began, ended, wait_s, talk_s = _times(events, legs)
    return CallRecord(
        reference_id=events[0].event.reference_id,
        disposition=disposition,
        began=began,
        ended=ended if call.completed else None,
        caller=call.incoming.caller if call.incoming else _number(legs, "inbound", "from_number"),
        dialled=call.incoming.dialled if call.incoming else _number(legs, "inbound", "to_number"),
        destination=dial.get("to") if call.incoming else _number(legs, "outbound", "to_number"),
        masking_id=dial.get("caller_id_number"),
        row=incoming.row_line if incoming else None,
        external_id=dial.get("external_id") if call.incoming else _external_id(events),
        reason=incoming.reason if incoming else None,
        status=status,
        wait_s=wait_s,
        talk_s=talk_s if disposition is Disposition.CONNECTED else None,
    )


def _disposition(
    call: CallState, legs: Iterable[CallLeg], status: str | None, *, is_old: bool
) -> Disposition:
    if not call.completed:
        return Disposition.UNKNOWN if is_old else Disposition.IN_PROGRESS
    if call.was_refused:
        return Disposition.REFUSED
    if call.answered or any(leg.direction == "outbound" and leg.answered for leg in legs):
        return Disposition.CONNECTED if call.accepts("") else Disposition.DECLINED
    if status is None:
        return Disposition.NO_ANSWER if call.incoming else Disposition.UNKNOWN
    word = re.sub("[^a-z]", "", status.lower())
    if word in _NO_ANSWER:
        return Disposition.NO_ANSWER
    return Disposition.BUSY if word in _BUSY else Disposition.FAILED


def _external_id(events: Iterable[StoredEvent]) -> str | None:
    return next((found for kept in events if (found := kept.event.external_id)), None)


def _number(legs: Iterable[CallLeg], direction: str, role: str) -> PhoneNumber | NoNumber | None:
    return next((getattr(leg, role) for leg in legs if leg.direction == direction), None)


def _times(
    events: Sequence[StoredEvent], legs: Iterable[CallLeg]
) -> tuple[datetime, datetime | None, float | None, float | None]:
    """Return when the call began and ended, and how long the caller waited and both talked."""
    asked, reported = _first(events, IncomingCall), _first(events, DialCompleted, ANSWERED)
    created = [leg.created for leg in legs if leg.created]
    began = min(created, default=asked or min(kept.first_seen for kept in events))
    # The caller's own leg is answered when TeleSign takes the call.
    called = [leg.answered for leg in legs if leg.answered and leg.direction != "inbound"]
    answered = max(called, default=reported)
    ends = [leg.ended for leg in legs if leg.ended]
    ended = max(ends, default=_first(events, CallCompleted))
    # The caller waited by our own clock, if both events came.
    wait_s = _seconds(asked, reported) if asked and reported else _seconds(began, answered)
    # The first to hang up ends the talk; a goodbye may still be played to the other.
    return began, ended, wait_s, _seconds(answered, min(ends, default=ended))


def _first(
    events: Iterable[StoredEvent], kind: type[Event], status: str | None = None
) -> datetime | None:
    """Return when the first event of a kind was received, with this status if one is given."""
    some = (kept for kept in events if isinstance(kept.event, kind))
    times = [kept.first_seen for kept in some if getattr(kept.event, "status", None) == status]
    return min(times, default=None)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Return how long it took, to the millisecond; never negative, though clocks may disagree."""
    if start is None or end is None:
        return None
    return round(max((end - start).total_seconds(), 0.0), 3)
