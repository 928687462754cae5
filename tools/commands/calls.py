"""The `calls` command: shows the last calls of the call log, or one call. The log is only read."""

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from rich.console import Console

import events
from call_log.store import StoreError
from config import ConfigError
from events import CallLeg
from records import CallRecord, Disposition, State, StoredEvent
from tools import console
from tools.console import CALLED, CALLER, SERVER, TELESIGN, Arrow
from tools.history import stored, times
from tools.history.fields import View
from tools.history.logged_call import LoggedCall
from tools.history.simulated import is_simulated
from tools.history.stored import Filters, StoredCalls

_DEFAULT_LAST = 50
_MIN_ENDING = 6
_SHOWN_ENDING = 8
_MAX_WITHOUT_YEAR = timedelta(days=300)
_HEADERS = ("id ends", "caller", "dialled", "wait", "talk", "what became of it")
_FIELDS = [each.name for each in fields(CallRecord) if each.name not in ("reference_id", "legs")]
_CSV_COLUMNS = ("reference_id", "simulated", *_FIELDS)
# Full-width signs count. A spreadsheet may be set to part a cell at any of these, and at a quote
# within: so before a sign there is a letter, a digit or a mark, or else an apostrophe.
_BEGINS_FORMULA = re.compile('(?<![^,;|"\\s])(?=[-=+@\uff0d\uff1d\uff0b\uff20])')


class _NotFoundError(Exception):
    """No call, or more than one, is named; the message says so."""


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print one call or the last ones, as a table, JSON or CSV; return the exit status.

    Raises `ConfigError` for a time that cannot be read.
    """
    settings = stored.settings_of(options.config)
    bounds = times.bounds(options, now)
    wanted = *bounds, options.number, options.disposition, options.reason
    filters = Filters(*wanted, settings.home_country_code)
    is_filtered = any(each is not None for each in wanted)
    if options.reference_id and (is_filtered or options.last):
        raise ConfigError(["wanted a reference id or filters, got both"])
    view = View(full=options.full, zone=times.zone_of(options))
    limit = options.last or (None if is_filtered else _DEFAULT_LAST)
    try:
        with stored.reading(settings) as log:
            found = log.passing(filters, now, simulated=options.simulated)
            if options.reference_id:
                found = iter([_named(log, options.reference_id, now)])
            _show(list(islice(found, limit)), options, view, now)
            if next(found, None):
                more = "older calls are not shown; a larger --last shows more"
                print(f"calls: {more}", file=sys.stderr)
    except (StoreError, _NotFoundError) as error:
        print(f"calls: {error}", file=sys.stderr)
        return 1
    return 0


def _named(log: StoredCalls, name: str, now: datetime) -> LoggedCall:
    """Return the call with this reference id, or with the only one that ends like this.

    Raises `_NotFoundError`.
    """
    found = list(log.calls([name], now))
    if not found and len(name) >= _MIN_ENDING:
        found = log.ending(name, now)
    if len(found) == 1:
        return found[0]
    if found:
        more = "give more of the reference id"
        raise _NotFoundError(f"{len(found):,} calls in the log end in {name!r}: {more}")
    wanted = f"the reference id of a call in the log, or its last {_MIN_ENDING} or more characters"
    raise _NotFoundError(f"wanted {wanted}, got {name!r}")


def _show(
    calls: Sequence[LoggedCall], options: argparse.Namespace, view: View, now: datetime
) -> None:
    if options.json:
        shown = [view.call(each.record) for each in calls]
        if options.reference_id:
            shown = [shown[0] | {"events": [view.event(each) for each in calls[0].events]}]
        print(json.dumps(shown, indent=2))
    elif options.csv:
        _write_csv(calls, view)
    elif options.reference_id:
        _print_call(calls[0], view)
    elif calls:
        print_table(console.terminal(), calls, view, now)
    else:
        print("no calls: none is in the log, or none passes (--simulated: simulated ones as well)")


def _write_csv(calls: Iterable[LoggedCall], view: View) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(_CSV_COLUMNS)
    for each in calls:
        values = view.call(each.record)
        out.writerow(_csv_cell(values[name]) for name in _CSV_COLUMNS)


def _csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, and no terminal obeys."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        value = " ".join(value)
    if isinstance(value, str):
        value = console.printable(value)
        return _BEGINS_FORMULA.sub("'", value)
    return value


def print_table(out: Console, calls: Sequence[LoggedCall], view: View, now: datetime) -> None:
    """Print a line a call, within 80 columns for what most calls have."""
    created = [view.at(each.record.created) for each in calls]
    day = "%m-%d" if now - min(created) < _MAX_WITHOUT_YEAR else "%Y-%m-%d"
    headers = (view.zone_at(created), *_HEADERS)
    rows = [_table_row(each, f"{day} %H:%M:%S", view) for each in calls]
    console.print_table(out, headers, rows)
    if any(is_simulated(each.record.reference_id) for each in calls):
        console.print_wrapped(out, "* simulated")


def _table_row(call: LoggedCall, when: str, view: View) -> tuple[str, ...]:
    record = call.record
    mark = "*" if is_simulated(record.reference_id) else ""
    reached = view.cell("destination", record.destination) or ""
    outcome = "; then ".join([became(record, view), *call.later_reasons])
    return (
        view.at(record.created).strftime(when),
        console.printable(record.reference_id[-_SHOWN_ENDING:]) + mark,
        view.cell("caller", record.caller) or "",
        view.cell("dialled", record.dialled) or "",
        times.in_minutes(record.wait_s),
        times.in_minutes(record.talk_s if record.state is State.ENDED else None),
        console.printable(f"{reached} {outcome}".strip()),
    )


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


def _print_call(call: LoggedCall, view: View) -> None:
    out = console.terminal()

    def line(label: str, text: object) -> None:
        console.print_wrapped(out, f"{label:<14} {text}")

    console.print_ladder(out, arrows(call.events, view))
    out.print()
    line("times", view.zone_at(each.first_seen for each in call.events))
    for name, value in view.call(call.record).items():
        if value not in (None, "", [], False) and name != "legs":
            text = " ".join(value) if isinstance(value, list) else "yes" if value is True else value
            unit = " s" if name.endswith("_s") else ""
            line(name.removesuffix("_s").replace("_", " "), f"{text}{unit}")
    for leg in call.record.legs:
        line("leg", _leg(leg, view))


def _leg(leg: CallLeg, view: View) -> str:
    """Return a leg of a call in one line."""
    values = view.cell("leg", leg)
    numbers = f"{values['from_number']} to {values['to_number']}"
    moments = [
        f"{name} {values[name]}" for name in ("created", "answered", "ended") if values[name]
    ]
    return ", ".join([values["direction"] or "unknown", numbers, *moments])


def arrows(kept: Iterable[StoredEvent], view: View) -> Iterator[Arrow]:
    """Yield what passed between the parties, as far as the log shows it."""
    for each in kept:
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
