"""The command line: serves, checks the allow-list, explains a decision, prepares a session.

Each subcommand is one function that returns its exit status: 0 well, 1 something is in the way, 2
faults in the settings or the allow-list. What it draws with is imported only when it draws.
"""

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import phone
from allow_list.reload import LiveAllowList
from app import create_app, load, now, open_log, read_settings
from call_log import writer
from call_log.records import Disposition
from call_log.store import StoreError
from calls import UNKNOWN
from config import API_KEY, CUSTOMER_ID, HEALTH_PATH, ConfigError, Settings, prompts
from events import IncomingCall
from phone import NoNumber, PhoneNumber
from routing import AllowList, Decision, Route, decide
from serving import server
from serving.event_log import EventLog

_MAX_SHOWN = 1_000_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command in ("calls", "forget"):
            return _look_back(options)
        looking = options.command in ("check", "explain")
        settings, live = load(options.config, os.environ, serving=not looking)
    except ConfigError as error:
        if options.command is None:
            print(error, file=sys.stderr)
        else:
            begin = f"{options.command}: this is to be mended first:"
            print(begin, *error.faults, sep="\n  ", file=sys.stderr)
        return 2
    match options.command:
        case "check":
            notes = _in_the_way(options.config, settings)
            return _quietly(lambda: check(live.current, notes, strict=options.strict))
        case "explain":
            return _quietly(lambda: explain(settings, live.current, options.caller, options.to))
        case "session":
            from cli import session

            return session.run(settings, live.current.own_numbers, options)
        case _:
            return serve(settings, live)


def _look_back(options: argparse.Namespace) -> int:
    """Read or clear the call log, for which the allow-list does not matter."""
    from cli import calls as calls_command

    # Nobody is verified here, so a secret that is not there yet is in nobody's way.
    rest = {name: text for name, text in os.environ.items() if name not in (CUSTOMER_ID, API_KEY)}
    settings, faults = read_settings(options.config, rest, serving=False)
    if faults:
        raise ConfigError(faults)
    if not settings.call_log:
        print("call_log: wanted a log to look into, got an empty setting", file=sys.stderr)
        return 1
    if options.command == "forget":
        return calls_command.forget(settings, options.number)
    return _quietly(lambda: calls_command.calls(settings, options, now().utc))


def _quietly(command: Callable[[], int]) -> int:
    from cli import console

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
    looking = commands.add_parser("calls", help="the last calls, or one of them")
    looking.add_argument("reference_id", nargs="?", help="the one call to show")
    looking.add_argument(
        "--last", type=_count, metavar="N", help="how many (50; all that pass, with a filter)"
    )
    looking.add_argument("--number", type=_number, help="only with this number, in any part")
    looking.add_argument("--since", type=_time, help="only from this date or time on (UTC)")
    looking.add_argument("--until", type=_time, help="only before this date or time (UTC)")
    looking.add_argument("--disposition", choices=[each.value for each in Disposition])
    looking.add_argument("--full", action="store_true", help="show numbers in full")
    forms = looking.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="as JSON")
    forms.add_argument("--csv", action="store_true", help="as CSV")
    forgetting = commands.add_parser("forget", help="take a person's number out of the call log")
    forgetting.add_argument("number", metavar="NUMBER", help="the number, with country code")
    asking = commands.add_parser("session", help="a masked session for two people, at TeleSign")
    asking.add_argument("number_1", metavar="A", help="one person's number")
    asking.add_argument("number_2", metavar="B", help="the other person's number")
    asking.add_argument("--validity", type=int, required=True, help="in the unit of your account")
    asking.add_argument("--append", action="store_true", help="add both routes to the allow-list")
    return parser


def _number(text: str) -> PhoneNumber:
    try:
        return phone.parse(text)
    except phone.PhoneError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text) or not 0 < int(text) <= _MAX_SHOWN:
        raise argparse.ArgumentTypeError(f"wanted a whole number, 1 to {_MAX_SHOWN}, got {text!r}")
    return int(text)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"wanted a date or time such as 2026-11-23T18:00, got {text!r}"
        ) from None


