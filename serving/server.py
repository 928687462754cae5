"""Serves a WSGI app on waitress until a signal stops it; knows nothing of the app.

waitress's own loop reads requests and sends answers, and its own threads call the app. This file
adds what waitress lacks: a time limit for a whole request rather than for each of its bytes, room
for new clients at the limit of connections, a count of what waitress rejects by itself, and a stop
that first answers what was sent. All times are monotonic: a wall clock that jumps neither closes a
connection nor keeps one.
"""

import contextlib
import errno
import logging
import select
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

MAX_CONNECTIONS = 2000 if hasattr(select, "poll") else 480  # Windows' select takes no more
LIMITS: dict[str, Any] = {
    "recv_bytes": 1024,  # so that one read holds few requests, however small
    "channel_timeout": 10**10,  # on the wall clock; `_Connections.sweep` closes what is overdue
    "asyncore_use_poll": True,
    # Above the app's own limit, so that a client slightly above that gets the app's answer.
    "max_request_body_size": 131_072,
    "max_request_header_size": 16_384,
    "send_bytes": 18_000,  # head and body go out together: half as many system calls
    "ident": None,
}
MAX_STOP_S = 7.0

_MAX_WAITING_REQUESTS = 10  # of one connection: no webhook client pipelines
MAX_WAIT_S = 10.0
_MIN_WAIT_S = 1.0  # at the limit of connections, and at a stop for a request half sent
_SWEEP_EVERY_S = 0.2
_NOTICE_EVERY_S = 30.0
_SETTLE_S = 0.1
_MAX_THREADS_END_S = 1.0
_OTHER_FILES = 32  # that the app and its log may have open besides the connections
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REMEDIES = {
    errno.EADDRINUSE: "stop the program that uses it, or set another port",
    errno.EACCES: "set a port above 1023, or let a proxy listen on this one",
}


class ServeError(Exception):
    """The server cannot listen; the message says why and what to do."""


def serve(
    app: Any,
    *,
    host: str,
    port: int,
    threads: int,
    on_listening: Callable[[int], None],
    on_rejected: Callable[[], None],
    notify: Callable[[str], None],
    **limits: int,
) -> None:
    """Serve until SIGTERM or Ctrl-C, answer what was sent before it, and return within 10 s.

    A second signal ends the process at once. `on_listening` gets the port once connections are
    accepted; port 0 takes a free one. `on_rejected` is called, by any thread, for each request that
    never reaches the app or gets no answer; `notify` gets a sentence when the system allows too few
    open files, or the limit of connections is reached. `limits` stand in place of some of `LIMITS`.
    Raises `ServeError` if the server cannot listen on the address.
    """
    limit = _connection_limit(notify)
    _count_errors(on_rejected)
    sockets = _listen(app, host, port, threads, limit, **limits)
    connections = _Connections(sockets, limit, notify)
    is_stopping = _stop_signal()
    on_listening(int(connections.listeners[0].effective_port))
    while not is_stopping():
        connections.run_once(_SWEEP_EVERY_S)
        connections.sweep()
    connections.drain()
    connections.close()


def _listen(
    app: Any, host: str, port: int, threads: int, limit: int, **limits: int
) -> dict[int, Any]:
    """Listen; return the map of all sockets, to which waitress adds each new connection."""
    sockets: dict[int, Any] = {}
    settings = LIMITS | {"connection_limit": limit, "host": host, "port": port, "threads": threads}
    try:
        create_server(app, map=sockets, **(settings | limits))
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        cause = getattr(error, "strerror", None) or f"{error}".rstrip(".")
        remedy = _REMEDIES.get(code or 0, "set host to a name or an address of this machine")
        raise ServeError(f"cannot listen on {host}:{port}: {cause}; {remedy}") from None
    return sockets


class _Rejection(ErrorTask):
    """An error that waitress answers in the app's place; logged, because waitress does not."""

    def execute(self) -> None:
        self.logger.error("rejected")
        super().execute()


class _Connection(HTTPChannel):
    """A connection that knows since when the server has been waiting for its client.

    A worker thread sets `since_s` when it has made an answer, while the loop's thread may read it.
    That needs no lock: an assignment is one step, and until then `requests` is not empty, so that
    `is_late` does not look. Only between waitress's `service` and the line after it could the loop
    see the old time, which matters when the app took longer than `MAX_WAIT_S` for its answer.
    """

    error_task_class = _Rejection

    def __init__(self, *others: Any, **named: Any) -> None:
        self.since_s, self.is_begun = time.monotonic(), False
        super().__init__(*others, **named)

    def received(self, data: bytes) -> bool:
        super().received(data)
        if len(self.requests) > _MAX_WAITING_REQUESTS:  # now: to answer them would take the time
            self.drop()
        return True

    def service(self) -> None:
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

    def drop(self) -> None:
        """Close the connection at once, in the loop's thread; log a request left unanswered."""
        if self.requests or self.request is not None:
            self.logger.error("closed before a request was answered")
        self.handle_close()


