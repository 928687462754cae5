"""The `calls` command: shows the last calls of the call log, or one call. The log is only read."""

import argparse
import csv
import json
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import events
from call_log.records import CallRecord, Disposition, State, StoredEvent, record
from cli import console
from cli.console import CALLED, CALLER, SERVER, TELESIGN, Arrow
from cli.history import stored
from cli.history.cells import View
from cli.history.filters import Filters, zone_of
from cli.history.stored import Call, NoLogError, StoredCalls
from config import Settings
from events import CallLeg
from insight.simulated import is_simulated

_DEFAULT_LAST = 50
_MAX_COUNTED = 10_000
_MAX_FILTERED = 1_000  # older calls, to count those that match: a quarter of a second's work
_MIN_ENDING = 6
_SHOWN_ENDING = 8
_MIN_OUTCOME = 21  # the longest reason
_MAX_WITHOUT_YEAR = timedelta(days=300)
_FIELDS = [each.name for each in fields(CallRecord) if each.name not in ("reference_id", "legs")]
_CSV_COLUMNS = ("reference_id", "simulated", *_FIELDS)

_Row = tuple[str, ...]


class _NotFoundError(Exception):
    """No call, or more than one, is named; the message says so."""


def run(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    """Print one call or the last ones, as a table, JSON or CSV; return the exit status.

    Raises `ConfigError` for a time that cannot be read.
    """
    filters = Filters.of(options, settings.home_country_code, now)
    view = View(full=options.full, zone=zone_of(options))
    try:
        with stored.reading(settings) as log:
            if options.reference_id is None:
                _show_last(_Query(log, options, filters, now), options, view, now)
            else:
                _show_one(_named(log, options.reference_id), options, view, now)
    except (NoLogError, _NotFoundError) as error:
        print(f"calls: {error}", file=sys.stderr)
        return 1
    return 0


class _Query:
    """What the options ask of a call log."""

    def __init__(
        self, log: StoredCalls, options: argparse.Namespace, filters: Filters, now: datetime
    ) -> None:
        self._log, self._options, self._filters, self._now = log, options, filters, now

    def last(self) -> tuple[list[CallRecord], str]:
        """Return the matching calls, the last active first, and how many are not shown."""
        last, ids = self._options.last, self._newest()
        if self._filters.are_none:
            page = islice(ids, last or _DEFAULT_LAST)
            return list(filter(None, self._matches(page))), _not_shown(ids, _MAX_COUNTED)
        matches = self._matches(ids)
        found = list(islice(filter(None, matches), last))
        return found, _not_shown(matches, _MAX_FILTERED)

    def _newest(self) -> Iterator[str]:
        """Return the ids of calls, the last active first; more than match, never fewer."""
        ids = self._log.newest_ids(self._filters.since, simulated=self._options.simulated)
        if (reason := self._filters.reason) is not None:
            ids = _those(ids, self._log.ids_refused(reason))
        if self._filters.digits is not None:
            ids = _those(ids, self._log.ids_where(self._filters.may_hold()))
        return ids

    def _matches(self, ids: Iterator[str]) -> Iterator[CallRecord | None]:
        """Yield the record of each call, or `None` for one that the filters leave out."""
        for call in self._log.calls(ids):
            found = record(call, self._now)
            yield found if self._filters.passes(call, found) else None


def _those(ids: Iterable[str], wanted: Container[str]) -> Iterator[str]:
    return (each for each in ids if each in wanted)


def _not_shown(older: Iterator[object], limit: int) -> str:
    """Count the calls that come next, `None` being none; look at no more than `limit`."""
    looked_at = [each is not None for each in islice(older, limit + 1)]
    count = sum(looked_at[:limit])
    if len(looked_at) <= limit:
        return f"{count:,} older call(s) not shown" if count else ""
    return f"at least {count:,} older calls not shown" if count else "older calls were not searched"


def _named(log: StoredCalls, name: str) -> Call:
    """Return the call with this reference id, or with the only one that ends like this.

    Raises `_NotFoundError`.
    """
    if found := list(log.calls([name])):
        return found[0]
    ids = log.ids_ending(name) if len(name) >= _MIN_ENDING else []
    if len(ids) > 1:
        more = "give more of the reference id"
        raise _NotFoundError(f"{len(ids):,} calls in the log end in {name!r}: {more}")
    for call in log.calls(ids):
        return call
    wanted = f"the reference id of a call in the log, or its last {_MIN_ENDING} or more characters"
    raise _NotFoundError(f"wanted {wanted}, got {name!r}")


def _show_last(query: _Query, options: argparse.Namespace, view: View, now: datetime) -> None:
    records, not_shown = query.last()
    if options.json:
        _print_json([view.call(each) for each in records])
    elif options.csv:
        _write_csv(records, view)
    elif records:
        _print_table(records, view, now)
    else:
        hidden = "" if options.simulated else "; --simulated shows simulated ones"
        print(f"no calls: the log is empty, or no call passes the filters{hidden}")
    if not_shown:
        print(f"calls: {not_shown}; a larger --last shows more", file=sys.stderr)


def _show_one(call: Call, options: argparse.Namespace, view: View, now: datetime) -> None:
    found = record(call, now)
    if options.json:
        _print_json([view.call(found) | {"events": [view.event(each) for each in call]}])
    elif options.csv:
        _write_csv([found], view)
    else:
        _print_call(found, call, view)


def _print_json(values: list[dict[str, Any]]) -> None:
    print(json.dumps(values, indent=2))


def _write_csv(records: Iterable[CallRecord], view: View) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(_CSV_COLUMNS)
    for each in records:
        values = view.call(each)
        out.writerow(_csv_cell(values[name]) for name in _CSV_COLUMNS)


def _csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, and no terminal obeys."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        value = " ".join(value)
    if isinstance(value, str):
        value = console.printable(value)
        return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value
    return value


def _print_table(records: Sequence[CallRecord], view: View, now: datetime) -> None:
    """Print a line a call, within 80 columns but for numbers in full."""
    out = console.terminal()
    times = [view.at(each.created) for each in records]
    day = "%m-%d" if now - min(times) < _MAX_WITHOUT_YEAR else "%Y-%m-%d"
    headers = (
        view.zone_at(times),
        "id ends",
        "caller",
        "dialled",
        "wait",
        "talk",
        "what became of it",
    )
    rows = [_table_row(each, f"{day} %H:%M:%S", view) for each in records]
    if not view.full:
        rows = _cut(rows, headers, out.width)
    console.print_table(out, headers, rows)
    if any(is_simulated(each.reference_id) for each in records):
        console.print_wrapped(out, "* simulated")


def _table_row(call: CallRecord, when: str, view: View) -> _Row:
    mark = "*" if is_simulated(call.reference_id) else ""
    return (
        view.at(call.created).strftime(when),
        console.printable(call.reference_id[-_SHOWN_ENDING:]) + mark,
        str(view.cell("caller", call.caller) or ""),
        str(view.cell("dialled", call.dialled) or ""),
        _minutes(call.wait_s),
        _minutes(call.talk_s if call.state is State.ENDED else None),
        _outcome(call, view),
    )


def _cut(rows: Sequence[_Row], headers: _Row, width: int) -> list[_Row]:
    """Return rows that are no wider than that: the last column may hold words of TeleSign's."""
    used = sum(2 + max(map(len, column)) for column in list(zip(headers, *rows, strict=True))[:-1])
    room = max(width - used, _MIN_OUTCOME)
    return [(*row, last if len(last) <= room else f"{last[: room - 3]}...") for *row, last in rows]


def _outcome(call: CallRecord, view: View) -> str:
    """Return whom a call reached and what became of it."""
    reached = view.cell("destination", call.destination) or ""
    return console.printable(f"{reached} {became(call, view)}".strip())


def became(call: CallRecord, view: View) -> str:
    """Return what became of a call, such as `failed: busy`, or why it was refused."""
    match call.disposition:
        case Disposition.REFUSED:
            return call.reason or call.disposition
        case Disposition.FAILED:
            return f"{call.disposition}: {view.cell('dial_status', call.dial_status)}"
        case Disposition.ANSWERED | Disposition.UNKNOWN if call.state is not State.ENDED:
            return call.state
        case _:
            return call.disposition


def _minutes(seconds: float | None) -> str:
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _print_call(record: CallRecord, call: Call, view: View) -> None:
    out = console.terminal()
    console.print_ladder(out, _arrows(call, view))
    out.print()
    console.print_wrapped(out, f"{'times':<14} {view.zone_at(each.first_seen for each in call)}")
    for name, value in view.call(record).items():
        if value not in (None, "", [], False) and name != "legs":
            console.print_wrapped(out, _line(name, value))
    for leg in record.legs:
        console.print_wrapped(out, f"{'leg':<14} {_leg(leg, view)}")


def _line(name: str, value: Any) -> str:
    """Return a field of a record in one line, such as `talk           4.0 s`."""
    text = " ".join(value) if isinstance(value, list) else "yes" if value is True else value
    label, unit = name.removesuffix("_s").replace("_", " "), " s" * name.endswith("_s")
    return f"{label:<14} {text}{unit}"


def _leg(leg: CallLeg, view: View) -> str:
    """Return a leg of a call in one line."""
    values = view.leg(leg)
    times = [f"{name} {values[name]}" for name in ("created", "answered", "ended") if values[name]]
    numbers = (
        f"{values['direction'] or 'unknown'}, {values['from_number']} to {values['to_number']}"
    )
    return ", ".join([numbers, *times])


def _arrows(call: Call, view: View) -> Iterator[Arrow]:
    """Yield what passed between the parties, as far as the log shows it."""
    for each in call:
        yield from _arrows_before(each, view)
        again = f" ({each.deliveries} times, last {view.at(each.last_seen):%H:%M:%S})"
        name = view.cell("event", each.event.name)
        label = f"{view.at(each.first_seen):%H:%M:%S} {name}{again if each.deliveries > 1 else ''}"
        yield Arrow(TELESIGN, SERVER, label)
        yield from _arrows_of_reply(each, view)


def _arrows_before(kept: StoredEvent, view: View) -> Iterator[Arrow]:
    """Yield what happened to the phones, so that TeleSign sent the event."""
    event = kept.event
    if isinstance(event, events.IncomingCall):
        caller, dialled = (view.cell(name, getattr(event, name)) for name in ("caller", "dialled"))
        yield Arrow(CALLER, TELESIGN, f"{caller} dials {dialled}")
    if isinstance(event, events.DialCompleted) and event.status is not None:
        yield Arrow(CALLED, TELESIGN, view.cell("status", event.status))


def _arrows_of_reply(kept: StoredEvent, view: View) -> Iterator[Arrow]:
    reply: dict[str, Any] = kept.reply
    reason = f" ({view.cell('reason', kept.reason)})" if kept.reason else ""
    yield Arrow(SERVER, TELESIGN, f"{reply.get('method', 'no action')}{reason}")
    params = reply.get("params")
    if reply.get("method") == "dial" and isinstance(params, dict):  # a purged call keeps none
        destination = view.cell("destination", params["to"])
        yield Arrow(TELESIGN, CALLED, f"rings {destination}, showing {params['caller_id_number']}")
