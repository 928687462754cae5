"""Why nobody reaches a person, or why this person reaches nobody: from the list and the log.

The rows that a number is in and whether each of them connects now, the row that comes nearest when
there is none, and which calls have to do with it. No I/O, no clock: the time is passed in.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import phone
from call_log.records import CallRecord, StoredEvent, record
from events import IncomingCall
from phone import NoNumber, PhoneNumber
from routing import AllowList, Reason, Route

MAX_EVENTS = 200_000
"""So many of the newest events of a log are gone through."""

_SAME_END = 7


class Part(StrEnum):
    """Which part a person plays in a row."""

    CALLER = "caller"
    DESTINATION = "destination"


class RowState(StrEnum):
    """Whether a row connects anybody now."""

    OPEN = "open"
    EXPIRES = "expires"
    EXPIRED = "expired"
    NEVER_CONNECTS = "never connects"


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A row that a person is in. `other` is the one at the other end, `None` for any caller.

    `expires_in_s` counts from now and is negative once the row has expired, `None` if it never
    does. `reason` is why a call along the row is refused, `None` if it is connected.
    """

    line: int
    part: Part
    dialled: PhoneNumber
    other: PhoneNumber | None
    state: RowState
    expires: datetime | None
    expires_in_s: float | None
    reason: Reason | None

    @property
    def is_open(self) -> bool:
        """Whether a call along the row is connected now."""
        return self.reason is None


class Likeness(StrEnum):
    """How a number resembles the one that was asked for."""

    SAME = "same"
    LACKS_1 = "same with 1 in front"
    SAME_END = "same last seven digits"
    ONE_DIGIT = "one digit differs"
    SWAPPED = "two digits swapped"


@dataclass(frozen=True, slots=True)
class Nearest:
    """Where in the list a number is that resembles the one that was asked for."""

    line: int
    column: str
    number: PhoneNumber
    likeness: Likeness

    @property
    def is_persons(self) -> bool:
        """Whether it is the number of a person, not one of ours."""
        return self.column in ("from", "destination")


@dataclass(frozen=True, slots=True)
class Incoming:
    """An `incoming_call` of the log: who dialled what, and why it was refused, if it was.

    `destination` is the number that was dialled in reply, if one was.
    """

    reference_id: str
    dialled: PhoneNumber | NoNumber
    caller: PhoneNumber | NoNumber
    reason: str | None
    first_seen: datetime
    destination: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """A call of the log, and the reasons for which later repeats of it were refused."""

    record: CallRecord
    later_reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Refusals:
    """How often calls were refused for one reason, and when the last of them came."""

    reason: str
    count: int
    last: datetime


def rows_of(number: PhoneNumber, allow_list: AllowList, now: datetime) -> list[PersonRow]:
    """Return the rows whose destination or caller is the number, in the order of the list."""
    return [
        _person_row(number, route, allow_list, now)
        for route in allow_list
        if number in (route.destination, route.caller)
    ]


def _person_row(
    number: PhoneNumber, route: Route, allow_list: AllowList, now: datetime
) -> PersonRow:
    part = Part.DESTINATION if route.destination == number else Part.CALLER
    # What no row names is decided by the row for any caller, and that is this one.
    found = allow_list.find(route.dialled, route.caller or NoNumber.WITHHELD, now)
    reason = found if isinstance(found, Reason) else None
    return PersonRow(
        line=route.line,
        part=part,
        dialled=route.dialled,
        other=route.caller if part is Part.DESTINATION else route.destination,
        state=_state(reason, route.expires),
        expires=route.expires,
        expires_in_s=None if route.expires is None else (route.expires - now).total_seconds(),
        reason=reason,
    )


def _state(reason: Reason | None, expires: datetime | None) -> RowState:
    if reason is Reason.EXPIRED:
        return RowState.EXPIRED
    if reason is not None:
        return RowState.NEVER_CONNECTS
    return RowState.OPEN if expires is None else RowState.EXPIRES


def reached_as_anyone(number: PhoneNumber, allow_list: AllowList, now: datetime) -> list[Route]:
    """Return the rows open to any caller that connect this one now.

    A row for any caller connects nobody for whom the same `to` has a row of their own.
    """
    return [
        route
        for route in allow_list
        if route.caller is None and allow_list.find(route.dialled, number, now) == route
    ]


