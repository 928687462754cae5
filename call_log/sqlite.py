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

from call_log.store import NO_LOG, SCHEMA_VERSION, Store, StoreError

APPLICATION_ID = 0x4D436C67

_START_BUSY_S = 5.0
_BUSY_MS = 400
_SCRUB_BUSY_MS = 20

_TYPES = {"id": "INTEGER PRIMARY KEY", "integer": "INTEGER", "bytes": "BLOB", "strict": "STRICT"}
# One statement, for another server may be making the tables.
_OWNER = """
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
FROM pragma_application_id, pragma_user_version
"""


class SqliteStore(Store):
    """A call log in a file."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))  # whatever folder the process works in later
        self._wal = self._path.with_name(f"{self._path.name}-wal")
        self.place = str(self._path)
        self._identities: dict[Path, object] = {}
        self._was_replaced = False

    @property
    def saved_prefix(self) -> Path:
        """The log's own path: its files are next to it."""
        return self._path

    def _open(self, *, write: bool) -> None:
        found = self._look()
        if write and found[self._path] is None:
            self._remove_side_files(found)
            with contextlib.suppress(FileExistsError):
                self._path.touch(0o600, exist_ok=False)
        elif found[self._path] is None:
            raise StoreError(f"{self.place}: {NO_LOG}")
        if not self._path.is_file():
            raise StoreError(f"{self.place}: wanted a file, got a folder or a device")
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
        self._identities = self._look()

    def _look(self) -> dict[Path, object]:
        """Return which files are here: the two that SQLite keeps next to the log, then the log.

        A server that makes a log makes its side files after it. So where the log is missing, those
        found are a former one's.
        """
        shm = self._path.with_name(f"{self._path.name}-shm")
        return {path: _identity(path) for path in (self._wal, shm, self._path)}

    def _remove_side_files(self, identities: dict[Path, object]) -> None:
        """Remove side files, but none that another server has made in their place.

        SQLite leaves them behind when the file of a connection is no longer at its path, and would
        take them for those of the next one.
        """
        for path, identity in identities.items():
            if path != self._path and identity is not None and _identity(path) == identity:
                path.unlink(missing_ok=True)

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that is not a call log before anything in it is changed."""
        ((owner, version, tables),) = connection.execute(_OWNER)
        if owner != APPLICATION_ID and (owner or tables):
            raise StoreError(f"{self.place}: wanted a call log, got another program's database")
        self._check_version(version)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for path in self._look():  # a copy that was put here may be readable for others
            with contextlib.suppress(FileNotFoundError, PermissionError):
                path.chmod(0o600)
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        with self.transaction():
            self._check_owner(connection)  # again: another server may have made the tables
            self._make_tables(_TYPES)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def reconnect(self) -> bool:
        """Open the file again: if it was replaced the new one, if it is missing a fresh one.

        What was written but perhaps not synced, as a sync failed, is synced here; this fails as
        long as the disk does.
        """
        if self.is_replaced():
            self._was_replaced = True
            with contextlib.suppress(StoreError):
                self.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # completes the file that is away
            with self._errors():
                self._remove_side_files(self._identities)
        super().reconnect()
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        was_replaced, self._was_replaced = self._was_replaced, False
        return was_replaced

    def is_replaced(self) -> bool:
        """Whether the file, or its write-ahead log, was deleted, renamed or replaced."""
        return self._connection is not None and any(
            _identity(path) != self._identities[path] for path in (self._path, self._wal)
        )

    def erase_deleted(self, *, rewrite_up_to: float = 0) -> bool:
        """Empty the write-ahead log, in which deleted rows can still be read.

        Copies of them may also be left where rows moved from page to page; rewriting the file drops
        those.
        """
        self.execute(f"PRAGMA busy_timeout = {_SCRUB_BUSY_MS}")
        try:
            sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            ((size,),) = self.execute(sql)
            if size <= rewrite_up_to:
                self.execute("VACUUM")
            ((busy, _, _),) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except BusyError:
            return False
        finally:
            self.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return not busy

    @contextlib.contextmanager
    def transaction(self, reference_ids: Iterable[str] = ()) -> Iterator[None]:  # noqa: ARG002
        """Take the file's one lock for writing first, so that no call changes meanwhile."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(StoreError):
                self.execute("ROLLBACK")
            raise

    def execute(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run a statement; see `Store.execute`."""
        connection = self._require_connection()
        with self._errors():
            return list(connection.execute(sql, values))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.DataError):
            raise  # it is a value's fault
        except sqlite3.Error as error:
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # of an extended code
            kind = BusyError if code == sqlite3.SQLITE_BUSY else StoreError
            raise kind(f"{self.place}: {error}; {_REMEDIES.get(code, _UNWRITABLE)}") from error
        except OSError as error:
            raise StoreError(f"{self.place}: {error.strerror}; {_UNWRITABLE}") from error


class BusyError(StoreError):
    """Another connection has the file locked."""


_UNWRITABLE = "the user who runs this has to be able to write to the file and its folder"
_REMEDIES = {
    sqlite3.SQLITE_NOTADB: "set call_log to another file, or move this one away",
    sqlite3.SQLITE_BUSY: "another program has locked it for too long",
    sqlite3.SQLITE_FULL: "free some space on the disk",
    sqlite3.SQLITE_IOERR: "look at the disk",
    sqlite3.SQLITE_CORRUPT: "look at the disk",
}


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


def _identity(path: Path) -> object:
    """Return what distinguishes a file from another at the same path; `None` if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - before each answer
    except OSError:
        return None
    return found.st_dev, found.st_ino
