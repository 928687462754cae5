"""The writer: what is answered while the log works, fails, is slow, and recovers."""

import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from call_logs import (
    COMPLETED,
    DIAL,
    ID,
    INCOMING,
    Opener,
    at_once,
    deliver,
    forget,
    numbered,
    rows,
)
from databases import behind_a_pooler_too, one_database
from helpers import Clock, eventually, payload

import events
from call_log import writer
from call_log.store import StoreError, microseconds
from calls import PURGED, UNKNOWN, Decision, Delivery, LogUnavailable
from commands import Hangup
from routing import Reason


def test_closing_keeps_what_is_queued(opened: Opener, log_url: str, clock: Clock) -> None:
    log = opened()
    threads = [
        threading.Thread(target=deliver, args=(log, numbered(n), clock), daemon=True)
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
    opened: Opener, faulty: Any, log_url: str, clock: Clock, notices: list[str]
) -> None:
    log = opened(store=faulty)
    deliver(log, INCOMING, clock)
    faulty.fails = True
    known, seconds = timed(lambda: deliver(log, payload("dial_completed_busy"), clock))
    assert known.incoming is not None
    assert seconds < 0.7
    assert deliver(log, payload("speak_completed"), clock).dial_failed
    with pytest.raises(LogUnavailable):
        deliver(log, COMPLETED, clock)
    with pytest.raises(LogUnavailable):
        deliver(log, payload("unknown_event"), clock)
    assert log.health() == {
        "call_log": "failing",
        "waiting_events": 4,
        "answered_unkept": 2,
        "dropped_events": 0,
    }
    faulty.fails = False
    assert eventually(lambda: log.health()["call_log"] == "ok", 1)
    assert [row.event for row in rows(log_url)] == [
        "incoming_call",
        "dial_completed",
        "speak_completed",
        "call_completed",
        "call_transferred",
    ]
    assert notices == [
        "the call log is failing, events are held in memory: no database",
        "the call log has recovered, all events that were held are kept",
    ]


@one_database
@pytest.mark.faults
def test_a_slow_log_is_waited_for_once(
    opened: Opener, faulty: Any, log_url: str, clock: Clock, notices: list[str]
) -> None:
    log = opened(store=faulty)
    faulty.takes_s = 1.5
    assert 0.5 <= timed(lambda: deliver(log, numbered(1), clock))[1] < 0.7
    assert timed(lambda: deliver(log, numbered(2), clock))[1] < 0.1
    faulty.takes_s = 0
    assert eventually(lambda: log.health()["call_log"] == "ok", 3)
    assert all(len(rows(log_url, f"call-{n}")) == 1 for n in (1, 2))
    assert "takes longer than 500 ms" in notices[0]


@one_database
def test_a_replay_is_known_while_the_log_fails(opened: Opener, faulty: Any, clock: Clock) -> None:
    log = opened(store=faulty)
    faulty.fails = True
    assert deliver(log, INCOMING, clock) is UNKNOWN
    assert deliver(log, INCOMING, clock).incoming is not None


@one_database
def test_the_decision_that_was_answered_is_the_one_that_is_kept(
    opened: Opener, faulty: Any, log_url: str, clock: Clock
) -> None:
    log = opened(store=faulty)
    faulty.fails = True
    decisions = [DIAL, Decision(Hangup(), Reason.NOT_LISTED)]
    delivery = Delivery(events.parse(INCOMING), INCOMING, clock())
    assert log.answer(delivery, lambda _: decisions.pop(0))[1] == DIAL
    faulty.fails = False
    assert eventually(lambda: log.health()["call_log"] == "ok")
    (row,) = rows(log_url)
    assert row.wire == DIAL.command.to_wire()


@behind_a_pooler_too
def test_a_commit_in_doubt_is_repeated_and_counted_once(
    opened: Opener, faulty: Any, log_url: str, clock: Clock, notices: list[str]
) -> None:
    log = opened(store=faulty)
    faulty.loses_the_answer = True
    deliver(log, INCOMING, clock)
    (row,) = rows(log_url)
    assert row.deliveries == 1
    assert notices == []


@one_database
@pytest.mark.faults
def test_a_load_that_the_log_can_bear_does_not_keep_it_failing(
    opened: Opener, faulty: Any, clock: Clock
) -> None:
    log = opened(store=faulty)
    faulty.takes_s = 0.8
    deliver(log, numbered(0), clock)
    faulty.takes_s = 0.1
    ending = threading.Event()

    def call() -> None:
        while not ending.wait(0.005):
            deliver(log, payload("dial_completed_answered"), clock)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: log.health()["call_log"] == "ok", 2)
    ending.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("error", [sqlite3.IntegrityError("a number"), KeyError("a number")])
def test_an_event_that_is_refused_lets_the_others_pass(
    opened: Opener, faulty: Any, log_url: str, clock: Clock, notices: list[str], error: Exception
) -> None:
    log = opened(store=faulty)
    faulty.refuses, faulty.takes_s = (b"call-3", error), 0.02
    at_once([lambda n=n: deliver(log, numbered(n), clock) for n in range(6)])  # type: ignore[misc]

    def kept() -> list[int]:
        return [n for n in range(6) if rows(log_url, f"call-{n}")]

    assert eventually(lambda: kept() == [0, 1, 2, 4, 5])
    assert log.health()["dropped_events"] == 1
    assert [line for line in notices if "dropped" in line] == [
        f"an event could not be kept and was dropped: {type(error).__name__}"
    ]


def test_a_call_that_is_forgotten_while_the_log_fails_leaves_nothing(
    opened: Opener, faulty: Any, log_url: str, clock: Clock
) -> None:
    """A repeat is answered as before by what is in memory, and kept when the call is gone."""
    log = opened(store=faulty)
    deliver(log, INCOMING, clock)
    faulty.fails = True
    assert deliver(log, INCOMING, clock).incoming is not None
    deliver(log, payload("dial_completed_answered"), clock)
    forget(log_url, ID)
    faulty.fails = False
    assert eventually(lambda: log.health()["call_log"] == "ok")
    seen = microseconds(clock.utc)
    assert [row[:1] + row[3:] for row in rows(log_url)] == [
        (ID, None, None, None, '{"method":"dial"}', None, seen, seen, 1, None, None, b"")
    ] * 2
    assert log._memory.state(ID) is PURGED
    assert deliver(log, COMPLETED, clock) is PURGED
    faulty.fails = True
    assert deliver(log, INCOMING, clock) is PURGED  # nor is anything left in memory


def test_without_the_driver_the_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "call_log.postgresql", raising=False)
    with pytest.raises(StoreError, match=r"install requirements-postgresql\.txt"):
        writer.store_of("postgresql://db.example/calls")
