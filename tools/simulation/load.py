"""Plays whole calls at a steady rate, and prints how long the answers took.

A call begins when it is due, whether or not earlier ones have ended, and the time of its first
answer counts from then: a server that falls behind cannot hide it.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from tools import console
from tools.simulation.play import Target, redact_text
from tools.simulation.scenarios import Scenario

MAX_CALLS = 100_000
MAX_RATE = 1_000

_THREADS = 64


class _PlayedCall(NamedTuple):
    """What is kept of a call: of many, the whole result would be much memory."""

    outcome: str
    verdict: str
    has_ended: bool
    answer_ms: list[float]


def play_load(target: Target, scenario: Scenario, calls: int, rate: float, out: Console) -> bool:
    """Play so many calls, `rate` of them a second; print the figures, return whether all passed."""
    started = time.perf_counter()

    def play_one(due: float) -> _PlayedCall:
        late_ms = max(0.0, time.perf_counter() - due) * 1000
        result = target.play(scenario)
        first, *others = (exchange.milliseconds for exchange in result.exchanges)
        has_ended = result.exchanges[-1].status != 0
        return _PlayedCall(result.outcome, result.verdict, has_ended, [first + late_ms, *others])

    with ThreadPoolExecutor(_THREADS) as pool:
        futures = []
        for position in track(range(calls), "calls", transient=True, disable=not out.is_terminal):
            due = started + position / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            futures.append(pool.submit(play_one, due))
        played = [future.result() for future in futures]
    _print_figures(out, rate, played)
    return all(call.outcome == "passed" for call in played)


def _print_figures(out: Console, rate: float, played: Sequence[_PlayedCall]) -> None:
    times = sorted(ms for call in played for ms in call.answer_ms)
    unanswered = sum(not call.has_ended for call in played)
    failed = sum(call.outcome != "passed" for call in played)
    figures = (
        ("calls", f"{len(played):,}"),
        ("answers", f"{len(times) - unanswered:,}"),
        ("errors", f"{unanswered:,}"),
        ("wrong verdicts", f"{failed - unanswered:,}"),
        ("p50", f"{times[len(times) // 2]:.1f} ms"),
        ("p99", f"{times[len(times) * 99 // 100]:.1f} ms"),
        ("maximum", f"{times[-1]:.1f} ms"),
    )
    console.print_table(out, ("load", f"{rate:g} calls/s"), figures)
    verdicts = Counter((call.outcome, call.verdict) for call in played)
    for (outcome, verdict), count in verdicts.most_common():
        style = "green" if outcome == "passed" else "red"
        console.print_wrapped(out, f"{count:,} x {redact_text(verdict)}", style)
