"""`report`: a day a line, what became of its calls; refusals by reason, wait and talk.

Only the log is read, and no number of anybody is in what is printed.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from call_log.store import Store, StoreError, microseconds, utc
from config import ConfigError
from records import MAX_CALL
from tools import console
from tools.history import outline, simulated, stored, times
from tools.history.fields import View, counted
from tools.history.totals import CallOutline, Heard, Report, Tally, report, tells_of_answer

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_WIDTH = 7
_BAR = 10
_HEADERS = ("calls", "connected", "refused", "failed", "no answer", "other")


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print the report; return the exit status. Raises `ConfigError` for times of no use."""
    settings = stored.settings_of(options.config)
    since, until = times.bounds(options, now)
    until = min(until or now, now)  # no day is empty that has not come yet
    if since is None or since >= until:
        raise ConfigError([f"--since: wanted a time before now, got {options.since!r}"])
    view = View(zone=times.zone_of(options))
    try:
        with stored.reading(settings) as log:
            found = report(
                calls_of(log.store, since),
                since=since,
                until=until,
                with_simulated=options.simulated,
                day_of=lambda time: view.at(time).date(),
            )
            last = _last_event(log.store, with_simulated=options.simulated)
    except StoreError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    moments = {"since": since, "until": until, "last_event": last}
    if options.json:
        shown = {name: view.cell(name, moment) for name, moment in moments.items()}
        print(json.dumps(shown | _plain(found), indent=2))
    else:
        _print(found, moments, view, now, with_simulated=options.simulated)
    return 0


def calls_of(store: Store, since: datetime) -> Iterator[CallOutline]:
    """Return the calls of a log, those that started earlier not all among them.

    What is read begins earlier by the longest call, so that the end of one is not taken for a call.
    """
    heard = Heard(outline.outlines(store, microseconds(max(since, _FIRST) - MAX_CALL)))
    doubtful = heard.doubtful()
    heard.drop(doubtful)
    heard.add(outline.outlines_of(store, doubtful))
    ends = outline.ends_of(store, heard.unclear())
    return heard.calls({each for each, body in ends if tells_of_answer(bytes(body))})


def _last_event(store: Store, *, with_simulated: bool) -> datetime | None:
    simulation = simulated.PREFIX
    last = store.newest() if with_simulated else outline.newest(store, leaving_out=simulation)
    return None if last is None else utc(last)


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
        f"{view.at(each):%Y-%m-%d %H:%M}" if each else "none is in the log"
        for each in moments.values()
    )
    console.print_wrapped(out, f"calls from {since} to {until} ({zone})", "bold")
    if found.total.calls:
        bar = "█" if out.encoding.startswith("utf") else "#"
        headers = ("day", *(each.rjust(_WIDTH) for each in _HEADERS), "")
        console.print_table(out, headers, [*_rows(found, bar)])
    else:
        console.print_wrapped(out, "no call")
    if moments["last_event"]:
        last += f", {times.in_two_units((now - moments['last_event']).total_seconds())} ago"
    for label, text in [*_lines(found, with_simulated=with_simulated), ("last event", last)]:
        console.print_wrapped(out, f"{label:<11} {text}")


def _rows(found: Report, bar: str) -> Iterator[tuple[str, ...]]:
    """Yield a line for each day, as long a bar as it had calls, and one for all of them."""
    most = max(tally.calls for _, tally in found.days)
    for day, tally in found.days:
        yield (day.isoformat(), *_cells(tally), bar * -(-_BAR * tally.calls // most))
    if len(found.days) > 1:
        yield ("all", *_cells(found.total), "")


def _cells(tally: Tally) -> Iterator[str]:
    for header, count in zip(_HEADERS, asdict(tally).values(), strict=True):
        yield f"{count:,}".rjust(max(_WIDTH, len(header)))


def _lines(found: Report, *, with_simulated: bool) -> Iterator[tuple[str, str]]:
    """Yield what is printed below the days."""
    if found.refusals:
        yield "refused", counted(found.refusals)
    for label, spread in (("wait", found.wait), ("talk", found.talk)):
        if spread:
            median, p95 = times.in_minutes(spread.median_s), times.in_minutes(spread.p95_s)
            yield label, f"median {median}, 95 % within {p95}"
    if found.simulated:
        fate = "counted" if with_simulated else "left out: --simulated counts them"
        yield "simulated", f"{found.simulated:,}, {fate}"
