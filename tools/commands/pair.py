"""The commands `pair`, `unpair` and `prune`: rows of the allow-list that come and go by the hour.

Each changes the file at once or not at all, and needs no key: a list that is changed answers
nobody. What is to change is worked out in `allow_list.pairs`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import phone
from allow_list import reader, rows
from allow_list.rows import RowChanges
from config import ConfigError, Settings
from phone import PhoneNumber
from routing import AllowList, AllowListError, Route
from serving.sources import row_defaults
from tools.history import stored
from tools.list_editor import editor, pairs
from tools.list_editor.pairs import Pairing, People

_NOTE = "pair"

T = TypeVar("T")


def read_people(settings: Settings, options: argparse.Namespace) -> People:
    """Read both numbers. Raises `PhoneError` for what is no number, or the same one twice."""
    home = settings.home_country_code
    one, other = _person("A", options.one, home), _person("B", options.other, home)
    if one == other:
        raise phone.PhoneError(f"A and B: wanted two people, got {phone.redact(one)} twice")
    return one, other


def _person(name: str, text: str, home_country_code: str) -> PhoneNumber:
    """Read a person's number by the rules of a cell of the list. Raises `PhoneError`.

    Ten digits are refused where they may lack their country code, that of home or North America's
    1: somebody in another country would be called. A + says that it is there.
    """
    got = f"got {phone.mask_digits(text)!r}"
    try:
        number = phone.parse(text)
    except phone.PhoneError as error:
        raise phone.PhoneError(f"{name}: {error}, {got}") from None
    with_codes = [PhoneNumber(f"{code}{number}") for code in ("1", home_country_code) if code]
    if "+" not in text and len(number) == 10 and any(map(phone.is_valid, with_codes)):
        raise phone.PhoneError(
            f"{name}: wanted a number with its country code, {got}; put the code in front, or a +"
            " if it is there"
        )
    return number


def run(options: argparse.Namespace, now: datetime) -> int:
    """Run one of the commands; return the exit status. Raises `ConfigError` for faults."""
    settings = stored.settings_of(options.config)
    change = {"pair": _pair, "unpair": _unpair, "prune": _prune}[options.command]
    try:
        change(settings, options, now)
    except AllowListError as error:
        raise ConfigError([each.at(settings.allow_list) for each in error.faults]) from None
    except (phone.PhoneError, pairs.PairError, editor.AppendError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, phone.PhoneError) else 1
    return 0


def _pair(settings: Settings, options: argparse.Namespace, now: datetime) -> None:
    pool = settings.virtual_numbers
    if not pool:
        raise ConfigError(
            ["`virtual_numbers` is not set: list the numbers that `pair` may give out"]
        )
    people, ends = read_people(settings, options), (now + options.span).replace(microsecond=0)

    def work(allow_list: AllowList) -> tuple[Pairing, RowChanges]:
        pairing = pairs.pair(allow_list, pool, people, ends=ends, now=now)
        return pairing, pairing.changes

    pairing = _change(settings, work)
    one, other = (_shown(each, options) for each in people)
    told = {
        "virtual_number": pairing.number,
        "people": [one, other],
        "expires": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        "renewed": pairing.renewed,
    }
    verb = "still connects" if pairing.renewed else "connects"
    text = f"{pairing.number} {verb} {one} and {other} until {_minute(ends)}"
    if pairing.renewed and _minute(pairing.ended) != _minute(ends):
        text += f" instead of {_minute(pairing.ended)}"
    _tell(options, told, text)


def _unpair(settings: Settings, options: argparse.Namespace, _now: datetime) -> None:
    people = read_people(settings, options)

    def work(allow_list: AllowList) -> tuple[list[Route], RowChanges]:
        gone = pairs.unpair(allow_list, people)
        return gone, RowChanges(removed=frozenset(route.line for route in gone))

    gone = _change(settings, work)
    one, other = (_shown(each, options) for each in people)
    if not gone:
        raise pairs.PairError(f"no row connects {one} and {other}")
    removed = [
        {
            "to": _dialled(route, options),
            "from": _shown(route.caller, options),
            "destination": _shown(route.destination, options),
        }
        for route in gone
    ]
    behind = ", ".join(dict.fromkeys(row["to"] for row in removed))
    text = f"rows of {one} and {other} behind {behind} removed: {len(gone):,}"
    _tell(options, {"removed": removed}, text)


def _prune(settings: Settings, options: argparse.Namespace, now: datetime) -> None:
    before = now - options.span

    def work(allow_list: AllowList) -> tuple[pairs.Pruning, RowChanges]:
        pruning = pairs.prune(allow_list, before)
        return pruning, pruning.changes

    pruning = _change(settings, work)
    count, kept = len(pruning.changes.removed), pruning.kept
    text = f"rows that expired before {_minute(before)} removed: {count:,}"
    if kept:
        text += (
            f"; kept: {len(kept):,}, the first in line {kept[0]}, because otherwise a row for any"
            " caller would connect people who are refused today"
        )
    _tell(options, {"removed": count, "kept": kept}, text)


def _change(settings: Settings, work: Callable[[AllowList], tuple[T, RowChanges]]) -> T:
    """Do to the file what `work` says, given its list, and return what else it says.

    The file is changed at once or not at all. `work` is called again if another program changes the
    file meanwhile; the last result counts.
    """
    results: list[T] = []

    def parse(lines: list[str]) -> AllowList:
        return reader.parse(lines, row_defaults(settings), only_fictional=False)

    def edit(lines: list[str], allow_list: AllowList) -> list[str]:
        result, changes = work(allow_list)
        results.append(result)
        return rows.apply(changes, lines, note=_NOTE)

    editor.change(Path(settings.allow_list), edit, parse)
    return results[-1]


def _shown(number: PhoneNumber | None, options: argparse.Namespace) -> str:
    return (number or "") if options.full else phone.redact(number or "")


def _dialled(route: Route, options: argparse.Namespace) -> str:
    """Return what is shown of the dialled number: all of it, unless it is a person's own."""
    is_ours = route.dialled != route.destination
    return route.dialled if is_ours else _shown(route.dialled, options)


def _minute(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M UTC}"


def _tell(options: argparse.Namespace, told: dict[str, Any], text: str) -> None:
    """Print what was done, for a program or for people."""
    from tools import console

    if options.json:
        print(json.dumps(told))
    else:
        console.print_wrapped(console.terminal(), text)