def nearest(number: PhoneNumber, allow_list: AllowList) -> Nearest | None:
    """Return the cell of the list that most resembles a number, the first of several.

    The very number goes first, then a person's number before one of ours: it is a person's number
    that was asked for.
    """
    return min(_alike(number, allow_list), key=_distance, default=None)


def _distance(found: Nearest) -> tuple[bool, bool, bool]:
    """Return what is less, the nearer a number is: a wrong digit is as near as two swapped ones."""
    is_exact = found.likeness in (Likeness.SAME, Likeness.LACKS_1)
    return not is_exact, not found.is_persons, found.likeness is not Likeness.SAME_END


def _alike(number: PhoneNumber, allow_list: AllowList) -> Iterator[Nearest]:
    for route in allow_list:
        for column, other in _cells(route):
            likeness = _likeness(number, other)
            if likeness is not None:
                yield Nearest(route.line, column, other, likeness)


def _cells(route: Route) -> Iterator[tuple[str, PhoneNumber]]:
    yield "to", route.dialled
    yield "destination", route.destination
    if route.caller is not None:
        yield "from", route.caller
    yield "caller_id_number", route.masking_id


def _likeness(one: PhoneNumber, other: PhoneNumber) -> Likeness | None:
    if one == other:
        return Likeness.SAME
    if other == f"1{one}" and phone.lacks_north_american_1(one):
        return Likeness.LACKS_1
    if one[-_SAME_END:] == other[-_SAME_END:]:
        return Likeness.SAME_END
    if len(one) != len(other):
        return None
    differing = [place for place in range(len(one)) if one[place] != other[place]]
    match differing:
        case [_]:
            return Likeness.ONE_DIGIT
        case [first, second] if second == first + 1 and _is_swapped(one, other, first):
            return Likeness.SWAPPED
        case _:
            return None


def _is_swapped(one: str, other: str, place: int) -> bool:
    return one[place : place + 2] == other[place : place + 2][::-1]


def own_and_others(
    incoming: Sequence[Incoming], number: PhoneNumber, rows: Iterable[PersonRow]
) -> tuple[list[Incoming], list[Incoming]]:
    """Return the person's own calls, and the other calls that have to do with them.

    A call is the person's own if they called, whatever they dialled, or were dialled in reply.
    Others are those to the numbers that these rows are dialled by, and those from a number that is
    almost the person's. All that shares a reference id is one call, so repeats with other numbers
    go with it.
    """
    own = {each.reference_id for each in incoming if number in (each.caller, each.destination)}
    dialled: Set[object] = {row.dialled for row in rows}
    others = {
        each.reference_id
        for each in incoming
        if each.dialled in dialled or is_almost(each.caller, number)
    } - own
    return (
        [each for each in incoming if each.reference_id in own],
        [each for each in incoming if each.reference_id in others],
    )


def is_almost(caller: PhoneNumber | NoNumber, number: PhoneNumber) -> bool:
    """Tell whether a caller is not this number, but ends in its last seven digits.

    So it is with a phone whose number arrives without its country code, or in another form.
    """
    digits = caller.digits if isinstance(caller, NoNumber) else caller
    return caller != number and digits.endswith(number[-_SAME_END:])


def refusals(calls: Iterable[Incoming]) -> list[Refusals]:
    """Return how many of these calls were refused for which reason, the most frequent first."""
    found: dict[str, list[datetime]] = {}
    for each in calls:
        if each.reason is not None:
            found.setdefault(each.reason, []).append(each.first_seen)
    counted = [Refusals(reason, len(times), max(times)) for reason, times in found.items()]
    return sorted(counted, key=lambda each: (-each.count, each.reason))


def logged_call(call: Sequence[StoredEvent], now: datetime) -> LoggedCall:
    """Return a call as it is shown: its record keeps only the reason of the first reply."""
    incoming = [each for each in call if isinstance(each.event, IncomingCall)]
    reasons = dict.fromkeys(each.reason for each in incoming[1:] if each.reason)
    return LoggedCall(record(call, now), list(reasons))
