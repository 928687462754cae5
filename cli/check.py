"""The `check` and `explain` commands: what the allow-list allows, and how a call is answered."""

import json
import os
from collections.abc import Sequence
from datetime import UTC
from functools import partial
from pathlib import Path

import phone
from allow_list import countries, lint
from allow_list.nearest_cause import nearest_cause
from app import load, now
from calls import UNKNOWN
from cli import console
from config import ConfigError, Settings, prompts
from events import IncomingCall
from phone import NoNumber
from routing import AllowList, Decision, Route, decide

_HEADERS = ("line", "who calls", "dials", "reaches", "who sees", "in", "until (UTC)")


def check(allow_list: AllowList, notes: Sequence[str], *, strict: bool) -> int:
    """Print who may call whom and sees which number, then all warnings, then the notes.

    Returns the exit status; `strict` makes it 1 if there are warnings. Notes are none.
    """
    out, today = console.terminal(), now().utc
    rows, warnings = [], []
    for route in console.progress(out, allow_list, len(allow_list), "checking"):
        rows.append(_row(route))
        found = lint.warnings(route, allow_list, today)
        warnings += [f"line {route.line}: {text}" for text in found]
    if not rows:
        warnings.append("the allow-list has no rows: every call is refused")
    console.print_table(out, _HEADERS, rows)
    out.print()
    for text in warnings:
        console.print_wrapped(out, text, "yellow")
    for text in notes:
        console.print_wrapped(out, text)
    if rows:
        console.print_wrapped(out, _countries(allow_list))
    console.print_wrapped(out, f"rows: {len(rows):,}, warnings: {len(warnings):,}", "bold")
    return 1 if strict and warnings else 0


def start_faults(path: Path | None, settings: Settings) -> list[str]:
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


def _countries(allow_list: AllowList) -> str:
    counts = [f"{country} {count:,}" for country, count in countries.countries(allow_list)]
    return f"countries: {', '.join(counts)}"


def explain(settings: Settings, allow_list: AllowList, caller: str, dialled: str) -> int:
    """Print how a call would be answered, why, and the exact JSON; return the exit status."""
    read = partial(phone.read, home_country_code=settings.home_country_code)
    event = IncomingCall("explain", dialled=read(dialled), caller=read(caller))
    decision = decide(event, UNKNOWN, allow_list, prompts(settings), now())
    out = console.terminal()
    if decision.reason is None:
        console.print_wrapped(out, _connection(decision), "bold green")
        if isinstance(event.caller, NoNumber):
            text = "The caller has no phone number, but the row is for any caller."
            console.print_wrapped(out, text)
    else:
        console.print_wrapped(out, f"refused: {decision.reason}", "bold red")
        cause = nearest_cause(event.dialled, event.caller, decision.reason, allow_list)
        console.print_wrapped(out, cause)
    print(json.dumps(decision.command.to_wire(), separators=(",", ":")))
    return 0


def _connection(decision: Decision) -> str:
    route = decision.route
    assert route is not None  # noqa: S101 - a call that is not refused has a route
    return (
        f"connected by line {route.line}: {route.destination} is called and sees {route.masking_id}"
    )
