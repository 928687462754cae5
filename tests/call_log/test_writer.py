"""The call log, in each database: what is answered has been kept, and is decided by that."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import (
    COMPLETED,
    DIAL,
    ID,
    INCOMING,
    Opener,
    Servers,
    at_once,
    forget,
    numbered,
    rows,
    tell,
)
from helpers import START, Clock, eventually, payload, post
from reply_table import CASES, Case

import events
from call_log import sqlite, writer
from call_log.sqlite import SqliteStore
from call_log.store import RefusedError, Row, StoreError, UnusableError, microseconds, row_of
from call_log.writer import CallLog, LogUnavailable
from calls import PURGED, UNKNOWN, CallState, Delivery
from commands import Hangup
from routing import Decision, Reason


def test_what_is_answered_is_kept_whole(opened: Opener, log_url: str, clock: Clock) -> None:
    tell(opened(), INCOMING, clock)
    seen = microseconds(START)
    assert rows(log_url) == [
        Row(
            ID,
            "incoming_call",
            sha256(INCOMING).digest(),
            caller=facts.CALLER,
            dialled=facts.DIALLED,
            status=None,
            reply=json.dumps(DIAL.command.to_wire(), separators=(",", ":")),
            reason=None,
            first_seen=seen,
            last_seen=seen,
            deliveries=1,
            body=INCOMING,
        )
    ]


def test_a_repeated_delivery_is_counted_and_its_first_reply_stays(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened()
    tell(log, INCOMING, clock)
    (first,) = rows(log_url)
    clock.sleep(5)
    assert tell(log, INCOMING, clock, Decision(Hangup(), Reason.REPLAYED)).incoming is not None
    later = microseconds(START + timedelta(seconds=5))
    assert rows(log_url) == [first._replace(last_seen=later, deliveries=2)]


def kept_at_once(url: str, some: list[Row]) -> list[Row]:
    """Return what is kept when a log is given all of these together."""
    store = writer.store_of(url)
    store.open()
    try:
        with store.transaction():
            store.keep(some)
        return store.rows({row.reference_id for row in some})
    finally:
        store.close()


def test_of_events_that_are_kept_at_once_only_true_copies_are_one_row(
    log_url: str, clock: Clock
) -> None:
    one = row_of(Delivery(events.parse(INCOMING), INCOMING, clock()), DIAL)
    different = [
        one,
        one._replace(sha256=sha256(b"another body").digest()),
        one._replace(event="dial_completed"),
        one._replace(reference_id="another call"),
    ]
    later = one.last_seen + 1_000_000
    copies = [row._replace(last_seen=later) for row in different]
    assert kept_at_once(log_url, different + copies) == [
        row._replace(deliveries=2, last_seen=later) for row in different
    ]


def test_of_many_events_that_are_kept_at_once_none_is_lost(log_url: str, clock: Clock) -> None:
    one = row_of(Delivery(events.parse(INCOMING), INCOMING, clock()), DIAL)
    many = [one._replace(reference_id=f"call-{n}") for n in range(450)]
    assert kept_at_once(log_url, many) == many


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row.event}-{'-'.join(row.before)}")
def test_the_reply_table_holds_across_restarts(servers: Servers, row: Case) -> None:
    for name in row.before:
        post(servers.start(**row.settings), payload(name))
    assert post(servers.start(**row.settings), payload(row.event)) == row.answer


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row.event}-{'-'.join(row.before)}")
def test_the_reply_table_holds_with_two_servers_on_one_log(servers: Servers, row: Case) -> None:
    one, other = servers.start(**row.settings), servers.start(**row.settings)
    for name in row.before:
        post(one, payload(name))
        one, other = other, one
    assert post(one, payload(row.event)) == row.answer


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("seconds", "answer"), [(120, facts.DIAL), (121, facts.HANGUP)])
def test_a_repeat_is_answered_as_before_for_two_minutes(
    servers: Servers, clock: Clock, restart: bool, seconds: int, answer: dict[str, Any]
) -> None:
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(seconds)
    assert post(servers.start() if restart else app, INCOMING) == answer


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=365)], ids=["back", "ahead"])
def test_a_clock_that_jumps_changes_nothing_while_the_server_runs(
    servers: Servers, clock: Clock, jump: timedelta
) -> None:
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.utc += jump
    assert post(app, INCOMING) == facts.DIAL
    clock.monotonic_s += 121
    assert post(app, INCOMING) == facts.HANGUP


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=365)], ids=["back", "ahead"])
def test_a_clock_that_jumped_before_a_restart_never_opens_the_window_wider(
    servers: Servers, clock: Clock, jump: timedelta
) -> None:
    assert post(servers.start(), INCOMING) == facts.DIAL
    clock.utc += jump
    assert post(servers.start(), INCOMING) == facts.HANGUP


def test_a_clock_set_back_to_the_very_time_does_not_reopen_the_window(
    servers: Servers, clock: Clock
) -> None:
    """The newest event in the log shows that it was later already."""
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(3600)
    post(app, numbered(2))
    clock.utc = START + timedelta(seconds=30)
    assert post(servers.start(), INCOMING) == facts.HANGUP


def test_a_repeat_after_its_row_was_removed_is_refused(servers: Servers) -> None:
    assert post(servers.start(), INCOMING) == facts.DIAL
    without = facts.ALLOW_LIST.replace(f"{facts.DIALLED},,", "12025550103,,")
    assert post(servers.start(without), INCOMING) == facts.HANGUP
    assert servers.lines.read()[-1]["reason"] == "not_listed"


def test_different_copies_at_two_servers_at_once_get_one_dial(servers: Servers) -> None:
    both = "to,from,destination,caller_id_number\n" + "".join(
        f"{facts.DIALLED},1202555012{n},1202555013{n},{facts.MASKING_ID}\n" for n in range(6)
    )
    apps = [servers.start(both), servers.start(both)]
    for call in range(10):
        bodies = [
            numbered(call).replace(facts.CALLER.encode(), f"1202555012{n}".encode())
            for n in range(6)
        ]
        answers: list[Any] = []

        def deliver(app: Any, body: bytes, answers: list[Any] = answers) -> None:
            answers.append(post(app, body))

        at_once([partial(deliver, *each) for each in zip(apps * 3, bodies, strict=True)])
        dialled = [answer for answer in answers if answer["method"] == "dial"]
        assert len(dialled) == 1, dialled


def test_fifty_copies_at_once_are_one_row(opened: Opener, log_url: str, clock: Clock) -> None:
    log = opened()
    at_once([lambda: tell(log, COMPLETED, clock)] * 50)
    (row,) = rows(log_url)
    assert row.deliveries == 50


def test_an_unforeseen_error_is_that_of_one_event_alone(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    def broken(_: CallState) -> Decision:
        raise KeyError

    log = opened()
    with pytest.raises(KeyError):
        log.answer(Delivery(events.parse(INCOMING), INCOMING, clock()), broken)
    assert tell(log, COMPLETED, clock) is UNKNOWN
    assert [row.event for row in rows(log_url)] == ["call_completed"]
    assert log.health()["call_log"] == "ok"


def test_closing_keeps_what_waits(opened: Opener, log_url: str, clock: Clock) -> None:
    log = opened()
    threads = [
        threading.Thread(target=tell, args=(log, numbered(n), clock), daemon=True)
        for n in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert all(rows(log_url, f"call-{n}") for n in range(40))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return work(), time.monotonic() - started


def test_while_the_log_fails_calls_in_progress_go_on(
    opened: Opener, trouble: Any, log_url: str, clock: Clock, told: list[str]
) -> None:
    log = opened(store=trouble)
    tell(log, INCOMING, clock)
    trouble.fails = True
    known, seconds = timed(lambda: tell(log, payload("dial_completed_busy"), clock))
    assert known.incoming is not None
    assert seconds < 0.7
    assert tell(log, payload("speak_completed"), clock).dial_failed
    with pytest.raises(LogUnavailable):
        tell(log, COMPLETED, clock)
    with pytest.raises(LogUnavailable):
        tell(log, payload("unknown_event"), clock)
    assert log.health() == {
        "call_log": "failing",
        "waiting_events": 4,
        "answered_unkept": 2,
        "dropped_events": 0,
    }
    trouble.fails = False
    assert eventually(lambda: log.health()["call_log"] == "ok", 1)
    assert [row.event for row in rows(log_url)] == [
        "incoming_call",
        "dial_completed",
        "speak_completed",
        "call_completed",
        "call_transferred",
    ]
    assert told == [
        "the call log fails, events wait to be kept: no database",
        "the call log is well again, everything that waited is kept",
    ]


@pytest.mark.faults
def test_a_slow_log_is_waited_for_once(
    opened: Opener, trouble: Any, log_url: str, clock: Clock, told: list[str]
) -> None:
    log = opened(store=trouble)
    trouble.takes_s = 1.5
    assert 0.5 <= timed(lambda: tell(log, numbered(1), clock))[1] < 0.7
    assert timed(lambda: tell(log, numbered(2), clock))[1] < 0.1
    trouble.takes_s = 0
    assert eventually(lambda: log.health()["call_log"] == "ok", 3)
    assert all(len(rows(log_url, f"call-{n}")) == 1 for n in (1, 2))
    assert "takes longer than 500 ms" in told[0]


def test_a_replay_is_known_while_the_log_fails(opened: Opener, trouble: Any, clock: Clock) -> None:
    log = opened(store=trouble)
    trouble.fails = True
    assert tell(log, INCOMING, clock) is UNKNOWN
    assert tell(log, INCOMING, clock).incoming is not None


def test_a_decision_that_was_told_is_the_one_that_is_kept(
    opened: Opener, trouble: Any, log_url: str, clock: Clock
) -> None:
    log = opened(store=trouble)
    trouble.fails = True
    decisions = [DIAL, Decision(Hangup(), Reason.NOT_LISTED)]
    delivery = Delivery(events.parse(INCOMING), INCOMING, clock())
    assert log.answer(delivery, lambda _: decisions.pop(0))[1] == DIAL
    trouble.fails = False
    assert eventually(lambda: log.health()["call_log"] == "ok")
    (row,) = rows(log_url)
    assert row.wire == DIAL.command.to_wire()


def test_a_commit_in_doubt_is_repeated_and_counted_once(
    opened: Opener, trouble: Any, log_url: str, clock: Clock, told: list[str]
) -> None:
    log = opened(store=trouble)
    trouble.loses_the_answer = True
    tell(log, INCOMING, clock)
    (row,) = rows(log_url)
    assert row.deliveries == 1
    assert told == []


@pytest.mark.faults
def test_copies_at_a_slow_log_never_get_two_dials(
    opened: Opener, trouble: Any, clock: Clock
) -> None:
    """One decided by the writer and not kept yet, one that cannot wait: they know of each other."""
    other = INCOMING.replace(facts.CALLER.encode(), facts.STRANGER.encode())
    knew: list[CallState] = []
    log = opened(store=trouble)
    trouble.commits_after_s = 1.5

    def deliver(body: bytes, after_s: float) -> None:
        time.sleep(after_s)
        knew.append(tell(log, body, clock))

    at_once([partial(deliver, *each) for each in ((INCOMING, 0), (other, 0.2), (other, 0.7))])
    assert sorted(known.incoming is None for known in knew) == [False, False, True]


@pytest.mark.faults
def test_a_load_that_the_log_can_bear_does_not_keep_it_failing(
    opened: Opener, trouble: Any, clock: Clock
) -> None:
    log = opened(store=trouble)
    trouble.takes_s = 0.8
    tell(log, numbered(0), clock)
    trouble.takes_s = 0.1
    ending = threading.Event()

    def call() -> None:
        while not ending.wait(0.005):
            tell(log, payload("dial_completed_answered"), clock)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: log.health()["call_log"] == "ok", 2)
    ending.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("error", [RefusedError("of another form"), KeyError("a number")])
def test_an_event_that_is_refused_lets_the_others_pass(
    opened: Opener, trouble: Any, log_url: str, clock: Clock, told: list[str], error: Exception
) -> None:
    log = opened(store=trouble)
    trouble.refuses, trouble.takes_s = (b"call-3", error), 0.02
    at_once([lambda n=n: tell(log, numbered(n), clock) for n in range(6)])  # type: ignore[misc]

    def kept() -> list[int]:
        return [n for n in range(6) if rows(log_url, f"call-{n}")]

    assert eventually(lambda: kept() == [0, 1, 2, 4, 5])
    assert log.health()["dropped_events"] == 1
    assert [line for line in told if "not kept" in line] == [
        f"an event is not kept: {error if isinstance(error, StoreError) else 'KeyError'}"
    ]


def test_a_call_that_was_forgotten_leaves_nothing_when_it_goes_on(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened()
    tell(log, INCOMING, clock)
    forget(log_url, ID)
    assert tell(log, COMPLETED, clock) is PURGED
    assert tell(log, INCOMING, clock) is PURGED
    for row in rows(log_url):
        assert (row.caller, row.dialled, row.body) == (None, None, b"")
        assert row.reply == '{"method":"dial"}'
    assert [row.event for row in rows(log_url)] == ["call_completed", "incoming_call"]


def test_a_call_that_is_forgotten_while_the_log_fails_leaves_nothing(
    opened: Opener, trouble: Any, log_url: str, clock: Clock
) -> None:
    """A repeat is answered as before by what is in memory, and kept when the call is gone."""
    log = opened(store=trouble)
    tell(log, INCOMING, clock)
    trouble.fails = True
    assert tell(log, INCOMING, clock).incoming is not None
    tell(log, payload("dial_completed_answered"), clock)
    forget(log_url, ID)
    trouble.fails = False
    assert eventually(lambda: log.health()["call_log"] == "ok")
    seen = microseconds(clock.utc)
    assert [row[:1] + row[3:] for row in rows(log_url)] == [
        (ID, None, None, None, '{"method":"dial"}', None, seen, seen, 1, b"")
    ] * 2
    assert log._memory.story(ID) is PURGED
    assert tell(log, COMPLETED, clock) is PURGED
    trouble.fails = True
    assert tell(log, INCOMING, clock) is PURGED  # nor is anything left in memory


def keep(store: SqliteStore, numbers: Iterable[int], clock: Clock) -> None:
    deliveries = [Delivery(events.parse(numbered(n)), numbered(n), clock()) for n in numbers]
    with store.transaction():
        store.keep([row_of(each, DIAL) for each in deliveries])


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
    assert store.file_replaced()
    return store


def test_a_file_that_was_taken_away_is_whole_and_a_new_one_is_begun(
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


def test_two_servers_miss_a_file_one_after_the_other_and_share_the_new_one(
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
    assert store._execute("PRAGMA integrity_check") == [("ok",)]
    keep(store, range(50, 53), clock)
    store.close()
    assert count(path) == 10


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM call_event").fetchone()[0], flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    """Have another process read the file, so that its side files are in use and stay as they are.

    A connection of this process would not do: locks on a file are those of a process.
    """
    command = [sys.executable, "-c", HOLDER, str(path)]
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
        assert store._execute("PRAGMA integrity_check") == [("ok",)]
        wanted = 10 if taken == "deleted" else 17
        assert store._execute("SELECT count(*) FROM call_event") == [(wanted,)]
        with held_by_another_process(path):
            keep(store, range(110, 120), clock)
    store.close()
    assert count(path) == wanted + 10


def test_side_files_that_another_server_has_just_made_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so between our look and our unlinking; then ours are gone already."""
    path = tmp_path / "calls.db-wal"
    path.write_text("the new one's")
    looks = iter([(1, 1), sqlite._identity(path)])
    monkeypatch.setattr(sqlite, "_identity", lambda _: next(looks))
    sqlite._unlink({path: (1, 1)})
    assert path.read_text() == "the new one's"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_comes_back_is_used_again(tmp_path: Path, clock: Clock) -> None:
    path, away = tmp_path / "calls.db", tmp_path / "away.db"
    store = taken_away(path, clock, away)
    path.write_bytes(b"a letter to the family\n" * 100)
    with pytest.raises(UnusableError):
        store.reconnect()
    away.replace(path)
    assert store.reconnect()
    keep(store, range(50, 60), clock)
    store.close()
    assert count(path) == 60


