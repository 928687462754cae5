"""Events a second over HTTP, with 16 keep-alive clients: the product beside its peers.

All servers are up at once, one core for each in its turn, and take turns round by round, so that
what else the machine does falls on all of them alike. The peers only look the number up.

python -m benchmarks.over_http
"""

import contextlib
import statistics
from collections.abc import Mapping, Sequence

from benchmarks import figures, servers
from benchmarks.figures import Figure
from benchmarks.load import Result
from benchmarks.servers import BARE, CEILING, LOG_OFF, OTHERS, PRODUCT, Variant

EVENTS, ROUNDS = 2_000, 15
PRODUCTS = ((LOG_OFF, 75), (PRODUCT, 70))
"""The product in each form that is measured, and what percentage of the bare handler is wanted."""

VARIANTS = (CEILING, BARE, *(variant for variant, _ in PRODUCTS), *OTHERS)
WANTED_PERCENT = {variant.name: percent for variant, percent in PRODUCTS}

Results = Mapping[str, Sequence[Result]]


def measure(
    variants: Sequence[Variant] = VARIANTS, events: int = EVENTS, rounds: int = ROUNDS
) -> Results:
    """Return what was seen of each server in each round, after a round to warm up."""
    results: dict[str, list[Result]] = {
        variant.name: [] for variant in variants if variant.is_there
    }
    with contextlib.ExitStack() as stack:
        up = {
            variant.name: stack.enter_context(servers.run(variant))
            for variant in variants
            if variant.is_there
        }
        for server in up.values():
            servers.load_of(server.port, events // 5)
        for _ in range(rounds):
            for name, seen in results.items():
                seen.append(servers.load_of(up[name].port, events))
    return results


def find_missing(variants: Sequence[Variant] = VARIANTS) -> list[str]:
    """Return the names of those that are not installed here."""
    return [variant.name for variant in variants if not variant.is_there]


def figures_of(results: Results) -> list[Figure]:
    """Return what was wanted over HTTP."""
    ratios = ratios_to_bare(results)
    own = [name for name in WANTED_PERCENT if name in results]
    return [
        *(
            Figure(
                f"over HTTP, {name}: events a second, to the bare handler",
                ratios[name] * 100,
                "%",
                at_least=WANTED_PERCENT[name],
            )
            for name in own
        ),
        Figure(
            "over HTTP: wrong or missing answers of the product",
            sum(result.errors for name in own for result in results[name]),
            "",
            at_most=0,
        ),
        Figure(
            "the load generator on a fixed answer, to the fastest server",
            fastest_to_ceiling(results),
            "times",
            at_least=2,
        ),
    ]


def rates(results: Results) -> dict[str, float]:
    """Return the median of the answers a second of each server."""
    return {
        name: statistics.median(result.rate for result in seen) for name, seen in results.items()
    }


def ratios_to_bare(results: Results) -> dict[str, float]:
    """Return the rate of each server to that of the bare handler."""
    seen = {name: [result.rate for result in rounds] for name, rounds in results.items()}
    return figures.ratio_to(BARE.name, seen)


def fastest_to_ceiling(results: Results) -> float:
    """Return how many times faster the generator was on a fixed answer than on any server."""
    ratios = ratios_to_bare(results)
    return ratios.pop(CEILING.name) / max(ratios.values())


def table(results: Results) -> str:
    """Return all servers, the fastest first."""
    ratios = ratios_to_bare(results)
    rows = [
        (
            name,
            f"{rate:,.0f}",
            f"{ratios[name]:.0%}",
            f"{statistics.median(result.p50_ms for result in results[name]):.2f}",
            f"{statistics.median(result.p99_ms for result in results[name]):.2f}",
            f"{max(result.longest_ms for result in results[name]):,.0f}",
            f"{sum(result.errors for result in results[name])}",
        )
        for name, rate in sorted(rates(results).items(), key=lambda pair: -pair[1])
    ]
    header = ("server", "events/s", "to bare", "p50 ms", "p99 ms", "longest ms", "errors")
    return figures.markdown(header, rows)


if __name__ == "__main__":
    seen_now = measure()
    print(table(seen_now), figures.table(figures_of(seen_now)), sep="\n\n")
    print("not installed:", ", ".join(find_missing()) or "none")
