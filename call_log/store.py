"""The tables of the call log and the statements on them, whichever database holds them.

One row a delivery key: a call's `reference_id`, the event's name and the SHA-256 of its body. What
one database does in its own way is in `sqlite.py` and `postgresql.py`. Times are whole microseconds
since 1970, UTC. Only one thread may use a store at a time.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import events
from calls import Answer, Delivery
from commands import Wire, is_dial
from events import Event, IncomingCall
from phone import NoNumber, PhoneNumber

Key = tuple[str, str, bytes]
T = TypeVar("T")

NEWER_COLUMNS = {"row_line": "INTEGER", "accept_digit": "TEXT"}
"""The columns that logs of version 1 lack, with their types."""

SCHEMA_VERSION = 2
_parsed = lru_cache(json.loads)  # few replies differ
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = 1_000
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
        wire: Wire = _parsed(self.reply)
        return wire

    def to_event(self) -> Event:
        """Return the event, as far as the state of a call depends on it."""
        match self.event:
            case IncomingCall.name:
                return IncomingCall(self.reference_id, _number(self.dialled), _number(self.caller))
            case events.DialCompleted.name:
                return events.DialCompleted(self.reference_id, self.status)
            case events.SpeakCompleted.name:
                return events.SpeakCompleted(self.reference_id, self.status or "")
            case events.PlayCompleted.name:
                return events.PlayCompleted(self.reference_id, self.status or "")
            case events.CallCompleted.name:
                return events.CallCompleted(self.reference_id)
        return events.UnknownEvent(self.reference_id, self.event)


def row_of(delivery: Delivery, answer: Answer) -> Row:
    """Return the row of an event that was delivered once, with the reply to it."""
    event, seen = delivery.event, microseconds(delivery.received.utc)
    return Row(
        event.reference_id,
        event.name,
        hashlib.sha256(delivery.body).digest(),
        caller=_text(event.caller) if isinstance(event, IncomingCall) else None,
        dialled=_text(event.dialled) if isinstance(event, IncomingCall) else None,
        status=getattr(event, "status", getattr(event, "collected_digits", None) or None),
        reply=answer.command.to_json(),
        reason=answer.reason,
        first_seen=seen,
        last_seen=seen,
        deliveries=1,
        row_line=answer.row_line,
        accept_digit=answer.accept_digit,
        body=delivery.body,
    )


def anonymised(row: Row) -> Row:
    """Return what is kept of an event whose call has been purged: no personal data.

    Of the reply, which may be a dial, only the method stays.
    """
    method = row.wire.get("method")
    reply = json.dumps({"method": method} if method else {}, separators=(",", ":"))
    return row._replace(caller=None, dialled=None, status=None, reply=reply, body=b"")


def microseconds(time: datetime) -> int:
    """Return a time as the log keeps it."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def utc(time: int) -> datetime:
    """Return a time of the log as an aware one."""
    return _EPOCH + timedelta(microseconds=time)


def first_portion(items: Iterable[T], size: Callable[[T], int]) -> list[T]:
    """Return the first items: as many as a database keeps within its time for a statement.

    `size` gives the bytes of one.
    """
    portion: list[T] = []
    room = MAX_PORTION_BYTES
    for item in islice(items, MAX_PORTION):
        room -= size(item)
        if portion and room < 0:
            break
        portion.append(item)
    return portion


def fingerprint(reference_id: str) -> str:
    """Return what stays of a call that has been purged."""
    return hashlib.sha256(reference_id.encode()).hexdigest()


def _text(number: PhoneNumber | NoNumber) -> str:
    """Return a number as it is kept; one that cannot be read keeps its digits, to compare by."""
    return f"{number.value} {number.digits}".strip() if isinstance(number, NoNumber) else number


def _number(text: str | None) -> PhoneNumber | NoNumber:
    if text is None:
        return NoNumber.WITHHELD
    return PhoneNumber(text) if text.isdecimal() else NoNumber(*text.split())


_COLUMNS = ", ".join(Row._fields)
_WITHOUT_BODY = _COLUMNS.removesuffix(", body")
_VALUES = f"({', '.join('?' * len(Row._fields))})"
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


