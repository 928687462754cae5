"""The table of records: each call that is over is written down once, and kept up to date."""

import threading
import time
from dataclasses import replace
from datetime import timedelta
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
    deliver,
    forget,
    numbered,
    written_down,
)
from databases import EACH_DATABASE, one_database
from helpers import Clock, eventually, payload

import events
from call_log import writer
from call_log.store import Row, Store, microseconds, row_of
from calls import Decision, Delivery, LogUnavailable
from records import Disposition, fold
from tools.history import conditions
from tools.history.stored import StoredCalls

ANSWERED = payload("dial_completed_answered")


def of(call: str, body: bytes) -> bytes:
    return body.replace(ID.encode(), call.encode())


def folded(rows: list[Row], number: int | None) -> Any:
    return replace(fold([row.to_stored() for row in rows], is_old=True), number=number)


def assert_records_are_folds(url: str) -> None:
    """Every record is the fold of all events of its call."""
    store = writer.store_of(url)
    store.open(write=False)
    try:
        for record in written_down(url):
            assert record == folded(store.rows([record.reference_id]), record.number)
    finally:
        store.close()


def test_a_call_is_written_down_with_its_end(opened: Opener, log_url: str, clock: Clock) -> None:
    log = opened()
    deliver(log, INCOMING, clock)
    clock.sleep(5)
    deliver(log, ANSWERED, clock, Decision(DIAL.command))
    assert written_down(log_url) == []
    clock.sleep(55)
    deliver(log, COMPLETED, clock)
    (record,) = written_down(log_url)
    assert (record.reference_id, record.disposition) == (ID, Disposition.CONNECTED)
    assert (record.caller, record.dialled) == (facts.CALLER, facts.DIALLED)
    assert record.number is not None
    assert_records_are_folds(log_url)


@EACH_DATABASE
@pytest.mark.parametrize("end_first", [False, True])
def test_of_a_call_that_we_did_not_dial_the_record_has_the_id_that_any_event_echoes(
    opened: Opener, log_url: str, clock: Clock, *, end_first: bool
) -> None:
    log = opened()
    echoed = ANSWERED.replace(b'"data"', b'"external_id": "order-5", "data"')
    for body in (COMPLETED, echoed) if end_first else (echoed, COMPLETED):
        deliver(log, body, clock)
    (record,) = written_down(log_url)
    assert (record.external_id, record.disposition) == ("order-5", Disposition.CONNECTED)
    assert_records_are_folds(log_url)


