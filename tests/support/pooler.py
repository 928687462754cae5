"""PgBouncer in transaction mode before the test database, shared with a client that behaves badly.

A server connection is handed on after each transaction; what one client sets for its session is
found there by the next one.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

PGBOUNCER = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="no pgbouncer here")

SERVER_CONNECTIONS = 2
SPOILED = {
    "synchronous_commit": "off",
    "lock_timeout": "70ms",
    "statement_timeout": "70ms",
    "idle_in_transaction_session_timeout": "70ms",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "search_path": "nowhere",
}
_CONFIGURATION = """\
[databases]
* = {database}
[pgbouncer]
{user}
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {server_connections}
server_login_retry = 0.2
"""


class Pooler:
    """A pooler of the test's own, on a port of its own, in front of a database."""

    def __init__(self, folder: Path, database: Mapping[str, object], size: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql://127.0.0.1:{self.port}/{database['dbname']}"
        self._file = folder / f"pgbouncer-{self.port}.ini"
        self._log = self._file.with_suffix(".log")
        self._file.write_text(
            _CONFIGURATION.format(
                database=" ".join(f"{name}={value}" for name, value in database.items()),
                user="user = postgres" if os.geteuid() == 0 else "",  # it refuses to run as root
                port=self.port,
                server_connections=size,
            )
        )

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert PGBOUNCER is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([PGBOUNCER, self._file], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.01)
        self.stop()
        raise AssertionError(f"pgbouncer did not start: {self._log.read_text()}")

    def stop(self) -> None:
        """End it at once, whatever it is doing for anybody."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def pooled(folder: Path, server: str, size: int = SERVER_CONNECTIONS) -> Iterator[Pooler]:
    """Yield a pooler before a schema of the test's own in a database.

    A pooler refuses a URL's `options`, so the schema is the default one of a user of the test's
    own, who is nothing but an owner of it.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    name = f"test_{os.getpid()}_{time.time_ns()}"
    database = {"host": "127.0.0.1", "port": 5432, "dbname": "postgres", **conninfo_to_dict(server)}
    known = {part: database[part] for part in ("host", "port", "dbname")}
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        connection.execute(f"ALTER ROLE {name} SET search_path = {name}")
        connection.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
    pooler = Pooler(folder, known | {"user": name, "password": name}, size)
    try:
        pooler.start()
        yield pooler
    finally:
        pooler.stop()
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {name} CASCADE")
            connection.execute(f"DROP ROLE {name}")


def spoil(url: str) -> None:
    """Set for a session what would harm the next one on its server connection, and leave."""
    import psycopg

    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        for name, value in SPOILED.items():
            connection.execute(f"SET {name} = '{value}'")


@contextlib.contextmanager
def neighbour(url: str) -> Iterator[None]:
    """Spoil the server connections of a pooler time and again, at unforeseen moments."""
    ending = threading.Event()

    def work() -> None:
        from psycopg.errors import QueryCanceled

        while not ending.wait(0.003):
            with contextlib.suppress(QueryCanceled):  # by the short time-outs of its own
                spoil(url)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def shown(url: str, *names: str) -> dict[str, Any]:
    """Return what a plain client of this database is answered to `SHOW`."""
    import psycopg

    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        return {name: connection.execute(f"SHOW {name}").fetchall()[0][0] for name in names}
