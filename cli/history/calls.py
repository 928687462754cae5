"""The `calls` command: shows the last calls of the call log, or one call.

Without `--full`, at most the last four digits of a number are shown, whichever text it is in;
masking IDs are our own and shown whole. The log is only read.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import events
import phone
from call_log import writer
from call_log.records import CallRecord, State, StoredEvent, finds, record
from call_log.store import Row, Store, StoreError, microseconds, utc
from cli import console
from cli.console import CALLED, CALLER, SERVER, TELESIGN, Arrow
from config import Settings
from events import CallLeg, EventError
from phone import NoNumber

_FILTERS = ("since", "until", "number", "disposition")
_DEFAULT_LAST = 50
_PAGE_SIZE = 200
_MAX_COUNTED = 10_000
_MAX_FILTERED = 1_000  # older calls, to count those that match: a quarter of a second's work
_MIN_NUMBER_LIKE_S = 1_000_000  # seven digits: more likely a phone number
_KEYS = ("reference_id", "masking_id")
_NUMBERS = ("caller", "dialled", "destination", "from_number", "to_number")
_CSV_COLUMNS = tuple(each.name for each in fields(CallRecord) if each.name != "legs")
_TABLE = {
    "created": "created (UTC)",
    "caller": "caller",
    "dialled": "dialled",
    "destination": "reached",
    "masking_id": "who saw",
    "disposition": "disposition",
    "reason": "reason",
}
_MAX_CLOCKS_APART = timedelta(days=1)


def run(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    """Print one call or the last ones, as a table, JSON or CSV; return the exit status."""
    try:
        store = writer.store_of(settings.call_log)
        store.open(write=False)
        try:
            query = _Query(store, settings, options, now)
            return _show_last(query, options) if query.is_for_all else _show_one(query, options)
        finally:
            store.close()
    except StoreError as error:
        print(f"calls: {error}", file=sys.stderr)
        return 1


class _Query:
    """What the options ask of a call log."""

    def __init__(
        self, store: Store, settings: Settings, options: argparse.Namespace, now: datetime
    ) -> None:
        self._store, self._options = store, options
        self._home = settings.home_country_code
        self._now = now
        self.is_for_all = options.reference_id is None

    def one(self, reference_id: str) -> list[StoredEvent]:
        """Return the events of one call; none, if the log does not hold it."""
        return [self._stored_event(row) for row in self._store.rows([reference_id])]

    def last(self) -> tuple[list[CallRecord], str]:
        """Return the matching calls, the last active first, and how many are not shown."""
        last, ids = self._options.last, self._newest()
        if all(getattr(self._options, each) is None for each in _FILTERS):
            page = islice(ids, last or _DEFAULT_LAST)
            return list(filter(None, self._matches(page))), _not_shown(ids, _MAX_COUNTED)
        matches = self._matches(ids)
        found = list(islice(filter(None, matches), last))
        return found, _not_shown(matches, _MAX_FILTERED)

    def record(self, stored: list[StoredEvent]) -> CallRecord:
        """Return the record of a call."""
        return record(stored, self._now)

    def _newest(self) -> Iterator[str]:
        """Return the ids of calls, the last active first; more than match, never fewer."""
        since = self._options.since
        ids = self._store.newest_calls(
            microseconds(since - _MAX_CLOCKS_APART) if since is not None else 0
        )
        if (number := self._options.number) is not None:
            holding = self._store.calls_where(finds(number, self._home))
            ids = (each for each in ids if each in holding)
        return ids

    def _matches(self, ids: Iterator[str]) -> Iterator[CallRecord | None]:
        """Yield the record of each call, or `None` for one that the filters leave out."""
        while page := list(islice(ids, _PAGE_SIZE)):
            stored: dict[str, list[StoredEvent]] = {}
            for row in self._store.rows(page):  # fewer calls, if some were purged meanwhile
                stored.setdefault(row.reference_id, []).append(self._stored_event(row))
            calls = (self.record(stored[each]) for each in page if each in stored)
            yield from (each if self._passes(each) else None for each in calls)

    def _passes(self, call: CallRecord) -> bool:
        since, until = self._options.since, self._options.until
        return (
            (since is None or call.created >= since)
            and (until is None or call.created < until)
            and self._options.disposition in (None, call.disposition)
        )

    def _stored_event(self, row: Row) -> StoredEvent:
        try:
            event = events.parse(row.body, home_country_code=self._home)
        except EventError:  # accepted by an older version of this program
            event = row.to_event()
        seen = utc(row.first_seen), utc(row.last_seen)
        return StoredEvent(event, row.wire, row.reason, *seen, row.deliveries, row.body.decode())


def _not_shown(older: Iterator[object], limit: int) -> str:
    """Count the calls that come next, `None` being none; look at no more than `limit`."""
    looked_at = [each is not None for each in islice(older, limit + 1)]
    count = sum(looked_at[:limit])
    if len(looked_at) <= limit:
        return f"{count:,} older call(s) not shown" if count else ""
    return f"at least {count:,} older calls not shown" if count else "older calls were not searched"


def _show_last(query: _Query, options: argparse.Namespace) -> int:
    records, not_shown = query.last()
    if options.json:
        _print_json([_as_json(each, full=options.full) for each in records])
    elif options.csv:
        _write_csv(records, full=options.full)
    else:
        _print_table(records, full=options.full)
    if not_shown:
        print(f"calls: {not_shown}; a larger --last shows more", file=sys.stderr)
    return 0


def _show_one(query: _Query, options: argparse.Namespace) -> int:
    stored = query.one(options.reference_id)
    if not stored:
        wanted = "wanted the whole reference id of a call in the log"
        print(f"calls: {wanted}, got {options.reference_id!r}", file=sys.stderr)
        return 1
    call, full = query.record(stored), options.full
    if options.json:
        events_of_call = [_event_as_json(each, full=full) for each in stored]
        _print_json([_as_json(call, full=full) | {"events": events_of_call}])
    elif options.csv:
        _write_csv([call], full=full)
    else:
        _print_call(call, stored, full=full)
    return 0


def _print_json(values: list[dict[str, Any]]) -> None:
    print(json.dumps(values, indent=2))


def _as_json(value: Any, *, full: bool) -> dict[str, Any]:
    """Return a record, or a leg of one, as JSON takes it."""
    return {
        each.name: _cell(each.name, getattr(value, each.name), full=full) for each in fields(value)
    }


def _cell(name: str, value: Any, *, full: bool) -> Any:
    """Return the value of a field as JSON takes it, redacted unless `full`."""
    match value:
        case NoNumber():
            return value.value
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case tuple() if name == "legs":
            return [_as_json(leg, full=full) for leg in value]
        case tuple():
            return [_cell(name, each, full=full) for each in value]
        case str() if not full:
            return _redact(name, value)
        case int() | float() if name == "duration_s" and value >= _MIN_NUMBER_LIKE_S and not full:
            return None
        case _:
            return value


def _redact(name: str, text: str) -> str:
    """Return what is shown of a text without `--full`: the one rule for all texts.

    TeleSign chooses its words, so any of them may hold a number.
    """
    if name in _KEYS:
        return text
    if name in _NUMBERS:
        return phone.redact(text)
    if name == "collected":  # the keys that a person pressed may be a card's number
        return "*" * len(text)
    return phone.mask_digits(text)


def _event_as_json(stored: StoredEvent, *, full: bool) -> dict[str, Any]:
    reply: dict[str, Any] = stored.reply
    shown = {
        "event": _cell("event", stored.event.name, full=full),
        "reply": reply.get("method", "no action"),
        "reason": _cell("reason", stored.reason, full=full),
        "first_seen": _cell("first_seen", stored.first_seen, full=full),
        "last_seen": _cell("last_seen", stored.last_seen, full=full),
        "deliveries": stored.deliveries,
    }
    if not full:
        return shown
    return shown | {"body": json.loads(stored.body) if stored.body else None, "answer": reply}


def _write_csv(records: Iterable[CallRecord], *, full: bool) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(_CSV_COLUMNS)
    for each in records:
        values = _as_json(each, full=full)
        out.writerow(_csv_cell(values[name]) for name in _CSV_COLUMNS)


def _csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, and no terminal obeys."""
    if isinstance(value, list):
        value = " ".join(value)
    if isinstance(value, str):
        value = console.printable(value)
        return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value
    return value


