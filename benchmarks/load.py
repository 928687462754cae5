"""The load generator: some clients on raw sockets in one thread, in a process of its own.

Every request is made before the clock starts. A closed loop sends the next request when an answer
is there; an open loop (`--rate`) sends each when it is due, whatever the answers take, and measures
from then, so that waiting for a slow server is counted. A wrong answer, a connection that is cut
and an answer that does not come within ten seconds are errors.

python -m benchmarks.load PORT --count N [--rate R] prints one JSON object.
"""

import argparse
import json
import os
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

from benchmarks import machine, wire
from benchmarks.figures import percentile

CLIENTS = 16
MAX_WAIT_S = 10.0
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CLOSES = re.compile(rb"^HTTP/1\.0|\r\nconnection: *close", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen of one load: answers a second, and how long the right ones took."""

    answered: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    longest_ms: float

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.answered / self.seconds


@dataclass(slots=True)
class Client:
    """One keep-alive connection, connected again after the server has closed it."""

    port: int
    request: bytes = b""
    since: float = 0.0
    got: bytes = b""
    connection: socket.socket | None = None

    def begin(self, request: bytes, since: float) -> socket.socket:
        """Take a request that counts from `since`; return what can be written to when it can go.

        A server whose backlog is full lets a client wait, and must not let the others wait as well.
        """
        self.request, self.since, self.got = request, since, b""
        if self.connection is None:
            self.connection = socket.socket()
            self.connection.settimeout(0)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.connect_ex(("127.0.0.1", self.port))
        return self.connection

    def receive(self) -> bytes | None:
        """Return the whole answer, nothing if it is cut; `None` if more is to come."""
        assert self.connection is not None  # noqa: S101 - something was sent
        piece = self.connection.recv(65_536)
        self.got += piece
        if piece and not is_whole(self.got):
            return None
        if not piece or _CLOSES.search(self.got):
            self.close()
        return self.got if piece else b""

    def close(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def is_whole(answer: bytes) -> bool:
    """Return whether an answer has come to its end, by its Content-Length."""
    end = answer.find(b"\r\n\r\n")
    length = _LENGTH.search(answer, 0, end + 2) if end >= 0 else None
    return length is not None and len(answer) >= end + 4 + int(length[1])


@dataclass(slots=True)
class Load:
    """Plays requests on a server; `due` is None in a closed loop, else when each is due."""

    port: int
    requests: Sequence[bytes]
    due: Callable[[int], float] | None = None
    errors: int = 0
    took: list[float] = field(default_factory=list)
    sent: int = 0
    idle: deque[Client] = field(default_factory=deque)
    connecting: dict[int, Client] = field(default_factory=dict)
    busy: dict[int, Client] = field(default_factory=dict)

    def play(self, clients: int) -> Result:
        """Send everything, wait for the answers, and return what was seen."""
        self.idle.extend(Client(self.port) for _ in range(clients))
        started = time.perf_counter()
        while self.sent < len(self.requests) or self.busy or self.connecting:
            self._begin_what_is_due()
            answered, connected, _ = select.select(self.busy, self.connecting, (), self._pause_s())
            for number in connected:
                self._send(number, self.connecting.pop(number))
            for number in answered:
                self._receive(number)
            self._give_up()
        seconds = time.perf_counter() - started
        for client in self.idle:
            client.close()
        spread = [percentile(self.took, percent) * 1000 for percent in (50, 99, 100)]
        return Result(len(self.took), self.errors, seconds, *spread)

    def _begin_what_is_due(self) -> None:
        while self.idle and self.sent < len(self.requests):
            now = time.perf_counter()
            since = self.due(self.sent) if self.due else now
            if since > now:
                return
            client = self.idle.popleft()
            is_new = client.connection is None
            number = client.begin(self.requests[self.sent], since).fileno()
            self.sent += 1
            if is_new:
                self.connecting[number] = client
            else:
                self._send(number, client)

    def _send(self, number: int, client: Client) -> None:
        assert client.connection is not None  # noqa: S101 - it has begun
        try:
            client.connection.sendall(client.request)
            self.busy[number] = client
        except OSError:
            self._fail(client)

    def _pause_s(self) -> float:
        """Return how long nothing is to be done but to wait for answers."""
        if self.idle and self.sent < len(self.requests):
            return max(0.0, self.due(self.sent) - time.perf_counter()) if self.due else 0.0
        return 1.0 if self.busy or self.connecting else 0.0

    def _receive(self, number: int) -> None:
        client = self.busy[number]
        try:
            answer = client.receive()
        except OSError:
            answer = b""
        if answer is None:
            return
        del self.busy[number]
        if wire.is_right(answer):
            self.took.append(time.perf_counter() - client.since)
            self.idle.append(client)
        else:
            self._fail(client)

    def _fail(self, client: Client) -> None:
        self.errors += 1
        client.close()
        self.idle.append(client)

    def _give_up(self) -> None:
        """Count those as errors who have waited too long since their request was due."""
        latest = time.perf_counter() - MAX_WAIT_S
        for waiting in self.busy, self.connecting:
            for number in [number for number, client in waiting.items() if client.since < latest]:
                self._fail(waiting.pop(number))


def play(
    port: int, requests: Sequence[bytes], *, clients: int = CLIENTS, rate: float | None = None
) -> Result:
    """Play requests on a server of this machine: `rate` of them a second, or as they go."""
    start = time.perf_counter()
    return Load(port, requests, (lambda n: start + n / rate) if rate else None).play(clients)


def main() -> None:
    """Play as the command line says, on the last core, and print what was seen."""
    parser = argparse.ArgumentParser(description="Signed events, sent to a server here.")
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, help="events a second (none: as they are answered)")
    options = parser.parse_args()
    machine.pin(os.getpid(), (os.cpu_count() or 1) - 1)
    events = islice(wire.bodies(f"{os.getpid()}-{time.time_ns():X}"), options.count)
    requests = [wire.http(body) for body in events]
    print(json.dumps(asdict(play(options.port, requests, rate=options.rate))))


if __name__ == "__main__":
    main()
