"""The commands `pair`, `unpair` and `prune`: rows of the allow-list that come and go by the hour.

Each changes the file at once or not at all, and needs no key: a list that is changed answers
nobody. What is to change is worked out in `list_editor.pairs`.
"""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from config import ConfigError, Settings
from phone import PhoneNumber
from routing import AllowList, AllowListError, Route
from tools import list_change
from tools.history import stored, times
from tools.history.fields import View
from tools.list_editor import changes, pairs
from tools.list_editor.pairs import Ending, Pairing, People, Removal
from tools.live_list import ServedList
from tools.outcome import CommandError, Status, report, wrap

_NOTE = "pair"

T = TypeVar("T", Pairing, Ending, Removal)


def run(options: argparse.Namespace, now: datetime) -> int:
    """Run one of the commands; return the exit status. Raises what is in the way."""
    settings = stored.settings_of(options.config)
    change = {"pair": _pair, "unpair": _unpair, "prune": _prune}[options.command]
    try:
        with list_change.in_the_way():
            return change(settings, options, now)
    except AllowListError as error:
        raise ConfigError([fault.at(settings.allow_list) for fault in error.faults]) from None


def _pair(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    pool = settings.virtual_numbers
    if not pool:
        raise ConfigError(
            ["`virtual_numbers` is not set: list the numbers that `pair` may give out"]
        )
    people = pairs.read_people(options.one, options.other, settings.home_country_code)
    ends = (now + options.span).replace(microsecond=0)
    choose = partial(
        pairs.pair,
        pool=pool,
        people=people,
        ends=ends,
        now=now,
        rest=times.length(settings.pair_rest),
        external_id=options.external_id,
        greeting=options.greeting,
    )
    pairing, served = _change(settings, options, choose, adds=True)
    one, other = (_show(number, options) for number in people)
    done = {
        "virtual_number": pairing.number,
        "people": [one, other],
        "external_id": options.external_id,
        "expires": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        "renewed": pairing.renewed,
    }
    verb = "still connects" if pairing.renewed else "connects"
    order = f" for {options.external_id}" if options.external_id else ""
    text = f"{pairing.number} {verb} {one} and {other}{order} until {_minute(ends)}"
    if pairing.renewed and _minute(pairing.ended) != _minute(ends):
        text += f" instead of {_minute(pairing.ended)}"
    return _report(options, done, text, served)


def _unpair(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    external_id, people = options.external_id, _people_or_none(settings, options)
    choose = partial(pairs.unpair, people=people, external_id=external_id, now=now)
    ending, served = _change(settings, options, choose)
    whose = " and ".join(_show(number, options) for number in people or ())
    whose = " for ".join(filter(None, (whose, external_id)))
    if not ending.ended:
        verb = "connects" if people else "is for"
        raise pairs.PairError(f"no open row {verb} {whose}")
    ended = [
        {
            "to": _show_dialled(route, options),
            "from": _show(route.caller, options),
            "destination": _show(route.destination, options),
            "external_id": route.dial.external_id,
        }
        for route in ending.ended
    ]
    behind = ", ".join(dict.fromkeys(_show_dialled(route, options) for route in ending.ended))
    text = f"rows of {whose} behind {behind} ended: {len(ended):,}"
    return _report(options, {"ended": ended}, text, served)


def _people_or_none(settings: Settings, options: argparse.Namespace) -> People | None:
    """Read both numbers, which the id of an order may stand in for."""
    if options.one is None and options.external_id:
        return None
    if options.other is None:
        got = "nothing" if options.one is None else "only one person"
        message = f"wanted two people A and B, --external-id, or both, got {got}"
        raise CommandError("bad_arguments", message, Status.FAULTS)
    return pairs.read_people(options.one, options.other, settings.home_country_code)


def _prune(settings: Settings, options: argparse.Namespace, now: datetime) -> int:
    before = now - options.span
    removal, served = _change(settings, options, partial(pairs.prune, before=before))
    count = len(removal.removed)
    text = f"rows that expired before {_minute(before)} removed: {count:,}{_kept_note(removal)}"
    return _report(options, {"removed": count, "kept": removal.kept}, text, served)


def _kept_note(removal: Removal) -> str:
    if not removal.kept:
        return ""
    return (
        f"; kept: {len(removal.kept):,}, the first in line {removal.kept[0]}, because otherwise a"
        " row for any caller would connect people who are refused today"
    )


def _change(
    settings: Settings,
    options: argparse.Namespace,
    choose: Callable[[AllowList], T],
    *,
    adds: bool = False,
) -> tuple[T, ServedList]:
    """Do to the list what `choose` says, given the list; return that, the last if asked again."""
    results: list[T] = []

    def edit(lines: list[str], allow_list: AllowList) -> list[str]:
        results.append(choose(allow_list))
        return changes.apply(results[-1].changes, lines, note=_NOTE)

    waits = list_change.patience_of(options.command)
    served = list_change.change(settings, edit, waits, adds=adds)
    return results[-1], served


def _show(number: PhoneNumber | None, options: argparse.Namespace) -> Any:
    return View(full=options.full).cell("caller", number)


def _show_dialled(route: Route, options: argparse.Namespace) -> str:
    """Return what is shown of the dialled number: all of it, unless it is a person's own."""
    is_ours = route.dialled != route.destination
    return route.dialled if is_ours else _show(route.dialled, options)


def _minute(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M UTC}"


def _report(
    options: argparse.Namespace, done: dict[str, Any], text: str, served: ServedList
) -> int:
    """Print what was done, for a program or for people; return the exit status."""
    if options.json:
        status = report(options.command, json.dumps(done | served.plain()))
    else:
        status = report(options.command, wrap(text, served.text))
    return status or list_change.status_of(served)
