"""What a report counts: calls by what became of them, on their days, and how long they took."""

from collections.abc import Iterable
from datetime import date, timedelta, timezone

import pytest
from helpers import START, payload
from tools.history.outline import KINDS, EventOutline, Kind

from call_log.store import microseconds
from records import Disposition
from tools.history.totals import (
    CallOutline,
    Heard,
    Report,
    Spread,
    Tally,
    report,
    tells_of_answer,
)

NOON = microseconds(START)
SECOND = 1_000_000
DAY = 86_400 * SECOND
ANSWERED, NO_ANSWER = Disposition.ANSWERED, Disposition.NO_ANSWER
FAILED, REFUSED, UNKNOWN = Disposition.FAILED, Disposition.REFUSED, Disposition.UNKNOWN


def heard(*some: tuple[Kind, int] | tuple[Kind, int, str]) -> Iterable[EventOutline]:
    """Return events of one call: a kind, so many seconds after noon, and perhaps a detail."""
    for kind, seconds, *detail in some:
        packed = (NOON + seconds * SECOND) * KINDS + kind
        yield "call", packed, str(detail[0]) if detail else None


DIALLED = (Kind.DIALLED, 0)
END = (Kind.COMPLETED, 60)


@pytest.mark.parametrize(
    ("events", "call"),
    [
        (
            [DIALLED, (Kind.ANSWERED, 5), END],
            CallOutline("call", NOON, ANSWERED, None, 5 * SECOND, 55 * SECOND),
        ),
        (
            [END, (Kind.ANSWERED, 5), DIALLED],
            CallOutline("call", NOON, ANSWERED, None, 5 * SECOND, 55 * SECOND),
        ),
        ([DIALLED, (Kind.ANSWERED, 5)], CallOutline("call", NOON, ANSWERED, None, 5 * SECOND)),
        (
            [DIALLED, (Kind.DIAL_FAILED, 4, "busy"), (Kind.ANSWERED, 5)],
            CallOutline("call", NOON, ANSWERED, None, 5 * SECOND),
        ),
        ([DIALLED, (Kind.ANSWERED, -5)], CallOutline("call", NOON, ANSWERED, None, 0)),
        ([DIALLED], CallOutline("call", NOON, UNKNOWN)),
        ([DIALLED, END], CallOutline("call", NOON, NO_ANSWER)),
        ([DIALLED, (Kind.DIAL_FAILED, 5, "busy"), END], CallOutline("call", NOON, FAILED)),
        ([DIALLED, (Kind.DIAL_FAILED, 5, "NO_ANSWER")], CallOutline("call", NOON, NO_ANSWER)),
        (
            [DIALLED, (Kind.DIAL_FAILED, 5, "busy"), (Kind.DIAL_FAILED, 6, "no answer")],
            CallOutline("call", NOON, NO_ANSWER),
        ),
        (
            [(Kind.REFUSED, 0, "not_listed"), (Kind.ANSWERED, 5), END],
            CallOutline("call", NOON, REFUSED, "not_listed"),
        ),
        ([(Kind.REFUSED, 0)], CallOutline("call", NOON, REFUSED, "")),
        ([DIALLED, (Kind.REFUSED, 1, "replayed")], CallOutline("call", NOON, UNKNOWN)),
        ([END], CallOutline("call", NOON + 60 * SECOND, UNKNOWN)),
        ([(Kind.OTHER, 3), END], CallOutline("call", NOON + 3 * SECOND, UNKNOWN)),
        (
            [(Kind.ANSWERED, 5), END],
            CallOutline("call", NOON + 5 * SECOND, ANSWERED, None, None, 55 * SECOND),
        ),
    ],
)
def test_what_became_of_a_call_by_its_events(
    events: list[tuple[Kind, int]], call: CallOutline
) -> None:
    assert list(Heard(heard(*events)).calls()) == [call]


def test_a_body_may_tell_of_an_answer_where_no_event_does() -> None:
    some = Heard(heard(DIALLED, END))
    assert some.unclear() == ["call"]
    assert list(some.calls({"call"})) == [CallOutline("call", NOON, ANSWERED)]


@pytest.mark.parametrize(
    ("events", "is_doubtful"),
    [
        ([DIALLED, (Kind.ANSWERED, 5), END], False),
        ([(Kind.REFUSED, 0, "not_listed")], False),
        ([(Kind.REFUSED, 0, "replayed")], True),
        ([(Kind.REFUSED, 0, "conflicting")], True),
        ([DIALLED, (Kind.REFUSED, 1, "conflicting")], True),
        ([END], True),
    ],
)
def test_a_call_that_may_have_begun_earlier_is_read_again(
    events: list[tuple[Kind, int]], is_doubtful: bool
) -> None:
    some = Heard(heard(*events))
    assert (some.doubtful() == {"call"}) is is_doubtful
    some.drop(["call"])
    assert list(some.calls()) == []


