"""What commands and pages read: settings and list without a key, and the calls of the log.

Here alone is known how calls are found in the log. One that is over is a row of the table of
records. What has no end yet is folded from its events, by the same function.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from call_log import writer
from call_log.store import (
    NO_LOG,
    RECORD_COLUMNS,
    SCHEMA_VERSION,
    Store,
    StoreError,
    microseconds,
    number_of,
    utc,
)
from config import API_KEY, CUSTOMER_ID, ConfigError, Settings
from phone import NoNumber, PhoneNumber
from records import MAX_CALL, SIMULATED, CallRecord, Disposition, StoredEvent, fold
from routing import AllowList
from serving.sources import load, read_settings
from tools.history import conditions
from tools.history.conditions import Condition
from tools.history.totals import CallSummary, by_frequency, summary_of

LogError = StoreError
"""What reading raises where the log cannot be read; the message says why, and what to do."""

_T = TypeVar("_T", bound=tuple[Any, ...])
_PAGE = 200
_TEXTS = 1_000
_COLUMNS = ", ".join(RECORD_COLUMNS)
_ALL = "SELECT DISTINCT reference_id FROM call_event"
# With DISTINCT a database may prefer to go through the ids of the whole log.
_OPEN_CALLS = """
SELECT reference_id FROM call_event
WHERE id > (SELECT recorded_to FROM record_counter) AND NOT EXISTS (
    SELECT * FROM call_record WHERE call_record.reference_id = call_event.reference_id
)
"""


class Parties(NamedTuple):
    """Who is in a call: numbers as the log has them. Where it stands is `began`, then `number`."""

    reference_id: str
    began: int
    number: int
    caller: str | None
    dialled: str | None
    destination: str | None
    masking_id: str | None


def is_missing(error: LogError) -> bool:
    """Return whether there is no log yet, and nothing is wrong with one."""
    return NO_LOG in str(error)


def settings_of(path: Path | None) -> Settings:
    """Return the settings; the allow-list may be faulty. Raises `ConfigError` for faults."""
    settings, faults = read_settings(path, _without_key(), serving=False)
    if faults:
        raise ConfigError(faults)
    return settings


def settings_and_list(path: Path | None) -> tuple[Settings, AllowList]:
    """Return both. Raises `ConfigError` for faults."""
    settings, live = load(path, _without_key(), serving=False)
    return settings, live.current


def _without_key() -> dict[str, str]:
    """Return the environment: nobody is answered here, so a missing key is in nobody's way."""
    return {name: text for name, text in os.environ.items() if name not in (CUSTOMER_ID, API_KEY)}


def store_of(settings: Settings) -> Store:
    """Return the store of the log, not yet open. Raises `StoreError` where none is kept."""
    if not settings.call_log:
        raise StoreError("call_log is empty, so no call is kept")
    store = writer.store_of(settings.call_log)
    store.home = settings.home_country_code
    return store


@contextlib.contextmanager
def reading(settings: Settings) -> Iterator["StoredCalls"]:
    """Open the log to read it. Raises `StoreError`, also where none is kept."""
    store = store_of(settings)
    store.open(write=False)
    try:
        yield StoredCalls(store)
    finally:
        store.close()


