"""What waits for the log: one line, each delivery once while it fails, within bounds."""

from collections.abc import Callable

import pytest
from call_logs import DIAL, FaultyStore, Opener, deliver, numbered, rows
from databases import one_database
from helpers import Clock, eventually

import events
from call_log import waiting
from call_log.waiting import Job, WaitingLine
from call_log.writer import CallLog
from calls import UNKNOWN, Delivery

NOW = Clock()()


def job(n: int, body: bytes = b"", *, answered: bool = True) -> Job:
    """Return a job of a call, answered from memory unless told otherwise."""
    incoming = numbered(n)
    made = Job(Delivery(events.parse(incoming), body or incoming, NOW), lambda _: DIAL)
    if answered:
        made.decide_by(UNKNOWN)
        made.answer()
    return made


def has_recovered(log: CallLog) -> Callable[[], bool]:
    return lambda: log.health()["call_log"] == "ok"


@one_database
def test_repeats_take_one_place_and_push_nothing_out(
    opened: Opener,
    faulty: FaultyStore,
    log_url: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "MAX_BYTES", 100_000)
    log = opened(store=faulty)
    faulty.fails = True
    for n in range(20):
        deliver(log, numbered(n), clock)
        for _ in range(50):
            deliver(log, numbered(0), clock)
    assert log.health()["waiting_events"] == 20
    assert log.health()["dropped_events"] == 0
    faulty.fails = False
    assert eventually(has_recovered(log))
    counts = [kept.deliveries for n in range(20) for kept in rows(log_url, f"call-{n}")]
    assert counts == [1001, *[1] * 19]


@one_database
def test_what_finds_no_room_is_answered_and_counted_and_pushes_nothing_out(
    opened: Opener,
    faulty: FaultyStore,
    log_url: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The room is bytes: an event of 60 kB takes that of 40 ordinary ones."""
    monkeypatch.setattr(waiting, "MAX_BYTES", 200_000)
    log = opened(store=faulty)
    faulty.fails = True
    deliver(log, numbered(0), clock)
    for n in range(1, 9):
        long = numbered(n).replace(b'"data":', b'"more": "%s", "data":' % (b"x" * 60_000), 1)
        assert len(long) > 60_000
        deliver(log, long, clock)
    deliver(log, numbered(9), clock)  # of which there is room
    assert log.health()["waiting_events"] == 5
    assert log.health()["dropped_events"] == 5
    faulty.fails = False
    assert eventually(has_recovered(log))
    kept = [n for n in range(10) if rows(log_url, f"call-{n}")]
    assert kept == [0, 1, 2, 3, 9]


def test_what_is_kept_leaves_its_room_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_BYTES", 12_000)
    line = WaitingLine()
    for time in range(5):
        fits = [line.add_answered(job(n, b"%d" % time * 3_000)) for n in range(3)]
        assert fits == [True, True, False]
        line.remove(line.hold())
        assert len(line) == 0


def test_an_answered_repeat_is_counted_with_its_like_but_not_with_one_that_is_held() -> None:
    line = WaitingLine()
    first, second, third, fourth = (job(1) for _ in range(4))
    assert line.add_answered(first)
    assert line.add_answered(second)
    held = line.hold()
    assert line.add_answered(third)
    assert line.add_answered(fourth)
    assert [(job.row.deliveries if job.row else 0) for job in line] == [2, 2]
    line.remove(held)
    assert list(line) == [third]


def test_what_nobody_has_answered_is_never_counted_with_another() -> None:
    """Each request waits for its own."""
    line = WaitingLine()
    assert line.add_answered(job(1))
    for _ in range(2):
        line.put(job(1, answered=False))
    assert len(line) == 3


def test_what_could_not_be_kept_stays_first() -> None:
    line = WaitingLine()
    jobs = [job(n) for n in range(3)]
    for waiting_job in jobs[:2]:
        line.add_answered(waiting_job)
    held = line.hold()
    line.add_answered(jobs[2])
    line.release(held)
    assert line.hold() == jobs
    assert "call-0" in line
    line.remove(jobs)
    assert "call-0" not in line


def test_large_events_are_kept_a_few_at_a_time() -> None:
    """A database gives up a statement that takes too long, and would do so again and again."""
    line = WaitingLine()
    jobs = [job(n, b"%06d" % n * 10_000) for n in range(200)]
    for waiting_job in jobs:
        line.add_answered(waiting_job)
    assert line.hold() == jobs[:16]
    assert not line.is_short
    line.remove(jobs[:190])
    assert line.is_short
