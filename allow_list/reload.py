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

from allow_list.rows import COLUMNS
from allow_list.stamp import Stamp, is_same_file, stamp_of, still_s
from routing import AllowList, AllowListError

_CHECK_EVERY_S = 0.1
_OVERDUE_S = 5.0
_SWITCH_INTERVAL_S = 0.0001
_NOT_RELOADED = "the allow-list was not reloaded; the last good one is still used"

_Clock = Callable[[], float]
_Notify = Callable[[str], None]


# Its words, its place, which alone anybody may read, and whether another try may succeed.
_Fault = tuple[str, str, bool]


class LiveAllowList:
    """The allow-list of a file that may change: `current` is its last good version.

    `read` reads the file and raises `AllowListError`, which for the first list is passed on. One
    thread checks the file; any thread may use `current` and `health`.
    """

    def __init__(
        self, path: Path, read: Callable[[], AllowList], *, clock: _Clock = time.monotonic
    ) -> None:
        self._path, self._read, self._clock = path, read, clock
        self._read_stamp = self._last_stamp = stamp_of(path)
        self._still_at_s = self._unread_since_s = 0.0
        self._fault, self._place, self._try_again = "", "", False
        self._is_requested = False
        self.current, self._served = read(), self._read_stamp

    def health(self) -> dict[str, object]:
        """Return which version of the file is served, and which one was read last with what fault.

        A version is its time of modification in nanoseconds; of a fault only the place is returned.
        The list is stale if its file differs from `current`: it has a fault, or is written for
        long.
        """
        return {
            "allow_list": "stale" if self._fault else "ok",
            "list_modified_ns": self._served and self._served.modified_ns,
            "list_read_ns": self._read_stamp and self._read_stamp.modified_ns,
            "list_fault": self._place or None,
        }

    def watch(self, notify: _Notify) -> None:
        """Check the file ten times a second from now on; `notify` gets a line for each change."""

        def keep_checking() -> None:
            while True:
                time.sleep(_CHECK_EVERY_S)
                if requested := self._is_requested:
                    self._is_requested = False
                self.check(notify, requested=requested)

        threading.Thread(target=keep_checking, name="allow-list", daemon=True).start()

    def request_reload(self) -> None:
        """Have the file read soon, even if it does not seem to have changed.

        For any thread and for signal handlers, of which one may interrupt another: an assignment
        takes no lock, so none waits for a lock that the one below it holds.
        """
        self._is_requested = True

    def check(self, notify: _Notify, *, requested: bool) -> None:
        """Read the file if it has changed and stands still, or if requested.

        The list is stale once its file has changed, and was not read, for a while. `notify` gets
        the outcome, unless it is the fault that the same file had before.
        """
        stamp, now_s = stamp_of(self._path), self._clock()
        if stamp != self._last_stamp:
            if self._last_stamp == self._read_stamp:  # which was current until now
                self._unread_since_s = now_s
            self._still_at_s = now_s + still_s(stamp, self._last_stamp)
            self._last_stamp = stamp
        is_unread = self._try_again or stamp != self._read_stamp
        if requested or (is_unread and now_s >= self._still_at_s):
            self._reload(stamp, notify, requested=requested)
        elif is_unread and not self._fault and now_s - self._unread_since_s >= _OVERDUE_S:
            self._fault, self._try_again = f"{self._path} is being written", True
            self._place = "being written"
            notify(f"{_NOT_RELOADED}: {self._fault}")

    def _reload(self, stamp: Stamp | None, notify: _Notify, *, requested: bool) -> None:
        """Replace the list if the file has no fault; note its first one, and if it may pass.

        What was written while it was read may be half of each version, and waits for its turn.
        """
        allow_list, fault = self._read_quickly()
        if is_same_file(stamp_of(self._path), stamp) and not requested:
            return
        before = "" if requested or stamp != self._read_stamp else self._fault
        # In this order: `/health`, asked in between, says of no list that it is served too early.
        self.current = allow_list
        self._fault, self._place, self._try_again = fault
        self._read_stamp = stamp
        if not self._fault:
            self._served = stamp
            refused = "" if len(allow_list) else " (every call is refused)"
            notify(f"the allow-list was reloaded; rows: {len(allow_list)}{refused}")
        elif self._fault != before:
            notify(f"{_NOT_RELOADED}: {self._fault}")

    def _read_quickly(self) -> tuple[AllowList, _Fault]:
        """Return the list of the file, or the last good one and the first fault.

        Reading a long list keeps the interpreter busy for seconds. One answer takes some ten
        switches between threads (the loop, a worker, the log's writer), and each of them would wait
        for Python's 5 ms to pass. So threads switch much sooner meanwhile.
        """
        usual_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        try:
            return self._read(), ("", "", False)
        except AllowListError as error:
            first, *more = error.faults
            others = f" (and {len(more)} more)" if more else ""
            column = first.message.partition(":")[0]
            place = f"line {first.line}" + (f", {column}" if column in COLUMNS else "")
            return self.current, (f"{first.at(self._path)}{others}", place, error.unreadable)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the watch goes on
            text = f"{self._path}: {type(error).__name__} while reading it"
            return self.current, (text, "line 0", True)
        finally:
            sys.setswitchinterval(usual_s)
