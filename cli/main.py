"""The command line: the parser, and which command does what.

Each command is a function that returns its exit status: 0 success, 1 failure, 2 faults in the
settings or the allow-list. A command's file is imported only when it runs: a server needs nothing
of what the others draw with.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import load, now, read_settings
from cli import pair
from cli.history import filters, live_check, report, why
from config import API_KEY, CUSTOMER_ID, ConfigError

VERSION = "0.2.0"

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
    for add in _add_check, _add_explain, filters.add_parser, _add_forget, _add_session:
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
        type=_whole_number,
        metavar="N",
        required=True,
        help="how long the session lasts, in the unit that TeleSign has set for your account",
    )
    parser.add_argument(
        "--append", action="store_true", help="add the routes of the session to the allow-list"
    )


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted a whole number, got {text!r}") from None
