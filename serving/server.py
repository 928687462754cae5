"""Serves a WSGI app on waitress until a signal stops it; knows nothing of the app.

waitress's own loop reads requests and sends answers, and its own threads call the app. This file
adds what waitress lacks: a time limit for a whole request rather than for each of its bytes, room
for new clients at the limit of connections, a report of what waitress rejects by itself, and a stop
that first answers what was sent. All times are monotonic: a wall clock that jumps neither closes a
connection nor keeps one.
"""

import contextlib
import errno
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.utilities import RequestEntityTooLarge

MAX_CONNECTIONS = 2000 if hasattr(select, "poll") else 480  # Windows' select takes no more
LIMITS: dict[str, Any] = {
    "recv_bytes": 1024,  # so that one read holds few requests, however small
    "channel_timeout": 10**10,  # on the wall clock; `_Connections.sweep` closes what is overdue
    "asyncore_use_poll": True,
    # Just above the app's own limit of 64 KB, which a proxy in front may do too: so much is read
    # of a body, and nothing of one whose declared length is beyond.
    "max_request_body_size": 66 * 1024 + 1,
    "max_request_header_size": 16_384,
    "send_bytes": 18_000,  # head and body go out together: half as many system calls
    "ident": None,
}
MAX_STOP_S = 7.0

_MAX_WAITING_REQUESTS = 10  # of one connection: no webhook client pipelines
_MAX_FRAMING_BYTES = 1024  # of one body: some 170 chunks
MAX_WAIT_S = 10.0
_MIN_WAIT_S = 1.0  # at the limit of connections, and at a stop for a request half sent
_SWEEP_EVERY_S = 0.2
_SETTLE_S = 0.1
_OTHER_FILES = 32  # that the app and its log may have open besides the connections
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_UNREADABLE = "unreadable, or its headers are too large"
_CUT_OFF = "cut off before it was answered"
_NO_ROOM = "closed to make room, because the limit of connections is reached"
_REMEDIES = {
    errno.EADDRINUSE: "stop the program that uses it, or set another port",
    errno.EACCES: "set a port above 1023, or let a proxy listen on this one",
}
_OTHER_REMEDY = "set host to a name or an address of this machine"

_Notify = Callable[[str], None]


class ServeError(Exception):
    """The server cannot listen; the message says why and what to do."""


def serve(
    app: Any, *, on_listening: Callable[[int], None], on_rejected: _Notify, **settings: Any
) -> None:
    """Serve until SIGTERM or Ctrl-C, answer what was sent before it, and return within 10 s.

    A second signal ends the process at once. `on_listening` gets the port once connections are
    accepted; port 0 takes a free one. `on_rejected` gets the cause, from any thread, of each
    request that never reaches the app or gets no answer. `settings` are waitress's: `host`, `port`,
    `threads`, and others in place of some of `LIMITS`. Raises `ServeError` if the server cannot
    listen on the address.
    """
    _report_errors(on_rejected)
    connections = _Connections(app, **settings)
    for number in _SIGNALS:
        signal.signal(number, _stop)
    on_listening(int(connections.listeners[0].effective_port))
    while signal.getsignal(signal.SIGTERM) is _stop:
        sweep_at_s = time.monotonic() + _SWEEP_EVERY_S
        while (left_s := sweep_at_s - time.monotonic()) > 0:
            connections.run_once(left_s + 0.001)  # for whole milliseconds, of which 0 is no wait
        connections.sweep()
    connections.drain()
    connections.close()


def _stop(*_: object) -> None:
    """Have `serve` stop, which sees that it no longer handles signals; a second one ends us."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


class _Connection(HTTPChannel):
    """A connection that knows since when the server has been waiting for its client.

    A worker thread sets `since_s` when it has made an answer, while the loop's thread may read it.
    That needs no lock: an assignment is one step, and until then `requests` is not empty, so that
    `is_late` does not look. Only between waitress's `service` and the line after it could the loop
    see the old time, which matters when the app took longer than `MAX_WAIT_S` for its answer.
    """

    def __init__(self, *others: Any, **named: Any) -> None:
        self.since_s, self.is_begun = time.monotonic(), False
        super().__init__(*others, **named)

    def received(self, data: bytes) -> bool:
        super().received(data)
        request: Any = self.request
        is_in_body = request is not None and request.body_rcv is not None
        # What was read of the body and is not its content: the frames of its chunks.
        framing = request.body_bytes_received - len(request.body_rcv) if is_in_body else 0
        # At once: to answer or read on would take the time that others wait.
        if len(self.requests) > _MAX_WAITING_REQUESTS or framing > _MAX_FRAMING_BYTES:
            self.drop(_CUT_OFF)
        return True

    def service(self) -> None:
        request = self.requests[0]
        if isinstance(request.error, RequestEntityTooLarge):  # the app says so in its own words
            request.error, request.headers = None, {**request.headers, "CONNECTION": "close"}
        elif request.error:  # waitress answers in the app's place, and does not log it
            self.logger.error(_UNREADABLE)
        super().service()
        self.since_s, self.is_begun = time.monotonic(), False

    def is_late(self, now_s: float, max_s: float) -> bool:
        """Return whether the client has taken too long to send a request or to read an answer.

        The time starts again with the first byte of a request, once.
        """
        if self.requests:
            return False
        if self.request is not None and not self.is_begun:
            self.since_s, self.is_begun = now_s, True
        return now_s - self.since_s > max_s

    def is_idle(self) -> bool:
        """Return whether no answer is being made or sent, and nothing is left to read."""
        if self.requests or self.total_outbufs_len or self.socket is None:
            return False
        with contextlib.suppress(OSError):
            return not self.socket.recv(1, socket.MSG_PEEK)
        return True

    def drop(self, cause: str) -> None:
        """Close the connection at once, in the loop's thread; log what is left unanswered."""
        if self.requests or self.request is not None or cause == _NO_ROOM:
            self.logger.error(cause)
        self.handle_close()


