"""Why nobody reaches a person, or why this person reaches nobody: from the list and the log.

The rows that a number is in and whether each of them connects now, the cell that comes nearest when
there is none, and which calls have to do with it. No I/O, no clock: the time is passed in.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from phone import PhoneNumber
from routing import AllowList, Reason, Route
from tools.history import conditions, times
from tools.history.conditions import Condition
from tools.list_advice.lint import lacks_north_american_1
from tools.list_advice.nearest_cause import SAME_END

_MAX_VALUES = 30_000  # databases limit the values of a statement


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


def state(row: PersonRow, now: datetime) -> str:
    """Return whether a row connects anybody now, and how long it has done or will do so."""
    left_s = (row.route.expires - now).total_seconds() if row.route.expires else 0.0
    if row.reason is Reason.EXPIRED:
        return f"expired {times.in_two_units(-left_s)} ago"
    if row.reason is not None:
        return f"never connects: {row.reason}"
    return f"open, expires in {times.in_two_units(left_s)}" if row.route.expires else "open"


def open_rows_for(number: PhoneNumber, allow_list: AllowList, now: datetime) -> list[PersonRow]:
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
    if other == f"1{one}" and lacks_north_american_1(one):
        return Likeness.LACKS_1
    if one[-SAME_END:] == other[-SAME_END:]:
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


def rows_behind(number: PhoneNumber, allow_list: AllowList, now: datetime) -> list[PersonRow]:
    """Return the rows that one of our own numbers is dialled by, or shown by."""
    return [
        PersonRow(route, refusal_of(route, allow_list, now))
        for route in allow_list
        if number in (route.dialled, route.masking_id)
    ]


def own_calls(number: PhoneNumber) -> Condition:
    """Return what the person's own calls are like: they called, or were called."""
    return conditions.is_equal("caller", number) | conditions.is_equal("destination", number)


def other_calls(number: PhoneNumber, rows: Iterable[PersonRow]) -> Condition:
    """Return what others are like that have to do with the person.

    They are to the numbers that these rows are dialled by, or from a number that is almost the
    person's.
    """
    dialled = list(dict.fromkeys(row.route.dialled for row in rows))[:_MAX_VALUES]
    others = conditions.is_one_of("dialled", dialled) | almost_from(number)
    return others & ~own_calls(number)


def calls_behind(number: PhoneNumber) -> Condition:
    """Return what the calls by way of one of our own numbers are like."""
    return conditions.is_equal("dialled", number) | conditions.is_equal("masking_id", number)


def almost_from(number: PhoneNumber) -> Condition:
    """Return what a call is like from a number that is not this one but ends like it.

    So it is with a phone whose number arrives without its country code, or in another form.
    """
    is_this = conditions.is_equal("caller", number)
    return conditions.ends_in("caller", number[-SAME_END:]) & ~is_this
