"""The `forget` command: deletes every call that holds a number from the call log."""

import argparse
import math
import sys
import time
from datetime import datetime

import phone
from call_log import saved, writer
from call_log.store import Store, StoreError
from config import Settings
from phone import PhoneNumber
from records import finds
from tools.history import stored

_MAX_CALLS_AT_ONCE = 50
_MAX_ERASE_S = 5.0


def run(options: argparse.Namespace, _: datetime) -> int:
    """Delete every call that holds a number; return the exit status."""
    number = options.number
    try:
        count, is_erased = _forget(stored.settings_of(options.config), number)
    except StoreError as error:
        _report(str(error))
        return 1
    if not count:
        _report(f"no call in the log has {phone.redact(number)}; include the country code")
        return 1
    calls = "call" if count == 1 else "calls"
    print(f"deleted {count} {calls} with {phone.redact(number)}")
    if not is_erased:
        _report("the log is in use, so a copy may still be in the file; run it again")
    return 0


def _report(text: str) -> None:
    print(f"forget: {text}", file=sys.stderr)


def _forget(settings: Settings, number: PhoneNumber) -> tuple[int, bool]:
    """Purge the calls; return how many, and whether no copy is left in the file."""
    with stored.reading(settings):  # raises if there is no log, where the next line would make one
        store = writer.store_of(settings.call_log)
    store.open()
    try:
        # The events that a stopped server left in a file may hold the number too.
        saved.take_in(store, _report)
        holds = finds(number, settings.home_country_code)
        count = 0
        while found := sorted(store.calls_where(holds)):  # again, for one that came meanwhile
            for first in range(0, len(found), _MAX_CALLS_AT_ONCE):
                store.purge(found[first : first + _MAX_CALLS_AT_ONCE])
            count += len(found)
        return count, _erase_deleted(store)
    finally:
        store.close()


def _erase_deleted(store: Store) -> bool:
    """Erase the copies in the file; return whether the log was free for that in time."""
    deadline = time.monotonic() + _MAX_ERASE_S
    while not store.erase_deleted(rewrite_up_to=math.inf):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