class _Connections:
    """All connections: accepts new ones, closes those that are late, and makes room."""

    def __init__(self, sockets: dict[int, Any], limit: int, notify: Callable[[str], None]) -> None:
        self._sockets, self._limit, self._notify = sockets, limit, notify
        self._next_sweep_s = self._next_notice_s = 0.0
        self.listeners: list[Any] = [x for x in sockets.values() if isinstance(x, BaseWSGIServer)]
        for listener in self.listeners:
            listener.channel_class = _Connection

    def run_once(self, timeout_s: float) -> None:
        """Accept, read and send whatever is ready; wait for that no longer than `timeout_s`."""
        wasyncore.loop(timeout=timeout_s, use_poll=True, map=self._sockets, count=1)

    def _accept(self) -> None:
        """Accept all new connections that there is room for; waitress by itself one a turn."""
        for listener in self.listeners:
            before = 0
            while before < len(self._sockets) < self._limit:
                before = len(self._sockets)
                listener.handle_accept()

    def sweep(self) -> None:
        """Close connections that are late, and more of them at the limit; a few times a second."""
        now_s = time.monotonic()
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + _SWEEP_EVERY_S
        is_full = len(self._sockets) >= self._limit
        if is_full and now_s >= self._next_notice_s:
            self._next_notice_s = now_s + _NOTICE_EVERY_S
            self._notify(
                f"the limit of {self._limit} connections is reached; those without a whole request"
                " are closed to make room"
            )
        patience_s = _MIN_WAIT_S if is_full else MAX_WAIT_S
        late = [each for each in self._all() if each.is_late(now_s, patience_s)]
        late.sort(key=lambda each: each.since_s)
        for connection in late[: self._limit // 10 + 1]:  # good clients wait until this is done
            connection.drop()
        self._accept()

    def _all(self) -> list[_Connection]:
        # A worker may close a connection, which changes the map: `list` copies it in one step.
        return [each for each in list(self._sockets.values()) if isinstance(each, _Connection)]

    def drain(self) -> None:
        """Answer what was sent, also on connections not yet accepted; close those that are idle."""
        started_s = time.monotonic()
        self._accept()
        for listener in self.listeners:  # whose own `close` would also close what wakes the loop
            wasyncore.dispatcher.close(listener)
        while connections := self._all():
            waited_s = time.monotonic() - started_s
            if waited_s > MAX_STOP_S:
                return
            for each in connections:
                patience_s = _SETTLE_S if each.request is None else _MIN_WAIT_S
                if waited_s > patience_s and each.is_idle():
                    each.drop()
            self.run_once(_SETTLE_S / 10)

    def close(self) -> None:
        """Stop the threads, wait for those that are not stuck, and close every connection."""
        dispatcher = self.listeners[0].task_dispatcher  # the same one for all listeners
        dispatcher.set_thread_count(0)  # waitress's `shutdown` would wait by the wall clock
        by_s = time.monotonic() + _MAX_THREADS_END_S
        while dispatcher.threads and time.monotonic() < by_s:
            time.sleep(0.01)
        wasyncore.close_all(self._sockets)


def _connection_limit(notify: Callable[[str], None]) -> int:
    """Raise the limit of open files if need be; return how many connections it leaves room for."""
    wanted = allowed = MAX_CONNECTIONS + _OTHER_FILES
    if resource is not None:  # a system that knows such a limit
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY:
            allowed = min(hard, wanted)
        if soft != resource.RLIM_INFINITY and soft < allowed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    limit = allowed - _OTHER_FILES
    if allowed < wanted:
        notify(
            f"only {limit} connections at a time instead of {MAX_CONNECTIONS}: the system allows"
            f" {allowed} open files; allow {wanted} (ulimit -n {wanted}; systemd:"
            f" LimitNOFILE={wanted})"
        )
    return limit


def _count_errors(on_rejected: Callable[[], None]) -> None:
    """Count waitress's errors and print none of them: they may hold what a client sent."""

    def count(_: logging.LogRecord) -> bool:
        on_rejected()
        return False

    logger = logging.getLogger("waitress")
    logger.filters, logger.propagate = [count], False
    logger.setLevel(logging.ERROR)


def _stop_signal() -> Callable[[], bool]:
    """Return a function that says whether a signal to stop has come; a second one ends us."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    for each in _SIGNALS:
        signal.signal(each, stop)
    return lambda: bool(received)
