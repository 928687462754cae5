"""A program for the tests of serving: an app that takes its time, served as ours is served.

python slow_app.py SECONDS [bare]; with `bare` as on a system without poll, limits and SIGHUP.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

if "bare" in sys.argv:
    del os.sysconf, select.poll, select.epoll, signal.SIGHUP

from serving import server

THREADS = 4
BIG_PIECE, BIG_PIECES = b"0123456789abcdef" * 65_536, 40


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/exit":
        raise SystemExit
    if path == "/big":
        start_response("200 OK", [("Content-Length", str(len(BIG_PIECE) * BIG_PIECES))])
        return big()
    if path.startswith("/jump/"):
        jump(float(path.removeprefix("/jump/")))
    if path == "/":
        time.sleep(float(sys.argv[1]))
    body = path.encode() + b" done"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def jump(seconds: float) -> None:
    """Set the wall clock of this process by so many seconds."""
    before = time.time
    time.time = lambda: before() + seconds


def big() -> Iterator[bytes]:
    for _ in range(BIG_PIECES):
        yield BIG_PIECE


if __name__ == "__main__":
    server.serve(
        app,
        host="127.0.0.1",
        port=0,
        threads=THREADS,
        on_listening=lambda port: print(port, flush=True),
        on_rejected=lambda cause: print("rejected:", cause, flush=True),
    )
    print("stopped")
