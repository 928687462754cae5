"""`report`: a day a line, what became of its calls; refusals by reason, wait and talk.

Only the log is read, and no number of anybody is in what is printed.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import zip_longest
from typing import Any

from rich.console import Console

from tools import console
from tools.history import stored, times
from tools.history.fields import View, format_refusals
from tools.history.totals import Report, Tally, report
from tools.outcome import CommandError, Status

_BAR = 8
_HEADERS = ("calls", "connected", "declined", "refused", "no answer", "busy", "failed", "other")
_NO_TIME = "none is in the log"


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print the report; return the exit status.

    Raises `CommandError` or `TimeError` for times of no use.
    """
    settings = stored.settings_of(options.config)
    since, until = times.bounds(options, now)
    until = min(until or now, now)  # no day is empty that has not come yet
    if since is None or since >= until:
        message = f"--since: wanted a time before now, got {options.since!r}"
        raise CommandError("bad_arguments", message, Status.FAULTS)
    view = View(zone=times.zone_of(options))
    with stored.reading(settings) as log:
        found = report(
            log.summaries(since, until, now),
            until=until,
            with_simulated=options.simulated,
            day_of=lambda time: view.at(time).date(),
        )
        last = log.last_event(with_simulated=options.simulated)
    moments = {"since": since, "until": until, "last_event": last}
    if options.json:
        shown = {name: view.cell(name, moment) for name, moment in moments.items()}
        print(json.dumps(shown | _plain(found), indent=2))
    else:
        _print(found, moments, view, now, with_simulated=options.simulated)
    return 0


def _plain(found: Report) -> dict[str, Any]:
    """Return the report as JSON takes it."""
    days = [{"day": day.isoformat(), **asdict(tally)} for day, tally in found.days]
    return asdict(found) | {"days": days}


def _print(
    found: Report,
    moments: dict[str, datetime | None],
    view: View,
    now: datetime,
    *,
    with_simulated: bool,
) -> None:
    out = console.terminal()
    zone = view.zone_at(filter(None, moments.values()))
    since, until, last = (
        f"{view.at(moment):%Y-%m-%d %H:%M}" if moment else _NO_TIME for moment in moments.values()
    )
    console.print_wrapped(out, f"calls from {since} to {until} ({zone})", "bold")
    if found.total.calls:
        _print_days(out, found)
    else:
        console.print_wrapped(out, "no call")
    if moments["last_event"]:
        last += f", {times.in_two_units((now - moments['last_event']).total_seconds())} ago"
    for label, text in [*_lines(found, with_simulated=with_simulated), ("last event", last)]:
        console.print_wrapped(out, f"{label:<11} {text}")


def _print_days(out: Console, found: Report) -> None:
    """Print a line a day, with a bar where there is room; in words where there is too little."""
    headers = _headers(found)
    rows = [(day.isoformat(), tally) for day, tally in found.days]
    if len(rows) > 1:
        rows.append(("all", found.total))
    cells = [[day, *_cells(tally, headers)] for day, tally in rows]
    room = out.width - sum(len(cell) + 2 for cell in cells[0]) if out.is_terminal else _BAR
    if room >= _BAR:
        bars = _bars(found, "█" if out.encoding.startswith("utf") else "#")
        lines = [[*line, bar] for line, bar in zip_longest(cells, bars, fillvalue="")]
        console.print_table(out, ["day", *headers, ""], lines)
    elif room >= -2:  # no gap behind the last column
        console.print_table(out, ["day", *headers], cells)
    else:
        for line in cells:
            counts = zip(headers, line[1:], strict=True)
            text = ", ".join(f"{header.strip()} {cell.strip()}" for header, cell in counts)
            console.print_wrapped(out, f"{line[0]}: {text}")


def _headers(found: Report) -> list[str]:
    """Return the headers of the columns that hold anything, as wide as their numbers."""
    cells = _counts(found.total)
    return [
        header.rjust(len(f"{count:,}"))
        for header, count in zip(_HEADERS, cells, strict=True)
        if count or header in ("calls", "connected")
    ]


def _cells(tally: Tally, headers: Sequence[str]) -> Iterator[str]:
    """Yield the counts of these columns, each as wide as its header."""
    counts = dict(zip(_HEADERS, _counts(tally), strict=True))
    for header in headers:
        yield f"{counts[header.strip()]:,}".rjust(len(header))


def _bars(found: Report, bar: str) -> list[str]:
    most = max(tally.calls for _, tally in found.days)
    return [bar * -(-_BAR * tally.calls // most) for _, tally in found.days]


def _counts(tally: Tally) -> tuple[int, ...]:
    named = (tally.connected, tally.declined, tally.refused, tally.no_answer, tally.busy)
    return (tally.calls, *named, tally.failed, tally.other)


def _lines(found: Report, *, with_simulated: bool) -> Iterator[tuple[str, str]]:
    """Yield what is printed below the days."""
    if found.refusals:
        yield "refused", format_refusals(found.refusals)
    if found.in_progress or found.total.unknown:
        yield "other", f"{found.in_progress:,} in progress, {found.total.unknown:,} end unknown"
    for label, spread in (("wait", found.wait), ("talk", found.talk)):
        if spread:
            mean, median, p95 = map(
                times.in_minutes, (spread.mean_s, spread.median_s, spread.p95_s)
            )
            yield label, f"mean {mean}, median {median}, 95 % within {p95}"
    if found.simulated:
        fate = "counted" if with_simulated else "left out: --simulated counts them"
        yield "simulated", f"{found.simulated:,}, {fate}"
