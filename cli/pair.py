"""The commands `pair`, `unpair` and `prune`: rows of the allow-list that come and go by the hour.

Each changes the file at once or not at all, and needs no key: a list that is changed answers
nobody. What is to change is worked out in `allow_list.pairs`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import phone
from allow_list import editor, pairs, reader, rows
from allow_list.pairs import Pairing, People, Pruning
from allow_list.rows import RowChanges
from app import read_settings, row_defaults
from cli.history import times
from config import API_KEY, CUSTOMER_ID, ConfigError, Settings
from phone import PhoneNumber
from routing import AllowList, AllowListError, Route

_NOTE = "pair"

Work = Callable[[AllowList], RowChanges]


def add_parser(commands: Any) -> None:
    """Add the three commands to those of the command line."""
    pairing = commands.add_parser("pair", help="a virtual number for two people and a time")
    pairing.add_argument("--for", dest="span", type=times.span, required=True, metavar="TIME",
                         help="for how long: 90m, 2h or 7d")  # fmt: skip
    unpairing = commands.add_parser("unpair", help="take the rows of two people out of the list")
    for parser, change in (pairing, _pair), (unpairing, _unpair):
        parser.add_argument("one", metavar="A", help="one person's number")
        parser.add_argument("other", metavar="B", help="the other person's number")
        parser.add_argument("--full", action="store_true", help="show numbers in full")
        parser.set_defaults(change=change)
    pruning = commands.add_parser("prune", help="take expired rows out of the list")
    pruning.add_argument("--older-than", dest="span", type=times.span, required=True,
                         metavar="TIME", help="expired so long ago: 90m, 2h or 7d")  # fmt: skip
    pruning.set_defaults(change=_prune)
    for parser in pairing, unpairing, pruning:
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run)


def run(options: argparse.Namespace, now: datetime) -> int:
    """Run one of the commands; return the exit status. Raises `ConfigError` for faults."""
    # Nobody is verified here, so a secret that is not there yet is in nobody's way.
    rest = {name: text for name, text in os.environ.items() if name not in (CUSTOMER_ID, API_KEY)}
    settings, faults = read_settings(options.config, rest, serving=False)
    if faults:
        raise ConfigError(faults)
    try:
        status: int = options.change(settings, options, now)
    except AllowListError as error:
        raise ConfigError([each.at(settings.allow_list) for each in error.faults]) from None
    except (phone.PhoneError, pairs.PairError, editor.AppendError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    return status


def _pair(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    if not settings.virtual_numbers:
        raise ConfigError(["virtual_numbers: wanted numbers to choose one from, got none"])
    people = _people(settings, options)
    ends = (now + options.span).replace(microsecond=0)
    made: list[Pairing] = []

    def work(allow_list: AllowList) -> RowChanges:
        pool = settings.virtual_numbers
        made.append(pairs.pair(allow_list, pool, people, ends=ends, now=now))
        return made[-1].changes

    _change(settings, work)
    return _tell_pair(made[-1], people, ends, options)


def _unpair(settings: Settings, options: argparse.Namespace, _now: datetime) -> int:
    people, gone = _people(settings, options), list[Route]()

    def work(allow_list: AllowList) -> RowChanges:
        gone[:] = pairs.unpair(allow_list, people)
        return RowChanges(removed=frozenset(route.line for route in gone))

    _change(settings, work)
    one, other = (_shown(each, options) for each in people)
    if not gone:
        raise pairs.PairError(f"wanted a row that connects {one} and {other}, got none in the list")
    if options.json:
        print(json.dumps({"removed": [_as_json(route, options) for route in gone]}))
    else:
        behind = ", ".join(dict.fromkeys(_dialled(route, options) for route in gone))
        _say(f"{len(gone)} row(s) of {one} and {other} behind {behind} are removed")
    return 0


def _prune(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    before, made = now - options.span, list[Pruning]()

    def work(allow_list: AllowList) -> RowChanges:
        made.append(pairs.prune(allow_list, before))
        return made[-1].changes

    _change(settings, work)
    count, kept = len(made[-1].changes.removed), made[-1].kept
    if options.json:
        print(json.dumps({"removed": count, "kept": kept}))
        return 0
    _say(f"{count} row(s) that expired before {before:%Y-%m-%d %H:%M UTC} are removed")
    if kept:
        _say(
            f"{len(kept)} row(s) stay, the first in line {kept[0]}: without them, a row for any"
            " caller would connect people who are refused today"
        )
    return 0


def _change(settings: Settings, work: Work) -> None:
    """Do to the file what `work` says, given its list: at once, or not at all."""

    def parse(lines: list[str]) -> AllowList:
        return reader.parse(lines, row_defaults(settings), only_fictional=False)

    def edit(lines: list[str], allow_list: AllowList) -> list[str]:
        return rows.apply(work(allow_list), lines, note=_NOTE)

    editor.change(Path(settings.allow_list), edit, parse)


def _people(settings: Settings, options: argparse.Namespace) -> People:
    home = settings.home_country_code
    return _person(options.one, home), _person(options.other, home)


def _person(text: str, home_country_code: str) -> PhoneNumber:
    """Read a person's number by the rules of a cell of the list. Raises `PhoneError`."""
    number = phone.parse(text)
    if home_country_code and phone.read(text, home_country_code=home_country_code) != number:
        raise phone.PhoneError(
            f"wanted a country code in front of {phone.redact(number)}, because home_country_code"
            f" makes {home_country_code} that of ten digits alone; a + says that it is there"
        )
    return number


def _shown(number: PhoneNumber | None, options: argparse.Namespace) -> str:
    return (number or "") if options.full else phone.redact(number or "")


def _dialled(route: Route, options: argparse.Namespace) -> str:
    """Return what is shown of the dialled number: all of it, unless it is a person's own."""
    is_ours = route.dialled != route.destination
    return route.dialled if is_ours else _shown(route.dialled, options)


def _say(text: str) -> None:
    from cli import console

    console.print_wrapped(console.terminal(), text)


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _as_json(route: Route, options: argparse.Namespace) -> dict[str, str]:
    return {
        "to": _dialled(route, options),
        "from": _shown(route.caller, options),
        "destination": _shown(route.destination, options),
    }


def _tell_pair(
    pairing: Pairing, people: People, ends: datetime, options: argparse.Namespace
) -> int:
    one, other = (_shown(each, options) for each in people)
    if options.json:
        told = {"virtual_number": pairing.number, "people": [one, other], "expires": _utc(ends)}
        print(json.dumps(told | {"renewed": pairing.renewed}))
        return 0
    still = "still " if pairing.renewed else ""
    _say(f"{pairing.number} {still}connects {one} and {other} until {ends:%Y-%m-%d %H:%M UTC}")
    return 0
