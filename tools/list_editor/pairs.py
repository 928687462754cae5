"""Two people behind one virtual number of a pool, for a time: which rows that takes.

A person never has two partners behind one number at a time, and a number that has connected them
comes back as late as can be: a person who calls back an old number should not reach somebody new.
No I/O and no clock: the list and the time are passed in.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from commands import Dial
from phone import PhoneNumber, redact
from routing import AllowList, Route
from tools.list_editor.changes import RowChanges

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
class Removal:
    """Rows that go, and the lines of those that have to stay all the same: see `find_removable`."""

    removed: tuple[Route, ...]
    kept: tuple[int, ...]

    @property
    def changes(self) -> RowChanges:
        """What that is to the list."""
        return RowChanges(removed=frozenset(route.line for route in self.removed))


def pair(
    allow_list: AllowList,
    pool: Sequence[PhoneNumber],
    people: People,
    *,
    ends: datetime,
    now: datetime,
) -> Pairing:
    """Choose a number of the pool for two people until `ends`.

    An open pair keeps its number. Any other gets the first one that neither person has in any row,
    or else the one whose last row of either expired longest ago. Raises `PairError` if there is
    none or the two are no two people.
    """
    _check_people(people, {*allow_list.own_numbers, *pool})
    routes = list(allow_list)
    theirs = [route for route in routes if route.caller in people or route.destination in people]
    number = _present(theirs, pool, people, now)
    if number is not None:
        changes = _rows(theirs, number, people, ends)
        return Pairing(number, changes, renewed=True, ended=_end(theirs, number, people))
    for_anybody = {route.dialled for route in routes if route.caller is None}
    number = _free(theirs, [number for number in pool if number not in for_anybody], now)
    return Pairing(number, _rows(theirs, number, people, ends), renewed=False)


def unpair(allow_list: AllowList, people: People, now: datetime) -> Removal:
    """Remove every row that connects just these two, behind whichever number."""
    theirs = _between(allow_list, people)
    expired = [route for route in theirs if route.expires is not None and route.expires <= now]
    return _remove(allow_list, theirs, expired)


def prune(allow_list: AllowList, before: datetime) -> Removal:
    """Remove the rows that expired before a time."""
    old = [route for route in allow_list if route.expires is not None and route.expires < before]
    return _remove(allow_list, old, old)


def _remove(allow_list: AllowList, routes: Iterable[Route], expired: Sequence[Route]) -> Removal:
    """Remove routes, but of the expired ones among them only those that may go."""
    kept = {route.line for route in expired} - find_removable(allow_list, expired)
    removed = tuple(route for route in routes if route.line not in kept)
    return Removal(removed, tuple(sorted(kept)))


def find_removable(
    allow_list: AllowList, expired: Iterable[Route], *, added: Iterable[Route] = ()
) -> frozenset[int]:
    """Return the lines of the expired rows that may go.

    A row for one caller stays where its `to` also has a row for any caller that stays: without it,
    somebody who is refused today would be connected by that one. It goes if one of the `added` rows
    is for the same caller and `to`, and so takes its place.
    """
    expired = tuple(expired)
    lines = {route.line for route in expired}
    for_anybody = {
        route.dialled for route in allow_list if route.caller is None and route.line not in lines
    }
    replaced = {(route.dialled, route.caller) for route in added}
    return frozenset(
        route.line
        for route in expired
        if route.dialled not in for_anybody or (route.dialled, route.caller) in replaced
    )


def _between(routes: Iterable[Route], people: People) -> list[Route]:
    return [route for route in routes if {route.caller, route.destination} == set(people)]


def _check_people(people: People, own_numbers: set[PhoneNumber]) -> None:
    for number in people:
        if number in own_numbers:
            raise PairError(
                f"wanted a person's number, got {number}, a virtual number or masking ID of yours"
            )
    if people[0] == people[1]:
        raise PairError(f"wanted the numbers of two people, got {redact(people[0])} twice")


def _numbers(route: Route) -> Iterator[PhoneNumber]:
    """Yield the numbers of ours that a person of this route dials or sees."""
    yield from {route.dialled, route.masking_id}


def _present(
    theirs: Iterable[Route], pool: Iterable[PhoneNumber], people: People, now: datetime
) -> PhoneNumber | None:
    """Return the number behind which these two, and neither with anybody else, are connected."""
    partners: dict[PhoneNumber, set[frozenset[PhoneNumber | None]]] = {}
    for route in theirs:
        if route.expires is None or route.expires > now:
            for number in _numbers(route):
                partners.setdefault(number, set()).add(frozenset((route.caller, route.destination)))
    return next((number for number in pool if partners.get(number) == {frozenset(people)}), None)


def _end(theirs: Iterable[Route], number: PhoneNumber, people: People) -> datetime | None:
    """Return when the last row of these two behind a number ends; `None` for never."""
    ends = [route.expires for route in _between(theirs, people) if number in _numbers(route)]
    last = max(end or _FOR_EVER for end in ends)
    return None if last == _FOR_EVER else last


def _free(theirs: Iterable[Route], pool: Sequence[PhoneNumber], now: datetime) -> PhoneNumber:
    last: dict[PhoneNumber, datetime] = {}
    for route in theirs:
        for number in _numbers(route):
            last[number] = max(last.get(number, _NEVER), route.expires or _FOR_EVER)
    free = [number for number in pool if last.get(number, _NEVER) <= now]
    if not free:
        raise NoneFreeError(
            "wanted a number of virtual_numbers that neither of the two uses now, got none: each"
            " has an open row of one of them, or a row for any caller; add a number to the"
            " setting, or unpair one of them from somebody else"
        )
    return min(free, key=lambda number: last.get(number, _NEVER))


def _rows(
    theirs: Iterable[Route], number: PhoneNumber, people: People, ends: datetime
) -> RowChanges:
    """Return the changes after which the number connects the two, each way, until `ends`.

    A row of the same caller for somebody else has expired, and makes room.
    """
    there = {route.caller: route for route in theirs if route.dialled == number}
    added, changed, removed = [], [], set()
    for caller, destination in (people, people[::-1]):
        row = Route(number, caller, Dial(destination, number), ends)
        before = there.get(caller)
        if before is not None and before.destination == destination:
            changed.append(replace(row, line=before.line))
            continue
        added.append(row)
        if before is not None:
            removed.add(before.line)
    return RowChanges(tuple(added), tuple(changed), frozenset(removed))
