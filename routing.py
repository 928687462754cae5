"""Who may reach whom: the routes of the allow-list, and `decide`, which answers every event.

Denied by default: a call is connected only along a route, to the route's destination, showing the
route's masking ID. `AllowList` cannot be built from routes that would show a real number or loop.
No I/O, no clock, no settings: what a decision depends on is passed in.
"""

from collections.abc import Iterable, Iterator, Set
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import calls
from calls import CallState, Decision, Timestamp
from commands import Dial, Hangup, NoAction, Prompts
from events import CallLegCompleted, DialCompleted, Event, IncomingCall, SpeakCompleted
from phone import NoNumber, PhoneNumber, redact

REPEAT_WINDOW_S = 120
"""For this long a repeated `incoming_call` is a delivery tried again; later it is a replay."""

_MASKING_ID = "also a masking ID: a person's real number would be shown to others"
_VIRTUAL_NUMBER = "a virtual number: the call would loop"


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


class Route(NamedTuple):
    """One row of the allow-list: a caller who dials `dialled` is connected by `dial`.

    `caller` is `None` for any caller. From `expires` on, an aware time, the route connects nobody.
    `line` is the row's line in its file. The called person hears `greeting` in this `language`;
    `None` leaves it to the settings.
    """

    dialled: PhoneNumber
    caller: PhoneNumber | None
    dial: Dial
    expires: datetime | None = None
    line: int = 0
    greeting: str | None = None
    language: str | None = None

    @property
    def destination(self) -> PhoneNumber:
        """The real number that is called."""
        return self.dial.destination

    @property
    def masking_id(self) -> PhoneNumber:
        """The number of ours that the called person sees."""
        return self.dial.masking_id


class RowFault(NamedTuple):
    """What is wrong in one line of an allow-list; line 0 is for the whole list."""

    line: int
    message: str

    def at(self, file: object) -> str:
        """Return the fault with its place, as an operator reads it."""
        return f"{file}:{self.line}: {self.message}" if self.line else f"{file}: {self.message}"


class AllowListError(Exception):
    """The allow-list cannot be used; `faults` are all of its faults, by line.

    `unreadable` if the file could not be opened or read: another try may succeed although the file
    does not change.
    """

    def __init__(self, faults: Iterable[RowFault], *, unreadable: bool = False) -> None:
        self.faults = sorted(faults)
        self.unreadable = unreadable
        super().__init__(f"{len(self.faults)} faults in the allow-list")


# Plain tuples of numbers, times and lines: the garbage collector stops looking at such after the
# first time. A million routes as objects would be looked at again and again, while callers wait.
_Key = tuple[PhoneNumber, PhoneNumber | None]
_Texts = tuple[str | None, str | None, str | None, str | None]
_Row = tuple[PhoneNumber, PhoneNumber, int | None, datetime | None, _Texts, int]
_NO_TEXTS: _Texts = (None, None, None, None)  # shared by the rows that have none, which are most


def _row(route: Route) -> _Row:
    dial = route.dial
    texts = dial.send_dtmf, dial.external_id, route.greeting, route.language
    numbers = dial.destination, dial.masking_id
    shared = _NO_TEXTS if texts == _NO_TEXTS else texts
    return *numbers, dial.max_call_duration_s, route.expires, shared, route.line


def _route(key: _Key, row: _Row) -> Route:
    destination, masking_id, duration_s, expires, (keys, external_id, *spoken), line = row
    dial = Dial(destination, masking_id, duration_s, keys, external_id)
    return Route(*key, dial, expires, line, *spoken)


_cached_route = lru_cache(maxsize=4096)(_route)  # to build one takes longer than to decide


