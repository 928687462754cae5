"""Keeps the allow-list as its file says, while the server runs.

A changed file that stands still is read whole and checked by every rule of a start, then swapped in
at once. As long as it has a fault, or is not there, the last good list stays. While a list is read,
the threads that answer requests get their turn fifty times sooner than Python gives it to them.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from routing import AllowList, AllowListError

_LOOK_EVERY_S = 0.25
_MAX_MOVING = 3  # looks: a file that is written again and again is read all the same

_TURN_S = 0.0001

Stamp = tuple[int, int, int] | None


class LiveAllowList:
    """The allow-list of a file: `current` is the last good one; `is_stale` if the file differs.

    `read` reads the file at the pace that it is given, and raises `AllowListError`, also at once if
    the first list is not good.
    """

    def __init__(self, path: Path, read: Callable[[], AllowList]) -> None:
        self._path, self._read = path, read
        self._seen = self._last = stamp_of(path)
        self._moving = 0
        self._again = False
        self._fault = ""
        self._wake = threading.Event()
        self.current = read()
        self.is_stale = False

    def watch(self, tell: Callable[[str], None]) -> None:
        """Look at the file four times a second from now on; `tell` hears of each change once."""

        def look() -> None:
            while True:
                asked = self._wake.wait(_LOOK_EVERY_S)
                self._wake.clear()
                self.look(tell, asked=asked)

        threading.Thread(target=look, name="allow-list", daemon=True).start()

    def look_now(self) -> None:
        """Have the file read again soon, whether or not it seems to have changed."""
        self._wake.set()

    def look(self, tell: Callable[[str], None], *, asked: bool) -> None:
        """Read the file again if it has changed and stands still, or when asked to."""
        stamp = stamp_of(self._path)
        self._moving = self._moving + 1 if stamp != self._last else 0
        self._last = stamp
        is_news = asked or (stamp != self._seen and not 0 < self._moving < _MAX_MOVING)
        if is_news or (self._again and not self._moving):
            self._moving = 0
            # The stamp is from before the reading: what changes meanwhile is seen at the next look.
            self._seen = stamp
            known = "" if is_news else self._fault
            self._take()
            if self._fault and self._fault != known:
                tell(f"the allow-list is not taken, the last good one stays: {self._fault}")
            elif not self._fault:
                tell(f"the allow-list is read again: {len(self.current)} route(s)")

    def _take(self) -> None:
        """Read the file and swap the list; what has no cause in its content is tried again."""
        self._fault, self._again = "", False
        try:
            with _short_turns():
                self.current = self._read()
        except AllowListError as error:
            first, *more = error.faults
            self._fault = first.at(self._path) + (f" (and {len(more)} more)" if more else "")
            self._again = error.unread
        except Exception as error:  # noqa: BLE001 - whatever it was, the watching goes on
            self._fault, self._again = f"{type(error).__name__} while it was read", True
        self.is_stale = bool(self._fault)


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    """Have Python's threads take turns often.

    One answer takes some ten turns (the loop, a worker, the log's writer), and each of them waits
    for the reader to have had its own: 5 ms unless it is said otherwise.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file is written or replaced, `None` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
