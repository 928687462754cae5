"""The `forget` command: deletes every call that holds a number from the call log."""

import math
import sys
import time

import phone
from call_log import backlog, writer
from call_log.records import finds
from call_log.store import Store, StoreError
from config import Settings
from phone import PhoneNumber

_MAX_CALLS_AT_ONCE = 50
_MAX_ERASE_S = 5.0


def run(settings: Settings, text: str) -> int:
    """Delete every call that holds a number; return the exit status."""
    try:
        number = phone.parse(text)
        count, erased = _forget(settings, number)
    except (phone.PhoneError, StoreError) as error:
        _report(str(error))
        return 1
    if not count:
        _report(f"no call in the log has {phone.redact(number)}; include the country code")
        return 1
    calls = "call" if count == 1 else "calls"
    print(f"deleted {count} {calls} with {phone.redact(number)}")
    if not erased:
        _report("the log is in use, so a copy may still be in the file; run it again")
    return 0


def _report(text: str) -> None:
    print(f"forget: {text}", file=sys.stderr)


def _forget(settings: Settings, number: PhoneNumber) -> tuple[int, bool]:
    """Purge the calls; return how many, and whether no copy is left in the file."""
    store = writer.store_of(settings.call_log)
    store.open(write=False)  # raises if there is no log, where the next line would create one
    store.close()
    store.open()
    try:
        # The events that a stopped server left in a file may hold the number too.
        backlog.import_spilled(store, _report)
        count = _purge_all(store, number, settings.home_country_code)
        return count, _erase_deleted(store)
    finally:
        store.close()


def _purge_all(store: Store, number: PhoneNumber, home_country_code: str) -> int:
    """Purge every call with a number, also one that comes meanwhile; return how many."""
    count = 0
    while found := sorted(store.calls_where(finds(number, home_country_code))):
        for first in range(0, len(found), _MAX_CALLS_AT_ONCE):
            store.purge(found[first : first + _MAX_CALLS_AT_ONCE])
        count += len(found)
    return count


def _erase_deleted(store: Store) -> bool:
    """Erase the copies in the file; return whether the log was free for that in time."""
    deadline = time.monotonic() + _MAX_ERASE_S
    while not store.erase_deleted(rewrite_up_to=math.inf):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
