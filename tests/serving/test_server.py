"""Serving by itself, also on a system that lacks much: every connection gets its answers."""

import itertools
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import ROOT, eventually, payload, processor_s
from processes import ServerProcess, serving
from slow_app import BIG_PIECE, BIG_PIECES, THREADS
from waitress import wasyncore

from app import MAX_BODY_BYTES
from serving.server import (
    _MAX_WAITING_REQUESTS,
    LIMITS,
    _Connections,
    _report_errors,
)

# waitress warns that `send_bytes` will go one day; its version is pinned.
pytestmark = pytest.mark.filterwarnings("ignore:send_bytes")

SECONDS = 0.4
HEAD = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"


RunningApp = tuple[int, int]


@pytest.fixture(scope="module")
def running_app() -> Iterator[RunningApp]:
    """Yield process id and port."""
    with serving(str(SECONDS)) as (process, port):
        yield process.pid, port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def post(path: str) -> bytes:
    return HEAD.format(path).encode()


def answers(client: socket.socket, count: int) -> list[bytes]:
    """Return the paths of so many answers, in the order in which they come."""
    got = b""
    while got.count(b" done") < count and (piece := client.recv(65_536)):
        got += piece
    heads = got.split(b" done")[:-1]
    assert all(head.lstrip().startswith(b"HTTP/1.1 200 OK") for head in heads)
    return [head.rpartition(b"\r\n\r\n")[2] for head in heads]


def test_as_many_are_answered_at_once_as_there_are_threads(running_app: RunningApp) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(running_app[1])) for _ in range(THREADS + 1)]
        started = time.monotonic()
        for client in clients:
            client.sendall(post("/"))
        waited = []
        for client in clients:
            assert answers(client, 1) == [b"/"]
            waited.append(time.monotonic() - started)
    *soon, last = sorted(waited)
    assert max(soon) < 2 * SECONDS <= last


def test_requests_in_one_packet_are_answered_in_their_order(running_app: RunningApp) -> None:
    answer_one_packet(running_app[1])


def test_a_system_without_poll_and_limits_answers_too() -> None:
    with serving("0", "bare") as (_, port):
        answer_one_packet(port)
        answer_more_than_every_buffer_holds(port)


def answer_one_packet(port: int) -> None:
    paths = ["/a", "/", "/b", "/c"]
    with connect(port) as client:
        client.sendall(b"".join(map(post, paths)))
        assert answers(client, 4) == [path.encode() for path in paths]
        client.sendall(post("/d"))
        assert answers(client, 1) == [b"/d"]


def test_what_is_sent_while_an_answer_is_made_is_answered_after_it(running_app: RunningApp) -> None:
    """And that it waits to be read costs no processor time."""
    pid, port = running_app
    with connect(port) as client:
        used_s = processor_s(pid)
        client.sendall(post("/"))
        time.sleep(SECONDS / 3)
        client.sendall(post("/next")[:20])
        assert answers(client, 1) == [b"/"]
        assert processor_s(pid) - used_s < SECONDS / 3
        client.sendall(post("/next")[20:])
        assert answers(client, 1) == [b"/next"]


def test_a_client_that_closes_its_sending_side_is_answered(running_app: RunningApp) -> None:
    with connect(running_app[1]) as client:
        client.sendall(post("/"))
        client.shutdown(socket.SHUT_WR)
        assert answers(client, 2) == [b"/"]


def test_a_client_that_leaves_before_its_answer_delays_no_other(running_app: RunningApp) -> None:
    pid, port = running_app
    used_s = processor_s(pid)
    for _ in range(8):
        with connect(port) as client:
            client.sendall(post("/"))
            time.sleep(0.02)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with connect(port) as client:
        client.sendall(post("/next"))
        assert answers(client, 1) == [b"/next"]
    assert processor_s(pid) - used_s < SECONDS / 2


def test_an_answer_larger_than_every_buffer_arrives_whole(running_app: RunningApp) -> None:
    answer_more_than_every_buffer_holds(running_app[1])


def answer_more_than_every_buffer_holds(port: int) -> None:
    """Also to a client that takes it late; others are answered meanwhile."""
    with connect(port) as late, connect(port) as other:
        late.sendall(post("/big"))
        time.sleep(0.2)
        other.sendall(post("/other"))
        assert answers(other, 1) == [b"/other"]
        with late.makefile("rb") as stream:
            while stream.readline() != b"\r\n":
                pass
            for _ in range(BIG_PIECES):
                assert stream.read(len(BIG_PIECE)) == BIG_PIECE
        late.sendall(post("/next"))
        assert answers(late, 1) == [b"/next"]