class AllowList:
    """All routes. Raises `AllowListError` for routes that contradict each other.

    `default_masking_id` is the setting `caller_id_number`: a masking ID of ours even if no route
    uses it. The `pool` is `virtual_numbers`: no caller has one of them. With `refuses_withheld`, a
    route for any caller is for none without a telephone number.

    A look-up costs two dictionary reads, however long the list is.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        default_masking_id: PhoneNumber | None = None,
        pool: Iterable[PhoneNumber] = (),
        refuses_withheld: bool = False,
    ) -> None:
        self.refuses_withheld = refuses_withheld
        self._rows: dict[_Key, _Row] = {}
        faults = []
        for route in routes:
            row = _row(route)
            first = self._rows.setdefault((route.dialled, route.caller), row)
            if first is not row:
                got = f"got the same as in line {first[-1]}"
                faults.append(RowFault(route.line, f"to, from: wanted each pair only once, {got}"))
        self._listed = {dialled for dialled, _ in self._rows}
        masking_ids = {row[1] for row in self._rows.values()}
        if default_masking_id is not None:
            masking_ids.add(default_masking_id)
        virtual = {key[0] for key, row in self._rows.items() if key[0] != row[0]}
        self.own_numbers: Set[PhoneNumber] = masking_ids | virtual | {*pool}
        faults += _conflicts(self._rows, masking_ids, virtual)
        if faults:
            raise AllowListError(faults)

    def __iter__(self) -> Iterator[Route]:
        return map(_route, self._rows.keys(), self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def lists(self, number: PhoneNumber) -> bool:
        """Whether any row has the number as `to`."""
        return number in self._listed

    def find(
        self, dialled: PhoneNumber | NoNumber, caller: PhoneNumber | NoNumber, now: datetime
    ) -> Route | Reason:
        """Return the route of a call, or the reason why it has none.

        A route for this very caller is looked up first; an expired one does not fall through to the
        route for any caller. A caller who withholds their number, or has none that is a telephone
        number, can only take the latter, if at all, and never with one of our own numbers in
        theirs.
        """
        if isinstance(dialled, NoNumber):
            return Reason.BAD_NUMBER
        if _is_one_of(caller, self.own_numbers):
            return Reason.LOOP
        named = None if isinstance(caller, NoNumber) else caller
        key: _Key = (dialled, named)
        row = self._rows.get(key) or self._rows.get(key := (dialled, None))
        if row is None or (named is None and self.refuses_withheld):
            return _caller_refusal(caller) if self.lists(dialled) else Reason.NOT_LISTED
        route = _cached_route(key, row)
        if route.expires is not None and route.expires <= now:
            return Reason.EXPIRED
        if _is_one_of(caller, {route.destination}):
            return Reason.CALLER_IS_DESTINATION
        return route

    def greeting_of(self, call: CallState) -> tuple[str | None, str | None]:
        """Return what the row of a call that was dialled says and in which language, if it does.

        That row counts whatever its `expires` says by now, as long as it dials the same person.
        """
        if call.incoming is not None:
            for caller in call.incoming.caller, None:
                row = self._rows.get((call.incoming.dialled, caller))  # type: ignore[arg-type]
                if row is not None and row[0] == call.dial.get("to"):
                    return row[4][2:]
        return None, None


def _is_one_of(caller: PhoneNumber | NoNumber, numbers: Set[PhoneNumber]) -> bool:
    """Whether the caller has one of these numbers, also within a SIP address or after a `00`."""
    if isinstance(caller, NoNumber):
        return caller.holds_any(numbers)
    return caller in numbers


def _caller_refusal(caller: PhoneNumber | NoNumber) -> Reason:
    """Return why a caller is refused for whom no row of a listed number is."""
    if caller == NoNumber.WITHHELD:
        return Reason.CALLER_WITHHELD
    return Reason.BAD_NUMBER if isinstance(caller, NoNumber) else Reason.CALLER_NOT_LISTED


def _conflicts(
    rows: dict[_Key, _Row], masking_ids: Set[PhoneNumber], virtual: Set[PhoneNumber]
) -> Iterator[RowFault]:
    """Yield a fault for each number of a row whose role excludes another that it has in any row.

    A masking ID is shown to others, so it is nobody's real number. A virtual number, which is one
    of our own too, is a `to` that reaches another number.
    """
    reached_directly = {key[0] for key, row in rows.items() if key[0] == row[0]}
    for (dialled, caller), row in rows.items():
        destination, line = row[0], row[-1]
        is_virtual = dialled != destination
        if is_virtual and dialled in reached_directly:
            wanted = f"wanted {redact(dialled)} itself, as in another row with this `to`"
            yield RowFault(line, f"destination: {wanted}, got {redact(destination)}")
        if is_virtual and destination in virtual:
            yield _want_person(line, "destination", destination, _VIRTUAL_NUMBER)
        elif destination in masking_ids:
            yield _want_person(line, "destination", destination, _MASKING_ID)
        if caller is not None and caller in masking_ids:
            yield _want_person(line, "from", caller, _MASKING_ID)


def _want_person(line: int, column: str, number: PhoneNumber, what: str) -> RowFault:
    got = f"got {redact(number)}, which is {what}"
    return RowFault(line, f"{column}: wanted a person's number, {got}")


def decide(
    event: Event, call: CallState, allow_list: AllowList, prompts: Prompts, now: Timestamp
) -> Decision:
    """Answer an event, given the state of its call before it; every event has an answer.

    One that has no row here leaves the call as it is: a live call is never cut by a late or second
    report, an event that TeleSign may add one day, or for want of a memory.
    """
    match event:
        case IncomingCall() if call.incoming is None and not call.completed:
            return _connect_or_refuse(event, allow_list, prompts, now)
        case IncomingCall():
            return _repeat(event, call, _connect_or_refuse(event, allow_list, prompts, now), now)

        # An answered call to which something was spoken to its end has been greeted.
        case DialCompleted(status=calls.ANSWERED) if not (call.answered and call.spoken):
            greeting = prompts.greet(*allow_list.greeting_of(call))
            return Decision(greeting, accept_digit=prompts.accept_digit)
        case DialCompleted(status=str()) if not (call.answered or call.completed):
            return Decision(prompts.unavailable)

        case SpeakCompleted() if call.was_refused or call.dial_failed:
            return Decision(Hangup())
        case SpeakCompleted() if not call.accepts(event.collected_digits):
            return Decision(Hangup())

        case CallLegCompleted() if not call.dial_failed:  # else a message may be playing
            return Decision(Hangup())

        case _:
            return Decision(NoAction())


def _connect_or_refuse(
    event: IncomingCall, allow_list: AllowList, prompts: Prompts, now: Timestamp
) -> Decision:
    found = allow_list.find(event.dialled, event.caller, now.utc)
    if isinstance(found, Reason):
        return Decision(prompts.refusals.get(found, prompts.refusal), reason=found)
    return Decision(found.dial, row_line=found.line)


def _repeat(event: IncomingCall, call: CallState, today: Decision, now: Timestamp) -> Decision:
    """Answer an `incoming_call` of a known call: as before if `today` is the same, else hang up."""
    if call.incoming is not None and call.incoming != event:
        return Decision(Hangup(), reason=Reason.CONFLICTING)
    if call.completed or now.monotonic_s - call.first_seen_s > REPEAT_WINDOW_S:
        return Decision(Hangup(), reason=Reason.REPLAYED)
    if call.reply == today.command.to_wire():
        return today
    return Decision(Hangup(), reason=today.reason or Reason.CONFLICTING)
