"""The command line: the parser, and which command does what.

Each command is a function that returns its exit status: 0 success, 1 failure, 2 faults in the
settings or the allow-list. A command's file is imported only when it runs: a server needs nothing
of what the others draw with.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import now
from cli import pair
from cli.history import options as history
from config import ConfigError

VERSION = "0.2.0"

_Commands = Any  # argparse names no public type for what `add_subparsers` returns


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command is None:
            from cli import serve

            return serve.run(options.config)
        from cli import console

        return console.without_traceback(lambda: _run(options))
    except ConfigError as error:
        if options.command is None:
            print(error, file=sys.stderr)
        else:
            out = console.terminal(sys.stderr)
            if not out.is_terminal:
                out.width = sys.maxsize  # for a program, one fault a line
            console.print_wrapped(out, f"{options.command}: fix these first:")
            for fault in error.faults:
                console.print_wrapped(out, f"  {fault}")
        return 2


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "check":
            from cli import check

            return check.check(options)
        case "explain":
            from cli import check

            return check.explain(options)
        case "session":
            from cli import session

            return session.run(options)
        case "pair" | "unpair" | "prune":
            from cli.history import stored

            return pair.run(stored.settings_of(options.config), options, now().utc)
        case "inspect":
            from cli import serve

            return serve.inspect(options)
        case _:
            return int(options.run(options, now().utc))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Connect phone calls through masking numbers."
        " Without a command, run the webhook server.",
    )
    parser.add_argument("--version", action="version", version=f"masked-calls {VERSION}")
    config_help = "the settings file (default: config.toml, if it exists)"
    parser.add_argument("--config", type=Path, metavar="FILE", help=config_help)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    reading = _add_check, _add_explain, history.add_parsers, _add_inspect
    for add in *reading, pair.add_parser, _add_session:
        add(commands)
    for each in commands.choices.values():  # unless it is given there, the one before counts
        each.add_argument(
            "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=config_help
        )
    return parser


def _add_check(commands: _Commands) -> None:
    text = "show who may call whom, and warn about doubtful rows of the allow-list"
    parser = pair.add_command(commands, "check", text)
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings")


def _add_explain(commands: _Commands) -> None:
    parser = pair.add_command(commands, "explain", "show how a call would be answered, and why")
    caller = 'the caller\'s number; "" for a withheld one'
    parser.add_argument("--from", dest="caller", metavar="NUMBER", required=True, help=caller)
    parser.add_argument("--to", metavar="NUMBER", required=True, help="the dialled number")


def _add_inspect(commands: _Commands) -> None:
    text = "show calls, routes and report as pages in a browser on this machine"
    parser = pair.add_command(commands, "inspect", text)
    port = "where the pages are, on 127.0.0.1 (default: 8090; 0: any free port)"
    parser.add_argument("--port", type=_port, default=8090, metavar="N", help=port)
    parser.add_argument("--full", action="store_true", help="show numbers and texts in full")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"wanted a port, 0 to 65535, got {text!r}")
    return int(text)


def _add_session(commands: _Commands) -> None:
    text = "create a masked session for two people at TeleSign; this may cost money"
    parser = pair.add_command(commands, "session", text)
    pair.add_people(parser)
    validity = "how long the session lasts, in the unit that TeleSign has set for your account"
    a_month = pair.whole_number(30 * 24 * 3600)  # TeleSign's 720 hours, if the unit is seconds
    parser.add_argument("--validity", type=a_month, metavar="N", required=True, help=validity)
    append = "add the routes of the session to the allow-list"
    parser.add_argument("--append", action="store_true", help=append)
