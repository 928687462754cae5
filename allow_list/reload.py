"""Keeps the allow-list up to date with its file while the server runs.

A changed file that has stood still for a moment is read whole and checked by every rule of a start;
then the new list takes the old one's place at once. While the file is being written, has a fault or
is missing, the last good list stays in use.
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from allow_list.stamp import Stamp, is_same_file, stamp_of, still_s
from routing import AllowList, AllowListError

_CHECK_EVERY_S = 0.25
_OVERDUE_S = 5.0
_SWITCH_INTERVAL_S = 0.0001
_NOT_RELOADED = "the allow-list was not reloaded; the last good one is still used"

_Clock = Callable[[], float]
_Notify = Callable[[str], None]


class LiveAllowList:
    """The allow-list of a file that may change: `current` is its last good version.

    `read` reads the file and raises `AllowListError`, which for the first list is passed on. One
    thread checks the file; any thread may use `current` and `is_stale`, which it only replaces.
    """

    def __init__(
        self, path: Path, read: Callable[[], AllowList], *, clock: _Clock = time.monotonic
    ) -> None:
        self._path, self._read, self._clock = path, read, clock
        self._read_stamp = self._last_stamp = stamp_of(path)
        self._still_at_s = 0.0
        self._unread_since_s: float | None = None
        self._try_again = False
        self._fault = ""
        self._reload_requested = threading.Event()
        self.current = read()

    @property
    def is_stale(self) -> bool:
        """Whether the file differs from `current`: it has a fault, or is being written for long."""
        return bool(self._fault)

    def watch(self, notify: _Notify) -> None:
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

    def check(self, notify: _Notify, *, requested: bool) -> None:
        """Read the file if it has changed and stands still, or if requested.

        `notify` gets the outcome, unless it is the fault that the same file had before.
        """
        stamp, now_s = stamp_of(self._path), self._clock()
        if stamp != self._last_stamp:
            self._still_at_s = now_s + still_s(stamp, self._last_stamp)
            self._last_stamp = stamp
        is_new = requested or stamp != self._read_stamp
        if not is_new and not self._try_again:
            self._unread_since_s = None
        elif requested or now_s >= self._still_at_s:
            self._reload(stamp, notify, requested=requested)
        else:
            self._note_unread(now_s, notify)

    def _note_unread(self, now_s: float, notify: _Notify) -> None:
        """Have the list be stale once its file has changed, and was not read, for a while."""
        if self._unread_since_s is None:
            self._unread_since_s = now_s
        if not self._fault and now_s - self._unread_since_s >= _OVERDUE_S:
            self._fault, self._try_again = f"{self._path} is being written", True
            notify(f"{_NOT_RELOADED}: {self._fault}")

    def _reload(self, stamp: Stamp | None, notify: _Notify, *, requested: bool) -> None:
        """Replace the list if the file has no fault; note its first one, and if it may pass.

        What was written while it was read may be half of each version, and waits for its turn.
        """
        allow_list, fault, try_again = self._read_quickly()
        if is_same_file(stamp_of(self._path), stamp) and not requested:
            return
        before = "" if requested or stamp != self._read_stamp else self._fault
        self._fault, self._try_again = fault, try_again
        self._read_stamp, self._unread_since_s = stamp, None
        if allow_list is not None:
            self.current = allow_list
            refused = "" if len(allow_list) else " (every call is refused)"
            notify(f"the allow-list was reloaded; rows: {len(allow_list)}{refused}")
        elif fault != before:
            notify(f"{_NOT_RELOADED}: {fault}")

    def _read_quickly(self) -> tuple[AllowList | None, str, bool]:
        """Return the list of the file, or its first fault and whether that may pass.

        Reading a long list keeps the interpreter busy for seconds. One answer takes some ten
        switches between threads (the loop, a worker, the log's writer), and each of them would wait
        for Python's 5 ms to pass. So threads switch much sooner meanwhile.
        """
        usual_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        try:
            return self._read(), "", False
        except AllowListError as error:
            first, *more = error.faults
            others = f" (and {len(more)} more)" if more else ""
            return None, f"{first.at(self._path)}{others}", error.unreadable
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the watch goes on
            return None, f"{self._path}: {type(error).__name__} while reading it", True
        finally:
            sys.setswitchinterval(usual_s)
