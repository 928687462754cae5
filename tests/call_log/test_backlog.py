"""The backlog while the log fails: each delivery once, within bounds, and not lost by a stop."""

import base64
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
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
    FaultyStore,
    Opener,
    at_once,
    deliver,
    forget,
    numbered,
    rows,
)
from helpers import Clock, eventually
from hypothesis import given
from hypothesis import strategies as st

import events
from call_log import backlog, writer
from call_log.backlog import Backlog, PendingRow
from call_log.store import Row, Store, StoreError, anonymised, microseconds, row_of
from call_log.writer import CallLog
from calls import PURGED, Delivery, LogUnavailable
from cli import main

NOW = Clock()()


def row(call: str = ID, body: bytes = INCOMING, **values: Any) -> Row:
    kept = row_of(Delivery(events.parse(INCOMING), body, NOW), DIAL)
    return kept._replace(reference_id=call, **values)


def has_recovered(log: CallLog) -> Callable[[], bool]:
    return lambda: log.health()["call_log"] == "ok"


def unkept_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".unkept-" in path.name]


def test_repeats_take_one_place_and_push_nothing_out(
    opened: Opener,
    faulty: FaultyStore,
    log_url: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "MAX_BYTES", 100_000)
    log = opened(store=faulty)
    faulty.fails = True
    for n in range(20):
        deliver(log, numbered(n), clock)
        for _ in range(50):
            deliver(log, numbered(0), clock)
    assert log.health()["waiting_events"] == 20
    assert log.health()["dropped_events"] == 0
    faulty.fails = False
    assert eventually(has_recovered(log))
    counts = [kept.deliveries for n in range(20) for kept in rows(log_url, f"call-{n}")]
    assert counts == [1001, *[1] * 19]


