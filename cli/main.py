"""The command line: the parser, and which command does what.

Each command is a function that returns its exit status: 0 success, 1 failure, 2 faults in the
settings or the allow-list. A command's file is imported only when it runs: a server needs nothing
of what the others draw with.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import phone
from app import load, now, read_settings
from call_log.records import Disposition
from cli import pair
from cli.history import live_check, report, why
from config import API_KEY, CUSTOMER_ID, ConfigError
from phone import PhoneNumber

VERSION = "0.2.0"
_MAX_LAST = 1_000_000_000

_Commands = Any  # argparse names no public type for what `add_subparsers` returns


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except ConfigError as error:
        if options.command is None:
            print(error, file=sys.stderr)
        else:
            print(
                f"{options.command}: fix these first:", *error.faults, sep="\n  ", file=sys.stderr
            )
        return 2


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "check" | "explain":
            return _read_allow_list(options)
        case "calls" | "forget" | "report":
            return _use_call_log(options)
        case "session":
            from cli import session

            settings, live = load(options.config, os.environ)
            return session.run(settings, live.current.own_numbers, options)
        case _ if "run" in options:
            from cli import console

            return console.without_traceback(lambda: int(options.run(options, now().utc)))
        case _:
            from cli import serve

            return serve.run(*load(options.config, os.environ))


def _read_allow_list(options: argparse.Namespace) -> int:
    from cli import check, console

    settings, live = load(options.config, os.environ, serving=False)
    if options.command == "explain":
        return console.without_traceback(
            lambda: check.explain(settings, live.current, options.caller, options.to)
        )
    notes = check.start_faults(options.config, settings)
    return console.without_traceback(
        lambda: check.check(live.current, notes, strict=options.strict)
    )


def _use_call_log(options: argparse.Namespace) -> int:
    """Read or clear the call log; the allow-list is not read for that."""
    # Nobody is verified here, so missing or faulty secrets do no harm.
    environment = {k: text for k, text in os.environ.items() if k not in (CUSTOMER_ID, API_KEY)}
    settings, faults = read_settings(options.config, environment, serving=False)
    if faults:
        raise ConfigError(faults)
    if not settings.call_log:
        reason = "call_log: wanted a call log to read, got an empty setting: no calls are kept"
        print(f"{options.command}: {reason}", file=sys.stderr)
        return 1
    if options.command == "forget":
        from cli.history import forget

        return forget.run(settings, options.number)
    from cli import console
    from cli.history import calls

    if options.command == "report":
        return console.without_traceback(lambda: report.run(settings, options, now().utc))
    return console.without_traceback(lambda: calls.run(settings, options, now().utc))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Connect phone calls through masking numbers."
        " Without a command, run the webhook server.",
    )
    parser.add_argument("--version", action="version", version=f"masked-calls {VERSION}")
    config_help = "the settings file (default: config.toml, if it exists)"
    parser.add_argument("--config", type=Path, metavar="FILE", help=config_help)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for add in _add_check, _add_explain, _add_calls, _add_forget, _add_session:
        add(commands)
    for command in report, why, live_check, pair:
        command.add_parser(commands)
    for each in commands.choices.values():  # unless it is given there, the one before counts
        each.add_argument(
            "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=config_help
        )
    return parser


def _add_command(commands: _Commands, name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    return parser


def _add_check(commands: _Commands) -> None:
    parser = _add_command(
        commands, "check", "show who may call whom, and warn about doubtful rows of the allow-list"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings")


def _add_explain(commands: _Commands) -> None:
    parser = _add_command(commands, "explain", "show how a call would be answered, and why")
    parser.add_argument(
        "--from",
        dest="caller",
        metavar="NUMBER",
        required=True,
        help='the caller\'s number; "" for a withheld one',
    )
    parser.add_argument("--to", metavar="NUMBER", required=True, help="the dialled number")


def _add_calls(commands: _Commands) -> None:
    parser = _add_command(commands, "calls", "show the last calls in the call log, or one call")
    parser.add_argument("reference_id", nargs="?", help="show the call with this reference id")
    parser.add_argument(
        "--last",
        type=_last,
        metavar="N",
        help="how many calls to show (default: 50; with a filter, all that match)",
    )
    parser.add_argument(
        "--number", type=_number, help="only calls that hold this number, in whatever role"
    )
    parser.add_argument(
        "--since",
        type=_time,
        metavar="TIME",
        help="only calls from this time on, such as 2026-11-23 or 2026-11-23T18:00 (default: UTC)",
    )
    parser.add_argument("--until", type=_time, metavar="TIME", help="only calls before this time")
    parser.add_argument(
        "--disposition",
        choices=[each.value for each in Disposition],
        help="only calls that ended like this",
    )
    parser.add_argument(
        "--full", action="store_true", help="show numbers, pressed keys and texts in full"
    )
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print JSON")
    formats.add_argument("--csv", action="store_true", help="print CSV")


def _add_forget(commands: _Commands) -> None:
    parser = _add_command(
        commands, "forget", "delete every call that holds a number from the call log"
    )
    parser.add_argument("number", metavar="NUMBER", help="the number, with its country code")


def _add_session(commands: _Commands) -> None:
    parser = _add_command(
        commands,
        "session",
        "create a masked session for two people at TeleSign; this may cost money",
    )
    parser.add_argument("number_1", metavar="A", help="the first person's number")
    parser.add_argument("number_2", metavar="B", help="the second person's number")
    parser.add_argument(
        "--validity",
        type=int,
        metavar="N",
        required=True,
        help="how long the session lasts, in the unit that TeleSign has set for your account",
    )
    parser.add_argument(
        "--append", action="store_true", help="add the routes of the session to the allow-list"
    )


def _number(text: str) -> PhoneNumber:
    try:
        return phone.parse(text)
    except phone.PhoneError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _last(text: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text) or not 0 < int(text) <= _MAX_LAST:
        raise argparse.ArgumentTypeError(f"wanted a whole number, 1 to {_MAX_LAST}, got {text!r}")
    return int(text)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"wanted a date or time such as 2026-11-23T18:00, got {text!r}"
        ) from None
