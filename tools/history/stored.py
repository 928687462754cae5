"""What the commands of this folder read: settings and list without a key, and calls of the log.

The only file here that knows how the log is opened, how a row of it becomes an event, and which
calls pass a filter.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import events
import phone
from call_log import writer
from call_log.store import Row, Store, StoreError, microseconds, utc
from config import API_KEY, CUSTOMER_ID, ConfigError, Settings
from events import EventError, IncomingCall
from phone import PhoneNumber
from records import StoredEvent
from routing import AllowList
from serving.sources import load, read_settings
from tools.history.logged_call import LoggedCall, logged_call
from tools.history.search import ends_in, has_number_ending, held
from tools.history.simulated import is_simulated

_PAGE = 200
_MAX_CLOCKS_APART = timedelta(days=1)
_EARLIEST = utc(0) + _MAX_CLOCKS_APART


def settings_of(path: Path | None) -> Settings:
    """Return the settings; the allow-list may be faulty. Raises `ConfigError` for faults."""
    settings, faults = read_settings(path, _without_key(), serving=False)
    if faults:
        raise ConfigError(faults)
    return settings


def settings_and_list(path: Path | None) -> tuple[Settings, AllowList]:
    """Return both. Raises `ConfigError` for faults."""
    settings, live = load(path, _without_key(), serving=False)
    return settings, live.current


def _without_key() -> dict[str, str]:
    """Return the environment: nobody is answered here, so a missing key is in nobody's way."""
    return {name: text for name, text in os.environ.items() if name not in (CUSTOMER_ID, API_KEY)}


@contextlib.contextmanager
def reading(settings: Settings) -> Iterator["StoredCalls"]:
    """Open the log to read it. Raises `StoreError`, also where none is kept."""
    if not settings.call_log:
        raise StoreError("call_log is empty, so no call is kept")
    store = writer.store_of(settings.call_log)
    store.open(write=False)
    try:
        yield StoredCalls(store, settings.home_country_code)
    finally:
        store.close()


@dataclass(frozen=True, slots=True)
class Filters:
    """What calls have to pass; `None` lets every call pass.

    `digits` are those of a whole number, which is found in whatever form and text it is, or its
    last ones. A call passes the `reason` for which any of its events was refused.
    """

    since: datetime | None = None
    until: datetime | None = None
    digits: str | None = None
    disposition: str | None = None
    reason: str | None = None
    home_country_code: str = ""

    def may_hold(self) -> Callable[[str], bool]:
        """Return a test of whether a text may hold the number; it passes some that do not."""
        digits = self.digits or ""
        ends, holds = ends_in(digits), self._holds()
        return lambda text: ends(text) or holds(text)

    def _holds(self) -> Callable[[str], bool]:
        """Return a test of whether a text holds the number, if it is a whole one."""
        if not phone.is_number(self.digits):
            return lambda _: False
        holds = held(PhoneNumber(self.digits or ""), self.home_country_code)
        return lambda text: bool(holds(text))

    def passes(self, call: LoggedCall) -> bool:
        """Whether a call passes."""
        created = call.record.created
        return (
            (self.since is None or created >= self.since)
            and (self.until is None or created < self.until)
            and self.disposition in (None, call.record.disposition)
            and (self.reason is None or any(each.reason == self.reason for each in call.events))
            and (self.digits is None or self._is_in(call, PhoneNumber(self.digits)))
        )

    def _is_in(self, call: LoggedCall, digits: PhoneNumber) -> bool:
        if has_number_ending(call.record, digits):
            return True
        texts = (text for each in call.events for text in (each.body, json.dumps(each.reply)))
        return any(map(self._holds(), texts))


class StoredCalls:
    """The calls of an open log; simulated ones only where they are asked for."""

    def __init__(self, store: Store, home_country_code: str) -> None:
        self.store, self._home = store, home_country_code

    def passing(self, filters: Filters, now: datetime, *, simulated: bool) -> Iterator[LoggedCall]:
        """Return the calls that pass the filters, the last active first."""
        since = 0
        if filters.since is not None:  # by TeleSign's clock, where the log goes by the server's
            since = microseconds(max(filters.since, _EARLIEST) - _MAX_CLOCKS_APART)
        newest = self.store.newest_calls(since)
        ids = (each for each in newest if simulated or not is_simulated(each))
        if filters.reason is not None:
            rows = self.store.newest_rows()
            refused = {each.reference_id for each in rows if each.reason == filters.reason}
            ids = (each for each in ids if each in refused)
        if filters.digits is not None:
            holding = self.store.calls_where(filters.may_hold())
            ids = (each for each in ids if each in holding)
        return (each for each in self.calls(ids, now) if filters.passes(each))

    def calls(self, reference_ids: Iterable[str], now: datetime) -> Iterator[LoggedCall]:
        """Yield each of some calls, in this order; fewer, if some were purged."""
        ids = iter(reference_ids)
        while page := list(islice(ids, _PAGE)):
            kept: dict[str, list[StoredEvent]] = {}
            for row in self.store.rows(page):
                kept.setdefault(row.reference_id, []).append(self._stored(row))
            yield from (logged_call(kept[each], now) for each in page if each in kept)

    def ending(self, name: str, now: datetime) -> list[LoggedCall]:
        """Return the calls whose reference ids end like this, simulated ones too."""
        ids = [each for each in self.store.newest_calls() if each.endswith(name)]
        return list(self.calls(ids, now))

    def incoming(self, most: int, *, simulated: bool) -> list[Row]:
        """Return every `incoming_call` among the newest events, without bodies, newest first."""
        return [
            row
            for row in islice(self.store.newest_rows(), most)
            if row.event == IncomingCall.name and (simulated or not is_simulated(row.reference_id))
        ]

    def _stored(self, row: Row) -> StoredEvent:
        try:
            event = events.parse(row.body, home_country_code=self._home)
        except EventError:  # purged, or what an older program took and this one would not
            event = row.to_event()
        seen = utc(row.first_seen), utc(row.last_seen)
        return StoredEvent(event, row.wire, row.reason, *seen, row.deliveries, row.body.decode())
