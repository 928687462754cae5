"""The `calls` command: shows the last calls of the call log, or one call. The log is only read."""

import argparse
import contextlib
import csv
import errno
import json
import re
import select
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NoReturn

import phone
from call_log.store import Store
from events import CallLeg
from records import CallRecord, StoredEvent
from tools import call_table, console
from tools.arguments import FORMULA_SIGNS
from tools.history import conditions, stored, times
from tools.history.conditions import Condition
from tools.history.fields import RECORD_FIELDS, View
from tools.history.follow import TURN_S, Follower
from tools.history.missed import count_missed
from tools.history.steps import arrows
from tools.history.stored import StoredCalls
from tools.outcome import CommandError, Status

_DEFAULT_LAST = 50
_MIN_ENDING = 6
_FOR_PROGRAMS = ("number",)
_NOT_FOLLOWED = ("reference_id", "last", "live", "since", "until")
_NOT_MISSED = {
    "reference_id": "REFERENCE_ID",
    "live": "--live",
    "disposition": "--disposition",
    "reason": "--reason",
    "follow": "--follow",
}
# A spreadsheet may be set to part a cell at any of these, and at a quote
# within: so before a sign there is a letter, a digit or a mark, or else an apostrophe.
_BEGINS_FORMULA = re.compile(f'(?<![^,;|"\\s])(?=[{FORMULA_SIGNS}])')


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print one call or the last ones, as a table, JSON or CSV; return the exit status.

    With `--follow` print each call as it is written down, and do not return. Raises `TimeError`
    for what cannot be looked for, `CommandError` for a call that is not there.
    """
    if options.missed:
        _check_missed(options)
    _check_following(options)
    settings = stored.settings_of(options.config)
    wanted = _condition_of(options, now)
    view = View(full=options.full, zone=times.zone_of(options))
    if options.follow:
        _follow(stored.store_of(settings), wanted, options.after, view, now)
    with stored.reading(settings) as log:
        if options.missed:
            _show_missed(log, wanted, options, view, now)
        elif options.reference_id is not None:
            _show_call(*_find(log, options.reference_id, now), options, view)
        else:
            _show_last(log, wanted, options, view, now)
    return 0


def _check_following(options: argparse.Namespace) -> None:
    """Raise `CommandError` for options that `--follow` needs or cannot go with."""
    others = _options_among(options, _NOT_FOLLOWED)
    wanted = ""
    if options.follow and not options.json:
        wanted = "--follow: wanted --json as well, got none; each call is a line of JSON"
    elif options.follow and others:
        names = ", ".join(name if name == "reference_id" else f"--{name}" for name in others)
        wanted = f"--follow: wanted no {names} beside it: it prints calls as they are written down"
    elif options.after is not None and not options.follow:
        wanted = "--after: wanted --follow as well, got none"
    if wanted:
        raise CommandError("bad_arguments", wanted, Status.FAULTS)


def _follow(
    store: Store, wanted: Condition, after: int | None, view: View, now: datetime
) -> NoReturn:
    """Print each call in a line of JSON when it is written down, until something ends this."""

    def report(record: CallRecord) -> None:
        print(json.dumps(view.record(record), separators=(",", ":")), flush=True)

    def say(fault: str) -> None:
        console.say(f"calls: {fault}")

    follower = Follower(store, wanted, report, say, after=after, now=now)
    with contextlib.closing(follower):
        while True:
            follower.turn(time.monotonic())
            _wait(TURN_S)


def _wait(seconds: float) -> None:
    """Let time pass. Raises `BrokenPipeError` once nobody reads what is printed here.

    Otherwise that is noticed with the next call, which may be hours away.
    """
    if not hasattr(select, "poll"):  # on Windows
        time.sleep(seconds)
        return
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if output.poll(seconds * 1000):
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output")


def _check_missed(options: argparse.Namespace) -> None:
    """Raise `CommandError` for what says something else of the calls than that they were missed."""
    got = [_NOT_MISSED[name] for name in _options_among(options, _NOT_MISSED)]
    if got:
        wanted = f"--missed: wanted without {', '.join(_NOT_MISSED.values())}"
        message = f"{wanted}, got it with {', '.join(got)}"
        raise CommandError("bad_arguments", message, Status.FAULTS)


def _options_among(options: argparse.Namespace, names: Iterable[str]) -> list[str]:
    return [name for name in names if getattr(options, name) not in (None, False)]


def _condition_of(options: argparse.Namespace, now: datetime) -> Condition:
    """Return what the options ask for. Raises `CommandError`, or `TimeError` for times."""
    since, until = times.bounds(options, now)
    asked = [
        since and conditions.began_from(since),
        until and conditions.began_before(until),
        options.number and conditions.holds(options.number),
        options.live and conditions.is_live(),
    ]
    asked += [
        getattr(options, name) and conditions.is_equal(name, getattr(options, name))
        for name in ("disposition", "reason", "external_id")
    ]
    given = [condition for condition in asked if condition]
    if options.reference_id == "":
        wanted = "REFERENCE_ID: wanted the id of a call or its end, got an empty text"
        raise CommandError("bad_arguments", wanted, Status.FAULTS)
    if options.reference_id and (given or options.last):
        wanted = "wanted a reference id or filters, got both"
        raise CommandError("bad_arguments", wanted, Status.FAULTS)
    passing = conditions.ANY if options.simulated else ~conditions.SIMULATED
    for condition in given:
        passing &= condition
    return passing


def _find(log: StoredCalls, name: str, now: datetime) -> tuple[CallRecord, Sequence[StoredEvent]]:
    """Return the call with this reference id, or with the only one that ends like this.

    Raises `CommandError`.
    """
    if found := log.call(name, now):
        return found
    alike = []
    if len(name) >= _MIN_ENDING:
        alike = log.records(conditions.id_ends_in(name), now, limit=2)
    if len(alike) > 1:
        more = "give more of the reference id"
        count = log.count(conditions.id_ends_in(name), now)
        raise CommandError("several_calls", f"{count:,} calls in the log end in {name!r}: {more}")
    if alike and (found := log.call(alike[0].reference_id, now)):
        return found
    wanted = f"the reference id of a call in the log, or its last {_MIN_ENDING} or more characters"
    if phone.is_number(name):
        got = phone.mask_digits(name)
        raise CommandError("no_call", f"wanted {wanted}, got {got!r}; for a number use --number")
    raise CommandError("no_call", f"wanted {wanted}, got {name!r}")


def _show_last(
    log: StoredCalls, wanted: Condition, options: argparse.Namespace, view: View, now: datetime
) -> None:
    limit = options.last or _DEFAULT_LAST
    records = log.records(wanted, now, limit + 1)
    more, records = records[limit:], records[:limit]
    if options.json:
        print(json.dumps([view.record(record) for record in records], indent=2))
    elif options.csv:
        _write_csv(RECORD_FIELDS, map(view.record, records))
    elif records:
        call_table.print_table(console.terminal(), records, view, now)
    else:
        print("no calls: none is in the log, or none passes (--simulated: simulated ones as well)")
    if more:
        _say_how_many(f"{log.count(wanted, now):,} calls", limit)


def _say_how_many(calls: str, limit: int) -> None:
    console.say(f"calls: {calls} pass, the last {limit:,} are shown; a larger --last shows more")


def _show_missed(
    log: StoredCalls, wanted: Condition, options: argparse.Namespace, view: View, now: datetime
) -> None:
    limit = options.last or _DEFAULT_LAST
    among = conditions.ANY if options.simulated else ~conditions.SIMULATED
    found = count_missed(log, wanted, among, now)
    counts = dict(islice(found.items(), limit))
    records = log.by_ids(list(counts), now)
    shown = [view.record(record) | {"times": counts[record.reference_id]} for record in records]
    if options.json:
        print(json.dumps(shown, indent=2))
    elif options.csv:
        _write_csv((*RECORD_FIELDS, "times"), shown)
    elif records:
        call_table.print_table(console.terminal(), records, view, now, counts)
    else:
        none = "none is in the log without a later connection, or none passes"
        print(f"no missed calls: {none} (--simulated: simulated ones as well)")
    if len(found) > limit:
        _say_how_many(f"{len(found):,} missed calls", limit)


def _write_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(names)
    for row in rows:
        out.writerow(_csv_cell(row[name]) for name in names)


def _csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, and no terminal obeys."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _BEGINS_FORMULA.sub("'", console.printable(value))
    return value


def _show_call(
    record: CallRecord, events: Sequence[StoredEvent], options: argparse.Namespace, view: View
) -> None:
    legs = [leg for kept in events for leg in getattr(kept.event, "legs", ())]
    shown = view.record(record)
    if options.json:
        more = {"legs": view.cell("legs", tuple(legs)), "events": [*map(view.event, events)]}
        print(json.dumps([shown | more], indent=2))
    elif options.csv:
        _write_csv(RECORD_FIELDS, [shown])
    else:
        _print_call(shown, legs, events, view)


def _print_call(
    shown: dict[str, Any], legs: Iterable[CallLeg], events: Sequence[StoredEvent], view: View
) -> None:
    out = console.terminal()

    def line(label: str, text: object) -> None:
        console.print_wrapped(out, f"{label:<14} {text}")

    console.print_ladder(out, arrows(events, view))
    out.print()
    line("times", view.zone_at(kept.first_seen for kept in events))
    for label, text in _lines(shown):
        line(label, text)
    for leg in legs:
        line("leg", _leg(leg, view))


def _lines(shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is known of a call, each with its name."""
    for name, value in shown.items():
        if value is None or value is False or value == "" or name in _FOR_PROGRAMS:
            continue
        if name == "row":
            yield name, f"line {value} of the allow-list, as it was"
        else:
            unit = " s" if name.endswith("_s") else ""
            text = "yes" if value is True else value
            yield name.removesuffix("_s").replace("_", " "), f"{text}{unit}"


def _leg(leg: CallLeg, view: View) -> str:
    """Return a leg of a call in one line."""
    values = view.cell("leg", leg)
    numbers = f"{values['from_number']} to {values['to_number']}"
    moments = [
        f"{name} {values[name]}" for name in ("created", "answered", "ended") if values[name]
    ]
    return ", ".join([values["direction"] or "unknown", numbers, *moments])
