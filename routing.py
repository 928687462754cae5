"""Who may reach whom: the routes of the allow-list, and `decide`, which answers every event.

Denied by default: a call is connected only along a route, to the route's destination, showing the
route's masking ID. `AllowList` cannot be built from routes that would show a real number or loop.
No I/O, no clock, no settings: what a decision depends on is passed in.
"""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from calls import ANSWERED, CallState, Timestamp
from commands import Command, Dial, Hangup, NoAction, Speak
from events import (
    CallLegCompleted,
    DialCompleted,
    Event,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
)
from phone import NoNumber, PhoneNumber, redact

REPEAT_WINDOW_S = 120
"""For so long a repeated `incoming_call` is taken for a delivery tried again, not for a replay."""


class Reason(StrEnum):
    """Why a call is refused: a closed list."""

    NOT_LISTED = "not_listed"
    CALLER_NOT_LISTED = "caller_not_listed"
    CALLER_WITHHELD = "caller_withheld"
    EXPIRED = "expired"
    BAD_NUMBER = "bad_number"
    LOOP = "loop"
    CALLER_IS_DESTINATION = "caller_is_destination"
    REPLAYED = "replayed"
    CONFLICTING = "conflicting"


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the allow-list: who dials `dialled` is connected by `dial`.

    `caller` is `None` for any caller. `expires` is an aware time, from which on the route refuses.
    `line` is where the row stands in its file.
    """

    dialled: PhoneNumber
    caller: PhoneNumber | None
    dial: Dial
    expires: datetime | None = None
    line: int = 0

    @property
    def destination(self) -> PhoneNumber:
        """The real number that is called."""
        return self.dial.destination

    @property
    def masking_id(self) -> PhoneNumber:
        """The number of ours that the called person sees."""
        return self.dial.masking_id


class RowFault(NamedTuple):
    """What is wrong in one line of an allow-list; line 0 is the whole list."""

    line: int
    message: str

    def at(self, file: object) -> str:
        """Return the fault with its place, as an operator reads it."""
        return f"{file}:{self.line}: {self.message}" if self.line else f"{file}: {self.message}"


class AllowListError(Exception):
    """The allow-list cannot be used; `faults` are all of its faults, by line.

    `unread` is true if the file itself could not be read, which may pass without a change of it.
    """

    def __init__(self, faults: Iterable[RowFault], *, unread: bool = False) -> None:
        self.faults = sorted(faults)
        self.unread = unread
        super().__init__(f"{len(self.faults)} faults in the allow-list")


# Plain tuples of numbers, times and lines: the garbage collector leaves such alone after its first
# look. A million routes as objects would be gone through again and again, while callers wait.
_Key = tuple[PhoneNumber, PhoneNumber | None]
_Row = tuple[PhoneNumber, PhoneNumber, int | None, datetime | None, int]


def _route(key: _Key, row: _Row) -> Route:
    destination, masking_id, duration_s, expires, line = row
    return Route(*key, Dial(destination, masking_id, duration_s), expires, line)


_route_again = lru_cache(maxsize=4096)(_route)  # to build one takes longer than to decide


class AllowList:
    """Every route there is. Raises `AllowListError` for routes that cannot stand together.

    `default_masking_id` is the setting `caller_id_number`: a masking ID of ours even while no route
    uses it. A look-up costs two dictionary reads, however long the list is.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        default_masking_id: PhoneNumber | None = None,
    ) -> None:
        self._rows: dict[_Key, _Row] = {}
        self._listed: set[PhoneNumber] = set()
        faults = []
        parts = _Parts(default_masking_id)
        for route in routes:
            key, dial = (route.dialled, route.caller), route.dial
            row = (
                dial.destination,
                dial.masking_id,
                dial.max_call_duration_s,
                route.expires,
                route.line,
            )
            if (first := self._rows.setdefault(key, row)) is not row:
                message = f"to, from: wanted each pair once, got that of line {first[-1]} again"
                faults.append(RowFault(route.line, message))
            self._listed.add(route.dialled)
            parts.add(route)
        for (dialled, caller), (destination, *_, line) in self._rows.items():
            faults += [RowFault(line, text) for text in parts.faults(dialled, caller, destination)]
        if faults:
            raise AllowListError(faults)
        self.own_numbers: Set[PhoneNumber] = parts.own_numbers

    def __iter__(self) -> Iterator[Route]:
        return map(_route, self._rows.keys(), self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def lists(self, number: PhoneNumber) -> bool:
        """Tell whether anybody may dial the number."""
        return number in self._listed

    def find(
        self, dialled: PhoneNumber | NoNumber, caller: PhoneNumber | NoNumber, now: datetime
    ) -> Route | Reason:
        """Return the route of a call, or the reason why it has none.

        A route for this very caller is looked up first; an expired one does not fall through to the
        route for any caller. A caller who withholds their number, or has none that is a telephone
        number, can only take the latter, and never with one of our own numbers in theirs.
        """
        if isinstance(dialled, NoNumber):
            return Reason.BAD_NUMBER
        if _is_one_of(caller, self.own_numbers):
            return Reason.LOOP
        named = None if isinstance(caller, NoNumber) else caller
        key: _Key = (dialled, named)
        row = self._rows.get(key) or self._rows.get(key := (dialled, None))
        if row is None:
            return _not_named(caller) if self.lists(dialled) else Reason.NOT_LISTED
        route = _route_again(key, row)
        if route.expires is not None and route.expires <= now:
            return Reason.EXPIRED
        if _is_one_of(caller, {route.destination}):
            return Reason.CALLER_IS_DESTINATION
        return route


def _is_one_of(caller: PhoneNumber | NoNumber, numbers: Set[PhoneNumber]) -> bool:
    """Tell whether the caller has one of these numbers, be it in a SIP address or after a `00`."""
    if isinstance(caller, NoNumber):
        return caller.holds_any(numbers)
    return caller in numbers


def _not_named(caller: PhoneNumber | NoNumber) -> Reason:
    """Return why a caller is refused where every row names another one."""
    if caller == NoNumber.WITHHELD:
        return Reason.CALLER_WITHHELD
    return Reason.BAD_NUMBER if isinstance(caller, NoNumber) else Reason.CALLER_NOT_LISTED


class _Parts:
    """The parts that numbers play in a list, of which some exclude each other.

    `own_numbers` are ours and nobody's: masking IDs and virtual numbers.
    """

    def __init__(self, default_masking_id: PhoneNumber | None) -> None:
        self._masking_ids = set() if default_masking_id is None else {default_masking_id}
        self._themselves: set[PhoneNumber] = set()
        self.own_numbers = set(self._masking_ids)

    def add(self, route: Route) -> None:
        self._masking_ids.add(route.masking_id)
        self.own_numbers.add(route.masking_id)
        if route.dialled == route.destination:
            self._themselves.add(route.dialled)
        else:
            self.own_numbers.add(route.dialled)

    def faults(
        self, dialled: PhoneNumber, caller: PhoneNumber | None, destination: PhoneNumber
    ) -> Iterator[str]:
        """Yield a fault for each number of a route that has another part to play as well."""
        is_virtual = dialled != destination
        if is_virtual and dialled in self._themselves:
            yield (
                f"destination: wanted {redact(dialled)} itself, as in another row of this `to`,"
                f" got {redact(destination)}"
            )
        if destination in (self.own_numbers if is_virtual else self._masking_ids):
            yield _not_a_person("destination", destination)
        if caller in self._masking_ids:
            yield _not_a_person("from", caller)


def _not_a_person(column: str, number: PhoneNumber) -> str:
    return (
        f"{column}: wanted a person's number, got {redact(number)}, which is a masking ID or a"
        " virtual number of this list: a real number would be shown, or the call would loop"
    )


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is said in a call, made once from the settings.

    `accept_digit` is the key by which the called person takes the call, `None` when none is asked.
    """

    greeting: Speak | NoAction = NoAction()
    refusal: Speak | Hangup = Hangup()
    unavailable: Speak | Hangup = Hangup()
    accept_digit: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A command, and for a refusal its reason, for a connection its route."""

    command: Command
    reason: Reason | None = None
    route: Route | None = None


def decide(
    event: Event, call: CallState, allow_list: AllowList, script: Prompts, now: Timestamp
) -> Decision:
    """Answer an event of a call of which `call` is known so far; there is always an answer."""
    match event:
        case IncomingCall() if call.incoming is None and not call.completed:
            return _connect_or_refuse(event, allow_list, script, now)
        case IncomingCall():
            return _repeat(event, call, _connect_or_refuse(event, allow_list, script, now), now)
        case DialCompleted(status=None):
            return Decision(NoAction())
        case DialCompleted() if call.is_talking:
            return Decision(NoAction())
        case DialCompleted(status=status) if status == ANSWERED:
            return Decision(script.greeting)
        case DialCompleted() if call.answered or call.completed:
            return Decision(NoAction())
        case DialCompleted():
            return Decision(script.unavailable)
        case SpeakCompleted() | PlayCompleted() if call.was_refused or call.dial_failed:
            return Decision(Hangup())
        case SpeakCompleted() | PlayCompleted():
            pressed = {event.collected_digits, call.collected}
            return Decision(_screen(pressed, script.accept_digit))
        case CallLegCompleted() if call.dial_failed:
            return Decision(NoAction())
        case CallLegCompleted():
            return Decision(Hangup())
        case _:  # call_completed, and what TeleSign may add one day
            return Decision(NoAction())


def _connect_or_refuse(
    event: IncomingCall, allow_list: AllowList, script: Prompts, now: Timestamp
) -> Decision:
    route = allow_list.find(event.dialled, event.caller, now.utc)
    if isinstance(route, Reason):
        return Decision(script.refusal, reason=route)
    return Decision(route.dial, route=route)


def _repeat(event: IncomingCall, call: CallState, today: Decision, now: Timestamp) -> Decision:
    """Answer an `incoming_call` whose call is known: as before, or not at all."""
    if call.incoming is not None and call.incoming != event:
        return Decision(Hangup(), reason=Reason.CONFLICTING)
    if call.completed or call.age_s(now) > REPEAT_WINDOW_S:
        return Decision(Hangup(), reason=Reason.REPLAYED)
    if call.reply == today.command.to_wire():
        return today
    return Decision(Hangup(), reason=today.reason or Reason.CONFLICTING)


def _screen(pressed: Set[str], accept_digit: str | None) -> Command:
    """Keep the call, unless the called person was asked for a digit and never pressed it."""
    if accept_digit is None or accept_digit in pressed:
        return NoAction()
    return Hangup()
