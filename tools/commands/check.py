"""The `check` command: shows what the allow-list allows, and warns of what is doubtful in it."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import track

from config import ConfigError, Settings
from routing import Route
from serving.sources import load
from tools import console
from tools.list_advice import countries, lint

_HEADERS = ("line", "who calls", "dials", "reaches", "who sees", "in", "until (UTC)")


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print who may call whom and sees which number, then all warnings and notes.

    Returns the exit status: with `strict` 1 if there are warnings. Raises `ConfigError` for faults.
    """
    settings, live = load(options.config, os.environ, serving=False)
    allow_list, out, today = live.current, console.terminal(), now
    rows, warnings = [], []
    for route in track(
        allow_list, "checking", len(allow_list), transient=True, disable=not out.is_terminal
    ):
        rows.append(_row(route))
        found = lint.warnings(route, allow_list, today)
        warnings += [f"line {route.line}: {text}" for text in found]
    if not rows:
        warnings.append("the allow-list has no rows: every call is refused")
    console.print_table(out, _HEADERS, rows)
    out.print()
    for text in warnings:
        console.print_wrapped(out, text, "yellow")
    if allow_list.refuses_withheld:
        console.print_wrapped(out, "withheld_callers is refuse: anyone is who has a number")
    for text in _start_faults(options.config, settings):
        console.print_wrapped(out, text)
    if rows:
        counts = [f"{country} {count:,}" for country, count in countries.countries(allow_list)]
        console.print_wrapped(out, f"countries: {', '.join(counts)}")
    console.print_wrapped(out, f"rows: {len(rows):,}, warnings: {len(warnings):,}", "bold")
    return 1 if options.strict and warnings else 0


def _start_faults(path: Path | None, settings: Settings) -> list[str]:
    """Return why the server would not start, though the list by itself has no fault."""
    if settings.verified and settings.customer_id:
        return []
    try:
        load(path, os.environ)
    except ConfigError as error:
        return ["the server would not start with these settings:", *error.faults]
    return []


def _row(route: Route) -> tuple[str, ...]:
    """Return the cells of a route; its country is one, or that of each number in turn."""
    numbers = (route.caller, route.dialled, route.destination, route.masking_id)
    found = [countries.country(number) for number in numbers if number]
    country = found[0] if len(set(found)) == 1 else " ".join(found)
    until = f"{route.expires.astimezone(UTC):%Y-%m-%d %H:%M}" if route.expires else ""
    return (str(route.line), *(number or "anyone" for number in numbers), country, until)