def _print_table(records: list[CallRecord], *, full: bool) -> None:
    out = console.terminal()
    if not records:
        console.print_wrapped(out, "no calls: the log is empty, or no call passes the filters")
        return
    headers = (*_TABLE.values(), "talk", "reference id")
    console.print_table(out, headers, [_table_row(each, full=full) for each in records])


def _table_row(call: CallRecord, *, full: bool) -> list[str]:
    values = _as_json(call, full=full) | {"created": f"{call.created:%Y-%m-%d %H:%M:%S}"}
    cells = [str(values[name] or "") for name in _TABLE]
    talk = _minutes(call.talk_s) if call.state is State.ENDED else str(call.state)
    return [*cells, talk, console.printable(call.reference_id)]


def _minutes(seconds: float | None) -> str:
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _print_call(call: CallRecord, stored: list[StoredEvent], *, full: bool) -> None:
    out = console.terminal()
    console.print_ladder(out, _arrows(stored, full=full))
    out.print()
    for name, value in _as_json(call, full=full).items():
        if value not in (None, "", []) and name != "legs":
            text = " ".join(value) if isinstance(value, list) else value
            label, unit = name.removesuffix("_s").replace("_", " "), " s" * name.endswith("_s")
            console.print_wrapped(out, f"{label:<14} {text}{unit}")
    for leg in call.legs:
        console.print_wrapped(out, f"{'leg':<14} {_leg(leg, full=full)}")


