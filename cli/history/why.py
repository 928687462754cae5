"""`why`: why nobody reaches a person, or why this person reaches nobody.

Other people's numbers are shown by their last four digits unless they are asked for in full;
masking IDs and virtual numbers are ours and shown whole.
"""

import argparse
import json
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import phone
from call_log.records import CallRecord, Disposition, record
from cli.history import stored
from config import Settings
from insight import why
from insight.simulated import is_simulated
from insight.why import Nearest, PersonRow, Refusals
from phone import NoNumber, PhoneNumber

_LAST = 10
_ROWS = ("line", "is the", "dialled", "other person", "the row")
_CALLS = ("call at (UTC)", "caller", "dialled", "what was decided")
_ALMOST = (
    "{:,} of these calls came from a number that ends in the same seven digits and is another one."
    " If it is the same phone, set `home_country_code`, or write `from` as it arrives (--full)."
)
_REFUSALS = ("refused because", "times", "last (UTC)")


def add_parser(commands: Any) -> None:
    """Add the command to those of the program."""
    parser = commands.add_parser("why", help="why nobody reaches a person, or they reach nobody")
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
    """What the log tells: the last calls, and every refusal; `no_log` says why it tells nothing.

    `almost` counts calls from a number that ends like the person's and is another one.
    """

    last: Sequence[CallRecord] = ()
    refusals: Sequence[Refusals] = ()
    almost: int = 0
    no_log: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """What list and log tell of a person."""

    number: PhoneNumber
    rows: list[PersonRow]
    open_to_anyone: int
    nearest: Nearest | None
    calls: _Calls


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print what is known; return 0 if a row of the person connects now, else 1."""
    settings, allow_list = stored.settings_and_list(options.config)
    number = options.number
    rows = why.rows_of(number, allow_list, now)
    found = _Found(
        number,
        rows,
        why.open_to_anyone(allow_list, now),
        None if rows else why.nearest(number, allow_list),
        _calls(settings, options, rows, now),
    )
    show = _Shown(allow_list.own_numbers, full=options.full)
    if options.json:
        print(json.dumps(_plain(found, show), indent=2))
    else:
        _print(found, show)
    return 0 if any(row.is_open for row in rows) else 1


def _calls(
    settings: Settings, options: argparse.Namespace, rows: list[PersonRow], now: datetime
) -> _Calls:
    try:
        with stored.reading(settings) as log:
            incoming = log.incoming(why.MAX_EVENTS, simulated=options.simulated)
            concerning = why.concerning(incoming, options.number, rows)
            ids = list(dict.fromkeys(each.reference_id for each in concerning))
            last = [record(call, now) for call in log.calls(ids[:_LAST])]
    except stored.NoLogError as error:
        return _Calls(no_log=str(error))
    almost = sum(why.is_almost(each.caller, options.number) for each in concerning)
    return _Calls(last, why.refusals(concerning), almost)


class _Shown:
    """How numbers are shown: ours whole, others' in full only where that is asked for."""

    def __init__(self, own_numbers: Set[PhoneNumber], *, full: bool) -> None:
        self._own, self._full = own_numbers, full

    def __call__(self, number: object) -> str:
        if isinstance(number, NoNumber):
            return number.value
        text = "" if number is None else str(number)
        return text if self._full or not text or text in self._own else phone.redact(text)


def _plain(found: _Found, show: _Shown) -> dict[str, Any]:
    """Return what was found as JSON takes it."""
    close = found.nearest
    return {
        "number": show(found.number),
        "rows": [_plain_row(row, show) for row in found.rows],
        "open_to_anyone": found.open_to_anyone,
        "nearest": asdict(close) | {"number": show(close.number)} if close else None,
        "calls": [_plain_call(call, show) for call in found.calls.last],
        "refusals": [asdict(each) | {"last": _iso(each.last)} for each in found.calls.refusals],
        "almost_this_caller": found.calls.almost,
        "no_log": found.calls.no_log or None,
    }


def _plain_row(row: PersonRow, show: _Shown) -> dict[str, Any]:
    return asdict(row) | {
        "dialled": show(row.dialled),
        "other": None if row.other is None else show(row.other),
        "expires": None if row.expires is None else _iso(row.expires),
    }


def _plain_call(call: CallRecord, show: _Shown) -> dict[str, Any]:
    return {
        "reference_id": call.reference_id,
        "simulated": is_simulated(call.reference_id),
        "created": _iso(call.created),
        "caller": show(call.caller),
        "dialled": show(call.dialled),
        "decision": call.decision,
        "reason": call.reason,
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
    out.print()
    if found.calls.last:
        console.print_table(out, _CALLS, [_call(call, show) for call in found.calls.last])
    else:
        console.print_wrapped(
            out, found.calls.no_log or "The log holds no call that this concerns."
        )
    if found.calls.refusals:
        out.print()
        console.print_table(out, _REFUSALS, [_refusals(each) for each in found.calls.refusals])

    if found.calls.almost:
        out.print()
        console.print_wrapped(out, _ALMOST.format(found.calls.almost), "yellow")


def _summary(found: _Found, show: _Shown) -> list[tuple[str, str]]:
    """Return the first lines, each with its style: in how many rows, and what connects now."""
    who = show(found.number)
    if found.rows:
        count = sum(row.is_open for row in found.rows)
        style = "bold green" if count else "bold red"
        return [(f"{who} is in {len(found.rows):,} row(s); open now: {count:,}.", style)]
    lines = [(f"{who} is in no row, neither as a destination nor as a caller.", "bold red")]
    if (close := found.nearest) is not None:
        lines.append((_nearest(close, show), ""))
    else:
        lines.append(("No row has a number like it.", ""))
    if found.open_to_anyone:
        lines.append((f"Open now for any caller: {found.open_to_anyone:,} row(s).", ""))
    return lines


def _nearest(close: Nearest, show: _Shown) -> str:
    where = f"the `{close.column}` of line {close.line}"
    if close.likeness is why.Likeness.SAME:
        return f"It is {where}: ask for the person's own number."
    return f"Nearest: {show(close.number)}, {where} ({close.likeness})."


def _row(row: PersonRow, show: _Shown) -> tuple[str, ...]:
    other = "anyone" if row.other is None else show(row.other)
    return (str(row.line), row.part, show(row.dialled), other, _state(row))


def _state(row: PersonRow) -> str:
    match row.state:
        case why.RowState.EXPIRES:
            return f"open, expires in {_span(row.expires_in_s or 0)}"
        case why.RowState.EXPIRED:
            return f"expired {_span(-(row.expires_in_s or 0))} ago"
        case why.RowState.NEVER_CONNECTS:
            return f"never connects: {row.reason}"
        case _:
            return "open"


def _span(seconds: float) -> str:
    """Return how long something takes, in its largest unit and the next: `3 d 4 h`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s"


def _call(call: CallRecord, show: _Shown) -> tuple[str, ...]:
    became = call.disposition if call.disposition is not Disposition.UNKNOWN else call.state
    what = call.reason or became
    mark = " (simulated)" if is_simulated(call.reference_id) else ""
    time = f"{call.created:%Y-%m-%d %H:%M:%S}"
    return (time, show(call.caller), show(call.dialled), f"{call.decision}: {what}{mark}")


def _refusals(each: Refusals) -> tuple[str, ...]:
    return (each.reason, f"{each.count:,}", f"{each.last:%Y-%m-%d %H:%M:%S}")