class _Connections:
    """All connections: accepts new ones, closes those that are late, and makes room."""

    def __init__(self, app: Any, *, host: str, port: int, **settings: Any) -> None:
        self._sockets: dict[int, Any] = {}  # to which waitress adds each new connection
        settings = LIMITS | {"connection_limit": _connection_limit()} | settings
        try:
            create_server(app, map=self._sockets, host=host, port=port, **settings)
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or f"{error}".rstrip(".")
            remedy = _REMEDIES.get(getattr(error, "errno", 0), _OTHER_REMEDY)
            raise ServeError(f"cannot listen on {host}:{port}: {cause}; {remedy}") from None
        self.listeners = [found for found in self._sockets.values() if found.accepting]
        self._limit = self.listeners[0].adj.connection_limit
        for listener in self.listeners:
            listener.channel_class = _Connection

    def run_once(self, timeout_s: float) -> None:
        """Accept, read and send whatever is ready; wait for that no longer than `timeout_s`.

        waitress accepts one a turn: who comes behind a hundred others would wait for as many turns.
        """
        before = len(self._sockets)
        wasyncore.loop(timeout=timeout_s, use_poll=True, map=self._sockets, count=1)
        if len(self._sockets) > before:
            self._accept()

    def _accept(self) -> None:
        """Accept all new connections that there is room for."""
        for listener in self.listeners:
            before = 0
            while before < len(self._sockets) < self._limit:
                before = len(self._sockets)
                listener.handle_accept()

    def sweep(self) -> None:
        """Close connections that are late, and more of them at the limit."""
        now_s = time.monotonic()
        is_full = len(self._sockets) >= self._limit
        patience_s, cause = (_MIN_WAIT_S, _NO_ROOM) if is_full else (MAX_WAIT_S, _CUT_OFF)
        late = [connection for connection in self._all() if connection.is_late(now_s, patience_s)]
        # Not all at once: good clients wait until this is done.
        for connection in sorted(late, key=lambda late: late.since_s)[: self._limit // 10 + 1]:
            connection.drop(cause)

    def _all(self) -> list[_Connection]:
        # A worker may close a connection, which changes the map: `list` copies it in one step.
        return [found for found in list(self._sockets.values()) if isinstance(found, _Connection)]

    def drain(self) -> None:
        """Answer what was sent, also on connections not yet accepted; close those that are idle.

        What is left of a client that has gone is waited for too: its event is still being kept.
        """
        started_s = time.monotonic()
        self._accept()
        for listener in self.listeners:  # whose own `close` would also close what wakes the loop
            wasyncore.dispatcher.close(listener)
        dispatcher = self.listeners[0].task_dispatcher  # the same one for all listeners
        while (connections := self._all()) or dispatcher.queue or dispatcher.active_count:
            waited_s = time.monotonic() - started_s
            if waited_s > MAX_STOP_S:
                return
            for connection in connections:
                patience_s = _SETTLE_S if connection.request is None else _MIN_WAIT_S
                if waited_s > patience_s and connection.is_idle():
                    connection.drop(_CUT_OFF)
            self.run_once(_SETTLE_S / 10)

    def close(self) -> None:
        """Stop the threads, without waiting for one that is stuck, and close every connection."""
        self.listeners[0].task_dispatcher.shutdown(timeout=-1)  # it would wait by the wall clock
        wasyncore.close_all(self._sockets)


def _connection_limit() -> int:
    """Return how many connections may be open: fewer than usual if few open files are allowed."""
    files = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else -1  # -1: any number
    return MAX_CONNECTIONS if files < 0 else min(MAX_CONNECTIONS, files - _OTHER_FILES)


def _report_errors(on_rejected: _Notify) -> None:
    """Report what is logged as an error, print nothing: waitress's text may hold a client's."""

    def report(record: logging.LogRecord) -> bool:
        on_rejected(record.msg if record.msg in (_CUT_OFF, _NO_ROOM) else _UNREADABLE)
        return False

    logger = logging.getLogger("waitress")
    logger.filters = [report]
    logger.setLevel(logging.ERROR)
