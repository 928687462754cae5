"""What the tests share: the app without a socket, payloads, a clock that stands still."""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import facts
from webtest import TestApp as WebTestApp

import config
import signature
from allow_list import reader
from allow_list.reload import LiveAllowList
from calls import Timestamp
from routing import AllowList
from serving.lines import Lines

ROOT = Path(__file__).parent.parent.parent


SUPPORT = ROOT / "tests" / "support"
PAYLOADS = ROOT / "tests" / "payloads"


START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def web(app: Any) -> Any:
    """Return the app behind WebTest, whose types know no bytes as a body."""
    return WebTestApp(app)


def payload(name: str) -> bytes:
    """Return the body of an event, as its file holds it."""
    return (PAYLOADS / f"{name}.json").read_bytes()


def signed(body: bytes, key: str = facts.API_KEY) -> dict[str, str]:
    """Return the headers with which TeleSign sends this body."""
    bare = signature.sign(body, key=signature.decode_key(key))
    return {
        "Content-Type": "application/json",
        "Authorization": f"TSA {facts.CUSTOMER_ID}:{bare}",
        "X-TS-Authorization": bare,
    }


def read_list(text: str, **settings: Any) -> AllowList:
    """Return the allow-list that a text makes."""
    return reader.parse(text.splitlines(), config.Settings(**settings), only_fictional=False)


def live(text: str, **settings: Any) -> LiveAllowList:
    """Return an allow-list as the app takes it, of a file that never changes."""
    return LiveAllowList(Path(os.devnull), lambda: read_list(text, **settings))


def settings_of(**values: str) -> config.Settings:
    """Return settings made from the environment, without faults."""
    settings, faults = config.read("", {f"MASKING_{k.upper()}": v for k, v in values.items()})
    assert faults == []
    return settings


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    utc: datetime = START
    monotonic_s: float = 1000.0
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __call__(self) -> Timestamp:
        with self._lock:
            return Timestamp(self.utc, self.monotonic_s)

    def sleep(self, seconds: float) -> None:
        """Let time pass on both clocks; nobody sees one of them ahead of the other."""
        with self._lock:
            self.utc += timedelta(seconds=seconds)
            self.monotonic_s += seconds


class PrintedLines:
    """Lines that are written as JSON to a file, and what it wrote."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("wb")
        self.writer = Lines(self._file.fileno(), readable=False)

    def __enter__(self) -> "PrintedLines":
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()
        self._file.close()

    def read(self) -> list[dict[str, Any]]:
        """Return every line so far: a line is written a moment after it is asked for."""
        mark = f"read at {time.monotonic_ns()}"
        self.writer.notice(mark)
        assert eventually(lambda: mark in self._path.read_text())
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [line for line in lines if not line.get("notice", "").startswith("read at ")]


MakeApp = Callable[..., Any]


def post(app: Any, body: bytes) -> Any:
    """Post one event to the app and return its answer, which has to be 200."""
    return app.post("/", body, content_type="application/json", status=200).json


def processor_s(pid: int) -> float:
    """Return how much of a processor's time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def eventually(holds: Callable[[], bool], seconds: float = 5) -> bool:
    """Wait until something holds; return whether it did in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False
