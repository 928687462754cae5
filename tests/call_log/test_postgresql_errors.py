"""What is said of a PostgreSQL database that cannot be used: each cause its own, and what to do."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from databases import TEST_DATABASE, needs_postgresql
from raw_servers import Play, Raw, hang_up, raw_server

from call_log import writer
from call_log.store import StoreError

pytest.importorskip("psycopg")

SECRET = "s3cret"
_SSL, _GSS = 80877103, 80877104


@pytest.fixture(autouse=True)
def _no_password_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/nowhere/pgpass")


def said(url: str) -> str:
    """Return what is said of the database of a URL."""
    with pytest.raises(StoreError) as raised:
        writer.store_of(url).open()
    assert SECRET not in str(raised.value)
    return str(raised.value)


def messages(connection: socket.socket) -> Iterator[bytes]:
    """Yield what a client sends: how it starts, then each message without its kind."""
    kind = b""
    while True:
        head = connection.recv(len(kind) + 4, socket.MSG_WAITALL)
        if not head:
            return
        (length,) = struct.unpack("!i", head[-4:])
        text = connection.recv(length - 4, socket.MSG_WAITALL)
        if text[:4] in (struct.pack("!i", _SSL), struct.pack("!i", _GSS)):
            connection.sendall(b"N")
        else:
            yield text
            kind = b"p"


def refusing(message: str, code: str) -> Play:
    """Ask for the password as PostgreSQL does, and refuse what comes."""
    fields = f"SFATAL\0VFATAL\0C{code}\0M{message}\0\0".encode()

    def play(connection: socket.socket, server: Raw) -> None:
        client = messages(connection)
        next(client)
        connection.sendall(b"R" + struct.pack("!ii", 8, 3))  # in plain text
        for password in client:
            server.got.append(password)
            connection.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)
            return

    return play


def test_an_unknown_host_is_said_as_such() -> None:
    message = said(f"postgresql://us:{SECRET}@db.invalid/calls")
    begin = "PostgreSQL calls on db.invalid: failed to resolve host 'db.invalid': "
    assert message.startswith(begin)
    assert message.endswith("; correct the host in call_log")


def test_a_refused_connection_is_said_as_such(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    advice = "start the database server, or correct host and port in call_log"
    assert said(f"postgresql://us:{SECRET}@127.0.0.1:{port}/calls") == (
        f'PostgreSQL calls on 127.0.0.1: connection to server at "127.0.0.1", port {port} failed:'
        f" Connection refused; {advice}"
    )
    nowhere = said(f"postgresql://us:{SECRET}@/calls?host={tmp_path}")
    assert nowhere.startswith(f"PostgreSQL calls on {tmp_path}: connection to server on socket ")
    assert nowhere.endswith(f" failed: No such file or directory; {advice}")


BEGIN = 'PostgreSQL calls on 127.0.0.1: connection to server at "127.0.0.1", port PORT failed: '
LOOK = "see the log of the database server"
CORRECT = "correct the user, and PGPASSWORD or the .pgpass file"


@pytest.mark.parametrize(
    ("message", "code", "advice"),
    [
        ('password authentication failed for user "us"', "28P01", CORRECT),
        ('role "us" does not exist', "28000", CORRECT),
        (
            'database "calls" does not exist',
            "3D000",
            "create it, in UTF8, or correct it in call_log",
        ),
        ("sorry, too many clients already", "53300", LOOK),
    ],
)
def test_what_a_server_refuses_is_said_with_what_to_do(
    message: str, code: str, advice: str
) -> None:
    with raw_server(refusing(message, code)) as server:
        heard = said(f"postgresql://us:{SECRET}@127.0.0.1:{server.port}/calls")
    assert server.got == [f"{SECRET}\0".encode()]
    assert heard == f"{BEGIN.replace('PORT', str(server.port))}{message}; {advice}"


def test_a_password_that_is_wanted_and_missing_is_said_as_such() -> None:
    with raw_server(refusing("", "")) as server:
        heard = said(f"postgresql://us@127.0.0.1:{server.port}/calls")
    end = f"fe_sendauth: no password supplied; {CORRECT}"
    assert heard == f"{BEGIN.replace('PORT', str(server.port))}{end}"


def test_a_server_that_says_nothing_is_said_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        heard = said(f"postgresql://us:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/calls")
    advice = "correct the host, or open the firewall"
    assert heard == f"PostgreSQL calls on 127.0.0.1: connection timeout expired; {advice}"


def test_a_server_that_hangs_up_is_said_as_such() -> None:
    with raw_server(hang_up) as server:
        heard = said(f"postgresql://us:{SECRET}@127.0.0.1:{server.port}/calls?sslmode=disable")
    assert heard.endswith(f"server closed the connection unexpectedly; {LOOK}")


@needs_postgresql
def test_a_database_that_is_missing_is_said_as_such() -> None:
    url = urlsplit(TEST_DATABASE)._replace(path="/no_such_calls").geturl()
    advice = "create it, in UTF8, or correct it in call_log"
    assert said(url).endswith(f' failed: database "no_such_calls" does not exist; {advice}')


@needs_postgresql
def test_a_log_that_no_server_has_made_is_said_as_such() -> None:
    with pytest.raises(StoreError, match="; there is no call log yet; a server makes it"):
        writer.store_of(f"{TEST_DATABASE}?options=-csearch_path%3Dnowhere").open(write=False)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://us:p@{SECRET}@127.0.0.1/calls",
        f"postgresql://us:p/{SECRET}@127.0.0.1/calls",
        f"postgresql://us:p/a@{SECRET}@127.0.0.1/calls",
        f"postgresql://us:{SECRET}/calls",
        f"postgresql://us:{SECRET}@[::1/calls",
        f"postgresql://us:{SECRET}%zz@127.0.0.1/calls",
        f"postgresql://us@127.0.0.1/calls?passwort={SECRET}",
    ],
)
def test_a_password_that_is_not_encoded_is_not_taken_for_a_host_and_shown(url: str) -> None:
    assert said(url) == (
        "call_log: wanted postgresql://user@host:port/database, got an invalid URL; write @ as %40"
        " and / as %2F in a password"
    )


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://us:p%40ss%2F@db.example:6432/calls", "PostgreSQL calls on db.example"),
        (
            "postgres://db.example:1,other.example:2/calls",
            "PostgreSQL calls on db.example,other.example",
        ),
        ("postgresql:///calls?host=/run/postgresql", "PostgreSQL calls on /run/postgresql"),
        ("postgresql:///calls?user=us@db", "PostgreSQL calls on this machine"),
        ("postgresql://us:a?b#c@db.example/calls", "PostgreSQL calls on db.example"),
    ],
)
def test_any_url_that_postgresql_takes_is_taken(url: str, place: str) -> None:
    assert writer.store_of(url).place == place