class StoredCalls:
    """The calls of an open log."""

    def __init__(self, store: Store) -> None:
        self.store = store
        # An older log that is only read has no table of them.
        self._has_records = store.version >= SCHEMA_VERSION
        self._open_calls: list[CallRecord] | None = None

    def records(
        self, wanted: Condition, now: datetime, limit: int | None = None
    ) -> list[CallRecord]:
        """Return the records that pass, the call that began last first; at most so many."""
        # First those without an end: a call that ends meanwhile is found twice, and not never.
        open_calls = filter(wanted.passes, self.open_calls(now))
        records = {record.reference_id: record for record in open_calls}
        records |= {record.reference_id: record for record in self._select(wanted, limit)}
        newest = sorted(records.values(), key=place_of, reverse=True)
        return newest[:limit]

    def count(self, wanted: Condition, now: datetime) -> int:
        """Return how many calls pass."""
        open_calls = sum(map(wanted.passes, self.open_calls(now)))
        sql = f"SELECT count(*) FROM call_record WHERE {wanted.sql}"  # noqa: S608 - our own words
        written_down: int = sum(count for (count,) in self._execute(sql, wanted.values))
        return open_calls + written_down

    def refusals(self, wanted: Condition, now: datetime) -> dict[str, int]:
        """Return how many calls that pass were refused for which reason, most frequent first."""
        reasons = Counter(
            record.reason
            for record in self.open_calls(now)
            if record.reason and wanted.passes(record)
        )
        sql = f"SELECT reason, count(*) FROM call_record WHERE {wanted.sql} AND reason IS NOT NULL"  # noqa: S608
        reasons.update(dict(self._execute(f"{sql} GROUP BY reason", wanted.values)))
        return by_frequency(reasons)

    def open_calls(self, now: datetime) -> list[CallRecord]:
        """Return the record of each call that was not written down when this was first asked."""
        if self._open_calls is None:
            sql = _OPEN_CALLS if self._has_records else _ALL
            ids = dict.fromkeys(reference_id for (reference_id,) in self.store.execute(sql))
            self._open_calls = [_fold(events, now) for _, events in self._read_events(ids)]
        return self._open_calls

    def _execute(self, sql: str, values: Sequence[object]) -> list[Any]:
        """Run a query on the table of records, of which an older log has none."""
        return self.store.execute(sql, values) if self._has_records else []

    def _select(self, wanted: Condition, limit: int | None) -> Iterator[CallRecord]:
        sql = f"SELECT {_COLUMNS} FROM call_record WHERE {wanted.sql} ORDER BY began DESC"  # noqa: S608
        limited = "" if limit is None else f", number DESC LIMIT {limit:d}"
        return map(record_of, self._execute(sql + limited, wanted.values))

    def check_version(self) -> None:
        """Raise `StoreError` if calls are not written down here yet."""
        if not self._has_records:
            raise StoreError(
                f"{self.store.place}: wanted a call log of version {SCHEMA_VERSION}, got"
                f" {self.store.version}; a server that opens it brings it up to date"
            )

    def newest(self) -> int:
        """Return the number of the record that was written down last; 0 if there was none yet."""
        ((number,),) = self.store.execute("SELECT number FROM record_counter")
        return int(number)

    def records_between(
        self, after: int, to: int, wanted: Condition, limit: int
    ) -> list[CallRecord]:
        """Return the records that pass with a number in between, by number; at most so many."""
        within = "number > ? AND number <= ?"
        sql = f"SELECT {_COLUMNS} FROM call_record WHERE {within} AND {wanted.sql}"  # noqa: S608
        ordered = f"{sql} ORDER BY number LIMIT {limit:d}"
        return [*map(record_of, self.store.execute(ordered, [after, to, *wanted.values]))]

    def events_of(self, reference_ids: Iterable[str]) -> Iterator[Sequence[StoredEvent]]:
        """Yield what is kept of each of some calls, in this order; of none, if it was purged."""
        ids = iter(reference_ids)
        while page := list(islice(ids, _PAGE)):
            kept = dict(self._read_events(page, purged=True))
            yield from (kept[reference_id] for reference_id in page if reference_id in kept)

    def call(
        self, reference_id: str, now: datetime
    ) -> tuple[CallRecord, Sequence[StoredEvent]] | None:
        """Return one call, also what is left of a purged one; `None` if there is none."""
        events = next(self.events_of([reference_id]), None)
        if events is None:
            return None
        same = conditions.is_call(reference_id)
        return next(self._select(same, 1), None) or _fold(events, now), events

    def summaries(self, since: datetime, until: datetime, now: datetime) -> Iterator[CallSummary]:
        """Yield what is counted of each call that began within a time."""
        within = conditions.began_from(since) & conditions.began_before(until)
        return self._few(CallSummary._fields, summary_of, within, now)

    def parties(self, wanted: Condition, now: datetime) -> Iterator[Parties]:
        """Yield who is in each call that passes."""
        return map(Parties._make, self._few(Parties._fields, parties_of, wanted, now))

    def _few(
        self,
        columns: Sequence[str],
        of: Callable[[CallRecord], _T],
        wanted: Condition,
        now: datetime,
    ) -> Iterator[_T]:
        """Yield few columns of each call that passes, the first of which is its reference id."""
        # First those without an end, as above.
        open_calls = {record.reference_id: record for record in self.open_calls(now)}
        sql = f"SELECT {', '.join(columns)} FROM call_record WHERE {wanted.sql}"  # noqa: S608
        for values in self._execute(sql, wanted.values):
            open_calls.pop(values[0], None)
            yield values
        yield from map(of, filter(wanted.passes, open_calls.values()))

    def by_ids(self, reference_ids: Sequence[str], now: datetime) -> list[CallRecord]:
        """Return the records of some calls in this order, but for those that are gone by now."""
        found = {record.reference_id: record for record in self.open_calls(now)}
        for start in range(0, len(reference_ids), _PAGE):
            some = conditions.is_call(*reference_ids[start : start + _PAGE])
            found |= {record.reference_id: record for record in self._select(some, None)}
        return [found[name] for name in reference_ids if name in found]

    def last_event(self, *, with_simulated: bool) -> datetime | None:
        """Return when the newest event was first seen, also of simulated calls or not."""
        left_out = "" if with_simulated else SIMULATED
        sql = "SELECT first_seen FROM call_event WHERE substr(reference_id, 1, ?) <> ?"
        newest = f"{sql} OR ? = '' ORDER BY first_seen DESC LIMIT 1"
        found = self.store.execute(newest, [len(left_out), left_out, left_out])
        return utc(found[0][0]) if found else None

    def _read_events(
        self, reference_ids: Iterable[str], *, purged: bool = False
    ) -> Iterator[tuple[str, list[StoredEvent]]]:
        """Yield some calls with their events; also what is left of purged ones, if asked for."""
        ids = iter(reference_ids)
        while page := list(islice(ids, _PAGE)):
            left_out = set() if purged else self.store.find_purged(page)
            calls: dict[str, list[StoredEvent]] = {}
            for row in self.store.rows(page):
                if row.reference_id not in left_out:
                    calls.setdefault(row.reference_id, []).append(row.to_stored(self.store.home))
            yield from calls.items()


