"""`report`: a day a line, what became of its calls; refusals by reason, wait and talk.

Only the log is read, and no number of anybody is in what is printed.
"""

import argparse
import contextlib
import gc
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from call_log import writer
from call_log.reading import outline
from call_log.records import MAX_CALL
from call_log.store import Store, StoreError, microseconds, utc
from cli.history import times
from cli.history.cells import View
from config import Settings
from insight import simulated
from insight.report import (
    CallOutline,
    Heard,
    Report,
    Tally,
    report,
    tells_of_answer,
)

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_WIDTH = 7
_BAR = 10
_HEADERS = ("calls", "connected", "refused", "failed", "no answer", "other")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of the command line."""
    text = "count the calls of each day, by what became of them"
    counting = commands.add_parser("report", help=text, description=f"{text.capitalize()}.")
    spellings = "2h, 7d, today, yesterday, or a date or time"
    counting.add_argument(
        "--since", default="7d", metavar="TIME", help=f"from then on: {spellings} (default: 7d)"
    )
    counting.add_argument("--until", metavar="TIME", help="only before this time (default: now)")
    counting.add_argument(
        "--local",
        action="store_true",
        help="show days and times of this machine's zone (default: UTC)",
    )
    counting.add_argument("--simulated", action="store_true", help="count simulated calls too")
    counting.add_argument("--json", action="store_true", help="print JSON")


def run(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    """Print the report; return the exit status."""
    try:
        zone = None if options.local else UTC
        since = times.instant(options.since, now, zone=zone)
        until = times.instant(options.until, now, zone=zone) if options.until else now
        until = min(until, now)  # no day is empty that has not come yet
        if since >= until:
            raise ValueError(_wrong_order(since, until, options, now))
        counted, last = _read(
            settings, since, until, with_simulated=options.simulated, local=options.local
        )
    except (argparse.ArgumentTypeError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    except StoreError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(_plain(counted, since, until, last, options), indent=2))
    else:
        _print(counted, since, until, last, options, now)
    return 0


def _wrong_order(
    since: datetime, until: datetime, options: argparse.Namespace, now: datetime
) -> str:
    """Say which time is before which: `until` is now unless an earlier one was asked for."""
    end = "--until" if options.until and until < now else "now"
    relation = "is before" if until < since else "is the same time as"
    return f"{end} ({_minute(until, options)}) {relation} --since ({_minute(since, options)})"


def _minute(time: datetime, options: argparse.Namespace) -> str:
    return f"{_zoned(time, local=options.local):%Y-%m-%d %H:%M} {_zone([time], options)}"


def _zone(times: Iterable[datetime], options: argparse.Namespace) -> str:
    return View(zone=None if options.local else UTC).zone_at(times)


def _zoned(time: datetime, *, local: bool) -> datetime:
    return time.astimezone() if local else time.astimezone(UTC)


def _read(
    settings: Settings, since: datetime, until: datetime, *, with_simulated: bool, local: bool
) -> tuple[Report, datetime | None]:
    """Return the report of a log, and when its last event came. Raises `StoreError`."""
    store = writer.store_of(settings.call_log)
    store.open(write=False)
    try:
        with _without_collector():
            counted = report(
                calls_of(store, since),
                since=since,
                until=until,
                with_simulated=with_simulated,
                day_of=lambda time: _zoned(time, local=local).date(),
            )
        last = (
            store.newest()
            if with_simulated
            else outline.newest(store, leaving_out=simulated.PREFIX)
        )
    finally:
        store.close()
    return counted, None if last is None else utc(last)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Have nobody look for cycles, which there are none of, in what a million events leave."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


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


def _plain(
    counted: Report,
    since: datetime,
    until: datetime,
    last: datetime | None,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Return the report as JSON takes it."""

    def time(value: datetime) -> str:
        text = _zoned(value, local=options.local).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z")

    return {
        "since": time(since),
        "until": time(until),
        "days": [{"day": day.isoformat(), **asdict(tally)} for day, tally in counted.days],
        "total": asdict(counted.total),
        "refusals": counted.refusals,
        "wait": asdict(counted.wait) if counted.wait else None,
        "talk": asdict(counted.talk) if counted.talk else None,
        "last_event": time(last) if last else None,
        "simulated": counted.simulated,
    }


def _print(
    counted: Report,
    since: datetime,
    until: datetime,
    last: datetime | None,
    options: argparse.Namespace,
    now: datetime,
) -> None:
    from cli import console

    def time(value: datetime) -> str:
        return f"{_zoned(value, local=options.local):%Y-%m-%d %H:%M}"

    out = console.terminal()
    zone = _zone([since, until, *([last] if last else [])], options)
    console.print_wrapped(out, f"calls from {time(since)} to {time(until)} ({zone})", "bold")
    if counted.total.calls:
        bar = "█" if out.encoding.startswith("utf") else "#"
        headers = ("day", *(each.rjust(_WIDTH) for each in _HEADERS), "")
        console.print_table(out, headers, [*_rows(counted, bar)])
    else:
        console.print_wrapped(out, "no call")
    for label, text in _lines(counted, options):
        console.print_wrapped(out, f"{label:<11} {text}")
    when = f"{time(last)}, {_ago(now - last)} ago" if last else "none is in the log"
    console.print_wrapped(out, f"{'last event':<11} {when}")


def _rows(counted: Report, bar: str) -> Iterator[tuple[str, ...]]:
    """Yield a line for each day, as long a bar as it had calls, and one for all of them."""
    most = max(tally.calls for _, tally in counted.days)
    for day, tally in counted.days:
        yield (day.isoformat(), *_cells(tally), bar * -(-_BAR * tally.calls // most))
    if len(counted.days) > 1:
        yield ("all", *_cells(counted.total), "")


def _cells(tally: Tally) -> Iterator[str]:
    for header, count in zip(_HEADERS, asdict(tally).values(), strict=True):
        yield f"{count:,}".rjust(max(_WIDTH, len(header)))


def _lines(counted: Report, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield what is printed below the days."""
    if counted.refusals:
        reasons = (f"{reason or 'no reason'} {n:,}" for reason, n in counted.refusals.items())
        yield "refused", ", ".join(reasons)
    for label, spread in (("wait", counted.wait), ("talk", counted.talk)):
        if spread:
            yield label, f"median {_clock(spread.median_s)}, 95 % within {_clock(spread.p95_s)}"
    if counted.simulated:
        is_one = counted.simulated == 1
        calls, verb, them = ("call", "is", "it") if is_one else ("calls", "are", "them")
        counts = "counted" if options.simulated else f"left out: --simulated counts {them}"
        yield "simulated", f"{counted.simulated:,} {calls} {verb} {counts}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _ago(age: timedelta) -> str:
    """Return an age in its two largest units, of two clocks that may differ."""
    minutes, seconds = divmod(max(int(age.total_seconds()), 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
