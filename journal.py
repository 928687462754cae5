"""Tells the operator what happens: a line an event on standard output, and counts for `/health`.

Numbers appear by their last four digits only. On a terminal a line is for reading, elsewhere it is
a JSON object. A line that cannot be written at once is dropped and counted: output that is closed
or blocked never holds up an answer.
"""

import json
import os
import select
import stat
import threading
import time
import traceback
from collections import Counter
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from pathlib import Path

import phone
from calls import Call
from events import DialCompleted, Event, IncomingCall, UnknownEvent
from phone import NoNumber, PhoneNumber
from routing import Decision

_REPEAT_S = 10.0
_PAGE = 4096  # so much a pipe takes without waiting, if it takes anything
_LONGEST_STATUS = 64
_LONGEST_NOTICE = 500

_Line = dict[str, str | float]


class Journal:
    """Writes lines to a file descriptor, standard output unless another is given.

    `readable` chooses the form; `None` means readable on a terminal. Any thread may use it.
    """

    def __init__(self, fd: int = 1, *, readable: bool | None = None) -> None:
        self._fd = fd
        self._readable = _is_terminal(fd) if readable is None else readable
        self._never_waits = _is_file(fd)
        self._lock = threading.Lock()
        self._counts = {"events": Counter[str](), "rejected": Counter[str]()}
        self._errors = 0
        self._dropped_lines = 0
        self._shown: dict[tuple[str, str], tuple[float, int]] = {}

    def counts(self) -> dict[str, object]:
        """Return what has been counted since the start; no names but our own, no numbers."""
        with self._lock:
            counts = {name: dict(sorted(each.items())) for name, each in self._counts.items()}
            return {**counts, "errors": self._errors, "dropped_lines": self._dropped_lines}

    def event(self, event: Event, call: Call, decision: Decision, seconds: float) -> None:
        """Tell of an event that was answered; `call` is what was known of it before."""
        is_known = not isinstance(event, UnknownEvent)
        name = event.name if is_known else phone.outline(event.name)
        incoming = event if isinstance(event, IncomingCall) else call.incoming
        line: _Line = {"event": name, "reference_id": event.reference_id}
        if incoming is not None:
            line["caller"] = _redacted(incoming.caller)
            line["dialled"] = _redacted(incoming.dialled)
        if isinstance(event, DialCompleted) and event.status is not None:
            line["status"] = phone.outline(event.status)[:_LONGEST_STATUS]
        line["reply"] = decision.command.name
        if decision.reason is not None:
            line["reason"] = decision.reason
        line["ms"] = round(seconds * 1000, 2)
        with self._lock:
            self._counts["events"][name if is_known else "unknown"] += 1
            self._write(line)

    def rejected(self, word: str, cause: str) -> None:
        """Tell of a request that was turned away: one line for each cause in ten seconds."""
        now = time.monotonic()
        with self._lock:
            self._counts["rejected"][word] += 1
            last, count = self._shown.get((word, cause), (-_REPEAT_S, 0))
            if now - last < _REPEAT_S:
                self._shown[word, cause] = last, count + 1
            else:
                self._shown[word, cause] = now, 0
                self._write({"rejected": word, "cause": cause, "more_before": count})

    def failed(self, error: BaseException) -> None:
        """Tell of an exception that nobody foresaw: its type and place, not its text."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        with self._lock:
            self._errors += 1
            self._write({"error": type(error).__name__, "where": where})

    def notice(self, text: str) -> None:
        """Tell something of the server itself."""
        with self._lock:
            self._write({"notice": text[:_LONGEST_NOTICE]})

    def _write(self, line: _Line) -> None:
        now = time.time()
        text = _for_people(line, now) if self._readable else _for_machines(line, now)
        data = text.encode("utf-8", "backslashreplace") + b"\n"
        try:
            if len(data) > _PAGE or not (self._never_waits or _takes_a_page(self._fd)):
                raise BlockingIOError
            written = os.write(self._fd, data)
        except OSError:
            written = 0
        self._dropped_lines += written < len(data)


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


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _is_file(fd: int) -> bool:
    """Tell whether writing never waits for a reader."""
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False


def _takes_a_page(fd: int) -> bool:
    """Tell whether a page can be written without waiting; where nobody can tell, it is tried."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
