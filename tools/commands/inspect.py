"""The `inspect` command: serves the pages of log and list on this machine, which only read."""

import argparse
import secrets
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from functools import partial
from pathlib import Path

from allow_list import reader
from config import Settings
from serving import server
from serving.server import ServeError
from serving.sources import now
from tools import live_list
from tools.history import stored
from tools.inspector.pages import Pages
from tools.inspector.web import create_app

_FRESH_S = 1.0
_MAX_WAIT_S = 0.05


class _Latest:
    """What the server was last found to serve, for pages that do not wait for it.

    It is asked again, by a thread of its own, once what is known of it is a second old.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock, self._executor = threading.Lock(), ThreadPoolExecutor(1)
        self._known = "asked", f"the server on {live_list.address(settings)} is being asked"
        self._asked_s, self._asking = 0.0, self._executor.submit(self._ask)

    def __call__(self) -> tuple[str, str]:
        """Return a word for the state and a sentence, within 50 ms."""
        with self._lock:
            now_s = time.monotonic()
            if self._asking.done() and now_s - self._asked_s > _FRESH_S:
                self._asked_s, self._asking = now_s, self._executor.submit(self._ask)
            asking = self._asking
        wait([asking], _MAX_WAIT_S)
        return self._known

    def _ask(self) -> None:
        found = live_list.state_of(self._settings)
        self._known = found.state.replace(" ", "-"), found.text


def run(options: argparse.Namespace, _: datetime) -> int:
    """Serve the pages of log and list on this machine until Ctrl-C; return the exit status.

    Raises `StoreError` where no log is kept, or its setting is none.
    """
    settings = stored.settings_of(options.config)
    log, file = stored.store_of(settings).place, Path(settings.allow_list)
    read_list = partial(reader.read, file, settings, only_fictional=False)
    pages = Pages(settings, read_list, now, _Latest(settings), full=options.full)
    token = secrets.token_urlsafe()
    banner = (
        f"  call log    {log}, only read",
        f"  allow-list  {file.absolute()}",
        f"  numbers     {'in full' if options.full else 'last four digits'}",
        "  stop        Ctrl-C",
    )
    try:
        server.serve(
            create_app(pages, token),
            host="127.0.0.1",
            port=options.port,
            threads=4,
            on_listening=lambda port: print(
                f"Inspector on http://127.0.0.1:{port}/{token}/",
                *banner,
                sep="\n",
                file=sys.stderr,
                flush=True,
            ),
            on_rejected=lambda _: None,
            # What other programs on this machine set as cookies comes along, up to 180 of 4 KiB.
            max_request_header_size=2**20,
            recv_bytes=2**16,
        )
    except ServeError as error:
        print(f"The inspector did not start: {error}", file=sys.stderr)
        return 1
    return 0