def serve(settings: Settings, allow_list: LiveAllowList) -> int:
    """Serve until SIGTERM or Ctrl-C; read the allow-list again when it changes, and on SIGHUP."""
    _keep_standard_files()
    journal = EventLog()
    try:
        calls = open_log(settings, journal)
    except StoreError as error:
        print(f"The server did not start: {error}", file=sys.stderr)
        return 1
    allow_list.watch(journal.notice)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: allow_list.request_reload())
    app = create_app(settings, allow_list, calls, journal)
    try:
        server.serve(
            app,
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            on_listening=lambda port: print(
                banner(settings, allow_list.current, port), file=sys.stderr, flush=True
            ),
            on_trouble=lambda: journal.rejected("bad_request", "unreadable, too large or cut off"),
            tell=journal.notice,
        )
    except server.ServeError as error:
        print(f"The server did not start: {error}", file=sys.stderr)
        return 1
    finally:
        lost = calls.close()
    journal.notice("stopped")
    return 1 if lost else 0


def _keep_standard_files() -> None:
    """Open what was closed of standard input and output, or a socket would take its number."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


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
            f"  call log    {_kept(settings)}",
            f"  health      {address}{HEALTH_PATH}",
            f"  next        {steps}",
        )
    )


def _kept(settings: Settings) -> str:
    if not settings.call_log:
        return "NONE: nothing is kept, a restart forgets all calls"
    return f"{writer.store_of(settings.call_log).place}, for {settings.keep_days} days"


def _in_the_way(path: Path | None, settings: Settings) -> list[str]:
    """Return why the server does not start, where a look at the list found no fault."""
    if settings.verified and settings.customer_id:
        return []
    try:
        load(path, os.environ)
    except ConfigError as error:
        return ["the server does not start like this:", *error.faults]
    return []


def check(allow_list: AllowList, notes: Sequence[str], *, strict: bool) -> int:
    """Print who may call what, reaches whom and sees which number, in which countries they are.

    Then every warning, and the notes, which are no warnings.
    """
    from allow_list import countries, lint
    from cli import console

    out, today = console.terminal(), now().utc
    rows, warnings = [], []
    for route in console.progress(out, allow_list, len(allow_list), "checking"):
        rows.append(_row(route))
        found = lint.warnings(route, allow_list, today)
        warnings += [f"line {route.line}: {text}" for text in found]
    if not rows:
        warnings.append("there is no row: every call is refused")
    headers = ("line", "who calls", "dials", "reaches", "who sees", "in", "until (UTC)")
    console.print_table(out, headers, rows)
    out.print()
    for text in warnings:
        console.print_wrapped(out, text, "yellow")
    for text in notes:
        console.print_wrapped(out, text)
    if rows:
        counted = countries.countries(allow_list)
        totals = ", ".join(f"{country} {count:,}" for country, count in counted)
        console.print_wrapped(out, f"countries: {totals}")
    console.print_wrapped(out, f"{len(rows):,} route(s), {len(warnings):,} warning(s)", "bold")
    return 1 if strict and warnings else 0


def _row(route: Route) -> tuple[str, ...]:
    """Return a route as `check` shows it; its country is one, or that of each number in turn."""
    from allow_list.countries import country

    numbers = (route.caller, route.dialled, route.destination, route.masking_id)
    countries = [country(number) for number in numbers if number]
    where = countries[0] if len(set(countries)) == 1 else " ".join(countries)
    until = f"{route.expires.astimezone(UTC):%Y-%m-%d %H:%M}" if route.expires else ""
    return (str(route.line), *(number or "anyone" for number in numbers), where, until)


def explain(settings: Settings, allow_list: AllowList, caller: str, dialled: str) -> int:
    """Print what would be answered to a call, why, and the exact JSON."""
    from allow_list.nearest_cause import nearest_cause
    from cli import console

    read = partial(phone.read, home_country_code=settings.home_country_code)
    event = IncomingCall("explain", dialled=read(dialled), caller=read(caller))
    decision = decide(event, UNKNOWN, allow_list, prompts(settings), now())
    out = console.terminal()
    if decision.reason is None:
        console.print_wrapped(out, _connection(decision), "bold green")
        if isinstance(event.caller, NoNumber):
            console.print_wrapped(
                out, "The caller has no telephone number, but the row is for any."
            )
    else:
        console.print_wrapped(out, f"refused: {decision.reason}", "bold red")
        cause = nearest_cause(event.dialled, event.caller, decision.reason, allow_list)
        console.print_wrapped(out, cause)
    print(json.dumps(decision.command.to_wire(), separators=(",", ":")))
    return 0


def _connection(decision: Decision) -> str:
    assert decision.route is not None  # noqa: S101 - a call without a reason has a route
    route = decision.route
    return (
        f"connected by line {route.line}: {route.destination} is called and sees {route.masking_id}"
    )
