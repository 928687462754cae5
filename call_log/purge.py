"""Purges calls that have been kept for long enough: a few at a time, between events.

Of a purged call only the SHA-256 of its id is kept (`Store.purge`), so that a captured request is
still recognised.

The wall clock says how old a call is, and may be wrong: after a boot until it is synchronised, or
after a jump. It is trusted only once it has kept pace with the monotonic clock for ten minutes.
This file reads no clock of its own.
"""

from datetime import timedelta

from call_log.store import Store, microseconds
from calls import Clock, Timestamp

MIN_TRUSTED_S = 600.0
MAX_DRIFT_S = 2.0
MAX_REWRITTEN = 32 * 2**20  # bytes: takes less than half a second

_EVERY_S = 60.0
_STEP_S = 0.05
_ERASE_AGAIN_S = 1.0
_MAX_AT_ONCE = 50


class Purge:
    """Deletes each call of a store `keep_days` after its first event."""

    def __init__(self, store: Store, keep_days: int, clock: Clock) -> None:
        self._store, self._keep, self._clock = store, timedelta(days=keep_days), clock
        self._last = clock()
        self._trusted_at_s = self._last.monotonic_s + MIN_TRUSTED_S
        self._next_s = 0.0
        self._must_erase = False

    def turn(self) -> set[str]:
        """Purge a few calls if it is time, or erase what is left of the last ones; return which.

        To be called several times a second. Raises `StoreError`.
        """
        now = self._clock()
        if not self._is_trusted(now) or now.monotonic_s < self._next_s:
            return set()
        self._next_s = now.monotonic_s + _EVERY_S
        before = microseconds(now.utc - self._keep)
        if old := self._store.older_than(before, _MAX_AT_ONCE):
            self._store.purge(old)
            self._next_s, self._must_erase = now.monotonic_s + _STEP_S, True
        elif self._must_erase:
            self._must_erase = not self._store.erase_deleted(rewrite_up_to=MAX_REWRITTEN)
            self._next_s = now.monotonic_s + _ERASE_AGAIN_S
        return old

    def _is_trusted(self, now: Timestamp) -> bool:
        """Whether the wall clock has kept pace with the monotonic one for long enough."""
        by_wall = (now.utc - self._last.utc).total_seconds()
        by_monotonic = now.monotonic_s - self._last.monotonic_s
        self._last = now
        if abs(by_wall - by_monotonic) > MAX_DRIFT_S:
            self._trusted_at_s = now.monotonic_s + MIN_TRUSTED_S
        return now.monotonic_s >= self._trusted_at_s