def test_the_target_of_a_link_may_be_taken_away(tmp_path: Path, clock: Clock) -> None:
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


def test_a_lock_is_waited_for_as_long_as_before_after_scrubbing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "calls.db")
    store.open()
    with database(tmp_path / "calls.db") as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM call_event")
        assert not store.erase_deleted(rewrite_up_to=2**40)
    assert store._execute("PRAGMA busy_timeout") == [(400,)]
    store.close()


def test_files_that_others_could_read_are_closed_to_them(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "calls.db"
    log = CallLog(SqliteStore(path), print, keep_days=1, clock=clock)
    tell(log, INCOMING, clock)
    copies = tmp_path / "copies"
    shutil.copytree(tmp_path, copies, ignore=lambda *_: ["copies", "calls.db-shm"])
    log.close()
    for each in copies.iterdir():
        each.chmod(0o644)
    assert modes(copies) == {"calls.db": 0o644, "calls.db-wal": 0o644}
    store = SqliteStore(copies / "calls.db")
    store.open()
    assert modes(copies) == dict.fromkeys(("calls.db", "calls.db-wal", "calls.db-shm"), 0o600)
    store.close()


def modes(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


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
        connection.execute("PRAGMA user_version = 2")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (not_a_database, "file is not a database"),
        (of_another_program, "another program's database"),
        (of_a_newer_version, "of version 1 or older, got 2"),
    ],
)
def test_what_is_no_log_of_ours_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "calls.db"
    make(path)
    path.chmod(0o664)
    before = path.read_bytes()
    with pytest.raises(UnusableError, match=words):
        CallLog(SqliteStore(path), print, keep_days=1, clock=Clock())
    assert path.read_bytes() == before
    assert modes(tmp_path) == {"calls.db": 0o664}


