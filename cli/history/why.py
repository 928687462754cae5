"""`why`: why nobody reaches a person, or why this person reaches nobody.

Other people's numbers are shown by their last four digits unless they are asked for in full;
masking IDs and virtual numbers are ours and shown whole.
"""

import argparse
import json
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import phone
from cli.history import stored
from cli.history.cells import View
from cli.history.times import in_two_units
from config import Settings
from insight import why
from insight.simulated import is_simulated
from insight.why import Incoming, Likeness, LoggedCall, Nearest, PersonRow, Refusals
from phone import NoNumber, PhoneNumber
from routing import Route

if TYPE_CHECKING:
    from rich.console import Console

_LAST = 10
_MAX_ROWS_NAMED = 5
_ROWS = ("line", "is the", "dialled", "other person", "the row")
_CALLS = ("call at (UTC)", "caller", "dialled", "what was decided")
_ALMOST = (
    "{:,} of these calls came from a number that ends in the same seven digits and is another one."
    " If it is the same phone, set `home_country_code`, or write `from` as it arrives (--full)."
)
_REFUSALS = ("refused because", "times", "last (UTC)")


def add_parser(commands: Any) -> None:
    """Add the command to those of the program."""
    text = "why nobody reaches a person, or they reach nobody"
    description = (
        f"Show {text}: the rows that they are in, whether each is open now, the last calls of their"
        " own and the last others to the same virtual numbers, with the refusals of both by reason."
    )
    parser = commands.add_parser("why", help=text, description=description)
    parser.add_argument("number", type=_number, metavar="NUMBER", help="the person's own number")
    parser.add_argument("--simulated", action="store_true", help="simulated calls as well")
    parser.add_argument("--full", action="store_true", help="show numbers in full")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def _number(text: str) -> PhoneNumber:
    try:
        return phone.parse(text)
    except phone.PhoneError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Calls:
    """The last of some calls, and the refusals of all of them."""

    last: Sequence[LoggedCall] = ()
    refusals: Sequence[Refusals] = ()


@dataclass(frozen=True, slots=True)
class _Log:
    """What the log shows: the person's own calls and the others; `no_log` says why it shows none.

    `almost` counts calls from a number that ends like the person's and is another one.
    """

    own: _Calls = _Calls()
    others: _Calls = _Calls()
    almost: int = 0
    no_log: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """What list and log show of a person."""

    number: PhoneNumber
    rows: list[PersonRow]
    open_to_anyone: list[Route]
    nearest: Nearest | None
    log: _Log

    @property
    def lacks_1(self) -> bool:
        """Whether the number is in no row because it was asked for without its 1."""
        return not self.rows and phone.lacks_north_american_1(self.number)


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print what is known; return 0 if a row of the person connects now, else 1."""
    settings, allow_list = stored.settings_and_list(options.config)
    rows = why.rows_of(options.number, allow_list, now)
    found = _Found(
        options.number,
        rows,
        why.reached_as_anyone(options.number, allow_list, now),
        None if rows else why.nearest(options.number, allow_list),
        _log(settings, options, rows, now),
    )
    show = _Shown(allow_list.own_numbers, full=options.full)
    if options.json:
        print(json.dumps(_plain(found, show), indent=2))
    else:
        _print(found, show)
    return 0 if any(row.is_open for row in rows) else 1


def _log(
    settings: Settings, options: argparse.Namespace, rows: list[PersonRow], now: datetime
) -> _Log:
    try:
        with stored.reading(settings) as log:
            incoming = log.incoming(why.MAX_EVENTS, simulated=options.simulated)
            own, others = why.own_and_others(incoming, options.number, rows)
            almost = sum(why.is_almost(each.caller, options.number) for each in own + others)
            return _Log(_calls(log, own, now), _calls(log, others, now), almost)
    except stored.NoLogError as error:
        return _Log(no_log=str(error))


def _calls(log: stored.StoredCalls, incoming: Sequence[Incoming], now: datetime) -> _Calls:
    ids = list(dict.fromkeys(each.reference_id for each in incoming))
    last = [why.logged_call(call, now) for call in log.calls(ids[:_LAST])]
    return _Calls(last, why.refusals(incoming))


class _Shown:
    """How numbers are shown: ours whole, others' in full only where that is asked for."""

    def __init__(self, own_numbers: Set[PhoneNumber], *, full: bool) -> None:
        self._own, self.full = own_numbers, full

    def __call__(self, number: object) -> str:
        if isinstance(number, NoNumber):
            return number.value
        text = "" if number is None else str(number)
        return text if self.full or not text or text in self._own else phone.redact(text)


def _plain(found: _Found, show: _Shown) -> dict[str, Any]:
    """Return what was found as JSON takes it."""
    close = found.nearest
    return {
        "number": show(found.number),
        "rows": [_plain_row(row, show) for row in found.rows],
        "open_to_anyone": [_plain_route(route, show) for route in found.open_to_anyone],
        "nearest": asdict(close) | {"number": show(close.number)} if close else None,
        "own": _plain_calls(found.log.own, show),
        "others": _plain_calls(found.log.others, show),
        "almost_this_caller": found.log.almost,
        "no_log": found.log.no_log or None,
    }


def _plain_route(route: Route, show: _Shown) -> dict[str, Any]:
    return {
        "line": route.line,
        "dialled": show(route.dialled),
        "destination": show(route.destination),
    }


def _plain_calls(calls: _Calls, show: _Shown) -> dict[str, Any]:
    return {
        "calls": [_plain_call(each, show) for each in calls.last],
        "refusals": [asdict(each) | {"last": _iso(each.last)} for each in calls.refusals],
    }


