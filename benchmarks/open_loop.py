"""How long answers take at 200 events a second, everything on.

The loop is open: each event is sent when it is due, as TeleSign would, however long the answers
before it take, and its time counts from then.

python -m benchmarks.open_loop
"""

from benchmarks import figures, servers
from benchmarks.figures import Figure

RATE, SECONDS = 200, 30


def measure(rate: int = RATE, seconds: float = SECONDS) -> list[Figure]:
    """Return how long the answers took, after two seconds to warm up."""
    with servers.run(servers.PRODUCT) as server:
        servers.load_of(server.port, 2 * rate, rate=rate)
        seen = servers.load_of(server.port, round(rate * seconds), rate=rate)
    what = f"{rate} events a second for {seconds:g} s"
    return [
        Figure(f"{what}: half of the answers within", seen.p50_ms, "ms"),
        Figure(f"{what}: 99 of 100 answers within", seen.p99_ms, "ms", at_most=10),
        Figure(f"{what}: the slowest answer", seen.longest_ms, "ms"),
        Figure(f"{what}: wrong or missing answers", seen.errors, "", at_most=0),
    ]


if __name__ == "__main__":
    print(figures.table(measure()))
