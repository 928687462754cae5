"""What the tests share: the app without a socket, the real server process, a clock, payloads.

With NOTHING_SKIPPED=1 a test that would be skipped, as a program it wants is missing, fails.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import facts
import pooler
import pytest
import requests
from hypothesis import settings as hypothesis_settings
from webtest import TestApp as WebTestApp

import allowlist
import calllog
import config
import signature
from app import create_app
from calllog import CallLog
from calls import Moment, RecentCalls
from journal import Journal
from logstore import Row, Store, StoreError
from routing import AllowList
from watch import LiveAllowList

ROOT = Path(__file__).parent.parent
PAYLOADS = ROOT / "tests" / "payloads"
START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

# What the tests and their servers ask of each other goes by no proxy.
for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]

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


def web(app: Any) -> Any:
    """Return the app behind WebTest, whose types know no bytes as a body."""
    return WebTestApp(app)


def payload(name: str) -> bytes:
    """Return the body of an event, as its file holds it."""
    return (PAYLOADS / f"{name}.json").read_bytes()


def signed(body: bytes, key: str = facts.API_KEY) -> dict[str, str]:
    """Return the headers with which TeleSign sends this body."""
    bare = signature.sign(body, key=signature.decode_key(key))
    return {
        "Content-Type": "application/json",
        "Authorization": f"TSA {facts.CUSTOMER_ID}:{bare}",
        "X-TS-Authorization": bare,
    }


def read_list(text: str, **defaults: Any) -> AllowList:
    """Return the allow-list that a text makes."""
    return allowlist.parse(
        text.splitlines(), allowlist.RowDefaults(**defaults), only_fictional=False
    )


def live(text: str, **defaults: Any) -> LiveAllowList:
    """Return an allow-list as the app takes it, of a file that never changes."""
    return LiveAllowList(Path(os.devnull), lambda: read_list(text, **defaults))


def settings_of(**values: str) -> config.Settings:
    """Return settings made from the environment, without faults."""
    settings, faults = config.read(None, {f"MASKING_{k.upper()}": v for k, v in values.items()})
    assert faults == []
    return settings


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    utc: datetime = START
    monotonic_s: float = 1000.0
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __call__(self) -> Moment:
        with self._lock:
            return Moment(self.utc, self.monotonic_s)

    def sleep(self, seconds: float) -> None:
        """Let time pass on both clocks; nobody sees one of them ahead of the other."""
        with self._lock:
            self.utc += timedelta(seconds=seconds)
            self.monotonic_s += seconds


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("MASKING_", "TELESIGN_")):
            monkeypatch.delenv(name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(tmp_path: Path) -> Iterator["Lines"]:
    with Lines(tmp_path / "lines") as opened:
        yield opened


class Lines:
    """A journal that writes JSON lines to a file, and what it wrote."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("wb")
        self.journal = Journal(self._file.fileno(), readable=False)

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()
        self._file.close()

    def read(self) -> list[dict[str, Any]]:
        """Return every line so far: a line is written a moment after it is told."""
        mark = f"read at {time.monotonic_ns()}"
        self.journal.notice(mark)
        assert eventually(lambda: mark in self._path.read_text())
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [line for line in lines if not line.get("notice", "").startswith("read at ")]


TEST_DATABASE = os.environ.get("TEST_DATABASE_URL", "")
needs_postgresql = pytest.mark.skipif(not TEST_DATABASE, reason="TEST_DATABASE_URL is not set")


