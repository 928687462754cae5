"""The options of the commands that read the call log, or delete from it.

Imported whenever the command line is parsed, so it needs nothing that reads or draws: the file of a
command is imported when it runs.
"""

import argparse
import re
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from typing import Any

import phone
from call_log.records import Disposition
from cli import pair
from phone import PhoneNumber
from routing import Reason

_MAX_LAST = 1_000_000_000
_ENDING = re.compile(r"(?:\.\.\.)?([0-9]{4,6})", re.ASCII)  # also as the table shows it
_TIMES = "today, yesterday, 90m, 2h, 7d or 2026-11-23T18:00"
_LOCAL = "show and read times in this machine's zone, not UTC"


def add_parsers(commands: Any) -> None:
    """Add the commands to those of the program."""
    _add_calls(_command(commands, "calls", "show the last calls in the call log, or one call"))
    _add_report(_command(commands, "report", "count the calls of each day, by what became of them"))
    _add_why(_command(commands, "why", "show why nobody reaches a person, or they reach nobody"))
    live_check = "show what real calls have shown of what is not known of TeleSign"
    _add_flags(_command(commands, "live-check", live_check).add_argument, json="print JSON")
    forget = _command(commands, "forget", "delete every call that holds a number from the call log")
    number = "the number, with its country code"
    forget.add_argument("number", type=_whole, metavar="NUMBER", help=number)


def _command(commands: Any, name: str, text: str) -> ArgumentParser:
    def run(options: argparse.Namespace, now: datetime) -> int:
        status: int = import_module(f"cli.history.{name.replace('-', '_')}").run(options, now)
        return status

    parser = pair.add_command(commands, name, text)
    parser.set_defaults(run=run)
    return parser


def _add_calls(parser: ArgumentParser) -> None:
    add = parser.add_argument
    one = "show this call; six or more last characters will do"
    add("reference_id", nargs="?", metavar="REFERENCE_ID", help=one)
    many = "how many calls to show (default: 50; with a filter, all that match)"
    add("--last", type=pair.whole_number(_MAX_LAST), metavar="N", help=many)
    number = "only calls that hold this number, or one that ends in these digits (four or more)"
    add("--number", type=number_or_end, help=f"{number}, in whatever role")
    add("--since", metavar="TIME", help=f"only calls from this time on: {_TIMES} (default: UTC)")
    add("--until", metavar="TIME", help="only calls before this time")
    dispositions = [each.value for each in Disposition]
    add("--disposition", choices=dispositions, help="only calls that ended like this")
    reasons = [each.value for each in Reason]
    add("--reason", choices=reasons, metavar="R", help=f"only refused ones: {', '.join(reasons)}")
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
    add("number", type=_whole, metavar="NUMBER", help="the person's own number")
    full = "show numbers in full"
    _add_flags(add, simulated="simulated calls as well", full=full, json="print JSON")


def _add_flags(add: Callable[..., object], **flags: str) -> None:
    for name, text in flags.items():
        add(f"--{name}", action="store_true", help=text)


def _whole(text: str) -> PhoneNumber:
    try:
        return phone.parse(text)
    except phone.PhoneError as error:
        raise argparse.ArgumentTypeError(f"{error}, got {phone.mask_digits(text)!r}") from None


def number_or_end(text: str) -> str:
    """Read a whole number, or the last four to six digits of one."""
    if (found := _ENDING.fullmatch(text)) is not None:
        return found[1]
    try:
        return phone.parse(text)
    except phone.PhoneError as error:
        got = f"got {phone.mask_digits(text)!r}"
        raise argparse.ArgumentTypeError(f"{error}, or four or more last digits, {got}") from None
