"""A program for the tests of stopping: serves an app that takes its time, as ours is served."""

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import server


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(float(sys.argv[1]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"done"]


server.serve(
    app,
    host="127.0.0.1",
    port=0,
    threads=4,
    on_listening=lambda port: print(port, flush=True),
    on_trouble=lambda: None,
    tell=lambda _: None,
)
print("stopped")
