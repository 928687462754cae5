"""What a time brought, counted: calls a day by what became of them, refusals, wait and talk.

It counts outlines of events and not whole records, so that a million of them take a second. What
became of a call means what it means in `call_log.records`; times are those at which the server
received the events. No I/O and no clock: a zone comes as a function from a time to its day.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import events
from call_log.store import microseconds, utc
from events import CallCompleted, EventError
from records import Disposition, says_no_answer
from tools.history.outline import KINDS, EventOutline, Kind
from tools.history.simulated import is_simulated

_OF_EARLIER_CALLS = ("replayed", "conflicting")
_COLUMNS = 5
_OTHER, _INCOMING, _ANSWERED, _FAILED, _ENDED = range(_COLUMNS)
_COLUMN_OF_KIND = (_OTHER, _INCOMING, _INCOMING, _ANSWERED, _FAILED, _ENDED)
_REFUSED, _DIAL_FAILED = int(Kind.REFUSED), int(Kind.DIAL_FAILED)
_says_no_answer = lru_cache(says_no_answer)  # few statuses differ
_QUARTER_HOUR = 900_000_000  # no zone is set by less
_DAY = timedelta(days=1)


class CallOutline(NamedTuple):
    """A call, as a report counts it. Times and how long something took are whole microseconds.

    `started` is when the `incoming_call` came, else the first of its events. `wait` is from there
    to the answer, `talk` from the answer to the end.
    """

    reference_id: str
    started: int
    disposition: Disposition
    reason: str | None = None
    wait: int | None = None
    talk: int | None = None


class Heard:
    """What was heard of many calls: of each, when it came, was answered, failed and ended.

    Times are whole numbers as outlines have them, the kind in them; 0 is none. Of several events
    of one kind the first that is added counts.
    """

    def __init__(self, outlines: Iterable[EventOutline] = ()) -> None:
        self._calls: dict[str, list[int]] = {}
        self._reasons: dict[str, str] = {}
        self._rang: set[str] = set()
        self._twice: set[str] = set()
        self.add(outlines)

    def add(self, outlines: Iterable[EventOutline]) -> None:
        """Add events: a million of them, so that each costs no more than it must."""
        calls, column = self._calls, _COLUMN_OF_KIND
        for reference_id, packed, detail in outlines:
            times = calls.get(reference_id)
            if times is None:
                calls[reference_id] = times = [0] * _COLUMNS
            which = column[packed % KINDS]
            if times[which]:
                self._twice.add(reference_id)
            else:
                times[which] = packed
            if detail is not None:
                self._add_detail(reference_id, packed, detail)

    def _add_detail(self, reference_id: str, packed: int, detail: str) -> None:
        if packed % KINDS == _REFUSED:
            if packed in self._calls[reference_id]:
                self._reasons.setdefault(reference_id, detail)
        elif packed % KINDS == _DIAL_FAILED and _says_no_answer(detail):
            self._rang.add(reference_id)

    def drop(self, reference_ids: Iterable[str]) -> None:
        """Forget what was heard of some calls."""
        for each in reference_ids:
            self._calls.pop(each, None)
            self._reasons.pop(each, None)
            self._rang.discard(each)

    def doubtful(self) -> set[str]:
        """Return the calls of which more is perhaps kept than was added, or in another order."""
        began_earlier = {each for each, times in self._calls.items() if not times[_INCOMING]}
        began_earlier |= {
            each for each, reason in self._reasons.items() if reason in _OF_EARLIER_CALLS
        }
        return began_earlier | self._twice

    def unclear(self) -> list[str]:
        """Return the calls of which only the body of a `call_completed` tells who answered."""
        return [
            reference_id
            for reference_id, (_, incoming, answered, failed, ended) in self._calls.items()
            if ended and not answered and not failed and incoming % KINDS != _REFUSED
        ]

    def calls(self, answered_by_body: Set[str] = frozenset()) -> Iterator[CallOutline]:
        """Yield each call, given those whose bodies tell of an answer."""
        for reference_id, times in self._calls.items():
            _, incoming, answered, _, ended = times
            started = (incoming or min(filter(None, times))) // KINDS
            if incoming % KINDS == _REFUSED:
                reason = self._reasons.get(reference_id, "")
                yield CallOutline(reference_id, started, Disposition.REFUSED, reason)
            elif answered:  # a clock set back makes no time negative
                since = answered // KINDS
                wait = max(since - started, 0) if incoming else None
                talk = max(ended // KINDS - since, 0) if ended else None
                yield CallOutline(reference_id, started, Disposition.ANSWERED, None, wait, talk)
            elif reference_id in answered_by_body:
                yield CallOutline(reference_id, started, Disposition.ANSWERED)
            else:
                yield CallOutline(reference_id, started, self._unanswered(reference_id, times))

    def _unanswered(self, reference_id: str, times: Sequence[int]) -> Disposition:
        if times[_FAILED]:
            rang = reference_id in self._rang
            return Disposition.NO_ANSWER if rang else Disposition.FAILED
        is_whole = times[_INCOMING] and times[_ENDED]
        return Disposition.NO_ANSWER if is_whole else Disposition.UNKNOWN


@dataclass(frozen=True, slots=True)
class Tally:
    """How many calls, by what became of them; `other` are in progress, or their end is unknown."""

    calls: int
    connected: int
    refused: int
    failed: int
    no_answer: int
    other: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in seconds: half of all times are no longer, and 95 in 100."""

    median_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a time brought. `days` are all from that of the first call on, also empty ones.

    `wait` is from the `incoming_call` to the answer, `talk` from there to the end; `None` where no
    call had any. `simulated` is how many calls are simulated, counted or left out.
    """

    days: tuple[tuple[date, Tally], ...]
    total: Tally
    refusals: dict[str, int]
    wait: Spread | None
    talk: Spread | None
    simulated: int


def tells_of_answer(body: bytes) -> bool:
    """Tell whether a `call_completed` reports that the called person answered."""
    try:
        event = events.parse(body)
    except EventError:  # purged, or what an older program took
        return False
    legs = event.legs if isinstance(event, CallCompleted) else ()
    return any(leg.direction == "outbound" and leg.answered for leg in legs)


def report(
    calls: Iterable[CallOutline],
    *,
    since: datetime,
    until: datetime,
    with_simulated: bool = False,
    day_of: Callable[[datetime], date] = datetime.date,
) -> Report:
    """Count the calls that started from `since` on and before `until`."""
    first, last = microseconds(since), microseconds(until)
    within = [each for each in calls if first <= each.started < last]
    real = [each for each in within if not is_simulated(each.reference_id)]
    counted = within if with_simulated else real
    starts: defaultdict[Disposition, list[int]] = defaultdict(list)
    for each in counted:
        starts[each.disposition].append(each.started)
    return Report(
        days=tuple(_days(starts, until, day_of)),
        total=_tally({end: len(times) for end, times in starts.items()}),
        refusals=by_frequency(each.reason for each in counted if each.reason is not None),
        wait=_spread(each.wait for each in counted if each.wait is not None),
        talk=_spread(each.talk for each in counted if each.talk is not None),
        simulated=len(within) - len(real),
    )


def _days(
    starts: Mapping[Disposition, Iterable[int]],
    until: datetime,
    day_of: Callable[[datetime], date],
) -> Iterator[tuple[date, Tally]]:
    """Yield each day from the first that had a call, to the last of the time."""
    days: defaultdict[date, Counter[Disposition]] = defaultdict(Counter)
    for end, times in starts.items():
        for quarter, count in Counter([time // _QUARTER_HOUR for time in times]).items():
            days[day_of(utc(quarter * _QUARTER_HOUR))][end] += count
    last = day_of(until - timedelta(microseconds=1))
    day = min(days, default=last + _DAY)
    while day <= last:
        yield day, _tally(days[day])
        day += _DAY


def _tally(counts: Mapping[Disposition, int]) -> Tally:
    return Tally(
        calls=sum(counts.values()),
        connected=counts.get(Disposition.ANSWERED, 0),
        refused=counts.get(Disposition.REFUSED, 0),
        failed=counts.get(Disposition.FAILED, 0),
        no_answer=counts.get(Disposition.NO_ANSWER, 0),
        other=counts.get(Disposition.UNKNOWN, 0),
    )


def by_frequency(reasons: Iterable[str]) -> dict[str, int]:
    """Return how often each reason was given, the most frequent first."""
    return dict(sorted(Counter(reasons).items(), key=lambda each: (-each[1], each[0])))


def _spread(times: Iterable[int]) -> Spread | None:
    """Return the times, in microseconds, at the two ranks; each is one that occurred."""
    ranked = sorted(times)
    if not ranked:
        return None
    median, p95 = (ranked[-(-len(ranked) * percent // 100) - 1] / 1_000_000 for percent in (50, 95))
    return Spread(median, p95)
