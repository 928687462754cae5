"""The tables of the call log and the statements on them, whichever database holds them.

One row a delivery key: a call's `reference_id`, the event's name and the SHA-256 of its body. What
one database does in its own way is in `sqlite.py` and `postgresql.py`. Times are whole microseconds
since 1970, UTC. Only one thread may use a store at a time.
"""

import hashlib
import json
import re
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set, Sized
from contextlib import AbstractContextManager, suppress
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, chain, islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import events
from calls import Decision, Delivery
from commands import Wire, asks_for_digit, is_dial
from events import Event, EventError, IncomingCall, UnknownEvent
from phone import NoNumber, PhoneNumber
from records import MAX_CALL, CallRecord, StoredEvent, fold

Key = tuple[str, str, bytes]
T = TypeVar("T")

NEWER_COLUMNS = {"row_line": "integer", "accept_digit": "TEXT"}
"""The columns that logs of version 1 lack, with their types."""

SCHEMA_VERSION = 2
NO_LOG = "there is no call log yet; a server makes it"
_parsed: Callable[[str], Wire] = lru_cache(json.loads)  # few replies differ
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONLY_IN_BODY = re.compile(rb'"(external_id|collected_digits)"\s*:\s*"[^"]')
_PAGE = 500
_MICROSECOND = timedelta(microseconds=1)
_MAX_CALL = MAX_CALL // _MICROSECOND
MAX_PORTION, MAX_PORTION_BYTES = 200, 2**20
"""So many events, of so many bytes, are kept at once: databases limit values and time."""


class StoreError(Exception):
    """The database fails, or is no log of ours; the message says where, why, and what to do."""


class Row(NamedTuple):
    """What is kept of one delivery key. `caller`, `dialled` and `status` are as they were parsed.

    `status` is a dial's, or the digits that were pressed. `row_line` is the line of the list's row
    that connected the call, `accept_digit` the one that the reply asks for. Older programs kept
    neither these two nor digits.
    """

    reference_id: str
    event: str
    sha256: bytes
    caller: str | None
    dialled: str | None
    status: str | None
    reply: str
    reason: str | None
    first_seen: int
    last_seen: int
    deliveries: int
    row_line: int | None
    accept_digit: str | None
    body: bytes

    @property
    def key(self) -> Key:
        """What all deliveries of one event share."""
        return self.reference_id, self.event, self.sha256

    def with_repeat(self, repeat: "Row") -> "Row":
        """Return the row of both; the first reply stays, unless only the repeat's is a dial."""
        first = repeat if is_dial(repeat.wire) and not is_dial(self.wire) else self
        return first._replace(
            first_seen=self.first_seen,
            last_seen=repeat.last_seen,
            deliveries=self.deliveries + repeat.deliveries,
        )

    @property
    def wire(self) -> Wire:
        """The reply to the first delivery."""
        return _parsed(self.reply)

    def to_event(self, home_country_code: str = "") -> Event:
        """Return the event as far as the state of a call, or with the body its record, needs it.

        The code reads the numbers of legs, which no state needs.
        """
        if self.event == IncomingCall.name:  # with its numbers as they were parsed then
            dialled, caller = number_of(self.dialled), number_of(self.caller)
            return IncomingCall(self.reference_id, dialled, caller)
        if self.body and (_is_end(self) or _ONLY_IN_BODY.search(self.body)):
            with suppress(EventError):  # an older program may have taken what this one would not
                return events.parse(self.body, home_country_code=home_country_code)
        call, make = self.reference_id, _MAKERS.get(self.event)
        return make(call, self.status) if make else UnknownEvent(call, self.event)

    @property
    def needs_body(self) -> bool:
        """Whether the record of its call needs what only a body has.

        That is the legs; and the digits, of which an older program kept no other trace, nor of
        which one was asked for.
        """
        return _is_end(self) or (self.accept_digit is None and asks_for_digit(self.wire))

    def to_stored(self, home_country_code: str = "") -> StoredEvent:
        """Return the event with everything that is kept of it."""
        return StoredEvent(
            self.to_event(home_country_code),
            self.wire,
            self.reason,
            utc(self.first_seen),
            utc(self.last_seen),
            self.deliveries,
            self.row_line,
            self.accept_digit,
            self.body.decode(),
        )


