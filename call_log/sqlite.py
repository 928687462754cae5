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
        self.place = str(self._path)
        self._connection: sqlite3.Connection | None = None
        self._identity: _Identity = None
        self._side_files: dict[Path, _Identity] = {}
        self._damaged = self._was_replaced = False

    @property
    def spill_prefix(self) -> Path:
        """The log's own path: its files are next to it."""
        return self._path

    def open(self, *, write: bool = True) -> None:
        """Open the file; to write, create it if there is none."""
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
        self._side_files = _side_files(self._path)

    def _make(self) -> None:
        """Make the file if there is none, and remove the side files of a former one.

        Another server may be making the file at the same time. It makes its side files after the
        file, so those listed before the file was missing are the former one's, and only they go.
        """
        stale = _side_files(self._path)
        if not self._path.exists():
            _unlink(stale)
            with contextlib.suppress(FileExistsError):
                self._path.touch(0o600, exist_ok=False)

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that is not a call log before anything in it is changed."""
        connection.execute("BEGIN")  # waits for another server that is making the tables
        ((owner,),) = connection.execute("PRAGMA application_id")
        ((version,),) = connection.execute("PRAGMA user_version")
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_schema")
        connection.execute("COMMIT")
        if owner != APPLICATION_ID and (owner or tables):
            raise UnusableError(f"{self.place}: wanted a call log, got another program's database")
        self._check_version(version)

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
        """Open the file again: if it was replaced the new one, if it is missing a fresh one."""
        with self._errors():
            if self.file_replaced():
                self._abandon()
            self.close()
            self.open()
            self._check()
        was_replaced, self._was_replaced = self._was_replaced, False
        return was_replaced

    def _abandon(self) -> None:
        """Complete a file that was moved, and remove its side files from where the next one goes.

        The next one would take that write-ahead log for its own. SQLite leaves both side files
        behind when the file of a connection is no longer at its path.
        """
        self._was_replaced = True
        with contextlib.suppress(StoreError):
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _unlink(self._side_files)

    def _check(self) -> None:
        """Check the whole file after a fault that may have damaged it.

        What was written but perhaps not synced is synced here; this fails as long as the disk does.
        """
        if self._damaged:
            faults = self._execute("PRAGMA quick_check(1)")
            if faults != [("ok",)]:
                raise UnusableError(f"{self.place}: the file is damaged; replace it with a backup")
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._damaged = False

    def file_replaced(self) -> bool:
        """Whether the file was deleted, renamed or replaced."""
        return self._connection is not None and _identity(self._path) != self._identity

    def erase_deleted(self, *, rewrite_up_to: float = 0) -> bool:
        """Empty the write-ahead log, in which deleted rows can still be read.

        Copies of them may also be left where rows moved from page to page; rewriting the file drops
        those.
        """
        self._execute(f"PRAGMA busy_timeout = {_SCRUB_BUSY_MS}")
        try:
            sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            ((size,),) = self._execute(sql)
            if size <= rewrite_up_to:
                self._execute("VACUUM")
            ((busy, _, _),) = self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except BusyError:
            return False
        finally:
            self._execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return not busy

    @contextlib.contextmanager
    def transaction(self, reference_ids: Iterable[str] = ()) -> Iterator[None]:  # noqa: ARG002
        """Take the file's one lock for writing first, so that no call changes meanwhile."""
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

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.place}: the file is not open")
        return self._connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # of an extended code
            self._damaged = self._damaged or code in _DAMAGED
            kind, remedy = _FAULTS.get(code, (StoreError, _UNWRITABLE))
            raise kind(f"{self.place}: {error}; {remedy}") from error
        except OSError as error:
            raise StoreError(f"{self.place}: {error.strerror}; {_UNWRITABLE}") from error


class BusyError(StoreError):
    """Another connection has the file locked."""


_UNWRITABLE = "the file and its folder have to be writable for the server"
_REFUSED = "a value of the event cannot be stored"
_FAULTS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_NOTADB: (UnusableError, "set call_log to another file, or move this one away"),
    sqlite3.SQLITE_BUSY: (BusyError, "another program has locked it for too long"),
    sqlite3.SQLITE_LOCKED: (BusyError, "another program has locked it for too long"),
    sqlite3.SQLITE_FULL: (StoreError, "free some space on the disk"),
    sqlite3.SQLITE_IOERR: (StoreError, "look at the disk"),
    sqlite3.SQLITE_CORRUPT: (StoreError, "look at the disk"),
    sqlite3.SQLITE_TOOBIG: (RefusedError, _REFUSED),
    sqlite3.SQLITE_CONSTRAINT: (RefusedError, _REFUSED),
    sqlite3.SQLITE_MISMATCH: (RefusedError, _REFUSED),
}


def _close_to_others(path: Path) -> None:
    """Make a file, such as a copy that was put here, readable for its owner only."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(mode & 0o700)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log.

    When another server does the same to a new file, SQLite fails at once instead of waiting; for an
    exclusive transaction it does wait.
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
    """Return what distinguishes a file from another at the same path; `None` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _side_files(path: Path) -> dict[Path, _Identity]:
    files = [path.with_name(path.name + each) for each in ("-wal", "-shm")]
    return {each: _identity(each) for each in files}


def _unlink(files: dict[Path, _Identity]) -> None:
    """Unlink these very files, and none that another server makes in their place meanwhile.

    It may do so between a look at a file and its unlinking, and would then write to a file
    that is lost. So the file is renamed first, looked at, and put back if it is another one.
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
