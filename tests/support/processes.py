"""The real server as a process of its own, and clients that call it."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import facts
import requests
from helpers import (
    ROOT,
    SUPPORT,
    payload,
)


@dataclass
class ServerProcess:
    """The real server, started as a user starts it, on a port of its own."""

    # What starts it, and where its lines name the address.
    command: ClassVar[list[str]] = [sys.executable, str(ROOT / "app.py")]
    address: ClassVar[str] = r"health +(http://.+/)health"

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    allow_list: str = facts.ALLOW_LIST
    stdout_fd: int | None = None
    max_files: int | None = None

    def __enter__(self) -> Self:
        (self.folder / "allowlist.csv").write_text(self.allow_list)
        self.stdout = self.folder / "stdout"
        self.stderr = self.folder / "stderr"
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [*self._limit(), *self.command],
                cwd=self.folder,
                env={**os.environ, "MASKING_PORT": "0", **self.environment},
                stdout=out if self.stdout_fd is None else self.stdout_fd,
                stderr=err,
            )
        try:
            self.url = self._wait_for_address()
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
        self.port = int(self.url.rpartition(":")[2].rstrip("/"))
        return self

    def _limit(self) -> list[str]:
        """Return the words that start a program with few open files allowed, if asked to."""
        few = f'ulimit -n {self.max_files}; exec "$0" "$@"'
        return ["sh", "-c", few] if self.max_files else []

    def _wait_for_address(self) -> str:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(self.address, self.stderr.read_text(errors="replace"))
            if found:
                return found[1]
            time.sleep(0.02)
        raise AssertionError(f"the server did not start: {self.stderr.read_text()}")

    def deliver(self, body: bytes) -> tuple[int, Any]:
        """Post one event; return the status and the answer."""
        headers = {"Content-Type": "application/json"}
        answer = requests.post(self.url, body, headers=headers, timeout=20)
        return answer.status_code, answer.json()

    def health(self) -> Any:
        """Return what the server says of itself."""
        return requests.get(f"{self.url}health", timeout=20).json()

    def stop(self) -> int:
        """End the server with SIGTERM and return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def output(self) -> str:
        """Return everything that it has written."""
        return self.stdout.read_text() + self.stderr.read_text()

    def kill(self) -> None:
        """End the server at once, whatever it is doing."""
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class Load:
    """Clients that call a server without a pause, and what it has answered."""

    def __init__(self, server: ServerProcess, clients: int = 8) -> None:
        self._port = server.port
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(clients)]
        self.answered: list[tuple[str, str]] = []
        self.refused: list[int] = []
        self.longest_s = 0.0

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
            while not self._ending.is_set():
                call = uuid.uuid4().hex
                for name in "incoming_call", "dial_completed_answered", "call_completed":
                    self._deliver(client, call, name)

    def _deliver(self, client: http.client.HTTPConnection, call: str, name: str) -> None:
        body = payload(name).replace(facts.REFERENCE_ID.encode(), call.encode())
        started = time.monotonic()
        client.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        answer.read()
        self.longest_s = max(self.longest_s, time.monotonic() - started)
        if answer.status == 200:
            self.answered.append((call, json.loads(body)["event"]))
        else:
            self.refused.append(answer.status)


@contextlib.contextmanager
def serving(*words: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run the slow app; yield its process and port."""
    process = subprocess.Popen(
        [sys.executable, SUPPORT / "slow_app.py", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            if process.poll() is None:
                process.kill()