def test_what_finds_no_room_is_answered_and_counted_and_pushes_nothing_out(
    opened: Opener,
    faulty: FaultyStore,
    log_url: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The room is bytes: an event of 60 kB takes that of 40 ordinary ones."""
    monkeypatch.setattr(backlog, "MAX_BYTES", 200_000)
    log = opened(store=faulty)
    faulty.fails = True
    deliver(log, numbered(0), clock)
    for n in range(1, 9):
        long = numbered(n).replace(b'"data":', b'"more": "%s", "data":' % (b"x" * 60_000), 1)
        assert len(long) > 60_000
        deliver(log, long, clock)
    deliver(log, numbered(9), clock)  # of which there is room
    assert log.health()["waiting_events"] == 5
    assert log.health()["dropped_events"] == 5
    faulty.fails = False
    assert eventually(has_recovered(log))
    kept = [n for n in range(10) if rows(log_url, f"call-{n}")]
    assert kept == [0, 1, 2, 3, 9]
    assert deliver(log, numbered(8), clock).incoming is not None  # it is known all the same


def test_what_is_kept_leaves_its_room_to_others() -> None:
    line = Backlog(10_000)
    for _ in range(5):
        some = [PendingRow(row(f"call-{n}", body=b"x" * 3_000)) for n in range(3)]
        assert [line.add(each) for each in some] == [True, True, False]
        backlog.rows_to_keep(line.oldest(), [], set())
        line.remove_kept(line.oldest())
        assert len(line) == 0


class Table:
    """A log that keeps rows as the databases do."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, bytes], Row] = {}

    def keep(self, some: list[Row]) -> None:
        for each in some:
            key = (each.reference_id, each.event, each.sha256)
            if there := self.rows.get(key):
                count = there.deliveries + each.deliveries
                self.rows[key] = there._replace(deliveries=count, last_seen=each.last_seen)
            else:
                self.rows[key] = each


@given(
    st.lists(
        st.one_of(
            st.sampled_from("abc"),
            st.tuples(st.sampled_from(["kept", "not kept", "in doubt"]), st.booleans()),
        ),
        max_size=40,
    )
)
def test_deliveries_are_counted_once_whatever_becomes_of_their_commits(steps: list[Any]) -> None:
    """In doubt: the commit is done and its answer lost. More may come while one is tried."""
    line, table, came, time = Backlog(10**6), Table(), Counter[str](), 0
    for step in [*steps, ("kept", False)]:
        if isinstance(step, str):
            came[step] += 1
            time += 1
            line.add(PendingRow(row(step, first_seen=time, last_seen=time)))
            continue
        outcome, comes_meanwhile = step
        some = line.oldest()
        written = backlog.rows_to_keep(some, table.rows.values(), set())
        if outcome != "not kept":
            table.keep(written)
        if comes_meanwhile:
            came["a"] += 1
            time += 1
            line.add(PendingRow(row("a", first_seen=time, last_seen=time)))
        if outcome == "kept":
            line.remove_kept(some)
    table.keep(backlog.rows_to_keep(line.oldest(), table.rows.values(), set()))
    assert {call: kept.deliveries for (call, *_), kept in table.rows.items()} == came


def test_an_orderly_stop_while_the_log_fails_loses_nothing(
    opened: Opener,
    faulty: FaultyStore,
    log_url: str,
    clock: Clock,
    notices: list[str],
    tmp_path: Path,
) -> None:
    log = opened(store=faulty)
    deliver(log, numbered(0), clock)
    faulty.fails = True
    for n in range(20):
        clock.sleep(1)
        deliver(log, numbered(n), clock)
        deliver(log, numbered(n), clock)
    with pytest.raises(LogUnavailable):
        deliver(log, COMPLETED, clock)
    assert log.close() == 0
    (path,) = unkept_files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert notices[-1] == f"events saved for the next start: 21, in {path}"
    assert log.close() == 0  # a second time is as good as once
    again = opened()
    assert notices[-1] == "events that a server saved when it stopped, now in the call log: 21"
    assert unkept_files(tmp_path) == []
    assert [rows(log_url, f"call-{n}")[0].deliveries for n in range(20)] == [3, *[2] * 19]
    body = numbered(7)
    seen = microseconds(clock.utc) - 12_000_000
    assert rows(log_url, "call-7") == [
        row("call-7", body, sha256=sha256(body).digest(), deliveries=2)._replace(
            first_seen=seen, last_seen=seen
        )
    ]
    assert deliver(again, numbered(7), clock).incoming is not None
    assert len(rows(log_url)) == 1


def test_of_a_purged_call_nothing_is_written(
    opened: Opener, faulty: FaultyStore, log_url: str, clock: Clock, tmp_path: Path
) -> None:
    log = opened(store=faulty)
    deliver(log, INCOMING, clock)
    forget(log_url, ID)
    deliver(log, COMPLETED, clock)  # with this it is noticed
    faulty.fails = True
    deliver(log, INCOMING, clock)
    log.close()
    (path,) = unkept_files(tmp_path)
    (unkept,), _ = backlog._parsed(path.read_bytes())
    assert unkept.row == anonymised(row(sha256=sha256(INCOMING).digest()))


def test_what_can_be_written_nowhere_is_counted_and_reported(
    opened: Opener, faulty: FaultyStore, clock: Clock, notices: list[str], monkeypatch: Any
) -> None:
    log = opened(store=faulty)
    faulty.fails = True
    for n in range(20):
        deliver(log, numbered(n), clock)
    monkeypatch.setattr("os.fsync", full)
    assert log.close() == 20
    assert notices[-1] == (
        "events LOST: 20; neither the call log nor a file next to it could be written"
        " (No space left on device)"
    )


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def stopped(opened: Opener, log_url: str) -> Path:
    """The file of a server that stopped while its log failed: 450 events, of which 3 came twice."""
    opened().close()
    some = [PendingRow(row(f"call-{n}", deliveries=2 if n < 3 else 1)) for n in range(450)]
    store = writer.store_of(log_url)
    return backlog.write(store.spill_prefix, some)


def counted(url: str) -> Counter[int]:
    store = writer.store_of(url)
    store.open(write=False)
    found = store._execute("SELECT reference_id, deliveries FROM call_event")
    store.close()
    assert len(found) == len(set(found))
    return Counter(count for _, count in found)


ALL = Counter({1: 447, 2: 3})


class Ended(BaseException):
    """The process is ended here."""


def ended(*_: object, **__: object) -> None:
    raise Ended


@pytest.mark.parametrize("place", ["unlink", "keep"])
@pytest.mark.parametrize("portions", [0, 1, 2])
def test_a_server_that_is_killed_while_it_imports_a_file_counts_nothing_twice(
    stopped: Path,
    opened: Opener,
    log_url: str,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    portions: int,
) -> None:
    store: Any = writer.store_of(log_url)
    with monkeypatch.context() as patched:
        if place == "keep":
            keep, calls = store.keep, iter([*[False] * portions, True])
            patched.setattr(store, "keep", lambda some: ended() if next(calls) else keep(some))
        else:
            patched.setattr(Path, "unlink", ended)
        with pytest.raises(Ended):
            opened(store=store)
        store.close()
    opened()
    assert counted(log_url) == ALL
    assert not stopped.exists()


def test_servers_that_import_a_file_at_once_keep_it_once(stopped: Path, log_url: str) -> None:
    stores = [writer.store_of(log_url) for _ in range(4)]
    notices: list[str] = []

    def import_file(store: Store) -> None:
        for _ in range(100):  # who has to wait for the others for too long begins anew
            with suppress(StoreError):
                backlog.import_spilled(store, notices.append)
                return

    for store in stores:
        store.open()
    at_once([partial(import_file, store) for store in stores])
    for store in stores:
        store.close()
    assert counted(log_url) == ALL
    assert not stopped.exists()
    assert sum(int(line.rpartition(" ")[2]) for line in notices) <= 450


BAD = [
    b"\xff\xfe\n",
    b"[]\n",
    b"{}\n",
    b'{"reference_id":"x"}\n',
    b"[" * 100_000 + b"\n",
    b"a letter to the family\n",
]


def changed(**values: object) -> bytes:
    """Return a line of a file in which something is not what it has to be."""
    line = json.loads(backlog._line(PendingRow(row("odd"))))
    return json.dumps(line | values).encode() + b"\n"


ODD = [
    changed(caller=["1"]),
    changed(caller="a friend"),
    changed(deliveries="3"),
    changed(first_seen=2**70),
    changed(reply="no json"),
    changed(reply="[]"),
    changed(sha256="x"),
    changed(body="?"),
    changed(event="\ud800"),
    changed(tried=None),
    changed(more=1),
]


@pytest.mark.parametrize("bad", [BAD, ODD], ids=["no events", "odd events"])
def test_lines_that_cannot_be_imported_are_set_aside_and_reported_and_the_others_kept(
    stopped: Path, opened: Opener, log_url: str, notices: list[str], bad: list[bytes]
) -> None:
    lines = stopped.read_bytes().splitlines(keepends=True)
    for place, each in enumerate(bad):
        lines.insert(place * 40, each)
    torn = lines.pop()[:-40]  # as of a server that was ended while it wrote
    stopped.write_bytes(b"".join(lines) + torn)
    log = opened()
    assert log.health()["call_log"] == "ok"
    aside = stopped.with_name(f"{stopped.name}.unreadable")
    left = aside.read_bytes().splitlines(keepends=True)
    assert sorted(map(ended_line, left)) == sorted(map(ended_line, [*bad, torn]))
    assert aside.stat().st_mode & 0o777 == 0o600
    assert counted(log_url) == Counter({1: 446, 2: 3})
    assert notices == [
        f"{aside}: wanted saved events, got lines that are none: {len(bad) + 1}; inspect them",
        "events that a server saved when it stopped, now in the call log: 449",
    ]
    notices.clear()
    opened()
    assert notices == []
    assert not stopped.exists()


def ended_line(line: bytes) -> str:
    """Return a line as it can be compared: what was parsed is written anew."""
    try:
        return json.dumps(json.loads(line), sort_keys=True)
    except (ValueError, RecursionError):
        return line.strip().decode("latin1")


def test_a_file_that_cannot_be_read_stays_where_it_is_and_is_reported(
    stopped: Path, opened: Opener, notices: list[str]
) -> None:
    content = stopped.read_bytes()
    stopped.unlink()
    stopped.mkdir()
    opened()
    (line,) = notices
    assert line.startswith(f"{stopped}: wanted a file of saved events, got ")
    stopped.rmdir()
    stopped.write_bytes(content)


def test_a_call_that_was_purged_leaves_nothing_when_it_comes_from_a_file(
    stopped: Path, opened: Opener, log_url: str, clock: Clock
) -> None:
    forget(log_url, "call-5")
    log = opened()
    (kept,) = rows(log_url, "call-5")
    assert kept == anonymised(row("call-5"))
    assert deliver(log, numbered(5), clock) is PURGED
    assert not stopped.exists()


def test_what_is_forgotten_is_not_left_in_a_file(
    stopped: Path,
    log_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASKING_CALL_LOG", log_url)
    assert main.main(["forget", facts.CALLER]) == 0
    out, err = capsys.readouterr()
    assert out == "deleted 450 calls with ...0123\n"
    assert err == "forget: events that a server saved when it stopped, now in the call log: 450\n"
    assert not stopped.exists()
    assert counted(log_url) == Counter()


def test_files_of_other_logs_are_left_alone(
    opened: Opener, log_url: str, tmp_path: Path, notices: list[str]
) -> None:
    name = backlog.write(tmp_path / "other.db", [PendingRow(row())]).name
    other = name.removeprefix("other.db")
    begin = writer.store_of(log_url).spill_prefix.name
    for each in (f"more-{begin}{other}", f"{begin}{other}.unreadable", f"{begin}.unkept-1"):
        (tmp_path / each).write_bytes(b"a letter to the family\n")
    before = unkept_files(tmp_path)
    opened()
    assert unkept_files(tmp_path) == before
    assert notices == []


def test_a_body_is_kept_byte_for_byte() -> None:
    body = random.Random(1).randbytes(1_000)
    line = backlog._line(PendingRow(row(body=body), tried=1, tried_seen=2))
    (found,), bad = backlog._parsed(line)
    assert (found.row, found.tried, found.tried_seen, bad) == (row(body=body), 1, 2, [])
    assert base64.b64encode(body) in line


def test_a_file_that_is_imported_twice_is_counted_once_whatever_was_tried_before(
    opened: Opener, log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of three deliveries was kept by a commit in doubt; the file outlives one import."""
    opened().close()
    store = writer.store_of(log_url)
    store.open()
    with store.transaction():
        store.keep([row(first_seen=1, last_seen=1)])
    left = row(first_seen=1, last_seen=3, deliveries=3)
    path = backlog.write(store.spill_prefix, [PendingRow(left, tried=1, tried_seen=1)])
    notices: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", ended)
        with pytest.raises(Ended):
            backlog.import_spilled(store, notices.append)
    backlog.import_spilled(store, notices.append)
    (kept,) = store.rows([ID])
    store.close()
    assert (kept.deliveries, kept.last_seen) == (3, 3)
    assert not path.exists()
    assert notices == []  # the import that was cut short had kept everything
