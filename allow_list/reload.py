"""Keeps the allow-list up to date with its file while the server runs.

A changed file that is no longer being written is read whole and checked by every rule of a start;
then the new list takes the old one's place at once. While the file has a fault or is missing, the
last good list stays in use.
"""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from routing import AllowList, AllowListError

_CHECK_EVERY_S = 0.25
_MAX_CHANGES_IN_A_ROW = 3  # a file that is written again and again is read all the same
_SWITCH_INTERVAL_S = 0.0001

Stamp = tuple[int, int, int] | None


class LiveAllowList:
    """The allow-list of a file that may change: `current` is its last good version.

    `read` reads the file and raises `AllowListError`, which for the first list is passed on. One
    thread checks the file; any thread may use `current` and `is_stale`, which it only replaces.
    """

    def __init__(self, path: Path, read: Callable[[], AllowList]) -> None:
        self._path, self._read = path, read
        self._read_stamp = self._last_stamp = stamp_of(path)
        self._changes_in_a_row = 0
        self._try_again = False
        self._fault = ""
        self._reload_requested = threading.Event()
        self.current = read()

    @property
    def is_stale(self) -> bool:
        """Whether the file differs from `current`, because it could not be used."""
        return bool(self._fault)

    def watch(self, notify: Callable[[str], None]) -> None:
        """Check the file four times a second from now on; `notify` gets a line for each change."""

        def keep_checking() -> None:
            while True:
                requested = self._reload_requested.wait(_CHECK_EVERY_S)
                self._reload_requested.clear()
                self.check(notify, requested=requested)

        threading.Thread(target=keep_checking, name="allow-list", daemon=True).start()

    def request_reload(self) -> None:
        """Have the file read soon, even if it does not seem to have changed; for any thread."""
        self._reload_requested.set()

    def check(self, notify: Callable[[str], None], *, requested: bool) -> None:
        """Read the file if it has changed and is no longer being written, or if requested.

        `notify` gets the outcome, unless it is the fault that the same file had before.
        """
        stamp = stamp_of(self._path)
        is_changing = stamp != self._last_stamp
        self._changes_in_a_row = self._changes_in_a_row + 1 if is_changing else 0
        self._last_stamp = stamp
        is_being_written = 0 < self._changes_in_a_row < _MAX_CHANGES_IN_A_ROW
        is_new = requested or stamp != self._read_stamp
        if not requested and (is_being_written or not (is_new or self._try_again)):
            return
        before = "" if is_new else self._fault
        # The stamp was taken before reading: what changes meanwhile is found by the next check.
        self._changes_in_a_row, self._read_stamp = 0, stamp
        self._reload()
        if not self._fault:
            notify(f"the allow-list was reloaded; rows: {len(self.current)}")
        elif self._fault != before:
            kept = "the allow-list was not reloaded; the last good one is still used"
            notify(f"{kept}: {self._fault}")

    def _reload(self) -> None:
        """Replace the list if the file has no fault; note its first one, and if it may pass.

        Reading a long list keeps the interpreter busy for seconds. One answer takes some ten
        switches between threads (the loop, a worker, the log's writer), and each of them would wait
        for Python's 5 ms to pass. So threads switch much sooner meanwhile.
        """
        usual_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        try:
            self.current = self._read()
            self._fault, self._try_again = "", False
        except AllowListError as error:
            first, *more = error.faults
            others = f" (and {len(more)} more)" if more else ""
            self._fault, self._try_again = f"{first.at(self._path)}{others}", error.unreadable
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the watch goes on
            self._fault = f"{self._path}: {type(error).__name__} while reading it"
            self._try_again = True
        finally:
            sys.setswitchinterval(usual_s)


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file is written or replaced; `None` if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
