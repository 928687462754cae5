"""The call log in an SQLite file: a write-ahead log, a sync at each commit, deleted means gone.

The file is made readable for its owner only. It must not be on a network disk: the processes that
share it share memory.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from logstore import SCHEMA_VERSION, Row, Store, StoreError, UnusableError

APPLICATION_ID = 0x4D436C67

_START_BUSY_S = 5.0
_BUSY_MS = 400
_SCRUB_BUSY_MS = 20
_COPIED_AT_ONCE = 1_000

_SCHEMA = """
CREATE TABLE call_event (
    id INTEGER PRIMARY KEY,
    reference_id TEXT NOT NULL,
    event TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    caller TEXT,
    dialled TEXT,
    status TEXT,
    reply TEXT NOT NULL,
    reason TEXT,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (reference_id, event, sha256)
) STRICT;
CREATE INDEX call_event_first_seen ON call_event (first_seen);
CREATE TABLE purged_call (sha256 TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""
_DAMAGED = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteStore(Store):
    """A call log in a file."""

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = path.absolute()  # whatever folder the process works in later
        self._connection: sqlite3.Connection | None = None
        self._lost: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._side_files: dict[Path, tuple[int, int] | None] = {}
        self._damaged = False

    def open(self, *, write: bool = True) -> None:
        """Open the file; to write, make it if there is none."""
        try:
            with self._errors():
                self._open(write=write)
        except StoreError:
            self.close()
            raise

    def _open(self, *, write: bool) -> None:
        if write:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        elif not self._path.exists():
            raise UnusableError(f"{self.place}: there is no call log yet")
        self._connection = connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode={'rw' if write else 'ro'}",
            uri=True,
            timeout=_START_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        self._check_owner(connection)
        if write:
            self._prepare(connection)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        self._identity = _identity(self._path)
        side_files = [self._path.with_name(self._path.name + each) for each in ("-wal", "-shm")]
        self._side_files = {path: _identity(path) for path in side_files}

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that is not ours before anything in it is touched."""
        connection.execute("BEGIN")  # another server may be making the tables at this moment
        ((owner,),) = connection.execute("PRAGMA application_id")
        ((version,),) = connection.execute("PRAGMA user_version")
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_schema")
        connection.execute("COMMIT")
        if owner != APPLICATION_ID and (owner or tables):
            raise UnusableError(f"{self.place}: wanted a call log, got another program's database")
        if version > SCHEMA_VERSION:
            raise UnusableError(
                f"{self.place}: wanted a call log of version {SCHEMA_VERSION} or older, got"
                f" {version}; use the newer program that wrote it, or set another call_log"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        with self.transaction():
            ((owner,),) = connection.execute("PRAGMA application_id")
            if owner != APPLICATION_ID:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        _close(connection)

    def mend(self) -> None:
        """Open the file again; if it was taken away, carry over what the lost one holds."""
        if self.is_displaced():
            self._lost, self._connection = self._connection, None
            self._take_side_files_away()
        self.close()
        self.open()
        self._check()
        if self._lost is not None:
            self._carry_over(self._lost)
            _close(self._lost)
            self._lost = None

    def _take_side_files_away(self) -> None:
        """Unlink what belongs to the lost file, or it would be read as the new one's."""
        for path, identity in self._side_files.items():
            if _identity(path) == identity:
                path.unlink(missing_ok=True)

    def _check(self) -> None:
        """Look through the whole file after a fault that may have damaged it.

        What was written and not synced is synced in its place; this fails as long as the disk does.
        """
        if self._damaged:
            faults = self._execute("PRAGMA quick_check(1)")
            if faults != [("ok",)]:
                raise UnusableError(f"{self.place}: the file is damaged; put a backup in its place")
            self.scrub()
            self._damaged = False

    def _carry_over(self, lost: sqlite3.Connection) -> None:
        for table, columns in ("call_event", ", ".join(Row._fields)), ("purged_call", "sha256"):
            marks = ", ".join("?" for _ in columns.split(","))
            insert = f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
            with self._errors():
                rows = lost.execute(f"SELECT {columns} FROM {table}")  # noqa: S608
                while some := rows.fetchmany(_COPIED_AT_ONCE):
                    with self.transaction():
                        self._execute_many(insert, some)

    def is_displaced(self) -> bool:
        """Tell whether the file was deleted, renamed or replaced."""
        return self._connection is not None and _identity(self._path) != self._identity

    def scrub(self) -> bool:
        """Empty the write-ahead log, where deleted rows are still to be read."""
        self._execute(f"PRAGMA busy_timeout = {_SCRUB_BUSY_MS}")
        ((busy, _, _),) = self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return not busy

    @contextlib.contextmanager
    def transaction(self, reference_ids: Iterable[str] = ()) -> Iterator[None]:  # noqa: ARG002
        """Begin by taking the file's one lock for writing, so that every story stands still."""
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            with contextlib.suppress(StoreError):
                self._execute("ROLLBACK")
            raise

    def _execute(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._errors():
            return self._opened().execute(sql, values).fetchall()

    def _execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._errors():
            self._opened().executemany(sql, rows)

    def _stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        with self._errors():
            yield from self._opened().execute(sql)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.place}: the file is not open")
        return self._connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None) or 0
            self._damaged = self._damaged or code & 0xFF in _DAMAGED
            kind = UnusableError if code & 0xFF == sqlite3.SQLITE_NOTADB else StoreError
            raise kind(f"{self.place}: {error}{_remedy(code & 0xFF)}") from error
        except OSError as error:
            raise StoreError(f"{self.place}: {error.strerror}{_remedy(0)}") from error


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of the same name, `None` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()


def _remedy(code: int) -> str:
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "; another program holds it for too long"
        case sqlite3.SQLITE_FULL:
            return "; free some space on the disk"
        case sqlite3.SQLITE_NOTADB:
            return "; set call_log to another file, or take this one away"
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CORRUPT:
            return "; look at the disk"
        case _:
            return "; the file and its folder have to be writable for the server"
