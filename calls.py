"""The state of one call, folded from its events and our replies, and what a call store promises.

A state holds what later answers depend on and nothing else. Its facts only ever become true, so the
order in which events arrive does not matter, but for which greeting came first. No I/O; the time is
passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from commands import Command, Wire, asks_for_digit, is_dial
from events import CallCompleted, DialCompleted, Event, IncomingCall, SpeakCompleted

ANY_DIGIT, NO_DIGIT = "any", "none"

ANSWERED = "answered"
"""The one `status` of `dial_completed` that is known. Source: TeleSign/voice_server_demo."""


# Each event makes one or two of the next three: a tuple takes a third of a frozen dataclass's time.
class Timestamp(NamedTuple):
    """A point in time on both clocks: the wall's for dates, the monotonic one for ages."""

    utc: datetime
    monotonic_s: float


Clock = Callable[[], Timestamp]


class CallState(NamedTuple):
    """What is known of one call.

    `incoming` is the first `incoming_call` seen, `reply` our reply to it as it went over the wire
    and `first_seen_s` its time on the monotonic clock. A dial that was answered did not fail,
    whatever else is reported. `completed` is also true of a purged call. `spoken` is true once a
    message was spoken, or audio played, to its end; `collected` are all digits that were pressed.
    `asked` is what each greeting of this call asked for: a digit, `ANY_DIGIT` or `NO_DIGIT`.
    """

    incoming: IncomingCall | None = None
    reply: Wire | None = None
    first_seen_s: float = 0.0
    answered: bool = False
    failed: bool = False
    completed: bool = False
    spoken: bool = False
    collected: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()

    @property
    def was_refused(self) -> bool:
        """Whether the first answer was anything but a dial."""
        return self.reply is not None and not is_dial(self.reply)

    @property
    def dial(self) -> Wire:
        """The parameters of our dial, as they went over the wire; empty without one."""
        params = self.reply.get("params") if self.reply and is_dial(self.reply) else None
        return params if isinstance(params, dict) else {}

    @property
    def dial_failed(self) -> bool:
        """Whether the called person was not reached."""
        return self.failed and not self.answered

    def accepts(self, digits: str) -> bool:
        """Whether the called person has taken the call, now with these digits or before.

        A greeting that asked for nothing is enough: after a change of the settings a call may have
        been greeted in two ways.
        """
        pressed = self.collected | {digits} - {""}
        if not self.asked or NO_DIGIT in self.asked:
            return True
        return bool(pressed) if ANY_DIGIT in self.asked else bool(pressed & self.asked)

    def after(
        self, event: Event, reply: Wire, seen_s: float, accept_digit: str | None = None
    ) -> "CallState":
        """Return the state with an event, seen at this monotonic time, and our reply added.

        `accept_digit` is the one that the reply asks for, `None` if that is not known. The first
        reply to a call stands, but a dial stands over any other, whichever server gave it and
        when: somebody may be talking.
        """
        match event:
            case IncomingCall() if self.incoming is None:
                return self._replace(incoming=event, reply=reply, first_seen_s=seen_s)
            case IncomingCall() if self.was_refused and is_dial(reply):
                return self._replace(incoming=event, reply=reply)
            case DialCompleted(status=status) if status == ANSWERED:
                if not reply and self.asked:  # it was greeted before, and is asked nothing anew
                    return self
                asked = (accept_digit or ANY_DIGIT) if asks_for_digit(reply) else NO_DIGIT
                return self._replace(answered=True, asked=self.asked | {asked})
            case DialCompleted(status=str()):
                return self._replace(failed=True)
            case SpeakCompleted(collected_digits=digits):
                return self._replace(spoken=True, collected=self.collected | {digits} - {""})
            case CallCompleted():
                return self._replace(completed=True)
            case _:
                return self


UNKNOWN = CallState()
"""The state of a call of which nothing is known, or no longer."""

PURGED = CallState(completed=True)
"""The state of a call that has been purged: no personal data, and never connected again.

Compared by identity, as `UNKNOWN` is: a call of which only the end was reported is equal to it.
"""


class Delivery(NamedTuple):
    """An event as it was delivered: parsed, its raw bytes, and when they came."""

    event: Event
    body: bytes
    received: Timestamp


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided on an event, all of which is kept.

    `reason` is why a call is refused, `row_line` the line of the list's row that connects it and
    `accept_digit` the digit that the command asks for.
    """

    command: Command
    reason: str | None = None
    row_line: int | None = None
    accept_digit: str | None = None


Decide = Callable[[CallState], Decision]


class LogUnavailable(Exception):  # noqa: N818 - the word of its answer
    """The event cannot be kept now, and is of no use to anybody unless it is."""

    word = "log_unavailable"
    cause = "the call log is failing"


class CallStore(Protocol):
    """Where the state of each call is kept between its events. Any thread may use it."""

    def answer(self, delivery: Delivery, decide: Decide) -> tuple[CallState, Decision]:
        """Decide on an event by the state of its call, and keep both.

        Events of one call are decided one after another, so that copies of one `incoming_call`
        never get two different dials. Returns the state before the event, and the decision.
        """

    def health(self) -> dict[str, object]:
        """Return the condition and counts of the store, without a phone number."""

    def close(self) -> int:
        """Keep what is not kept yet, and stop; return how many events are lost."""