class Store(ABC):
    """A call log in some database. Every method raises `StoreError` when the database fails.

    A value that the database does not take raises the driver's own error: trying again is of no
    use, and other events are not concerned.
    """

    place: str  # to be shown to the operator: without a password
    _connection: Any = None
    _version = SCHEMA_VERSION

    @property
    @abstractmethod
    def saved_prefix(self) -> Path:
        """The path with which the names of saved files begin."""

    def open(self, *, write: bool = True) -> None:
        """Connect; to write, create the tables if there are none. Refuse what is no log of ours."""
        try:
            with self._errors():
                self._open(write=write)
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

    def _connected(self) -> Any:
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
    def _execute(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run a statement with `?` for each value, and return all rows of its answer."""

    def _check_version(self, version: int) -> None:
        self._version = version
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.place}: wanted a call log of version {SCHEMA_VERSION} or older, got"
                f" {version}; use the newer program that wrote it, or set another call_log"
            )

    def rows(self, reference_ids: Iterable[str], *, bodies: bool = True) -> list[Row]:
        """Return all rows of some calls, in the order in which they came."""
        ids = list(reference_ids)
        columns = self._columns(bodies=bodies)
        sql = f"SELECT id, {columns} FROM call_event WHERE reference_id IN ({_marks(ids)})"  # noqa: S608
        # Sorted here: for an ORDER BY id a database may prefer to scan the whole log.
        left_out = () if bodies else (b"",)
        return [Row(*values, *left_out) for _, *values in sorted(self._execute(sql, ids))]

    def _columns(self, *, bodies: bool = True) -> str:
        """Return the columns of a `Row`; a log that is only read may lack the newer ones."""
        columns = _COLUMNS if bodies else _WITHOUT_BODY
        for name in NEWER_COLUMNS if self._version < SCHEMA_VERSION else ():
            columns = columns.replace(name, f"NULL AS {name}")
        return columns

    def purged(self, reference_ids: Iterable[str]) -> set[str]:
        """Return which of some calls have been purged."""
        ids = {fingerprint(each): each for each in reference_ids}
        sql = f"SELECT sha256 FROM purged_call WHERE sha256 IN ({_marks(ids)})"  # noqa: S608
        return {ids[found] for (found,) in self._execute(sql, list(ids))}

    def keep(self, rows: Iterable[Row], purged: Collection[str] = ()) -> None:
        """Insert rows, of purged calls without personal data; count those that are there already.

        A row that is kept again, with nothing new, is counted once.
        """
        merged: dict[Key, Row] = {}
        for row in rows:
            each = anonymised(row) if row.reference_id in purged else row
            first = merged.get(each.key)
            merged[each.key] = first.with_repeat(each) if first else each
        kept = list(merged.values())
        # The driver lets other threads in at each statement, and then has to wait for its turn.
        for begin in range(0, len(kept), MAX_PORTION):
            some = kept[begin : begin + MAX_PORTION]
            self._execute(_KEEP % ", ".join([_VALUES] * len(some)), list(chain.from_iterable(some)))

    def newest(self) -> int | None:
        """Return when the newest event was first seen."""
        ((found,),) = self._execute("SELECT max(first_seen) FROM call_event")
        return None if found is None else int(found)

    def older_than(self, time: int, limit: int) -> set[str]:
        """Return calls with events first seen before this time, of at most so many rows."""
        sql = "SELECT reference_id FROM call_event WHERE first_seen < ? ORDER BY first_seen LIMIT ?"
        return {found for (found,) in self._execute(sql, [time, limit])}

    def purge(self, reference_ids: Iterable[str]) -> None:
        """Delete everything of some calls but the SHA-256 of each id."""
        ids = sorted(reference_ids)
        rows = ", ".join(["(?)"] * len(ids))
        sql = f"INSERT INTO purged_call (sha256) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608
        with self.transaction(ids):
            self._execute(sql, [fingerprint(each) for each in ids])
            sql = f"DELETE FROM call_event WHERE reference_id IN ({_marks(ids)})"  # noqa: S608
            self._execute(sql, ids)

    def newest_calls(self, since: int = 0) -> Iterator[str]:
        """Yield every call with an event since then, the one with the newest event first."""
        seen: set[str] = set()
        for (reference_id,) in self._newest("reference_id", since):
            if reference_id not in seen:
                seen.add(reference_id)
                yield reference_id

    def newest_rows(self) -> Iterator[Row]:
        """Yield all rows, the newest first, without their bodies."""
        columns = self._columns(bodies=False)
        return (Row._make((*values, b"")) for values in self._newest(columns))

    def _newest(self, columns: str, since: int = 0) -> Iterator[list[Any]]:
        last = 2**62
        page_of = "WHERE id < ? AND first_seen >= ? ORDER BY id DESC LIMIT ?"
        sql = f"SELECT {columns}, id FROM call_event {page_of}"  # noqa: S608
        while page := self._execute(sql, [last, since, _PAGE]):
            for *found, last in page:  # noqa: B007 - the last one is where to go on
                yield found

    def calls_where(self, passes: Callable[[str], bool]) -> set[str]:
        """Return the calls with a row of which a number, the reply or the body passes a test."""
        rows = self._newest("reference_id, dialled, caller, reply, body")
        return {
            call
            for call, dialled, caller, reply, body in rows
            if any(map(passes, (dialled or "", caller or "", reply, bytes(body).decode())))
        }


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
