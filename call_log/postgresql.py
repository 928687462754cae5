"""The call log in PostgreSQL, for several machines: the same rows under the same promises.

The server that decides on a call holds a lock on its id until the decision is committed. No
statement and no lock is waited for longer than an answer may take; a lost connection is noticed as
soon.

Between this and the database there may be a pooler, which hands the server connection to another
client after each transaction. So nothing outlives a transaction, and nothing from before it counts:
each brings its own settings, every statement is in one, and none is prepared.
"""

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from call_log.store import (
    SCHEMA_VERSION,
    RefusedError,
    Store,
    StoreError,
    UnusableError,
    fingerprint,
)

_MAX_MS = 400
_CONNECT_S = 2  # the shortest that the driver accepts
_SCHEMA_LOCK = 0x4D436C67

_SCHEMA = """
CREATE TABLE IF NOT EXISTS call_log (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS call_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference_id text NOT NULL,
    event text NOT NULL,
    sha256 bytea NOT NULL,
    caller text,
    dialled text,
    status text,
    reply text NOT NULL,
    reason text,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL,
    deliveries bigint NOT NULL,
    body bytea NOT NULL,
    UNIQUE (reference_id, event, sha256)
);
CREATE INDEX IF NOT EXISTS call_event_first_seen ON call_event (first_seen);
CREATE TABLE IF NOT EXISTS purged_call (sha256 text PRIMARY KEY);
"""
# Settings that another client left on the same server connection must not apply here: DEFAULT is
# what the user, the database or the URL's options set. Every query has an index; without statistics
# of a table yet, the planner would scan all of it for a batch of calls.
_COMMON = """
SET LOCAL search_path = DEFAULT;
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off
"""
_READING = f"""
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {_COMMON};
SET LOCAL lock_timeout = DEFAULT;
SET LOCAL statement_timeout = DEFAULT;
SET LOCAL idle_in_transaction_session_timeout = DEFAULT
"""
_WRITING = f"""
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {_COMMON};
SET LOCAL lock_timeout = {_MAX_MS};
SET LOCAL statement_timeout = {_MAX_MS};
SET LOCAL idle_in_transaction_session_timeout = {10 * _MAX_MS};
SET LOCAL synchronous_commit = on
"""
_MISSING = "42P01"


class PostgresStore(Store):
    """A call log in a database that several servers share."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.place = _place(url)
        self._connection: psycopg.Connection[Any] | None = None
        self._begin = _READING

    @property
    def spill_prefix(self) -> Path:
        """A path in the state directory that systemd gives, else where the process works.

        The name differs for each database, since several logs may share that directory.
        """
        folder = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        return Path(folder).resolve() / f"postgresql-{fingerprint(_database(self._url))[:12]}"

    def open(self, *, write: bool = True) -> None:
        """Connect, and create the tables if there are none."""
        try:
            self._open(write=write)
        except StoreError:
            self.close()
            raise

    def _open(self, *, write: bool) -> None:
        self._begin = _WRITING if write else _READING
        with self._errors():
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=_CONNECT_S,
                tcp_user_timeout=_MAX_MS,
                keepalives_idle=1,
                keepalives_interval=1,
                keepalives_count=1,
                client_encoding="utf8",
                application_name="masked-calls",
            )
        with self.transaction():
            self._check_encoding()
            if write:
                # Two servers that start at once must not both create the tables.
                self._execute("SELECT pg_advisory_xact_lock(?)", [_SCHEMA_LOCK])
                self._prepare()
            else:
                self._check_stored_version()

    def _check_encoding(self) -> None:
        ((encoding,),) = self._execute("SELECT current_setting('server_encoding')")
        if encoding != "UTF8":
            raise UnusableError(
                f"{self.place}: wanted a database in UTF8, got one in {encoding}; create another"
                " with ENCODING 'UTF8'"
            )

    def _prepare(self) -> None:
        ((exists,),) = self._execute("SELECT to_regclass('call_log') IS NOT NULL")
        if exists:
            self._check_stored_version()
            return
        for statement in _SCHEMA.split(";")[:-1]:
            self._execute(statement)
        self._execute("INSERT INTO call_log (version) VALUES (?)", [SCHEMA_VERSION])

    def _check_stored_version(self) -> None:
        ((version,),) = self._execute("SELECT max(version) FROM call_log")
        self._check_version(version)

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def reconnect(self) -> bool:
        """Connect again; a transaction that was open is rolled back by the server."""
        self.close()
        self.open()
        return False

    def abort(self) -> None:
        """Shut the connection down: the thread that waits on it gets an error.

        That thread may close the connection meanwhile, and its descriptor be given to another one:
        so what is shut down is a duplicate, made at once.
        """
        connection = self._connection
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(psycopg.Error, OSError))
            if connection is not None:
                duplicate = socket.socket(fileno=os.dup(connection.fileno()))
                stack.enter_context(duplicate).shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def transaction(self, reference_ids: Iterable[str] = ()) -> Iterator[None]:
        """Take the locks of these calls, always in the same order, so that no two deadlock."""
        connection = self._opened()
        with self._errors():
            try:
                connection.execute(self._begin + _locking(reference_ids))
                yield
                connection.commit()
            except BaseException:
                with contextlib.suppress(psycopg.Error):
                    connection.rollback()
                raise

    def _within(self) -> contextlib.AbstractContextManager[None]:
        """Return a transaction for one statement, unless it is in one already."""
        is_in_one = self._opened().info.transaction_status is not TransactionStatus.IDLE
        return contextlib.nullcontext() if is_in_one else self.transaction()

    def _execute(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._errors(), self._within():
            cursor = self._opened().execute(_psycopg(sql), values)
            return cursor.fetchall() if cursor.description else []

    def _opened(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            raise StoreError(f"{self.place}: not connected")
        return self._connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
            raise RefusedError(f"{self.place}: {type(error).__name__}") from error
        except psycopg.Error as error:
            if error.sqlstate == _MISSING:
                raise UnusableError(f"{self.place}: there is no call log yet") from error
            # Without a primary message it is the driver's own on the connection; no row is in it.
            message = error.diag.message_primary or f"{error}".partition("\n")[0]
            raise StoreError(f"{self.place}: {message}; see the database server's log") from error


def _psycopg(sql: str) -> str:
    """Return a statement with the driver's placeholders."""
    return sql.replace("?", "%s")


def _locking(reference_ids: Iterable[str]) -> str:
    """Return what takes the locks of some calls; it is sent in one message with the BEGIN.

    A message of several statements takes no parameters, so the numbers are in its text.
    """
    locks = sorted({_lock(each) for each in reference_ids})
    take = f"SELECT pg_advisory_xact_lock(each) FROM unnest(ARRAY{locks}::bigint[]) AS each"  # noqa: S608
    return f"; {take}" if locks else ""


def _lock(reference_id: str) -> int:
    """Return the number of a call's lock: 64 bits of its SHA-256, so rarely another call's."""
    return int.from_bytes(hashlib.sha256(reference_id.encode()).digest()[:8], signed=True)


def _database(url: str) -> str:
    """Return the parts of a URL that name the database, and none on the user or the connection."""
    known = conninfo_to_dict(url)
    return " ".join(str(known.get(each)) for each in ("host", "port", "dbname", "options"))


def _place(url: str) -> str:
    """Return host and database of a URL, without user and password."""
    try:
        known = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise StoreError(
            "call_log: wanted postgresql://user@host:port/database, got an invalid URL"
        ) from error
    return f"PostgreSQL {known.get('dbname', '')} on {known.get('host', 'this machine')}"
