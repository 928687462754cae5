"""Deliveries in each database: decided by what is kept, by one server or several."""

import itertools
import time
from functools import partial
from typing import Any

import facts
import pytest
from call_logs import (
    COMPLETED,
    DIAL,
    ID,
    INCOMING,
    Opener,
    Servers,
    at_once,
    deliver,
    forget,
    numbered,
    rows,
)
from databases import behind_a_pooler_too, one_database
from helpers import Clock, payload, post
from reply_table import CASES, Case

import events
from call_log.store import utc
from calls import PURGED, UNKNOWN, CallState, Decision, Delivery, Timestamp


@one_database
@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row.event}-{'-'.join(row.before)}")
def test_the_reply_table_holds_across_restarts(servers: Servers, row: Case) -> None:
    for name in row.before:
        post(servers.start(**row.settings), payload(name))
    assert post(servers.start(**row.settings), payload(row.event)) == row.answer


@one_database
@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row.event}-{'-'.join(row.before)}")
def test_the_reply_table_holds_with_two_servers_on_one_log(servers: Servers, row: Case) -> None:
    one, other = servers.start(**row.settings), servers.start(**row.settings)
    for name in row.before:
        post(one, payload(name))
        one, other = other, one
    assert post(one, payload(row.event)) == row.answer


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("seconds", "answer"), [(120, facts.DIAL), (121, facts.HANGUP)])
def test_a_repeat_is_answered_as_before_for_two_minutes(
    servers: Servers, clock: Clock, restart: bool, seconds: int, answer: dict[str, Any]
) -> None:
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(seconds)
    assert post(servers.start() if restart else app, INCOMING) == answer


@one_database
def test_a_repeat_after_its_row_was_removed_is_refused(servers: Servers) -> None:
    assert post(servers.start(), INCOMING) == facts.DIAL
    without = facts.ALLOW_LIST.replace(f"{facts.DIALLED},,", "12025550103,,")
    assert post(servers.start(without), INCOMING) == facts.HANGUP
    assert servers.lines.read()[-1]["reason"] == "not_listed"


@behind_a_pooler_too
def test_different_copies_at_two_servers_at_once_get_one_dial(servers: Servers) -> None:
    both = "to,from,destination,caller_id_number\n" + "".join(
        f"{facts.DIALLED},1202555012{n},1202555013{n},{facts.MASKING_ID}\n" for n in range(6)
    )
    apps = [servers.start(both), servers.start(both)]
    for call in range(10):
        bodies = [
            numbered(call).replace(facts.CALLER.encode(), f"1202555012{n}".encode())
            for n in range(6)
        ]
        answers: list[Any] = []

        def deliver(app: Any, body: bytes, answers: list[Any] = answers) -> None:
            answers.append(post(app, body))

        at_once([partial(deliver, *args) for args in zip(apps * 3, bodies, strict=True)])
        dialled = [answer for answer in answers if answer["method"] == "dial"]
        assert len(dialled) == 1, dialled


@behind_a_pooler_too
def test_fifty_copies_at_once_are_one_row(opened: Opener, log_url: str) -> None:
    log = opened()

    def deliver_one() -> None:
        event, time = events.parse(COMPLETED), Timestamp(utc(next(times)), 0.0)
        log.answer(Delivery(event, COMPLETED, time), lambda _: DIAL)

    times = itertools.count()
    at_once([deliver_one] * 50)
    (row,) = rows(log_url)
    assert row.deliveries == 50


@one_database
def test_an_unforeseen_error_is_that_of_one_event_alone(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    def broken(_: CallState) -> Decision:
        raise KeyError

    log = opened()
    with pytest.raises(KeyError):
        log.answer(Delivery(events.parse(INCOMING), INCOMING, clock()), broken)
    assert deliver(log, COMPLETED, clock) is UNKNOWN
    assert [row.event for row in rows(log_url)] == ["call_completed"]
    assert log.health()["call_log"] == "ok"


@one_database
@pytest.mark.faults
def test_copies_at_a_slow_log_never_get_two_dials(
    opened: Opener, faulty: Any, clock: Clock
) -> None:
    """One decided by the writer and not kept yet, one that cannot wait: they know of each other."""
    other = INCOMING.replace(facts.CALLER.encode(), facts.STRANGER.encode())
    knew: list[CallState] = []
    log = opened(store=faulty)
    faulty.commits_after_s = 1.5

    def deliver_later(body: bytes, after_s: float) -> None:
        time.sleep(after_s)
        knew.append(deliver(log, body, clock))

    at_once([partial(deliver_later, *args) for args in ((INCOMING, 0), (other, 0.2), (other, 0.7))])
    assert sorted(known.incoming is None for known in knew) == [False, False, True]


@behind_a_pooler_too
def test_a_call_that_was_forgotten_leaves_nothing_when_it_goes_on(
    opened: Opener, log_url: str, clock: Clock
) -> None:
    log = opened()
    deliver(log, INCOMING, clock)
    forget(log_url, ID)
    assert deliver(log, COMPLETED, clock) is PURGED
    assert deliver(log, INCOMING, clock) is PURGED
    for row in rows(log_url):
        assert (row.caller, row.dialled, row.body) == (None, None, b"")
        assert row.reply == '{"method":"dial"}'
    assert [row.event for row in rows(log_url)] == ["call_completed", "incoming_call"]
