"""What waits while the log fails: each delivery once, within bounds, and not lost by a stop."""

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
    Opener,
    Trouble,
    at_once,
    forget,
    numbered,
    rows,
    tell,
)
from helpers import Clock, eventually, settings_of
from hypothesis import given
from hypothesis import strategies as st

import events
from call_log import waiting, writer
from call_log.store import Row, Store, StoreError, emptied, microseconds, row_of
from call_log.waiting import Unkept, Waiting
from call_log.writer import CallLog, LogUnavailable
from calls import PURGED, Delivery
from cli import calls as calls_command

NOW = Clock()()


def row(call: str = ID, body: bytes = INCOMING, **values: Any) -> Row:
    kept = row_of(Delivery(events.parse(INCOMING), body, NOW), DIAL)
    return kept._replace(reference_id=call, **values)


def well(log: CallLog) -> Callable[[], bool]:
    return lambda: log.health()["call_log"] == "ok"


def unkept_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".unkept-" in path.name]


def test_repeats_wait_once_and_push_nobody_out(
    opened: Opener,
    trouble: Trouble,
    log_url: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "MAX_BYTES", 100_000)
    log = opened(store=trouble)
    trouble.fails = True
    for n in range(20):
        tell(log, numbered(n), clock)
        for _ in range(50):
            tell(log, numbered(0), clock)
    assert log.health()["waiting_events"] == 20
    assert log.health()["dropped_events"] == 0
    trouble.fails = False
    assert eventually(well(log))
    counts = [kept.deliveries for n in range(20) for kept in rows(log_url, f"call-{n}")]
    assert counts == [1001, *[1] * 19]


