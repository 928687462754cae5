"""Why nobody reaches a person, or why this person reaches nobody: from the list and the log.

The rows that a number is in and whether each of them connects now, the cell that comes nearest when
there is none, and which calls have to do with it. No I/O, no clock: the time is passed in.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import phone
from call_log.store import Row
from phone import PhoneNumber
from routing import AllowList, Reason, Route

MAX_EVENTS = 200_000
"""So many of the newest events of a log are gone through."""

_SAME_END = 7


class PersonRow(NamedTuple):
    """A row that a person is in, and why a call along it is refused now: `None` if it is not."""

    route: Route
    reason: Reason | None


class Likeness(StrEnum):
    """How a number resembles the one that was asked for."""

    SAME = "same"
    LACKS_1 = "same with 1 in front"
    SAME_END = "same last seven digits"
    ONE_DIGIT = "one digit differs"
    SWAPPED = "two digits swapped"


class Nearest(NamedTuple):
    """Where in the list a number is that resembles the one that was asked for."""

    line: int
    column: str
    number: PhoneNumber
    likeness: Likeness


def rows_of(number: PhoneNumber, allow_list: AllowList, now: datetime) -> list[PersonRow]:
    """Return the rows whose destination or caller is the number, in the order of the list."""
    return [
        PersonRow(route, refusal_of(route, allow_list, now))
        for route in allow_list
        if number in (route.destination, route.caller)
    ]


def refusal_of(route: Route, allow_list: AllowList, now: datetime) -> Reason | None:
    """Return why a call along a row is refused now, `None` if it is not.

    A row for any caller is judged by a caller whom no row names.
    """
    if route.caller is None:
        return Reason.EXPIRED if route.expires and route.expires <= now else None
    found = allow_list.find(route.dialled, route.caller, now)
    return found if isinstance(found, Reason) else None


def reached_as_anyone(number: PhoneNumber, allow_list: AllowList, now: datetime) -> list[PersonRow]:
    """Return the rows open to any caller that connect this one now.

    A row for any caller connects nobody for whom the same `to` has a row of their own.
    """
    return [
        PersonRow(route, None)
        for route in allow_list
        if route.caller is None and allow_list.find(route.dialled, number, now) == route
    ]


def nearest(number: PhoneNumber, allow_list: AllowList) -> Nearest | None:
    """Return the cell of the list that most resembles a number, the first of several.

    The very number goes first, then a person's number before one of ours: it is a person's number
    that was asked for.
    """
    alike = (
        Nearest(route.line, column, other, likeness)
        for route in allow_list
        for column, other in _cells(route)
        if (likeness := _likeness(number, other))
    )
    return min(alike, key=_distance, default=None)


def _cells(route: Route) -> Iterator[tuple[str, PhoneNumber]]:
    yield "to", route.dialled
    yield "destination", route.destination
    if route.caller is not None:
        yield "from", route.caller
    yield "caller_id_number", route.masking_id


def _distance(found: Nearest) -> tuple[bool, bool, bool]:
    """Return what is less, the nearer a number is: a wrong digit is as near as two swapped ones."""
    is_exact = found.likeness in (Likeness.SAME, Likeness.LACKS_1)
    is_persons = found.column in ("from", "destination")
    return not is_exact, not is_persons, found.likeness is not Likeness.SAME_END


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
        case [first, second] if second == first + 1 and sorted(one) == sorted(other):
            return Likeness.SWAPPED
        case _:
            return None


def own_and_others(
    incoming: Sequence[Row], number: PhoneNumber, rows: Iterable[PersonRow]
) -> tuple[list[Row], list[Row]]:
    """Return each `incoming_call` of the person's own calls, and of others to do with them.

    A call is the person's own if they called, whatever they dialled, or were dialled in reply.
    Others are those to the numbers that these rows are dialled by, and those from a number that is
    almost the person's. All that shares a reference id is one call, so repeats with other numbers
    go with it.
    """
    own = {each.reference_id for each in incoming if number in (each.caller, _destination(each))}
    dialled = {row.route.dialled for row in rows}
    others = {
        each.reference_id
        for each in incoming
        if each.dialled in dialled or is_almost(each.caller, number)
    } - own
    return (
        [each for each in incoming if each.reference_id in own],
        [each for each in incoming if each.reference_id in others],
    )


def _destination(incoming: Row) -> object:
    """Return the number that was dialled in reply, if one was; a purged call keeps none."""
    params = incoming.wire.get("params")
    return params.get("to") if isinstance(params, dict) else None


def is_almost(caller: str | None, number: PhoneNumber) -> bool:
    """Tell whether a caller, as the log keeps it, is not this number but ends like it.

    So it is with a phone whose number arrives without its country code, or in another form.
    """
    return caller is not None and caller != number and caller.endswith(number[-_SAME_END:])
