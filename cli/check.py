"""The `check` and `explain` commands: what the allow-list allows, and how a call is answered."""

import argparse
import json
import os
from datetime import UTC
from pathlib import Path

from rich.progress import track

from allow_list import countries, lint
from app import load, now
from cli import console
from config import ConfigError, Settings
from insight.explained import explained
from phone import NoNumber
from routing import Route

_HEADERS = ("line", "who calls", "dials", "reaches", "who sees", "in", "until (UTC)")


def check(options: argparse.Namespace) -> int:
    """Print who may call whom and sees which number, then all warnings and notes.

    Returns the exit status: with `strict` 1 if there are warnings. Raises `ConfigError` for faults.
    """
    settings, live = load(options.config, os.environ, serving=False)
    allow_list, out, today = live.current, console.terminal(), now().utc
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


def explain(options: argparse.Namespace) -> int:
    """Print how a call would be answered, why, and the exact JSON; return the exit status."""
    settings, live = load(options.config, os.environ, serving=False)
    caller, to = options.caller, options.to
    event, decision, cause = explained(caller, to, settings, live.current, now())
    out, route, reason = console.terminal(), decision.route, decision.reason
    if reason is not None:
        console.print_wrapped(out, f"refused: {reason}", "bold red")
        console.print_wrapped(out, cause)
    elif route is not None:
        whom = f"{route.destination} is called and sees {route.masking_id}"
        console.print_wrapped(out, f"connected by line {route.line}: {whom}", "bold green")
        if isinstance(event.caller, NoNumber):
            text = "The caller has no phone number, but the row is for any caller."
            console.print_wrapped(out, text)
    print(json.dumps(decision.command.to_wire(), separators=(",", ":")))
    return 0