@contextlib.contextmanager
def postgresql_url() -> Iterator[str]:
    """Yield the URL of a schema of the test's own in the test database."""
    import psycopg

    schema = f"test_{os.getpid()}_{time.time_ns()}"
    with psycopg.connect(TEST_DATABASE, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        try:
            mark = "&" if "?" in TEST_DATABASE else "?"
            yield f"{TEST_DATABASE}{mark}options=-csearch_path%3D{schema}"
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


POOLED = pytest.param(
    "pooled", marks=[pytest.mark.faults, needs_postgresql, pooler.needs_pgbouncer]
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql), POOLED])
def log_url(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A call log of the test's own, in each database that there is, and behind a pooler."""
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


Door = Callable[..., Any]


@pytest.fixture
def door(clock: Clock, lines: Lines) -> Door:
    """Return a function that makes the app, without a socket, for some settings and a list."""

    def make(text: str = facts.ALLOW_LIST, **values: str) -> Any:
        settings = settings_of(**values)
        defaults = {"caller_id_number": settings.caller_id_number}
        calls = RecentCalls()
        return web(create_app(settings, live(text, **defaults), calls, lines.journal, clock=clock))

    return make


def post(app: Any, body: bytes) -> Any:
    """Post one event to the app and return its answer, which has to be 200."""
    return app.post("/", body, content_type="application/json", status=200).json


@dataclass
class ServerProcess:
    """The real server, started as a user starts it, on a port of its own."""

    # What starts it, and where its lines tell the address.
    command: ClassVar[list[str]] = [sys.executable, str(ROOT / "app.py")]
    told: ClassVar[str] = r"health +(http://.+/)health"

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    allow_list: str = facts.ALLOW_LIST
    stdout_fd: int | None = None
    most_files: int | None = None

    def __enter__(self) -> Self:
        (self.folder / "allowlist.csv").write_text(self.allow_list)
        self.stdout = self.folder / "stdout"
        self.stderr = self.folder / "stderr"
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [*self._limit(), *self.command],
                cwd=self.folder,
                env={**os.environ, "MASKING_PORT": "0", **self.environment},
                stdout=out if self.stdout_fd is None else self.stdout_fd,
                stderr=err,
            )
        try:
            self.url = self._wait_for_address()
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
        self.port = int(self.url.rpartition(":")[2].rstrip("/"))
        return self

    def _limit(self) -> list[str]:
        """Return the words that start a program with few open files allowed, if asked to."""
        few = f'ulimit -n {self.most_files}; exec "$0" "$@"'
        return ["sh", "-c", few] if self.most_files else []

    def _wait_for_address(self) -> str:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(self.told, self.stderr.read_text())
            if found:
                return found[1]
            time.sleep(0.02)
        raise AssertionError(f"the server did not start: {self.stderr.read_text()}")

    def deliver(self, body: bytes) -> tuple[int, Any]:
        """Post one event; return the status and the answer."""
        headers = {"Content-Type": "application/json"}
        answer = requests.post(self.url, body, headers=headers, timeout=20)
        return answer.status_code, answer.json()

    def health(self) -> Any:
        """Return what the server says of itself."""
        return requests.get(f"{self.url}health", timeout=20).json()

    def stop(self) -> int:
        """End the server with SIGTERM and return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def output(self) -> str:
        """Return everything that it has written."""
        return self.stdout.read_text() + self.stderr.read_text()

    def kill(self) -> None:
        """End the server at once, whatever it is doing."""
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()


class Load:
    """Clients that call a server without a pause, and what it has answered."""

    def __init__(self, server: ServerProcess, clients: int = 8) -> None:
        self._port = server.port
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(clients)]
        self.answered: list[tuple[str, str]] = []
        self.refused: list[int] = []
        self.longest_s = 0.0

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
            while not self._ending.is_set():
                call = uuid.uuid4().hex
                for name in "incoming_call", "dial_completed_answered", "call_completed":
                    self._deliver(client, call, name)

    def _deliver(self, client: http.client.HTTPConnection, call: str, name: str) -> None:
        body = payload(name).replace(facts.REFERENCE_ID.encode(), call.encode())
        started = time.monotonic()
        client.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        answer.read()
        self.longest_s = max(self.longest_s, time.monotonic() - started)
        if answer.status == 200:
            self.answered.append((call, json.loads(body)["event"]))
        else:
            self.refused.append(answer.status)


@contextlib.contextmanager
def serving(*words: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run the slow app; yield its process and port."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "slow_app.py", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            if process.poll() is None:
                process.kill()


def processor_s(pid: int) -> float:
    """Return how much of a processor's time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def eventually(holds: Callable[[], bool], seconds: float = 5) -> bool:
    """Wait until something holds; tell whether it came to that in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def verified_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a key, shared by the tests of one file."""
    with ServerProcess(tmp_path_factory.mktemp("verified"), facts.KEYS) as server:
        yield server


Opener = Callable[..., CallLog]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def opened(log_url: str, clock: Clock, told: list[str]) -> Iterator[Opener]:
    """Return a function that opens the log of this test; what it opened is closed."""
    with contextlib.ExitStack() as stack:

        def open_log(keep_days: int = 30, store: Store | None = None) -> CallLog:
            store = store or calllog.store_of(log_url)
            log = CallLog(store, told.append, keep_days=keep_days, clock=clock)
            stack.callback(log.close)
            return log

        yield open_log


class Trouble:
    """A database that fails, or takes its time, as long as it is told to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fails = False
        self.takes_s = 0.0
        self.loses_the_answer = False
        self.commits_after_s = 0.0
        self.refuses: tuple[bytes, Exception] | None = None
        self.hurried = 0

    def keep(self, rows: list[Row]) -> None:
        if self.refuses is not None and any(self.refuses[0] in row.body for row in rows):
            raise self.refuses[1]
        self.store.keep(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def hurry(self) -> None:
        self.hurried += 1
        self.store.hurry()

    def mend(self) -> bool:
        if self.fails:
            raise StoreError("no database")
        return self.store.mend()

    @contextlib.contextmanager
    def transaction(self, ids: Any = ()) -> Iterator[None]:
        if self.fails:
            raise StoreError("no database")
        time.sleep(self.takes_s)
        with self.store.transaction(ids):
            yield
            time.sleep(self.commits_after_s)
        if self.loses_the_answer:
            self.loses_the_answer = False
            raise StoreError("the connection was lost")


@pytest.fixture
def trouble(log_url: str) -> Any:  # passes for a store
    return Trouble(calllog.store_of(log_url))


@dataclass
class Servers:
    """The app on a log of its own, as often as it is started."""

    opened: Opener
    clock: Clock
    lines: Lines

    def start(self, allow_list: str = facts.ALLOW_LIST, **values: str) -> Any:
        return self.start_on(None, allow_list, **values)

    def start_on(
        self, store: Store | None, allow_list: str = facts.ALLOW_LIST, **values: str
    ) -> Any:
        """Start it on this store, which may be in trouble."""
        settings, listed, log = settings_of(**values), live(allow_list), self.opened(store=store)
        return web(create_app(settings, listed, log, self.lines.journal, clock=self.clock))


@pytest.fixture
def servers(opened: Opener, clock: Clock, lines: Lines) -> Servers:
    return Servers(opened, clock, lines)
