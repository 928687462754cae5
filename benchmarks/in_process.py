"""What one signed `incoming_call` costs in the WSGI callable, to a bare Bottle handler.

No socket and no server: both callables get the same requests in one process, a batch in turn. The
product proves the signature, decides, writes its line to a file and answers; the bare handler reads
the JSON and returns a dict.

python -m benchmarks.in_process
"""

import io
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import app
from benchmarks import figures, wire
from benchmarks.figures import Figure
from benchmarks.peers import bare_bottle
from benchmarks.servers import ROOT
from call_log.memory import InMemoryCalls
from serving import sources
from serving.lines import Lines

BATCH, ROUNDS = 300, 100

Environ = dict[str, Any]


def environs(name: str) -> Iterator[Environ]:
    """Yield one request after the other, as a WSGI server hands it over."""
    for body in wire.bodies(name):
        headers = wire.headers(body)
        yield {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "REQUEST_URI": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8080",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_TYPE": headers["Content-Type"],
            "CONTENT_LENGTH": headers["Content-Length"],
            "HTTP_AUTHORIZATION": headers["Authorization"],
            "HTTP_X_TS_AUTHORIZATION": headers["X-TS-Authorization"],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
        }


def product(lines_fd: int) -> Any:
    """Return the product's callable on the sample, verified, with its lines in a file."""
    environment = {"MASKING_ALLOW_LIST": str(ROOT / "allowlist.csv"), **wire.KEYS}
    settings, live = sources.load(Path(os.devnull), environment)
    return app.Handlers(settings, live, InMemoryCalls(), Lines(lines_fd)).app()


def seconds_each(callable_: Callable[..., Any], batch: Sequence[Environ]) -> float:
    """Return what each request of a batch costs. Raises `AssertionError` for a wrong answer."""
    statuses: list[str] = []

    def start_response(status: str, _headers: object, _error: object = None) -> None:
        statuses.append(status)

    started = time.perf_counter()
    for environ in batch:
        answer = b"".join(callable_(environ, start_response))
    took = time.perf_counter() - started
    if set(statuses) != {"200 OK"} or wire.DESTINATION.encode() not in answer:
        raise AssertionError(f"wanted dial commands, got {set(statuses)} and {answer!r}")
    return took / len(batch)


def measure(batch: int = BATCH, rounds: int = ROUNDS) -> list[Figure]:
    """Return both costs and their ratio; the first tenth of the rounds warms up."""
    requests = environs("in-process")
    costs: dict[str, list[float]] = {"bare": [], "product": []}
    with tempfile.TemporaryFile() as lines:
        callables = {"bare": bare_bottle.make_app(), "product": product(lines.fileno())}
        for _ in range(rounds):
            for name, callable_ in callables.items():
                drawn = list(itertools.islice(requests, batch))
                costs[name].append(seconds_each(callable_, drawn))
    warm = {name: times[rounds // 10 :] for name, times in costs.items()}
    micros = {name: statistics.median(times) * 1e6 for name, times in warm.items()}
    ratio = figures.ratio_to("bare", warm)["product"]
    return [
        Figure("in process: a bare Bottle handler", micros["bare"], "µs"),
        Figure("in process: the product, call log off", micros["product"], "µs"),
        Figure("in process: the product to the bare handler", ratio, "times", at_most=3),
    ]


if __name__ == "__main__":
    print(figures.table(measure()))
