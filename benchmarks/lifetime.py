"""How soon the server answers after its start, and whether it keeps its memory while it runs.

The start is measured from the start of the process to the first right answer, with the sample. The
growth is that of the resident memory over many events, each of a call of its own, after as many as
fill what the server remembers.

python -m benchmarks.lifetime
"""

import statistics

from benchmarks import figures, machine, servers
from benchmarks.figures import Figure

STARTS = 7
WARM_UP, EVENTS, STEPS = 30_000, 200_000, 10


def start(times: int = STARTS) -> list[Figure]:
    """Return how long a start takes."""
    took = []
    for _ in range(times):
        with servers.run(servers.PRODUCT) as server:
            took.append(server.start_s)
    return [Figure("start to first answer", statistics.median(took), "s", at_most=0.2)]


def memory(warm_up: int = WARM_UP, events: int = EVENTS) -> list[Figure]:
    """Return how far the memory rises above where it was after the warm-up."""
    with servers.run(servers.PRODUCT) as server:
        servers.load_of(server.port, warm_up)
        held, errors = [machine.memory_mb(server.pid)], 0
        for _ in range(STEPS):
            errors += servers.load_of(server.port, events // STEPS).errors
            held.append(machine.memory_mb(server.pid))
    return [
        Figure(f"memory after {warm_up:,} events", held[0], "MB"),
        Figure(f"memory: growth over {events:,} more", max(held) - held[0], "MB", at_most=20),
        Figure(f"memory: wrong or missing answers of {events:,}", errors, "", at_most=0),
    ]


if __name__ == "__main__":
    print(figures.table([*start(), *memory()]))
