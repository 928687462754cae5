"""Plays whole calls at a steady rate, and prints how long the answers took.

A call begins when it is due, whether or not earlier ones have ended, and the time of its first
answer counts from then: a server that falls behind cannot hide it.
"""

import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from rich.console import Console

from cli import console, http_client
from simulation.play import ScenarioResult, Target
from simulation.scenarios import SCENARIOS

MAX_CALLS = 100_000
MAX_RATE = 1_000

_THREADS = 64
_LEAD_S = 0.1


@dataclass(slots=True)
class _Load:
    """The calls of one run and what came of them.

    Several threads add to the two lists at once, which is safe: `append` and `extend` are atomic.
    They are read only when all threads have ended.
    """

    target: Target
    rate: float
    started: float
    answer_ms: list[float] = field(default_factory=list)
    results: list[tuple[bool, int, str]] = field(default_factory=list)
    local: threading.local = field(default_factory=threading.local)

    def open_session(self) -> None:
        """Open the HTTP session of this thread: sessions are not to be shared between threads."""
        self.local.session = http_client.Session()

    def due(self, position: int) -> float:
        """Return when a call is due, on the clock of `perf_counter`."""
        return self.started + position / self.rate

    def play(self, position: int) -> None:
        """Play one call, in a thread of the pool."""
        late_ms = max(0.0, time.perf_counter() - self.due(position)) * 1000
        self._add(self.target.play(SCENARIOS["connected"], self.local.session), late_ms)

    def _add(self, result: ScenarioResult, late_ms: float) -> None:
        first, *others = (exchange.milliseconds for exchange in result.exchanges)
        self.answer_ms.extend((first + late_ms, *others))
        # The whole result is not kept: of many calls that would be much memory.
        self.results.append((result.passed, result.exchanges[-1].status, result.verdict))


def play_load(target: Target, calls: int, rate: float, out: Console) -> bool:
    """Play so many calls, `rate` of them a second; print the figures, return whether all passed."""
    load = _Load(target, rate, started=time.perf_counter() + _LEAD_S)
    with ThreadPoolExecutor(_THREADS, initializer=load.open_session) as pool:
        playing: list[Future[None]] = []
        for position in console.progress(out, range(calls), calls, "calls"):
            time.sleep(max(0.0, load.due(position) - time.perf_counter()))
            playing.append(pool.submit(load.play, position))
        for each in playing:
            each.result()  # raises what the thread raised
    _print_figures(out, load)
    return all(passed for passed, _, _ in load.results)


def _print_figures(out: Console, load: _Load) -> None:
    times = sorted(load.answer_ms)
    unanswered = sum(not status for _, status, _ in load.results)
    failed = sum(not passed for passed, _, _ in load.results)
    figures = (
        ("calls", f"{len(load.results):,}"),
        ("answers", f"{len(times) - unanswered:,}"),
        ("errors", f"{unanswered:,}"),
        ("wrong verdicts", f"{failed - unanswered:,}"),
        ("p50", f"{times[len(times) // 2]:.1f} ms"),
        ("p99", f"{times[len(times) * 99 // 100]:.1f} ms"),
        ("maximum", f"{times[-1]:.1f} ms"),
    )
    console.print_table(out, ("load", f"{load.rate:g} calls/s"), figures)
    verdicts = Counter((passed, verdict) for passed, _, verdict in load.results)
    for (passed, verdict), count in verdicts.most_common():
        console.print_wrapped(out, f"{count:,} x {verdict}", "green" if passed else "red")
