"""`why`: why nobody reaches a person, or why this person reaches nobody.

Every number but a masking ID is shown by its last four digits unless it is asked for in full.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Console

import phone
from call_log.store import Row, StoreError
from config import Settings
from phone import PhoneNumber
from routing import Reason
from tools import console
from tools.commands import calls
from tools.history import reach, stored, times
from tools.history.fields import View, counted
from tools.history.logged_call import LoggedCall
from tools.history.reach import Likeness, Nearest, PersonRow
from tools.history.totals import by_frequency

_LAST = 10
_MAX_ROWS = 5
_ROWS = ("line", "caller", "dialled", "destination", "now")
_ALMOST = (
    "{:,} of these calls came from a number that ends in the same seven digits and is another one."
    " If it is the same phone, {}."
)


class _Calls(NamedTuple):
    """The last of some calls, and how often any of them was refused for which reason."""

    last: Sequence[LoggedCall] = ()
    refusals: dict[str, int] = {}  # noqa: RUF012 - never changed


class _Log(NamedTuple):
    """What the log shows: the person's own calls and the others; `no_log` says why it shows none.

    `almost` counts calls from a number that ends like the person's and is another one, and `advice`
    says what to do if it is the same phone.
    """

    own: _Calls = _Calls()
    others: _Calls = _Calls()
    almost: int = 0
    advice: str = ""
    no_log: str | None = None


class _Found(NamedTuple):
    """What list and log show of a person."""

    number: PhoneNumber
    rows: list[PersonRow]
    open_to_anyone: list[PersonRow]
    nearest: Nearest | None
    log: _Log


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print what is known; return 0 if a row of the person connects now, else 1."""
    settings, allow_list = stored.settings_and_list(options.config)
    rows = reach.rows_of(options.number, allow_list, now)
    found = _Found(
        options.number,
        rows,
        reach.reached_as_anyone(options.number, allow_list, now),
        None if rows else reach.nearest(options.number, allow_list),
        _log(settings, options, rows, now),
    )
    view = View(full=options.full)
    if options.json:
        print(json.dumps(_plain(found, view), indent=2))
    else:
        _print(found, view, now)
    return 0 if any(row.reason is None for row in rows) else 1


def _log(
    settings: Settings, options: argparse.Namespace, rows: list[PersonRow], now: datetime
) -> _Log:
    try:
        with stored.reading(settings) as log:
            incoming = log.incoming(reach.MAX_EVENTS, simulated=options.simulated)
            own, others = reach.own_and_others(incoming, options.number, rows)
            callers = [each.caller for each in own + others if each.caller]
            almost = [each for each in callers if reach.is_almost(each, options.number)]
            advice = _advice(almost, settings.home_country_code)
            return _Log(_calls(log, own, now), _calls(log, others, now), len(almost), advice)
    except StoreError as error:
        return _Log(no_log=str(error))


def _advice(callers: list[str], home_country_code: str) -> str:
    """Return what makes these callers known, of which the list takes only numbers."""
    found = [phone.read(caller, home_country_code=home_country_code) for caller in callers]
    ways = [] if home_country_code else ["set `home_country_code`"]
    if found == callers:
        ways.append("write `from` as it arrives (--full)")
    return ", or ".join(ways) or "see how it arrives (--full)"


def _calls(log: stored.StoredCalls, incoming: Sequence[Row], now: datetime) -> _Calls:
    ids = list(dict.fromkeys(each.reference_id for each in incoming))
    last = list(log.calls(ids[:_LAST], now))
    return _Calls(last, by_frequency(each.reason for each in incoming if each.reason))


def _plain(found: _Found, view: View) -> dict[str, Any]:
    """Return what was found as JSON takes it."""
    close = found.nearest
    nearest = close and close._asdict() | {"number": view.cell("caller", close.number)}
    return {
        "number": view.cell("caller", found.number),
        "rows": [_plain_row(each, view) for each in found.rows],
        "open_to_anyone": [_plain_row(each, view) for each in found.open_to_anyone],
        "nearest": nearest,
        "own": _plain_calls(found.log.own, view),
        "others": _plain_calls(found.log.others, view),
        "almost_this_caller": found.log.almost,
        "no_log": found.log.no_log,
    }


def _plain_row(row: PersonRow, view: View) -> dict[str, Any]:
    names = ("line", "caller", "dialled", "destination", "masking_id", "expires")
    cells = {name: view.cell(name, getattr(row.route, name)) for name in names}
    return cells | {"reason": row.reason}


def _plain_calls(some: _Calls, view: View) -> dict[str, Any]:
    last = [view.call(each.record) | {"later_reasons": each.later_reasons} for each in some.last]
    return {"calls": last, "refusals": some.refusals}


def _print(found: _Found, view: View, now: datetime) -> None:
    out = console.terminal()
    number, close = view.cell("caller", found.number), found.nearest
    where = f"the `{close.column}` of line {close.line}" if close else ""
    if close and close.likeness is Likeness.LACKS_1:
        text = f"{number} lacks its country code: with 1 in front it is {where}."
        console.print_wrapped(out, f"{text} Run it again with the 1.", "bold red")
        return
    if found.rows:
        count = sum(row.reason is None for row in found.rows)
        style = "bold green" if count else "bold red"
        text = f"Rows that {number} is in: {len(found.rows):,}, open now: {count:,}."
        console.print_wrapped(out, text, style)
        _print_rows(out, found.rows, view, now)
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
    _print_log(out, found.log, view, now)


def _nearest(close: Nearest | None, where: str, view: View) -> str:
    if close is None:
        return "No row has a number like it."
    if close.likeness is Likeness.SAME:
        return f"It is {where}: ask for the person's own number."
    return f"Nearest: {view.cell('caller', close.number)}, {where} ({close.likeness})."


def _print_rows(out: Console, rows: Iterable[PersonRow], view: View, now: datetime) -> None:
    cells = [_plain_row(each, view) | {"now": state(each, now)} for each in rows]
    shown = [[str(each[name] or "anyone") for name in _ROWS] for each in cells]
    console.print_table(out, _ROWS, shown)


def state(row: PersonRow, now: datetime) -> str:
    """Return whether a row connects anybody now, and how long it has done or will do so."""
    left_s = (row.route.expires - now).total_seconds() if row.route.expires else 0.0
    if row.reason is Reason.EXPIRED:
        return f"expired {times.in_two_units(-left_s)} ago"
    if row.reason is not None:
        return f"never connects: {row.reason}"
    return f"open, expires in {times.in_two_units(left_s)}" if row.route.expires else "open"


def _print_log(out: Console, log: _Log, view: View, now: datetime) -> None:
    out.print()
    if not (log.own.last or log.others.last):
        console.print_wrapped(out, log.no_log or "The log holds no call that this concerns.")
        return
    _print_calls(out, "Their own calls", log.own, view, now)
    out.print()
    _print_calls(out, "Other calls", log.others, view, now)
    if log.almost:
        out.print()
        console.print_wrapped(out, _ALMOST.format(log.almost, log.advice), "yellow")


def _print_calls(out: Console, title: str, some: _Calls, view: View, now: datetime) -> None:
    if not some.last:
        console.print_wrapped(out, f"{title}: none.")
        return
    console.print_wrapped(out, f"{title}, the newest first (at most {_LAST}):")
    calls.print_table(out, some.last, view, now)
    if some.refusals:
        console.print_wrapped(out, f"refused: {counted(some.refusals)}")