def _leg(leg: CallLeg, *, full: bool) -> str:
    """Return a leg of a call in one line."""
    values = _as_json(leg, full=full)
    times = [f"{name} {values[name]}" for name in ("created", "answered", "ended") if values[name]]
    numbers = (
        f"{values['direction'] or 'unknown'}, {values['from_number']} to {values['to_number']}"
    )
    return ", ".join([numbers, *times])


def _arrows(stored: Iterable[StoredEvent], *, full: bool) -> Iterator[Arrow]:
    """Yield what passed between the parties, as far as the log shows it."""
    for each in stored:
        yield from _arrows_before(each, full=full)
        again = f" ({each.deliveries} times, last {each.last_seen:%H:%M:%S})"
        name = _cell("event", each.event.name, full=full)
        label = f"{each.first_seen:%H:%M:%S} {name}{again if each.deliveries > 1 else ''}"
        yield Arrow(TELESIGN, SERVER, label)
        yield from _arrows_of_reply(each, full=full)


def _arrows_before(stored: StoredEvent, *, full: bool) -> Iterator[Arrow]:
    """Yield what happened to the phones, so that TeleSign sent the event."""
    event = stored.event
    if isinstance(event, events.IncomingCall):
        caller, dialled = (
            _cell(name, getattr(event, name), full=full) for name in ("caller", "dialled")
        )
        yield Arrow(CALLER, TELESIGN, f"{caller} dials {dialled}")
    if isinstance(event, events.DialCompleted) and event.status is not None:
        yield Arrow(CALLED, TELESIGN, _cell("status", event.status, full=full))


def _arrows_of_reply(stored: StoredEvent, *, full: bool) -> Iterator[Arrow]:
    reply: dict[str, Any] = stored.reply
    reason = f" ({_cell('reason', stored.reason, full=full)})" if stored.reason else ""
    yield Arrow(SERVER, TELESIGN, f"{reply.get('method', 'no action')}{reason}")
    params = reply.get("params")
    if reply.get("method") == "dial" and isinstance(params, dict):  # a purged call keeps none
        destination = _cell("destination", params["to"], full=full)
        yield Arrow(TELESIGN, CALLED, f"rings {destination}, showing {params['caller_id_number']}")
