"""The call log in an SQLite file: a write-ahead log, a sync at each commit, deleted means gone.

The file is made readable for its owner only. It must not be on a network disk: the processes that
share it share memory.
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from logstore import SCHEMA_VERSION, RefusedError, Row, Store, StoreError, UnusableError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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

_Identity = tuple[int, int] | None


class SqliteStore(Store):
    """A call log in a file."""

    def __init__(self, path: Path) -> None:
        self.place = str(path.resolve())
        self._path = path.resolve()  # whatever folder the process works in later
        self._connection: sqlite3.Connection | None = None
        self._identity: _Identity = None
        self._side_files: dict[Path, _Identity] = {}
        self._lost: list[tuple[sqlite3.Connection, _Identity]] = []
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
            self._make()
        elif not self._path.exists():
            raise UnusableError(f"{self.place}: there is no call log yet")
        if not self._path.is_file():
            raise UnusableError(f"{self.place}: wanted a file, got a folder or a device")
        self._connection = connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode={'rw' if write else 'ro'}",
            uri=True,
            timeout=_START_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        self._check_owner(connection)
        side_files = [self._path.with_name(self._path.name + each) for each in ("-wal", "-shm")]
        if write:
            for path in (self._path, *side_files):
                _close_to_others(path)
            self._prepare(connection)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        self._identity = _identity(self._path)
        self._side_files = {path: _identity(path) for path in side_files}

    def _make(self) -> None:
        """Make the file if there is none."""
        with contextlib.suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(self._path, flags, 0o600))

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
        _write_ahead(connection)
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

    def mend(self) -> bool:
        """Open the file again; if it was taken away, carry over what the lost one holds.

        Return whether it was. Other servers on this file wait meanwhile.
        """
        with self._errors(), _alone_in(self._path.parent):
            if self.is_displaced():
                self._lose()
            self.close()
            self._give_up_what_is_back()
            self.open()
            self._check()
            was_lost = bool(self._lost)
            while self._lost:
                self._carry_over(self._lost[0][0])
                _close(self._lost.pop(0)[0])
        return was_lost

    def _lose(self) -> None:
        """Put the lost file aside, whole, and unlink what would be read as the new one's."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._lost.append((self._connection, self._identity))
            self._connection = None
        for path, identity in self._side_files.items():
            if identity is not None and _identity(path) == identity:
                path.unlink(missing_ok=True)

    def _give_up_what_is_back(self) -> None:
        """Close a lost file that stands in its place again, before it is opened a second time."""
        here = _identity(self._path)
        for connection, identity in self._lost:
            if identity == here:
                _close(connection)
        self._lost = [(one, identity) for one, identity in self._lost if identity != here]

    def _check(self) -> None:
        """Look through the whole file after a fault that may have damaged it.

        What was written and not synced is synced in its place; this fails as long as the disk does.
        """
        if self._damaged:
            faults = self._execute("PRAGMA quick_check(1)")
            if faults != [("ok",)]:
                raise UnusableError(f"{self.place}: the file is damaged; put a backup in its place")
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._damaged = False

    def _carry_over(self, lost: sqlite3.Connection) -> None:
        for table, columns, order in (
            ("call_event", ", ".join(Row._fields), "id"),
            ("purged_call", "sha256", "sha256"),
        ):
            marks = ", ".join("?" for _ in columns.split(","))
            insert = f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
            with self._errors():
                rows = lost.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")  # noqa: S608
                while some := rows.fetchmany(_COPIED_AT_ONCE):
                    with self.transaction():
                        self._execute_many(insert, some)

    def hurry(self) -> None:
        """Do nothing: whoever waits for a disk waits."""

    def is_displaced(self) -> bool:
        """Tell whether the file was deleted, renamed or replaced."""
        return self._connection is not None and _identity(self._path) != self._identity

    def scrub(self, *, rewrite_up_to: float = 0) -> bool:
        """Empty the write-ahead log, where deleted rows are still to be read.

        Copies of them may also be left where rows have moved from page to page. To write the file
        anew leaves them behind; that is done if it has no more bytes than this.
        """
        self._execute(f"PRAGMA busy_timeout = {_SCRUB_BUSY_MS}")
        try:
            if self._size() <= rewrite_up_to:
                self._execute("VACUUM")
            ((busy, _, _),) = self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except BusyError:
            return False
        finally:
            self._execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return not busy

    def _size(self) -> int:
        ((pages,),), ((page_size,),) = map(self._execute, ("PRAGMA page_count", "PRAGMA page_size"))
        return int(pages * page_size)

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
            kind = _KINDS.get(code & 0xFF, StoreError)
            raise kind(f"{self.place}: {error}{_remedy(code & 0xFF)}") from error
        except OSError as error:
            raise StoreError(f"{self.place}: {error.strerror}{_remedy(0)}") from error


class BusyError(StoreError):
    """Somebody else holds the file at this moment."""


_KINDS = {
    sqlite3.SQLITE_NOTADB: UnusableError,
    sqlite3.SQLITE_BUSY: BusyError,
    sqlite3.SQLITE_LOCKED: BusyError,
    sqlite3.SQLITE_TOOBIG: RefusedError,
    sqlite3.SQLITE_CONSTRAINT: RefusedError,
    sqlite3.SQLITE_MISMATCH: RefusedError,
}


def _close_to_others(path: Path) -> None:
    """Let nobody but its owner read a file, such as one that was copied here."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(mode & 0o700)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have the file written to by way of a log.

    SQLite does not wait for another server that does the same to a new file; it waits with a
    transaction.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
        else:
            return
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep out other servers that would mend a log in this folder.

    Where there are no such locks, a file that is open cannot be taken away either.
    """
    if fcntl is None:
        yield
        return
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _identity(path: Path) -> _Identity:
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
