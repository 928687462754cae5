"""Writes the lines of the server: one for each event on standard output, and counts for `/health`.

Numbers appear by their last four digits only. On a terminal a line is text to read, elsewhere a
JSON object; in systemd's journal its priority stands before it, as in sd-daemon(3). One thread
formats and writes the lines, several at a time: no answer waits for its line, and output that is
closed or blocked delays nothing. A line that cannot be written is dropped and counted.
"""

import atexit
import contextlib
import json
import os
import queue
import re
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import phone
from calls import CallState, Decision
from events import DialCompleted, Event, IncomingCall, UnknownEvent

ERROR, WARNING = "<3>", "<4>"  # what systemd's journal reads as the priority of a line
MAX_WAITING_LINES = 4_000

_GATHER_S = 0.01
_MAX_CLOSING_S = 0.5
_REPEAT_S = 10.0
_MAX_STATUS_LENGTH = 64
_MAX_NOTICE_LENGTH = 500

# What a notice of something that is failing says; any other one only informs.
_ALARM = re.compile("is failing|LOST|not be kept|not purged|not reloaded|file of saved events")

_Members = dict[str, Any]
# When it happened, and what gives its members: called by the writer thread, so that a request
# does not wait for that.
_Line = tuple[float, Callable[[], _Members]]


def write_stderr(text: str, *, priority: str = "") -> None:
    """Write a text to standard error; an output that takes none is no reason to end.

    Python's own `print` would keep what could not be written, and fail once more at the end.
    """
    prefix = priority if _is_journal(2) else ""
    lines = "".join(f"{prefix}{line}\n" for line in text.splitlines())
    with contextlib.suppress(OSError):
        os.write(2, _encode(lines, sys.stderr))


def _encode(text: str, stream: object) -> bytes:
    """Encode a text as standard output or error does; that is `None` if it was closed."""
    return text.encode(getattr(stream, "encoding", None) or "utf-8", "backslashreplace")


def _is_journal(fd: int) -> bool:
    """Return whether systemd has connected this very file to its journal, as systemd.exec(5) says.

    The variable alone may come from a parent whose output is not ours.
    """
    with contextlib.suppress(OSError):
        status = os.fstat(fd)
        return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return False


def _priority(members: _Members) -> str:
    """Return the prefix of a line in the journal: error, warning, or none, which is information."""
    if "error" in members or _ALARM.search(members.get("notice", "")):
        return ERROR
    return WARNING if "rejected" in members else ""


def _event_members(event: Event, call: CallState, decision: Decision, seconds: float) -> _Members:
    """Return what the line of an event says; `call` is the state of its call before it."""
    # TeleSign chooses the name of an unknown event, and a status: either may hold a number.
    name = phone.mask_digits(event.name) if isinstance(event, UnknownEvent) else event.name
    members: _Members = {"event": name, "reference_id": event.reference_id}
    incoming = event if isinstance(event, IncomingCall) else call.incoming
    if incoming is not None:
        members |= {"caller": _redact(incoming.caller), "dialled": _redact(incoming.dialled)}
    if isinstance(event, DialCompleted) and event.status is not None:
        members["status"] = phone.mask_digits(event.status)[:_MAX_STATUS_LENGTH]
    if external_id := _external_id(event, call, decision):
        members["external_id"] = external_id
    reason = {} if decision.reason is None else {"reason": decision.reason}
    return members | {"reply": decision.command.name, **reason, "ms": round(seconds * 1000, 2)}


def _external_id(event: Event, call: CallState, decision: Decision) -> object:
    """Return the id of the dial, of which an event that comes first may be the echo."""
    ours = getattr(decision.command, "external_id", None) or call.dial.get("external_id")
    return ours or event.external_id


def _redact(number: phone.PhoneNumber | phone.NoNumber) -> str:
    return number.value if isinstance(number, phone.NoNumber) else phone.redact(number)


def _as_json(members: _Members, now: float) -> str:
    time_utc = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time_utc.replace("+00:00", "Z"), **members})


def _as_text(members: _Members, now: float) -> str:
    """Return a line to read, with the operator's local time."""
    return f"{time.strftime('%H:%M:%S', time.localtime(now))} {_text(members)}"


def _text(members: _Members) -> str:
    match members:
        case {"event": event, "reference_id": call, "reply": reply, "ms": ms}:
            numbers = f"{members['caller']}->{members['dialled']}" if "caller" in members else ""
            status = json.dumps(members["status"]) if "status" in members else ""
            ids = call[-6:], status, members.get("external_id")
            parts = reply, members.get("reason"), f"{ms:.1f} ms", *ids
            return f"{event:<14} {numbers:<16} {' '.join(filter(None, parts))}"
        case {"rejected": word, "cause": cause, "more_before": more}:
            got = f"; got {members['shape']}" if "shape" in members else ""
            others = f"; {more} more since the last line" if more else ""
            return f"rejected: {word} ({cause}{got}{others})"
        case {"error": name, "where": where}:
            return f"error: {name} at {where}"
        case _:
            return f"notice: {members['notice']}"


