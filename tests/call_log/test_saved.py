"""A stop while the log fails: what waits is saved in a file, and taken in by the next start."""

import os
import random
from collections import Counter
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
from databases import one_database
from helpers import Clock

import events
from call_log import saved, writer
from call_log.store import Row, Store, StoreError, anonymise, microseconds, row_of
from calls import PURGED, Delivery, LogUnavailable
from tools import main

NOW = Clock()()


def row(call: str = ID, body: bytes = INCOMING, **values: Any) -> Row:
    kept = row_of(Delivery(events.parse(INCOMING), body, NOW), DIAL)
    return kept._replace(reference_id=call, **values)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for a log that fails a moment only."""
    monkeypatch.setattr(writer, "_MAX_CLOSING_S", 0.05)


def unkept_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".unkept-" in path.name]


LARGE = [row(f"call-{n}", body=(f"{n:06}" * 10_000).encode()) for n in range(200)]


def test_large_events_come_from_a_file_too(opened: Opener, log_url: str) -> None:
    opened().close()
    path = saved_file(log_url, [event._replace(body=noise(event.body)) for event in LARGE])
    opened().close()
    assert counted(log_url) == Counter({1: 200})
    assert not path.exists()


def noise(text: bytes) -> bytes:
    """Return a text of the same length that no database can compress."""
    return random.Random(text).randbytes(len(text) // 2).hex().encode()


@pytest.mark.usefixtures("impatient")
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


@pytest.mark.usefixtures("impatient")
@one_database
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
    assert saved._row(path.read_bytes()) == anonymise(row(sha256=sha256(INCOMING).digest()))


@pytest.mark.usefixtures("impatient")
@one_database
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
        "events LOST: 20; neither log nor file could be written (No space left on device)"
    )
    assert unkept_files(faulty.store.saved_prefix.parent) == []  # nor half of one


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def stopped(opened: Opener, log_url: str) -> Path:
    """The file of a server that stopped while its log failed: 450 events, of which 3 came twice."""
    opened().close()
    return saved_file(log_url, [row(f"call-{n}", deliveries=2 if n < 3 else 1) for n in range(450)])


def saved_file(url: str, some: list[Row]) -> Path:
    """Return the file in which rows of a log are saved."""
    lines: list[str] = []
    assert saved.save(writer.store_of(url), some, lines.append) == 0
    return Path(lines[0].partition(", in ")[2])


def counted(url: str) -> Counter[int]:
    store = writer.store_of(url)
    store.open(write=False)
    found = store.execute("SELECT reference_id, deliveries FROM call_event")
    store.close()
    assert len(found) == len(set(found))
    return Counter(count for _, count in found)


ALL = Counter({1: 447, 2: 3})


class Ended(BaseException):
    """The process is ended here."""


def ended(*_: object, **__: object) -> None:
    raise Ended


@pytest.mark.parametrize("portions", [0, 1, 3])
def test_a_server_that_is_killed_while_it_imports_a_file_counts_nothing_twice(
    stopped: Path, opened: Opener, log_url: str, monkeypatch: pytest.MonkeyPatch, portions: int
) -> None:
    """After three portions the file is kept, and about to be deleted."""
    store: Any = writer.store_of(log_url)
    with monkeypatch.context() as patched:
        keep, calls = store.keep, iter([*[False] * portions, True])
        patched.setattr(store, "keep", lambda *some: ended() if next(calls) else keep(*some))
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
                saved.take_in(store, notices.append)
                return

    for store in stores:
        store.open()
    at_once([partial(import_file, store) for store in stores])
    for store in stores:
        store.close()
    assert counted(log_url) == ALL
    assert not stopped.exists()
    assert sum(int(line.rpartition(" ")[2]) for line in notices) <= 450


@one_database
@pytest.mark.parametrize(
    "bad",
    [
        b"a letter to the family\n",
        b"[]\n",
        b'{"sha256":"","body":""}\n',
        b'{"reference_id":"x',
        *(
            saved._line(row("odd", **values))
            for values in (
                {"caller": "a friend of mine"},
                {"caller": ""},
                {"reply": "no JSON"},
                {"reply": "[]"},
                {"body": b"\xff"},
                {"first_seen": 2**62},
                {"last_seen": 2**62},
            )
        ),
    ],
)
def test_a_file_with_a_line_that_is_no_event_stays_as_it_is_and_is_reported(
    stopped: Path, opened: Opener, log_url: str, notices: list[str], bad: bytes
) -> None:
    content = stopped.read_bytes() + bad
    stopped.write_bytes(content)
    log = opened()
    assert log.health()["call_log"] == "ok"
    assert stopped.read_bytes() == content
    (line,) = notices
    assert line.startswith(f"{stopped}: wanted a file of saved events, got ")
    stopped.write_bytes(content.removesuffix(bad))
    opened()
    assert counted(log_url) == ALL
    assert not stopped.exists()


@one_database
def test_a_file_that_cannot_be_read_stays_where_it_is_and_is_reported(
    stopped: Path, opened: Opener, notices: list[str]
) -> None:
    stopped.unlink()
    stopped.mkdir()
    opened()
    assert notices == [
        f"{stopped}: wanted a file of saved events, got IsADirectoryError;"
        " repair it and start again, or remove it"
    ]
    stopped.rmdir()


def test_a_call_that_was_purged_leaves_nothing_when_it_comes_from_a_file(
    stopped: Path, opened: Opener, log_url: str, clock: Clock
) -> None:
    forget(log_url, "call-5")
    log = opened()
    (kept,) = rows(log_url, "call-5")
    assert kept == anonymise(row("call-5"))
    assert deliver(log, numbered(5), clock) is PURGED
    assert not stopped.exists()


def test_what_is_forgotten_is_not_left_in_a_file(
    stopped: Path,
    log_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MASKING_CALL_LOG", log_url)
    monkeypatch.chdir(tmp_path)
    assert main.main(["forget", facts.CALLER, "--yes"]) == 0
    out, err = capsys.readouterr()
    assert out == "deleted 450 calls with ...0123\n"
    assert err == "forget: events that a server saved when it stopped, now in the call log: 450\n"
    assert not stopped.exists()
    assert counted(log_url) == Counter()


def test_files_of_other_logs_are_left_alone(
    opened: Opener, log_url: str, tmp_path: Path, notices: list[str]
) -> None:
    begin = writer.store_of(log_url).saved_prefix.name
    for name in (f"more-{begin}.unkept-1", "other.db.unkept-1", f"{begin}.kept-1"):
        (tmp_path / name).write_bytes(b"a letter to the family\n")
    before = sorted(tmp_path.glob("*kept-*"))
    opened()
    assert sorted(tmp_path.glob("*kept-*")) == before
    assert notices == []


def test_a_body_is_saved_byte_for_byte() -> None:
    body = "".join(map(chr, range(0x3000))).encode()
    assert saved._row(saved._line(row(body=body))) == row(body=body)


def test_a_saved_file_and_its_name_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop is often followed by that of the machine."""
    synced: dict[tuple[int, int], int] = {}

    def sync(fd: int) -> None:
        found = os.fstat(fd)
        synced[found.st_dev, found.st_ino] = found.st_size

    monkeypatch.setattr(os, "fsync", sync)
    path = saved_file(f"sqlite:///{tmp_path}/calls.db", [row()])
    file, folder = path.stat(), tmp_path.stat()
    assert synced.get((file.st_dev, file.st_ino)) == file.st_size
    assert (folder.st_dev, folder.st_ino) in synced


def test_any_name_of_a_log_may_be_that_of_a_saved_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/calls [1]*.db"
    path = saved_file(url, [row()])
    store = writer.store_of(url)
    store.open()
    saved.take_in(store, print)
    store.close()
    assert counted(url) == Counter({1: 1})
    assert not path.exists()
