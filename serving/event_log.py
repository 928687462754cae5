"""Writes the event log: one line for each event on standard output, and counts for `/health`.

Numbers appear by their last four digits only. On a terminal a line is text to read, elsewhere a
JSON object. One thread formats and writes the lines, several at a time: no answer waits for its
line, and output that is closed or blocked delays nothing. A line that cannot be written is dropped
and counted.
"""

import atexit
import contextlib
import json
import os
import queue
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import NamedTuple, Protocol

import phone
from calls import CallState
from events import DialCompleted, Event, IncomingCall, UnknownEvent
from phone import NoNumber, PhoneNumber
from routing import Decision

MAX_WAITING_LINES = 4_000

_GATHER_S = 0.01
_MAX_CLOSING_S = 0.5
_REPEAT_S = 10.0
_MAX_STATUS_LENGTH = 64
_MAX_NOTICE_LENGTH = 500

_Members = dict[str, str | float]


class _Line(Protocol):
    """One kind of line; formatted by the writer thread, so a member must not change later."""

    def members(self) -> _Members:
        """Return the members of the JSON object, without the time."""
        ...

    def text(self) -> str:
        """Return the text for a terminal, without the time."""
        ...


class _EventLine(NamedTuple):
    """An event that was answered; `call` is the state of its call before it."""

    event: Event
    call: CallState
    decision: Decision
    seconds: float

    def members(self) -> _Members:
        members: _Members = {"event": self._name(), "reference_id": self.event.reference_id}
        members |= zip(("caller", "dialled"), self._numbers(), strict=False)
        if (status := self._status()) is not None:
            members["status"] = status
        members["reply"] = self.decision.command.name
        if self.decision.reason is not None:
            members["reason"] = self.decision.reason
        members["ms"] = self._ms()
        return members

    def text(self) -> str:
        numbers = " -> ".join(self._numbers())
        reply = f"{self.decision.command.name} {self.decision.reason or ''}".rstrip()
        status = "" if self._status() is None else json.dumps(self._status())
        call = self.event.reference_id[-8:]
        columns = f"{self._name():<18} {numbers:<18} {reply:<14} {self._ms():>6} ms {call}"
        return f"{columns} {status}".rstrip()

    def _name(self) -> str:
        """Return the event's name; an unknown one is TeleSign's choice and may hold a number."""
        name = self.event.name
        return phone.mask_digits(name) if isinstance(self.event, UnknownEvent) else name

    def _numbers(self) -> tuple[str, ...]:
        """Return the redacted caller and dialled number of the call; nothing if not known."""
        incoming = self.event if isinstance(self.event, IncomingCall) else self.call.incoming
        return () if incoming is None else (_redact(incoming.caller), _redact(incoming.dialled))

    def _status(self) -> str | None:
        status = self.event.status if isinstance(self.event, DialCompleted) else None
        return None if status is None else phone.mask_digits(status)[:_MAX_STATUS_LENGTH]

    def _ms(self) -> float:
        return round(self.seconds * 1000, 2)


class _RejectionLine(NamedTuple):
    """A request that was rejected, and how many like it had no line since the last one."""

    word: str
    cause: str
    more_before: int

    def members(self) -> _Members:
        return {"rejected": self.word, "cause": self.cause, "more_before": self.more_before}

    def text(self) -> str:
        more = f"; {self.more_before} more since the last line" if self.more_before else ""
        return f"rejected: {self.word} ({self.cause}{more})"


class _ErrorLine(NamedTuple):
    """An unexpected exception: its type and where it was raised."""

    name: str
    where: str

    def members(self) -> _Members:
        return {"error": self.name, "where": self.where}

    def text(self) -> str:
        return f"error: {self.name} at {self.where}"


class _NoticeLine(NamedTuple):
    """Something about the server itself."""

    notice: str

    def members(self) -> _Members:
        return {"notice": self.notice[:_MAX_NOTICE_LENGTH]}

    def text(self) -> str:
        return f"notice: {self.notice[:_MAX_NOTICE_LENGTH]}"


