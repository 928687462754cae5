"""Call logs for the tests: opened, failing, and read."""

import contextlib
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import facts
from helpers import SUPPORT, Clock, PrintedLines, live, payload, settings_of, web
from processes import ServerProcess

import events
from app import Handlers
from call_log import store as tables
from call_log import writer
from call_log.store import RECORD_COLUMNS, Row, Store, StoreError
from call_log.writer import CallLog
from calls import CallState, Decision, Delivery
from commands import Dial
from phone import PhoneNumber
from records import CallRecord
from tools.history import stored

Opener = Callable[..., CallLog]


class FaultyStore:
    """A store that fails, or is slow, for as long as a test sets it to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fails = False
        self.takes_s = 0.0
        self.loses_the_answer = False
        self.commits_after_s = 0.0
        self.refuses: tuple[bytes, Exception] | None = None

    def keep(self, rows: list[Row], *known: Any) -> None:
        if self.refuses is not None and any(self.refuses[0] in row.body for row in rows):
            raise self.refuses[1]
        self.store.keep(rows, *known)

    def repair(self) -> None:
        """Let it work again."""
        self.fails, self.takes_s, self.commits_after_s = False, 0.0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def reconnect(self) -> bool:
        if self.fails:
            raise StoreError("no database")
        return self.store.reconnect()

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


@dataclass
class Servers:
    """The app on a log of its own, as often as it is started."""

    opened: Opener
    clock: Clock
    lines: PrintedLines

    def start(self, allow_list: str = facts.ALLOW_LIST, **values: str) -> Any:
        return self.start_on(None, allow_list, **values)

    def start_on(
        self, store: Store | None, allow_list: str = facts.ALLOW_LIST, **values: str
    ) -> Any:
        """Start it on this store, which may be a faulty one."""
        settings, listed, log = settings_of(**values), live(allow_list), self.opened(store=store)
        return web(Handlers(settings, listed, log, self.lines.writer, clock=self.clock).app())


@contextlib.contextmanager
def delivering(url: str, clock: Clock, lines: PrintedLines, **values: str) -> Iterator[Any]:
    """Yield a function that delivers events of a call to a server with a log and these settings."""
    kept = CallLog(writer.store_of(url), print, keep_days=3650, clock=clock)
    listed = live(facts.ALLOW_LIST)
    app = web(Handlers(settings_of(**values), listed, kept, lines.writer, clock=clock).app())

    def post_events(call: str, *names: str, **instead: str) -> None:
        """Post these events of a call; `CALLER="..."` puts another number in place of that fact."""
        for name in names:
            body = payload(name).replace(ID.encode(), call.encode())
            for fact, number in instead.items():
                body = body.replace(getattr(facts, fact).encode(), number.encode())
            app.post("/", body, content_type="application/json")
            clock.sleep(1)

    yield post_events
    kept.close()


INCOMING = payload("incoming_call")
COMPLETED = payload("call_completed")
DIAL = Decision(Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID)))
ID = facts.REFERENCE_ID


def deliver(log: CallLog, body: bytes, clock: Clock, decision: Decision = DIAL) -> CallState:
    """Deliver a body to a log and return the state of its call before."""
    return log.answer(Delivery(events.parse(body), body, clock()), lambda _: decision)[0]


def rows(url: str, reference_id: str = ID) -> list[Row]:
    store = writer.store_of(url)
    store.open(write=False)
    try:
        return store.rows([reference_id])
    finally:
        store.close()


def numbered(n: int) -> bytes:
    return INCOMING.replace(ID.encode(), f"call-{n}".encode())


def at_once(works: list[Callable[[], object]]) -> None:
    """Run all of these at the same time."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        barrier.wait()
        work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def forget(url: str, *calls: str) -> None:
    """Purge calls as another process does."""
    store = writer.store_of(url)
    store.open()
    store.purge(calls)
    store.close()


def is_healthy(server: ServerProcess) -> bool:
    return bool(server.health()["status"] == "ok")


def all_rows(url: str) -> list[Row]:
    """Return everything that a log holds of events."""
    store = writer.store_of(url)
    store.open(write=False)
    try:
        ids = {call for (call,) in store.execute("SELECT reference_id FROM call_event")}
        return store.rows(ids)
    finally:
        store.close()


def kept(url: str) -> dict[tuple[str, str], int]:
    """Return how often each event of each call was delivered, by what the log holds."""
    store = writer.store_of(url)
    store.open(write=False)
    try:
        sql = "SELECT reference_id, event, deliveries FROM call_event"
        return {(call, event): count for call, event, count in store.execute(sql)}
    finally:
        store.close()


def written_down(url: str) -> list[CallRecord]:
    """Return the records that the log holds, in the order of their numbers."""
    store = writer.store_of(url)
    store.open(write=False)
    try:
        sql = f"SELECT {', '.join(RECORD_COLUMNS)} FROM call_record ORDER BY number"
        return [stored.record_of(values) for values in store.execute(sql)]
    finally:
        store.close()


def write_down(store: Store, records: Iterable[CallRecord]) -> None:
    """Write records into the table as they are, numbered in their order."""
    marks = ", ".join("?" * len(RECORD_COLUMNS))
    sql = f"INSERT INTO call_record ({', '.join(RECORD_COLUMNS)}) VALUES ({marks})"
    with store.transaction():
        for number, record in enumerate(records):
            store.execute(sql, tables._record_values(replace(record, number=number)))


class OddServer(ServerProcess):
    """A server that breaks a promise, to see that the tests would notice; see `odd_server.py`."""

    command: ClassVar[list[str]] = [
        sys.executable,
        str(SUPPORT / "odd_server.py"),
    ]


def is_intact(path: Path) -> bool:
    """Whether SQLite finds no fault in a file."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