def everything(client: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    try:
        return b"".join(iter(lambda: client.recv(65_536), b""))
    except ConnectionError:  # it had more to read
        return b""


def test_an_answer_is_sent_as_soon_as_it_is_made(running_app: RunningApp) -> None:
    """Not when the loop wakes up by itself, ten times a second."""
    with connect(running_app[1]) as client:
        started = time.monotonic()
        for _ in range(30):
            client.sendall(post("/next"))
            assert answers(client, 1) == [b"/next"]
        assert time.monotonic() - started < 1.5


def test_a_client_that_connects_at_the_limit_of_connections_is_answered(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, max_files=64) as server:
        with ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(connect(server.port))
            limit = "the limit of connections is reached"
            assert eventually(lambda: limit in server.stdout.read_text())
        assert server.deliver(payload("call_completed"))[0] == 200


def test_a_connection_that_pipelines_more_than_webhooks_do_is_closed(
    running_app: RunningApp,
) -> None:
    """Otherwise strangers fill the queue, and everyone else waits for minutes."""
    with connect(running_app[1]) as client, connect(running_app[1]) as other:
        client.sendall(post("/a") * _MAX_WAITING_REQUESTS)
        assert answers(client, _MAX_WAITING_REQUESTS) == [b"/a"] * _MAX_WAITING_REQUESTS
        client.sendall(post("/") * (_MAX_WAITING_REQUESTS + 1))
        assert everything(client) == b""
        other.sendall(post("/b"))
        assert answers(other, 1) == [b"/b"]


def chunk(sizes: list[int]) -> bytes:
    """Return a request whose body comes in chunks of these sizes."""
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in [*sizes, 0])


def test_a_body_in_many_tiny_chunks_is_cut_off_and_one_in_larger_chunks_is_not(
    running_app: RunningApp,
) -> None:
    """Otherwise a thousand who send so take all the processor's time."""
    with connect(running_app[1]) as client:
        client.sendall(chunk([1] * 2_000))
        assert everything(client) == b""
    for sizes in [1] * 100, [10] * 150, [700] * 90, [65_536]:
        with connect(running_app[1]) as client:
            client.sendall(chunk(sizes))
            assert answers(client, 1) == [b"/a"]


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 67585\r\n\r\n",
        b"Content-Length: 131071\r\n\r\n" + b"x" * 60_000,
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n10800\r\n" + b"x" * 67_584,
    ],
)
def test_a_body_beyond_the_limit_is_refused_by_the_app_as_soon_as_that_is_known(
    tmp_path: Path, body: bytes
) -> None:
    """It never ends, and its answer does not wait for that; none of it is kept."""
    with ServerProcess(tmp_path) as server, connect(server.port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + body)
        head, _, answer = client.recv(65_536).partition(b"\r\n\r\n")
        assert head.splitlines()[0] == b"HTTP/1.1 413 Request Entity Too Large"
        assert b"Connection: close" in head.splitlines()
        assert answer == b'{"error":"too_large"}'
        assert server.health()["rejected"] == {"too_large": 1}


def test_a_body_just_above_the_limit_may_be_sent_whole_before_it_is_refused() -> None:
    """A proxy in front that takes so much gets an answer, not a closed connection."""
    (most,) = re.findall(r"client_max_body_size (\d+)k;", (ROOT / "deploy/nginx.conf").read_text())
    assert LIMITS["max_request_body_size"] > int(most) * 1024 >= MAX_BODY_BYTES


@pytest.mark.faults
def test_a_client_is_not_closed_because_the_app_is_slow() -> None:
    """Its first answer waits for the second, which takes longer than a client may."""
    with serving("11") as (_, port), connect(port) as client:
        client.sendall(post("/a") + post("/"))
        assert answers(client, 2) == [b"/a", b"/"]


BACK_A_DAY, AHEAD_A_YEAR, FROM_THE_EPOCH = -86_400, 31_536_000, 1_800_000_000


def test_a_wall_clock_that_jumps_closes_no_connection() -> None:
    with (
        serving("0.1") as (_, port),
        connect(port) as idle,
        connect(port) as half,
        connect(port) as other,
    ):
        idle.sendall(post("/idle"))
        assert answers(idle, 1) == [b"/idle"]
        for seconds in BACK_A_DAY, AHEAD_A_YEAR, FROM_THE_EPOCH:
            half.sendall(post("/half")[:-1])
            other.sendall(post(f"/jump/{seconds}"))
            assert answers(other, 1) == [f"/jump/{seconds}".encode()]
            time.sleep(0.3)  # a sweep and more
            half.sendall(post("/half")[-1:])
            assert answers(half, 1) == [b"/half"]
            idle.sendall(post("/"))
            assert answers(idle, 1) == [b"/"]


