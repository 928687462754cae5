"""Few words of every event, of a million in a second: what a report counts needs no body.

Each event comes as a reference id, one whole number and a detail. The number is `time * KINDS` plus
a `Kind`; the time is when the event was first seen, in the log's microseconds. The detail is the
reason of a refusal or the status of a dial that failed.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import islice

from call_log.store import Store

EventOutline = tuple[str, int, str | None]
KINDS = 8


class Kind(IntEnum):
    """What an event means to a report."""

    OTHER = 0
    DIALLED = 1
    REFUSED = 2
    ANSWERED = 3
    DIAL_FAILED = 4
    COMPLETED = 5


_PAGE = 1_000
_PART = 20_000
_NOT_COUNTED = ("speak_completed", "call_leg_completed", "play_completed")
_COUNTED = " AND ".join(f"event <> '{each}'" for each in _NOT_COUNTED)
_COLUMNS = f"""
    reference_id,
    first_seen * {KINDS} + CASE event
        WHEN 'call_completed' THEN {Kind.COMPLETED:d}
        WHEN 'incoming_call' THEN CASE substr(reply, 1, 16)
            WHEN '{{"method":"dial"' THEN {Kind.DIALLED:d} ELSE {Kind.REFUSED:d} END
        WHEN 'dial_completed' THEN CASE
            WHEN status = 'answered' THEN {Kind.ANSWERED:d}
            WHEN status IS NOT NULL THEN {Kind.DIAL_FAILED:d} ELSE {Kind.OTHER:d} END
        ELSE {Kind.OTHER:d} END,
    coalesce(reason, nullif(status, 'answered'))
"""


def outlines(store: Store, since: int) -> Iterator[EventOutline]:
    """Yield the events that count, first seen from then on, in any order.

    A part of the log at a time, by `id`, which grows with the time: without the index of times a
    long answer comes sooner, and in parts it is not all in memory.
    """
    sql = f"SELECT {_COLUMNS} FROM call_event WHERE {_COUNTED}"  # noqa: S608
    # `+ 0` lets a database find them by the index of times, not by going through all others.
    bounds = "SELECT min(id + 0), max(id + 0) FROM call_event WHERE first_seen >= ?"
    ((first, last),) = store._execute(bounds, [since])
    if first is None:
        return
    for begin in range(first, last + 1, _PART):
        part = [begin, begin + _PART, since]
        yield from store._execute(f"{sql} AND id >= ? AND id < ? AND +first_seen >= ?", part)


def outlines_of(store: Store, reference_ids: Iterable[str]) -> Iterator[EventOutline]:
    """Yield every event of some calls, those of one call in the order in which they were kept."""
    for sql, ids in _pages(f"SELECT id, {_COLUMNS} FROM call_event", reference_ids):  # noqa: S608
        for _, *outline in sorted(store._execute(f"{sql} AND {_COUNTED}", ids)):
            reference_id, packed, detail = outline
            yield reference_id, packed, detail


def ends_of(store: Store, reference_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the body of each `call_completed` of some calls, with the call's id."""
    sql = "SELECT reference_id, body FROM call_event"
    for page, ids in _pages(sql, reference_ids):
        yield from store._execute(f"{page} AND event = 'call_completed'", ids)


def newest(store: Store, *, leaving_out: str) -> int | None:
    """Return when the newest event was first seen of a call whose id does not begin like this."""
    sql = f"""
        SELECT first_seen FROM call_event WHERE substr(reference_id, 1, {len(leaving_out)}) <> ?
        ORDER BY first_seen DESC LIMIT 1
    """  # noqa: S608 - a length
    found = store._execute(sql, [leaving_out])
    return int(found[0][0]) if found else None


def _pages(sql: str, reference_ids: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    ids = iter(reference_ids)
    while page := list(islice(ids, _PAGE)):
        yield f"{sql} WHERE reference_id IN ({', '.join('?' * len(page))})", page
