"""Which calls of the log a page shows, by the parameters of its address. The log is only read."""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import phone
from records import CallRecord, Disposition
from routing import Reason
from tools.arguments import number_or_end
from tools.history import conditions, stored, times
from tools.history.conditions import Condition
from tools.history.stored import StoredCalls
from tools.inspector.kept import Kept
from tools.inspector.shown import Shown

_PAGE = 50
_LIVE = conditions.is_live()
_PLACE = re.compile("(live)?(-?[0-9]{1,18})_(-?[0-9]{1,18})", re.ASCII)
_FORGOTTEN = "number: the one that was typed is no longer known; type it again"


class Place(NamedTuple):
    """Where a call stands: what is live comes first, then what began last."""

    is_live: bool
    began: int
    number: int

    def __str__(self) -> str:
        """Return the place as an address has it."""
        return f"{'live' if self.is_live else ''}{self.began}_{self.number}"


_TOP = Place(is_live=True, began=10**18, number=0)


@dataclass(frozen=True, slots=True)
class Question:
    """Which calls an address asks for: the filters, and the place before which the page begins.

    `values` are the filters as links have them: of a number at most four digits, or the key by
    which more of it is kept. `number` is how the form shows it. `faults` say what cannot be read.
    """

    wanted: Condition
    before: Place
    values: dict[str, str]
    number: str
    faults: list[str]

    @property
    def is_newest(self) -> bool:
        """Whether the page is the first, which renews itself."""
        return self.before == _TOP


def question(query: Mapping[str, str], numbers: Kept[str], now: datetime, shown: Shown) -> Question:
    """Read the parameters of an address or a form; a number of more than four digits is kept."""
    filters = _Filters(query)
    number = filters.number(numbers, shown)
    wanted = conditions.holds(number) if number else conditions.ANY
    choices = ("disposition", Disposition), ("reason", Reason), ("external_id", str)
    for name, convert in choices:
        if word := filters.read(name, convert):
            wanted &= conditions.is_equal(name, word)
    since, until = filters.bounds(now)
    wanted &= conditions.began_from(since) if since else conditions.ANY
    wanted &= conditions.began_before(until) if until else conditions.ANY
    is_kept = number and "whole" in filters.values
    typed = shown.number(number) if is_kept else filters.values.get("number", "")
    return Question(wanted, _place(query.get("before", "")), filters.values, typed, filters.faults)


class _Filters:
    """Reads the filters of an address or a form: `values` and `faults` as in a question."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.values, self.faults = dict[str, str](), list[str]()

    def read(self, name: str, convert: Callable[[str], Any]) -> Any:
        """Return what a filter says, `None` if nothing; of what cannot be read note no number."""
        if not (text := self._query.get(name, "").strip()):
            return None
        self.values[name] = text
        try:
            return convert(text)
        except (argparse.ArgumentTypeError, ValueError) as error:
            self.values[name] = masked = phone.mask_digits(text)
            is_ours = isinstance(error, argparse.ArgumentTypeError)
            fault = str(error) if is_ours else f"wanted one of the list, got {masked!r}"
            self.faults.append(f"{name}: {fault}")
            return None

    def number(self, numbers: Kept[str], shown: Shown) -> str:
        """Return the number to look for, or its end; empty for any."""
        if key := self._query.get("whole", ""):
            known = numbers.find(key)
            # A form has it as it was shown, unless another one was typed over it.
            if known and self._query.get("number", shown.number(known)) == shown.number(known):
                self.values["whole"] = key
                return known
            if not known and "number" not in self._query:
                self.values["whole"] = key
                self.faults.append(_FORGOTTEN)
        number: str = self.read("number", number_or_end) or ""
        if len(number) > phone.SHOWN_DIGITS:
            del self.values["number"]
            self.values["whole"] = numbers.keep(number)
        elif number:
            self.values["number"] = number
        return number

    def bounds(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """Return the times of `since` and `until`, read as commands do, with the same faults."""
        texts = {name: self._time(name, now) for name in ("since", "until")}
        try:
            return times.bounds(argparse.Namespace(**texts, local=False), now)
        except times.TimeError as error:
            self.faults += [re.sub("--(since|until)", r"\1", fault) for fault in error.faults]
            return None, None

    def _time(self, name: str, now: datetime) -> str | None:
        """Return the text of a time; what is none may be somebody's number, and is masked."""
        if not (text := self._query.get(name, "").strip()):
            return None
        try:
            times.instant(text, now)
        except argparse.ArgumentTypeError:
            text = phone.mask_digits(text)
        self.values[name] = text
        return text


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    return Place(bool(found[1]), int(found[2]), int(found[3])) if found else _TOP


def last_calls(
    log: StoredCalls, asked: Question, now: datetime
) -> tuple[list[CallRecord], Place | None]:
    """Return a page of calls that pass, and the place where older ones begin, if there are any.

    What is live comes first, then what began last.
    """
    below = _below(asked.before)
    passing = filter((_LIVE & asked.wanted).passes, log.open_calls(now))
    live = [record for record in passing if _place_of(record) < asked.before]
    ids = {record.reference_id for record in live}
    ended = log.records(asked.wanted & ~_LIVE & below, now, _PAGE + 1)
    found = sorted(live, key=_place_of, reverse=True)
    found += [record for record in ended if record.reference_id not in ids]  # ended meanwhile
    calls = found[:_PAGE]
    return calls, _place_of(calls[-1]) if len(found) > _PAGE else None


def _place_of(record: CallRecord) -> Place:
    return Place(_LIVE.passes(record), *stored.place_of(record))


def _below(place: Place) -> Condition:
    """Return that a call that is not live stands below a place."""
    if place.is_live:
        return conditions.ANY
    values = (place.began, place.number)
    sql = "(began, number) < (?, ?)"
    return Condition(sql, values, lambda record: stored.place_of(record) < values)
