"""How long allow-lists take to load, the memory they hold and what a look-up costs, by length.

Each length is loaded from a file in a fresh process, so that its memory is its own. The look-ups of
all lengths are measured in one process, in turns, so that their ratios hold however busy the
machine is. The same few numbers are looked up again and again: what is measured is the look-up, not
the memory's cache.

python -m benchmarks.allow_list [ROWS ...]
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from allow_list import reader
from benchmarks import figures, machine
from benchmarks.figures import Figure
from benchmarks.servers import ROOT
from config import Settings
from phone import PhoneNumber
from routing import AllowList, Route

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LENGTHS = (10, 100_000, 1_000_000)
LOOK_UPS, ROUNDS = 2_000, 50
CALLER = PhoneNumber("12025550123")
# No exchange begins with 0 or 1, so up to a million rows these numbers are nobody's.
FIRST_DIALLED, FIRST_DESTINATION = 13_000_000_000, 14_000_000_000


@dataclass(frozen=True, slots=True)
class LoadCost:
    """What loading a list took: its time, and the memory it holds and took at its peak, in MB."""

    seconds: float
    held_mb: float
    peak_mb: float


def lines(rows: int) -> Iterator[str]:
    """Yield a list whose rows use the columns that most lists have."""
    yield "to,from,destination,caller_id_number,max_call_duration,expires,note"
    for row in range(rows):
        dialled, destination = FIRST_DIALLED + row, FIRST_DESTINATION + row
        yield f"{dialled},,{destination},,3600,2099-01-31T18:00:00Z,a note"


def load(path: Path) -> LoadCost:
    """Load a list in this process and return what that took."""
    before, started = machine.memory_mb(), time.perf_counter()
    allow_list = reader.read(path, Settings(), only_fictional=False)
    seconds = time.perf_counter() - started
    held, peak = machine.memory_mb() - before, machine.memory_mb(peak=True)
    assert len(allow_list)  # noqa: S101 - it is held until here
    return LoadCost(seconds, held, peak)


def load_apart(rows: int) -> LoadCost:
    """Load a list of so many rows in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "allowlist.csv"
        with path.open("w") as file:
            file.writelines(f"{line}\n" for line in lines(rows))
        code = (
            "import sys, json, pathlib, dataclasses, benchmarks.allow_list as b;"
            "print(json.dumps(dataclasses.asdict(b.load(pathlib.Path(sys.argv[1])))))"
        )
        command = [sys.executable, "-c", code, str(path)]
        ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S603
    return LoadCost(**json.loads(ended.stdout))


def look_ups(lengths: Sequence[int], rounds: int) -> dict[str, list[float]]:
    """Return the seconds that a look-up takes in a list of each length, round by round."""
    settings = Settings()
    lists = {rows: reader.parse(lines(rows), settings, only_fictional=False) for rows in lengths}
    times: dict[str, list[float]] = {str(rows): [] for rows in lengths}
    for _ in range(rounds):
        for rows, allow_list in lists.items():
            times[str(rows)].append(seconds_each(allow_list, rows))
    return times


def seconds_each(allow_list: AllowList, rows: int) -> float:
    """Return what a look-up takes, the mean of some thousand."""
    few = min(rows, 10)
    dialled = [PhoneNumber(str(FIRST_DIALLED + row % few)) for row in range(LOOK_UPS)]
    started = time.perf_counter()
    for number in dialled:
        found = allow_list.find(number, CALLER, NOW)
    took = time.perf_counter() - started
    assert isinstance(found, Route)  # noqa: S101 - a miss would cost something else
    return took / LOOK_UPS


def measure(lengths: Sequence[int] = LENGTHS, rounds: int = ROUNDS) -> list[Figure]:
    """Return load, memory and look-up of each length; the wanted figures are those of a million."""
    measured = []
    costs = look_ups(lengths, rounds)
    for rows in lengths:
        loaded, what = load_apart(rows), f"allow-list of {rows:,} rows"
        measured += [
            Figure(f"{what}: load", loaded.seconds, "s", at_most=10),
            Figure(f"{what}: memory held by it", loaded.held_mb, "MB", at_most=500),
            Figure(f"{what}: peak of the process", loaded.peak_mb, "MB"),
            Figure(f"{what}: look-up", statistics.median(costs[str(rows)]) * 1e6, "µs"),
        ]
    first, last = lengths[0], lengths[-1]
    what = f"look-up in {last:,} rows to one in {first:,}"
    ratio = figures.ratio_to(str(first), costs)[str(last)]
    return [*measured, Figure(what, ratio, "times", at_most=1.2)]


if __name__ == "__main__":
    chosen = [int(text) for text in sys.argv[1:]] or LENGTHS
    print(figures.table(measure(chosen)))