class Lines:
    """Writes lines to a file descriptor (default: standard output).

    `readable` chooses text or JSON (default: text on a terminal). Any thread may use it.
    """

    def __init__(self, fd: int = 1, *, readable: bool | None = None) -> None:
        self._fd = fd
        readable = os.isatty(fd) if readable is None else readable
        self._format = _as_text if readable else _as_json
        self._priority = _priority if _is_journal(fd) else lambda _: ""
        # The lock guards the counts and `_last_shown`; the queue needs none.
        self._lock = threading.Lock()
        self._events, self._rejected = Counter[str](), Counter[str]()
        self._others = Counter(errors=0, dropped_lines=0)
        self._last_shown: dict[tuple[str, str], tuple[float, int]] = {}
        self._waiting: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        self._line_end = b""  # written first: ends a line of which perhaps only a part was written
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def counts(self) -> dict[str, object]:
        """Return the counts since the start; they hold no number and no name but our own."""
        with self._lock:
            return {"events": dict(self._events), "rejected": dict(self._rejected), **self._others}

    def event(self, event: Event, call: CallState, decision: Decision, seconds: float) -> None:
        """Print and count an event that was answered; `call` is its state before the event."""
        self._count(self._events, "unknown" if isinstance(event, UnknownEvent) else event.name)
        self._enqueue(partial(_event_members, event, call, decision, seconds))

    def rejection(self, word: str, cause: str, *, shape: str = "") -> None:
        """Count a rejected request and print it: at most one line for each cause in ten seconds.

        `shape` says what came, in the line only: there may be as many as senders can invent.
        """
        now = time.monotonic()
        with self._lock:
            self._rejected[word] += 1
            last, count = self._last_shown.get((word, cause), (-_REPEAT_S, 0))
            if now - last < _REPEAT_S:
                self._last_shown[word, cause] = last, count + 1
                return
            self._last_shown[word, cause] = now, 0
        more = {"shape": shape} if shape else {}
        self._enqueue(partial(dict, rejected=word, cause=cause, more_before=count, **more))

    def failure(self, error: BaseException) -> None:
        """Print and count an unexpected exception, without its text, which may hold a number."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        self._count(self._others, "errors")
        where = f"{Path(place.filename).name}:{place.lineno}"
        self._enqueue(partial(dict, error=type(error).__name__, where=where))

    def notice(self, text: str) -> None:
        """Print a sentence about the server itself."""
        self._enqueue(partial(dict, notice=text[:_MAX_NOTICE_LENGTH]))

    def close(self) -> None:
        """Write what waits, for at most half a second; a later one is lost."""
        self._waiting.put(None)
        self._thread.join(_MAX_CLOSING_S)

    def _enqueue(self, members: Callable[[], _Members]) -> None:
        # Threads that check at the same time may each add a line above the limit: as many lines as
        # there are threads, which is as good a limit.
        if self._waiting.qsize() < MAX_WAITING_LINES:
            self._waiting.put((time.time(), members))
        else:
            self._count(self._others, "dropped_lines")

    def _count(self, counts: Counter[str], name: str, times: int = 1) -> None:
        with self._lock:
            counts[name] += times

    def _run(self) -> None:
        """Write lines until `None` is in the queue, with one system call for all that gathered.

        This thread alone takes from the queue and writes, so lines keep their order, and nothing
        but the counts needs the lock. It may block in a write for ever: then the queue fills up and
        requests go on, each at the cost of a dropped line. It is a daemon, and `close` waits for it
        no longer than `_MAX_CLOSING_S`, so a blocked output does not keep the process alive either.
        """
        gathered: list[_Line | None] = []
        while None not in gathered:
            gathered = [self._waiting.get()]
            time.sleep(_GATHER_S)
            gathered += [self._waiting.get() for _ in range(self._waiting.qsize())]
            self._write("".join(self._format_line(*line) for line in gathered if line is not None))

    def _format_line(self, now: float, make_members: Callable[[], _Members]) -> str:
        try:
            members = make_members()
            return f"{self._priority(members)}{self._format(members, now)}\n"
        except Exception:  # noqa: BLE001 - it would end the thread, and every later line be lost
            self._count(self._others, "dropped_lines")
            return ""

    def _write(self, text: str) -> None:
        data = self._line_end + _encode(text, sys.stdout)
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # another process has made the output non-blocking
                time.sleep(_GATHER_S)
            except OSError:
                self._line_end = b"\n"
                self._count(self._others, "dropped_lines", text.count("\n"))
                return
        self._line_end = b""
