"""The call log in PostgreSQL while its server is ill-treated, against real processes.

What is restarted is a database server of the test's own.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import is_healthy, kept, numbered
from clusters import Cluster, backends, needs_programs, running_cluster
from databases import needs_postgresql, postgresql_url
from helpers import eventually, payload
from pooler import needs_pgbouncer, pooled
from processes import Load, ServerProcess

from call_log import writer

psycopg: Any = pytest.importorskip("psycopg")

pytestmark = [pytest.mark.faults, needs_postgresql]


@pytest.fixture
def url() -> Iterator[str]:
    with postgresql_url() as its_url:
        yield its_url


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as ours:
        yield ours


@pytest.fixture(params=["direct", pytest.param("pooled", marks=needs_pgbouncer)])
def where(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """The URL of the cluster's database, direct and by way of a pooler."""
    if request.param == "direct":
        yield cluster.url
    else:
        with pooled(tmp_path, cluster.url) as pooler:
            yield pooler.url


@needs_programs
def test_backends_that_are_ended_under_load_lose_nothing(tmp_path: Path, cluster: Cluster) -> None:
    with (
        ServerProcess(tmp_path, {"MASKING_CALL_LOG": cluster.url}) as server,
        psycopg.connect(cluster.url, autocommit=True) as connection,
        Load(server) as load,
    ):
        for _ in range(5):
            time.sleep(0.4)
            ended = [
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
                for pid in backends(connection)
            ]
            assert ended
        time.sleep(0.4)
        assert eventually(lambda: is_healthy(server), 1)
    assert load.longest_s < 0.7
    assert len(load.answered) > 100
    assert set(kept(cluster.url)) >= set(load.answered)
    assert set(kept(cluster.url).values()) == {1}


@needs_programs
def test_a_database_that_is_restarted_under_load_loses_nothing(
    tmp_path: Path, cluster: Cluster, where: str
) -> None:
    with ServerProcess(tmp_path, {"MASKING_CALL_LOG": where}) as server:
        with Load(server, clients=2) as load:
            time.sleep(0.5)
            cluster.stop()
            time.sleep(1)
            assert server.health()["status"] == "degraded"
            assert server.deliver(numbered(1)) == (200, facts.DIAL)
            assert server.deliver(payload("call_completed"))[0] == 503
            cluster.start()
        assert eventually(lambda: is_healthy(server), 2)
        assert server.health()["dropped_events"] == 0
    assert load.longest_s < 0.7
    assert set(kept(where)) >= {*load.answered, ("call-1", "incoming_call")}


@needs_programs
def test_a_database_that_was_away_is_used_within_a_second(
    tmp_path: Path, cluster: Cluster, where: str
) -> None:
    with ServerProcess(tmp_path, {"MASKING_CALL_LOG": where}) as server:
        server.deliver(numbered(1))
        cluster.stop()
        assert server.deliver(numbered(2)) == (200, facts.DIAL)
        assert eventually(lambda: not is_healthy(server), 1)
        cluster.start()
        assert eventually(lambda: is_healthy(server), 1)
    assert set(kept(where)) == {(f"call-{n}", "incoming_call") for n in (1, 2)}


@pytest.fixture
def hang(cluster: Cluster) -> Iterator[Callable[[], Callable[[], None]]]:
    """Return a function that makes the database hang, and returns one that lets it go on.

    The other end still acknowledges what is sent, so no time-out of the system's helps.
    """
    stopped: list[int] = []

    def release() -> None:
        while stopped:
            os.kill(stopped.pop(), signal.SIGCONT)

    def stop() -> Callable[[], None]:
        with psycopg.connect(cluster.url) as other:
            stopped.extend(backends(other))
        for backend in stopped:
            os.kill(backend, signal.SIGSTOP)
        return release

    yield stop
    release()


@needs_programs
def test_a_database_that_hangs_delays_no_call_and_all_is_kept_once_it_goes_on(
    tmp_path: Path, where: str, hang: Callable[[], Callable[[], None]]
) -> None:
    with ServerProcess(tmp_path, {"MASKING_CALL_LOG": where}) as server:
        server.deliver(numbered(0))
        release = hang()
        for n in range(1, 20):
            started = time.monotonic()
            assert server.deliver(numbered(n)) == (200, facts.DIAL)
            assert time.monotonic() - started < 0.7
        assert not is_healthy(server)
        release()
        assert eventually(lambda: is_healthy(server), 4)
        assert server.health()["dropped_events"] == 0
    assert set(kept(where)) == {(f"call-{n}", "incoming_call") for n in range(20)}


