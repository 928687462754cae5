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
    pairing = _add_command(commands, "pair", "give two people a virtual number for a time")
    pairing.add_argument("--for", dest="span", type=times.span, required=True, metavar="TIME",
                         help="for how long: 90m, 2h or 7d")  # fmt: skip
    unpairing = _add_command(commands, "unpair", "take the rows of two people out of the list")
    for parser, change in (pairing, _pair), (unpairing, _unpair):
        parser.add_argument("one", metavar="A", help="one person's number")
        parser.add_argument("other", metavar="B", help="the other person's number")
        parser.add_argument("--full", action="store_true", help="show numbers in full")
        parser.set_defaults(change=change)
    pruning = _add_command(commands, "prune", "take expired rows out of the list")
    pruning.add_argument("--older-than", dest="span", type=times.span, required=True,
                         metavar="TIME", help="expired so long ago: 90m, 2h or 7d")  # fmt: skip
    pruning.set_defaults(change=_prune)
    for parser in pairing, unpairing, pruning:
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run)


def _add_command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    description = f"{text[0].upper()}{text[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=description)
    return parser


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
        return 2 if isinstance(error, phone.PhoneError) else 1
    return status


def _pair(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    if not settings.virtual_numbers:
        raise ConfigError(
            ["`virtual_numbers` is not set: list the numbers that `pair` may give out"]
        )
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
        raise pairs.PairError(f"no row connects {one} and {other}")
    if options.json:
        print(json.dumps({"removed": [_as_json(route, options) for route in gone]}))
    else:
        behind = ", ".join(dict.fromkeys(_dialled(route, options) for route in gone))
        count, verb = _rows_and_verb(len(gone))
        _say(f"{count} of {one} and {other} behind {behind} {verb} removed")
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
    removed, verb = _rows_and_verb(count)
    _say(f"{removed} that expired before {before:%Y-%m-%d %H:%M UTC} {verb} removed")
    if kept:
        stay = (
            f"1 row stays, in line {kept[0]}: without it,"
            if len(kept) == 1
            else f"{len(kept):,} rows stay, the first in line {kept[0]}: without them,"
        )
        _say(f"{stay} a row for any caller would connect people who are refused today")
    return 0


def _change(settings: Settings, work: Work) -> None:
    """Do to the file what `work` says, given its list: at once, or not at all."""

    def parse(lines: list[str]) -> AllowList:
        return reader.parse(lines, row_defaults(settings), only_fictional=False)

    def edit(lines: list[str], allow_list: AllowList) -> list[str]:
        return rows.apply(work(allow_list), lines, note=_NOTE)

    editor.change(Path(settings.allow_list), edit, parse)


def _people(settings: Settings, options: argparse.Namespace) -> People:
    """Read both numbers. Raises `PhoneError` for what is no number, or the same one twice."""
    home = settings.home_country_code
    one, other = _person("A", options.one, home), _person("B", options.other, home)
    if one == other:
        raise phone.PhoneError(f"A and B: wanted two people, got {phone.redact(one)} twice")
    return one, other


def _person(name: str, text: str, home_country_code: str) -> PhoneNumber:
    """Read a person's number by the rules of a cell of the list. Raises `PhoneError`."""
    try:
        number = phone.parse(text)
    except phone.PhoneError as error:
        raise phone.PhoneError(f"{name}: {error}, got {phone.mask_digits(text)!r}") from None
    if home_country_code and phone.read(text, home_country_code=home_country_code) != number:
        raise phone.PhoneError(
            f"{name}: wanted a country code in front of {phone.redact(number)}, because"
            f" home_country_code makes {home_country_code} that of ten digits alone; a + says that"
            " it is there"
        )
    return number


def _shown(number: PhoneNumber | None, options: argparse.Namespace) -> str:
    return (number or "") if options.full else phone.redact(number or "")


def _dialled(route: Route, options: argparse.Namespace) -> str:
    """Return what is shown of the dialled number: all of it, unless it is a person's own."""
    is_ours = route.dialled != route.destination
    return route.dialled if is_ours else _shown(route.dialled, options)


def _rows_and_verb(count: int) -> tuple[str, str]:
    """Return how many rows, and the verb that goes with them."""
    return (f"{count:,} row", "is") if count == 1 else (f"{count:,} rows", "are")


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
    connects = "still connects" if pairing.renewed else "connects"
    _say(f"{pairing.number} {connects} {one} and {other}{_until(pairing, ends)}")
    return 0


def _until(pairing: Pairing, ends: datetime) -> str:
    """Return the end of a pair, and of an open one also the former end if it was another minute."""
    end = f"{ends:%Y-%m-%d %H:%M UTC}"
    former = "never" if pairing.ended is None else f"{pairing.ended:%Y-%m-%d %H:%M UTC}"
    if not pairing.renewed or former == end:
        return f" until {end}"
    is_same_day = pairing.ended is not None and pairing.ended.date() == ends.date()
    former = former[11:16] if is_same_day else former
    return f": now ends at {end} instead of {former}"