COMPLETED = payload("call_completed")


@pytest.mark.parametrize(
    ("body", "tells"),
    [
        (COMPLETED, True),
        (COMPLETED.replace(b"outbound", b"\\u006futbound"), True),
        (COMPLETED.replace(b"outbound", b"inbound"), False),
        (COMPLETED.replace(b"2026-03-15T06:48:24.151", b"soon"), False),
        (COMPLETED.replace(b'"2026-03-15T06:48:24.151"', b"null"), False),
        (b"", False),
    ],
)
def test_a_body_tells_of_an_answer_where_the_called_persons_part_has_one(
    body: bytes, tells: bool
) -> None:
    assert tells_of_answer(body) is tells


def tally(calls: int, **others: int) -> Tally:
    return Tally(
        calls,
        *(others.get(name, 0) for name in ("connected", "refused", "failed", "no_answer", "other")),
    )


CALLS = [
    CallOutline("a", NOON - DAY, ANSWERED, None, 8 * SECOND, 100 * SECOND),
    CallOutline("b", NOON, REFUSED, "not_listed"),
    CallOutline("c", NOON, REFUSED, "expired"),
    CallOutline("d", NOON, REFUSED, "not_listed"),
    CallOutline("e", NOON + 2 * DAY, ANSWERED, None, 20 * SECOND, 50 * SECOND),
    CallOutline("f", NOON + 2 * DAY, FAILED),
    CallOutline("g", NOON + 2 * DAY, NO_ANSWER),
    CallOutline("SIMULATED1", NOON + 2 * DAY, UNKNOWN),
]
SINCE, UNTIL = START - timedelta(days=7), START + timedelta(days=3)


def test_a_whole_report_has_every_day_from_the_first_call_on() -> None:
    assert report(CALLS, since=SINCE, until=UNTIL) == Report(
        days=(
            (date(2026, 11, 22), tally(1, connected=1)),
            (date(2026, 11, 23), tally(3, refused=3)),
            (date(2026, 11, 24), tally(0)),
            (date(2026, 11, 25), tally(3, connected=1, failed=1, no_answer=1)),
            (date(2026, 11, 26), tally(0)),
        ),
        total=tally(7, connected=2, refused=3, failed=1, no_answer=1),
        refusals={"not_listed": 2, "expired": 1},
        wait=Spread(8.0, 20.0),
        talk=Spread(50.0, 100.0),
        simulated=1,
    )


def test_simulated_calls_count_only_where_that_is_asked_for() -> None:
    counted = report(CALLS, since=SINCE, until=UNTIL, with_simulated=True)
    assert (counted.total, counted.simulated) == (
        tally(8, connected=2, refused=3, failed=1, no_answer=1, other=1),
        1,
    )


def test_only_calls_that_started_within_the_time_count() -> None:
    counted = report(CALLS, since=START, until=START + timedelta(days=2))
    assert counted == Report(
        days=(
            (date(2026, 11, 23), tally(3, refused=3)),
            (date(2026, 11, 24), tally(0)),
            (date(2026, 11, 25), tally(0)),
        ),
        total=tally(3, refused=3),
        refusals={"not_listed": 2, "expired": 1},
        wait=None,
        talk=None,
        simulated=0,
    )


def test_no_calls_have_no_days() -> None:
    assert report([], since=SINCE, until=UNTIL).days == ()


def test_a_day_is_that_of_the_zone() -> None:
    east = timezone(timedelta(hours=5, minutes=45))
    late = START.replace(hour=18, minute=15)
    calls = [CallOutline("a", microseconds(late), UNKNOWN)]
    counted = report(
        calls,
        since=SINCE,
        until=UNTIL - timedelta(days=2),
        day_of=lambda time: time.astimezone(east).date(),
    )
    assert counted.days == ((date(2026, 11, 24), tally(1, other=1)),)


@pytest.mark.parametrize(
    ("seconds", "spread"),
    [
        ([7], Spread(7, 7)),
        ([1, 2], Spread(1, 2)),
        ([3, 1, 2], Spread(2, 3)),
        (range(1, 101), Spread(50, 95)),
    ],
)
def test_half_of_all_waits_are_no_longer_than_the_median(
    seconds: Iterable[int], spread: Spread
) -> None:
    calls = [CallOutline(str(n), NOON, ANSWERED, None, n * SECOND) for n in seconds]
    assert report(calls, since=SINCE, until=UNTIL).wait == spread
