"""What the call log tells a person: the last calls, one call, and how a number is forgotten.

Unless it is asked for in full, no more than the last four digits of a number are shown, whichever
text it is in; masking IDs are ours and shown whole. The log is only read, but to forget.
"""

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import events
import phone
from call_log import backlog, writer
from call_log.records import CallRecord, State, StoredEvent, finds, record
from call_log.store import Row, Store, StoreError, microseconds, utc
from config import Settings
from events import CallLeg, EventError
from phone import NoNumber, PhoneNumber

_FILTERS = ("since", "until", "number", "disposition")
_LAST = 50
_PAGE = 200
_MAX_COUNTED = 10_000
_MAX_FOLDED = 1_000  # to see whether they pass a filter: a quarter of a second's work
_NO_DURATION = 1_000_000  # seconds, of seven digits: rather a number that somebody dials
_KEYS = ("reference_id", "masking_id")
_NUMBERS = ("caller", "dialled", "destination", "from_number", "to_number")
_CSV_COLUMNS = tuple(each.name for each in fields(CallRecord) if each.name != "legs")
_FORGOTTEN_AT_ONCE = 50
_MAX_SCRUB_S = 5.0
_CLOCKS_APART = timedelta(days=1)


def calls(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    """Print one call or the last ones, as a table, JSON or CSV; return the exit status."""
    try:
        store = writer.store_of(settings.call_log)
        store.open(write=False)
        try:
            return _show(_History(store, settings, options, now), options)
        finally:
            store.close()
    except StoreError as error:
        print(f"calls: {error}", file=sys.stderr)
        return 1


def forget(settings: Settings, text: str) -> int:
    """Purge every call that holds a number; return the exit status."""
    try:
        number = phone.parse(text)
        store = writer.store_of(settings.call_log)
        store.open(write=False)  # it has to be there: none is made
        store.close()
        store.open()
        try:
            # What a server that stopped has left in a file may hold the number too.
            backlog.import_spilled(store, lambda text: print(f"forget: {text}", file=sys.stderr))
            found = _purge_all(store, number, settings.home_country_code)
            scrubbed = _erase_deleted(store)
        finally:
            store.close()
    except (phone.PhoneError, StoreError) as error:
        print(f"forget: {error}", file=sys.stderr)
        return 1
    if not found:
        wanted = "wanted a number in the log, with its country code"
        print(f"forget: {wanted}; no call has this one", file=sys.stderr)
        return 1
    print(f"{found} call(s) with {phone.redact(number)} are forgotten")
    if not scrubbed:
        print(
            "forget: the log is in use; say it again, or a copy may stay in the file",
            file=sys.stderr,
        )
    return 0


def _purge_all(store: Store, number: PhoneNumber, home_country_code: str) -> int:
    """Purge every call with a number, also one that comes meanwhile; return how many."""
    count = 0
    while found := sorted(store.calls_where(finds(number, home_country_code))):
        for first in range(0, len(found), _FORGOTTEN_AT_ONCE):
            store.purge(found[first : first + _FORGOTTEN_AT_ONCE])
        count += len(found)
    return count


def _erase_deleted(store: Store) -> bool:
    deadline = time.monotonic() + _MAX_SCRUB_S
    while not store.erase_deleted(rewrite_up_to=math.inf):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class _History:
    """The calls of a log that somebody asks for."""

    def __init__(
        self, store: Store, settings: Settings, options: argparse.Namespace, now: datetime
    ) -> None:
        self._store, self._options = store, options
        self._home = settings.home_country_code
        self._now = now

    def one(self, reference_id: str) -> list[StoredEvent]:
        """Return what is kept of one call; nothing, if it is not known."""
        return [self._heard(row) for row in self._store.rows([reference_id])]

    def last(self) -> tuple[list[CallRecord], str]:
        """Return the calls that are asked for, the latest heard of first, and what is left out."""
        last, ids = self._options.last, self._newest()
        if all(getattr(self._options, each) is None for each in _FILTERS):
            found = list(filter(None, self._looked_at(islice(ids, last or _LAST))))
            return found, _left_out(ids, _MAX_COUNTED)
        looked_at = self._looked_at(ids)
        found = list(islice(filter(None, looked_at), last))
        return found, _left_out(looked_at, _MAX_FOLDED)

    def record(self, heard: list[StoredEvent]) -> CallRecord:
        """Return the record of a call."""
        return record(heard, self._now)

    def _newest(self) -> Iterator[str]:
        since = self._options.since
        ids = self._store.newest_calls(
            microseconds(since - _CLOCKS_APART) if since is not None else 0
        )
        if (number := self._options.number) is not None:
            having = self._store.calls_where(finds(number, self._home))
            ids = (each for each in ids if each in having)
        return ids

    def _looked_at(self, ids: Iterator[str]) -> Iterator[CallRecord | None]:
        """Yield the record of each call, or `None` for one that does not pass the filters."""
        while page := list(islice(ids, _PAGE)):
            heard: dict[str, list[StoredEvent]] = {}
            for row in self._store.rows(page):  # less, if some has been purged meanwhile
                heard.setdefault(row.reference_id, []).append(self._heard(row))
            calls = (self.record(heard[each]) for each in page if each in heard)
            yield from (each if self._is_wanted(each) else None for each in calls)

    def _is_wanted(self, call: CallRecord) -> bool:
        since, until = self._options.since, self._options.until
        return (
            (since is None or call.created >= since)
            and (until is None or call.created < until)
            and self._options.disposition in (None, call.disposition)
        )

    def _heard(self, row: Row) -> StoredEvent:
        try:
            event = events.parse(row.body, home_country_code=self._home)
        except EventError:  # what an older program took, and this one would not
            event = row.to_event()
        seen = utc(row.first_seen), utc(row.last_seen)
        return StoredEvent(event, row.wire, row.reason, *seen, row.deliveries, row.body.decode())


def _left_out(more: Iterator[object], most: int) -> str:
    """Say how many of those that come next are no `None`; so many are counted at the most."""
    counted = [each is not None for each in islice(more, most + 1)]
    left = sum(counted[:most])
    if len(counted) <= most:
        return f"{left:,} older call(s) are left out" if left else ""
    return (
        f"at least {left:,} older calls are left out" if left else "older calls were not looked at"
    )


def _show(history: _History, options: argparse.Namespace) -> int:
    if options.reference_id is None:
        records, left_out = history.last()
        if options.json:
            print(json.dumps([_plain(each, full=options.full) for each in records], indent=2))
        elif options.csv:
            _write_csv(records, full=options.full)
        else:
            _print_table(records, full=options.full)
        if left_out:
            print(f"calls: {left_out}; a larger --last shows more", file=sys.stderr)
        return 0
    heard = history.one(options.reference_id)
    if not heard:
        wanted = "wanted the whole reference id of a call in the log"
        print(f"calls: {wanted}, got {options.reference_id!r}", file=sys.stderr)
        return 1
    call = history.record(heard)
    if options.json:
        told = _plain(call, full=options.full) | {
            "events": [_told(e, full=options.full) for e in heard]
        }
        print(json.dumps([told], indent=2))
    elif options.csv:
        _write_csv([call], full=options.full)
    else:
        _print_call(call, heard, full=options.full)
    return 0


def _plain(value: Any, *, full: bool) -> dict[str, Any]:
    """Return a record, or a leg of one, as JSON takes it."""
    return {
        each.name: _cell(each.name, getattr(value, each.name), full=full) for each in fields(value)
    }


def _cell(name: str, value: Any, *, full: bool) -> Any:
    match value:
        case NoNumber():
            return value.value
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case tuple() if name == "legs":
            return [_plain(leg, full=full) for leg in value]
        case tuple():
            return [_cell(name, each, full=full) for each in value]
        case str() if not full:
            return _hidden(name, value)
        case int() | float() if name == "duration_s" and value >= _NO_DURATION and not full:
            return None
        case _:
            return value


def _hidden(name: str, text: str) -> str:
    """Return what is shown of a text that is not asked for in full: the one rule for all of them.

    TeleSign's words are its own choice, so a number may be in any.
    """
    if name in _KEYS:
        return text
    if name in _NUMBERS:
        return phone.redact(text)
    if name == "collected":  # what a person pressed may be the number of a card
        return "*" * len(text)
    return phone.mask_digits(text)


def _told(heard: StoredEvent, *, full: bool) -> dict[str, Any]:
    reply: dict[str, Any] = heard.reply
    told = {
        "event": _cell("event", heard.event.name, full=full),
        "reply": reply.get("method", "no action"),
        "reason": _cell("reason", heard.reason, full=full),
        "first_seen": _cell("first_seen", heard.first_seen, full=full),
        "last_seen": _cell("last_seen", heard.last_seen, full=full),
        "deliveries": heard.deliveries,
    }
    if not full:
        return told
    return told | {"body": json.loads(heard.body) if heard.body else None, "answer": reply}


def _write_csv(records: Iterable[CallRecord], *, full: bool) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(_CSV_COLUMNS)
    for each in records:
        plain = _plain(each, full=full)
        out.writerow(_harmless(plain[name]) for name in _CSV_COLUMNS)


def _harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, and no terminal obeys."""
    from cli import console

    if isinstance(value, list):
        value = " ".join(value)
    if isinstance(value, str):
        value = console.shown(value)
        return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value
    return value


def _print_table(records: list[CallRecord], *, full: bool) -> None:
    from cli import console

    out = console.terminal()
    if not records:
        console.print_wrapped(out, "no call is in the log, or none that passes the filters")
        return
    names = ("created", "caller", "dialled", "destination", "masking_id", "disposition", "reason")
    headers = ("created (UTC)", "caller", "dialled", "reached", "who saw", "disposition", "reason")
    rows = []
    for each in records:
        plain = _plain(each, full=full)
        cells = [str(plain[name] or "") for name in names]
        cells[0] = f"{each.created:%Y-%m-%d %H:%M:%S}"
        talk = str(each.state) if each.state is not State.ENDED else _clock(each.talk_s)
        rows.append((*cells, talk, console.shown(each.reference_id)))
    console.print_table(out, (*headers, "talk", "reference id"), rows)


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _print_call(call: CallRecord, heard: list[StoredEvent], *, full: bool) -> None:
    from cli import console

    out = console.terminal()
    console.print_ladder(out, _steps(heard, full=full))
    out.print()
    for name, value in _plain(call, full=full).items():
        if value not in (None, "", []) and name != "legs":
            text = " ".join(value) if isinstance(value, list) else value
            label, unit = name.removesuffix("_s").replace("_", " "), " s" * name.endswith("_s")
            console.print_wrapped(out, f"{label:<14} {text}{unit}")
    for leg in call.legs:
        console.print_wrapped(out, f"{'leg':<14} {_leg(leg, full=full)}")


def _leg(leg: CallLeg, *, full: bool) -> str:
    """Return a leg of a call in one line."""
    plain = _plain(leg, full=full)
    times = [f"{name} {plain[name]}" for name in ("created", "answered", "ended") if plain[name]]
    who = f"{plain['direction'] or 'unknown'}, {plain['from_number']} to {plain['to_number']}"
    return ", ".join([who, *times])


def _steps(heard: Iterable[StoredEvent], *, full: bool) -> Iterator[Any]:
    """Yield what happened between the parties, as far as the server heard of it."""
    from cli.console import CALLED, CALLER, SERVER, TELESIGN, Arrow

    def cell(name: str, value: Any) -> str:
        return str(_cell(name, value, full=full))

    for each in heard:
        event, reply = each.event, each.reply
        if isinstance(event, events.IncomingCall):
            caller, dialled = cell("caller", event.caller), cell("dialled", event.dialled)
            yield Arrow(CALLER, TELESIGN, f"{caller} dials {dialled}")
        if isinstance(event, events.DialCompleted) and event.status is not None:
            yield Arrow(CALLED, TELESIGN, cell("status", event.status))
        last = f"{each.last_seen:%H:%M:%S}"
        again = f" ({each.deliveries} times, last {last})" if each.deliveries > 1 else ""
        name = cell("event", event.name)
        yield Arrow(TELESIGN, SERVER, f"{each.first_seen:%H:%M:%S} {name}{again}")
        reason = f" ({cell('reason', each.reason)})" if each.reason else ""
        yield Arrow(SERVER, TELESIGN, f"{reply.get('method', 'no action')}{reason}")
        params = reply.get("params")
        if reply.get("method") == "dial" and isinstance(params, dict):
            rung, shown = cell("destination", params["to"]), params["caller_id_number"]
            yield Arrow(TELESIGN, CALLED, f"rings {rung}, showing {shown}")
