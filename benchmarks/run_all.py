"""Runs every benchmark once and writes a page of results with a picture.

Takes some minutes; nothing else should run on the machine meanwhile. The exit status is 1 if
something that is wanted does not hold; the results are written all the same.

make bench, or python -m benchmarks.run_all [FOLDER]
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    allow_list,
    call_log,
    chart,
    figures,
    in_process,
    lifetime,
    machine,
    open_loop,
    over_http,
    rides,
    servers,
)
from benchmarks.figures import Figure

COMMAND = "make bench"
ALONE: Sequence[Callable[[], list[Figure]]] = (
    in_process.measure,
    allow_list.measure,
    call_log.slow_syncs,
    call_log.measure_reading,
    call_log.measure_opening,
    call_log.measure_forgetting,
    rides.measure,
    open_loop.measure,
    lifetime.start,
    lifetime.memory,
)


def results(about: str, figures_: Sequence[Figure], seen: over_http.Results) -> str:
    """Return the page with all results."""
    missing = over_http.find_missing()
    paragraphs = [
        "# Results",
        f"Made by `{COMMAND}`: {about}.",
        "Ratios hold within one run only. The product verifies each signature, decides, keeps"
        " the event and writes its line; the others only look the number up.",
        figures.table(figures_),
        "## Side by side",
        f"{over_http.EVENTS:,} events a round, {over_http.ROUNDS} rounds in turns, medians; 16"
        " keep-alive clients; the server on one core, the load generator on another.",
        "![Events a second](results.svg)",
        over_http.table(seen),
        f"Not installed here: {', '.join(missing)}." if missing else "",
    ]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def picture(seen: over_http.Results) -> str:
    """Return the chart of the servers; the load generator's own limit is none of them."""
    rates = over_http.rates(seen)
    rates.pop(servers.CEILING.name, None)
    title = "Events a second, 16 keep-alive clients, one core"
    return chart.bars(title, rates, ours=over_http.WANTED_PERCENT)


def main() -> int:
    """Measure, write, print; return the exit status."""
    given = [Path(word) for word in sys.argv[1:]]
    folder = given[0] if given else Path(__file__).parent
    about, started = machine.description(), time.monotonic()
    measured: list[Figure] = []
    for measure in ALONE:
        print(f"{measure.__module__}.{measure.__name__}", flush=True)
        measured += measure()
    print("benchmarks.over_http.measure", flush=True)
    seen = over_http.measure()
    measured += over_http.figures_of(seen)
    about += f"; {time.monotonic() - started:.0f} s in all"
    (folder / "results.md").write_text(results(about, measured, seen))
    (folder / "results.svg").write_text(picture(seen))
    print("", figures.table(measured), over_http.table(seen), sep="\n\n")
    return 0 if all(figure.holds for figure in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