def test_what_finds_no_room_is_answered_and_counted_and_pushes_nobody_out(
    opened: Opener,
    trouble: Trouble,
    log_url: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The room is bytes: an event of 60 kB takes that of 40 ordinary ones."""
    monkeypatch.setattr(waiting, "MAX_BYTES", 200_000)
    log = opened(store=trouble)
    trouble.fails = True
    tell(log, numbered(0), clock)
    for n in range(1, 9):
        long = numbered(n).replace(b'"data":', b'"more": "%s", "data":' % (b"x" * 60_000), 1)
        assert len(long) > 60_000
        tell(log, long, clock)
    tell(log, numbered(9), clock)  # of which there is room
    assert log.health()["waiting_events"] == 5
    assert log.health()["dropped_events"] == 5
    trouble.fails = False
    assert eventually(well(log))
    kept = [n for n in range(10) if rows(log_url, f"call-{n}")]
    assert kept == [0, 1, 2, 3, 9]
    assert tell(log, numbered(8), clock).incoming is not None  # it is known all the same


def test_room_that_is_left_is_room_again() -> None:
    line = Waiting(10_000)
    for _ in range(5):
        some = [Unkept(row(f"call-{n}", body=b"x" * 3_000)) for n in range(3)]
        assert [line.add(each) for each in some] == [True, True, False]
        waiting.rows_to_keep(line.first(), [], set())
        line.kept(line.first())
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
    line, table, came, time = Waiting(10**6), Table(), Counter[str](), 0
    for step in [*steps, ("kept", False)]:
        if isinstance(step, str):
            came[step] += 1
            time += 1
            line.add(Unkept(row(step, first_seen=time, last_seen=time)))
            continue
        outcome, comes_meanwhile = step
        some = line.first()
        written = waiting.rows_to_keep(some, table.rows.values(), set())
        if outcome != "not kept":
            table.keep(written)
        if comes_meanwhile:
            came["a"] += 1
            time += 1
            line.add(Unkept(row("a", first_seen=time, last_seen=time)))
        if outcome == "kept":
            line.kept(some)
    table.keep(waiting.rows_to_keep(line.first(), table.rows.values(), set()))
    assert {call: kept.deliveries for (call, *_), kept in table.rows.items()} == came


def test_an_orderly_stop_while_the_log_fails_loses_nothing(
    opened: Opener, trouble: Trouble, log_url: str, clock: Clock, told: list[str], tmp_path: Path
) -> None:
    log = opened(store=trouble)
    tell(log, numbered(0), clock)
    trouble.fails = True
    for n in range(20):
        clock.sleep(1)
        tell(log, numbered(n), clock)
        tell(log, numbered(n), clock)
    with pytest.raises(LogUnavailable):
        tell(log, COMPLETED, clock)
    assert log.close() == 0
    (path,) = unkept_files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert told[-1] == f"21 event(s) wait in {path}, and are kept at the next start"
    assert log.close() == 0  # a second time is as good as once
    again = opened()
    assert told[-1] == "21 event(s) that waited when a server stopped are kept now"
    assert unkept_files(tmp_path) == []
    assert [rows(log_url, f"call-{n}")[0].deliveries for n in range(20)] == [3, *[2] * 19]
    body = numbered(7)
    seen = microseconds(clock.utc) - 12_000_000
    assert rows(log_url, "call-7") == [
        row("call-7", body, sha256=sha256(body).digest(), deliveries=2)._replace(
            first_seen=seen, last_seen=seen
        )
    ]
    assert tell(again, numbered(7), clock).incoming is not None
    assert len(rows(log_url)) == 1
    store = writer.store_of(log_url)
    store.open()
    assert list(store.fingerprints()) == []  # the marks are gone too
    store.close()


def test_of_a_purged_call_nothing_is_written(
    opened: Opener, trouble: Trouble, log_url: str, clock: Clock, tmp_path: Path
) -> None:
    log = opened(store=trouble)
    tell(log, INCOMING, clock)
    forget(log_url, ID)
    tell(log, COMPLETED, clock)  # with this it is noticed
    trouble.fails = True
    tell(log, INCOMING, clock)
    log.close()
    (path,) = unkept_files(tmp_path)
    (unkept,), _ = waiting._parsed(path.read_bytes())
    assert unkept.row == emptied(row(sha256=sha256(INCOMING).digest()))


def test_what_can_be_written_nowhere_is_counted_and_told(
    opened: Opener, trouble: Trouble, clock: Clock, told: list[str], monkeypatch: Any
) -> None:
    log = opened(store=trouble)
    trouble.fails = True
    for n in range(20):
        tell(log, numbered(n), clock)
    monkeypatch.setattr("os.fsync", full)
    assert log.close() == 20
    assert told[-1] == (
        "20 event(s) are LOST: they could neither be kept in the call log, nor written beside it"
        " (No space left on device)"
    )


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def stopped(opened: Opener, log_url: str) -> Path:
    """The file of a server that stopped while its log failed: 450 events, of which 3 came twice."""
    opened().close()
    some = [Unkept(row(f"call-{n}", deliveries=2 if n < 3 else 1)) for n in range(450)]
    store = writer.store_of(log_url)
    return waiting.write(waiting.beside(store), some)


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


@pytest.mark.parametrize("place", ["unlink", "unmark", "keep"])
@pytest.mark.parametrize("portions", [0, 1, 2])
def test_a_server_that_is_ended_while_it_takes_a_file_in_doubles_nothing(
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
        elif place == "unlink":
            patched.setattr(Path, "unlink", ended)
        else:
            patched.setattr(store, "unmark", ended)
        with pytest.raises(Ended):
            opened(store=store)
        store.close()
    opened()
    assert counted(log_url) == ALL
    assert not stopped.exists()


def test_servers_that_take_in_a_file_at_once_keep_it_once(stopped: Path, log_url: str) -> None:
    stores = [writer.store_of(log_url) for _ in range(4)]
    told: list[str] = []

    def take_in(store: Store) -> None:
        for _ in range(100):  # who has to wait for the others for too long begins anew
            with suppress(StoreError):
                waiting.take_in(store, told.append)
                return

    for store in stores:
        store.open()
    at_once([partial(take_in, store) for store in stores])
    for store in stores:
        store.close()
    assert counted(log_url) == ALL
    assert not stopped.exists()
    assert sum(int(line.partition(" ")[0]) for line in told) <= 450


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
    line = json.loads(waiting._line(Unkept(row("odd"))))
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
def test_lines_that_cannot_be_kept_are_put_aside_and_told_and_the_others_kept(
    stopped: Path, opened: Opener, log_url: str, told: list[str], bad: list[bytes]
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
    assert told == [
        f"{aside}: wanted events to keep, got {len(bad) + 1} line(s) that are none; see to them",
        "449 event(s) that waited when a server stopped are kept now",
    ]
    told.clear()
    opened()
    assert told == []
    assert not stopped.exists()


def ended_line(line: bytes) -> str:
    """Return a line as it can be compared: what was parsed is written anew."""
    try:
        return json.dumps(json.loads(line), sort_keys=True)
    except (ValueError, RecursionError):
        return line.strip().decode("latin1")


def test_a_file_that_cannot_be_read_stays_where_it_is_and_is_told(
    stopped: Path, opened: Opener, told: list[str]
) -> None:
    content = stopped.read_bytes()
    stopped.unlink()
    stopped.mkdir()
    opened()
    (line,) = told
    assert line.startswith(f"{stopped}: events in it are not in the call log: ")
    stopped.rmdir()
    stopped.write_bytes(content)


def test_a_call_that_was_purged_leaves_nothing_when_it_comes_from_a_file(
    stopped: Path, opened: Opener, log_url: str, clock: Clock
) -> None:
    forget(log_url, "call-5")
    log = opened()
    (kept,) = rows(log_url, "call-5")
    assert kept == emptied(row("call-5"))
    assert tell(log, numbered(5), clock) is PURGED
    assert not stopped.exists()


def test_what_is_forgotten_is_not_left_in_a_file(
    stopped: Path, log_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(call_log=log_url)
    assert calls_command.forget(settings, facts.CALLER) == 0
    out, err = capsys.readouterr()
    assert out == "450 call(s) with ...0123 are forgotten\n"
    assert err == "forget: 450 event(s) that waited when a server stopped are kept now\n"
    assert not stopped.exists()
    assert counted(log_url) == Counter()


def test_files_of_other_logs_are_left_alone(
    opened: Opener, log_url: str, tmp_path: Path, told: list[str]
) -> None:
    name = waiting.write(tmp_path / "other.db", [Unkept(row())]).name
    other = name.removeprefix("other.db")
    begin = waiting.beside(writer.store_of(log_url)).name
    for each in (f"more-{begin}{other}", f"{begin}{other}.unreadable", f"{begin}.unkept-1"):
        (tmp_path / each).write_bytes(b"a letter to the family\n")
    before = unkept_files(tmp_path)
    opened()
    assert unkept_files(tmp_path) == before
    assert told == []


def test_a_body_is_kept_byte_for_byte() -> None:
    body = random.Random(1).randbytes(1_000)
    line = waiting._line(Unkept(row(body=body), tried=1, tried_seen=2))
    (found,), bad = waiting._parsed(line)
    assert (found.row, found.tried, found.tried_seen, bad) == (row(body=body), 1, 2, [])
    assert base64.b64encode(body) in line