def _plain_row(row: PersonRow, show: _Shown) -> dict[str, Any]:
    return asdict(row) | {
        "dialled": show(row.dialled),
        "other": None if row.other is None else show(row.other),
        "expires": None if row.expires is None else _iso(row.expires),
    }


def _plain_call(logged: LoggedCall, show: _Shown) -> dict[str, Any]:
    call = logged.record
    return {
        "reference_id": call.reference_id,
        "simulated": is_simulated(call.reference_id),
        "created": _iso(call.created),
        "caller": show(call.caller),
        "dialled": show(call.dialled),
        "decision": call.decision,
        "reason": call.reason,
        "later_reasons": logged.later_reasons,
        "disposition": call.disposition,
    }


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print(found: _Found, show: _Shown) -> None:
    from cli import console

    out = console.terminal()
    for text, style in _summary(found, show):
        console.print_wrapped(out, text, style)
    if found.rows:
        out.print()
        console.print_table(out, _ROWS, [_row(row, show) for row in found.rows])
    _print_log(out, found, show)


def _print_log(out: "Console", found: _Found, show: _Shown) -> None:
    from cli import console

    log = found.log
    if not (log.own.last or log.others.last):
        out.print()
        console.print_wrapped(out, log.no_log or "The log holds no call that this concerns.")
        return
    _print_calls(out, "Their own calls", log.own, show)
    _print_calls(out, "Other calls", log.others, show)
    if log.almost and not found.lacks_1:
        out.print()
        console.print_wrapped(out, _ALMOST.format(log.almost), "yellow")


def _print_calls(out: "Console", title: str, calls: _Calls, show: _Shown) -> None:
    from cli import console

    out.print()
    if not calls.last:
        console.print_wrapped(out, f"{title}: none.")
        return
    console.print_wrapped(out, f"{title}, the newest first (at most {_LAST}):")
    console.print_table(out, _CALLS, [_call(each, show) for each in calls.last])
    if calls.refusals:
        out.print()
        console.print_table(out, _REFUSALS, [_refusals(each) for each in calls.refusals])


def _summary(found: _Found, show: _Shown) -> list[tuple[str, str]]:
    """Return the first lines, each with its style: in how many rows, and what connects now."""
    close = found.nearest
    if close is not None and close.likeness is Likeness.LACKS_1:
        return [(f"{show(found.number)} lacks its country code: {_with_1(close)}.", "bold red")]
    lines = _in_rows(found, show) if found.rows else _in_no_row(found, show)
    if found.open_to_anyone:
        lines.append((f"As any caller they reach {_routes(found.open_to_anyone, show)}.", ""))
    return lines


def _in_rows(found: _Found, show: _Shown) -> list[tuple[str, str]]:
    count = sum(row.is_open for row in found.rows)
    style = "bold green" if count else "bold red"
    rows = f"{len(found.rows):,} row{'' if len(found.rows) == 1 else 's'}"
    return [(f"{show(found.number)} is in {rows}; open now: {count:,}.", style)]


def _in_no_row(found: _Found, show: _Shown) -> list[tuple[str, str]]:
    close = found.nearest
    text = "No row has a number like it." if close is None else _nearest(close, show)
    missing = f"{show(found.number)} is in no row, neither as a destination nor as a caller."
    return [(missing, "bold red"), (text, "")]


def _with_1(close: Nearest) -> str:
    if close.is_persons:
        return f"with 1 in front it is in line {close.line}. Run it again with the 1"
    where = f"the `{close.column}` of line {close.line}"
    return f"with 1 in front it is {where}. Ask for the person's own number"


def _nearest(close: Nearest, show: _Shown) -> str:
    where = f"the `{close.column}` of line {close.line}"
    if close.likeness is Likeness.SAME:
        return f"It is {where}: ask for the person's own number."
    return f"Nearest: {show(close.number)}, {where} ({close.likeness})."


def _routes(routes: Sequence[Route], show: _Shown) -> str:
    """Return the first of some rows by whom they reach, and how many more there are."""
    named = ", ".join(
        f"{show(each.destination)} by {show(each.dialled)} (line {each.line})"
        for each in routes[:_MAX_ROWS_NAMED]
    )
    more = len(routes) - _MAX_ROWS_NAMED
    return f"{named} and {more:,} more" if more > 0 else named


def _row(row: PersonRow, show: _Shown) -> tuple[str, ...]:
    other = "anyone" if row.other is None else show(row.other)
    return (str(row.line), row.part, show(row.dialled), other, _state(row))


def _state(row: PersonRow) -> str:
    match row.state:
        case why.RowState.EXPIRES:
            return f"open, expires in {in_two_units(row.expires_in_s or 0)}"
        case why.RowState.EXPIRED:
            return f"expired {in_two_units(-(row.expires_in_s or 0))} ago"
        case why.RowState.NEVER_CONNECTS:
            return f"never connects: {row.reason}"
        case _:
            return "open"


def _call(logged: LoggedCall, show: _Shown) -> tuple[str, ...]:
    from cli.console import printable
    from cli.history.calls import became

    call = logged.record
    what = "; then ".join([became(call, View(full=show.full)), *logged.later_reasons])
    mark = " (simulated)" if is_simulated(call.reference_id) else ""
    time = f"{call.created:%Y-%m-%d %H:%M:%S}"
    decided = printable(f"{call.decision}: {what}{mark}")
    return (time, show(call.caller), show(call.dialled), decided)


def _refusals(each: Refusals) -> tuple[str, ...]:
    return (each.reason, f"{each.count:,}", f"{each.last:%Y-%m-%d %H:%M:%S}")
