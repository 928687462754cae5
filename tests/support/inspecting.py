"""The inspector without a socket, and as a process of its own, started as a user starts it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import facts
from command_line import of
from helpers import ROOT, Clock, PrintedLines, eventually, live, settings_of, web
from webtest import TestApp as WebTestApp

from allow_list import reader
from app import Handlers
from call_log import writer
from call_log.writer import CallLog
from config import Settings
from tools.inspector.pages import Pages
from tools.inspector.web import create_app

TOKEN = "a-token-of-the-tests"
SERVED = "served", "the server on http://127.0.0.1:8080 serves this list"


def inspector_of(log_url: str, allow_list: Path, clock: Clock, *, full: bool = False) -> Any:
    """Return the app on a log and a list; nobody has been admitted to it yet."""
    settings = settings_of(call_log=log_url, allow_list=str(allow_list))

    def read_list() -> Any:
        return reader.read(allow_list, Settings(), only_fictional=False)

    return web(create_app(Pages(settings, read_list, clock, lambda: SERVED, full=full), TOKEN))


class _UnderToken(WebTestApp):
    """An app whose addresses stand under the token, as a page's links do."""

    def get(self, url: str, *others: Any, **named: Any) -> Any:
        return super().get(urljoin("/", url), *others, **named)

    def post(self, url: str, *others: Any, **named: Any) -> Any:
        return super().post(urljoin("/", url), *others, **named)


def admitted(app: Any) -> Any:
    """Return the app as the one who has started it sees it: `/` or `./` is the printed address."""

    def under_token(environ: dict[str, Any], start: Any) -> Any:
        return app.app(environ | {"PATH_INFO": f"/{TOKEN}{environ['PATH_INFO']}"}, start)

    return _UnderToken(under_token)


class Deliver:
    """Delivers events of a call to a server on the log of this test, one a second."""

    def __init__(self, log_url: str, clock: Clock, lines: PrintedLines) -> None:
        self._clock, notices = clock, list[str]()
        store = writer.store_of(log_url)
        self._log = CallLog(store, notices.append, keep_days=3650, clock=clock)
        settings, rows = settings_of(), live(facts.ALLOW_LIST)
        self._app = web(Handlers(settings, rows, self._log, lines.writer, clock=clock).app())
        self.close = self._log.close

    def __call__(self, call: str, *names: str) -> None:
        """Deliver events of payload files."""
        for name in names:
            self.post(of(call, name))

    def post(self, body: bytes) -> None:
        """Deliver an event."""
        self._app.post("/", body, content_type="application/json")
        self._clock.sleep(1)


@contextlib.contextmanager
def inspecting(folder: Path, *words: str, **environment: str) -> Iterator[tuple[str, int]]:
    """Run `inspect` in a folder; yield the address that it prints, and its process id."""
    printed = folder / "printed"
    with printed.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, ROOT / "app.py", *(words or ("inspect", "--port", "0"))],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
        )
    try:
        address = re.compile(r"http://127\.0\.0\.1:\d+/\S+/")
        assert eventually(lambda: address.search(printed.read_text()) is not None, 20), (
            printed.read_text()
        )
        found = address.search(printed.read_text())
        assert found is not None
        yield found[0], process.pid
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
