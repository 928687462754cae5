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
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from call_log.store import NO_LOG, SCHEMA_VERSION, Store, StoreError, fingerprint

_MAX_MS = 400
_CONNECT_S = 2  # the shortest that the driver accepts
_SCHEMA_LOCK = 0x4D436C67

_TYPES = {
    "id": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "integer": "bigint",
    "bytes": "bytea",
    "strict": "",
}
# Settings that another client left on the same server connection must not apply here: DEFAULT is
# what the user, the database or the URL's options set. Every query has an index; without statistics
# of a table yet, the planner would scan all of it for a batch of calls.
_BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED {mode};
SET LOCAL search_path = DEFAULT;
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off;
SET LOCAL lock_timeout = {longest};
SET LOCAL statement_timeout = {longest};
SET LOCAL idle_in_transaction_session_timeout = 4000;
SET LOCAL synchronous_commit = on
"""

# What the driver or the server says of a connection that is not made, and what to do about it.
_ADVICE = {
    "resolve host|translate host name": "correct the host in call_log",
    "refused|No such file": "start the database server, or correct host and port in call_log",
    "timeout expired|timed out|unreachable|No route": "correct the host, or open the firewall",
    'password auth|no password|role "': "correct the user, and PGPASSWORD or the .pgpass file",
    'database ".*" does not|no such database': "create it, in UTF8, or correct it in call_log",
    "UndefinedTable": NO_LOG,
}


class PostgresStore(Store):
    """A call log in a database that several servers share."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.place = _place(url)
        self._begin = ""

    @property
    def saved_prefix(self) -> Path:
        """A path in the state directory that systemd gives, else where the process works.

        The name differs for each database, since several logs may share that directory.
        """
        folder = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        known = conninfo_to_dict(self._url)  # user and password may change
        database = " ".join(str(known.get(name)) for name in ("host", "port", "dbname", "options"))
        return Path(folder).resolve() / f"postgresql-{fingerprint(database)[:12]}"

    def _open(self, *, write: bool) -> None:
        mode, longest = ("READ WRITE", _MAX_MS) if write else ("READ ONLY", "DEFAULT")
        # Several that start at once wait for the one that makes the tables as for a connection.
        self._begin = _BEGIN.format(mode=mode, longest=_CONNECT_S * 1000)
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
        encoding = self._connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":  # which might not take every text of an event
            got = f"got {encoding}; create another database"
            raise StoreError(f"{self.place}: wanted ENCODING 'UTF8', {got}")
        with self.transaction():
            if write:
                self.execute("SELECT pg_advisory_xact_lock(?)", [_SCHEMA_LOCK])
                self.execute("CREATE TABLE IF NOT EXISTS call_log (version integer NOT NULL)")
            ((version,),) = self.execute("SELECT max(version) FROM call_log")
            self._check_version(version or 0)
            if write and self.version < SCHEMA_VERSION:
                self._make_tables(_TYPES)
                self.execute("DELETE FROM call_log")
                self.execute("INSERT INTO call_log (version) VALUES (?)", [SCHEMA_VERSION])
        self._begin = _BEGIN.format(mode=mode, longest=longest)

    @contextlib.contextmanager
    def transaction(self, reference_ids: Iterable[str] = ()) -> Iterator[None]:
        """Take the locks of these calls, always in the same order, so that no two deadlock."""
        connection = self._require_connection()
        with self._errors():
            try:
                connection.execute(self._begin + _locking(reference_ids))
                yield
                connection.commit()
            except BaseException:
                with contextlib.suppress(psycopg.Error):
                    connection.rollback()
                raise

    def execute(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run a statement, in a transaction of its own outside any; see `Store.execute`."""
        connection = self._require_connection()
        is_inside = connection.info.transaction_status is not TransactionStatus.IDLE
        with self._errors(), contextlib.nullcontext() if is_inside else self.transaction():
            cursor = connection.execute(sql.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.DataError, psycopg.IntegrityError):
            raise  # it is a value's fault
        except psycopg.Error as error:
            raise StoreError(f"{self.place}: {_explain(error)}") from error


def _locking(reference_ids: Iterable[str]) -> str:
    """Return what takes the locks of some calls; it is sent in one message with the BEGIN.

    A message of several statements takes no parameters, so the numbers are in its text.
    """
    locks = sorted({_lock(reference_id) for reference_id in reference_ids})
    take = f"SELECT pg_advisory_xact_lock(id) FROM unnest(ARRAY{locks}::bigint[]) AS id"  # noqa: S608
    return f"; {take}" if locks else ""


def _lock(reference_id: str) -> int:
    """Return the number of a call's lock: 64 bits of its SHA-256, so rarely another call's."""
    return int.from_bytes(hashlib.sha256(reference_id.encode()).digest()[:8], signed=True)


def _explain(error: psycopg.Error) -> str:
    """Return what has failed and what to do; no row and no password is in it."""
    # Without a primary message it is the driver's own on the connection, which has no code either.
    message = error.diag.message_primary or f"{error}".partition("\n")[0]
    found = f"{type(error).__name__}: {message}"  # a server may translate the latter
    advice = (advice for words, advice in _ADVICE.items() if re.search(words, found))
    message = re.sub("^connection (failed|is bad): |FATAL: +", "", message)
    return f"{message}; {next(advice, 'see the log of the database server')}"


def _place(url: str) -> str:
    """Return host and database of a URL, without user and password."""
    with contextlib.suppress(psycopg.Error):
        known = conninfo_to_dict(url)
        place = f"PostgreSQL {known.get('dbname', '')} on {known.get('host', 'this machine')}"
        # Otherwise a part of a password was taken for one of these.
        if "@" not in place and re.fullmatch("[0-9,]*", str(known.get("port", ""))):
            return place
    got = "got an invalid URL; write @ as %40 and / as %2F in a password"
    raise StoreError(f"call_log: wanted postgresql://user@host:port/database, {got}")
