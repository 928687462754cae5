"""The servers that are measured: how each is started, when it is ready, and how it is ended.

A variant is one entry: a name, a command and an environment. `{port}` in either is replaced by a
free port. Every server runs on the first core and the load generator on the last; each writes what
it has to say into a file of its own.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import load, machine, wire

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "benchmarks" / "peers"
_PEERS_BIN = ROOT / "benchmarks" / ".venv" / "bin"
_MAX_START_S = 20.0
_MAX_STOP_S = 15.0


class ServerError(Exception):
    """A server did not start; the message says what it wrote."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to serve: its name, its command and its environment; `needs` must all be there."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[Path] = ()

    @property
    def is_there(self) -> bool:
        """Whether it can be started here."""
        there = shutil.which(self.command[0]) is not None
        return there and all(path.exists() for path in self.needs)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers. `start_s` is the time from its start to its first right answer."""

    pid: int
    port: int
    start_s: float


_PRODUCT = (sys.executable, ROOT / "app.py")
_SETTINGS = {"MASKING_PORT": "{port}", **wire.KEYS}

PRODUCT = Variant("this product, everything on", _PRODUCT, _SETTINGS)
LOG_OFF = Variant("this product, call log off", _PRODUCT, {**_SETTINGS, "MASKING_CALL_LOG": ""})
_BARE = (sys.executable, "-m", "benchmarks.peers.bare_bottle", "{port}")
BARE = Variant("bare Bottle handler on waitress", _BARE, {"PYTHONPATH": str(ROOT)})
OTHERS = (
    Variant(
        "guide's example, wsgiref",
        (sys.executable, PEERS / "guide_shape.py", "{port}"),
    ),
    Variant(
        "demo's shape, Bottle on uWSGI",
        (
            _PEERS_BIN / "uwsgi",
            *("--http11-socket", "127.0.0.1:{port}", "--chdir", PEERS, "--module", "demo_shape"),
            *("--master", "--threads", "16", "--die-on-term", "--need-app", "--disable-logging"),
        ),
    ),
    Variant(
        "Flask on gunicorn",
        (
            _PEERS_BIN / "gunicorn",
            *("--bind", "127.0.0.1:{port}", "--chdir", PEERS, "--threads", "16"),
            "flask_app:application",
        ),
    ),
    Variant(
        "FastAPI on uvicorn",
        (
            _PEERS_BIN / "uvicorn",
            *("--port", "{port}", "--app-dir", PEERS, "--no-access-log"),
            "fastapi_app:application",
        ),
    ),
    Variant(
        "Express on Node",
        ("node", PEERS / "express_app.js", "{port}"),
        {"NODE_ENV": "production"},
        needs=(PEERS / "node_modules",),
    ),
)
CEILING = Variant(
    "fixed answer, no HTTP server", (sys.executable, PEERS / "fixed_answer.py", "{port}")
)


@contextlib.contextmanager
def run(variant: Variant) -> Iterator[RunningServer]:
    """Start a server in a folder of its own with the sample list; end it afterwards."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as name, (Path(name) / "output").open("w+b") as output:
        shutil.copy(ROOT / "allowlist.csv", name)
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - commands of this file
            [str(word).replace("{port}", str(port)) for word in variant.command],
            cwd=name,
            env=_environment(variant, port),
            stdout=output,
            stderr=output,
        )
        try:
            machine.pin(process.pid, 0)
            _wait_for_answer(process, port, Path(output.name))
            yield RunningServer(process.pid, port, time.perf_counter() - started)
        finally:
            _end(process)


def _environment(variant: Variant, port: int) -> dict[str, str]:
    """Return the environment, without settings of the product that happen to be set here."""
    ours = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("MASKING_", "TELESIGN_"))
    }
    given = variant.environment.items()
    return ours | {name: text.replace("{port}", str(port)) for name, text in given}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port


def _wait_for_answer(process: "subprocess.Popen[bytes]", port: int, output: Path) -> None:
    deadline = time.perf_counter() + _MAX_START_S
    requests = map(wire.http, wire.bodies(f"start-{process.pid}"))
    while time.perf_counter() < deadline and process.poll() is None:
        if load.play(port, [next(requests)], clients=1).answered:
            return
        time.sleep(0.005)
    raise ServerError(f"no right answer from {process.args!r}: {output.read_text()[-2000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_MAX_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def load_of(port: int, count: int, *, rate: float | None = None) -> load.Result:
    """Have a process of its own play so many events on a server; return what it saw."""
    words = [str(port), "--count", str(count), *(["--rate", str(rate)] if rate else [])]
    command = [sys.executable, "-m", "benchmarks.load", *words]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S603
    return load.Result(**json.loads(ended.stdout))
