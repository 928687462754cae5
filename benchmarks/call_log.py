"""What the call log bears: a slow disk, and a log of a million events.

Where every sync takes ten milliseconds longer (a library before the server's process sees to that,
the one of the fault tests), many events have to share each. Left out where no C compiler is.

python -m benchmarks.call_log
"""

import dataclasses
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import figures, servers
from benchmarks.figures import Figure
from call_log import writer
from call_log.store import Row
from serving.sources import now

EVENTS, SYNC_MS = 8_000, 10
KEPT = 1_000_000
EVENT_NAMES = ("incoming_call", "dial_completed", "speak_completed", "call_completed")
ASKED = 5
SHIM = servers.ROOT / "tests" / "support" / "faulty_disk.c"


def slow_syncs(events: int = EVENTS, sync_ms: int = SYNC_MS) -> list[Figure]:
    """Return how many events a second are kept and answered where each sync takes so long."""
    if shutil.which("cc") is None:
        return []
    with tempfile.TemporaryDirectory() as name:
        library, orders = Path(name) / "disk.so", Path(name) / "orders"
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"]
        subprocess.run(command, check=True)  # noqa: S603 - our own file
        orders.write_bytes(struct.pack("7q", sync_ms * 1000, *[0] * 6))
        slow = {"LD_PRELOAD": str(library), "FAULTY_DISK": str(orders)}
        variant = dataclasses.replace(
            servers.PRODUCT, environment={**servers.PRODUCT.environment, **slow}
        )
        with servers.run(variant) as server:
            servers.load_of(server.port, events // 8)
            seen = servers.load_of(server.port, events)
        syncs = struct.unpack("7q", orders.read_bytes())[5]
    what = f"every sync {sync_ms} ms longer, 16 clients"
    return [
        Figure(f"{what}: events a second", seen.rate, "", at_least=400),
        Figure(f"{what}: 99 of 100 answers within", seen.p99_ms, "ms", at_most=75),
        Figure(f"{what}: wrong or missing answers", seen.errors, "", at_most=0),
        Figure(f"{what}: events that share a sync", events / syncs, ""),
    ]


def measure_opening(kept: int = KEPT) -> list[Figure]:
    """Return how long it takes to open an empty log, and one of so many events."""
    figures = []
    for count in (0, kept):
        with tempfile.TemporaryDirectory() as name:
            fill(Path(name) / "calls.db", count)
            started = time.perf_counter()
            log = writer.open_log(f"sqlite:///{name}/calls.db", print, keep_days=30, clock=now)
            took = time.perf_counter() - started
            log.close()
        figures.append(Figure(f"{count:,} events kept: the log opened", took * 1000, "ms"))
    return figures


def measure_reading(kept: int = KEPT) -> list[Figure]:
    """Return how long `app.py calls` takes with so many events kept, Python's start included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "calls.db", kept)
        last = seconds_of(folder, "--last", "50")
        one = seconds_of(folder, "call-0")
    return [
        Figure(f"{kept:,} events kept: the last 50 calls", last * 1000, "ms", at_most=200),
        Figure(f"{kept:,} events kept: one call by its id", one * 1000, "ms", at_most=200),
    ]


def fill(path: Path, count: int) -> None:
    """Make a log of calls with four events each."""
    body = json.dumps({"event": "x", "reference_id": "x", "data": {"to": "12025550100"}}).encode()
    reply = '{"method":"hangup","params":{}}'
    store = writer.store_of(f"sqlite:///{path}")
    store.open()
    with store.transaction():
        store.keep(
            [
                Row(
                    f"call-{n // 4}",
                    EVENT_NAMES[n % 4],
                    b"",
                    None,
                    None,
                    None,
                    reply,
                    None,
                    n,
                    n,
                    1,
                    None,
                    None,
                    body,
                )
                for n in range(count)
            ]
        )
    store.close()


def seconds_of(folder: Path, *words: str) -> float:
    """Return how long the command line takes to show calls as JSON; the median of some times."""
    command = [sys.executable, str(servers.ROOT / "app.py"), "calls", "--json", *words]
    took = []
    for _ in range(ASKED):
        started = time.perf_counter()
        ended = subprocess.run(  # noqa: S603 - our own program
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            check=True,
        )
        took.append(time.perf_counter() - started)
        assert json.loads(ended.stdout)  # noqa: S101 - a wrong answer is no measurement
    return statistics.median(took)


if __name__ == "__main__":
    print(figures.table([*slow_syncs(), *measure_reading(), *measure_opening()]))
