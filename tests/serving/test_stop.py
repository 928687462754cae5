"""An orderly stop: what has been sent is answered, nothing new is taken, and the end comes soon."""

import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import facts
import pytest
import requests
from helpers import payload, signed
from processes import ServerProcess, serving

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def everything(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65_536), b""))


def answer(client: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"done"):
        piece = client.recv(65_536)
        if not piece:
            break
        got += piece
    return got


def test_twelve_requests_on_four_threads_are_answered() -> None:
    with serving("0.2") as (process, port), ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(12)]
        for client in clients:
            client.sendall(REQUEST)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        assert all(answer(client).startswith(b"HTTP/1.1 200 OK") for client in clients)
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - signalled < 10
        assert process.communicate() == ("stopped\n", "")


def test_three_requests_on_each_of_nine_hundred_connections_are_answered() -> None:
    """Sent one behind the other, just before the signal: many a connection is not yet taken."""
    with serving("0.001") as (process, port), ExitStack() as stack:
        clients = []
        for _ in range(900):
            clients.append(stack.enter_context(connect(port)))
            clients[-1].sendall(REQUEST * 3)
        process.send_signal(signal.SIGTERM)
        answered = [everything(client).count(b"HTTP/1.1 200 OK") for client in clients]
        assert answered == [3] * 900
        assert process.wait(timeout=10) == 0


def test_new_connections_are_refused_while_the_rest_is_answered() -> None:
    with serving("0.8") as (process, port), connect(port) as client:
        client.sendall(REQUEST)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            connect(port)
        assert answer(client).endswith(b"done")
        assert process.wait(timeout=10) == 0


def test_idle_and_half_sent_connections_do_not_hold_up_the_stop() -> None:
    with serving("0.1") as (process, port), connect(port) as idle, connect(port) as half:
        half.sendall(REQUEST[:-1])
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
        assert idle.recv(1) == b""


@pytest.mark.faults
def test_a_request_that_never_ends_does_not_hold_up_the_stop_for_ever() -> None:
    with serving("60") as (process, port), connect(port) as client:
        client.sendall(REQUEST)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        assert process.wait(timeout=10) == 0
        assert 7 < time.monotonic() - signalled < 9


def test_a_second_signal_of_either_kind_ends_at_once() -> None:
    with serving("5") as (process, port), connect(port) as client:
        client.sendall(REQUEST)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=2) == -signal.SIGTERM


def test_the_server_logs_its_orderly_stop_after_ctrl_c(tmp_path: Path) -> None:
    body = payload("incoming_call")
    with ServerProcess(tmp_path, facts.KEYS) as server, requests.Session() as session:
        assert session.post(server.url, body, headers=signed(body), timeout=10).ok
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=10) == 0
        assert '"notice": "stopped"' in server.stdout.read_text()
