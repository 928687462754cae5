"""Tells the operator what happens: a line an event on standard output, and counts for `/health`.

Numbers appear by their last four digits only. On a terminal a line is for reading, elsewhere it is
a JSON object. One thread words and writes them, some at a time: no answer waits for its line, and
output that is closed or blocked holds nothing up. What cannot be written is dropped and counted.
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
from functools import lru_cache, partial
from json.encoder import encode_basestring_ascii
from pathlib import Path

import phone
from calls import CallState
from events import DialCompleted, Event, IncomingCall, UnknownEvent
from phone import NoNumber, PhoneNumber
from routing import Decision

MAX_WAITING = 4_000

_GATHER_S = 0.01
_MAX_CLOSING_S = 0.5
_REPEAT_S = 10.0
_MAX_STATUS_LENGTH = 64
_MAX_NOTICE_LENGTH = 500

_Line = dict[str, str | float]
_Told = tuple[float, Callable[[], _Line]]


class EventLog:
    """Writes lines to a file descriptor, standard output unless another is given.

    `readable` chooses the form; `None` means readable on a terminal. Any thread may use it.
    """

    def __init__(self, fd: int = 1, *, readable: bool | None = None) -> None:
        self._fd = fd
        readable = os.isatty(fd) if readable is None else readable
        self._worded = _for_people if readable else _for_machines
        self._lock = threading.Lock()
        self._events, self._rejected = Counter[str](), Counter[str]()
        self._errors = self._dropped = 0
        self._cut = b""  # what ends a line of which only a part could be written
        self._shown: dict[tuple[str, str], tuple[float, int]] = {}
        self._waiting: queue.SimpleQueue[_Told | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def counts(self) -> dict[str, object]:
        """Return what has been counted since the start; no names but our own, no numbers."""
        with self._lock:
            return {
                "events": dict(sorted(self._events.items())),
                "rejected": dict(sorted(self._rejected.items())),
                "errors": self._errors,
                "dropped_lines": self._dropped,
            }

    def event(self, event: Event, call: CallState, decision: Decision, seconds: float) -> None:
        """Tell of an event that was answered; `call` is what was known of it before."""
        with self._lock:
            self._events["unknown" if isinstance(event, UnknownEvent) else event.name] += 1
        self._tell(partial(_of_event, event, call, decision, seconds))

    def rejected(self, word: str, cause: str) -> None:
        """Tell of a request that was turned away: one line for each cause in ten seconds."""
        now = time.monotonic()
        with self._lock:
            self._rejected[word] += 1
            last, count = self._shown.get((word, cause), (-_REPEAT_S, 0))
            if now - last < _REPEAT_S:
                self._shown[word, cause] = last, count + 1
                return
            self._shown[word, cause] = now, 0
        self._tell(lambda: {"rejected": word, "cause": cause, "more_before": count})

    def failed(self, error: BaseException) -> None:
        """Tell of an exception that nobody foresaw: its type and place, not its text."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        name, where = type(error).__name__, f"{Path(place.filename).name}:{place.lineno}"
        with self._lock:
            self._errors += 1
        self._tell(lambda: {"error": name, "where": where})

    def notice(self, text: str) -> None:
        """Tell something of the server itself."""
        self._tell(lambda: {"notice": text[:_MAX_NOTICE_LENGTH]})

    def close(self) -> None:
        """Write what waits, for half a second at most; what is told later is not written."""
        self._waiting.put(None)
        self._thread.join(_MAX_CLOSING_S)

    def _tell(self, line: Callable[[], _Line]) -> None:
        if self._waiting.qsize() < MAX_WAITING:
            self._waiting.put((time.time(), line))
        else:
            self._drop(1)

    def _drop(self, lines: int) -> None:
        with self._lock:
            self._dropped += lines

    def _run(self) -> None:
        """Write what is told until told to end, with one system call for all that has gathered."""
        ended = False
        while not ended:
            told = [self._waiting.get()]
            time.sleep(_GATHER_S)
            with contextlib.suppress(queue.Empty):
                while True:
                    told.append(self._waiting.get_nowait())
            ended = None in told
            self._write("".join(self._line(*each) for each in told if each is not None))

    def _line(self, now: float, line: Callable[[], _Line]) -> str:
        try:
            return self._worded(line(), now) + "\n"
        except Exception:  # noqa: BLE001 - without this thread nobody is told anything
            self._drop(1)
            return ""

    def _write(self, text: str) -> None:
        data = self._cut + text.encode("utf-8", "backslashreplace")
        while data:
            try:
                written = os.write(self._fd, data)
            except BlockingIOError:  # nobody has told it to wait by itself
                time.sleep(_GATHER_S)
                continue
            except OSError:
                self._drop(data.removeprefix(self._cut).count(b"\n"))
                return
            self._cut = b"" if data[written - 1 : written] == b"\n" else b"\n"
            data = data[written:]


def _of_event(event: Event, call: CallState, decision: Decision, seconds: float) -> _Line:
    name = phone.mask_digits(event.name) if isinstance(event, UnknownEvent) else event.name
    incoming = event if isinstance(event, IncomingCall) else call.incoming
    line: _Line = {"event": name, "reference_id": event.reference_id}
    if incoming is not None:
        line["caller"] = _redacted(incoming.caller)
        line["dialled"] = _redacted(incoming.dialled)
    if isinstance(event, DialCompleted) and event.status is not None:
        line["status"] = phone.mask_digits(event.status)[:_MAX_STATUS_LENGTH]
    line["reply"] = decision.command.name
    if decision.reason is not None:
        line["reason"] = decision.reason
    line["ms"] = round(seconds * 1000, 2)
    return line


def _for_machines(line: _Line, now: float) -> str:
    """Return a JSON object; `json.dumps` takes twice as long for the same text."""
    seconds, fraction = divmod(int(now * 1000), 1000)
    members = [
        f', "{name}": {encode_basestring_ascii(value) if isinstance(value, str) else repr(value)}'
        for name, value in line.items()
    ]
    return f'{{"time": "{_utc(seconds)}.{fraction:03}Z"{"".join(members)}}}'


@lru_cache(maxsize=1)
def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _for_people(line: _Line, now: float) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    if "event" in line:
        people = f"{line['caller']} -> {line['dialled']}" if "caller" in line else ""
        status = json.dumps(line["status"]) if "status" in line else ""
        words = f"{line['reply']} {line.get('reason', '')}".rstrip()
        call = str(line["reference_id"])[-8:]
        told = f"{clock} {line['event']:<18} {people:<18} {words:<14} {line['ms']:>6} ms {call}"
        return f"{told} {status}".rstrip()
    kind, *others = line.items()
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in others if value != 0)
    return f"{clock}  {kind[0]}: {kind[1]}" + (f" ({facts})" if facts else "")


def _redacted(number: PhoneNumber | NoNumber) -> str:
    return number.value if isinstance(number, NoNumber) else phone.redact(number)
