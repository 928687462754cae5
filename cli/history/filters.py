"""Which calls `calls` is asked for: its options, and what passes them.

Imported whenever the command line is parsed, so it needs nothing that draws.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import phone
from call_log.records import CallRecord, Disposition, ends_in, finds, has_number_ending
from cli.history import times
from cli.history.stored import Call
from config import ConfigError
from events import IncomingCall
from phone import PhoneNumber
from routing import Reason

_MAX_LAST = 1_000_000_000
_ENDING = re.compile(r"(?:\.\.\.)?([0-9]{4,6})", re.ASCII)  # also as the table shows it


def add_parser(commands: Any) -> None:
    """Add the command to those of the program."""
    text = "show the last calls in the call log, or one call"
    parser = commands.add_parser("calls", help=text, description=f"{text.capitalize()}.")
    parser.add_argument(
        "reference_id", nargs="?", help="show this call; six or more last characters will do"
    )
    _add_filters(parser.add_argument)
    parser.add_argument(
        "--full", action="store_true", help="show numbers, pressed keys and texts in full"
    )
    parser.add_argument(
        "--local", action="store_true", help="show and read times in this machine's zone, not UTC"
    )
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print JSON")
    formats.add_argument("--csv", action="store_true", help="print CSV")


def _add_filters(add: Callable[..., object]) -> None:
    many = "how many calls to show (default: 50; with a filter, all that match)"
    add("--last", type=_last, metavar="N", help=many)
    number = "only calls that hold this number, or one that ends in these digits (four or more)"
    add("--number", type=_number, help=f"{number}, in whatever role")
    since = "only calls from this time on: today, yesterday, 90m, 2h, 7d or 2026-11-23T18:00"
    add("--since", metavar="TIME", help=f"{since} (default: UTC)")
    add("--until", metavar="TIME", help="only calls before this time")
    dispositions = [each.value for each in Disposition]
    add("--disposition", choices=dispositions, help="only calls that ended like this")
    reasons = [each.value for each in Reason]
    add("--reason", choices=reasons, metavar="R", help=f"only refused ones: {', '.join(reasons)}")
    add("--simulated", action="store_true", help="simulated calls as well")


def _number(text: str) -> str:
    """Read a whole number, or the last digits of one."""
    if (found := _ENDING.fullmatch(text)) is not None:
        return found[1]
    try:
        return phone.parse(text)
    except phone.PhoneError as error:
        raise argparse.ArgumentTypeError(f"{error}; or four or more last digits") from None


def _last(text: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text) or not 0 < int(text) <= _MAX_LAST:
        raise argparse.ArgumentTypeError(f"wanted a whole number, 1 to {_MAX_LAST}, got {text!r}")
    return int(text)


def zone_of(options: argparse.Namespace) -> tzinfo | None:
    """Return the zone in which times are read and shown; `None` is that of this machine."""
    return None if options.local else UTC


@dataclass(frozen=True, slots=True)
class Filters:
    """What calls have to pass; `None` lets every call pass. Simulated calls are left to the log."""

    since: datetime | None
    until: datetime | None
    digits: str | None
    disposition: str | None
    reason: str | None
    home_country_code: str

    @classmethod
    def of(cls, options: argparse.Namespace, home_country_code: str, now: datetime) -> "Filters":
        """Return the filters of the options. Raises `ConfigError` for times that make no sense."""
        faults: list[str] = []
        since, until = (_instant(options, name, now, faults) for name in ("since", "until"))
        if faults:
            raise ConfigError(faults)
        others = options.number, options.disposition, options.reason
        return cls(since, until, *others, home_country_code)

    @property
    def are_none(self) -> bool:
        """Whether every call passes."""
        wanted = self.since, self.until, self.digits, self.disposition, self.reason
        return all(each is None for each in wanted)

    def may_hold(self) -> Callable[[str], bool]:
        """Return a test of whether a text may hold the number; it passes some that do not."""
        # At home a number is also written without its country code, and then ends like this.
        return ends_in((self.digits or "").removeprefix(self.home_country_code))

    def passes(self, call: Call, record: CallRecord) -> bool:
        """Whether a call passes, of which this is the record."""
        return (
            (self.since is None or record.created >= self.since)
            and (self.until is None or record.created < self.until)
            and self.disposition in (None, record.disposition)
            and (self.reason is None or any(each.reason == self.reason for each in call))
            and (self.digits is None or self._has_number(call, record, self.digits))
        )

    def _has_number(self, call: Call, record: CallRecord, digits: str) -> bool:
        whole = self._whole()
        is_said = whole is not None and any(map(whole, _texts(call)))
        return is_said or has_number_ending(record, digits)

    def _whole(self) -> Callable[[str], bool] | None:
        """Return a test of whether a text holds the number in any way of writing it."""
        number = PhoneNumber(self.digits or "")
        return finds(number, self.home_country_code) if phone.is_number(number) else None


def _instant(
    options: argparse.Namespace, name: str, now: datetime, faults: list[str]
) -> datetime | None:
    text = getattr(options, name)
    try:
        return None if text is None else times.instant(text, now, zone=zone_of(options))
    except argparse.ArgumentTypeError as error:
        faults.append(f"--{name}: {error}")
        return None


def _texts(call: Call) -> Iterator[str]:
    """Yield every text of a call that may hold a number."""
    for each in call:
        yield from (each.body, json.dumps(each.reply))
        if isinstance(each.event, IncomingCall):
            yield from (str(each.event.caller), str(each.event.dialled))
