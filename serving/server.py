"""Serves a WSGI app on waitress until a signal stops it; knows nothing of the app.

waitress's own loop reads requests and sends answers, and its own threads call the app. Ours is what
waitress lacks: a time for a whole request and not for each of its bytes, room for new clients at
the limit of connections, a count of what waitress refuses by itself, and a stop that first answers
what was sent. All times are monotonic: a wall clock that jumps closes nothing and keeps nothing.
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
    "recv_bytes": 1024,  # one read holds few requests, however small they are
    "channel_timeout": 10**10,  # on the wall clock; `_Connections.sweep` closes what is overdue
    "asyncore_use_poll": True,
    # Above the app's, and so far that a client with a little too much gets the app's answer.
    "max_request_body_size": 131_072,
    "max_request_header_size": 16_384,
    "send_bytes": 18_000,  # head and body go out together: half as many system calls
    "ident": None,
}
MAX_STOP_S = 7.0

_MAX_WAITING_REQUESTS = 10  # of one connection: no webhook client pipelines
MAX_WAIT_S = 10.0
_MIN_WAIT_S = 1.0  # at the limit of connections, and at a stop for what is half sent
_SWEEP_EVERY_S = 0.2
_LINE_EVERY_S = 30.0
_SETTLE_S = 0.1
_MAX_END_S = 1.0
_MIN_CONNECTIONS = 16
_OTHER_FILES = 32  # what the app and its log may have open beside the connections
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REMEDIES = {
    errno.EADDRINUSE: "end what runs there, or set another port",
    errno.EACCES: "set a port above 1023, or let a proxy take this one",
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
    on_trouble: Callable[[], None],
    tell: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C, answer what was sent before it, and return within 10 s.

    A second signal ends the process at once. `on_listening` gets the port once connections are
    taken; port 0 takes a free one. `on_trouble` is called, by any thread, for each request that is
    refused without the app; `tell` gets a sentence when a limit of the system or of ours is too low
    or reached. Raises `ServeError` if the server cannot listen on the address.
    """
    limit = _connection_limit(tell)
    _count_errors(on_trouble)
    connections = _Connections(_listen(app, host, port, threads, limit), limit, tell)
    is_stopping = _stop_signal()
    on_listening(int(connections.doors[0].effective_port))
    while not is_stopping():
        connections.turn(_SWEEP_EVERY_S)
        connections.sweep()
    connections.answer_the_rest()
    connections.close()


def _listen(app: Any, host: str, port: int, threads: int, limit: int) -> dict[int, Any]:
    """Return all sockets of a server; its connections come to be in it."""
    sockets: dict[int, Any] = {}
    settings = LIMITS | {"connection_limit": limit, "host": host, "port": port, "threads": threads}
    try:
        create_server(app, map=sockets, **settings)
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        cause = getattr(error, "strerror", None) or error
        remedy = _REMEDIES.get(code or 0, "set host to a name or an address of this machine")
        raise ServeError(f"cannot listen on {host}:{port}: {cause}; {remedy}") from None
    return sockets


class _Refusal(ErrorTask):
    """An answer that waitress gives in the app's place; it logs none of them by itself."""

    def execute(self) -> None:
        self.logger.error("refused")
        super().execute()


class _Connection(HTTPChannel):
    """A connection that knows since when its client has kept the server waiting.

    A worker sets `since_s` while the loop may read it: one assignment, and either value is right.
    """

    error_task_class = _Refusal

    def __init__(self, *others: Any, **named: Any) -> None:
        self.since_s, self.is_begun = time.monotonic(), False
        super().__init__(*others, **named)

    def service(self) -> None:
        super().service()
        self.since_s, self.is_begun = time.monotonic(), False

    def is_late(self, now_s: float, max_s: float) -> bool:
        """Return whether a whole request, or the taking of an answer, has been waited for too long.

        The time of a request starts again with its first byte, once.
        """
        if self.requests:
            return len(self.requests) > _MAX_WAITING_REQUESTS
        if self.request is not None and not self.is_begun:
            self.since_s, self.is_begun = now_s, True
        return now_s - self.since_s > max_s

    def is_idle(self) -> bool:
        """Return whether no answer is under way, and nothing sent waits to be read."""
        if self.requests or self.total_outbufs_len or self.socket is None:
            return False
        with contextlib.suppress(OSError):
            return not self.socket.recv(1, socket.MSG_PEEK)
        return True

    def drop(self) -> None:
        """Close the connection at once, in the loop's thread; count a request left unanswered."""
        if self.requests or self.request is not None:
            self.logger.error("closed before a request was answered")
        self.handle_close()


