"""The call log on a faulty disk, each fault against the real server process."""

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import facts
import pytest
import requests
from call_logs import OddServer, is_healthy, is_intact, kept, numbered, rows
from faulty_disk import Disk
from helpers import ROOT, SUPPORT, eventually, payload
from processes import Load, ServerProcess

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler for the faulty disk"),
]


INCOMING, COMPLETED = payload("incoming_call"), payload("call_completed")


@pytest.fixture(scope="session")
def faulty_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("faulty") / "faulty_disk.so"
    source = SUPPORT / "faulty_disk.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def disk(faulty_disk: Path, tmp_path: Path) -> Disk:
    return Disk(faulty_disk, tmp_path / "orders")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/calls.db"


@pytest.fixture
def server(tmp_path: Path, disk: Disk) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, disk.environment) as running:
        yield running
        disk.repair()


@dataclass
class Fault:
    """Something that keeps the log from being written, until it is over."""

    begin: Callable[[Disk, Path], Any]
    words: str


def failing(**orders: int) -> Callable[[Disk, Path], None]:
    def begin(disk: Disk, _folder: Path) -> None:
        for name, value in orders.items():
            setattr(disk, name, value)

    return begin


FAULTS = {
    "full": Fault(failing(write_errno=errno.ENOSPC), "free some space"),
    "read-only": Fault(failing(write_errno=errno.EROFS, open_errno=errno.EROFS), "calls.db"),
    "broken": Fault(failing(write_errno=errno.EIO), "look at the disk"),
    "broken-sync": Fault(failing(sync_errno=errno.EIO), "look at the disk"),
    "hanging": Fault(failing(sync_takes_us=2_000_000), "takes longer than 500 ms"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_disk_that_fails_and_recovers_loses_nothing(
    server: ServerProcess, disk: Disk, url: str, tmp_path: Path, fault: Fault
) -> None:
    assert server.deliver(numbered(0)) == (200, facts.DIAL)
    fault.begin(disk, tmp_path)
    for body, answer in [
        (numbered(1), facts.DIAL),
        (payload("incoming_call_not_listed"), facts.HANGUP),
        (
            payload("dial_completed_busy").replace(facts.REFERENCE_ID.encode(), b"call-1"),
            facts.HANGUP,
        ),
        (numbered(0), facts.DIAL),
    ]:
        started = time.monotonic()
        assert server.deliver(body) == (200, answer)
        assert time.monotonic() - started < 0.7
    refused = requests.post(
        server.url, COMPLETED, headers={"Content-Type": "application/json"}, timeout=10
    )
    assert (refused.status_code, refused.json()) == (503, {"error": "log_unavailable"})
    assert int(refused.headers["Retry-After"]) > 0
    health = requests.get(f"{server.url}health", timeout=10)
    assert health.status_code == 503
    assert health.json()["status"] == "degraded"
    assert health.json()["answered_unkept"] == 4
    disk.repair()
    assert eventually(lambda: is_healthy(server), 3 if fault.words.startswith("takes") else 1)
    assert kept(url) == {
        ("call-0", "incoming_call"): 2,
        ("call-1", "incoming_call"): 1,
        ("call-1", "dial_completed"): 1,
        (facts.REFERENCE_ID, "incoming_call"): 1,
        (facts.REFERENCE_ID, "call_completed"): 1,
    }
    assert is_intact(tmp_path / "calls.db")

    def notices() -> list[str]:
        lines = server.stdout.read_text().splitlines()
        return [line for line in lines if '"notice": "the call log' in line]

    assert eventually(lambda: len(notices()) == 2, 1)
    assert fault.words in notices()[0]
    assert "has recovered" in notices()[1]


def test_a_log_that_another_program_locks_for_six_seconds_costs_no_answer(
    server: ServerProcess, url: str, tmp_path: Path
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "calls.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        freed = time.monotonic() + 6
        n = 0
        while time.monotonic() < freed:
            started = time.monotonic()
            assert server.deliver(numbered(n)) == (200, facts.DIAL)
            assert time.monotonic() - started < 0.7
            n += 1
            time.sleep(0.1)
        assert server.health()["status"] == "degraded"
        other.execute("COMMIT")
    assert eventually(lambda: is_healthy(server), 1)
    assert len(kept(url)) == n


def test_an_orderly_stop_while_another_program_locks_the_log_loses_nothing(
    tmp_path: Path, url: str
) -> None:
    with (
        ServerProcess(tmp_path) as server,
        contextlib.closing(sqlite3.connect(tmp_path / "calls.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        for n in range(20):
            assert server.deliver(numbered(n)) == (200, facts.DIAL)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 10
        assert "events saved for the next start: 20, in " in server.stdout.read_text()
    assert kept(url) == {}
    with ServerProcess(tmp_path) as server:
        assert kept(url) == {(f"call-{n}", "incoming_call"): 1 for n in range(20)}
        assert server.deliver(numbered(3)) == (200, facts.DIAL)
        assert server.stop() == 0
        assert (
            "events that a server saved when it stopped, now in the call log: 20"
            in server.stdout.read_text()
        )
    assert [file.name for file in tmp_path.glob("calls.db*")] == ["calls.db"]


@pytest.mark.parametrize("errors", [{"write_errno": errno.ENOSPC}, {"sync_errno": errno.EIO}])
def test_a_stop_that_can_save_nothing_reports_how_much_is_lost(
    server: ServerProcess, disk: Disk, tmp_path: Path, errors: dict[str, int]
) -> None:
    failing(**errors)(disk, tmp_path)
    for n in range(20):
        assert server.deliver(numbered(n)) == (200, facts.DIAL)
    assert server.stop() == 1
    assert "events LOST: 20;" in server.stdout.read_text()
    assert [file for file in tmp_path.iterdir() if ".unkept-" in file.name] == []


def test_a_stop_while_the_disk_hangs_counts_nothing_twice(
    server: ServerProcess, disk: Disk, tmp_path: Path, url: str
) -> None:
    """What the writer was about to keep is kept all the same, and is in the file too."""
    disk.sync_takes_us = 3_000_000
    for n in range(20):
        assert server.deliver(numbered(n)) == (200, facts.DIAL)
    assert server.stop() == 0
    with ServerProcess(tmp_path):
        assert kept(url) == {(f"call-{n}", "incoming_call"): 1 for n in range(20)}


def test_syncs_of_ten_milliseconds_are_waited_for(
    server: ServerProcess, disk: Disk, url: str
) -> None:
    disk.sync_takes_us = 10_000
    with Load(server) as load:
        time.sleep(2)
    assert load.refused == []
    assert set(load.answered) == set(kept(url))
    assert server.health()["answered_unkept"] == 0


def test_syncs_of_a_fifth_of_a_second_cost_no_answer(
    server: ServerProcess, disk: Disk, url: str
) -> None:
    """Under load some may wait too long; they are answered unkept, and kept later."""
    server.deliver(INCOMING)  # the first one of a file takes several syncs
    disk.sync_takes_us = 200_000
    for n in range(5):
        assert server.deliver(numbered(n)) == (200, facts.DIAL)
    assert server.health()["answered_unkept"] == 0
    with Load(server) as load:
        time.sleep(2)
    assert load.longest_s < 0.7
    assert set(load.refused) <= {503}
    assert eventually(lambda: is_healthy(server), 5)
    assert set(load.answered) <= set(kept(url))


@pytest.mark.parametrize("taken", ["deleted", "renamed", "replaced by a copy"])
def test_a_file_that_is_deleted_moved_or_replaced_is_noticed_within_a_second(
    server: ServerProcess, url: str, tmp_path: Path, taken: str
) -> None:
    path = tmp_path / "calls.db"
    for n in range(20):
        server.deliver(numbered(n))
    match taken:
        case "deleted":
            for file in tmp_path.glob("calls.db*"):
                file.unlink()
        case "renamed":
            path.rename(tmp_path / "calls-of-yesterday.db")
        case _:
            with contextlib.closing(sqlite3.connect(path)) as reader:
                reader.execute("VACUUM INTO ?", [str(tmp_path / "copy.db")])
            (tmp_path / "copy.db").replace(path)
    assert eventually(lambda: "deleted, renamed or replaced" in server.stdout.read_text(), 1)
    for n in range(20):
        assert server.deliver(numbered(n)) == (200, facts.DIAL)  # a repeat, as before
    other = numbered(5).replace(facts.CALLER.encode(), facts.STRANGER.encode())
    assert server.deliver(other) == (200, facts.HANGUP)
    assert server.stop() == 0
    assert server.stdout.read_text().count("deleted, renamed or replaced") == 1
    assert sorted(tmp_path.glob("calls.db*")) == [path]
    assert len(kept(url)) == 20
    assert is_intact(path)
    if taken == "renamed":
        where = tmp_path / "calls-of-yesterday.db"
        assert len(kept(f"sqlite:///{where}")) == 20
        assert is_intact(where)


def test_what_is_answered_after_the_write_ahead_log_was_removed_is_kept(
    server: ServerProcess, url: str, tmp_path: Path
) -> None:
    """The events before are in the file that is open, and completed from there."""
    for n in range(20):
        server.deliver(numbered(n))
    (tmp_path / "calls.db-wal").unlink()
    for n in range(20, 120):
        assert server.deliver(numbered(n)) == (200, facts.DIAL)
    server.kill()
    assert server.stdout.read_text().count("was deleted, renamed or replaced") == 1
    assert kept(url) == {(f"call-{n}", "incoming_call"): 1 for n in range(120)}
    assert is_intact(tmp_path / "calls.db")


def test_a_write_ahead_log_that_was_removed_is_noticed_within_a_second(
    server: ServerProcess, url: str, tmp_path: Path
) -> None:
    for n in range(20):
        server.deliver(numbered(n))
    (tmp_path / "calls.db-wal").unlink()
    assert eventually(lambda: "deleted, renamed or replaced" in server.stdout.read_text(), 1)
    server.kill()
    assert len(kept(url)) == 20


def test_a_folder_that_was_deleted_is_used_again_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    where = {"MASKING_CALL_LOG": f"sqlite:///{folder}/calls.db"}
    with ServerProcess(tmp_path, where) as server:
        server.deliver(numbered(1))
        shutil.rmtree(folder)
        assert eventually(lambda: not is_healthy(server), 1)
        assert server.deliver(numbered(2)) == (200, facts.DIAL)
        folder.mkdir()
        assert eventually(lambda: is_healthy(server), 1)
        assert set(kept(where["MASKING_CALL_LOG"])) == {("call-2", "incoming_call")}


def test_stale_side_files_do_no_harm(tmp_path: Path, disk: Disk, url: str) -> None:
    with ServerProcess(tmp_path, disk.environment) as server:
        server.deliver(numbered(1))
        server.kill()
    (tmp_path / "calls.db-shm").write_bytes(os.urandom(32_768))
    with ServerProcess(tmp_path) as server:
        server.deliver(numbered(2))
        assert server.stop() == 0
    (tmp_path / "calls.db-wal").write_bytes(os.urandom(40_000))
    (tmp_path / "calls.db-shm").write_bytes(os.urandom(32_768))
    with ServerProcess(tmp_path) as server:
        server.deliver(numbered(3))
        assert len(kept(url)) == 3
        server.kill()
    (tmp_path / "calls.db").unlink()
    with ServerProcess(tmp_path) as server:
        server.deliver(numbered(4))
        assert set(kept(url)) == {("call-4", "incoming_call")}
    assert is_intact(tmp_path / "calls.db")


@pytest.fixture(params=["ext4", "btrfs"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, on which the log may fill the disk."""
    make = shutil.which(f"mkfs.{request.param}", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if make is None or os.geteuid() != 0:
        pytest.skip(f"no {request.param} can be made and mounted here")
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(160 * 2**20)
    subprocess.run([make, "-q", image], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    try:
        folder = mounted / "log"
        folder.mkdir()
        if request.param == "btrfs":  # as docs/limits.md says
            subprocess.run(["chattr", "+C", folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", mounted], check=True)


def fill(disk: Path) -> Path:
    path = disk / "fill"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(os.urandom(2**20))
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(os.urandom(4096))
    return path


def test_a_disk_that_is_full_and_free_again_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{small_disk}/calls.db"
    with ServerProcess(tmp_path, {"MASKING_CALL_LOG": url}) as server:
        for n in range(20):
            assert server.deliver(numbered(n)) == (200, facts.DIAL)
        filling = fill(small_disk.parent)
        for n in range(20, 220):
            assert server.deliver(numbered(n)) == (200, facts.DIAL)
        assert not is_healthy(server)
        filling.unlink()
        os.sync()
        assert eventually(lambda: is_healthy(server), 3)
        assert server.stop() == 0
    assert kept(url) == {(f"call-{n}", "incoming_call"): 1 for n in range(220)}
    assert is_intact(small_disk / "calls.db")


def test_a_reader_does_not_hold_up_the_server(server: ServerProcess, tmp_path: Path) -> None:
    server.deliver(numbered(0))
    path = f"file:{tmp_path}/calls.db?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        (before,) = reader.execute("SELECT count(*) FROM call_event").fetchone()
        with Load(server) as load:
            time.sleep(1)
        assert load.refused == []
        assert load.longest_s < 0.7
        assert reader.execute("SELECT count(*) FROM call_event").fetchone() == (before,)
    assert server.health()["answered_unkept"] == 0


def test_a_sync_comes_between_what_is_kept_and_its_answer(
    server: ServerProcess, disk: Disk
) -> None:
    server.deliver(numbered(0))
    for n in range(1, 20):
        before = disk.syncs
        server.deliver(numbered(n))
        assert disk.syncs > before
    disk.sync_takes_us = 150_000
    started = time.monotonic()
    server.deliver(numbered(20))
    assert time.monotonic() - started > 0.15


def test_a_server_without_syncs_would_be_caught(tmp_path: Path, disk: Disk) -> None:
    odd = {**disk.environment, "ODD": "unsynced", "PYTHONPATH": str(ROOT)}
    with OddServer(tmp_path, odd) as server:
        server.deliver(numbered(0))
        before = disk.syncs
        for n in range(1, 20):
            server.deliver(numbered(n))
        assert disk.syncs == before


@pytest.mark.parametrize("jump_s", [-86_400, 365 * 86_400], ids=["back", "ahead"])
def test_a_clock_that_jumps_changes_no_reply(
    server: ServerProcess, disk: Disk, url: str, jump_s: int
) -> None:
    assert server.deliver(INCOMING) == (200, facts.DIAL)
    disk.clock_ahead_s = jump_s
    assert server.deliver(INCOMING) == (200, facts.DIAL)
    server.deliver(numbered(1))
    later, first = (rows(url, call)[0].first_seen for call in ("call-1", facts.REFERENCE_ID))
    assert abs((later - first) / 1e6 - jump_s) < 10
    time.sleep(1)
    assert len(kept(url)) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a letter to the family\n" * 100, "not a database"), (None, "calls.db")],
    ids=["no database", "no folder"],
)
def test_a_log_that_cannot_be_used_stops_the_start(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "calls.db" if content else tmp_path / "nowhere" / "calls.db"
    if content:
        path.write_bytes(content)
    server = ServerProcess(tmp_path, {"MASKING_CALL_LOG": f"sqlite:///{path}"})
    with pytest.raises(AssertionError, match="did not start"):
        server.__enter__()
    (line,) = server.stderr.read_text().splitlines()
    assert line.startswith("The server did not start: ")
    assert words in line
    assert server.process.returncode == 1
    assert not content or path.read_bytes() == content


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "used"])
@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_log_that_is_locked_at_the_start_is_waited_for(
    tmp_path: Path, lock: str, is_new: bool
) -> None:
    if not is_new:
        with ServerProcess(tmp_path) as server:
            server.deliver(numbered(1))
            server.stop()
    with contextlib.closing(
        sqlite3.connect(tmp_path / "calls.db", isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute(f"BEGIN {lock}")
        timer = Timer(1, lambda: other.execute("COMMIT"))
        timer.start()
        with ServerProcess(tmp_path) as server:
            assert server.deliver(numbered(2)) == (200, facts.DIAL)
        timer.join()
