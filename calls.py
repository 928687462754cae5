"""The story of one call, folded from its events and our replies, and a memory for recent stories.

A story holds what later answers depend on and nothing else. Its facts only ever become true, so the
order in which events arrive does not matter. No I/O; the time is passed in.
"""

import threading
from dataclasses import dataclass, replace
from datetime import datetime

from commands import Command, Dial
from events import CallCompleted, DialCompleted, Event, IncomingCall

ANSWERED = "answered"
"""The one `status` of `dial_completed` that is known. Source: TeleSign/voice_server_demo."""

_MOST_STORIES = 20_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time on both clocks: the wall's for dates, the monotonic one for ages."""

    utc: datetime
    monotonic_s: float


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of one call.

    `incoming` is the first `incoming_call` seen, `reply` our answer to it and `first_seen_s` its
    time on the monotonic clock. A dial that was answered did not fail, whatever else is reported.
    """

    incoming: IncomingCall | None = None
    reply: Command | None = None
    first_seen_s: float = 0.0
    answered: bool = False
    failed: bool = False
    completed: bool = False

    @property
    def was_refused(self) -> bool:
        """Whether the first answer was anything but a dial."""
        return self.reply is not None and not isinstance(self.reply, Dial)

    @property
    def dial_failed(self) -> bool:
        """Whether the called person was not reached."""
        return self.failed and not self.answered

    def age_s(self, now: Moment) -> float:
        """Seconds since the first `incoming_call`."""
        return now.monotonic_s - self.first_seen_s

    def after(self, event: Event, reply: Command, now: Moment) -> "Call":
        """Return the story with this event and our reply to it added."""
        match event:
            case IncomingCall() if self.incoming is None:
                return replace(self, incoming=event, reply=reply, first_seen_s=now.monotonic_s)
            case DialCompleted(status=str() as status):
                if status == ANSWERED:
                    return replace(self, answered=True)
                return replace(self, failed=True)
            case CallCompleted():
                return replace(self, completed=True)
            case _:
                return self


UNKNOWN = Call()
"""The story of a call of which nothing is known, or no longer."""


class RecentCalls:
    """The stories of the last 20,000 calls, in memory: hours of calls at one a second.

    When it is full the oldest story goes; what `routing.decide` answers for a call it does not know
    never cuts a live one. Any thread may use it.
    """

    def __init__(self, most: int = _MOST_STORIES) -> None:
        self._stories: dict[str, Call] = {}
        self._most = most
        self._lock = threading.Lock()

    def story(self, reference_id: str) -> Call:
        """Return what is known of the call, `UNKNOWN` if nothing is."""
        return self._stories.get(reference_id, UNKNOWN)

    def record(self, event: Event, reply: Command, now: Moment, *, known: Call) -> bool:
        """Add an event and its reply to the story, if the story is still the `known` one.

        False means that another event of the call came between: read the story and decide again. So
        two copies of one `incoming_call` never get two different dials.
        """
        with self._lock:
            if self.story(event.reference_id) is not known:
                return False
            story = known.after(event, reply, now)
            if story is not known:
                self._stories[event.reference_id] = story
                if len(self._stories) > self._most:
                    del self._stories[next(iter(self._stories))]
            return True
