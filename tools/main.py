"""The commands of `python app.py`: all their options, and which file does what.

A command is a file of `tools/commands/` with one function, `run(options, now)`, which returns the
exit status or raises what is in the way: `CommandError`, `ConfigError` or `StoreError`. That is
said here, as JSON with `--json`. The file is imported only when the command runs: what it draws or
reads with takes time to load.
"""

import argparse
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from call_log.store import StoreError
from config import ConfigError
from phone import mask_digits
from records import Disposition
from routing import Reason
from serving.sources import now
from serving.start import add_settings_file, server_parser
from tools import arguments, console, outcome
from tools.history import times
from tools.outcome import CommandError, Status

_MAX_LAST = 1_000_000_000
_MAX_NUMBER = 2**63 - 1  # of a call in the log
_MAX_VALIDITY = 30 * 24 * 3600  # TeleSign's 720 hours, if the unit of the account is seconds
_TIMES = "today, yesterday, 90m, 2h, 7d or 2026-11-23T18:00"
_LOCAL = "show and read times in this machine's zone, not UTC"
_FULL = "show numbers in full"


class _Command(NamedTuple):
    file: str
    does: str
    add_options: Callable[[ArgumentParser], None]


class _UsageError(Exception):
    """A command line that cannot be read: how the command is used, and what is wrong."""


class _Parser(ArgumentParser):
    """Takes no abbreviations: the server's own parser would take those of its options first."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise _UsageError(self.format_usage(), f"{self.prog}: error: {message}")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command of a command line; return the exit status."""
    words = sys.argv[1:] if words is None else words
    return console.without_traceback(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    try:
        options = _parser().parse_args(words)
    except _UsageError as error:
        usage, message = error.args
        for typed in (part for word in words for part in word.split("=")):
            masked = mask_digits(typed)  # it may be somebody's number, out of place
            message = message.replace(typed, masked).replace(repr(typed)[1:-1], repr(masked)[1:-1])
        return _print_usage_error(usage, message, as_json="--json" in words)
    run = import_module(f"tools.commands.{_COMMANDS[options.command].file}").run
    try:
        return int(run(options, now().utc))
    except CommandError as error:
        found = error
    except ConfigError as error:
        found = CommandError("faults", "fix these first:", Status.FAULTS, faults=error.faults)
    except times.TimeError as error:
        found = CommandError("bad_arguments", str(error), Status.FAULTS)
    except StoreError as error:
        found = CommandError("log_unavailable", str(error))
    as_json = getattr(options, "json", False)
    return outcome.print_error(options.command, found, as_json=as_json)


def _print_usage_error(usage: str, message: str, *, as_json: bool) -> int:
    if as_json:
        error = CommandError("bad_arguments", message, Status.FAULTS)
        return outcome.print_error("", error, as_json=True)
    console.say(f"{usage}{message}")
    return Status.FAULTS


def _parser() -> ArgumentParser:
    server = server_parser(add_help=False)
    parser = _Parser(description=server.description, parents=[server])
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", required=True
    )
    for name, command in _COMMANDS.items():
        description = f"{command.does[0].upper()}{command.does[1:]}."
        command_parser = commands.add_parser(name, help=command.does, description=description)
        command.add_options(command_parser)
        # Unless it is given here, the one before the command counts.
        add_settings_file(command_parser, default=argparse.SUPPRESS)
    return parser


def _add_check(parser: ArgumentParser) -> None:
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings")
    _add_flags(parser.add_argument, full=_FULL, json="print JSON")


def _add_explain(parser: ArgumentParser) -> None:
    caller = 'the caller\'s number; "" for a withheld one'
    parser.add_argument("--from", dest="caller", metavar="NUMBER", required=True, help=caller)
    parser.add_argument("--to", metavar="NUMBER", required=True, help="the dialled number")
    _add_flags(parser.add_argument, full=_FULL, json="print JSON")


def _add_calls(parser: ArgumentParser) -> None:
    add = parser.add_argument
    one = "show this call; six or more last characters will do"
    add("reference_id", nargs="?", metavar="REFERENCE_ID", help=one)
    many = "how many calls to show (default: 50)"
    add("--last", type=arguments.whole_number(_MAX_LAST), metavar="N", help=many)
    number = "only calls that hold this number, or one that ends in these digits (four or more)"
    add("--number", type=arguments.number_or_end, help=f"{number}, in whatever role")
    own = "only calls of this trip or order: the `external_id` of their row"
    add("--external-id", type=arguments.external_id, metavar="ID", help=own)
    live = "only calls that have no end yet and were not refused"
    add("--live", action="store_true", help=live)
    missed = "only missed calls after which the two were not connected: the last one of each caller"
    add("--missed", action="store_true", help=f"{missed} to each person, and how often")
    add("--since", metavar="TIME", help=f"only calls from this time on: {_TIMES} (default: UTC)")
    add("--until", metavar="TIME", help="only calls before this time")
    dispositions = [disposition.value for disposition in Disposition]
    add("--disposition", choices=dispositions, help="only calls that ended like this")
    reasons = [reason.value for reason in Reason]
    add("--reason", choices=reasons, metavar="R", help=f"only refused ones: {', '.join(reasons)}")
    follow = "with --json: print each call once it is over, a line each, from now on"
    add("--follow", action="store_true", help=follow)
    after = "with --follow: begin after the call of this number (0: with the first in the log)"
    add("--after", type=arguments.whole_number(_MAX_NUMBER, 0), metavar="N", help=after)
    full = "show numbers, pressed keys and texts in full"
    _add_flags(add, simulated="simulated calls as well", full=full, local=_LOCAL)
    formats = parser.add_mutually_exclusive_group()
    _add_flags(formats.add_argument, json="print JSON", csv="print CSV")


