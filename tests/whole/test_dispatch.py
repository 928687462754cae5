"""A dispatch program of thirty lines beside a server that is killed and started again.

What it hears of 200 trips is what the simulator, which plays their calls, knows of them.
"""

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Self

import pytest
import requests
from helpers import ROOT, SUPPORT, eventually
from processes import ServerProcess, free_port

from tools.console import CALLER
from tools.simulation.call import Signer, SimulatedCall

pytestmark = pytest.mark.faults

TRIPS = 200
NUMBERS = [f"120255501{number}" for number in range(60, 80)]
PATIENCE_S = 60


class Telesign(requests.Session):
    """Sends each event until it is answered: servers come and go."""

    def post(self, *given: Any, **named: Any) -> requests.Response:
        until_s = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(requests.ConnectionError):
                answer = super().post(*given, **named)
                if answer.status_code == 200 or time.monotonic() > until_s:
                    return answer
            time.sleep(0.05)


class Dispatch:
    """The program as a process; what it writes is sorted by its first word."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(SUPPORT / "dispatch.py"), str(ROOT / "app.py")]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=folder, text=True, **pipes)
        self.ended: list[tuple[str, str, str]] = []
        self.missed: dict[str, int] = {}
        self.done = {f"trip-{n}": queue.SimpleQueue[str]() for n in range(TRIPS)}
        self._lock, self._thread = threading.Lock(), threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            match json.loads(line):
                case ["ended", trip, call, disposition]:
                    self.ended.append((trip, call, disposition))
                case ["missed", caller, times]:
                    self.missed[caller] = times
                case [_, trip, *number]:
                    self.done[trip].put("".join(number))

    def ask(self, *words: str) -> None:
        assert self.process.stdin is not None
        with self._lock:
            self.process.stdin.write(" ".join(words) + "\n")
            self.process.stdin.flush()

    def wait_for(self, trip: str) -> str:
        return self.done[trip].get(timeout=PATIENCE_S)

    def finish(self) -> None:
        """Let it end by itself, with who was missed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(timeout=PATIENCE_S) == 0
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._thread.join()
        self.process.__exit__(None, None, None)


@contextlib.contextmanager
def killed_again_and_again(folder: Path, port: int) -> Iterator[None]:
    """Run a server that is killed every few seconds, until the block ends; one is left then."""
    ending = threading.Event()

    def run_servers() -> None:
        while True:
            with ServerProcess(folder, environment) as server:
                if ending.wait(3):
                    break
                server.kill()

    environment = {"MASKING_PORT": str(port)}
    thread = threading.Thread(target=run_servers)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def play(url: str, caller: str, to: str, status: str) -> tuple[str, str]:
    """Play a call with this end; return its id and what became of it."""
    call = SimulatedCall(Telesign(), url, Signer(), to, caller)
    if status == "refused":
        assert call.dial_in().method == "hangup"
        call.end()
    elif status == "answered":
        call.connect()
        call.end(CALLER)
    else:
        call.ring()
        call.must_hang_up(call.complete_dial(status))
        call.end()
    words = {"answered": "connected", "no_answer": "no answer"}
    return call.reference_id, words.get(status, status)


def outcome_of(trip: int) -> str:
    return ("answered", "busy", "no_answer", "refused")[trip % 4]


def test_what_it_hears_of_200_trips_is_what_became_of_them(tmp_path: Path) -> None:
    """Of four trips one talks, two reach nobody, of whom one is called back, and one is over."""
    port = free_port()
    settings = f'port = {port}\nallow_list = "trips.csv"\nvirtual_numbers = {NUMBERS}\n'
    (tmp_path / "config.toml").write_text(settings)
    (tmp_path / "trips.csv").write_text("to,from,destination,expires\n")
    url, expected, missed = f"http://127.0.0.1:{port}/", list[tuple[str, str, str]](), set[str]()

    def play_trip(dispatch: Dispatch, trip: int) -> None:
        name, status = f"trip-{trip}", outcome_of(trip)
        rider = f"1{212 + trip // 100}5550{100 + trip % 100}"
        driver = f"13035550{100 + trip % 40}"
        dispatch.ask(name, rider, driver)
        number = dispatch.wait_for(name)
        calls = [play(url, rider, number, "answered" if status == "refused" else status)]
        if status == "no_answer":
            calls.append(play(url, driver, number, "answered"))
        if status == "refused":
            dispatch.ask(name, rider, "over")
            dispatch.wait_for(name)
            calls.append(play(url, rider, number, status))
        if status in ("busy", "refused"):
            missed.add(rider)
        expected.extend((name if end != "refused" else "", call, end) for call, end in calls)

    with Dispatch(tmp_path) as dispatch:
        with killed_again_and_again(tmp_path, port), ThreadPoolExecutor(8) as pool:
            playing = [pool.submit(play_trip, dispatch, trip) for trip in range(TRIPS)]
            for played in as_completed(playing):
                if played.exception():
                    pool.shutdown(cancel_futures=True)
                played.result()
        assert eventually(lambda: len(dispatch.ended) >= len(expected), PATIENCE_S)
        dispatch.finish()
    heard = [(trip or "", call, end) for trip, call, end in dispatch.ended]
    assert Counter(heard) == Counter(expected)
    assert dispatch.missed == dict.fromkeys(missed, 1)
