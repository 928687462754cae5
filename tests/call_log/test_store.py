"""The tables of the call log, in each database: one row a delivery key, counted."""

import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import facts
import pytest
from call_logs import (
    DIAL,
    ID,
    INCOMING,
    Opener,
    at_once,
    deliver,
    rows,
)
from databases import behind_a_pooler_too
from helpers import START, Clock
from old_logs import make_old_log

import events
from call_log import writer
from call_log.store import Row, StoreError, microseconds, row_of
from call_log.writer import CallLog
from calls import Decision, Delivery
from commands import Hangup
from routing import Reason


@behind_a_pooler_too
def test_what_is_answered_is_kept_whole(opened: Opener, log_url: str, clock: Clock) -> None:
    deliver(opened(), INCOMING, clock)
    seen = microseconds(START)
    assert rows(log_url) == [
        Row(
            ID,
            "incoming_call",
            sha256(INCOMING).digest(),
            caller=facts.CALLER,
            dialled=facts.DIALLED,
            status=None,
            reply=json.dumps(DIAL.command.to_wire(), separators=(",", ":")),
            reason=None,
            first_seen=seen,
            last_seen=seen,
            deliveries=1,
            row_line=None,
            accept_digit=None,
            body=INCOMING,
        )
    ]


def test_a_repeated_delivery_is_counted_and_its_first_reply_stays(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened()
    deliver(log, INCOMING, clock)
    (first,) = rows(log_url)
    clock.sleep(5)
    assert deliver(log, INCOMING, clock, Decision(Hangup(), Reason.REPLAYED)).incoming is not None
    later = microseconds(START + timedelta(seconds=5))
    assert rows(log_url) == [first._replace(last_seen=later, deliveries=2)]


def kept_at_once(url: str, some: list[Row]) -> list[Row]:
    """Return what is kept when a log is given all of these together."""
    store = writer.store_of(url)
    store.open()
    try:
        with store.transaction():
            store.keep(some)
        return store.rows({row.reference_id for row in some})
    finally:
        store.close()


def test_of_events_that_are_kept_at_once_only_true_copies_are_one_row(
    log_url: str, clock: Clock
) -> None:
    one = row_of(Delivery(events.parse(INCOMING), INCOMING, clock()), DIAL)
    different = [
        one,
        one._replace(sha256=sha256(b"another body").digest()),
        one._replace(event="dial_completed"),
        one._replace(reference_id="another call"),
    ]
    later = one.last_seen + 1_000_000
    copies = [row._replace(last_seen=later) for row in different]
    assert kept_at_once(log_url, different + copies) == [
        row._replace(deliveries=2, last_seen=later) for row in different
    ]


def test_of_many_events_that_are_kept_at_once_none_is_lost(log_url: str, clock: Clock) -> None:
    one = row_of(Delivery(events.parse(INCOMING), INCOMING, clock()), DIAL)
    many = [one._replace(reference_id=f"call-{n}") for n in range(450)]
    assert kept_at_once(log_url, many) == many


def test_a_row_that_a_database_does_not_take_is_no_fault_of_the_database(
    log_url: str, clock: Clock
) -> None:
    """For others are still kept, and nobody has to connect anew."""
    one = row_of(Delivery(events.parse(INCOMING), INCOMING, clock()), DIAL)
    odd: Any = None
    store = writer.store_of(log_url)
    store.open()
    with pytest.raises(Exception, match=r"(?i)not.null") as caught, store.transaction():
        store.keep([one._replace(reply=odd)])
    assert not isinstance(caught.value, StoreError)
    with store.transaction():
        store.keep([one])
    assert store.rows([ID]) == [one]
    store.close()


@behind_a_pooler_too
def test_many_servers_may_start_at_once(log_url: str, clock: Clock) -> None:
    logs: list[CallLog] = []

    def start() -> None:
        store = writer.store_of(log_url)
        logs.append(CallLog(store, print, keep_days=1, clock=clock))

    at_once([start] * 8)
    assert len(logs) == 8
    for log in logs:
        log.close()


def test_a_log_of_an_older_version_is_read_and_written_on(log_url: str, clock: Clock) -> None:
    row = row_of(Delivery(events.parse(INCOMING), INCOMING, clock()), DIAL)
    make_old_log(log_url, row)
    assert rows(log_url) == [row]  # by a reader, which changes nothing
    log = CallLog(writer.store_of(log_url), print, keep_days=30, clock=clock)
    clock.sleep(1)
    assert deliver(log, INCOMING, clock).reply == DIAL.command.to_wire()
    log.close()
    (kept,) = rows(log_url)
    assert (kept.deliveries, kept.row_line, kept.accept_digit) == (2, None, None)