def _add_report(parser: ArgumentParser) -> None:
    add = parser.add_argument
    since = f"only calls that began from then on: {_TIMES} (default: 7d)"
    add("--since", default="7d", metavar="TIME", help=since)
    add("--until", metavar="TIME", help="only before this time (default: now)")
    _add_flags(add, local=_LOCAL, simulated="count simulated calls too", json="print JSON")


def _add_why(parser: ArgumentParser) -> None:
    add = parser.add_argument
    number = "a person's number, or a virtual number or masking ID of yours"
    add("number", type=arguments.number, metavar="NUMBER", help=number)
    _add_flags(add, simulated="simulated calls as well", full=_FULL, json="print JSON")


def _add_live_check(parser: ArgumentParser) -> None:
    _add_flags(parser.add_argument, json="print JSON")


def _add_forget(parser: ArgumentParser) -> None:
    number = "the number, with its country code"
    parser.add_argument("number", type=arguments.number, metavar="NUMBER", help=number)
    also = "also what may be the number in another form, or another person's"
    yes, virtual = "delete without asking", "the number may be a virtual one or a masking ID"
    _add_flags(parser.add_argument, also=also, yes=yes, virtual=virtual, json="print JSON")


def _add_inspect(parser: ArgumentParser) -> None:
    port = "where the pages are, on 127.0.0.1 (default: 8090; 0: any free port)"
    parser.add_argument("--port", type=arguments.port, default=8090, metavar="N", help=port)
    _add_flags(parser.add_argument, full="show numbers and texts in full")


def _add_pair(parser: ArgumentParser) -> None:
    add = parser.add_argument
    span = "for how long: 90m, 2h or 7d"
    add("--for", dest="span", type=times.span, required=True, metavar="TIME", help=span)
    _add_people(parser)
    own = "your id of the trip or order; the same two people may have one more with another id"
    add("--external-id", type=arguments.external_id, metavar="ID", help=own)
    greeting = "what each of them hears who is called, instead of the setting `greeting`"
    add("--greeting", type=arguments.greeting, metavar="TEXT", help=greeting)
    _add_flags(add, full=_FULL, json="print JSON")


def _add_unpair(parser: ArgumentParser) -> None:
    _add_people(parser, nargs="?")
    own = "only the pair of this trip or order; without people, all of its rows"
    parser.add_argument("--external-id", type=arguments.external_id, metavar="ID", help=own)
    _add_flags(parser.add_argument, full=_FULL, json="print JSON")


def _add_prune(parser: ArgumentParser) -> None:
    span = "expired so long ago: 90m, 2h or 7d"
    parser.add_argument(
        "--older-than", dest="span", type=times.span, required=True, metavar="TIME", help=span
    )
    _add_flags(parser.add_argument, json="print JSON")


def _add_session(parser: ArgumentParser) -> None:
    _add_people(parser)
    validity = "how long the session lasts, in the unit that TeleSign has set for your account"
    a_month = arguments.whole_number(_MAX_VALIDITY)
    parser.add_argument("--validity", type=a_month, metavar="N", required=True, help=validity)
    append = "add the routes of the session to the allow-list"
    _add_flags(parser.add_argument, append=append, full=_FULL, json="print JSON")


def _add_people(parser: ArgumentParser, *, nargs: str | None = None) -> None:
    parser.add_argument("one", nargs=nargs, metavar="A", help="one person's number")
    parser.add_argument("other", nargs=nargs, metavar="B", help="the other person's number")


def _add_flags(add: Callable[..., object], **flags: str) -> None:
    for name, text in flags.items():
        add(f"--{name}", action="store_true", help=text)


_COMMANDS = {
    "check": _Command(
        "check",
        "show who may call whom, and warn about doubtful rows of the allow-list",
        _add_check,
    ),
    "explain": _Command("explain", "show how a call would be answered, and why", _add_explain),
    "calls": _Command("calls", "show the last calls in the call log, or one call", _add_calls),
    "report": _Command(
        "report", "count the calls of each day, by what became of them", _add_report
    ),
    "why": _Command(
        "why", "show why nobody reaches a person, or who is behind a number of yours", _add_why
    ),
    "live-check": _Command(
        "live_check",
        "show what real calls have shown of what is not known of TeleSign",
        _add_live_check,
    ),
    "forget": _Command(
        "forget", "delete every call that holds a number from the call log", _add_forget
    ),
    "inspect": _Command(
        "inspect",
        "show calls, routes and report as pages in a browser on this machine",
        _add_inspect,
    ),
    "pair": _Command("pair", "give two people a virtual number for a time", _add_pair),
    "unpair": _Command("pair", "end the pair of two people or of an order", _add_unpair),
    "prune": _Command("pair", "take expired rows out of the list", _add_prune),
    "session": _Command(
        "session",
        "create a masked session for two people at TeleSign; this may cost money",
        _add_session,
    ),
}
