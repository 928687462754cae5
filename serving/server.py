"""Serves a WSGI app on waitress until a signal stops it; knows nothing of the app.

waitress's own loop reads requests and sends answers, and its own threads call the app. Ours is what
waitress lacks: a time for a whole request and not for each of its bytes, room for new clients at
the limit of connections, a count of what waitress refuses by itself, and a stop that answers first
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
from waitress.utilities import InternalServerError

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

MAX_CONNECTIONS = 2000 if hasattr(select, "poll") else 480  # Windows' select takes no more
LIMITS: dict[str, Any] = {
    "recv_bytes": 1024,  # one read holds few requests, however small they are
    "channel_timeout": 10**10,  # on the wall clock; `_Crowd.sweep` closes what is overdue
    "asyncore_use_poll": True,
    # Above the app's, and so far that a client with a little too much gets the app's answer.
    "max_request_body_size": 131_072,
    "max_request_header_size": 16_384,
    "send_bytes": 18_000,  # head and body go out together: half as many system calls
    "ident": None,
}

MAX_WAITING_REQUESTS = 10  # of one connection: no webhook client pipelines
_OTHER_FILES = 32  # what the app and its log may have open beside the connections
_MIN_CONNECTIONS = 16
_MAX_SILENT_S = 10.0
_MIN_SILENT_S = 1.0  # at the limit of connections, and at a stop for what is sent in half
_SWEEP_EVERY_S = 0.2
_TELL_EVERY_S = 30.0
_SETTLE_S = 0.1
_MAX_STOP_S = 7.0
_MAX_END_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REMEDIES = {
    errno.EADDRINUSE: "end what runs there, or set another port",
    errno.EACCES: "set a port above 1023, or let a proxy take this one",
}

Sockets = dict[int, Any]


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
    sockets = _listen(app, host, port, limit)
    crowd = _Crowd(sockets, limit, tell)
    dispatcher = crowd.doors[0].task_dispatcher  # one for all doors
    dispatcher.set_thread_count(threads)
    is_stopping = _stop_signal()
    on_listening(int(crowd.doors[0].effective_port))
    while not is_stopping():
        crowd.turn(_SWEEP_EVERY_S)
        crowd.sweep()
    crowd.answer_the_rest()
    _end_threads(dispatcher)
    wasyncore.close_all(sockets)


def _listen(app: Any, host: str, port: int, limit: int) -> Sockets:
    """Return all sockets of a server that has no threads yet; its connections come to be in it."""
    sockets: Sockets = {}
    settings = LIMITS | {"connection_limit": limit, "host": host, "port": port, "threads": 0}
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
        error = self.request.error  # type: ignore[attr-defined]
        if not isinstance(error, InternalServerError):  # that one was logged when it was raised
            self.logger.error("refused")
        super().execute()


class _Channel(HTTPChannel):
    """A connection that knows since when its client has kept the server waiting.

    A worker sets `since_s` and `is_begun` while the loop reads and sets them. Each is a single
    assignment, and if both set one at the same moment, either value is right.
    """

    error_task_class = _Refusal

    def __init__(self, *others: Any, **named: Any) -> None:
        self.since_s, self.is_begun = time.monotonic(), False
        super().__init__(*others, **named)

    def received(self, data: bytes) -> bool:
        super().received(data)
        if len(self.requests) > MAX_WAITING_REQUESTS:
            self.drop()
        return True

    def write_soon(self, data: Any) -> int:
        self.since_s, self.is_begun = time.monotonic(), False  # before there is something to take
        return int(super().write_soon(data))

    def writable(self) -> bool:
        # No `super()`: this is asked of every connection in every turn.
        if self.requests and self.is_in_work():
            return False
        return bool(self.total_outbufs_len or self.will_close or self.close_when_flushed)

    def handle_write(self) -> None:
        # waitress takes no lock where no request waits; but the worker that answered the last one
        # may be sending the word to go on with the next, and both would send the same bytes.
        with self.outbuf_lock:
            super().handle_write()

    def service(self) -> None:
        try:
            super().service()
        except BaseException:  # as SystemExit: waitress would leave the connection open for ever
            self.cancel()
            raise

    def waited_s(self, now_s: float) -> float:
        """Return for how long a whole request or the taking of an answer has been waited for.

        The time of a request starts again with its first byte, once: empty lines are no request.
        """
        if self.is_in_work():
            return 0.0
        if self.request is not None and not self.is_begun:
            self.since_s, self.is_begun = now_s, True
        return now_s - self.since_s

    def is_in_work(self) -> bool:
        """Return whether a worker is to go on first: there is too little to send."""
        return bool(self.requests) and self.total_outbufs_len < self.adj.send_bytes

    def is_idle(self) -> bool:
        """Return whether no answer is under way, and nothing sent waits to be read."""
        if self.requests or self.total_outbufs_len or self.socket is None:
            return False
        with contextlib.suppress(OSError):
            return not self.socket.recv(1, socket.MSG_PEEK)
        return True

    def drop(self) -> None:
        """Close the connection at once; count a request that goes unanswered.

        Only the loop's thread does this. A worker that writes to it gives the answer up.
        """
        if self.requests or self.request is not None:
            self.logger.error("closed before a request was answered")
        self.handle_close()


class _Crowd:
    """All connections: takes new ones, closes those that are overdue, and makes room."""

    def __init__(self, sockets: Sockets, limit: int, tell: Callable[[str], None]) -> None:
        self._sockets, self._limit, self._tell = sockets, limit, tell
        self._next_sweep_s = self._next_line_s = self._crowded_since_s = 0.0
        self.doors: list[Any] = [x for x in sockets.values() if isinstance(x, BaseWSGIServer)]
        for door in self.doors:
            door.channel_class = _Channel

    def channels(self) -> list[_Channel]:
        """Return the connections, the oldest first."""
        # A worker may close one meanwhile; `list` takes all of them in one step.
        return [each for each in list(self._sockets.values()) if isinstance(each, _Channel)]

    def turn(self, timeout_s: float) -> None:
        """Accept, read and send what is ready; wait so long for something to be, at most."""
        before = len(self._sockets)
        wasyncore.loop(timeout=timeout_s, use_poll=True, map=self._sockets, count=1)
        if len(self._sockets) > before:
            self.accept()

    def accept(self) -> None:
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
            self._next_line_s = now_s + _TELL_EVERY_S
            reached = f"the limit of {self._limit} connections is reached"
            self._tell(f"{reached}: those that send no whole request are closed for new ones")
        late = self._late(now_s, is_full=is_full)
        for channel in late[: self._limit // 10 + 1]:  # not all: the others must not wait for it
            channel.drop()
        self.accept()

    def _late(self, now_s: float, *, is_full: bool) -> list[_Channel]:
        """Return what is overdue, at the limit what has waited for a while, the longest first."""
        channels = self.channels()
        patience_s = _MIN_SILENT_S if is_full else _MAX_SILENT_S
        late = [each for each in channels if each.waited_s(now_s) > patience_s]
        if late or not is_full:
            self._crowded_since_s = now_s
        # Strangers may keep all connections busy for ever: the oldest have their last answer.
        if now_s - self._crowded_since_s > 2 * _MIN_SILENT_S:
            for channel in channels[: self._limit // 10 + 1]:
                channel.close_when_flushed = True
        return sorted(late, key=lambda each: each.since_s)

    def answer_the_rest(self) -> None:
        """Answer what has been sent, also on connections not yet accepted; close what is idle."""
        started_s = time.monotonic()
        self.accept()
        for door in self.doors:
            wasyncore.dispatcher.close(door)  # its own `close` ends what wakes the loop, too
        while channels := self.channels():
            waited_s = time.monotonic() - started_s
            if waited_s > _MAX_STOP_S:
                return
            for channel in channels:
                patience_s = _SETTLE_S if channel.request is None else _MIN_SILENT_S
                if waited_s > patience_s and channel.is_idle():
                    channel.drop()
            self.turn(_SETTLE_S / 10)


def _end_threads(dispatcher: Any) -> None:
    """Let the threads end, and wait for those that are not stuck."""
    dispatcher.set_thread_count(0)  # `shutdown` would wait on the wall clock
    by_s = time.monotonic() + _MAX_END_S
    while dispatcher.threads and time.monotonic() < by_s:
        time.sleep(0.01)


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