def _merge(rows: Iterable[Row]) -> list[Row]:
    """Return one row a delivery key, in the order in which the first ones came."""
    merged: dict[Key, Row] = {}
    for row in rows:
        merged[row.key] = first.with_repeat(row) if (first := merged.get(row.key)) else row
    return list(merged.values())


def _is_end(row: Row) -> bool:
    return row.event == events.CallCompleted.name


# How the other events are made, each of the call's id and its status or digits.
_MAKERS: dict[str, Callable[[str, str | None], Event]] = {
    events.DialCompleted.name: events.DialCompleted,
    events.SpeakCompleted.name: lambda call, digits: events.SpeakCompleted(call, digits or ""),
    events.PlayCompleted.name: lambda call, digits: events.PlayCompleted(call, digits or ""),
    events.CallLegCompleted.name: lambda call, _: events.CallLegCompleted(call),
    events.CallCompleted.name: lambda call, _: events.CallCompleted(call),
}


def row_of(delivery: Delivery, decision: Decision) -> Row:
    """Return the row of an event that was delivered once, with the reply to it."""
    event, seen = delivery.event, microseconds(delivery.received.utc)
    return Row(
        event.reference_id,
        event.name,
        hashlib.sha256(delivery.body).digest(),
        caller=_text(event.caller) if isinstance(event, IncomingCall) else None,
        dialled=_text(event.dialled) if isinstance(event, IncomingCall) else None,
        status=getattr(event, "status", getattr(event, "collected_digits", None) or None),
        reply=decision.command.to_json(),
        reason=decision.reason,
        first_seen=seen,
        last_seen=seen,
        deliveries=1,
        row_line=decision.row_line,
        accept_digit=decision.accept_digit,
        body=delivery.body,
    )


def anonymise(row: Row) -> Row:
    """Return what is kept of an event whose call has been purged: no personal data.

    Of the reply, which may be a dial, only the method stays.
    """
    method = row.wire.get("method")
    reply = json.dumps({"method": method} if method else {}, separators=(",", ":"))
    return row._replace(caller=None, dialled=None, status=None, reply=reply, body=b"")


def microseconds(time: datetime) -> int:
    """Return a time as the log keeps it."""
    return (time - _EPOCH) // _MICROSECOND


def utc(time: int) -> datetime:
    """Return a time of the log as an aware one."""
    return _EPOCH + timedelta(microseconds=time)


def first_portion(items: Iterable[T], size: Callable[[T], int]) -> list[T]:
    """Return the first items: as many as a database keeps within its time for a statement.

    `size` gives the bytes of one.
    """
    some = list(islice(items, MAX_PORTION))
    sums = accumulate(map(size, some))
    return some[: max(1, bisect_right(list(sums), MAX_PORTION_BYTES))]


def fingerprint(reference_id: str) -> str:
    """Return what stays of a call that has been purged."""
    return hashlib.sha256(reference_id.encode()).hexdigest()


def _text(number: PhoneNumber | NoNumber) -> str:
    """Return a number as it is kept; one that cannot be read keeps its digits, to compare by."""
    return f"{number.value} {number.digits}".strip() if isinstance(number, NoNumber) else number


def number_of(text: str | None) -> PhoneNumber | NoNumber:
    """Return a number that is kept as such a text."""
    if text is None:
        return NoNumber.WITHHELD
    return PhoneNumber(text) if text.isdecimal() else NoNumber(*text.split())


