"""A program for the tests of attacks: what a stranger does to the server, in a process of its own.

Run it as `attacker.py KIND PORT COUNT SECONDS`: COUNT connections of one kind for SECONDS, on this
machine only. It ends by itself and then prints, as JSON, what it has done. A connection that the
server closes is opened again.
"""

import collections
import contextlib
import heapq
import json
import os
import resource
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

HEADERS = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
PAUSE_S = 0.25
CHUNK = 60_000

done: collections.Counter[str] = collections.Counter()


def connect(port: int) -> socket.socket:
    """Return a connection. Raises `OSError` if the server does not accept it."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def trickle(opening: bytes, port: int, count: int, ends: float) -> None:
    """Open connections with `opening`, then send a byte now and then on each, and never finish."""
    waiting: list[tuple[float, int]] = []
    clients: dict[int, socket.socket] = {}

    def begin(number: int) -> None:
        try:
            clients[number] = connect(port)
            clients[number].sendall(opening)
            done["opened"] += 1
        except OSError:
            done["not opened"] += 1
        heapq.heappush(waiting, (time.monotonic() + PAUSE_S, number))

    for number in range(count):
        begin(number)
    while (now := time.monotonic()) < ends:
        due, number = heapq.heappop(waiting)
        time.sleep(max(0.0, due - now))
        try:
            clients[number].sendall(b"x")
            done["bytes"] += 1
            heapq.heappush(waiting, (due + PAUSE_S, number))
        except (OSError, KeyError):
            begin(number)


def slow(port: int, count: int, ends: float) -> None:
    """Dribble headers on one half of the connections, bodies on the other."""
    body = HEADERS + b"Content-Length: 60000\r\n\r\n"
    halves = [(HEADERS + b"X-Slow: ", count // 2), (body, count - count // 2)]
    together(lambda half: trickle(half[0], port, half[1], ends), halves)


def unfinished(port: int, count: int, ends: float) -> None:
    """Send all of a body as long as one may be, but for its last byte."""
    body = b"x" * 65_535
    _pour(HEADERS + b"Content-Length: 65536\r\n\r\n" + body, b"", port, count, ends)


def chunks(port: int, count: int, ends: float) -> None:
    """Send a body in chunks of one byte, as fast as they are taken."""
    opening = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
    _pour(opening, b"1\r\nx\r\n" * 10_000, port, count, ends)


def _pour(opening: bytes, more: bytes, port: int, count: int, ends: float) -> None:
    """Send on each connection what opens it and then `more`, again and again; read no answer."""
    left: dict[socket.socket, bytes] = {}
    with selectors.DefaultSelector() as waiting:

        def begin() -> None:
            try:
                client = connect(port)
            except OSError:
                done["not opened"] += 1
                return
            client.setblocking(False)
            left[client] = opening
            waiting.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)
            done["opened"] += 1

        def go_on(client: socket.socket, events: int) -> bool:
            """Send something; return whether the connection is still open."""
            if events & selectors.EVENT_READ and not client.recv(4096):
                return False
            if events & selectors.EVENT_WRITE:
                left[client] = left[client][client.send(left[client]) :] or more
                if not left[client]:
                    waiting.modify(client, selectors.EVENT_READ)
            return True

        while time.monotonic() < ends:
            for _ in range(min(count - len(left), 50)):
                begin()
            for key, events in waiting.select(0.05):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                try:
                    is_open = go_on(client, events)
                except BlockingIOError:
                    continue
                except OSError:
                    is_open = False
                if not is_open:
                    waiting.unregister(client)
                    del left[client]
                    client.close()


def idle(port: int, count: int, ends: float) -> None:
    """Open connections and send nothing on them."""
    clients = [connect(port) for _ in range(count)]
    done["opened"] = len(clients)
    while time.monotonic() < ends:
        time.sleep(PAUSE_S)
        for number, client in enumerate(clients):
            if _is_closed(client):
                client.close()
                clients[number] = connect(port)
                done["opened"] += 1


def _is_closed(client: socket.socket) -> bool:
    try:
        return not client.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def flood(port: int, count: int, ends: float) -> None:
    """Send badly signed requests as fast as they are answered, small ones and large ones."""
    together(lambda size: _flood(port, size, ends), [2, CHUNK] * (count // 2))


def _flood(port: int, size: int, ends: float) -> None:
    signature = b"Authorization: TSA somebody:bm90IGEgc2lnbmF0dXJl\r\n"
    request = HEADERS + signature + b"Content-Length: %d\r\n\r\n" % size + b"x" * size
    client = connect(port)
    while time.monotonic() < ends:
        client.sendall(request)
        answer = b""
        while not answer.endswith(b"}"):
            answer += client.recv(65_536)
        done[answer[9:12].decode()] += 1


TINY = b"GET / HTTP/1.1\r\n\r\n"


def pipeline(port: int, count: int, ends: float) -> None:
    """Send 340 tiny requests at once on each connection and read little of the answers."""
    with selectors.DefaultSelector() as waiting:

        def begin() -> None:
            try:
                client = connect(port)
            except OSError:
                done["not opened"] += 1
                return
            client.setblocking(False)
            waiting.register(client, selectors.EVENT_READ, time.monotonic())
            with contextlib.suppress(OSError):
                client.send(TINY * 340)
            done["opened"] += 1

        while time.monotonic() < ends:
            for _ in range(min(count - len(waiting.get_map()), 50)):
                begin()
            for key, _ in waiting.select(0.05):
                try:
                    is_open = bool(key.fileobj.recv(10))  # type: ignore[union-attr]
                except OSError:
                    is_open = False
                if not is_open:
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]


def together(work: Callable[[Any], None], shares: list[Any]) -> None:
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Attack as the arguments say."""
    kind, port, count, seconds = sys.argv[1], *map(int, sys.argv[2:])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(19)  # the good client on this machine must wait for the server, not for us
    attacks = {work.__name__: work for work in (slow, unfinished, chunks, idle, flood, pipeline)}
    attacks[kind](port, count, time.monotonic() + seconds)
    print(json.dumps(done))


if __name__ == "__main__":
    main()
