"""How long an allow-list takes to load and what a look-up costs, for lists of different length.

Run it from the project's folder: python benchmarks/allow_list.py [ROWS ...]. All lengths are
measured in one run, in turns, so that their ratios hold however busy the machine is.
"""

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import allowlist
from phone import PhoneNumber
from routing import AllowList

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LOOK_UPS = 2_000
ROUNDS = 50
CALLER = PhoneNumber("12025550123")


def lines(rows: int) -> list[str]:
    """Return a list whose rows use every column."""
    header = ",".join(allowlist.COLUMNS)
    return [
        header,
        *(
            f"{13_000_000_000 + row},,{14_000_000_000 + row},,3600,2027-01-31T18:00:00Z,a note"
            for row in range(rows)
        ),
    ]


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def look_up(allow_list: AllowList, dialled: list[PhoneNumber]) -> None:
    """Look up a call to each of some numbers."""
    for number in dialled:
        allow_list.find(number, CALLER, NOW)


def main() -> None:
    """Measure and print."""
    lengths = [int(text) for text in sys.argv[1:]] or [10, 1_000, 100_000]
    lists, loads = {}, {}
    for rows in lengths:
        text = lines(rows)
        started = time.perf_counter()
        lists[rows] = allowlist.parse(text, allowlist.RowDefaults(), only_fictional=False)
        loads[rows] = time.perf_counter() - started
    # The same few numbers again and again: what is measured is the look-up, not the memory's cache.
    dialled = {
        rows: [PhoneNumber(str(13_000_000_000 + n % min(rows, 10))) for n in range(LOOK_UPS)]
        for rows in lengths
    }
    rounds: dict[int, list[float]] = {rows: [] for rows in lengths}
    for _ in range(ROUNDS):
        for rows, listed in lists.items():
            rounds[rows].append(seconds(lambda: look_up(listed, dialled[rows])))  # noqa: B023
    costs = {rows: statistics.median(times) / LOOK_UPS for rows, times in rounds.items()}
    print(f"{'rows':>10} {'load':>10} {'look-up':>12} {'to the first':>13}")
    for rows in lengths:
        ratio = costs[rows] / costs[lengths[0]]
        print(f"{rows:>10,} {loads[rows]:>8.2f} s {costs[rows] * 1e9:>9.0f} ns {ratio:>13.2f}")


if __name__ == "__main__":
    main()
