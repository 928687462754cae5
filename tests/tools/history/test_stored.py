"""What is read of a log: every call once, whatever of it is written down and whoever writes."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import facts
import pytest
from call_logs import all_rows, forget
from databases import EACH_DATABASE, log_in_sqlite
from helpers import START, payload, settings_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from old_logs import make_old_log

import events
from call_log.store import Row, Store, StoreError, microseconds, row_of
from calls import Decision, Delivery, Timestamp
from commands import Dial, Hangup, NoAction, Speak
from phone import PhoneNumber
from records import CallRecord, StoredEvent, fold
from routing import Reason
from tools.history import conditions, stored
from tools.history.stored import StoredCalls
from tools.history.totals import CallSummary, summary_of

log_url = log_in_sqlite


DAY = timedelta(days=1)
NOTHING = Decision(NoAction())
DIAL = Decision(Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID)))
REFUSED = Decision(Hangup(), Reason.NOT_LISTED)
ASKED = Decision(Speak("Press 1.", collect_digit=True), accept_digit="1")
END = b'{"event":"call_completed","reference_id":"%b","data":{}}'
SAID = [
    (payload("incoming_call"), DIAL),
    (payload("incoming_call_not_listed"), REFUSED),
    (payload("dial_completed_answered"), NOTHING),
    (payload("dial_completed_answered"), ASKED),
    (payload("dial_completed_busy"), NOTHING),
    (payload("speak_completed_digit_1"), NOTHING),
    (payload("unknown_event"), NOTHING),
    (payload("call_completed"), NOTHING),
    (END, NOTHING),
]
IDS = ("a", "b", "SIMULATED1")


def row(call: str, said: tuple[bytes, Decision], time: datetime) -> Row:
    body = said[0].replace(facts.REFERENCE_ID.encode(), call.encode())
    body = body.replace(b"%b", call.encode())
    return row_of(Delivery(events.parse(body), body, Timestamp(time, 0.0)), said[1])


HISTORIES = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(SAID), st.sampled_from([0, 1, 600, 20_000])),
    max_size=12,
)


@EACH_DATABASE
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=HISTORIES, is_overdue=st.booleans(), purged=st.sets(st.sampled_from(IDS), max_size=1)
)
def test_what_is_read_is_the_fold_of_what_is_kept_however_much_is_written_down(
    store: Store,
    history: list[tuple[str, tuple[bytes, Decision], int]],
    is_overdue: bool,
    purged: set[str],
) -> None:
    for table in ("call_event", "call_record", "purged_call"):
        store.execute(f"DELETE FROM {table}")
    store.execute("UPDATE record_counter SET recorded_to = 0")
    now = START
    for call, said, seconds in history:
        now += timedelta(seconds=seconds)
        with store.transaction([call]):
            store.keep([row(call, said, now)])
    while is_overdue and store.record_overdue(microseconds(now)):
        pass
    if purged:
        store.purge(purged)
    expected = {call: folded for call in IDS if (folded := fold_of(store, call, now))}
    log = StoredCalls(store)
    records = log.records(conditions.ANY, now)
    assert {record.reference_id: replace(record, number=None) for record in records} == expected
    assert [record.began for record in records] == sorted(
        (record.began for record in records), reverse=True
    )
    assert log.count(conditions.ANY, now) == len(expected)
    summaries = sorted(log.summaries(START - 999 * DAY, now + DAY, now), key=texts_of)
    assert summaries == sorted(map(summary_of, expected.values()), key=texts_of)
    for call, record in expected.items():
        found = log.call(call, now)
        assert found is not None
        assert replace(found[0], number=None) == record
    for wanted in conditions.is_live(), conditions.SIMULATED, ~conditions.is_equal("reason", ""):
        names = {record.reference_id for record in log.records(wanted, now)}
        assert names == {call for call, record in expected.items() if wanted.passes(record)}
        assert log.count(wanted, now) == len(names)
        assert sum(log.refusals(wanted, now).values()) == sum(
            expected[name].reason is not None for name in names
        )


def texts_of(summary: CallSummary) -> list[str]:
    return [str(value) for value in summary]


def fold_of(store: Store, call: str, now: datetime) -> CallRecord | None:
    kept: list[StoredEvent] = [row.to_stored() for row in store.rows([call])]
    if not kept:
        return None
    is_old = now - min(event.first_seen for event in kept) >= timedelta(hours=4, minutes=10)
    return fold(kept, is_old=is_old)


def connected(call: str, began: datetime) -> list[Row]:
    answered = (payload("dial_completed_answered"), NOTHING)
    return [row(call, (payload("incoming_call"), DIAL), began), row(call, answered, began)]


@contextlib.contextmanager
def reading_while(url: str, statement: int, happens: Callable[[], None]) -> Iterator[StoredCalls]:
    """Open a log to read it; something happens before a statement of this number."""
    with stored.reading(settings_of(call_log=url)) as log, pytest.MonkeyPatch.context() as patch:
        execute, numbers = log.store.execute, itertools.count(1)

        def execute_late(sql: str, values: Sequence[object] = ()) -> list[Any]:
            if next(numbers) == statement:
                happens()
            return execute(sql, values)

        patch.setattr(log.store, "execute", execute_late)
        yield log


@EACH_DATABASE
@pytest.mark.parametrize("statement", range(1, 6))
@pytest.mark.parametrize("limit", [None, 2])
def test_a_call_that_ends_while_it_is_read_is_shown_once(
    store: Store, log_url: str, statement: int, limit: int | None
) -> None:
    for number, call in enumerate(("first", "second")):
        store.keep(connected(call, START + timedelta(seconds=number)))
    ends = [row(call, (END, NOTHING), START + timedelta(minutes=1)) for call in ("first", "second")]
    now = START + timedelta(minutes=2)
    with reading_while(log_url, statement, lambda: store.keep(ends)) as log:
        names = [record.reference_id for record in log.records(conditions.ANY, now, limit)]
        assert names == ["second", "first"]
    with reading_while(log_url, statement, lambda: store.keep(ends)) as log:
        assert len([*log.summaries(START, now, now)]) == 2
    with reading_while(log_url, statement, lambda: store.keep(ends)) as log:
        assert len([*log.parties(conditions.ANY, now)]) == 2
    with reading_while(log_url, statement, lambda: store.keep(ends)) as log:
        named = log.by_ids(["second", "first"], now)
        assert [record.reference_id for record in named] == ["second", "first"]


@EACH_DATABASE
@pytest.mark.parametrize("statement", range(1, 5))
def test_a_call_that_is_purged_while_it_is_read_does_no_harm(
    store: Store, log_url: str, statement: int
) -> None:
    store.keep(connected("one", START))
    with reading_while(log_url, statement, lambda: forget(log_url, "one")) as log:
        assert len(log.records(conditions.ANY, START)) <= 1
        assert len([*log.summaries(START, START + DAY, START)]) <= 1
        assert len(log.by_ids(["one"], START)) <= 1


@EACH_DATABASE
def test_a_log_of_an_older_version_is_read_and_not_changed(log_url: str) -> None:
    ended = row("ended", (END, NOTHING), START + timedelta(minutes=1))
    rows = [*connected("ended", START), ended, *connected("live", START + DAY)]
    lost = connected("lost", START - DAY)
    make_old_log(log_url, *lost, *rows)
    now = START + DAY
    with stored.reading(settings_of(call_log=log_url)) as log:
        dispositions = [
            (record.reference_id, record.disposition.value, record.number)
            for record in log.records(conditions.ANY, now)
        ]
        assert dispositions == [
            ("live", "in progress", None),
            ("ended", "connected", None),
            ("lost", "unknown", None),
        ]
        found = log.call("ended", now)
        assert found is not None
        assert (found[0].talk_s, len(found[1])) == (60.0, 3)
        assert len([*log.summaries(START, now, now)]) == 1
    assert all_rows(log_url) == [*lost, *rows]


def test_what_is_left_of_a_purged_call_is_no_call_but_has_a_ladder(
    store: Store, log_url: str
) -> None:
    store.keep(connected("one", START))
    forget(log_url, "one")
    store.keep([row("one", (END, NOTHING), START)], purged={"one"})
    log = StoredCalls(store)
    assert log.records(conditions.ANY, START) == []
    found = log.call("one", START)
    assert found is not None
    assert (found[0].caller, [kept.body for kept in found[1]]) == (None, [""])
    assert log.call("another", START) is None


def test_a_log_that_is_not_kept_is_said_to_be_so() -> None:
    with (
        pytest.raises(StoreError, match="call_log is empty, so no call is kept"),
        stored.reading(settings_of(call_log="")),
    ):
        pass


def test_the_last_event_may_be_that_of_a_simulated_call(store: Store) -> None:
    log = StoredCalls(store)
    assert log.last_event(with_simulated=True) is None
    store.keep([*connected("one", START), *connected("SIMULATED1", START + DAY)])
    assert log.last_event(with_simulated=False) == START
    assert log.last_event(with_simulated=True) == START + DAY


def test_events_come_a_page_at_a_time_in_the_order_that_was_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_PAGE", 2)
    names = [f"call-{number}" for number in range(5)]
    for name in names:
        store.keep(connected(name, START))
    asked = [*reversed(names), "no such call"]
    found = [kept[0].event.reference_id for kept in StoredCalls(store).events_of(asked)]
    assert found == [*reversed(names)]
