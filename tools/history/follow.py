"""Reports each call once, in the order of numbers, when its record is a second old.

Numbers are given in the order of commits (`Store.keep`), so what is above the last one that was
reported is all that is new, however often this is killed and begun again. What a record is
corrected by within its first second is in it; what comes later is not reported.

How old a record is, neither clock can say: it was written by that of a server. So the newest number
is read at each turn, and what was there a second ago is reported. The time is passed in.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime

from call_log.store import Store, StoreError, microseconds
from records import CallRecord
from tools.history.conditions import Condition
from tools.history.stored import StoredCalls

TURN_S = 0.2
"""How often there has to be a turn."""

_MIN_AGE_S = 1.0
_PAGE = 200
# A server has noticed by then that its file was replaced, and has removed what belongs to the old
# one: SQLite would read the new one with it.
_TURNS_TO_NOTICE = 2
_MAX_REPORTED = 10_000


class Follower:
    """Reads the records of a log that may fail, be missing or be replaced, and goes on by itself.

    It begins after the number `after`; with `None`, with what is written down from `now` on.
    `report` gets each record that passes, `say` each fault, once until another comes or the log is
    well.
    """

    def __init__(
        self,
        store: Store,
        wanted: Condition,
        report: Callable[[CallRecord], None],
        say: Callable[[str], None],
        *,
        after: int | None,
        now: datetime,
    ) -> None:
        self._store, self._wanted, self._report, self._say = store, wanted, report, say
        self._last, self._began = after, microseconds(now)
        self._log: StoredCalls | None = None
        self._fault = ""
        self._readings: deque[tuple[float, int]] = deque()
        self._turns_replaced, self._is_lower = 0, False
        self._reported: deque[str] = deque(maxlen=_MAX_REPORTED)
        self._reported_before: set[str] = set()

    def turn(self, now_s: float) -> None:
        """Report what is old enough, by the monotonic time. Raises only what `report` raises."""
        try:
            self._report_due(now_s)
        except StoreError as error:
            self.close()
            if f"{error}" != self._fault:
                self._say(f"waiting until the call log can be read: {error}")
            self._fault = f"{error}"
        else:
            self._fault = ""

    def close(self) -> None:
        """Disconnect."""
        self._store.close()
        self._log = None

    def _report_due(self, now_s: float) -> None:
        log = self._log or self._open()
        if self._is_replaced():
            # What a server still writes into the old file it also keeps in the new one.
            self._report_up_to(log.newest(), log)
            self.close()
            log = self._open()
        newest = log.newest()
        if self._last is None:
            # A log that could not be read at first may hold calls that came meanwhile.
            self._last = min(newest, self._began) if self._fault else newest
        self._check_numbers(newest)
        self._readings.append((now_s, newest))
        while self._readings[0][0] <= now_s - _MIN_AGE_S:
            self._report_up_to(self._readings[0][1], log)
            self._readings.popleft()

    def _check_numbers(self, newest: int) -> None:
        """Say it, once, if this log will not come to the number that was reported last for long."""
        is_lower = 0 < newest < (self._last or 0)
        if is_lower and not self._is_lower:
            numbers = f"the newest call in the log has the number {newest}, lower than {self._last}"
            self._say(f"{numbers}: is it another log? To be told of its calls use --after 0")
        self._is_lower = is_lower

    def _open(self) -> StoredCalls:
        self._store.open(write=False)
        self._log, self._turns_replaced = StoredCalls(self._store), 0
        self._log.check_version()
        self._reported_before = set(self._reported)
        return self._log

    def _is_replaced(self) -> bool:
        """Whether the file has not been the one at its path for long enough."""
        self._turns_replaced = self._turns_replaced + 1 if self._store.is_replaced() else 0
        return self._turns_replaced > _TURNS_TO_NOTICE

    def _report_up_to(self, number: int, log: StoredCalls) -> None:
        while self._last is not None and self._last < number:
            page = log.records_between(self._last, number, self._wanted, _PAGE)
            for record in page:
                # A server whose file was replaced keeps its last events again, in the new one.
                if record.reference_id not in self._reported_before:
                    self._report(record)
                    self._reported.append(record.reference_id)
                self._last = record.number
            if len(page) < _PAGE:
                self._last = number
