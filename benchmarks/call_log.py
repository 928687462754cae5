"""What the call log bears: a slow disk, and a log of a million events.

Where every sync takes ten milliseconds longer (a library before the server's process sees to that,
the one of the fault tests), many events have to share each. Left out where no C compiler is.

python -m benchmarks.call_log
"""

import dataclasses
import hashlib
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks import figures, servers
from benchmarks.figures import Figure
from call_log.store import RECORD_COLUMNS, Row, Store
from call_log.writer import CallLog, store_of
from serving.sources import now

EVENTS, SYNC_MS = 8_000, 10
KEPT = 1_000_000
EVENT_NAMES = ("incoming_call", "dial_completed", "speak_completed", "call_completed")
ASKED = 5
KEPT_ONE_BY_ONE = 20_000
EVERY = 300_000_000  # microseconds from one call to the next
MASKING_ID, CALLER = "12025550199", "12025550142"
RATE = 50
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
            store = store_of(f"sqlite:///{name}/calls.db")
            log = CallLog(store, print, keep_days=30, clock=now)
            took = time.perf_counter() - started
            log.close()
        figures.append(Figure(f"{count:,} events kept: the log opened", took * 1000, "ms"))
    return figures


def measure_reading(kept: int = KEPT) -> list[Figure]:
    """Return how long commands take with so many events kept, Python's start included."""
    asked = [
        ("`calls`", 200, ["calls", "--json"]),
        ("`calls REFERENCE_ID`", 200, ["calls", "--json", "call-0"]),
        (
            "`calls --number` of two calls in three",
            300,
            ["calls", "--json", "--number", MASKING_ID],
        ),
        ("`calls --number` of none", 300, ["calls", "--json", "--number", "442079460123"]),
        ("`calls --missed` of all", None, ["calls", "--json", "--missed"]),
        ("`report` of all", 1_000, ["report", "--json", "--since", "1970-01-01"]),
        ("`why` of a virtual number", None, ["why", "--json", "12025550100"]),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "calls.db", kept)
        (folder / "allowlist.csv").write_text("to,destination\n12025550100,12025550111\n")
        return [
            Figure(
                f"{kept:,} events kept: {what}",
                seconds_of(folder, *words) * 1000,
                "ms",
                at_most=at_most,
            )
            for what, at_most, words in asked
        ]


def measure_forgetting(kept: int = KEPT) -> list[Figure]:
    """Return the slowest answer while `forget` searches and rewrites a log of so many events."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "calls.db"
        fill(log, kept)
        size_mb = log.stat().st_size / 1e6
        environment = {**servers.PRODUCT.environment, "MASKING_CALL_LOG": f"sqlite:///{log}"}
        variant = dataclasses.replace(servers.PRODUCT, environment=environment)
        with servers.run(variant) as server:
            forget = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, str(servers.ROOT / "app.py"), "forget", "--yes", CALLER],
                cwd=name,
                env={"PATH": os.environ["PATH"]},
                stdout=subprocess.DEVNULL,
            )
            seen = [servers.load_of(server.port, RATE, rate=RATE)]
            while forget.poll() is None:
                seen.append(servers.load_of(server.port, RATE, rate=RATE))
        if forget.returncode:
            raise RuntimeError(f"forget ended with status {forget.returncode}")
    what = f"{kept:,} events kept, {size_mb:.0f} MB, while `forget` deletes one call in a hundred"
    return [
        Figure(
            f"{what}: the slowest answer", max(load.longest_ms for load in seen), "ms", at_most=550
        ),
        Figure(
            f"{what}: wrong or missing answers", sum(load.errors for load in seen), "", at_most=0
        ),
    ]


def fill(path: Path, count: int) -> None:
    """Make a log of calls with four events each, all of them written down.

    The first are kept as a server does. The others are copies of these, made by the database.
    """
    store = store_of(f"sqlite:///{path}")
    store.open()
    with store.transaction():
        first = [event_row(n) for n in range(min(count, KEPT_ONE_BY_ONE))]
        store.keep(first)
        for copy in range(1, count // KEPT_ONE_BY_ONE):
            later = copy * len(first) // len(EVENT_NAMES) * EVERY
            copies = {"reference_id": f"reference_id || '-{copy}'"}
            copies |= dict.fromkeys(("first_seen", "last_seen"), f"first_seen + {later}")
            add_copies(store, "call_event", Row._fields, copies, f"id <= {len(first)}")
            copies = {"reference_id": copies["reference_id"], "number": f"number + {copy * 10**9}"}
            copies |= {name: f"{name} + {later}" for name in ("began", "ended")}
            add_copies(
                store, "call_record", RECORD_COLUMNS, copies, "reference_id NOT LIKE '%-%-%'"
            )
        store.execute("UPDATE record_counter SET recorded_to = ?", [count])
    store.close()


def add_copies(
    store: Store, table: str, columns: Iterable[str], changed: dict[str, str], where: str
) -> None:
    """Copy rows of a table within it; some columns are changed."""
    names, values = ", ".join(columns), ", ".join(changed.get(name, name) for name in columns)
    store.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE {where}")  # noqa: S608


def event_row(n: int) -> Row:
    """Return an event of many: four make a call, and of three calls two show the same number.

    One caller in five always finds the line busy.
    """
    call, place = divmod(n, len(EVENT_NAMES))
    name, caller = EVENT_NAMES[place], f"120255501{call % 100:02}"
    masking_id = MASKING_ID if call % 3 else "12025550198"
    event = {"event": name, "reference_id": f"call-{call}", "data": {"to": "12025550100"}}
    body = json.dumps(event).encode()
    dial = {"to": "12025550111", "caller_id_number": masking_id}
    reply = {"method": "dial", "params": dial} if place == 0 else {}
    seen = call * EVERY + place * 10_000_000
    return Row(
        f"call-{call}",
        name,
        hashlib.sha256(body).digest(),
        caller if place == 0 else None,
        "12025550100" if place == 0 else None,
        ("answered" if call % 5 else "busy") if place == 1 else None,
        json.dumps(reply, separators=(",", ":")),
        None,
        seen,
        seen,
        1,
        2 if place == 0 else None,
        None,
        body,
    )


def seconds_of(folder: Path, *words: str) -> float:
    """Return how long a command line takes, which prints JSON; the median of some times."""
    command = [sys.executable, str(servers.ROOT / "app.py"), *words]
    took = []
    for _ in range(ASKED):
        started = time.perf_counter()
        ended = subprocess.run(  # noqa: S603 - our own program
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        took.append(time.perf_counter() - started)
        json.loads(ended.stdout)  # a wrong answer is no measurement
    return statistics.median(took)


if __name__ == "__main__":
    print(
        figures.table(
            [*slow_syncs(), *measure_reading(), *measure_opening(), *measure_forgetting()]
        )
    )
