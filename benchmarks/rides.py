"""What software that pairs people waits for, everything on: `pair`, and the end of a call.

`pair` counts from the start of its process to its end, when the server serves the change. The line
of a call counts from the answer to its last event until `calls --follow` has written it.

python -m benchmarks.rides
"""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from benchmarks import figures, servers, wire
from benchmarks.allow_list import FIRST_DESTINATION, FIRST_DIALLED
from benchmarks.figures import Figure

LENGTHS = (2_000, 20_000)  # what 10,000 trips a day leave behind, and ten times as much
PAIRS, CALLS = 5, 20
POOL = [str(FIRST_DIALLED + n) for n in range(10)]
MAX_FOLLOW_S = 5.0  # for each call, then it is taken for lost


@contextlib.contextmanager
def serving(rows: int) -> Iterator[tuple[servers.RunningServer, dict[str, str]]]:
    """Serve a list of so many rows of pairs; yield the server, and the environment it runs in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "allowlist.csv"
        path.write_text("".join(f"{line}\n" for line in lines(rows)))
        environment = {
            **servers.PRODUCT.environment,
            "MASKING_ALLOW_LIST": str(path),
            "MASKING_CALL_LOG": f"sqlite:///{folder}/calls.db",
            "MASKING_VIRTUAL_NUMBERS": ", ".join(POOL),
        }
        variant = dataclasses.replace(servers.PRODUCT, environment=environment)
        with servers.run(variant) as server:
            ours = {**environment, "MASKING_PORT": str(server.port), "PATH": os.environ["PATH"]}
            yield server, ours


def lines(rows: int) -> Iterator[str]:
    """Yield a list of pairs behind the numbers of the pool, and the row that `wire` calls."""
    yield "to,from,destination,caller_id_number,expires,note,greeting,external_id"
    yield f"{wire.DIALLED},,{wire.DESTINATION},{wire.MASKING_ID},,,,"
    for n in range(rows // 2):
        number, trip = POOL[n % len(POOL)], f"2099-01-31T18:00:00Z,pair,Your ride.,trip-{n}"
        one, other = FIRST_DESTINATION + 2 * n, FIRST_DESTINATION + 2 * n + 1
        yield f"{number},{one},{other},,{trip}"
        yield f"{number},{other},{one},,{trip}"


def pair(rows: int, pairs: int = PAIRS) -> float:
    """Return the median of the seconds that `pair` takes with so many rows."""
    took = []
    with serving(rows) as (_, environment):
        for n in range(pairs):
            one, other = FIRST_DESTINATION + rows + n, FIRST_DESTINATION + rows + pairs + n
            words = ["pair", f"{one}", f"{other}", "--for", "2h", "--json"]
            started = time.perf_counter()
            ended = subprocess.run(  # noqa: S603 - our own program
                [sys.executable, str(servers.ROOT / "app.py"), *words],
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            )
            took.append(time.perf_counter() - started)
            if not json.loads(ended.stdout)["live"]:
                raise RuntimeError("the server does not serve what `pair` has written")
    return statistics.median(took)


def follow(calls: int = CALLS) -> list[float]:
    """Return for each of some calls the seconds from its last answer to its line."""
    took = []
    command = [sys.executable, str(servers.ROOT / "app.py"), "calls", "--follow", "--json"]
    with serving(0) as (server, environment):
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, "--after", "0"], env=environment, stdout=subprocess.PIPE
        )
        lost = threading.Timer(MAX_FOLLOW_S * calls, process.kill)
        lost.start()
        try:
            for n in range(calls):
                event = {"event": "call_completed", "reference_id": f"ride-{n}", "data": {}}
                body = json.dumps(event).encode()
                url, headers = f"http://127.0.0.1:{server.port}/", wire.headers(body)
                requests.post(url, body, headers=headers, timeout=5).raise_for_status()
                answered = time.perf_counter()
                line = process.stdout.readline() if process.stdout else b""
                took.append(time.perf_counter() - answered)
                if json.loads(line or "{}").get("reference_id") != f"ride-{n}":
                    raise RuntimeError(f"wanted the line of ride-{n}, got {line!r}")
        finally:
            lost.cancel()
            process.kill()
            process.communicate()
    return took


def measure() -> list[Figure]:
    """Return how long each is waited for."""
    few, many = LENGTHS
    seconds = follow()
    what = "from a call's last answer to its line in `calls --follow`"
    return [
        Figure(f"`pair` with {few:,} rows", pair(few) * 1000, "ms", at_most=1_000),
        Figure(f"`pair` with {many:,} rows", pair(many) * 1000, "ms"),
        Figure(f"{what}: median", statistics.median(seconds), "s"),
        Figure(f"{what}: longest", max(seconds), "s", at_most=2),
    ]


if __name__ == "__main__":
    print(figures.table(measure()))
