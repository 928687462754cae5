"""The server under attack and at its limits: a good client is answered soon, whatever others do.

The limits are those of docs/limits.md. Attackers are a process of their own, on this machine only.
The good client sends twenty events a second over one connection, and as many over new ones. How
long it waits is compared with the same run without the attack: a machine may be slow or busy.
"""

import contextlib
import json
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import facts
import pytest
import requests
from goodclient import Answers, ask, assert_prompt, both_kinds, connect, keep_asking, new_call
from helpers import SUPPORT, processor_s
from processes import ServerProcess

from serving.server import MAX_CONNECTIONS

pytestmark = pytest.mark.load

RATE = 20
SECONDS = 15
QUIET_SECONDS = 5
FLOOD_SECONDS = 10
TOO_MANY = MAX_CONNECTIONS + 100
LIMIT_LINE = "because the limit of connections is reached"
FILES = MAX_CONNECTIONS + 100


@contextlib.contextmanager
def attack(
    server: ServerProcess, kind: str, count: int, seconds: int
) -> Iterator["subprocess.Popen[str]"]:
    """Attack from another process, which is ended with the block."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 100:
        pytest.skip(f"{count} connections of one process are not allowed here")
    command = [sys.executable, SUPPORT / "attacker.py", kind, server.port, count, seconds]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as attacker:
        try:
            yield attacker
        finally:
            attacker.kill()


def result_of(attacker: "subprocess.Popen[str]") -> dict[str, int]:
    """Wait for the attacker's end and return what it has done."""
    done: dict[str, int] = json.loads(attacker.communicate(timeout=SECONDS + 30)[0])
    print(done)
    return done