@pytest.mark.parametrize("write", [True, False], ids=["to write", "to read"])
def test_a_folder_in_place_of_the_file_is_refused_and_left_as_it_is(
    tmp_path: Path, write: bool
) -> None:
    folder = tmp_path / "calls.db"
    folder.mkdir(0o755)
    with pytest.raises(UnusableError, match="wanted a file, got a folder or a device"):
        SqliteStore(folder).open(write=write)
    assert modes(tmp_path) == {"calls.db": 0o755}
    assert list(folder.iterdir()) == []


def test_the_file_is_for_its_owner_only_and_alone_when_closed(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "calls.db"
    log = CallLog(SqliteStore(path), print, keep_days=1, clock=clock)
    tell(log, INCOMING, clock)
    assert set(modes(tmp_path).values()) == {0o600}
    log.close()
    assert [each.name for each in tmp_path.iterdir()] == ["calls.db"]


def test_without_the_driver_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "call_log.postgresql", raising=False)
    with pytest.raises(StoreError, match=r"install requirements-postgresql\.txt"):
        writer.store_of("postgresql://db.example/calls")


def test_health_changes_nothing_and_a_log_that_hangs_is_cut_off_all_the_same(
    opened: Opener, trouble: Any, clock: Clock
) -> None:
    log = opened(store=trouble)
    trouble.takes_s = 2.0
    tell(log, INCOMING, clock)
    for _ in range(20):
        log.health()
    assert trouble.hurried == 0
    assert eventually(lambda: trouble.hurried > 0, 1.5)


def test_many_servers_may_start_at_once(log_url: str, clock: Clock) -> None:
    logs: list[CallLog] = []

    def start() -> None:
        store = writer.store_of(log_url)
        logs.append(CallLog(store, print, keep_days=1, clock=clock))

    at_once([start] * 8)
    assert len(logs) == 8
    for log in logs:
        log.close()
