"""Serving by itself, with epoll and on a system without it: every connection gets its answers."""

import errno
import re
import select
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
from conftest import ServerProcess, eventually, payload, processor_s, serving
from slow_app import BIG_PIECE, BIG_PIECES, THREADS
from waitress import wasyncore
from waitress.server import create_server

from server import Sockets, _channels, _Epoll, _Poll, _port, _Threads

SECONDS = 0.6
HEAD = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"


Served = tuple[int, int]


@pytest.fixture(scope="module", params=["epoll", "poll"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Yield process id and port."""
    with serving(str(SECONDS), request.param) as (process, port):
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


def test_as_many_are_answered_at_once_as_there_are_threads(served: Served) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(served[1])) for _ in range(THREADS + 1)]
        started = time.monotonic()
        for client in clients:
            client.sendall(post("/"))
        waited = []
        for client in clients:
            assert answers(client, 1) == [b"/"]
            waited.append(time.monotonic() - started)
    *soon, last = sorted(waited)
    assert max(soon) < 2 * SECONDS <= last


def test_requests_in_one_packet_are_answered_in_their_order(served: Served) -> None:
    """And that an answer waits for the next one costs no processor time."""
    pid, port = served
    paths = ["/a", "/", "/b", "/c"]
    with connect(port) as client:
        used_s = processor_s(pid)
        client.sendall(b"".join(map(post, paths)))
        assert answers(client, 4) == [path.encode() for path in paths]
        assert processor_s(pid) - used_s < SECONDS / 3
        client.sendall(post("/d"))
        assert answers(client, 1) == [b"/d"]


def test_what_is_sent_while_an_answer_is_made_is_answered_after_it(served: Served) -> None:
    """And that it waits to be read costs no processor time."""
    pid, port = served
    with connect(port) as client:
        used_s = processor_s(pid)
        client.sendall(post("/"))
        time.sleep(SECONDS / 3)
        client.sendall(post("/next")[:20])
        assert answers(client, 1) == [b"/"]
        assert processor_s(pid) - used_s < SECONDS / 3
        client.sendall(post("/next")[20:])
        assert answers(client, 1) == [b"/next"]


def test_who_says_that_nothing_more_comes_is_answered(served: Served) -> None:
    with connect(served[1]) as client:
        client.sendall(post("/"))
        client.shutdown(socket.SHUT_WR)
        assert answers(client, 2) == [b"/"]


def test_who_leaves_while_an_answer_is_made_holds_nobody_up(served: Served) -> None:
    pid, port = served
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


def test_an_answer_larger_than_every_buffer_arrives_whole(served: Served) -> None:
    """Also to a client that takes it late; others are answered meanwhile."""
    port = served[1]
    with connect(port) as late, connect(port) as other:
        late.sendall(post("/big"))
        time.sleep(0.5)
        other.sendall(post("/other"))
        assert answers(other, 1) == [b"/other"]
        with late.makefile("rb") as stream:
            while stream.readline() != b"\r\n":
                pass
            for _ in range(BIG_PIECES):
                assert stream.read(len(BIG_PIECE)) == BIG_PIECE
        late.sendall(post("/next"))
        assert answers(late, 1) == [b"/next"]


def test_an_app_that_would_end_its_thread_does_not(served: Served) -> None:
    for _ in range(5):
        with connect(served[1]) as client:
            client.sendall(post("/exit") + post("/next"))
            assert client.recv(1) == b""
    with connect(served[1]) as client:
        client.sendall(post("/next"))
        assert answers(client, 1) == [b"/next"]


EXPECTING = post("/third").replace(b"\r\n\r\n{}", b"\r\nExpect: 100-continue\r\n\r\n")


def test_every_answer_is_sent_once_also_beside_a_word_to_go_on(served: Served) -> None:
    """The word is sent by the thread that has answered what came before."""
    with connect(served[1]) as client:
        for _ in range(150):
            client.sendall(post("/one") + post("/two") + EXPECTING)
            got = b""
            while b"100 Continue\r\n\r\n" not in got:
                got += client.recv(65_536)
            client.sendall(b"{}")
            while got.count(b" done") < 3:
                got += client.recv(65_536)
            assert re.findall(rb"HTTP/1.1 (\d+)|(/\w+) done", got) == [
                *((b"200", b""), (b"", b"/one")),
                *((b"200", b""), (b"", b"/two")),
                (b"100", b""),
                *((b"200", b""), (b"", b"/third")),
            ]


def test_no_thread_but_that_of_the_loop_closes_a_connection() -> None:
    """It may be going through them all at that moment."""
    sockets: Sockets = {}
    door: Any = create_server(lambda *_: [], map=sockets, host="127.0.0.1", port=0, threads=0)
    _Poll(sockets, _Threads(0, lambda: None))
    ours, theirs = socket.socketpair()
    channel = door.channel_class(door, ours, "", door.adj, map=sockets)
    theirs.close()
    channel.write_soon(b"x")
    thread = threading.Thread(target=channel._flush_some)
    thread.start()
    thread.join()
    assert channel in sockets.values()
    channel._flush_some()
    assert channel not in sockets.values()
    wasyncore.close_all(sockets)


def test_an_answer_is_sent_as_soon_as_it_is_made(served: Served) -> None:
    """Not when the loop wakes up by itself, ten times a second."""
    with connect(served[1]) as client:
        started = time.monotonic()
        for _ in range(30):
            client.sendall(post("/next"))
            assert answers(client, 1) == [b"/next"]
        assert time.monotonic() - started < 1.5


def test_who_comes_when_the_limit_of_connections_was_reached_is_answered(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, most_files=64) as server:
        with ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(connect(server.port))
            limit = "the limit of 32 connections is reached"
            assert eventually(lambda: limit in server.stdout.read_text())
        assert server.deliver(payload("call_completed"))[0] == 200


def in_process() -> tuple[Sockets, int, _Poll]:
    """Return what serves here without a thread, its port and what waits for it."""
    sockets: Sockets = {}
    listening = create_server(lambda *_: [], map=sockets, host="127.0.0.1", port=0, threads=0)
    watch = _Epoll if hasattr(select, "epoll") else _Poll
    return sockets, _port(listening), watch(sockets, _Threads(0, lambda: None))


LONG_AGO = 0.0


def activity(*parts: bytes) -> list[float]:
    """Return when a connection was last active in the server's eyes, after each of some parts."""
    sockets, port, watch = in_process()
    seen = []
    with connect(port) as client:
        watch.turn(5)
        (channel,) = _channels(sockets)
        channel.last_activity = LONG_AGO
        for part in parts:
            client.sendall(part)
            watch.turn(5)
            seen.append(channel.last_activity)
    wasyncore.close_all(sockets)
    return seen


@pytest.mark.parametrize(
    "parts",
    [(post("/")[:9], post("/")[9:20], post("/")[20:30]), (b"\r\n",) * 7],
    ids=["a request", "empty lines"],
)
def test_the_time_for_a_request_begins_with_its_first_byte_and_with_no_other(
    parts: tuple[bytes, ...],
) -> None:
    began, *later = activity(*parts)
    assert time.time() - began < 5
    assert later == [began] * len(later)


def test_who_has_sent_a_whole_request_has_just_been_active() -> None:
    """Whatever was sent before, and however late a thread gets to it."""
    assert time.time() - activity(post("/"))[0] < 5
    *_, before, after = activity(b"\r\n\r\n", b"\r\n", post("/"))
    assert after > before


def test_an_empty_line_alone_is_no_activity() -> None:
    assert activity(b"\r\n\r\n") == [LONG_AGO]


def test_a_connection_that_the_system_does_not_wait_for_is_closed_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sockets, port, watch = in_process()

    def refuse(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as once, connect(port) as first:
        once.setattr(watch, "register", refuse)
        watch.turn(5)
        assert first.recv(1) == b""
    with connect(port) as second:
        watch.turn(5)
        second.sendall(post("/"))
        watch.turn(5)
        assert [len(channel.requests) for channel in _channels(sockets)] == [1]
    wasyncore.close_all(sockets)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
def test_what_was_left_to_send_just_before_the_wait_is_not_waited_for() -> None:
    sockets, _, watch = in_process()
    watch.look_at(wasyncore.dispatcher(map=sockets))  # as a connection that was closed since
    started = time.monotonic()
    watch.turn(5)
    wasyncore.close_all(sockets)
    assert time.monotonic() - started < 1


def test_the_threads_answer_what_was_begun_and_end() -> None:
    told = []

    def service() -> None:
        time.sleep(0.1)
        raise SystemExit

    threads = _Threads(THREADS, lambda: told.append("trouble"))
    for _ in range(2 * THREADS):
        threads.add_task(SimpleNamespace(service=service))  # type: ignore[arg-type]
    threads.end()
    assert told == ["trouble"] * 2 * THREADS
    assert [thread.is_alive() for thread in threads._threads] == [False] * THREADS
