"""The tables of the call log and what is done with them, whichever database holds them.

One row a delivery key: a call's `reference_id`, the event's name and the SHA-256 of its body. What
is particular to one database is in `sqlite.py` and `postgresql.py`. Times are whole microseconds
since 1970, UTC. A store is used by one thread at a time.
"""

import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from calls import Answer, Delivery
from commands import Wire
from events import (
    CallCompleted,
    DialCompleted,
    Event,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
    UnknownEvent,
)
from phone import NoNumber, PhoneNumber

SCHEMA_VERSION = 1
_compact = json.JSONEncoder(separators=(",", ":")).encode
_parsed = lru_cache(json.loads)  # few replies differ
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PAGE = 1_000
_KEPT_AT_ONCE = 200  # of twelve values each, of which no database takes any number


class StoreError(Exception):
    """The database does not do what it should; the message says why, and what to do."""


class UnusableError(StoreError):
    """What is there is no call log of ours, and is left as it is."""


class RefusedError(StoreError):
    """The database does not take what it was given; the same again will not be taken either."""


class Row(NamedTuple):
    """What is kept of one delivery key. `caller`, `dialled` and `status` are as they were read.

    `status` is a dial's, or the keys that were pressed; what an older program wrote holds no keys.
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
    body: bytes

    @property
    def wire(self) -> Wire:
        """The command that was the reply to the first delivery."""
        wire: Wire = _parsed(self.reply)
        return wire

    def told(self) -> Event:
        """Return the event as far as a story depends on it."""
        match self.event:
            case IncomingCall.name:
                return IncomingCall(self.reference_id, _number(self.dialled), _number(self.caller))
            case DialCompleted.name:
                return DialCompleted(self.reference_id, self.status)
            case SpeakCompleted.name:
                return SpeakCompleted(self.reference_id, self.status or "")
            case PlayCompleted.name:
                return PlayCompleted(self.reference_id, self.status or "")
            case CallCompleted.name:
                return CallCompleted(self.reference_id)
            case name:
                return UnknownEvent(self.reference_id, name)


def row_of(delivery: Delivery, answer: Answer) -> Row:
    """Return what is kept of an event that was delivered once, and of what was answered to it."""
    event, seen = delivery.event, microseconds(delivery.moment.utc)
    incoming = event if isinstance(event, IncomingCall) else None
    return Row(
        event.reference_id,
        event.name,
        hashlib.sha256(delivery.body).digest(),
        caller=_text(incoming.caller) if incoming else None,
        dialled=_text(incoming.dialled) if incoming else None,
        status=_status(event),
        reply=answer.command.to_json(),
        reason=answer.reason,
        first_seen=seen,
        last_seen=seen,
        deliveries=1,
        body=delivery.body,
    )


def emptied(row: Row) -> Row:
    """Return what is kept of an event whose call has been purged: nothing of anybody.

    Of the reply, which may be a dial, its method alone.
    """
    reply = _compact({name: row.wire[name] for name in ("method",) if name in row.wire})
    return row._replace(caller=None, dialled=None, status=None, reply=reply, body=b"")


def microseconds(time: datetime) -> int:
    """Return a time as the log keeps it."""
    return (time - _EPOCH) // _MICROSECOND


def utc(time: int) -> datetime:
    """Return a time of the log's as an aware one."""
    return _EPOCH + time * _MICROSECOND


def fingerprint(reference_id: str) -> str:
    """Return what stays of a call that has been purged."""
    return hashlib.sha256(reference_id.encode()).hexdigest()


def _status(event: Event) -> str | None:
    """Return what a story depends on beside the numbers: a dial's status, or the keys pressed."""
    match event:
        case DialCompleted(status=status):
            return status
        case SpeakCompleted(collected_digits=digits) | PlayCompleted(collected_digits=digits):
            return digits or None
        case _:
            return None


def _text(number: PhoneNumber | NoNumber) -> str:
    """Return a number as it is kept: of two that cannot be read the digits tell which is which."""
    return f"{number.value} {number.digits}".strip() if isinstance(number, NoNumber) else number


def _number(text: str | None) -> PhoneNumber | NoNumber:
    if text is None:
        return NoNumber.WITHHELD
    return PhoneNumber(text) if text.isdecimal() else NoNumber(*text.split())


_COLUMNS = ", ".join(Row._fields)
_WITHOUT_BODY = _COLUMNS.removesuffix(", body")
_ONE = f"({', '.join('?' * len(Row._fields))})"


def keeping(rows: int) -> str:
    """Return the statement that keeps so many rows, no two of one delivery key."""
    return f"""
INSERT INTO call_event ({_COLUMNS}) VALUES {", ".join([_ONE] * rows)}
ON CONFLICT (reference_id, event, sha256) DO UPDATE
SET deliveries = call_event.deliveries + excluded.deliveries, last_seen = excluded.last_seen
"""  # noqa: S608 - our own columns


