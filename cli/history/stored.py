"""What the commands of this folder read: settings and list without a key, and what the log holds.

The only file here that knows how the log is opened, and how a row of it becomes an event.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import events
from app import load
from call_log import writer
from call_log.records import StoredEvent
from call_log.store import Row, Store, StoreError, microseconds, utc
from config import API_KEY, CUSTOMER_ID, Settings
from events import EventError, IncomingCall
from insight.simulated import is_simulated
from insight.why import Incoming
from routing import AllowList

_PAGE = 200
_MAX_CLOCKS_APART = timedelta(days=1)
_EARLIEST = utc(0) + _MAX_CLOCKS_APART

Call = tuple[StoredEvent, ...]
"""All that is kept of one call, as it came."""


class NoLogError(Exception):
    """There is no log, or none that can be read; the message says why."""


def settings_and_list(path: Path | None) -> tuple[Settings, AllowList]:
    """Return both. Raises `ConfigError` for faults, but not for a missing or faulty key.

    Nobody is answered here, so a secret that is not there yet is in nobody's way.
    """
    rest = {name: text for name, text in os.environ.items() if name not in (CUSTOMER_ID, API_KEY)}
    settings, live = load(path, rest, serving=False)
    return settings, live.current


@contextlib.contextmanager
def reading(settings: Settings) -> Iterator["StoredCalls"]:
    """Open the log to read it. Raises `NoLogError`, also when it fails while it is read."""
    if not settings.call_log:
        raise NoLogError("call_log is empty, so no call is kept")
    try:
        store = writer.store_of(settings.call_log)
        store.open(write=False)
        try:
            yield StoredCalls(store, settings.home_country_code)
        finally:
            store.close()
    except StoreError as error:
        raise NoLogError(str(error)) from None


class StoredCalls:
    """The calls of an open log; simulated ones only where they are asked for."""

    def __init__(self, store: Store, home_country_code: str) -> None:
        self._store, self._home = store, home_country_code

    def incoming(self, most: int, *, simulated: bool) -> list[Incoming]:
        """Return every `incoming_call` among the newest events, at most so many, newest first."""
        return [
            _incoming(row, event)
            for row in islice(self._store.newest_rows(), most)
            if isinstance(event := row.to_event(), IncomingCall)
            and (simulated or not is_simulated(row.reference_id))
        ]

    def calls(self, reference_ids: Iterable[str]) -> Iterator[Call]:
        """Yield all that is kept of each of some calls, in this order; less, if purged."""
        ids = iter(reference_ids)
        while page := list(islice(ids, _PAGE)):
            heard: dict[str, list[StoredEvent]] = {}
            for row in self._store.rows(page):
                heard.setdefault(row.reference_id, []).append(self._event(row))
            yield from (tuple(heard[each]) for each in page if each in heard)

    def newest(self, most: int) -> list[Call]:
        """Return the calls that were last heard of, at most so many, none of them simulated."""
        return list(self.calls(islice(self.newest_ids(simulated=False), most)))

    def newest_ids(self, since: datetime | None = None, *, simulated: bool) -> Iterator[str]:
        """Yield the ids of all calls that may have begun since then, the last active first."""
        first = 0 if since is None else microseconds(max(since, _EARLIEST) - _MAX_CLOCKS_APART)
        ids = self._store.newest_calls(first)
        return (each for each in ids if simulated or not is_simulated(each))

    def ids_where(self, passes: Callable[[str], bool]) -> set[str]:
        """Return the ids of the calls of which a number, the reply or the body passes a test."""
        return self._store.calls_where(passes)

    def ids_refused(self, reason: str) -> set[str]:
        """Return the ids of the calls of which an event was refused for this reason."""
        return {row.reference_id for row in self._store.newest_rows() if row.reason == reason}

    def ids_ending(self, ending: str) -> list[str]:
        """Return the ids of all calls that end like this, simulated ones too."""
        return [each for each in self._store.newest_calls() if each.endswith(ending)]

    def _event(self, row: Row) -> StoredEvent:
        try:
            event = events.parse(row.body, home_country_code=self._home)
        except EventError:  # purged, or what an older program took and this one would not
            event = row.to_event()
        seen = utc(row.first_seen), utc(row.last_seen)
        return StoredEvent(event, row.wire, row.reason, *seen, row.deliveries, row.body.decode())


def _incoming(row: Row, event: IncomingCall) -> Incoming:
    params = row.wire.get("params")  # a purged call keeps none
    destination = params.get("to") if isinstance(params, dict) else None
    seen = utc(row.first_seen)
    return Incoming(row.reference_id, event.dialled, event.caller, row.reason, seen, destination)
