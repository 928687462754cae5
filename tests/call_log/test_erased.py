"""A number of a purged call is in no file of the log, wherever SQLite has put copies of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import facts
import pytest
from command_line import in_the_files, of
from helpers import Clock, PrintedLines, eventually, live, settings_of, web

from app import Handlers
from call_log import purge, writer
from call_log.store import Row, microseconds
from call_log.writer import CallLog


@pytest.mark.faults
def test_what_is_purged_is_nowhere_in_the_files(
    tmp_path: Path, clock: Clock, lines: PrintedLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("call_log.writer._TICK_S", 0.01)  # fifty calls are purged at each
    numbers = [f"1202555{n:04}" for n in range(100, 200)]
    path = tmp_path / "calls.db"
    store = writer.store_of(f"sqlite:///{path}")
    log = CallLog(store, print, keep_days=30, clock=clock)
    app = web(Handlers(settings_of(), live(facts.ALLOW_LIST), log, lines.writer, clock=clock).app())
    for n in range(3000):
        body = of(f"call-{n * 7919 % 3001}", "incoming_call")
        body = body.replace(b"12025550123", numbers[n % 100].encode())
        app.post("/", body, content_type="application/json")
        if n == 1500:
            clock.sleep(10 * 86_400)
    clock.sleep(21 * 86_400)

    def purged() -> bool:
        clock.sleep(1)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (left,) = connection.execute("SELECT count(*) FROM call_event").fetchone()
        return bool(left == 1499)

    assert eventually(purged, 20)
    clock.sleep(30 * 86_400)

    def gone() -> bool:
        clock.sleep(1)
        return not in_the_files(tmp_path, b"1202555")

    assert eventually(gone, 20)
    log.close()
    assert not in_the_files(tmp_path, b"1202555")


@pytest.mark.faults
def test_what_is_purged_between_calls_that_stay_is_nowhere_in_the_file(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rows move from page to page, SQLite leaves copies of them behind."""
    monkeypatch.setattr("call_log.writer._TICK_S", 0.01)
    store = writer.store_of(f"sqlite:///{tmp_path / 'calls.db'}")
    store.open()

    def row(n: int) -> Row:
        is_old = n % 3 > 0
        number = b"12025550142" if is_old else b"12025550123"
        body = b'{"from":"%s"}' % number + b" " * (n * 7919 % 100)
        seen = microseconds(clock().utc)
        if is_old:
            seen -= 40 * 86_400_000_000
        return Row(
            f"call-{n}",
            "x",
            b"%d" % n,
            None,
            None,
            None,
            "{}",
            None,
            seen,
            seen,
            1,
            None,
            None,
            body,
        )

    with store.transaction():
        store.keep([row(n) for n in range(3_000)])
    store.close()
    assert in_the_files(tmp_path, b"12025550142")
    log = CallLog(store, print, keep_days=30, clock=clock)
    clock.sleep(purge.MIN_TRUSTED_S)

    def gone() -> bool:
        clock.sleep(1)
        return not in_the_files(tmp_path, b"12025550142")

    assert eventually(gone, 20)
    log.close()
    assert not in_the_files(tmp_path, b"12025550142")
    assert in_the_files(tmp_path, b"12025550123")


def test_what_a_killed_server_had_purged_is_nowhere_in_the_files_after_a_start(
    tmp_path: Path, clock: Clock
) -> None:
    killed, store = [writer.store_of(f"sqlite:///{tmp_path / 'calls.db'}") for _ in range(2)]
    killed.open()
    body = b'{"from":"12025550142"}'
    row = Row("call", "x", b"1", None, None, None, "{}", None, 1, 1, 1, None, None, body)
    with killed.transaction():
        killed.keep([row])
    killed.purge(["call"])
    assert in_the_files(tmp_path, b"12025550142")
    log = CallLog(store, print, keep_days=30, clock=clock)
    assert not in_the_files(tmp_path, b"12025550142")
    log.close()
    killed.close()
