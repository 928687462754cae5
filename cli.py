"""The command line: serves, checks the allow-list, explains a decision.

Each subcommand is one function that returns its exit status: 0 well, 1 something is in the way, 2
faults in the settings or the allow-list. What it draws with is imported only when it draws.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path

import events
import server
from app import create_app, load, now, script
from calls import UNKNOWN
from config import HEALTH_PATH, ConfigError, Settings
from events import IncomingCall
from journal import Journal
from routing import AllowList, Decision, decide
from watch import LiveAllowList


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings, live = load(options.config, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    match options.command:
        case "check":
            return _quietly(lambda: check(live.current, strict=options.strict))
        case "explain":
            return _quietly(lambda: explain(settings, live.current, options.caller, options.to))
        case _:
            return serve(settings, live)


def _quietly(command: Callable[[], int]) -> int:
    import console

    return console.quietly(command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Connects phone calls with masked numbers.")
    parser.add_argument("--config", type=Path, help="a settings file (config.toml, if there)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND (none: serve)")
    checking = commands.add_parser("check", help="who may call what, and what is doubtful")
    checking.add_argument("--strict", action="store_true", help="exit with 1 for warnings")
    explaining = commands.add_parser("explain", help="what would be answered to a call, and why")
    explaining.add_argument("--from", dest="caller", required=True, help='who calls ("": withheld)')
    explaining.add_argument("--to", required=True, help="the number that is dialled")
    return parser


def serve(settings: Settings, allow_list: LiveAllowList) -> int:
    """Serve until SIGTERM or Ctrl-C; read the allow-list again when it changes, and on SIGHUP."""
    journal = Journal()
    allow_list.watch(journal.notice)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: allow_list.look_now())
    app = create_app(settings, allow_list, journal)
    try:
        server.serve(
            app,
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            on_listening=lambda port: print(
                banner(settings, allow_list.current, port), file=sys.stderr, flush=True
            ),
        )
    except server.ServeError as error:
        print(f"The server does not start: {error}", file=sys.stderr)
        return 1
    journal.notice("stopped")
    return 0


def banner(settings: Settings, allow_list: AllowList, port: int) -> str:
    """Return what a person reads when the server starts, and what to do next."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{port}"
    if settings.verified:
        wall = f"signatures are verified with {len(settings.api_keys)} key(s)"
        steps = "give TeleSign's support https://<your tunnel>" + settings.event_path
    else:
        wall = "NOT VERIFIED: anybody who finds the address is answered"
        steps = "set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY before real numbers are served"
        if settings.api_keys:
            steps = "take verify_signatures = false away, so that the keys are used"
    routes = f"{len(allow_list)} route(s)" + ("" if len(allow_list) else ": every call is refused")
    return "\n".join(
        (
            f"Masked calls on {address}{settings.event_path}",
            f"  requests    {wall}",
            f"  allow-list  {settings.allow_list}, {routes}",
            f"  health      {address}{HEALTH_PATH}",
            f"  next        {steps}",
        )
    )


def check(allow_list: AllowList, *, strict: bool) -> int:
    """Print who may call what, reaches whom and sees which number, then every warning."""
    import advice
    import console

    out, today = console.terminal(), now().utc
    rows, told = [], []
    for route in console.progress(out, allow_list, len(allow_list), "checking"):
        until = f"{route.expires.astimezone(UTC):%Y-%m-%d %H:%M UTC}" if route.expires else ""
        who = route.caller or "anyone"
        people = (who, route.dialled, route.destination, route.masking_id)
        rows.append((str(route.line), *people, until))
        told += [f"line {route.line}: {text}" for text in advice.warnings(route, allow_list, today)]
    if not rows:
        told.append("there is no row: every call is refused")
    headers = ("line", "who calls", "dials", "reaches", "who sees", "until")
    console.print_table(out, headers, rows)
    out.print()
    for text in told:
        console.print_wrapped(out, text, "yellow")
    console.print_wrapped(out, f"{len(rows):,} route(s), {len(told):,} warning(s)", "bold")
    return 1 if strict and told else 0


def explain(settings: Settings, allow_list: AllowList, caller: str, dialled: str) -> int:
    """Print what would be answered to a call, why, and the exact JSON."""
    import advice
    import console

    data = {"to": dialled, "from": caller}
    body = {"event": "incoming_call", "reference_id": "explain", "data": data}
    event = events.parse(json.dumps(body).encode(), home_country_code=settings.home_country_code)
    assert isinstance(event, IncomingCall)  # noqa: S101 - by the name above
    decision = decide(event, UNKNOWN, allow_list, script(settings), now())
    out = console.terminal()
    if decision.reason is None:
        console.print_wrapped(out, _connection(decision), "bold green")
    else:
        console.print_wrapped(out, f"refused: {decision.reason}", "bold red")
        cause = advice.nearest_cause(event.dialled, event.caller, decision.reason, allow_list)
        console.print_wrapped(out, cause)
    console.print_wrapped(out, json.dumps(decision.command.to_wire(), separators=(",", ":")))
    return 0


def _connection(decision: Decision) -> str:
    assert decision.route is not None  # noqa: S101 - a call without a reason has a route
    route = decision.route
    return (
        f"connected by line {route.line}: {route.destination} is called and sees {route.masking_id}"
    )
