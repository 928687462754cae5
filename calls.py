"""The story of one call, folded from its events and our replies, and a memory for recent stories.

A story holds what later answers depend on and nothing else. Its facts only ever become true, so the
order in which events arrive does not matter. No I/O; the time is passed in.
"""

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


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A point in time on both clocks: the wall's for dates, the monotonic one for ages."""

    utc: datetime
    monotonic_s: float


@dataclass(frozen=True, slots=True)
class CallState:
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

    def age_s(self, now: Timestamp) -> float:
        """Seconds since the first `incoming_call`."""
        return now.monotonic_s - self.first_seen_s

    def after(self, event: Event, reply: Wire, seen_s: float) -> "CallState":
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

    def joined(self, memory: "CallState") -> "CallState":
        """Return this story with what a memory of the same call adds.

        Of two different first events this story's stays; the memory's clock is the better one.
        """
        if memory is UNKNOWN:
            return self
        first = self if self.incoming is not None else memory
        return CallState(
            first.incoming,
            first.reply,
            self.first_seen_s if memory.incoming is None else memory.first_seen_s,
            self.answered or memory.answered,
            self.failed or memory.failed,
            self.completed or memory.completed,
            self.spoken or memory.spoken,
            self.collected or memory.collected,
        )


UNKNOWN = CallState()
"""The story of a call of which nothing is known, or no longer."""

PURGED = CallState(completed=True)
"""The story of a call that has been purged: nothing of anybody, and never connected again.

Known by identity, as `UNKNOWN` is: a call of which only its end was heard looks the same.
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event as it was delivered: what it says, the bytes that say it, and when."""

    event: Event
    body: bytes
    moment: Timestamp


class Answer(Protocol):
    """What is decided on an event: a command, and for a refusal its reason."""

    @property
    def command(self) -> Command:
        """What TeleSign is told to do."""

    @property
    def reason(self) -> str | None:
        """Why a call is refused, `None` if it is not."""


A = TypeVar("A", bound=Answer)


class CallStore(Protocol):
    """What remembers calls. Any thread may use it."""

    def answer(self, delivery: Delivery, decide: Callable[[CallState], A]) -> tuple[CallState, A]:
        """Decide on an event by what is known of its call, and keep both.

        Events of one call are decided one after another, so that copies of one `incoming_call`
        never get two different dials. Returns what was known before, and the decision.
        """

    def health(self) -> dict[str, object]:
        """Return its state and counts, without a phone number."""

    def close(self) -> int:
        """Keep what is not kept yet, and end; return how many events are lost."""
