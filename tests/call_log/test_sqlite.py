"""The SQLite file: its owner alone reads it, and it may be deleted, moved or replaced."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from call_logs import (
    DIAL,
    INCOMING,
    deliver,
    numbered,
)
from helpers import Clock

import events
from call_log.sqlite import SqliteStore
from call_log.store import StoreError, row_of
from call_log.writer import CallLog
from calls import Delivery


def keep(store: SqliteStore, numbers: Iterable[int], clock: Clock) -> None:
    deliveries = [Delivery(events.parse(numbered(n)), numbered(n), clock()) for n in numbers]
    with store.transaction():
        store.keep([row_of(delivery, DIAL) for delivery in deliveries])


def count(path: Path) -> int:
    with database(path) as connection:
        (found,) = connection.execute("SELECT count(*) FROM call_event").fetchone()
    return int(found)


def taken_away(path: Path, clock: Clock, away: Path) -> SqliteStore:
    """Return a store that holds 50 events, of which the file has been renamed."""
    store = SqliteStore(path)
    store.open()
    keep(store, range(50), clock)
    path.rename(away)
    assert store.is_replaced()
    return store


def test_a_file_that_was_moved_is_whole_and_a_new_one_is_created(
    tmp_path: Path, clock: Clock
) -> None:
    path, away = tmp_path / "calls.db", tmp_path / "away.db"
    store = taken_away(path, clock, away)
    assert store.reconnect()
    keep(store, range(50, 60), clock)
    assert not store.reconnect()  # once is enough
    store.close()
    assert (count(away), count(path)) == (50, 10)
    assert modes(tmp_path) == {"away.db": 0o600, "calls.db": 0o600}


def test_two_servers_that_notice_a_moved_file_one_after_the_other_share_the_new_one(
    tmp_path: Path, clock: Clock
) -> None:
    """The second one lets go of the old file when the first one is at work on the new one."""
    path, away = tmp_path / "calls.db", tmp_path / "away.db"
    one = taken_away(path, clock, away)
    one.close()
    away.rename(path)
    one.open()
    other = SqliteStore(path)
    other.open()
    path.rename(away)
    assert one.reconnect()
    keep(one, range(10), clock)
    keep(other, range(100, 105), clock)  # it has not looked yet
    assert other.reconnect()
    keep(other, range(10, 20), clock)
    keep(one, range(20, 30), clock)
    other.close()
    one.close()
    assert (count(away), count(path)) == (55, 30)
    assert sorted(modes(tmp_path)) == ["away.db", "calls.db"]


def test_a_file_that_was_replaced_is_not_read_with_the_side_files_of_the_former_one(
    tmp_path: Path, clock: Clock
) -> None:
    path, backup = tmp_path / "calls.db", tmp_path / "backup.db"
    store = SqliteStore(backup)
    store.open()
    keep(store, range(7), clock)
    store.close()
    store = SqliteStore(path)
    store.open()
    keep(store, range(50), clock)
    backup.replace(path)
    assert store.reconnect()
    assert store.execute("PRAGMA integrity_check") == [("ok",)]
    keep(store, range(50, 53), clock)
    store.close()
    assert count(path) == 10


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print(connection.execute("SELECT count(*) FROM call_event").fetchone()[0], flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path: Path, begin: str = "BEGIN") -> Iterator[None]:
    """Have another process read the file, so that its side files are in use and stay as they are.

    A connection of this process would not do: locks on a file are those of a process.
    """
    command = [sys.executable, "-c", HOLDER, str(path), begin]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert int(holder.stdout.readline()) > 0
        yield
        holder.communicate()


@pytest.mark.parametrize("taken", ["deleted", "replaced"])
@pytest.mark.parametrize("restart", [False, True])
def test_what_another_process_still_holds_of_the_old_file_does_not_mislead(
    tmp_path: Path, clock: Clock, taken: str, restart: bool
) -> None:
    path, backup = tmp_path / "calls.db", tmp_path / "backup.db"
    store = SqliteStore(backup)
    store.open()
    keep(store, range(1000, 1007), clock)
    store.close()
    store = SqliteStore(path)
    store.open()
    keep(store, range(50), clock)
    with held_by_another_process(path):
        keep(store, range(50, 60), clock)
        if taken == "deleted":
            path.unlink()
        else:
            backup.replace(path)
        if restart and taken == "deleted":
            store.close()
            store.open()
        else:
            assert store.reconnect()
        keep(store, range(100, 110), clock)
        assert store.execute("PRAGMA integrity_check") == [("ok",)]
        wanted = 10 if taken == "deleted" else 17
        assert store.execute("SELECT count(*) FROM call_event") == [(wanted,)]
        with held_by_another_process(path):
            keep(store, range(110, 120), clock)
    store.close()
    assert count(path) == wanted + 10


def test_a_file_is_whole_after_a_stop_though_somebody_still_reads_it(
    tmp_path: Path, clock: Clock
) -> None:
    """It may be moved then: what is in its write-ahead log alone would stay behind."""
    path = tmp_path / "calls.db"
    log = CallLog(SqliteStore(path), print, keep_days=3650, clock=clock)
    deliver(log, numbered(0), clock)
    with held_by_another_process(path, begin="SELECT 1"):
        for n in range(1, 9):
            deliver(log, numbered(n), clock)
        log.close()
        shutil.copy(path, tmp_path / "moved.db")
        assert count(tmp_path / "moved.db") == 9


def test_a_file_that_comes_back_is_used_again(tmp_path: Path, clock: Clock) -> None:
    path, away = tmp_path / "calls.db", tmp_path / "away.db"
    store = taken_away(path, clock, away)
    path.write_bytes(b"a letter to the family\n" * 100)
    with pytest.raises(StoreError):
        store.reconnect()
    away.replace(path)
    assert store.reconnect()
    keep(store, range(50, 60), clock)
    store.close()
    assert count(path) == 60


def test_the_target_of_a_link_may_be_deleted(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "calls-of-2026.db"
    target.touch()
    (tmp_path / "calls.db").symlink_to(target)
    store = SqliteStore(tmp_path / "calls.db")
    store.open()
    keep(store, range(20), clock)
    target.unlink()
    assert store.reconnect()
    keep(store, range(20, 30), clock)
    store.close()
    assert count(target) == 10


def test_a_lock_is_waited_for_as_long_as_before_after_erasing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "calls.db")
    store.open()
    with database(tmp_path / "calls.db") as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM call_event")
        assert not store.erase_deleted(rewrite_up_to=2**40)
    assert store.execute("PRAGMA busy_timeout") == [(400,)]
    store.close()


def test_files_that_others_could_read_are_closed_to_them(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "calls.db"
    log = CallLog(SqliteStore(path), print, keep_days=1, clock=clock)
    deliver(log, INCOMING, clock)
    copies = tmp_path / "copies"
    shutil.copytree(tmp_path, copies, ignore=lambda *_: ["copies", "calls.db-shm"])
    log.close()
    for file in copies.iterdir():
        file.chmod(0o644)
    assert modes(copies) == {"calls.db": 0o644, "calls.db-wal": 0o644}
    store = SqliteStore(copies / "calls.db")
    store.open()
    assert modes(copies) == dict.fromkeys(("calls.db", "calls.db-wal", "calls.db-shm"), 0o600)
    store.close()


def modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def not_a_database(path: Path) -> None:
    path.write_bytes(b"a letter to the family\n" * 100)


def of_another_program(path: Path) -> None:
    with database(path) as connection:
        connection.execute("CREATE TABLE letters (text)")


def of_a_newer_version(path: Path) -> None:
    log = CallLog(SqliteStore(path), print, keep_days=1, clock=Clock())
    log.close()
    with database(path) as connection:
        connection.execute("PRAGMA user_version = 3")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (not_a_database, "file is not a database"),
        (of_another_program, "another program's database"),
        (of_a_newer_version, "of version 2 or older, got 3"),
    ],
)
def test_what_is_no_log_of_ours_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "calls.db"
    make(path)
    path.chmod(0o664)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=words):
        CallLog(SqliteStore(path), print, keep_days=1, clock=Clock())
    assert path.read_bytes() == before
    assert modes(tmp_path) == {"calls.db": 0o664}


@pytest.mark.parametrize("write", [True, False], ids=["to write", "to read"])
def test_a_folder_in_place_of_the_file_is_refused_and_left_as_it_is(
    tmp_path: Path, write: bool
) -> None:
    folder = tmp_path / "calls.db"
    folder.mkdir(0o755)
    with pytest.raises(StoreError, match="wanted a file, got a folder or a device"):
        SqliteStore(folder).open(write=write)
    assert modes(tmp_path) == {"calls.db": 0o755}
    assert list(folder.iterdir()) == []


def test_the_file_is_for_its_owner_only_and_alone_when_closed(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "calls.db"
    log = CallLog(SqliteStore(path), print, keep_days=1, clock=clock)
    deliver(log, INCOMING, clock)
    assert set(modes(tmp_path).values()) == {0o600}
    log.close()
    assert [file.name for file in tmp_path.iterdir()] == ["calls.db"]


def test_a_loop_of_links_in_place_of_the_log_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for write in False, True:
        store = SqliteStore(tmp_path / "a")
        with pytest.raises(StoreError, match=r"there is no call log yet|wanted a file"):
            store.open(write=write)
