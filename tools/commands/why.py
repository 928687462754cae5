"""`why`: why nobody reaches a person, or who is behind one of our own numbers.

Every number but one of our own is shown by its last four digits unless it is asked for in full.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console

import phone
from call_log.store import StoreError
from config import Settings
from phone import NoNumber, PhoneNumber
from records import CallRecord
from routing import AllowList
from tools import call_table, console
from tools.history import conditions, reach, stored
from tools.history.conditions import Condition
from tools.history.fields import View, format_refusals
from tools.history.reach import Likeness, Nearest, PersonRow, state
from tools.history.stored import StoredCalls

_LAST = 10
_MAX_ROWS = 5
_MAX_BEHIND = 20
_ROWS = ("line", "caller", "dialled", "destination", "now")
_ALMOST = (
    "{:,} of these calls came from a number that ends in the same seven digits and is another one."
    " If it is the same phone, {}."
)


@dataclass(frozen=True, slots=True)
class _Calls:
    """The last of some calls, how many are live, and how often they were refused for what."""

    title: str
    last: Sequence[CallRecord] = ()
    live: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Findings:
    """What list and log show of a number; `no_log` says why the log shows nothing.

    `is_ours` for a virtual number or a masking ID. `almost` counts calls from a number that ends
    like the person's and is another one, and `advice` says what to do if it is the same phone.
    """

    number: PhoneNumber
    is_ours: bool
    rows: list[PersonRow]
    open_to_anyone: list[PersonRow]
    nearest: Nearest | None
    groups: dict[str, _Calls] = field(default_factory=dict)
    almost: int = 0
    advice: str = ""
    no_log: str | None = None


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print what is known; return 0 if a row of the number connects now, else 1."""
    settings, allow_list = stored.settings_and_list(options.config)
    found = _look(options, settings, allow_list, now)
    view = View(full=options.full)
    if options.json:
        print(json.dumps(_plain(found, view), indent=2))
    else:
        _print(found, view, now)
    return 0 if any(row.reason is None for row in found.rows) else 1


def _look(
    options: argparse.Namespace, settings: Settings, allow_list: AllowList, now: datetime
) -> _Findings:
    number = options.number
    is_ours = number in allow_list.own_numbers
    by_way = {"by_way_of_it": ("Calls by way of it", reach.calls_behind(number))}
    if is_ours:
        rows, anyone, nearest, groups = reach.rows_behind(number, allow_list, now), [], None, by_way
    else:
        rows = reach.rows_of(number, allow_list, now)
        anyone = reach.open_rows_for(number, allow_list, now)
        nearest = None if rows else reach.nearest(number, allow_list)
        groups = {
            "own": ("Their own calls", reach.own_calls(number)),
            "others": ("Other calls", reach.other_calls(number, rows)),
        }
        groups |= {} if rows else by_way  # it may have been a number of ours
    counted_ones = conditions.ANY if options.simulated else ~conditions.SIMULATED
    try:
        with stored.reading(settings) as log:
            found = {
                name: _calls(log, title, wanted & counted_ones, now)
                for name, (title, wanted) in groups.items()
            }
            almost = conditions.NONE if is_ours else reach.almost_from(number) & counted_ones
            count, last = log.count(almost, now), log.records(almost, now, _LAST)
    except StoreError as error:
        return _Findings(number, is_ours, rows, anyone, nearest, no_log=str(error))
    advice = _advice(last, settings.home_country_code)
    return _Findings(number, is_ours, rows, anyone, nearest, found, count, advice)


def _calls(log: StoredCalls, title: str, wanted: Condition, now: datetime) -> _Calls:
    last, refusals = log.records(wanted, now, _LAST), log.refusals(wanted, now)
    return _Calls(title, last, log.count(wanted & conditions.is_live(), now), refusals)


def _advice(calls: Iterable[CallRecord], home_country_code: str) -> str:
    """Return what makes these callers known, of which the list takes only numbers."""
    callers = [record.caller for record in calls]
    ways = [] if home_country_code else ["set `home_country_code`"]
    if all(_is_read_as_it_is(caller, home_country_code) for caller in callers):
        ways.append("write `from` as it arrives (--full)")
    return ", or ".join(ways) or "see how it arrives (--full)"


def _is_read_as_it_is(caller: PhoneNumber | NoNumber | None, home_country_code: str) -> bool:
    is_number = not isinstance(caller, NoNumber)
    return is_number and phone.read(caller, home_country_code=home_country_code) == caller