@EACH_DATABASE
def test_what_comes_after_the_end_brings_the_record_up_to_date_and_keeps_its_number(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened()
    deliver(log, INCOMING, clock)
    deliver(log, of(ID, payload("dial_completed_busy")), clock)
    end = COMPLETED.replace(b'"outbound"', b'"elsewhere"')
    deliver(log, end, clock)
    (before,) = written_down(log_url)
    deliver(log, numbered(1), clock)
    deliver(log, of("call-1", COMPLETED), clock)
    deliver(log, ANSWERED, clock)
    deliver(log, ANSWERED, clock)
    first, _ = written_down(log_url)
    assert before.disposition is Disposition.BUSY
    assert (first.disposition, first.number) == (Disposition.CONNECTED, before.number)
    assert_records_are_folds(log_url)


@EACH_DATABASE
def test_numbers_grow_from_one_record_to_the_next_and_are_at_least_the_time(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    started = time.time_ns() // 1_000
    log = opened()
    for n in range(20):
        deliver(log, of(f"call-{n}", COMPLETED), clock)
    numbers = [record.number or 0 for record in written_down(log_url)]
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= started
    log.close()
    forget(log_url, *(f"call-{n}" for n in range(20)))
    deliver(opened(), of("call-20", COMPLETED), clock)
    (record,) = written_down(log_url)
    assert (record.number or 0) > numbers[-1]


@pytest.mark.faults
@EACH_DATABASE
def test_a_reader_never_sees_a_higher_number_before_a_lower_one(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    """Two servers write, and what a reader has seen up to the last number is all there is."""
    logs = [opened(), opened()]

    def write(server: int) -> None:
        for n in range(200):
            deliver(logs[server], of(f"call-{server}-{n}", COMPLETED), clock)

    writers = [threading.Thread(target=write, args=(server,)) for server in range(2)]
    for thread in writers:
        thread.start()
    seen: list[int] = []
    while any(thread.is_alive() for thread in writers):
        seen += [number for number in all_numbers(log_url) if number > (seen[-1] if seen else 0)]
    seen += [number for number in all_numbers(log_url) if number > seen[-1]]
    assert seen == all_numbers(log_url)
    assert len(seen) == 400


def all_numbers(url: str) -> list[int]:
    return [record.number or 0 for record in written_down(url)]


@EACH_DATABASE
def test_a_call_whose_end_never_came_is_written_down_as_unknown_in_time(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened()
    deliver(log, INCOMING, clock)
    clock.sleep(4 * 3600 + 9 * 60)
    deliver(log, numbered(1), clock)
    assert written_down(log_url) == []
    clock.sleep(2 * 60)
    assert eventually(lambda: len(written_down(log_url)) == 1)
    (record,) = written_down(log_url)
    assert (record.reference_id, record.disposition) == (ID, Disposition.UNKNOWN)
    deliver(log, COMPLETED, clock)
    (ended,) = written_down(log_url)
    assert (ended.disposition, ended.number) == (Disposition.CONNECTED, record.number)
    assert_records_are_folds(log_url)


@EACH_DATABASE
def test_a_purged_call_has_no_record_whatever_comes_for_it(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened()
    deliver(log, INCOMING, clock)
    deliver(log, COMPLETED, clock)
    forget(log_url, ID)
    assert written_down(log_url) == []
    deliver(log, COMPLETED, clock)
    deliver(log, ANSWERED, clock)
    clock.sleep(5 * 3600)
    deliver(log, numbered(1), clock)
    clock.sleep(5 * 3600)
    assert eventually(lambda: len(written_down(log_url)) == 1)
    assert [record.reference_id for record in written_down(log_url)] == ["call-1"]


@EACH_DATABASE
def test_what_a_saved_file_brings_in_is_written_down_too(
    opened: Opener, faulty: FaultyStore, log_url: str, clock: Clock, monkeypatch: Any
) -> None:
    monkeypatch.setattr(writer, "_MAX_CLOSING_S", 0.05)
    log = opened(store=faulty)
    faulty.fails = True
    deliver(log, INCOMING, clock)
    deliver(log, ANSWERED, clock, Decision(DIAL.command))
    with pytest.raises(LogUnavailable):
        deliver(log, COMPLETED, clock)
    log.close()
    opened()
    (record,) = written_down(log_url)
    assert record.disposition is Disposition.CONNECTED
    assert_records_are_folds(log_url)


@one_database
def test_a_clock_that_was_ahead_holds_no_record_up(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened()
    clock.utc += timedelta(days=365)
    deliver(log, INCOMING, clock)
    clock.utc -= timedelta(days=365)
    deliver(log, numbered(1), clock)
    clock.sleep(5 * 3600)
    assert eventually(lambda: len(written_down(log_url)) == 2)


@EACH_DATABASE
def test_events_of_calls_that_are_written_down_are_not_looked_at_again(
    opened: Opener, log_url: str, clock: Clock, notices: list[str]
) -> None:
    """Readers look for calls without an end behind them."""
    log = opened()
    for n in range(3):
        deliver(log, numbered(n), clock)
        deliver(log, of(f"call-{n}", COMPLETED), clock)
    deliver(log, numbered(3), clock)
    deliver(log, of("call-4", COMPLETED), clock)
    log.close()
    store = writer.store_of(log_url)
    store.open()
    now = microseconds(clock.utc)
    while store.record_overdue(now):
        pass
    left = "SELECT count(*) FROM call_event, record_counter WHERE id > recorded_to"
    assert store.execute(left) == [(2,)]
    store.close()
    assert notices == []


@EACH_DATABASE
def test_calls_after_a_deletion_of_the_last_events_are_looked_at(
    store: Store, clock: Clock
) -> None:
    """SQLite gives their ids to the events that come next."""
    for n in range(3):
        keep_now(store, clock, numbered(n), of(f"call-{n}", COMPLETED))
    while store.record_overdue(microseconds(clock.utc)):
        pass
    store.purge({"call-1", "call-2"})
    keep_now(store, clock, numbered(3))
    wanted = conditions.is_live()
    live_calls = StoredCalls(store).records(wanted, clock.utc)
    assert [record.reference_id for record in live_calls] == ["call-3"]
    clock.sleep(5 * 3600)
    while store.record_overdue(microseconds(clock.utc)):
        pass
    newest = StoredCalls(store).records(conditions.ANY, clock.utc, 1)
    assert [(record.reference_id, record.disposition) for record in newest] == [
        ("call-3", Disposition.UNKNOWN)
    ]
    assert newest[0].number is not None


def keep_now(store: Store, clock: Clock, *bodies: bytes) -> None:
    with store.transaction():
        store.keep([row_of(Delivery(events.parse(body), body, clock()), DIAL) for body in bodies])