class Store(ABC):
    """A call log in some database. Every method raises `StoreError` when the database fails."""

    place: str
    """Where the log is, to be shown to the operator: without a password."""

    file: str | None = None
    name: str = ""
    """The path of the log, if it is a file; if not, a name that tells it from other logs."""

    @abstractmethod
    def open(self, *, write: bool = True) -> None:
        """Connect, and make the tables if there are none. Raises `UnusableError` too."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the database; never raises."""

    @abstractmethod
    def transaction(
        self, reference_ids: Iterable[str] = ()
    ) -> contextlib.AbstractContextManager[None]:
        """Do what is inside wholly or not at all; nobody else decides on these calls meanwhile."""

    @abstractmethod
    def reconnect(self) -> bool:
        """Connect again after a fault; return whether the log is another one now."""

    @abstractmethod
    def abort(self) -> None:
        """Cut off a database that does not answer, from another thread, if that is possible."""

    @abstractmethod
    def file_replaced(self) -> bool:
        """Tell whether what is open is no longer what others would open."""

    @abstractmethod
    def erase_deleted(self, *, rewrite_up_to: float = 0) -> bool:
        """Take what was deleted out of the files as well; false if that has to wait.

        A file of at most so many bytes is written anew for that.
        """

    @abstractmethod
    def _execute(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run a statement with `?` for each value, and return all rows of its answer."""

    @abstractmethod
    def _execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row."""

    @abstractmethod
    def _stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a long answer without holding them all."""

    def rows(self, reference_ids: Iterable[str], *, bodies: bool = True) -> list[Row]:
        """Return all that is kept of some calls, as it came; no decision depends on bodies.

        Sorted here: to have it in order, a database may rather read the whole log by its `id`.
        """
        ids = list(reference_ids)
        columns = _COLUMNS if bodies else _WITHOUT_BODY
        sql = f"SELECT id, {columns} FROM call_event WHERE reference_id IN ({_marks(ids)})"  # noqa: S608
        left_out = () if bodies else (b"",)
        return [Row(*values, *left_out) for _, *values in sorted(self._execute(sql, ids))]

    def fingerprints(self) -> Iterator[str]:
        """Yield what has stayed of each call that was purged."""
        last = ""
        sql = "SELECT sha256 FROM purged_call WHERE sha256 > ? ORDER BY sha256 LIMIT ?"
        while page := self._execute(sql, [last, _PAGE]):
            for (last,) in page:
                yield last

    def mark(self, name: str) -> bool:
        """Leave the SHA-256 of a name, as of a purged call; false if it is there already."""
        sql = "INSERT INTO purged_call (sha256) VALUES (?) ON CONFLICT DO NOTHING RETURNING sha256"
        return bool(self._execute(sql, [fingerprint(name)]))

    def unmark(self, names: Iterable[str]) -> None:
        """Take such marks away."""
        sql = "DELETE FROM purged_call WHERE sha256 = ?"
        self._execute_many(sql, [[fingerprint(each)] for each in names])

    def purged(self, reference_ids: Iterable[str]) -> set[str]:
        """Return which of some calls have been purged."""
        prints = {fingerprint(each): each for each in reference_ids}
        if not prints:
            return set()
        sql = f"SELECT sha256 FROM purged_call WHERE sha256 IN ({_marks(prints)})"  # noqa: S608
        return {prints[found] for (found,) in self._execute(sql, list(prints))}

    def keep(self, rows: Sequence[Row]) -> None:
        """Add rows; of one that is there already, count its deliveries as well."""
        merged: dict[tuple[str, str, bytes], Row] = {}
        for each in rows:
            key = each.reference_id, each.event, each.sha256
            first = merged.setdefault(key, each)
            if first is not each:
                count = first.deliveries + each.deliveries
                merged[key] = first._replace(deliveries=count, last_seen=each.last_seen)
        kept = list(merged.values())
        # Many in one statement: the driver lets other threads in at each, and waits for them then.
        for begin in range(0, len(kept), _KEPT_AT_ONCE):
            some = kept[begin : begin + _KEPT_AT_ONCE]
            self._execute(keeping(len(some)), list(chain.from_iterable(some)))

    def newest(self) -> int | None:
        """Return when the newest event was first seen."""
        ((found,),) = self._execute("SELECT max(first_seen) FROM call_event")
        return None if found is None else int(found)

    def older_than(self, time: int, most: int) -> set[str]:
        """Return calls of which something was first seen before this time, not all at once."""
        sql = "SELECT reference_id FROM call_event WHERE first_seen < ? ORDER BY first_seen LIMIT ?"
        return {found for (found,) in self._execute(sql, [time, most])}

    def purge(self, reference_ids: Iterable[str]) -> None:
        """Delete all of some calls but the SHA-256 of each id."""
        ids = sorted(reference_ids)
        with self.transaction(ids):
            sql = "INSERT INTO purged_call (sha256) VALUES (?) ON CONFLICT DO NOTHING"
            self._execute_many(sql, [[fingerprint(each)] for each in ids])
            self._execute(f"DELETE FROM call_event WHERE reference_id IN ({_marks(ids)})", ids)  # noqa: S608

    def newest_calls(self, since: int = 0) -> Iterator[str]:
        """Yield every call of which something was heard since then, the latest heard of first."""
        seen: set[str] = set()
        for (reference_id,) in self._newest("reference_id", since):
            if reference_id not in seen:
                seen.add(reference_id)
                yield reference_id

    def newest_rows(self) -> Iterator[Row]:
        """Yield all rows, the last one first, without their bodies."""
        for values in self._newest(_WITHOUT_BODY):
            yield Row._make((*values, b""))

    def _newest(self, columns: str, since: int = 0) -> Iterator[list[Any]]:
        last = 2**62
        which = "id < ? AND first_seen >= ? ORDER BY id DESC LIMIT ?"
        sql = f"SELECT {columns}, id FROM call_event WHERE {which}"  # noqa: S608
        while page := self._execute(sql, [last, since, _PAGE]):
            for *found, last in page:  # noqa: B007 - the last one is where to go on
                yield found

    def calls_where(self, holds: Callable[[str], bool]) -> set[str]:
        """Return the calls of which some row holds it: numbers, reply or body."""
        sql = "SELECT reference_id, dialled, caller, reply, body FROM call_event"
        return {
            reference_id
            for reference_id, dialled, caller, reply, body in self._stream(sql)
            if any(map(holds, (dialled or "", caller or "", reply, bytes(body).decode())))
        }


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
