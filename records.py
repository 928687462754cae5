"""The record of one call, folded from everything that is kept of it.

It is what the field calls a call detail record: who, when, how long, how it ended. Times are those
that TeleSign reports; where it reports none, the time at which the server received the event. No
I/O; the present is passed in.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from calls import ANSWERED
from commands import Wire
from events import CallCompleted, CallLeg, DialCompleted, Event, IncomingCall
from phone import NoNumber, PhoneNumber

MAX_CALL = timedelta(hours=4, minutes=10)
"""So long after its first event a call is over in any case: TeleSign's limit is 4 h."""


class Disposition(StrEnum):
    """What became of a call: a closed list."""

    ANSWERED = "answered"
    NO_ANSWER = "no answer"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


class State(StrEnum):
    """Whether a call is over, by the events received."""

    IN_PROGRESS = "in progress"
    ENDED = "ended"
    END_UNKNOWN = "end unknown"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that is kept: parsed, with the reply, when it came, and its raw text."""

    event: Event
    reply: Wire
    reason: str | None
    first_seen: datetime
    last_seen: datetime
    deliveries: int
    body: str


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. Times are aware UTC; what is not known is `None`, or empty.

    `duration_s` counts from the creation to the end, `wait_s` from the `incoming_call` to the
    answer, `talk_s` from the answer to the end of the leg that ended first. `dial_status` is
    TeleSign's word: `answered` if any report says so, else that of the first failure. `legs` are
    the legs as `call_completed` reports them; without an `incoming_call` the numbers are taken from
    them. `masking_id` is only ever that of our `dial`.
    """

    reference_id: str
    state: State
    disposition: Disposition
    caller: PhoneNumber | NoNumber | None
    dialled: PhoneNumber | NoNumber | None
    destination: PhoneNumber | NoNumber | None
    masking_id: str | None
    decision: str | None
    reason: str | None
    dial_status: str | None
    created: datetime
    answered: datetime | None
    ended: datetime | None
    duration_s: float | None
    wait_s: float | None
    talk_s: float | None
    collected: str
    recordings: tuple[str, ...]
    deliveries: int
    legs: tuple[CallLeg, ...]


def record(events: Sequence[StoredEvent], now: datetime) -> CallRecord:
    """Fold a record out of all events of one call, of which there is at least one."""
    incoming = next((each for each in events if isinstance(each.event, IncomingCall)), None)
    call = incoming.event if incoming and isinstance(incoming.event, IncomingCall) else None
    reply = incoming.reply if incoming else {}
    dial = reply.get("params") if reply.get("method") == "dial" else None
    params = dial if isinstance(dial, dict) else {}
    ends = [each.event for each in events if isinstance(each.event, CallCompleted)]
    legs = tuple(leg for end in ends for leg in end.legs)
    dials = [each.event.status for each in events if isinstance(each.event, DialCompleted)]
    statuses = [status for status in dials if status is not None]
    disposition = _disposition(incoming, statuses, legs, is_over=bool(ends))
    created, answered, ended = _times(events, legs)
    answered = answered if disposition is Disposition.ANSWERED else None
    # The first to hang up ends the talk; a goodbye may still be played to the other.
    talk_ended = min((leg.ended for leg in legs if leg.ended), default=ended)
    reported = max((leg.duration_s for leg in legs if leg.duration_s is not None), default=None)
    is_old = now - min(each.first_seen for each in events) >= MAX_CALL
    return CallRecord(
        reference_id=events[0].event.reference_id,
        state=State.ENDED if ends else State.END_UNKNOWN if is_old else State.IN_PROGRESS,
        disposition=disposition,
        caller=call.caller if call else _of(legs, "inbound", "from_number"),
        dialled=call.dialled if call else _of(legs, "inbound", "to_number"),
        destination=params.get("to") if call else _of(legs, "outbound", "to_number"),
        masking_id=params.get("caller_id_number"),
        decision=str(reply.get("method", "no action")) if incoming else None,
        reason=incoming.reason if incoming else None,
        dial_status=ANSWERED if ANSWERED in statuses else next(iter(statuses), None),
        created=created,
        answered=answered,
        ended=ended,
        duration_s=reported if reported is not None else _seconds(created, ended),
        wait_s=_wait_s(events, created, answered),
        talk_s=_seconds(answered, talk_ended),
        collected="".join(getattr(each.event, "collected_digits", "") for each in events),
        recordings=tuple(dict.fromkeys(leg.recording for leg in legs if leg.recording)),
        deliveries=sum(each.deliveries for each in events),
        legs=legs,
    )


def _of(legs: Iterable[CallLeg], direction: str, role: str) -> PhoneNumber | NoNumber | None:
    return next((getattr(leg, role) for leg in legs if leg.direction == direction), None)


def _disposition(
    incoming: StoredEvent | None, statuses: list[str], legs: Iterable[CallLeg], *, is_over: bool
) -> Disposition:
    if incoming is not None and incoming.reply.get("method") != "dial":
        return Disposition.REFUSED
    if ANSWERED in statuses or any(leg.direction == "outbound" and leg.answered for leg in legs):
        return Disposition.ANSWERED
    if any(map(says_no_answer, statuses)):
        return Disposition.NO_ANSWER
    if statuses:
        return Disposition.FAILED
    return Disposition.NO_ANSWER if incoming is not None and is_over else Disposition.UNKNOWN


def says_no_answer(status: str) -> bool:
    """Whether a status means that the phone rang; inferred, as no page lists the statuses."""
    return re.sub("[^a-z]", "", status.lower()) in ("noanswer", "unanswered", "timeout")


def _times(
    events: Sequence[StoredEvent], legs: Sequence[CallLeg]
) -> tuple[datetime, datetime | None, datetime | None]:
    """Return when the call was created, answered by the called person, and ended."""
    created = min((leg.created for leg in legs if leg.created), default=None)
    # The caller's own leg is answered when TeleSign takes the call.
    called = [leg.answered for leg in legs if leg.answered and leg.direction != "inbound"]
    ended = max((leg.ended for leg in legs if leg.ended), default=None)
    return (
        created or _first(events, IncomingCall) or min(each.first_seen for each in events),
        max(called, default=None) or _first(events, DialCompleted, ANSWERED),
        ended or _first(events, CallCompleted),
    )


def _first(
    events: Iterable[StoredEvent], kind: type[Event], status: str | None = None
) -> datetime | None:
    """Return when the first event of a kind was received, with this status if one is given."""
    some = (each for each in events if isinstance(each.event, kind))
    times = [each.first_seen for each in some if getattr(each.event, "status", None) == status]
    return min(times, default=None)


def _wait_s(
    events: Sequence[StoredEvent], created: datetime, answered: datetime | None
) -> float | None:
    """Return how long the caller waited for the answer; by our own clock, if both events came."""
    asked, told = _first(events, IncomingCall), _first(events, DialCompleted, ANSWERED)
    if answered and asked and told:
        return _seconds(asked, told)
    return _seconds(created, answered)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Return how long it took, to the millisecond; never negative, though clocks may disagree."""
    if start is None or end is None:
        return None
    return round(max((end - start).total_seconds(), 0.0), 3)
