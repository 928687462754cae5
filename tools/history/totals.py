"""What a time brought, counted: calls a day by what became of them, refusals, wait and talk.

It counts few columns of each record, so that a quarter of a million take a second. No I/O and no
clock: a zone comes as a function from a time to its day.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from call_log.store import microseconds, utc
from records import CallRecord, Disposition

MAX_DAYS = 400
"""Of a longer time only days that had a call are returned: one call may lie far from all others."""

_REFUSED = Disposition.REFUSED.value
_QUARTER_HOUR = 900_000_000  # no zone is set by less


class CallSummary(NamedTuple):
    """What is counted of a call; `began` is in microseconds, the others as the log has them."""

    reference_id: str
    began: int
    disposition: str
    reason: str | None
    wait_ms: int | None
    talk_ms: int | None
    simulated: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How many calls, by what became of them; those in progress are counted in `calls` alone."""

    calls: int
    connected: int
    declined: int
    no_answer: int
    busy: int
    failed: int
    refused: int
    unknown: int

    @property
    def other(self) -> int:
        """How many are in progress, or have an end that is not known."""
        named = (self.connected, self.declined, self.no_answer, self.busy, self.failed)
        return self.calls - sum(named) - self.refused


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in seconds: half of all times are no longer, and 95 in 100."""

    mean_s: float
    median_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a time brought. `days` are those from the first call on, also empty ones if not many.

    `wait` is from the `incoming_call` to the answer, `talk` of connected calls from there to the
    end; `None` where no call had any. `simulated` is how many calls are simulated, counted or left
    out, `in_progress` how many have no end yet.
    """

    days: tuple[tuple[date, Tally], ...]
    total: Tally
    refusals: dict[str, int]
    wait: Spread | None
    talk: Spread | None
    simulated: int
    in_progress: int


def summary_of(record: CallRecord) -> CallSummary:
    """Return what is counted of a record."""
    wait_ms, talk_ms = (
        None if seconds is None else round(seconds * 1000)
        for seconds in (record.wait_s, record.talk_s)
    )
    return CallSummary(
        record.reference_id,
        microseconds(record.began),
        record.disposition.value,
        record.reason,
        wait_ms,
        talk_ms,
        int(record.is_simulated),
    )


def report(
    summaries: Iterable[CallSummary],
    *,
    until: datetime,
    with_simulated: bool = False,
    day_of: Callable[[datetime], date] = datetime.date,
) -> Report:
    """Count the calls that began before `until`."""
    every = list(summaries)
    real = [summary for summary in every if not summary[-1]]
    counted = every if with_simulated else real
    quarters: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for _, began, disposition, _, _, _, _ in counted:
        quarters[disposition][began // _QUARTER_HOUR] += 1
    reasons = Counter(reason or "" for _, _, end, reason, _, _, _ in counted if end == _REFUSED)
    return Report(
        days=tuple(_days(quarters, until, day_of)),
        total=_tally({end: times.total() for end, times in quarters.items()}),
        refusals=by_frequency(reasons),
        wait=_spread([wait for _, _, _, _, wait, _, _ in counted if wait is not None]),
        talk=_spread([talk for _, _, _, _, _, talk, _ in counted if talk is not None]),
        simulated=len(every) - len(real),
        in_progress=quarters[Disposition.IN_PROGRESS.value].total(),
    )


def _days(
    quarters: Mapping[str, Counter[int]], until: datetime, day_of: Callable[[datetime], date]
) -> Iterator[tuple[date, Tally]]:
    """Yield each day from the first that had a call to the last of the time, if not too many."""
    days: defaultdict[date, Counter[str]] = defaultdict(Counter)
    for end, times in quarters.items():
        for quarter, count in times.items():
            days[day_of(utc(quarter * _QUARTER_HOUR))][end] += count
    first, last = min(days, default=None), day_of(until - timedelta(microseconds=1))
    listed = sorted(days)
    if first and (count := (last - first).days + 1) <= MAX_DAYS:
        listed = [first + timedelta(days=number) for number in range(count)]
    for day in listed:
        yield day, _tally(days[day])


def _tally(counts: Mapping[str, int]) -> Tally:
    def count(disposition: Disposition) -> int:
        return counts.get(disposition.value, 0)

    return Tally(
        calls=sum(counts.values()),
        connected=count(Disposition.CONNECTED),
        declined=count(Disposition.DECLINED),
        no_answer=count(Disposition.NO_ANSWER),
        busy=count(Disposition.BUSY),
        failed=count(Disposition.FAILED),
        refused=count(Disposition.REFUSED),
        unknown=count(Disposition.UNKNOWN),
    )


def by_frequency(reasons: Mapping[str, int]) -> dict[str, int]:
    """Return the same counts, the most frequent first."""
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _spread(times_ms: list[int]) -> Spread | None:
    """Return the mean, and the times at the two ranks; each of these is one that occurred."""
    if not times_ms:
        return None
    ranked = sorted(times_ms)
    median, p95 = (ranked[-(-len(ranked) * percent // 100) - 1] / 1000 for percent in (50, 95))
    return Spread(round(sum(ranked) / len(ranked) / 1000, 3), median, p95)
