"""The calls of a log from any place back to older ones: a part at a time, however long the log is.

A place is an `id` of a row, as they were kept one after the other. A call stands where the newest
of its events does that are looked for, and so on one page only.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from call_log.store import Store

MAX_EVENTS, MAX_TEXTS = 100_000, 20_000
"""So many events, or so many with their texts, are looked at in one go: 0.1 s of work."""

LAST = 2**62

# `+ 0` lets a database go through the events of the time, not through all others by `id`. By time
# the first and the last may be others: a clock may have been set back.
_OF_TIME = "SELECT {}(id + 0) FROM call_event WHERE first_seen >= ? AND first_seen < ?"
_OF_ALL = "SELECT {}(id) FROM call_event"
_STEP = 1_000
_TEXTS = "dialled, caller, reply, body"
_NO_TEXTS = "'', '', '', ''"


@dataclass(frozen=True, slots=True)
class Sought:
    """Which events are looked for: of a time in the log's microseconds, of a reason, with a text.

    `has_text` is a test of a number as it was read, of a reply or of a body.
    """

    since: int = 0
    until: int = LAST
    reason: str | None = None
    has_text: Callable[[str], bool] | None = None


class NewestCalls:
    """An iterator over calls, the last active first, that begins before a place.

    `reached` is the place from which to go on with older calls, 0 if there are none.
    """

    def __init__(self, store: Store, sought: Sought, before: int = LAST) -> None:
        self._store, self._sought, self._before = store, sought, before
        self.reached = before

    def __iter__(self) -> Iterator[str]:
        first, last = self._bounds()
        seen: set[str] = set()
        begin = end = min(self._before, last + 1)
        most = MAX_EVENTS if self._sought.has_text is None else MAX_TEXTS
        while first < begin and end - begin < most:
            newer, begin = begin, max(begin - _STEP, first)
            found = dict[str, int]()
            for place, reference_id in self._rows("id >= ? AND id < ?", [begin, newer]):
                if reference_id not in seen:
                    found.setdefault(reference_id, place)
            seen |= found.keys()
            for reference_id in self._not_on_earlier_pages([*found]):
                self.reached = found[reference_id]
                yield reference_id
            self.reached = begin
        self.reached = begin if first < begin else 0

    def _bounds(self) -> tuple[int, int]:
        """Return the places of the first and the last event of the time; 1 and 0 if none is."""
        since, until = self._sought.since, self._sought.until
        first = self._end("min", [since, until] if since else [])
        last = self._end("max", [since, until] if until < LAST else [])
        return (1, 0) if first is None or last is None else (first, last)

    def _end(self, which: str, times: Sequence[int]) -> int | None:
        sql = _OF_TIME if times else _OF_ALL
        found: int | None = self._store._execute(sql.format(which), times)[0][0]
        return found

    def _rows(self, where: str, values: Sequence[object]) -> Iterator[tuple[int, str]]:
        """Yield place and call of the events that are looked for, the newest first."""
        sought = self._sought
        texts = _NO_TEXTS if sought.has_text is None else _TEXTS
        sql = f"SELECT id, reference_id, {texts} FROM call_event WHERE {where}"  # noqa: S608
        sql += " AND first_seen >= ? AND first_seen < ?"
        values = [*values, sought.since, sought.until]
        if sought.reason is not None:
            sql, values = f"{sql} AND reason = ?", [*values, sought.reason]
        for place, reference_id, dialled, caller, reply, body in sorted(
            self._store._execute(sql, values), reverse=True
        ):
            if sought.has_text is None or any(
                map(sought.has_text, (dialled or "", caller or "", reply, bytes(body).decode()))
            ):
                yield place, reference_id

    def _not_on_earlier_pages(self, ids: list[str]) -> list[str]:
        if self._before == LAST or not ids:
            return ids
        where = f"id >= ? AND reference_id IN ({', '.join('?' * len(ids))})"
        shown = {each for _, each in self._rows(where, [self._before, *ids])}
        return [each for each in ids if each not in shown]
