"""The `check` command: shows what the allow-list allows, and warns of what is doubtful in it.

And whether the server of these settings serves this list.
"""

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import track

from allow_list import reader
from config import ConfigError, Settings
from routing import AllowList, AllowListError, Route
from serving.sources import read_settings
from tools import console, live_list
from tools.list_advice import countries, lint
from tools.list_advice.redacted import show_number
from tools.list_advice.words import in_words, texts_of
from tools.live_list import ServedList

_HEADERS = ("line", "who calls", "dials", "reaches", "who sees", "in", "until (UTC)", "says")
_NUMBERS = ("from", "to", "destination", "caller_id_number")


class _ListCheck(NamedTuple):
    """What a list without a fault allows, and what there is to say of it."""

    allow_list: AllowList
    rows: list[dict[str, Any]]
    warnings: list[str]
    start_faults: list[str]
    served: ServedList


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print who may call whom and sees which number, then all warnings and notes.

    Returns the exit status: with `strict` 1 if there are warnings. Raises `ConfigError` for faults.
    """
    settings, faults = read_settings(options.config, os.environ, serving=False)
    try:
        allow_list = reader.read(Path(settings.allow_list), settings, only_fictional=False)
    except AllowListError as error:
        # Only settings without a fault say which server.
        more = [] if faults else [live_list.state_of(settings).text]
        faults += [fault.at(settings.allow_list) for fault in error.faults] + more
    if faults:
        raise ConfigError(faults)
    found = _check(options, settings, allow_list, now)
    if options.json:
        print(json.dumps(_plain(found)))
    else:
        _print(found)
    return 1 if options.strict and found.warnings else 0


def _check(
    options: argparse.Namespace, settings: Settings, allow_list: AllowList, now: datetime
) -> _ListCheck:
    rows, warnings, hidden = [], [], options.json or not console.terminal().is_terminal
    for route in track(allow_list, "checking", len(allow_list), transient=True, disable=hidden):
        rows.append(_row(route, allow_list, full=options.full))
        found = lint.warnings(route, allow_list, now, settings.accept_digit, full=options.full)
        warnings += [f"line {route.line}: {text}" for text in found]
    if not rows:
        warnings.append("the allow-list has no rows: every call is refused")
    start_faults = _start_faults(options.config, allow_list)
    return _ListCheck(allow_list, rows, warnings, start_faults, live_list.state_of(settings))


def _start_faults(path: Path | None, allow_list: AllowList) -> list[str]:
    """Return why the server would not start, though the list by itself has no fault."""
    settings, faults = read_settings(path, os.environ)
    if settings.only_fictional:
        faults += [fault.at(settings.allow_list) for fault in reader.real_numbers(allow_list)]
    return faults


def _row(route: Route, allow_list: AllowList, *, full: bool) -> dict[str, Any]:
    """Return the cells of a route; its country is one, or that of each number in turn."""
    numbers = (route.caller, route.dialled, route.destination, route.masking_id)
    found = [countries.country(number) for number in numbers if number]
    cells = [number and show_number(number, allow_list, full=full) for number in numbers]
    return {
        "line": route.line,
        **dict(zip(_NUMBERS, cells, strict=True)),
        "country": found[0] if len(set(found)) == 1 else " ".join(found),
        "expires": f"{route.expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if route.expires else None,
        **texts_of(route, full=full),
    }


def _plain(found: _ListCheck) -> dict[str, Any]:
    """Return what was found as JSON takes it."""
    return {
        "rows": found.rows,
        "warnings": found.warnings,
        "start_faults": found.start_faults,
        "refuses_withheld": found.allow_list.refuses_withheld,
        "countries": dict(countries.countries(found.allow_list)),
        **found.served.plain(),
    }


def _print(found: _ListCheck) -> None:
    out = console.terminal()
    rows = [_cells(row) for row in found.rows]
    used = len(_HEADERS) if any(row[-1] for row in rows) else len(_HEADERS) - 1
    console.print_table(out, _HEADERS[:used], [row[:used] for row in rows])
    out.print()
    for text in found.warnings:
        console.print_wrapped(out, text, "yellow")
    if found.allow_list.refuses_withheld:
        console.print_wrapped(out, "withheld_callers is refuse: anyone is who has a number")
    if found.start_faults:
        console.print_wrapped(out, "the server would not start with these settings:")
    for text in found.start_faults:
        console.print_wrapped(out, text)
    if found.rows:
        counts = [
            f"{country} {count:,}" for country, count in countries.countries(found.allow_list)
        ]
        console.print_wrapped(out, f"countries: {', '.join(counts)}")
    console.print_wrapped(out, found.served.text)
    counted = f"rows: {len(found.rows):,}, warnings: {len(found.warnings):,}"
    console.print_wrapped(out, counted, "bold")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    until = (row["expires"] or "")[:16].replace("T", " ")
    return (
        str(row["line"]),
        *(row[name] or "anyone" for name in _NUMBERS),
        row["country"],
        until,
        in_words(row),
    )