def _plain(found: _Findings, view: View) -> dict[str, Any]:
    """Return what was found as JSON takes it."""
    close = found.nearest
    nearest = close and close._asdict() | {"number": view.cell("caller", close.number)}
    return {
        "number": _show(found, view),
        "is_ours": found.is_ours,
        "rows": [_plain_row(row, view) for row in found.rows],
        "open_to_anyone": [_plain_row(row, view) for row in found.open_to_anyone],
        "nearest": nearest,
        "calls": {name: _plain_calls(group, view) for name, group in found.groups.items()},
        "almost_this_caller": found.almost,
        "no_log": found.no_log,
    }


def _show(found: _Findings, view: View) -> str:
    return str(found.number if found.is_ours else view.cell("caller", found.number))


def _plain_row(row: PersonRow, view: View) -> dict[str, Any]:
    route = row.route
    names = ("line", "caller", "dialled", "destination", "masking_id", "expires")
    cells = {name: view.cell(name, getattr(route, name)) for name in names}
    if route.dialled != route.destination:  # a virtual number, which is ours
        cells["dialled"] = route.dialled
    return cells | {"reason": row.reason}


def _plain_calls(group: _Calls, view: View) -> dict[str, Any]:
    last = [view.record(record) for record in group.last]
    return {"last": last, "live": group.live, "refusals": group.refusals}


def _print(found: _Findings, view: View, now: datetime) -> None:
    out = console.terminal()
    number, close = _show(found, view), found.nearest
    where = f"the `{close.column}` of line {close.line}" if close else ""
    if close and close.likeness is Likeness.LACKS_1:
        text = f"{number} lacks its country code: with 1 in front it is {where}."
        console.print_wrapped(out, f"{text} Run it again with the 1.", "bold red")
        return
    if found.rows:
        count = sum(row.reason is None for row in found.rows)
        style = "bold green" if count else "bold red"
        what, shown = "Rows of", found.rows
        if found.is_ours:
            what, shown = "Rows behind", sorted(found.rows, key=_is_closed)[:_MAX_BEHIND]
        text = f"{what} {number}: {len(found.rows):,}, open now: {count:,}."
        more = f" The first {len(shown)} are shown, open ones before others."
        console.print_wrapped(out, text + (more if len(shown) < len(found.rows) else ""), style)
        _print_rows(out, shown, view, now)
    elif found.is_ours:
        text = f"{number} is a number of yours, but no row has it: nobody is behind it."
        console.print_wrapped(out, text, "bold red")
    else:
        text = f"{number} is in no row, neither as a destination nor as a caller."
        console.print_wrapped(out, text, "bold red")
        console.print_wrapped(out, _nearest(close, where, view))
    if found.open_to_anyone:
        count = len(found.open_to_anyone)
        text = f"Rows for any caller that connect them: {count:,} (at most {_MAX_ROWS} are shown)."
        out.print()
        console.print_wrapped(out, text)
        _print_rows(out, found.open_to_anyone[:_MAX_ROWS], view, now)
    _print_log(out, found, view, now)


def _is_closed(row: PersonRow) -> bool:
    return row.reason is not None


def _nearest(close: Nearest | None, where: str, view: View) -> str:
    if close is None:
        return "No row has a number like it."
    return f"Nearest: {view.cell('caller', close.number)}, {where} ({close.likeness})."


def _print_rows(out: Console, rows: Iterable[PersonRow], view: View, now: datetime) -> None:
    cells = [_plain_row(row, view) | {"now": state(row, now)} for row in rows]
    shown = [[str(values[name] or "anyone") for name in _ROWS] for values in cells]
    console.print_table(out, _ROWS, shown)


def _print_log(out: Console, found: _Findings, view: View, now: datetime) -> None:
    if not any(group.last for group in found.groups.values()):
        out.print()
        console.print_wrapped(out, found.no_log or "The log holds no call that this concerns.")
        return
    for name, group in found.groups.items():
        if group.last or name != "by_way_of_it":
            out.print()
            _print_calls(out, group, view, now)
    if found.almost:
        out.print()
        console.print_wrapped(out, _ALMOST.format(found.almost, found.advice), "yellow")


def _print_calls(out: Console, group: _Calls, view: View, now: datetime) -> None:
    if not group.last:
        console.print_wrapped(out, f"{group.title}: none.")
        return
    live = f", live now: {group.live:,}" if group.live else ""
    console.print_wrapped(out, f"{group.title}, the newest first (at most {_LAST}){live}:")
    call_table.print_table(out, group.last, view, now)
    if group.refusals:
        console.print_wrapped(out, f"refused: {format_refusals(group.refusals)}")