class EventLog:
    """Writes lines to a file descriptor (default: standard output).

    `readable` chooses text or JSON (default: text on a terminal). Any thread may use it.
    """

    def __init__(self, fd: int = 1, *, readable: bool | None = None) -> None:
        self._fd = fd
        readable = os.isatty(fd) if readable is None else readable
        self._format: Callable[[_Line, float], str] = _as_text if readable else _as_json
        # The lock guards the counts and `_last_shown`; the queue needs none.
        self._lock = threading.Lock()
        self._events, self._rejected = Counter[str](), Counter[str]()
        self._errors = self._dropped = 0
        self._last_shown: dict[tuple[str, str], tuple[float, int]] = {}
        self._waiting: queue.SimpleQueue[tuple[float, _Line] | None] = queue.SimpleQueue()
        self._line_end = b""  # written first: ends a line of which only a part was written
        self._thread = threading.Thread(target=self._run, name="event log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def counts(self) -> dict[str, object]:
        """Return the counts since the start; they hold no number and no name but our own."""
        with self._lock:
            return {
                "events": dict(sorted(self._events.items())),
                "rejected": dict(sorted(self._rejected.items())),
                "errors": self._errors,
                "dropped_lines": self._dropped,
            }

    def event(self, event: Event, call: CallState, decision: Decision, seconds: float) -> None:
        """Log and count an event that was answered; `call` is its state before the event."""
        with self._lock:
            self._events["unknown" if isinstance(event, UnknownEvent) else event.name] += 1
        self._enqueue(_EventLine(event, call, decision, seconds))

    def rejected(self, word: str, cause: str) -> None:
        """Count a rejected request and log it: at most one line for each cause in ten seconds."""
        now = time.monotonic()
        with self._lock:
            self._rejected[word] += 1
            last, count = self._last_shown.get((word, cause), (-_REPEAT_S, 0))
            if now - last < _REPEAT_S:
                self._last_shown[word, cause] = last, count + 1
                return
            self._last_shown[word, cause] = now, 0
        self._enqueue(_RejectionLine(word, cause, count))

    def failed(self, error: BaseException) -> None:
        """Log and count an unexpected exception: its type and place; its text may hold a number."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        with self._lock:
            self._errors += 1
        where = f"{Path(place.filename).name}:{place.lineno}"
        self._enqueue(_ErrorLine(type(error).__name__, where))

    def notice(self, text: str) -> None:
        """Log a sentence about the server itself."""
        self._enqueue(_NoticeLine(text))

    def close(self) -> None:
        """Write what waits, for at most half a second; a line that is logged later is lost."""
        self._waiting.put(None)
        self._thread.join(_MAX_CLOSING_S)

    def _enqueue(self, line: _Line) -> None:
        # Threads that check at the same time may each add a line above the limit: as many lines as
        # there are threads, which is as good a limit.
        if self._waiting.qsize() < MAX_WAITING_LINES:
            self._waiting.put((time.time(), line))
        else:
            self._drop(1)

    def _drop(self, lines: int) -> None:
        with self._lock:
            self._dropped += lines

    def _run(self) -> None:
        """Write lines until `None` is in the queue, with one system call for all that gathered.

        This thread alone takes from the queue and writes, so lines keep their order, and nothing
        but the counts needs the lock. It may block in a write for ever: then the queue fills up and
        requests go on, each at the cost of a dropped line. It is a daemon, and `close` waits for it
        no longer than `_MAX_CLOSING_S`, so a blocked output does not keep the process alive either.
        """
        closing = False
        while not closing:
            gathered = [self._waiting.get()]
            time.sleep(_GATHER_S)
            with contextlib.suppress(queue.Empty):
                while True:
                    gathered.append(self._waiting.get_nowait())
            closing = None in gathered
            self._write("".join(self._formatted(*each) for each in gathered if each is not None))

    def _formatted(self, now: float, line: _Line) -> str:
        try:
            return self._format(line, now) + "\n"
        except Exception:  # noqa: BLE001 - it would end the thread, and every later line be lost
            self._drop(1)
            return ""

    def _write(self, text: str) -> None:
        data = self._line_end + text.encode("utf-8", "backslashreplace")
        while data:
            try:
                written = os.write(self._fd, data)
            except BlockingIOError:  # another process has made the output non-blocking
                time.sleep(_GATHER_S)
                continue
            except OSError:
                self._drop(data.removeprefix(self._line_end).count(b"\n"))
                return
            self._line_end = b"" if data[written - 1 : written] == b"\n" else b"\n"
            data = data[written:]


def _as_json(line: _Line, now: float) -> str:
    """Return a JSON object; `json.dumps` takes twice as long for the same text."""
    seconds, fraction = divmod(int(now * 1000), 1000)
    members = [
        f', "{name}": {encode_basestring_ascii(value) if isinstance(value, str) else repr(value)}'
        for name, value in line.members().items()
    ]
    return f'{{"time": "{_utc(seconds)}.{fraction:03}Z"{"".join(members)}}}'


@lru_cache(maxsize=1)
def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _as_text(line: _Line, now: float) -> str:
    """Return a line with the operator's local time."""
    return f"{time.strftime('%H:%M:%S', time.localtime(now))} {line.text()}"


def _redact(number: PhoneNumber | NoNumber) -> str:
    return number.value if isinstance(number, NoNumber) else phone.redact(number)
