"""What a report counts: calls by what became of them, on their days, and how long they took."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from helpers import START
from stored_calls import record_with

from call_log.store import microseconds
from records import Disposition
from tools.history.totals import (
    MAX_DAYS,
    CallSummary,
    Report,
    Spread,
    Tally,
    by_frequency,
    report,
    summary_of,
)

DAY = timedelta(days=1)
UNTIL = START + 3 * DAY


def call(
    end: Disposition,
    days: float = 0,
    reason: str | None = None,
    wait_ms: int | None = None,
    talk_ms: int | None = None,
    *,
    simulated: bool = False,
) -> CallSummary:
    """Return a call that began so many days after the start."""
    began = microseconds(START + days * DAY)
    return CallSummary("one", began, end.value, reason, wait_ms, talk_ms, int(simulated))


def tally(calls: int, **counts: int) -> Tally:
    nothing = dict.fromkeys(Tally.__dataclass_fields__, 0)
    return Tally(**{**nothing, "calls": calls, **counts})


CALLS = [
    call(Disposition.CONNECTED, -1, None, 8_000, 100_000),
    call(Disposition.REFUSED, 0, "not_listed"),
    call(Disposition.REFUSED, 0, "expired"),
    call(Disposition.REFUSED, 0, "not_listed"),
    call(Disposition.CONNECTED, 2, None, 20_000, 50_000),
    call(Disposition.DECLINED, 2, None, 30_500),
    call(Disposition.FAILED, 2),
    call(Disposition.BUSY, 2),
    call(Disposition.NO_ANSWER, 2),
    call(Disposition.UNKNOWN, 2),
    call(Disposition.IN_PROGRESS, 2),
    call(Disposition.NO_ANSWER, 2, simulated=True),
]
LAST_DAY = {"connected": 1, "declined": 1, "failed": 1, "busy": 1, "no_answer": 1, "unknown": 1}


def test_a_whole_report_has_every_day_from_the_first_call_on() -> None:
    assert report(CALLS, until=UNTIL) == Report(
        days=(
            (date(2026, 11, 22), tally(1, connected=1)),
            (date(2026, 11, 23), tally(3, refused=3)),
            (date(2026, 11, 24), tally(0)),
            (date(2026, 11, 25), tally(7, **LAST_DAY)),
            (date(2026, 11, 26), tally(0)),
        ),
        total=tally(11, **{**LAST_DAY, "connected": 2, "refused": 3}),
        refusals={"not_listed": 2, "expired": 1},
        wait=Spread(19.5, 20.0, 30.5),
        talk=Spread(75.0, 50.0, 100.0),
        simulated=1,
        in_progress=1,
    )


def test_simulated_calls_count_only_where_that_is_asked_for() -> None:
    counted = report(CALLS, until=UNTIL, with_simulated=True)
    assert (counted.total.calls, counted.total.no_answer, counted.simulated) == (12, 2, 1)


def test_no_calls_have_no_days_and_no_times() -> None:
    nothing = Report((), tally(0), {}, None, None, simulated=0, in_progress=0)
    assert report([], until=UNTIL) == nothing


@pytest.mark.parametrize(("days_ago", "count"), [(MAX_DAYS - 1, MAX_DAYS), (MAX_DAYS, 2)])
def test_of_a_longer_time_only_the_days_that_had_a_call_are_told(days_ago: int, count: int) -> None:
    calls = [call(Disposition.UNKNOWN, -days_ago), call(Disposition.UNKNOWN)]
    days = report(calls, until=START + timedelta(seconds=1)).days
    assert len(days) == count
    first, last = START - days_ago * DAY, START
    assert [day for day, tally in days if tally.calls] == [first.date(), last.date()]


def test_the_first_and_the_last_day_that_there_are_do_no_harm() -> None:
    times = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    calls = [
        CallSummary("one", microseconds(time), "unknown", None, None, None, 0) for time in times
    ]
    days = report(calls, until=times[1]).days
    assert [day for day, _ in days] == [date.min, date.max]


def test_a_day_is_that_of_the_zone() -> None:
    east = timezone(timedelta(hours=5, minutes=45))
    late = START.replace(hour=18, minute=15)
    counted = report(
        [CallSummary("one", microseconds(late), "busy", None, None, None, 0)],
        until=late + timedelta(hours=1),
        day_of=lambda time: time.astimezone(east).date(),
    )
    assert counted.days == ((date(2026, 11, 24), tally(1, busy=1)),)


@pytest.mark.parametrize(
    ("seconds", "spread"),
    [
        ([7], Spread(7, 7, 7)),
        ([1, 2], Spread(1.5, 1, 2)),
        ([3, 1, 2], Spread(2, 2, 3)),
        (range(1, 101), Spread(50.5, 50, 95)),
    ],
)
def test_the_mean_stands_beside_the_time_that_half_of_all_waits_do_not_exceed(
    seconds: Iterable[int], spread: Spread
) -> None:
    calls = [call(Disposition.CONNECTED, 0, None, 1000 * n) for n in seconds]
    assert report(calls, until=UNTIL).wait == spread


def test_what_is_counted_of_a_record_is_what_its_row_has() -> None:
    known = {"reference_id": "SIMULATED1", "disposition": Disposition.REFUSED}
    record = record_with(**known, reason="expired", wait_s=1.5)
    expected = CallSummary("SIMULATED1", microseconds(START), "refused", "expired", 1_500, None, 1)
    assert summary_of(record) == expected


def test_the_most_frequent_reason_goes_first_and_then_the_alphabet() -> None:
    counts = {"caller_withheld": 1, "expired": 2, "bad_number": 1}
    found = list(by_frequency(counts).items())
    assert found == [("expired", 2), ("bad_number", 1), ("caller_withheld", 1)]
