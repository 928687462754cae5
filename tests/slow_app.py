"""A program for the tests of serving: an app that takes its time, served as ours is served.

python slow_app.py SECONDS [poll]; with `poll` as on a system that has no epoll.
"""

import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import server

THREADS = 4
BIG_PIECE, BIG_PIECES = b"0123456789abcdef" * 65_536, 40


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/exit":
        raise SystemExit
    if path == "/big":
        start_response("200 OK", [("Content-Length", str(len(BIG_PIECE) * BIG_PIECES))])
        return big()
    if path == "/":
        time.sleep(float(sys.argv[1]))
    body = path.encode() + b" done"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def big() -> Iterator[bytes]:
    for _ in range(BIG_PIECES):
        yield BIG_PIECE


if __name__ == "__main__":
    if "poll" in sys.argv:  # and not with select, which knows no more than a thousand files
        del select.epoll, select.select
    server.serve(
        app,
        host="127.0.0.1",
        port=0,
        threads=THREADS,
        on_listening=lambda port: print(port, flush=True),
        on_trouble=lambda: print("trouble", flush=True),
        tell=lambda _: None,
    )
    print("stopped")