class _Connections:
    """All connections: takes new ones, closes those that are overdue, and makes room."""

    def __init__(self, sockets: dict[int, Any], limit: int, tell: Callable[[str], None]) -> None:
        self._sockets, self._limit, self._tell = sockets, limit, tell
        self._next_sweep_s = self._next_line_s = 0.0
        self.doors: list[Any] = [x for x in sockets.values() if isinstance(x, BaseWSGIServer)]
        for door in self.doors:
            door.channel_class = _Connection

    def turn(self, timeout_s: float) -> None:
        """Accept, read and send what is ready; wait so long for something to be, at most."""
        before = len(self._sockets)
        wasyncore.loop(timeout=timeout_s, use_poll=True, map=self._sockets, count=1)
        if len(self._sockets) > before:
            self._accept()

    def _accept(self) -> None:
        """Take all new connections that there is room for; waitress takes one a turn."""
        for door in self.doors:
            before = 0
            while before < len(self._sockets) < self._limit:
                before = len(self._sockets)
                door.handle_accept()

    def sweep(self) -> None:
        """Close connections that are overdue and, at the limit, make room; a few times a second."""
        now_s = time.monotonic()
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + _SWEEP_EVERY_S
        is_full = len(self._sockets) >= self._limit
        if is_full and now_s >= self._next_line_s:
            self._next_line_s = now_s + _LINE_EVERY_S
            reached = f"the limit of {self._limit} connections is reached"
            self._tell(f"{reached}: those that send no whole request are closed for new ones")
        patience_s = _MIN_WAIT_S if is_full else MAX_WAIT_S
        late = [each for each in self._all() if each.is_late(now_s, patience_s)]
        late.sort(key=lambda each: each.since_s)
        for connection in late[: self._limit // 10 + 1]:  # the others must not wait for all of them
            connection.drop()
        self._accept()

    def _all(self) -> list[_Connection]:
        # A worker may close one meanwhile; `list` takes all of them in one step.
        return [each for each in list(self._sockets.values()) if isinstance(each, _Connection)]

    def answer_the_rest(self) -> None:
        """Answer what has been sent, also on connections not yet accepted; close what is idle."""
        started_s = time.monotonic()
        self._accept()
        for door in self.doors:
            wasyncore.dispatcher.close(door)  # its own `close` ends what wakes the loop, too
        while connections := self._all():
            waited_s = time.monotonic() - started_s
            if waited_s > MAX_STOP_S:
                return
            for each in connections:
                patience_s = _SETTLE_S if each.request is None else _MIN_WAIT_S
                if waited_s > patience_s and each.is_idle():
                    each.drop()
            self.turn(_SETTLE_S / 10)

    def close(self) -> None:
        """Let the threads end, wait for those that are not stuck, and close every connection."""
        dispatcher = self.doors[0].task_dispatcher  # one for all doors
        dispatcher.set_thread_count(0)  # `shutdown` would wait on the wall clock
        by_s = time.monotonic() + _MAX_END_S
        while dispatcher.threads and time.monotonic() < by_s:
            time.sleep(0.01)
        wasyncore.close_all(self._sockets)


def _connection_limit(tell: Callable[[str], None]) -> int:
    """Return how many connections there can be, as far as the system allows so many open files."""
    wanted = MAX_CONNECTIONS + _OTHER_FILES
    allowed = _allowed_files(wanted)
    limit = max(allowed - _OTHER_FILES, _MIN_CONNECTIONS)
    if allowed < wanted:
        few = f"only {limit} connections at a time instead of {MAX_CONNECTIONS}"
        how = f"allow {wanted} (ulimit -n {wanted}; systemd: LimitNOFILE={wanted})"
        tell(f"{few}: the system allows {allowed} open files; {how}")
    return limit


def _allowed_files(wanted: int) -> int:
    """Return how many files may be open, after raising that to `wanted` as far as is allowed."""
    if resource is None:  # a system that knows no such limit
        return wanted
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (wanted if x == resource.RLIM_INFINITY else min(x, wanted) for x in limits)
    with contextlib.suppress(OSError, ValueError):
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, limits[1]))
            soft = hard
    return soft


def _count_errors(on_trouble: Callable[[], None]) -> None:
    """Have waitress count its errors and print nothing: it may hold what a client sent."""

    def count(_: logging.LogRecord) -> bool:
        on_trouble()
        return False

    logger = logging.getLogger("waitress")
    logger.filters, logger.propagate = [count], False
    logger.setLevel(logging.ERROR)


def _stop_signal() -> Callable[[], bool]:
    """Return what tells whether a signal to stop has come; the system handles a second one."""
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    for each in _SIGNALS:
        signal.signal(each, stop)
    return lambda: bool(came)
