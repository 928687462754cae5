"""A call of the log: its record, and the events that the record is folded from. No I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from records import CallRecord, Disposition, StoredEvent, record


class LoggedCall(NamedTuple):
    """A call as the log holds it, the events in the order in which they were kept."""

    record: CallRecord
    events: Sequence[StoredEvent]

    @property
    def is_answered(self) -> bool:
        """Whether the called person answered."""
        return self.record.disposition is Disposition.ANSWERED

    @property
    def later_reasons(self) -> list[str]:
        """The reasons for which events were refused, but for the one that the record has."""
        reasons = dict.fromkeys(each.reason for each in self.events if each.reason)
        return [each for each in reasons if each != self.record.reason]


def logged_call(events: Sequence[StoredEvent], now: datetime) -> LoggedCall:
    """Return the call of these events, of which there is at least one."""
    return LoggedCall(record(events, now), events)
