"""The call log in an SQLite file: a write-ahead log, a sync at each commit, deleted means gone.

The file is made readable for its owner only. It must not be on a network disk: the processes that
share it share memory.
"""

import contextlib
import sqlite3
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from call_log.store import SCHEMA_VERSION, RefusedError, Store, StoreError, UnusableError

APPLICATION_ID = 0x4D436C67

_START_BUSY_S = 5.0
_BUSY_MS = 400
_SCRUB_BUSY_MS = 20

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
        self._path = path.resolve()  # whatever folder the process works in later
        self.place = self.file = str(self._path)
        self._connection: sqlite3.Connection | None = None
        self._identity: _Identity = None
        self._side_files: dict[Path, _Identity] = {}
        self._damaged = self._was_taken_away = False

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
        if write:
            for path in (self._path, *_side_files(self._path)):
                _close_to_others(path)
            self._prepare(connection)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        self._identity = _identity(self._path)
        self._side_files = _identities(self._path)

    def _make(self) -> None:
        """Make the file if there is none, without what a former one has left beside it.

        What stood beside it before it was missed is the former one's: another server that begins
        the file at this moment makes side files later than that, and keeps them.
        """
        stale = _identities(self._path)
        if not self._path.exists():
            _unlink(stale)
            with contextlib.suppress(FileExistsError):
                self._path.touch(0o600, exist_ok=False)

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
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def reconnect(self) -> bool:
        """Open the file again; if it was taken away, what is there now, or a new one."""
        with self._errors():
            if self.file_replaced():
                self._let_go()
            self.close()
            self.open()
            self._check()
        was_taken_away, self._was_taken_away = self._was_taken_away, False
        return was_taken_away

    def _let_go(self) -> None:
        """Leave the file whole to its mover, and nothing of it where the next one will be.

        Its write-ahead log would be read as the new one's. SQLite itself leaves both side files
        where they are when the file of a connection is no longer in its place.
        """
        self._was_taken_away = True
        with contextlib.suppress(StoreError):
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _unlink(self._side_files)

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

    def abort(self) -> None:
        """Do nothing: whoever waits for a disk waits."""

    def file_replaced(self) -> bool:
        """Tell whether the file was deleted, renamed or replaced."""
        return self._connection is not None and _identity(self._path) != self._identity

    def erase_deleted(self, *, rewrite_up_to: float = 0) -> bool:
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


def _identity(path: Path) -> _Identity:
    """Return what tells a file from another one of the same name, `None` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _side_files(path: Path) -> list[Path]:
    return [path.with_name(path.name + each) for each in ("-wal", "-shm")]


def _identities(path: Path) -> dict[Path, _Identity]:
    return {each: _identity(each) for each in _side_files(path)}


def _unlink(files: dict[Path, _Identity]) -> None:
    """Unlink these very files, and none that another server puts in their place meanwhile.

    Between a look and an unlink it may have done so: the file is renamed, looked at and, if it is
    another one, put back.
    """
    for path, identity in files.items():
        if identity is not None and _identity(path) == identity:
            aside = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
            with contextlib.suppress(FileNotFoundError):
                path.rename(aside)
                if _identity(aside) == identity:
                    aside.unlink()
                else:
                    aside.rename(path)


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
