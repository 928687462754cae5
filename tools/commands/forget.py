"""The `forget` command: deletes every call that holds a number from the call log.

What only may hold it, and may be another person's, is named, and deleted where that is asked for.
Nothing is deleted before it was said what, and confirmed.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

import phone
from call_log import saved
from call_log.store import Store, utc
from config import ConfigError, Settings
from tools import console
from tools.history import stored
from tools.history.search import Match, matcher
from tools.outcome import CommandError

_MAX_CALLS_AT_ONCE = 50
_MAX_ERASE_S = 5.0
_MAX_NAMED = 50


@dataclass(slots=True)
class _Deletion:
    """What was done: calls deleted, others that may hold the number, and where it still stands.

    `rows` are lines of the allow-list, `files` saved events that could not be read.
    """

    deleted: int
    perhaps: list[str]
    rows: list[int]
    files: list[str]


def run(options: argparse.Namespace, _: datetime) -> int:
    """Delete every call that holds a number; return the exit status.

    It is 1 if no call does, if it is not confirmed, or where the number may be in a file that could
    not be read.
    """
    settings = stored.settings_of(options.config)
    rows, is_ours = _rows_of(options)
    if is_ours and not options.virtual:
        raise CommandError(
            "our_number",
            f"{options.number} is a virtual number or masking ID of yours, so it is in the calls of"
            " all who called by way of it; --virtual deletes them",
        )
    with stored.reading(settings):  # raises if there is no log, where `open` would make one
        store = stored.store_of(settings)
    store.open()
    try:
        # The events that a stopped server left in a file may hold the number too.
        saved.take_in(store, _report)
        deletion = _forget(store, options, settings, rows)
    finally:
        store.close()
    _print(deletion, options)
    return 0 if deletion.deleted and not deletion.files else 1


def _report(text: str) -> None:
    console.say(f"forget: {text}")


def _rows_of(options: argparse.Namespace) -> tuple[list[int], bool]:
    """Return the lines of the allow-list that name a number, and whether it is one of ours.

    A list with faults names nobody: the log is what is cleared here.
    """
    try:
        _, allow_list = stored.settings_and_list(options.config)
    except ConfigError:
        return [], False
    number = options.number
    lines = [route.line for route in allow_list if number in (route.caller, route.destination)]
    return lines, number in allow_list.own_numbers


def _forget(
    store: Store, options: argparse.Namespace, settings: Settings, rows: list[int]
) -> _Deletion:
    """Say what is deleted, and purge it once that is confirmed."""
    holds = matcher(options.number, settings.home_country_code)
    least = Match.PERHAPS if options.also else Match.SURELY

    def passes(text: str) -> bool:
        return holds(text) >= least

    found = stored.calls_where(store, passes)
    if found and not options.yes:
        _confirm(store, found, rows, options.number)
    count = _purge(store, passes, found)
    if count and not _erase_deleted(store):
        _report("the log is in use, so a copy may still be in the file; run it again")
    perhaps = sorted(stored.calls_where(store, lambda text: bool(holds(text))))
    return _Deletion(count, perhaps, rows, [*map(str, saved.files_of(store))])


def _confirm(store: Store, found: set[str], rows: list[int], number: str) -> None:
    """Say what would be deleted, and ask. Raises `CommandError` without a yes."""
    first, last = (f"{utc(time):%Y-%m-%d %H:%M UTC}" for time in _times(store, found))
    shown = phone.redact(number)
    console.say(f"{_calls(len(found))} with {shown}, from {first} to {last}, will be deleted.")
    if rows:
        console.say(f"{shown} stays in the allow-list: {_lines(rows)}.")
    if sys.stdin is None or not sys.stdin.isatty():
        message = "nothing was deleted: wanted --yes, as there is nobody to ask"
        raise CommandError("not_confirmed", message)
    console.terminal(sys.stderr).print("Delete them? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("not_confirmed", "nothing was deleted")


def _times(store: Store, found: set[str]) -> tuple[int, int]:
    """Return when the first and the last event of some calls came."""
    times = [row.first_seen for call in found for row in store.rows([call], bodies=False)]
    return min(times), max(times)


def _purge(store: Store, passes: Callable[[str], bool], found: set[str]) -> int:
    """Purge the calls that were found, and those that came meanwhile; return how many."""
    count = 0
    while found:
        calls = sorted(found)
        for first in range(0, len(calls), _MAX_CALLS_AT_ONCE):
            store.purge(calls[first : first + _MAX_CALLS_AT_ONCE])
        count += len(calls)
        found = stored.calls_where(store, passes)
    return count


def _erase_deleted(store: Store) -> bool:
    """Erase the copies in the file; return whether the log was free for that in time."""
    deadline = time.monotonic() + _MAX_ERASE_S
    while not store.erase_deleted(rewrite_up_to=math.inf):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _print(deletion: _Deletion, options: argparse.Namespace) -> None:
    shown = phone.redact(options.number)
    if options.json:
        print(json.dumps(asdict(deletion)))
    elif deletion.deleted:
        print(f"deleted {_calls(deletion.deleted)} with {shown}")
    if deletion.perhaps:
        _name(deletion.perhaps, shown)
    elif not deletion.deleted:
        _report(f"no call in the log has {shown}; include the country code")
    if deletion.rows:
        _report(f"the allow-list still names {shown}: {_lines(deletion.rows)}")
    for path in deletion.files:
        _report(f"{path} may hold the number too: run it again once the file is repaired or gone")


def _name(calls: list[str], shown: str) -> None:
    """Name the calls that may hold the number, and say what to do."""
    some = "one call that is" if len(calls) == 1 else f"{len(calls):,} calls that are"
    _report(f"{some} not deleted may have {shown} in another form, or another person's number:")
    for reference_id in calls[:_MAX_NAMED]:
        print(f"  {reference_id}", file=sys.stderr)
    if len(calls) > _MAX_NAMED:
        print(f"  and {len(calls) - _MAX_NAMED:,} more", file=sys.stderr)
    _report("look at each with `calls REFERENCE_ID --json --full`; --also deletes them as well")


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"


def _lines(rows: list[int]) -> str:
    named = ", ".join(map(str, rows[:_MAX_NAMED]))
    more = ", ..." if len(rows) > _MAX_NAMED else ""
    return f"line{'s' * (len(rows) > 1)} {named}{more}"
