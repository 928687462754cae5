"""`calls --follow` beside real servers: all of it killed, and the log taken away or failing."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from call_logs import written_down
from clusters import Cluster, backends, needs_programs, running_cluster
from command_line import of
from databases import needs_postgresql
from followers import PATIENCE_S, FollowerProcess
from helpers import eventually
from processes import Load, ServerProcess

pytestmark = pytest.mark.faults

Told = list[tuple[str, int]]
ROUNDS = 8


def names(calls: list[dict[str, Any]]) -> Told:
    return [(call["reference_id"], call["number"]) for call in calls]


def in_the_log(url: str) -> Told:
    return [(record.reference_id, record.number or 0) for record in written_down(url)]


def killed(start: Callable[[int], FollowerProcess]) -> Iterator[Told]:
    """Start a follower, kill it, begin it again after the last number seen; yield what all told."""
    told: Told = []
    while True:
        with start(told[-1][1] if told else 0) as follower:
            follower.has_told(1)
            time.sleep(len(told) % 7 / 20)
            told += names(follower.kill())
        yield told


def told_to_the_end(told: Told, start: Callable[[int], FollowerProcess], url: str) -> Told:
    """Return what was told, and all that one more follower tells once nothing is written down."""
    expected = in_the_log(url)
    with start(told[-1][1] if told else 0) as follower:
        follower.has_told(len(expected) - len(told))
        time.sleep(2)  # for one that is told twice
        return told + names(follower.kill())


def test_killed_and_begun_again_under_load_it_misses_none_and_repeats_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/calls.db"

    def start(after: int) -> FollowerProcess:
        return FollowerProcess(tmp_path, after)

    with contextlib.ExitStack() as stack:
        whole = [stack.enter_context(start(0)) for _ in range(2)]
        told: Told = []
        with ServerProcess(tmp_path) as server, Load(server, clients=2):
            for _, told in zip(range(ROUNDS), killed(start), strict=False):  # noqa: B007
                pass
        assert len(told) > ROUNDS
        assert told_to_the_end(told, start, url) == in_the_log(url)
        for follower in whole:
            assert follower.has_told(len(in_the_log(url)))
            assert names(follower.kill()) == in_the_log(url)
            assert "Traceback" not in follower.said


def test_a_server_that_is_killed_under_load_hides_no_call_from_it(tmp_path: Path) -> None:
    with FollowerProcess(tmp_path) as follower:
        for number in range(ROUNDS):
            with ServerProcess(tmp_path) as server, Load(server, clients=4):
                time.sleep(0.3 + number % 3 / 10)
                server.kill()
        with ServerProcess(tmp_path) as server:
            assert server.deliver(of("last", "call_completed"))[0] == 200
            expected = in_the_log(f"sqlite:///{tmp_path}/calls.db")
            assert follower.has_told(len(expected))
            assert names(follower.kill()) == expected
    assert len(expected) > ROUNDS
    assert "Traceback" not in follower.said


def take_away(path: Path, way: str, kept: Path) -> None:
    """Take the file away in some way; what is in it stays at another path."""
    if way == "moved":
        path.rename(kept)
    else:
        kept.hardlink_to(path)
        if way == "deleted with its side files":
            for name in "calls.db-wal", "calls.db-shm":
                path.with_name(name).unlink()
        path.unlink()


@pytest.mark.parametrize("way", ["moved", "deleted", "deleted with its side files"])
def test_a_file_that_is_taken_away_under_load_hides_no_call_from_it(
    tmp_path: Path, way: str
) -> None:
    path = tmp_path / "calls.db"
    with FollowerProcess(tmp_path) as follower:
        with ServerProcess(tmp_path) as server, Load(server, clients=2):
            for number in range(3):
                time.sleep(1.5)
                take_away(path, way, tmp_path / f"away-{number}.db")
            time.sleep(1.5)
        files = [*(tmp_path / f"away-{number}.db" for number in range(3)), path]
        logs = [in_the_log(f"sqlite:///{file}") for file in files]
        expected = {call for log in logs for call, _ in log}
        assert all(len(log) > 10 for log in logs)
        assert follower.has_told(len(expected))
        time.sleep(2)  # for one that is told twice
        told = names(follower.kill())
    assert sorted(call for call, _ in told) == sorted(expected)
    numbers = [number for _, number in told]
    assert numbers == sorted(numbers)
    assert "Traceback" not in follower.said


def test_a_write_ahead_log_that_is_taken_away_hides_no_call_from_it(tmp_path: Path) -> None:
    with FollowerProcess(tmp_path) as follower:
        with ServerProcess(tmp_path) as server, Load(server, clients=2):
            for _ in range(3):
                time.sleep(1.5)
                (tmp_path / "calls.db-wal").unlink()
            time.sleep(1.5)
        expected = in_the_log(f"sqlite:///{tmp_path}/calls.db")
        assert follower.has_told(len(expected))
        assert names(follower.kill()) == expected


def test_each_fault_is_said_once_and_it_goes_on_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with FollowerProcess(tmp_path, None) as follower:

        def has_said(*causes: str) -> bool:
            def holds() -> bool:
                lines = follower.said.splitlines()
                return len(lines) == len(causes) and all(map(str.__contains__, lines, causes))

            return eventually(holds, PATIENCE_S) or pytest.fail(follower.said)

        causes = ["there is no call log yet; a server makes it"]
        assert has_said(*causes)
        (tmp_path / "letter").write_bytes(b"a letter to the family\n" * 100)
        (tmp_path / "letter").rename(path)
        causes.append("file is not a database; set call_log to another file")
        assert has_said(*causes)
        path.unlink()
        causes.append("there is no call log yet")
        assert has_said(*causes)
        with ServerProcess(tmp_path) as server:
            server.deliver(of("one", "call_completed"))
            assert follower.has_told(1)
        path.rename(tmp_path / "away")
        causes.append("there is no call log yet")
        assert has_said(*causes)
        with contextlib.closing(sqlite3.connect(tmp_path / "away", isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            (tmp_path / "away").rename(path)
            causes.append("database is locked; another program has locked it for too long")
            assert has_said(*causes)
        with ServerProcess(tmp_path) as server:
            server.deliver(of("two", "call_completed"))
            assert follower.has_told(2)
        assert [call["reference_id"] for call in follower.kill()] == ["one", "two"]
        assert has_said(*causes)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as ours:
        yield ours


@needs_postgresql
@needs_programs
def test_two_servers_on_a_database_that_ends_connections_and_restarts(
    tmp_path: Path, cluster: Cluster
) -> None:
    psycopg: Any = pytest.importorskip("psycopg")
    where = {"MASKING_CALL_LOG": cluster.url}
    (tmp_path / "other").mkdir()

    def start(after: int) -> FollowerProcess:
        return FollowerProcess(tmp_path, after, **where)

    with start(0) as whole, contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(ServerProcess(folder, where))
            for folder in (tmp_path, tmp_path / "other")
        ]
        killing, told = killed(start), list[tuple[str, int]]()
        with Load(servers[0], clients=2), Load(servers[1], clients=2):
            for number in range(ROUNDS):
                told = next(killing)
                if number == ROUNDS // 2:
                    cluster.stop()
                    time.sleep(0.5)
                    cluster.start()
                with psycopg.connect(cluster.url, autocommit=True) as connection:
                    for pid in backends(connection):
                        connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        for server in servers:
            assert eventually(lambda server=server: server.health()["status"] == "ok")  # type: ignore[misc]
            assert server.stop() == 0
        assert len(told) > ROUNDS
        expected = in_the_log(cluster.url)
        assert told_to_the_end(told, start, cluster.url) == expected
        assert whole.has_told(len(expected))
        assert names(whole.kill()) == expected
        assert "terminating connection" in whole.said
        assert "Traceback" not in whole.said