@needs_programs
def test_a_stop_does_not_wait_for_a_database_that_hangs_and_loses_nothing(
    tmp_path: Path, where: str, hang: Callable[[], Callable[[], None]]
) -> None:
    environment = {"MASKING_CALL_LOG": where, "STATE_DIRECTORY": str(tmp_path)}
    with ServerProcess(tmp_path, environment) as server:
        server.deliver(numbered(0))
        release = hang()
        for n in range(1, 20):
            assert server.deliver(numbered(n)) == (200, facts.DIAL)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 10
    release()
    with ServerProcess(tmp_path, environment) as server:
        assert is_healthy(server)
    assert kept(where) == {(f"call-{n}", "incoming_call"): 1 for n in range(20)}


@needs_programs
def test_a_database_in_another_encoding_is_refused(tmp_path: Path, cluster: Cluster) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE old ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    where = cluster.url.removesuffix("postgres") + "old"
    server = ServerProcess(tmp_path, {"MASKING_CALL_LOG": where})
    with pytest.raises(AssertionError, match="did not start"), server:
        pass
    assert server.stderr.read_text() == (
        "The server did not start: PostgreSQL old on 127.0.0.1: wanted ENCODING 'UTF8', got"
        " LATIN1; create another database\n"
    )


@pytest.mark.parametrize("write", [True, False], ids=["to write", "to read"])
def test_a_batch_of_calls_reads_nothing_of_others(url: str, write: bool) -> None:
    """Also where the database knows nothing of a table yet, as after a backup was put back."""
    store = writer.store_of(url)
    store.open()
    store.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE call_event SET (autovacuum_enabled = off)")
        connection.execute(
            "INSERT INTO call_event (reference_id, event, sha256, reply, first_seen, last_seen,"
            " deliveries, body) SELECT 'call-' || n / 4, 'event-' || n % 4, '', '{}', n, n, 1,"
            " convert_to(repeat('x', 200), 'UTF8') FROM generate_series(0, 199999) AS n"
        )
    store.open(write=write)
    with store.transaction():
        assert len(store.rows(f"call-{n}" for n in range(200))) == 800
        ((read,),) = store.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relid = 'call_event'::regclass"
        )
    store.close()
    assert read == 800


def test_a_server_that_is_killed_has_kept_what_it_answered(tmp_path: Path, url: str) -> None:
    answered: list[tuple[str, str]] = []
    for _ in range(6):
        with ServerProcess(tmp_path, {"MASKING_CALL_LOG": url}) as server, Load(server) as load:
            time.sleep(0.2)
            server.kill()
        answered += load.answered
        assert set(kept(url)) >= set(answered)
        assert set(kept(url).values()) == {1}
    assert len(answered) > 100


def test_a_lock_that_another_client_holds_delays_no_answer(tmp_path: Path, url: str) -> None:
    with ServerProcess(tmp_path, {"MASKING_CALL_LOG": url}) as server:
        server.deliver(numbered(1))
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE call_event IN ACCESS EXCLUSIVE MODE")
            started = time.monotonic()
            assert server.deliver(numbered(2)) == (200, facts.DIAL)
            assert time.monotonic() - started < 0.7
            assert not is_healthy(server)
        assert eventually(lambda: is_healthy(server), 1)
    assert len(kept(url)) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("postgresql://postgres:secret@127.0.0.1:1/test", "PostgreSQL test on 127.0.0.1: "),
        ("postgresql://postgres:secret@[::1/test", "wanted postgresql://user@host:port/database"),
    ],
)
def test_a_database_that_cannot_be_reached_stops_the_start(
    tmp_path: Path, wrong: str, words: str
) -> None:
    server = ServerProcess(tmp_path, {"MASKING_CALL_LOG": wrong})
    with pytest.raises(AssertionError, match="did not start"), server:
        pass
    (line,) = server.stderr.read_text().splitlines()
    assert line.startswith("The server did not start: ")
    assert words in line
    assert "secret" not in line


def test_a_log_of_a_newer_version_is_refused(tmp_path: Path, url: str) -> None:
    where = {"MASKING_CALL_LOG": url}
    with ServerProcess(tmp_path, where):
        pass
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE call_log SET version = 3")
    server = ServerProcess(tmp_path, where)
    with pytest.raises(AssertionError, match="did not start"), server:
        pass
    assert "of version 2 or older, got 3" in server.stderr.read_text()


def test_two_servers_on_one_database_share_their_calls(tmp_path: Path, url: str) -> None:
    (tmp_path / "other").mkdir()
    where = {"MASKING_CALL_LOG": url}
    with contextlib.ExitStack() as stack:
        one, other = (
            stack.enter_context(ServerProcess(folder, where))
            for folder in (tmp_path, tmp_path / "other")
        )
        assert one.deliver(numbered(1)) == (200, facts.DIAL)
        assert other.deliver(numbered(1)) == (200, facts.DIAL)
        differing = numbered(1).replace(facts.CALLER.encode(), facts.STRANGER.encode())
        assert other.deliver(differing) == (200, facts.HANGUP)
