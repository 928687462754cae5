"""Two people behind one virtual number of a pool, for a time: which rows that takes.

Two orders of the same two are two pairs: the `external_id` tells them apart, and none is one of its
own. A person never has two open pairs behind one number. A number that has connected them rests,
and comes back as late as can be: a person who calls back an old number should not reach somebody
new. The rows that have expired are the memory of that. No I/O and no clock: the list and the time
are passed in.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import phone
from commands import Dial
from phone import PhoneNumber
from routing import AllowList, Route
from tools.list_editor.changes import Cells, Edit, RowChanges, apply, number_cell, time_cell

People = tuple[PhoneNumber, PhoneNumber]

_NEVER = datetime.min.replace(tzinfo=UTC)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


class PairError(Exception):
    """Two people cannot be paired; the message says why and what to do."""


class NoneFreeError(PairError):
    """No number of the pool is free for the two."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The virtual number of a pair, and the changes that make it theirs.

    `renewed` is true if it was theirs before; then `ended` is when that would have ended, `None`
    for never.
    """

    number: PhoneNumber
    changes: RowChanges
    renewed: bool
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Rows that end now."""

    ended: tuple[Route, ...]
    changes: RowChanges


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows that go, and the lines of those that have to stay all the same: see `find_removable`."""

    removed: frozenset[int]
    kept: tuple[int, ...]

    @property
    def changes(self) -> RowChanges:
        """What that is to the list."""
        return RowChanges(removed=self.removed)


def read_people(one: str, other: str, home_country_code: str) -> People:
    """Read two numbers by the rules of a cell of the list.

    Raises `PhoneError` for what is no number, or the same one twice.
    """
    people = _person("A", one, home_country_code), _person("B", other, home_country_code)
    if people[0] == people[1]:
        shown = phone.redact(people[0])
        raise phone.PhoneError(f"A and B: wanted two people, got {shown} twice")
    return people


def _person(name: str, text: str, home_country_code: str) -> PhoneNumber:
    """Read a person's number. Raises `PhoneError`.

    Ten digits are refused where they may lack their country code, that of home or North America's
    1: somebody in another country would be called. A + says that it is there.
    """
    got = f"got {phone.mask_digits(text)!r}"
    try:
        number = phone.parse(text)
    except phone.PhoneError as error:
        raise phone.PhoneError(f"{name}: {error}, {got}") from None
    with_codes = [PhoneNumber(f"{code}{number}") for code in ("1", home_country_code) if code]
    may_lack_code = "+" not in text and len(number) == phone.NATIONAL_DIGITS
    if may_lack_code and any(map(phone.is_valid, with_codes)):
        raise phone.PhoneError(
            f"{name}: wanted a number with its country code, {got}; put the code in front, or a +"
            " if it is there"
        )
    return number


def check_people(people: People, own_numbers: Container[str]) -> None:
    """Raise `PairError` if one of them is a number of ours."""
    for number in people:
        if number in own_numbers:
            raise PairError(
                f"wanted a person's number, got {number}, a virtual number or masking ID of yours"
            )


def pair(
    allow_list: AllowList,
    pool: Sequence[PhoneNumber],
    people: People,
    *,
    ends: datetime,
    now: datetime,
    rest: timedelta,
    external_id: str | None = None,
    greeting: str | None = None,
) -> Pairing:
    """Choose a number of the pool for two people until `ends`.

    An open pair with this id keeps its number, and its greeting unless there is one. Any other gets
    the first number that neither person has in any row, or else the one whose last row of either
    expired longest ago. Rows of the pool that expired more than `rest` ago go. Raises `PairError`
    if there is no number or one of the two is ours.
    """
    check_people(people, {*allow_list.own_numbers, *pool})
    routes = list(allow_list)
    theirs = [route for route in routes if route.caller in people or route.destination in people]
    live = [route for route in theirs if _is_open(route, now)]
    number = _present(live, pool, people, external_id)
    renewed = [route for route in live if number in (route.dialled, route.masking_id)]
    if number is None:
        taken = {route.dialled for route in routes if route.caller is None}
        taken |= {one for route in routes for one in (route.caller, route.destination) if one}
        number = _free(theirs, [number for number in pool if number not in taken], now)
    said = greeting or next((route.greeting for route in renewed if route.greeting), None)
    both = _both_ways(people, number, ends, external_id, said)
    there = {route.caller: route for route in theirs if route.dialled == number}
    same = {
        route.caller: route.line
        for route in there.values()
        if renewed and _order(route) == (frozenset(people), external_id)
    }
    changed = {
        route.line: _renewal(route, number, ends, greeting)
        for route in there.values()
        if route.caller in same
    }
    added = tuple(row for row in both if row.caller not in same)
    since = now - rest
    old = [route for route in routes if _has_ended(route, since) and route.dialled in pool]
    old += [there[row.caller] for row in added if row.caller in there]
    changes = RowChanges(added, changed, find_removable(routes, old, added=added))
    return Pairing(number, changes, renewed=bool(renewed), ended=_end(renewed))


def unpair(
    allow_list: AllowList, people: People | None, external_id: str | None, now: datetime
) -> Ending:
    """End the open rows of these two, of this id, or of both: whatever is not `None` is asked for.

    They stay in the list, so that their numbers rest.
    """
    ended = tuple(
        route
        for route in allow_list
        if _is_open(route, now)
        and (people is None or {route.caller, route.destination} == set(people))
        and (external_id is None or route.dial.external_id == external_id)
    )
    cells = {"expires": time_cell(now.replace(microsecond=0))}
    return Ending(ended, RowChanges(changed={route.line: cells for route in ended}))


def addition(routes: Sequence[Route], *, now: datetime, note: str) -> Edit:
    """Return what adds routes, in place of expired rows for the same two people or masking IDs.

    An expired row that keeps its caller from a row for any caller stays.
    """

    def edit(lines: list[str], allow_list: AllowList) -> list[str]:
        old = [
            route
            for route in allow_list
            if route.expires and route.expires <= now and _is_for_one_of(route, routes)
        ]
        removed = find_removable(allow_list, old, added=routes)
        return apply(RowChanges(added=tuple(routes), removed=removed), lines, note=note)

    return edit


def _is_for_one_of(old: Route, routes: Iterable[Route]) -> bool:
    """Whether a route connects the same two people, or the same caller by the same number."""
    return any(
        old.caller == route.caller
        and (old.destination == route.destination or old.dialled == route.dialled)
        for route in routes
    )


def prune(allow_list: AllowList, before: datetime) -> Removal:
    """Remove the rows that expired before a time."""
    old = [route for route in allow_list if _has_ended(route, before)]
    removed = find_removable(allow_list, old)
    return Removal(removed, tuple(sorted({route.line for route in old} - removed)))


def find_removable(
    routes: Iterable[Route], expired: Iterable[Route], *, added: Iterable[Route] = ()
) -> frozenset[int]:
    """Return the lines of the expired rows that may go.

    A row for one caller stays where its `to` also has a row for any caller that stays: without it,
    somebody who is refused today would be connected by that one. It goes if one of the `added` rows
    is for the same caller and `to`, and so takes its place.
    """
    expired = tuple(expired)
    lines = {route.line for route in expired}
    for_anybody = {
        route.dialled for route in routes if route.caller is None and route.line not in lines
    }
    replaced = {(route.dialled, route.caller) for route in added}
    return frozenset(
        route.line
        for route in expired
        if route.dialled not in for_anybody or (route.dialled, route.caller) in replaced
    )


def _is_open(route: Route, now: datetime) -> bool:
    return route.expires is None or route.expires > now


def _has_ended(route: Route, before: datetime) -> bool:
    return route.expires is not None and route.expires < before


def _order(route: Route) -> tuple[object, str | None]:
    """Return which two people a route is for, in whichever direction, and which of their orders."""
    return frozenset((route.caller, route.destination)), route.dial.external_id


def _numbers(route: Route) -> Iterator[PhoneNumber]:
    """Yield the numbers of ours that a person of this route dials or sees."""
    yield from {route.dialled, route.masking_id}


def _present(
    live: Iterable[Route],
    pool: Iterable[PhoneNumber],
    people: People,
    external_id: str | None,
) -> PhoneNumber | None:
    """Return the number behind which these two, and neither with anybody else, have this order."""
    orders: dict[PhoneNumber, set[tuple[object, str | None]]] = {}
    for route in live:
        for number in _numbers(route):
            orders.setdefault(number, set()).add(_order(route))
    wanted = {(frozenset(people), external_id)}
    return next((number for number in pool if orders.get(number) == wanted), None)


def _end(renewed: Iterable[Route]) -> datetime | None:
    """Return when the last of these rows ends; `None` for never."""
    last = max((route.expires or _FOR_EVER for route in renewed), default=_FOR_EVER)
    return None if last == _FOR_EVER else last


def _both_ways(
    people: People,
    number: PhoneNumber,
    ends: datetime,
    external_id: str | None,
    greeting: str | None,
) -> list[Route]:
    return [
        Route(
            number, caller, Dial(called, number, external_id=external_id), ends, greeting=greeting
        )
        for caller, called in (people, people[::-1])
    ]


def _renewal(route: Route, number: PhoneNumber, ends: datetime, greeting: str | None) -> Cells:
    """Return the cells that an open row gets; all others stay."""
    cells = {"expires": time_cell(ends)}
    if route.masking_id != number:
        cells["caller_id_number"] = number_cell(number)
    if greeting:
        cells["greeting"] = greeting
    return cells


def _free(theirs: Iterable[Route], pool: Sequence[PhoneNumber], now: datetime) -> PhoneNumber:
    last: dict[PhoneNumber, datetime] = {}
    for route in theirs:
        for number in _numbers(route):
            last[number] = max(last.get(number, _NEVER), route.expires or _FOR_EVER)
    free = [number for number in pool if last.get(number, _NEVER) <= now]
    if not free:
        raise NoneFreeError(
            "wanted a number of virtual_numbers that neither of the two uses now, got none: each"
            " has an open row of one of them or a row for any caller, or is a person's; add a"
            " number to the setting, or end another pair of theirs with `unpair`"
        )
    return min(free, key=lambda number: last.get(number, _NEVER))
