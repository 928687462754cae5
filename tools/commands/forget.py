"""The `forget` command: deletes every call that holds a number from the call log.

What only may hold it, and may be another person's, is named, and deleted where that is asked for.
"""

import argparse
import glob
import math
import sys
import time
from collections.abc import Callable
from datetime import datetime

import phone
from call_log import saved, writer
from call_log.store import Store, StoreError
from config import Settings
from tools.history import stored
from tools.history.search import Held, held

_MAX_CALLS_AT_ONCE = 50
_MAX_ERASE_S = 5.0
_MAX_NAMED = 50


def run(options: argparse.Namespace, _: datetime) -> int:
    """Delete every call that holds a number; return the exit status.

    It is 1 if no call does, or where the number may be in a file that could not be read.
    """
    settings = stored.settings_of(options.config)
    try:
        with stored.reading(settings):  # raises if there is no log, where `open` would make one
            store = writer.store_of(settings.call_log)
        store.open()
        try:
            # The events that a stopped server left in a file may hold the number too.
            saved.take_in(store, _report)
            count = _forget(store, options, settings)
            is_all_read = _reports_no_file(store)
        finally:
            store.close()
    except StoreError as error:
        _report(str(error))
        return 1
    return 0 if count and is_all_read else 1


def _report(text: str) -> None:
    print(f"forget: {text}", file=sys.stderr)


def _forget(store: Store, options: argparse.Namespace, settings: Settings) -> int:
    """Purge the calls, and say so; return how many."""
    holds, shown = held(options.number, settings.home_country_code), phone.redact(options.number)
    least = Held.PERHAPS if options.also else Held.SURELY
    count = _purge(store, lambda text: holds(text) >= least)
    if count:
        print(f"deleted {count} {'call' if count == 1 else 'calls'} with {shown}")
        if not _erase_deleted(store):
            _report("the log is in use, so a copy may still be in the file; run it again")
    more = sorted(store.calls_where(lambda text: bool(holds(text))))
    if more:
        _name(more, shown)
    elif not count:
        _report(f"no call in the log has {shown}; include the country code")
    return count


def _purge(store: Store, passes: Callable[[str], bool]) -> int:
    """Purge the calls with a text that passes; return how many."""
    count = 0
    while found := sorted(store.calls_where(passes)):  # again, for one that came meanwhile
        for first in range(0, len(found), _MAX_CALLS_AT_ONCE):
            store.purge(found[first : first + _MAX_CALLS_AT_ONCE])
        count += len(found)
    return count


def _name(calls: list[str], shown: str) -> None:
    """Name the calls that may hold the number, and say what to do."""
    some = "one call that is" if len(calls) == 1 else f"{len(calls):,} calls that are"
    _report(f"{some} not deleted may have {shown} in another form, or another person's number:")
    for reference_id in calls[:_MAX_NAMED]:
        print(f"  {reference_id}", file=sys.stderr)
    if len(calls) > _MAX_NAMED:
        print(f"  and {len(calls) - _MAX_NAMED:,} more", file=sys.stderr)
    _report("look at each with `calls REFERENCE_ID --json --full`; --also deletes them as well")


def _reports_no_file(store: Store) -> bool:
    """Report each file of saved events that could not be taken in; return whether there is none."""
    prefix = store.saved_prefix
    left = sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.unkept-*"))
    for path in left:
        _report(f"{path} may hold the number too: run it again once the file is repaired or gone")
    return not left


def _erase_deleted(store: Store) -> bool:
    """Erase the copies in the file; return whether the log was free for that in time."""
    deadline = time.monotonic() + _MAX_ERASE_S
    while not store.erase_deleted(rewrite_up_to=math.inf):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
