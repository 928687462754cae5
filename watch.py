"""Keeps the allow-list as its file says, while the server runs.

A changed file that stands still is read whole and checked by every rule of a start, then swapped in
at once. As long as it has a fault, or is not there, the last good list stays.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from routing import AllowList, AllowListError

_LOOK_EVERY_S = 0.5
_MOST_MOVING = 3  # looks: a file that is written again and again is read all the same

Stamp = tuple[int, int, int] | None


class LiveAllowList:
    """The allow-list of a file: `current` is the last good one; `is_stale` if the file differs.

    `read` reads the file and raises `AllowListError`, also at once if the first list is not good.
    """

    def __init__(self, path: Path, read: Callable[[], AllowList]) -> None:
        self._path, self._read = path, read
        self._seen = self._last = stamp_of(path)
        self._moving = 0
        self._wake = threading.Event()
        self.current = read()
        self.is_stale = False

    def watch(self, tell: Callable[[str], None]) -> None:
        """Look at the file twice a second from now on; `tell` hears of each change once."""

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
        if not asked and (stamp == self._seen or 0 < self._moving < _MOST_MOVING):
            return
        self._moving = 0
        # The stamp is from before the reading: what changes meanwhile is seen at the next look.
        self._seen = stamp
        try:
            self.current = self._read()
        except AllowListError as error:
            self.is_stale = True
            first, *more = error.faults
            tell(
                f"the allow-list is not taken, the last good one stays: {first.at(self._path)}"
                + (f" (and {len(more)} more)" if more else "")
            )
        else:
            self.is_stale = False
            tell(f"the allow-list is read again: {len(self.current)} route(s)")


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file is written or replaced, `None` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
