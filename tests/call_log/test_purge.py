"""When calls are purged: after their days, and by a clock that can be trusted."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import facts
import pytest
from call_logs import DIAL, ID, INCOMING, Opener, Servers, deliver, numbered, rows
from databases import behind_a_pooler_too, one_database
from helpers import Clock, eventually, post

import events
from call_log import writer
from call_log.purge import MIN_TRUSTED_S, Purge
from call_log.store import Store, StoreError, microseconds, row_of
from calls import PURGED, Delivery

DAY_S = 86_400


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """A store that holds a call of now, and one that is 20 days older."""
    opened = writer.store_of(f"sqlite:///{tmp_path}/calls.db")
    opened.open()
    event = events.parse(INCOMING)
    for call, days in ("new", 0), ("old", 20):
        seen = microseconds(clock.utc - timedelta(days=days))
        row = row_of(Delivery(event, INCOMING, clock()), DIAL)
        with opened.transaction():
            opened.keep([row._replace(reference_id=call, first_seen=seen, last_seen=seen)])
    yield opened
    opened.close()


def left(store: Store) -> set[str]:
    return {row.reference_id for row in store.rows(["new", "old"])}


def pass_time(purge: Purge, clock: Clock, seconds: float) -> None:
    """Let time pass, with a turn every ten seconds."""
    for _ in range(int(seconds / 10)):
        clock.sleep(10)
        purge.turn()


def test_nothing_is_purged_in_the_first_ten_minutes(store: Store, clock: Clock) -> None:
    purge = Purge(store, 7, clock)
    pass_time(purge, clock, MIN_TRUSTED_S - 10)
    assert left(store) == {"new", "old"}
    pass_time(purge, clock, 20)
    assert left(store) == {"new"}


def test_a_start_with_the_clock_ahead_that_is_put_right_purges_nothing(
    store: Store, clock: Clock
) -> None:
    clock.utc += timedelta(days=40)
    purge = Purge(store, 30, clock)
    pass_time(purge, clock, MIN_TRUSTED_S - 10)
    clock.utc -= timedelta(days=40)
    pass_time(purge, clock, 3 * MIN_TRUSTED_S)
    assert left(store) == {"new", "old"}


def test_a_start_with_the_clock_behind_does_not_shift_the_rule_for_the_life_of_the_process(
    store: Store, clock: Clock
) -> None:
    clock.utc -= timedelta(days=40)
    purge = Purge(store, 7, clock)
    pass_time(purge, clock, 2 * MIN_TRUSTED_S)
    assert left(store) == {"new", "old"}
    clock.utc += timedelta(days=40)
    pass_time(purge, clock, MIN_TRUSTED_S)
    assert left(store) == {"new", "old"}
    pass_time(purge, clock, 2 * MIN_TRUSTED_S)
    assert left(store) == {"new"}


@pytest.mark.parametrize("back", [timedelta(days=-3650), timedelta(days=-40), timedelta(0)])
def test_a_clock_that_jumps_ahead_and_then_elsewhere_purges_nothing(
    store: Store, clock: Clock, back: timedelta
) -> None:
    purge = Purge(store, 30, clock)
    pass_time(purge, clock, 2 * MIN_TRUSTED_S)
    for _ in range(5):
        clock.utc += timedelta(days=40)
        pass_time(purge, clock, MIN_TRUSTED_S - 10)
        clock.utc += back
        purge.turn()
    assert left(store) == {"new", "old"}


def test_a_machine_that_slept_is_no_reason_to_purge_at_once(store: Store, clock: Clock) -> None:
    """The monotonic clock stands still meanwhile, so that it looks like a jump."""
    purge = Purge(store, 30, clock)
    pass_time(purge, clock, 2 * MIN_TRUSTED_S)
    clock.utc += timedelta(days=15)
    pass_time(purge, clock, MIN_TRUSTED_S)
    assert left(store) == {"new", "old"}
    pass_time(purge, clock, 100)
    assert left(store) == {"new"}


def test_a_clock_that_drifts_is_trusted(store: Store, clock: Clock) -> None:
    purge = Purge(store, 7, clock)
    for _ in range(62):
        clock.utc += timedelta(seconds=0.005)
        pass_time(purge, clock, 10)
    assert left(store) == {"new"}


@behind_a_pooler_too
def test_a_purged_call_is_still_known_as_replayed(
    servers: Servers, log_url: str, clock: Clock
) -> None:
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(31 * DAY_S)
    assert eventually(lambda: rows(log_url) == [])
    for server in app, servers.start():
        assert post(server, INCOMING) == facts.HANGUP
        assert servers.lines.read()[-1]["reason"] == "replayed"


@one_database
def test_a_purged_call_leaves_nothing_in_memory_and_is_known_while_the_log_fails(
    opened: Opener, faulty: Store, log_url: str, clock: Clock
) -> None:
    log = opened(store=faulty)
    deliver(log, INCOMING, clock)
    clock.sleep(31 * DAY_S)
    assert eventually(lambda: rows(log_url) == [])
    assert eventually(lambda: log._memory.state(ID) is PURGED)
    faulty.fails = True  # type: ignore[attr-defined]
    assert deliver(log, INCOMING, clock) is PURGED


@pytest.mark.faults
def test_calls_are_purged_after_their_days_and_not_before(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened(keep_days=7)
    for n in range(120):
        deliver(log, numbered(n), clock)
    clock.sleep(6 * DAY_S)
    deliver(log, numbered(7), clock)
    deliver(log, INCOMING, clock)
    time.sleep(0.4)
    assert len(rows(log_url, "call-1")) == 1
    clock.sleep(DAY_S + 1)

    def purged() -> bool:
        clock.sleep(1)
        return not any(rows(log_url, f"call-{n}") for n in range(120))

    assert eventually(purged)
    assert len(rows(log_url)) == 1


@one_database
def test_a_purge_that_fails_is_reported_and_tried_again_later(
    opened: Opener,
    log_url: str,
    clock: Clock,
    notices: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> set[str]:
        raise StoreError("no purging")

    store = writer.store_of(log_url)
    monkeypatch.setattr(store, "older_than", fails)
    log = opened(store=store)
    clock.sleep(MIN_TRUSTED_S)
    assert eventually(lambda: notices == ["old calls are not purged or written down: no purging"])
    deliver(log, INCOMING, clock)
    assert log.health()["call_log"] == "ok"
