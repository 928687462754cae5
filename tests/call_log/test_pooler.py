"""The call log behind a pooler in transaction mode, next to clients that leave settings behind.

The fixture `log_url` puts most other tests of a log behind a pooler as well.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import DIAL, is_healthy, kept, numbered
from databases import TEST_DATABASE, needs_postgresql
from helpers import Clock, eventually
from pooler import SPOILED, Pooler, needs_pgbouncer, neighbour, pooled, shown, spoil
from processes import Load, ServerProcess

import events
from call_log.store import Row, StoreError, row_of
from calls import Delivery
from tools.history import stored

psycopg: Any = pytest.importorskip("psycopg")
postgres_store: Any = pytest.importorskip("call_log.postgresql")

pytestmark = [pytest.mark.faults, needs_postgresql, needs_pgbouncer]

REPEATS = 30  # a driver may prepare what it has seen five times


@pytest.fixture
def pooler(tmp_path: Path) -> Iterator[Pooler]:
    """A pooler with one server connection, which everybody shares."""
    with pooled(tmp_path, TEST_DATABASE, size=1) as running:
        yield running


@contextlib.contextmanager
def opened(url: str, *, write: bool = True) -> Iterator[Any]:
    store = postgres_store.PostgresStore(url)
    store.open(write=write)
    try:
        yield store
    finally:
        store.close()


def in_a_transaction(store: Any) -> dict[str, str]:
    """Return the settings that count in a transaction of this store."""
    names = [*SPOILED, "transaction_read_only", "transaction_isolation"]
    with store.transaction(["a call"]):
        return {name: store.execute(f"SHOW {name}")[0][0] for name in names}


FIVE_HOURS = 5 * 3600 * 1_000_000


def row(n: int) -> Row:
    body = numbered(n)
    return row_of(Delivery(events.parse(body), body, Clock()()), DIAL)


def use(store: Any, n: int) -> None:
    """Do with a store whatever can be done with it."""
    with store.transaction([f"call-{n}"]):
        store.keep([row(n)])
    assert store.rows([f"call-{n}"]) == [row(n)]
    while store.record_overdue(row(n).first_seen + FIVE_HOURS):
        pass
    assert (f"call-{n}",) in store.execute("SELECT reference_id FROM call_record")
    assert f"call-{n}" in stored.calls_where(store, lambda text: facts.CALLER in text)
    assert f"call-{n}" in store.older_than(row(n).first_seen + 1, 1_000)
    store.purge([f"call-{n}"])
    assert store.find_purged([f"call-{n}"]) == {f"call-{n}"}


def test_a_transaction_has_settings_of_its_own_whatever_a_neighbour_has_set(
    pooler: Pooler,
) -> None:
    theirs = shown(pooler.url, *SPOILED)
    with opened(pooler.url) as writer, opened(pooler.url, write=False) as reader:
        spoil(pooler.url)
        assert in_a_transaction(writer) == SPOILED | {
            "synchronous_commit": "on",
            "lock_timeout": "400ms",
            "statement_timeout": "400ms",
            "idle_in_transaction_session_timeout": "4s",
            "search_path": theirs["search_path"],
            "transaction_read_only": "off",
            "transaction_isolation": "read committed",
        }
        assert in_a_transaction(reader) == SPOILED | {
            "lock_timeout": "0",
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "4s",
            "synchronous_commit": "on",
            "search_path": theirs["search_path"],
            "transaction_read_only": "on",
            "transaction_isolation": "read committed",
        }
    assert shown(pooler.url, *SPOILED) == SPOILED


def test_a_neighbour_finds_nothing_of_ours(pooler: Pooler) -> None:
    before = shown(pooler.url, *SPOILED)
    with opened(pooler.url) as writer, opened(pooler.url, write=False) as reader:
        use(writer, 1)
        with pytest.raises(StoreError, match="read-only"):
            reader.purge(["call-2"])
        assert shown(pooler.url, *SPOILED) == before
    assert shown(pooler.url, *SPOILED) == before


@pytest.mark.parametrize("size", [1, 2])
def test_statements_that_are_repeated_are_never_prepared(tmp_path: Path, size: int) -> None:
    with (
        pooled(tmp_path, TEST_DATABASE, size=size) as pooler,
        neighbour(pooler.url),
        opened(pooler.url) as one,
        opened(pooler.url) as other,
    ):
        for n in range(REPEATS):
            use((one, other)[n % 2], n)
            for store in (one, other):
                assert store.execute("SELECT name FROM pg_prepared_statements") == []


def test_a_lock_is_waited_for_longer_than_a_neighbour_would(pooler: Pooler) -> None:
    with opened(pooler.url) as store, psycopg.connect(TEST_DATABASE) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [postgres_store._lock("a call")])
        spoil(pooler.url)
        timer = threading.Timer(0.1, other.commit)
        timer.start()
        started = time.monotonic()
        with store.transaction(["a call"]):
            assert time.monotonic() - started >= 0.09
        timer.join()


def test_a_url_with_options_that_the_pooler_refuses_says_so(pooler: Pooler) -> None:
    store = postgres_store.PostgresStore(f"{pooler.url}?options=-csearch_path%3Dpublic")
    with pytest.raises(StoreError, match="unsupported startup parameter: options"):
        store.open()


def test_a_pool_that_is_used_up_delays_no_answer(tmp_path: Path, pooler: Pooler) -> None:
    with ServerProcess(tmp_path, {"MASKING_CALL_LOG": pooler.url}) as server:
        server.deliver(numbered(1))
        with psycopg.connect(pooler.url, prepare_threshold=None) as other:
            other.execute("SELECT 1")  # begins a transaction, which keeps the one connection
            started = time.monotonic()
            assert server.deliver(numbered(2)) == (200, facts.DIAL)
            assert time.monotonic() - started < 0.7
            assert not is_healthy(server)
        assert eventually(lambda: is_healthy(server), 4)
    assert set(kept(pooler.url)) == {(f"call-{n}", "incoming_call") for n in (1, 2)}


def test_a_pooler_that_is_restarted_under_load_loses_nothing(tmp_path: Path) -> None:
    with pooled(tmp_path, TEST_DATABASE) as pooler:
        with ServerProcess(tmp_path, {"MASKING_CALL_LOG": pooler.url}) as server:
            with Load(server, clients=4) as load:
                for _ in range(3):
                    time.sleep(0.3)
                    pooler.stop()
                    time.sleep(0.3)
                    pooler.start()
                time.sleep(0.3)
                assert eventually(lambda: is_healthy(server), 2)
            assert server.health()["dropped_events"] == 0
        assert load.longest_s < 0.7
        assert len(load.answered) > 100
        assert set(kept(pooler.url)) >= set(load.answered)
        assert set(kept(pooler.url).values()) == {1}
