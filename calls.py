"""The story of one call, folded from its events and our replies, and a memory for recent stories.

A story holds what later answers depend on and nothing else. Its facts only ever become true, so the
order in which events arrive does not matter. No I/O; the time is passed in.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar

from commands import Command, Wire
from events import (
    CallCompleted,
    DialCompleted,
    Event,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
)

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

    `incoming` is the first `incoming_call` seen, `reply` our answer to it as it went over the wire
    and `first_seen_s` its time on the monotonic clock. A dial that was answered did not fail,
    whatever else is reported. `completed` is also a call so old that it has been purged.
    `spoken` is true once a message was spoken, or audio played, to its end; `collected` are the
    keys that were pressed first, empty while there are none.
    """

    incoming: IncomingCall | None = None
    reply: Wire | None = None
    first_seen_s: float = 0.0
    answered: bool = False
    failed: bool = False
    completed: bool = False
    spoken: bool = False
    collected: str = ""

    @property
    def was_refused(self) -> bool:
        """Whether the first answer was anything but a dial."""
        return self.reply is not None and self.reply.get("method") != "dial"

    @property
    def dial_failed(self) -> bool:
        """Whether the called person was not reached."""
        return self.failed and not self.answered

    @property
    def is_talking(self) -> bool:
        """Whether the called person answered and has heard the greeting to its end."""
        return self.answered and self.spoken

    def age_s(self, now: Moment) -> float:
        """Seconds since the first `incoming_call`."""
        return now.monotonic_s - self.first_seen_s

    def after(self, event: Event, reply: Wire, seen_s: float) -> "Call":
        """Return the story with an event, seen at this monotonic time, and our reply added."""
        match event:
            case IncomingCall() if self.incoming is None:
                return replace(self, incoming=event, reply=reply, first_seen_s=seen_s)
            case DialCompleted(status=str() as status):
                if status == ANSWERED:
                    return replace(self, answered=True)
                return replace(self, failed=True)
            case SpeakCompleted(collected_digits=digits) | PlayCompleted(collected_digits=digits):
                return replace(self, spoken=True, collected=self.collected or digits)
            case CallCompleted():
                return replace(self, completed=True)
            case _:
                return self

    def joined(self, memory: "Call") -> "Call":
        """Return this story with what a memory of the same call adds.

        Of two different first events this story's stays; the memory's clock is the better one.
        """
        if memory is UNKNOWN:
            return self
        first = self if self.incoming is not None else memory
        return Call(
            first.incoming,
            first.reply,
            self.first_seen_s if memory.incoming is None else memory.first_seen_s,
            self.answered or memory.answered,
            self.failed or memory.failed,
            self.completed or memory.completed,
            self.spoken or memory.spoken,
            self.collected or memory.collected,
        )


UNKNOWN = Call()
"""The story of a call of which nothing is known, or no longer."""

PURGED = Call(completed=True)
"""The story of a call that has been purged: nothing of anybody, and never connected again.

Known by identity, as `UNKNOWN` is: a call of which only its end was heard looks the same.
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event as it was delivered: what it says, the bytes that say it, and when."""

    event: Event
    body: bytes
    moment: Moment


class Answer(Protocol):
    """What is decided on an event: a command, and for a refusal its reason."""

    @property
    def command(self) -> Command:
        """What TeleSign is told to do."""

    @property
    def reason(self) -> str | None:
        """Why a call is refused, `None` if it is not."""


A = TypeVar("A", bound=Answer)


class Calls(Protocol):
    """What remembers calls. Any thread may use it."""

    def answer(self, delivery: Delivery, decide: Callable[[Call], A]) -> tuple[Call, A]:
        """Decide on an event by what is known of its call, and keep both.

        Events of one call are decided one after another, so that copies of one `incoming_call`
        never get two different dials. Returns what was known before, and the decision.
        """

    def health(self) -> dict[str, object]:
        """Return its state and counts, without a phone number."""

    def close(self) -> int:
        """Keep what is not kept yet, and end; return how many events are lost."""


class RecentCalls:
    """The stories of the last 20,000 calls, in memory: hours of calls at one a second.

    When it is full the oldest story goes; what `routing.decide` answers for a call it does not know
    never cuts a live one.
    """

    def __init__(self, most: int = _MOST_STORIES) -> None:
        # A plain dict looks longer and longer for its oldest key, the more of them have gone.
        self._stories: OrderedDict[str, Call] = OrderedDict()
        self.most = most
        self._lock = threading.Lock()

    def story(self, reference_id: str) -> Call:
        """Return what is known of the call, `UNKNOWN` if nothing is."""
        return self._stories.get(reference_id, UNKNOWN)

    def put(self, reference_id: str, story: Call) -> None:
        """Keep a story in the place of an older one of the same call."""
        if story is not UNKNOWN:
            self._stories[reference_id] = story
            if len(self._stories) > self.most:
                self._stories.popitem(last=False)

    def erase(self, reference_id: str) -> None:
        """Remember of a call, if anything, only that it was purged."""
        if reference_id in self._stories:
            self._stories[reference_id] = PURGED

    def answer(self, delivery: Delivery, decide: Callable[[Call], A]) -> tuple[Call, A]:
        """Decide on an event; see `Calls`."""
        event, seen_s = delivery.event, delivery.moment.monotonic_s
        with self._lock:
            known = self.story(event.reference_id)
            answer = decide(known)
            self.put(event.reference_id, known.after(event, answer.command.to_wire(), seen_s))
        return known, answer

    def health(self) -> dict[str, object]:
        """Tell that nothing outlives the process."""
        return {"call_log": "off"}

    def close(self) -> int:
        """Forget everything; there is nothing to keep, and so nothing is lost."""
        return 0