_COLUMNS = ", ".join(Row._fields)
# What was last seen at the very same time is the very same row: it was kept by a commit of which
# only the answer was lost, or by a server that was ended while it read a file of saved events.
_DIAL = """'{"method":"dial"'"""
_STANDS = f"substr(excluded.reply, 1, 16) = {_DIAL} AND substr(call_event.reply, 1, 16) <> {_DIAL}"
_KEEP = f"""
INSERT INTO call_event ({_COLUMNS}) VALUES %s
ON CONFLICT (reference_id, event, sha256) DO UPDATE SET
    deliveries = call_event.deliveries + CASE
        WHEN call_event.last_seen = excluded.last_seen THEN 0 ELSE excluded.deliveries END,
    last_seen = excluded.last_seen,
    reply = CASE WHEN {_STANDS} THEN excluded.reply ELSE call_event.reply END,
    reason = CASE WHEN {_STANDS} THEN excluded.reason ELSE call_event.reason END,
    row_line = CASE WHEN {_STANDS} THEN excluded.row_line ELSE call_event.row_line END
"""  # noqa: S608 - our own columns


_COLUMN_OF = {"row": "row_line", "wait_s": "wait_ms", "talk_s": "talk_ms"}
_FIELDS = [field.name for field in fields(CallRecord)]
RECORD_COLUMNS = (*(_COLUMN_OF.get(name, name) for name in _FIELDS), "simulated")
_TABLES = Path(__file__).with_name("tables.sql")
_WRITE_DOWN = f"""
INSERT INTO call_record ({", ".join(RECORD_COLUMNS)}) VALUES %s
ON CONFLICT (reference_id) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in RECORD_COLUMNS if name != "number")}
"""  # noqa: S608 - our own columns
_PURGED = "INSERT INTO purged_call (sha256) VALUES %s ON CONFLICT DO NOTHING"
_LAST = "(SELECT coalesce(max(id), 0) FROM call_event)"
_COUNT = """
UPDATE record_counter SET number = CASE WHEN number + ? > ? THEN number + ? ELSE ? END
RETURNING number
"""


def _record_values(record: CallRecord) -> list[object]:
    values = [_plain(getattr(record, name)) for name in _FIELDS]
    return [*values, int(record.is_simulated)]


def _plain(value: Any) -> object:
    """Return a value of a record as the log keeps it: times in microseconds, spans in ms."""
    match value:
        case datetime():
            return microseconds(value)
        case float():
            return round(value * 1000)
        case NoNumber():
            return _text(value)
    return value