@pytest.mark.faults
def test_a_wall_clock_that_jumps_back_keeps_no_connection_open() -> None:
    with serving("0.1") as (_, port), connect(port) as half, connect(port) as other:
        half.sendall(post("/half")[:-1])
        other.sendall(post("/jump/-86400"))
        assert answers(other, 1) == [b"/jump/-86400"]
        assert everything(half) == b""


def listen(app: Any, *, threads: int, limit: int) -> _Connections:
    return _Connections(app, host="127.0.0.1", port=0, threads=threads, connection_limit=limit)


def test_a_wall_clock_that_goes_back_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even of a server of which a request never ends."""
    answered = threading.Event()
    connections = listen(lambda *_: [], threads=1, limit=100)
    dispatcher = connections.listeners[0].task_dispatcher
    dispatcher.add_task(SimpleNamespace(service=answered.wait))
    assert eventually(lambda: not dispatcher.queue)
    closing = threading.Thread(target=connections.close, daemon=True)
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", map(float, itertools.count(1_800_000_000, -1)).__next__)
        closing.start()
        closing.join(5)
        is_over = not closing.is_alive()
    answered.set()
    assert is_over


def test_a_stop_answers_also_on_connections_that_are_not_accepted_yet() -> None:
    def app(_: object, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]

    connections = listen(app, threads=1, limit=100)
    with connect(int(connections.listeners[0].effective_port)) as client:
        client.sendall(post("/"))
        connections.drain()
        connections.close()
        assert everything(client).endswith(b"done")


def test_a_stop_waits_for_what_is_done_for_a_client_that_has_gone() -> None:
    """Its event is being kept: a stop must not come between."""
    done = []

    def app(_: object, start_response: Any) -> list[bytes]:
        time.sleep(SECONDS)
        done.append("kept")
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]

    connections = listen(app, threads=1, limit=100)
    with connect(int(connections.listeners[0].effective_port)) as client:
        client.sendall(post("/"))
        connections._accept()
        connections.run_once(5)
    connections.drain()
    assert done == ["kept"]
    connections.close()


def test_at_the_limit_who_has_waited_longest_and_for_a_second_makes_room() -> None:
    """Three connections at most: the limit counts what listens and what wakes the loop too."""
    causes: list[str] = []
    _report_errors(causes.append)
    connections = listen(lambda *_: [], threads=0, limit=5)
    waited: dict[Any, int] = {}
    left = []
    with ExitStack() as stack:
        for waited_s in -60, 3, 4, -60, -60:
            stack.enter_context(connect(int(connections.listeners[0].effective_port)))
            connections._accept()
            newest = connections._all()[-1]
            newest.since_s, waited[newest] = newest.since_s - waited_s, waited_s
            connections.sweep()
            left.append([waited[connection] for connection in connections._all()])
    wasyncore.close_all(connections._sockets)
    assert left == [[-60], [-60, 3], [-60, 3], [-60, -60], [-60, -60, -60]]
    assert causes == ["closed to make room, because the limit of connections is reached"] * 2


def late(*parts: bytes) -> str:
    """Return after which parts, a second apart, a client is late that has 2.5 s for a request.

    The app is never called: no thread runs. The clock is the test's.
    """
    connections = listen(lambda *_: [], threads=0, limit=100)
    seen = ""
    with connect(int(connections.listeners[0].effective_port)) as client:
        connections.run_once(5)
        (connection,) = connections._all()
        began_s = connection.since_s
        for seconds, part in enumerate(parts, start=1):
            if part:
                client.sendall(part)
                connections.run_once(5)
            seen += "x" if connection.is_late(began_s + seconds, 2.5) else "."
    wasyncore.close_all(connections._sockets)
    return seen


def test_the_time_for_a_request_begins_with_its_first_byte_and_with_no_other() -> None:
    request = post("/")
    parts = [b"", b"", request[:9], request[9:20], b"", request[20:30], request[30:]]
    assert late(*parts) == ".....x."


def test_empty_lines_are_no_request() -> None:
    assert late(*[b"\r\n"] * 5) == "...xx"
