"""What the tests share: the app without a socket, the real server process, a clock, payloads.

With NOTHING_SKIPPED=1 a test that would be skipped, as a program it wants is missing, fails.
"""

import contextlib
import os
import signal
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import facts
import pooler
import pytest
from call_logs import FaultyStore, Opener, Servers, delivering
from command_line import run_here
from databases import POSTGRESQL, TEST_DATABASE, postgresql_url
from helpers import (
    Clock,
    MakeApp,
    PrintedLines,
    live,
    settings_of,
    web,
)
from hypothesis import settings as hypothesis_settings
from processes import ServerProcess

from app import Handlers
from call_log import writer
from call_log.memory import InMemoryCalls
from call_log.store import Store
from call_log.writer import CallLog
from tools import main

# What the tests and their servers ask of each other goes by no proxy.
for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]

# Ctrl-C ends what is started here, also where a shell has started the tests in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis_settings.register_profile("house", deadline=None, print_blob=True)
hypothesis_settings.load_profile("house")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure where everything is wanted; an expected failure is no skip."""
    wanted = os.environ.get("NOTHING_SKIPPED") == "1"
    if wanted and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"NOTHING_SKIPPED, but this was: {report.longrepr}"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("MASKING_", "TELESIGN_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MASKING_PORT", "9")  # no server that happens to run here is asked


@pytest.fixture(autouse=True)
def _no_haste(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a log in this process waited for on a busy machine too, unless that is the subject.

    That an answer takes no longer than half a second is thus for tests/call_log to notice.
    """
    if request.path.parent.name != "call_log":
        monkeypatch.setattr(writer, "_MAX_WAIT_S", 30.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(tmp_path: Path) -> Iterator["PrintedLines"]:
    with PrintedLines(tmp_path / "lines") as opened:
        yield opened


@pytest.fixture(params=["sqlite", POSTGRESQL])
def log_url(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A call log of the test's own, in each database; behind a pooler where a test asks for it."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/calls.db"
    elif request.param == "postgresql":
        with postgresql_url() as url:
            yield url
    else:
        folder = tmp_path_factory.mktemp("pooler")
        with pooler.pooled(folder, TEST_DATABASE) as pooled, pooler.neighbour(pooled.url):
            yield pooled.url


@pytest.fixture
def make_app(clock: Clock, lines: PrintedLines) -> MakeApp:
    """Return a function that makes the app, without a socket, for some settings and a list."""

    def make(text: str = facts.ALLOW_LIST, **values: str) -> Any:
        settings = settings_of(**values)
        defaults = {"caller_id_number": settings.caller_id_number}
        calls = InMemoryCalls()
        return web(
            Handlers(settings, live(text, **defaults), calls, lines.writer, clock=clock).app()
        )

    return make


@pytest.fixture(scope="module")
def verified_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a key, shared by the tests of one file."""
    with ServerProcess(tmp_path_factory.mktemp("verified"), facts.KEYS) as server:
        yield server


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def opened(
    log_url: str, clock: Clock, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opener]:
    """Return a function that opens the log of this test; what it opened is closed."""
    monkeypatch.setattr(writer, "_TICK_S", 0.05)  # what is promised of it, real servers show
    with contextlib.ExitStack() as stack:

        def open_log(keep_days: int = 30, store: Store | None = None) -> CallLog:
            store = store or writer.store_of(log_url)
            log = CallLog(store, notices.append, keep_days=keep_days, clock=clock)
            stack.callback(log.close)
            if isinstance(store, FaultyStore):
                stack.callback(store.repair)  # before it is closed
            return log

        yield open_log


@pytest.fixture
def faulty(log_url: str) -> Any:  # passes for a store
    return FaultyStore(writer.store_of(log_url))


@pytest.fixture
def servers(opened: Opener, clock: Clock, lines: PrintedLines) -> Servers:
    return Servers(opened, clock, lines)


@pytest.fixture
def deliver(log_url: str, clock: Clock, lines: PrintedLines) -> Iterator[Any]:
    """Return a function that delivers events of a call to a server on the log of this test."""
    with delivering(log_url, clock, lines) as deliver:
        yield deliver


@pytest.fixture
def store(log_url: str) -> Iterator[Store]:
    """The log of this test, open to be written."""
    opened = writer.store_of(log_url)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def ask(
    log_url: str,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Return a function that runs the command line in this process, on the log of this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "now", clock)
    monkeypatch.setenv("MASKING_CALL_LOG", log_url)

    return partial(run_here, capsys)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command prints goes to a terminal of 80 columns that knows no colours."""
    for name, value in {"FORCE_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