class Store(ABC):
    """A call log in some database. Every method raises `StoreError` when the database fails.

    A value that the database does not take raises the driver's own error: trying again is of no
    use, and other events are not concerned.
    """

    place: str  # to be shown to the operator: without a password
    home = ""  # the home country code, by which the numbers of legs are read
    _connection: Any = None
    version = SCHEMA_VERSION  # of an older log that is only read, its own

    @property
    @abstractmethod
    def saved_prefix(self) -> Path:
        """The path with which the names of saved files begin."""

    def open(self, *, write: bool = True) -> None:
        """Connect; to write, create the tables if there are none. Refuse what is no log of ours."""
        try:
            with self._errors():
                self._open(write=write)
            if not self.version:  # it is only read, and a server is just making it
                raise StoreError(f"{self.place}: {NO_LOG}")
        except StoreError:
            self.close()
            raise

    @abstractmethod
    def _open(self, *, write: bool) -> None:
        """Set the connection, and check what it leads to."""

    def close(self) -> None:
        """Disconnect; never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(StoreError), self._errors():
                connection.close()

    def reconnect(self) -> bool:
        """Connect again after a fault; return whether the log is another one now."""
        self.close()
        self.open()
        return False

    def _require_connection(self) -> Any:
        if self._connection is None:
            raise StoreError(f"{self.place}: not connected")
        return self._connection

    @abstractmethod
    def _errors(self) -> AbstractContextManager[None]:
        """Raise `StoreError` for the driver's errors, but for those of a value."""

    @abstractmethod
    def transaction(self, reference_ids: Iterable[str] = ()) -> AbstractContextManager[None]:
        """Do what is inside wholly or not at all; no other server decides on these calls meanwhile.

        What is read inside is read after the locks were taken, so it is what the others committed.
        """

    def is_replaced(self) -> bool:
        """Whether a file that is open is no longer the one at its path."""
        return False

    def erase_deleted(self, *, rewrite_up_to: float = 0) -> bool:  # noqa: ARG002
        """Remove deleted rows from the files as well; false if that has to wait.

        A file of at most so many bytes is rewritten for that. A database server does it by itself.
        """
        return True

    @abstractmethod
    def execute(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run a statement with `?` for each value, and return all rows of its answer."""

    def _make_tables(self, types: Mapping[str, str]) -> None:
        """Create what is missing, also of a log that an older program made."""
        for statement in _TABLES.read_text().format_map(types).split(";")[:-1]:
            self.execute(statement)
        for name, kind in NEWER_COLUMNS.items() if self.version == 1 else ():
            self.execute(f"ALTER TABLE call_event ADD COLUMN {name} {types.get(kind, kind)}")
        self.version = SCHEMA_VERSION

    def _check_version(self, version: int) -> None:
        self.version = version
        if version > SCHEMA_VERSION:
            wanted = f"wanted a log of version {SCHEMA_VERSION} or older, got {version}"
            raise StoreError(f"{self.place}: {wanted}; use the newer program, or another call_log")

    def rows(self, reference_ids: Iterable[str], *, bodies: bool = True) -> list[Row]:
        """Return all rows of some calls, in the order in which they came."""
        ids = list(reference_ids)
        columns = _COLUMNS if bodies else _COLUMNS.removesuffix(", body")
        for name in NEWER_COLUMNS if self.version < SCHEMA_VERSION else ():
            columns = columns.replace(name, f"NULL AS {name}")  # of a log that is only read
        sql = f"SELECT id, {columns} FROM call_event WHERE reference_id IN ({_marks(ids)})"  # noqa: S608
        # Sorted here: for an ORDER BY id a database may prefer to scan the whole log.
        left_out = () if bodies else (b"",)
        return [Row(*values, *left_out) for _, *values in sorted(self.execute(sql, ids))]

    def find_purged(self, reference_ids: Iterable[str]) -> set[str]:
        """Return which of some calls have been purged."""
        ids = {fingerprint(reference_id): reference_id for reference_id in reference_ids}
        sql = f"SELECT sha256 FROM purged_call WHERE sha256 IN ({_marks(ids)})"  # noqa: S608
        return {ids[found] for (found,) in self.execute(sql, list(ids))}

    def keep(
        self, rows: Iterable[Row], purged: Collection[str] = (), known: Sequence[Row] | None = None
    ) -> None:
        """Insert rows, of purged calls without personal data; count those that are there already.

        A row that is kept again, with nothing new, is counted once. A call that is over is written
        down, and one that was written down before is brought up to date. It saves time to give what
        is `known` of the calls: all rows, without their bodies.
        """
        merged = _merge(anonymise(row) if row.reference_id in purged else row for row in rows)
        if not merged:
            return
        if known is None:
            known = self.rows({row.reference_id for row in merged}, bodies=False)
        self._insert(_KEEP, merged)
        self._write_down_ended(known, merged, set(purged))

    def _write_down_ended(self, known: Sequence[Row], new: Sequence[Row], purged: Set[str]) -> None:
        """Write down the calls that have ended; of those of which bodies matter, read all again.

        One that began long ago, or in the future, may be written down without an end.
        """
        now = new[-1].first_seen
        recent = range(now - _MAX_CALL // 2, now + 1)
        incoming = {row.reference_id for row in (*known, *new) if row.event == IncomingCall.name}
        before = {
            row.reference_id
            for row in known
            if row.needs_body or row.first_seen not in recent or row.reference_id not in incoming
        } - purged
        ended = {row.reference_id for row in new if _is_end(row)} - purged
        numbers = self._numbers(before | ended)
        again = before & (numbers.keys() | ended)
        calls = self._events_of(again)
        for row in _merge(row for row in (*known, *new) if row.reference_id in ended - again):
            calls.setdefault(row.reference_id, []).append(row.to_stored(self.home))
        self._write_down(calls, numbers)

    def _events_of(self, reference_ids: Collection[str]) -> dict[str, list[StoredEvent]]:
        """Return everything that is kept of some calls."""
        calls: dict[str, list[StoredEvent]] = {}
        for row in self.rows(reference_ids) if reference_ids else ():
            calls.setdefault(row.reference_id, []).append(row.to_stored(self.home))
        return calls

    def record_overdue(self, now: int) -> bool:
        """Write down some calls whose end never came; return whether more events may be of such.

        So are those that an older program has kept. Events are looked at in the order in which they
        came, once: up to the first of a call that may still end. One that lies in the future was
        kept under a wrong clock.
        """
        ((start,),) = self.execute("SELECT recorded_to FROM record_counter")
        sql = "SELECT id, reference_id, first_seen FROM call_event WHERE id > ? ORDER BY id LIMIT ?"
        if not (page := self.execute(sql, [start, _PAGE])):
            return False
        calls, recent = {call for _, call, _ in page}, range(now - _MAX_CALL, now + 1)
        done = self._numbers(calls).keys() | self.find_purged(calls)
        due = list(takewhile(lambda event: event[1] in done or event[2] not in recent, page))
        if not due:
            return False
        left, last = {call for _, call, _ in due} - done, due[-1][0]
        with self.transaction(left):
            self._write_down(self._events_of(left - self._numbers(left).keys()), {})
            sql = f"SET recorded_to = ? WHERE recorded_to < ? AND ? <= {_LAST}"
            self.execute(f"UPDATE record_counter {sql}", [last, last, last])
        return len(due) == _PAGE

    def _numbers(self, reference_ids: Collection[str]) -> dict[str, int]:
        """Return the number of each call that is written down."""
        sql = "SELECT reference_id, number FROM call_record WHERE reference_id IN"
        ids = list(reference_ids)
        return dict(self.execute(f"{sql} ({_marks(ids)})", ids)) if ids else {}

    def _write_down(
        self, calls: Mapping[str, Sequence[StoredEvent]], numbers: dict[str, int]
    ) -> None:
        """Write the records of calls that are over, or bring those with a number up to date.

        New ones get the next numbers. The counter's lock lasts until the commit, so a reader never
        sees a higher number before a lower one; a number is at least the present in microseconds,
        so none comes again with another file.
        """
        new = [call for call in calls if call not in numbers]
        if new:
            present = time.time_ns() // 1_000 + len(new) - 1
            ((last,),) = self.execute(_COUNT, [len(new), present, len(new), present])
            numbers |= zip(new, range(last - len(new) + 1, last + 1), strict=True)
        records = (
            replace(fold(stored, is_old=True), number=numbers[call])
            for call, stored in calls.items()
        )
        self._insert(_WRITE_DOWN, list(map(_record_values, records)))

    def _insert(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows, many in a statement: the driver lets other threads in at each."""
        for begin in range(0, len(rows), MAX_PORTION):
            some = rows[begin : begin + MAX_PORTION]
            marks = ", ".join([f"({_marks(some[0])})"] * len(some))
            self.execute(sql % marks, list(chain.from_iterable(some)))

    def older_than(self, time: int, limit: int) -> set[str]:
        """Return calls with events first seen before this time, of at most so many rows."""
        sql = "SELECT reference_id FROM call_event WHERE first_seen < ? ORDER BY first_seen LIMIT ?"
        return {found for (found,) in self.execute(sql, [time, limit])}

    def purge(self, reference_ids: Iterable[str]) -> None:
        """Delete everything of some calls but the SHA-256 of each id."""
        ids = sorted(reference_ids)
        with self.transaction(ids):
            self._insert(_PURGED, [[fingerprint(reference_id)] for reference_id in ids])
            for table in ("call_event", "call_record"):
                self.execute(f"DELETE FROM {table} WHERE reference_id IN ({_marks(ids)})", ids)  # noqa: S608
            # SQLite gives the ids of the last rows again.
            sql = f"SET recorded_to = {_LAST} WHERE recorded_to > {_LAST}"
            self.execute(f"UPDATE record_counter {sql}")


def _marks(values: Sized) -> str:
    return ", ".join("?" * len(values))