def wait_until(fact: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def says(server: ServerProcess, words: str) -> int:
    """Return how often the server has said something."""
    return server.stdout.read_text().count(words)


def answered_anew(server: ServerProcess) -> float:
    """Return how long a new client waits for its connection and its answer, in seconds."""
    started = time.monotonic()
    with connect(server.port) as client:
        assert facts.DESTINATION.encode() in ask(client, new_call())
    return time.monotonic() - started


def resident_mb(server: ServerProcess, name: str = "VmRSS") -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (kb,) = [line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(kb) / 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < FILES:
        pytest.skip(f"{FILES} open files of one process are not allowed here")
    with ServerProcess(tmp_path, facts.KEYS, max_files=FILES) as running:
        yield running


def test_a_thousand_slow_clients_do_not_keep_a_good_one_waiting(server: ServerProcess) -> None:
    def measure() -> tuple[list[Answers], list[Answers]]:
        quiet = both_kinds(server.port, QUIET_SECONDS, RATE)
        with attack(server, "slow", 1000, SECONDS + 2) as attacker:
            time.sleep(1.5)
            answers = both_kinds(server.port, SECONDS, RATE)
            assert result_of(attacker)["opened"] >= 1000
        return quiet, answers

    assert_prompt(measure, times=5, or_ms=25)


def test_bodies_without_an_end_take_no_more_memory_than_as_many_whole_ones(
    server: ServerProcess,
) -> None:
    """On 1,900 connections, each as large as one may be, but for its last byte."""
    keep_asking(server.port, 2, RATE)
    before_mb = resident_mb(server)
    with attack(server, "unfinished", 1900, FLOOD_SECONDS + 2) as attacker:
        answers = keep_asking(server.port, FLOOD_SECONDS, RATE)
        grown_mb = resident_mb(server) - before_mb
        assert result_of(attacker)["opened"] >= 1900
    print(answers, f"memory {before_mb:.1f} MB, then {grown_mb:.1f} MB more", sep="\n")
    assert answers.errors == []
    assert grown_mb <= 1900 * 66 / 1024 + 40


def test_bodies_in_chunks_of_one_byte_shut_nobody_out(server: ServerProcess) -> None:
    with attack(server, "chunks", 1000, 60):
        time.sleep(3)
        waited = [answered_anew(server) for _ in range(8)]
        print("new clients waited", *(f"{seconds:.2f}" for seconds in waited), "s")
        assert max(waited) < 15
        kept = keep_asking(server.port, 3, RATE)
        print(kept)
        assert kept.errors == []


def test_a_flood_of_badly_signed_requests_neither_delays_a_good_client_nor_takes_memory(
    server: ServerProcess,
) -> None:
    def measure() -> tuple[list[Answers], list[Answers]]:
        quiet = both_kinds(server.port, QUIET_SECONDS, RATE)
        with attack(server, "flood", 32, FLOOD_SECONDS + 2) as attacker:
            time.sleep(1)
            answers = both_kinds(server.port, FLOOD_SECONDS, RATE)
            done = result_of(attacker)
        assert list(done) == ["401"]
        assert done["401"] > 10 * FLOOD_SECONDS
        return quiet, answers

    keep_asking(server.port, 2, RATE)
    before_mb = resident_mb(server)
    assert_prompt(measure, times=10, or_ms=50)
    grown_mb = resident_mb(server) - before_mb
    print(f"memory {before_mb:.1f} MB, then {grown_mb:.1f} MB more")
    assert grown_mb <= 20


@pytest.mark.parametrize("kind", ["idle", "slow"])
def test_at_the_limit_of_connections_a_line_says_so_and_new_clients_are_served(
    kind: str, server: ServerProcess
) -> None:
    with attack(server, kind, TOO_MANY, 120) as attacker:
        wait_until(lambda: says(server, LIMIT_LINE) > 0, 10)
        waited = [answered_anew(server) for _ in range(5)]
        print("new clients waited", *(f"{seconds:.2f}" for seconds in waited), "s")
        assert max(waited) < 15
        kept = keep_asking(server.port, 3, RATE)
        print(kept)
        assert kept.errors == []
        attacker.kill()
    assert answered_anew(server) < 15


def test_strangers_who_send_hundreds_of_requests_at_once_do_not_keep_new_clients_out(
    server: ServerProcess,
) -> None:
    with attack(server, "pipeline", TOO_MANY + 50, 60):
        time.sleep(3)
        waited = [answered_anew(server) for _ in range(8)]
        print("new clients waited", *(f"{seconds:.2f}" for seconds in waited), "s")
        assert max(waited) < 15


def test_a_connection_that_never_gets_to_a_whole_request_is_closed(server: ServerProcess) -> None:
    """A byte now and then does not keep it: waitress alone would let it."""
    with connect(server.port) as silent, connect(server.port) as dribbling:
        dribbling.sendall(b"POST / HTTP/1.1\r\nX-Slow: ")
        dribbling.settimeout(1)
        began = time.monotonic()
        closed = False
        while not closed:
            assert time.monotonic() - began < 20
            try:
                dribbling.sendall(b"x")
                closed = not dribbling.recv(1)
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
        assert time.monotonic() - began > 9
        assert silent.recv(1) == b""
    assert server.health()["rejected"] == {"bad_request": 1}  # the silent one asked for nothing


def test_with_few_files_allowed_the_server_serves_and_recovers(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, facts.KEYS, max_files=64) as server:
        used_s = processor_s(server.process.pid)
        with attack(server, "idle", 200, 60):
            wait_until(lambda: says(server, LIMIT_LINE) > 0, 10)
            good = connect(server.port)
            for _ in range(10):
                assert facts.DESTINATION.encode() in ask(good, new_call())
                time.sleep(0.5)
            good.close()
            assert answered_anew(server) < 30
            used_s = processor_s(server.process.pid) - used_s
        print(f"{used_s:.1f} s of processor time")
        assert used_s < 3
        assert answered_anew(server) < 15
        assert server.stop() == 0
    assert "Traceback" not in server.output()


def garbage(chance: random.Random) -> bytes:
    """Return something that no good client sends."""
    noise = chance.randbytes(chance.randrange(1, 3000))
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise
    return chance.choice(
        [
            noise,
            hello,
            b"POST / HTTP/1.1\r\n" + noise,
            b"POST / HTTP/1.1\r\nContent-Length: " + noise + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + noise,
            b"POST / HTTP/1.1\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\n" + b"X-Many: x\r\n" * 20_000 + b"\r\n",
            b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * chance.randrange(2, 40),
            b"POST / HTTP/9.9\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
            new_call()[: -chance.randrange(1, 200)],
            new_call().replace(b"incoming_call", b"incoming_cal\xff"),
        ]
    )


def test_garbage_never_keeps_the_next_request_from_its_answer(server: ServerProcess) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(400):
        with connect(server.port) as client, contextlib.suppress(ConnectionError):
            client.sendall(garbage(chance))
            if chance.random() < 0.5:
                client.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    assert facts.DESTINATION.encode() not in client.recv(65_536)
        assert answered_anew(server) < 5
    health = requests.get(f"{server.url}health", timeout=10).json()
    assert health["events"] == {"incoming_call": 400}
    assert health["errors"] == 0
    assert server.stop() == 0
    assert "Traceback" not in server.output()


def test_pipelined_requests_are_answered_in_their_order(server: ServerProcess) -> None:
    with connect(server.port) as client:
        client.sendall(new_call() + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + new_call())
        client.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: client.recv(65_536), b""))
    bodies = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in got.split(b"HTTP/1.1 ")[1:]]
    assert [body.get("method", body.get("status")) for body in bodies] == ["dial", "ok", "dial"]


def test_clients_that_are_gone_before_their_answer_leave_nothing_behind(
    server: ServerProcess,
) -> None:
    for number in range(200):
        with connect(server.port) as client:
            client.sendall(new_call())
            if number % 2:  # gone with a reset, not with a farewell
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert answered_anew(server) < 5
    health = requests.get(f"{server.url}health", timeout=10).json()
    assert (health["errors"], health["rejected"]) == (0, {})
    assert 101 <= health["events"]["incoming_call"] <= 201
    lines = [json.loads(line) for line in server.stdout.read_text().splitlines()]
    assert {line["event"] for line in lines} == {"incoming_call"}
    banner = server.stderr.read_text().splitlines()
    assert (banner[0][:12], banner[-1].split()[0]) == ("Masked calls", "next")  # and nothing since
