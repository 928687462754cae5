"""Which calls of the log a page shows, and what it shows of each. The log is only read."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from call_log.store import StoreError, microseconds, utc
from config import Settings
from records import CallRecord, Disposition
from routing import Reason
from tools.arguments import number_or_end
from tools.history import times
from tools.history.newest import LAST, NewestCalls, Sought
from tools.history.stored import Filters, StoredCalls
from tools.inspector.shown import Shown

MAX_WHOLE = 1_000
"""So many calls are read in whole for one page; those that pass the filters are shown."""

_PAGE = 50
_SHOWN_DIGITS = 4


def is_missing(error: StoreError) -> bool:
    """Tell whether there is no log yet, and nothing is wrong with one."""
    return "there is no call log yet" in str(error)


@dataclass(frozen=True, slots=True)
class Question:
    """Which calls an address asks for: its filters, and the place in the log to begin before.

    `values` are the filters as the form and links have them: of a number the end only, and of what
    cannot be read no number either, unless in full. `faults` say what cannot be read.
    """

    sought: Sought
    filters: Filters
    before: int
    values: dict[str, str]
    faults: list[str]


def _filters(now: datetime) -> dict[str, tuple[Callable[[str], Any], str]]:
    """Return how each filter is read, and what is wanted."""
    time = "today, yesterday, 90m, 2h, 7d, or a date or time such as 2026-11-23T18:00"
    return {
        "number": (number_or_end, "a number with its country code, or its last four to six digits"),
        "disposition": (Disposition, "one of the list"),
        "reason": (Reason, "one of the list"),
        "since": (lambda text: microseconds(max(times.instant(text, now), utc(0))), time),
        "until": (lambda text: microseconds(times.instant(text, now)), time),
    }


def question(query: Mapping[str, str], settings: Settings, now: datetime, shown: Shown) -> Question:
    """Read the parameters of an address."""
    read, values, faults = dict[str, Any](), dict[str, str](), list[str]()
    for name, (convert, wanted) in _filters(now).items():
        if text := query.get(name, "").strip():
            try:
                read[name], values[name] = convert(text), text
            except (argparse.ArgumentTypeError, ValueError):
                values[name] = shown.typed(text)
                faults.append(f"{name}: wanted {wanted}, got {values[name]}")
    number, reason, home = read.get("number"), read.get("reason"), settings.home_country_code
    if number and not shown.full:
        number = values["number"] = number[-_SHOWN_DIGITS:]
    filters = Filters(None, None, number, read.get("disposition"), reason, home)
    # An event with the reason leads to the call; the number may be in another of its events.
    has_text = filters.may_hold() if number and not reason else None
    sought = Sought(read.get("since", 0), read.get("until", LAST), reason, has_text)
    return Question(sought, filters, place(query.get("before", ""), LAST), values, faults)


def place(text: str, otherwise: int) -> int:
    """Return a whole number of an address."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else otherwise


def last_calls(log: StoredCalls, asked: Question, now: datetime) -> tuple[list[CallRecord], int]:
    """Return a page of calls that pass, the last active first, and the place where to go on.

    That is 0 if there are no more. If the page is not full, only a part of the log was looked at.
    """
    newest = NewestCalls(log.store, asked.sought, asked.before)
    ids, found = islice(newest, MAX_WHOLE), list[CallRecord]()
    while len(found) < _PAGE and (some := list(islice(ids, _PAGE - len(found)))):
        found += [each.record for each in log.calls(some, now) if asked.filters.passes(each)]
    return found, newest.reached