def _fold(events: Sequence[StoredEvent], now: datetime) -> CallRecord:
    is_old = now - min(kept.first_seen for kept in events) >= MAX_CALL
    return fold(events, is_old=is_old)


def place_of(record: CallRecord) -> tuple[int, int]:
    """Return where a call stands among the others: by when it began, then by its number.

    One that is not written down has no number yet, and one of its own for as long as the program
    runs, so that no two calls stand at one place.
    """
    number = record.number
    if number is None:
        number = -abs(hash(record.reference_id)) >> 8
    return microseconds(record.began), number


def parties_of(record: CallRecord) -> Parties:
    """Return who is in a call, of a number that is none nothing."""
    caller, dialled, destination = map(_number, (record.caller, record.dialled, record.destination))
    return Parties(
        record.reference_id, *place_of(record), caller, dialled, destination, record.masking_id
    )


def _number(number: PhoneNumber | NoNumber | None) -> PhoneNumber | None:
    return None if isinstance(number, NoNumber) else number


def calls_where(store: Store, passes: Callable[[str], bool]) -> set[str]:
    """Return the calls with an event of which a number, the reply or the body passes a test."""
    found, last = set(), 0
    sql = "SELECT id, reference_id, dialled, caller, reply, body FROM call_event WHERE id > ?"
    while page := store.execute(f"{sql} ORDER BY id LIMIT {_TEXTS}", [last]):
        for place, call, dialled, caller, reply, body in page:
            last = place
            if any(map(passes, (dialled or "", caller or "", reply, bytes(body).decode()))):
                found.add(call)
    return found


def record_of(values: Sequence[Any]) -> CallRecord:
    """Return the record that a row of the table holds."""
    row = dict(zip(RECORD_COLUMNS, values, strict=True))
    numbers = (row[name] for name in ("caller", "dialled", "destination"))
    caller, dialled, destination = (text and number_of(text) for text in numbers)
    return CallRecord(
        reference_id=row["reference_id"],
        disposition=Disposition(row["disposition"]),
        began=utc(row["began"]),
        ended=None if row["ended"] is None else utc(row["ended"]),
        caller=caller,
        dialled=dialled,
        destination=destination,
        masking_id=row["masking_id"],
        row=row["row_line"],
        external_id=row["external_id"],
        reason=row["reason"],
        status=row["status"],
        wait_s=_seconds(row["wait_ms"]),
        talk_s=_seconds(row["talk_ms"]),
        number=row["number"],
    )


def _seconds(time_ms: int | None) -> float | None:
    return None if time_ms is None else time_ms / 1000
