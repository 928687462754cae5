"""Servers on real sockets that do what no web server would; and a certificate for them."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

OPENSSL = shutil.which("openssl")
SELF_SIGNED = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
)


def make_certificate(folder: Path) -> Path:
    """Return a file of a certificate for localhost, signed by itself, and its key."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = f"{OPENSSL} {SELF_SIGNED} -out {made} -keyout {key}"
    subprocess.run(command.split(), check=True, capture_output=True)
    made.write_text(made.read_text() + key.read_text())
    return made


@dataclass
class Raw:
    """A server whose every connection is played by a function; `got` is what it has read."""

    port: int
    got: list[bytes] = field(default_factory=list)
    connections: int = 0


Play = Callable[[socket.socket, Raw], None]


@contextlib.contextmanager
def raw_server(play: Play) -> Iterator[Raw]:
    """Serve until the end of the block, one connection after the other."""
    listening = socket.create_server(("127.0.0.1", 0))
    server, ending = Raw(listening.getsockname()[1]), threading.Event()

    def serve() -> None:
        while not ending.is_set():
            connection = listening.accept()[0]
            with connection, contextlib.suppress(OSError):
                if not ending.is_set():
                    server.connections += 1
                    connection.settimeout(20)
                    play(connection, server)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        ending.set()
        socket.create_connection(("127.0.0.1", server.port)).close()
        thread.join()
        listening.close()


def read_request(connection: socket.socket, server: Raw) -> None:
    """Read one whole request, of which the length is given."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(connection)
    head = got.partition(b"\r\n\r\n")[0]
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"),
        0,
    )
    while len(got) < len(head) + 4 + length:
        got += _more(connection)
    server.got.append(got)


def _more(connection: socket.socket) -> bytes:
    got = connection.recv(65536)
    if not got:
        raise ConnectionError("the client has gone")
    return got


def saying(answer: bytes) -> Play:
    """Read a request and send these bytes, whatever they are; then close."""

    def play(connection: socket.socket, server: Raw) -> None:
        read_request(connection, server)
        connection.sendall(answer)

    return play


def over_tls(certificate: Path, play: Play) -> Play:
    """Play inside TLS, with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def wrapped(connection: socket.socket, server: Raw) -> None:
        with context.wrap_socket(connection.dup(), server_side=True) as inside:
            play(inside, server)

    return wrapped


def breaking_tls(certificate: Path) -> Play:
    """Read a whole request inside TLS, then send what is no TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def play(connection: socket.socket, server: Raw) -> None:
        with context.wrap_socket(connection.dup(), server_side=True) as inside:
            read_request(inside, server)
            connection.sendall(b"no TLS at all, and more of it than a record's head")

    return play


def hang_up(*_: object) -> None:
    """Take the connection and close it, without reading."""


def say_nothing(connection: socket.socket, _: Raw) -> None:
    """Take the connection and answer nothing until the client leaves."""
    while connection.recv(65536):
        pass
