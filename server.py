"""Runs a WSGI app for real, on waitress, until it is told to stop; knows nothing of the app.

The limits are those under which a thousand slow clients did not keep a good one waiting; waitress's
own let about a hundred do so. The body limit is above the app's, so that the app's answer is given.
At its limit of connections waitress lets new clients wait for as long as the old ones stay; here
those that keep us waiting longest make room. waitress itself drops what is under way when it is
stopped; here that is answered first.
"""

import contextlib
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from itertools import islice
from types import FrameType
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server

try:
    import resource
except ImportError:  # a system that knows no limit of open files
    resource = None  # type: ignore[assignment]

MOST_CONNECTIONS = 2000
LIMITS: dict[str, Any] = {
    "cleanup_interval": 1_000_000_000,  # we close who is overdue, a few at a time
    "asyncore_use_poll": True,
    "max_request_body_size": 131_072,
    "max_request_header_size": 16_384,
    "send_bytes": 18_000,  # head and body of an answer go out together: half as many system calls
    "ident": None,
}

_MOST_SILENT_S = 10.0
_LOOK_EVERY_S = 0.1
_MOST_CLOSED = 25  # a look: a thousand at once would hold up everybody else
_OTHER_FILES = 32  # what the app and its log may have open beside the connections
_LEAST_CONNECTIONS = 16
_GRACE_S = 1.0
_MOST_LET_IN = 50  # a turn: who is in already waits for no longer
_TELL_EVERY_S = 30.0
_TURN_S = 0.1
_SETTLE_S = 0.1
_HALF_SENT_S = 1.0
_MOST_SETTLE_S = 0.5
_MOST_STOP_S = 8.0

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
    """Serve until SIGTERM or Ctrl-C, answer what has come till then, and return within 10 s.

    A second signal ends the process at once. `on_listening` is told the port, once connections are
    taken; port 0 takes a free one. `on_trouble` is called for a request that waitress cannot read
    at all; `tell` hears which limit of the system or of ours is too low or reached. Raises
    `ServeError` if the address cannot be listened on.
    """
    sockets: Sockets = {}
    most = _most_connections(tell)
    try:
        server: Any = create_server(
            app,
            map=sockets,
            host=host,
            port=port,
            threads=threads,
            connection_limit=most,
            **LIMITS,
        )
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        cause = getattr(error, "strerror", None) or error
        remedy = _REMEDIES.get(code or 0, "set host to a name or an address of this machine")
        raise ServeError(f"cannot listen on {host}:{port}: {cause}; {remedy}") from None
    for listening in _listening(sockets):
        listening.channel_class = _Channel
    _hear_of_trouble(on_trouble)
    crowd = _Crowd(sockets, most, tell)
    with _signals() as told_to_stop:
        on_listening(_port(server))
        while not told_to_stop():
            _turn(sockets, _TURN_S)
            crowd.let_in()
            crowd.make_room()
            crowd.close_overdue()
        _take_the_rest(sockets, crowd)
        _answer_the_rest(sockets)
        server.task_dispatcher.shutdown(timeout=1)
    wasyncore.close_all(sockets)


class _Channel(HTTPChannel):
    """A connection that has its time for a whole request, not for each byte of it."""

    def handle_read(self) -> None:
        begun, since = self.request, self.last_activity
        super().handle_read()
        if self.request is begun and not self.requests:
            self.last_activity = since

    def writable(self) -> bool:
        """Leave an answer that is not whole to the thread that writes it, or poll would spin."""
        unfinished = self.requests and self.total_outbufs_len < self.adj.send_bytes
        return bool(super().writable()) and not unfinished


class _Crowd:
    """Lets many in at once, and makes room when as many connections are open as may be."""

    def __init__(self, sockets: Sockets, most: int, tell: Callable[[str], None]) -> None:
        self._sockets, self._most, self._tell = sockets, most, tell
        self._listening = _listening(sockets)
        self._count = len(sockets)
        self._told = -_TELL_EVERY_S
        self._look_at = 0.0

    def let_in(self) -> None:
        """Take who waits behind one that came: waitress takes one a turn, and a turn is long."""
        if len(self._sockets) > self._count:
            for listening in self._listening:
                self._accept(listening)
        self._count = len(self._sockets)

    def _accept(self, listening: BaseWSGIServer) -> None:
        for _ in range(_MOST_LET_IN):
            before = len(self._sockets)
            if before < self._most:
                listening.handle_accept()
            if len(self._sockets) == before:
                return

    def close_overdue(self) -> None:
        """Close some of those who have sent no whole request for too long."""
        now = time.time()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY_S
        overdue = (
            channel
            for channel in _channels(self._sockets)
            if not channel.requests and channel.last_activity < now - _MOST_SILENT_S
        )
        for channel in list(islice(overdue, _MOST_CLOSED)):
            channel.handle_close()

    def make_room(self) -> None:
        """Close a tenth of the connections if there are too many, those that wait longest first.

        It is said at most every half minute.
        """
        if len(self._sockets) < self._most:
            return
        if time.monotonic() - self._told > _TELL_EVERY_S:
            self._told = time.monotonic()
            self._tell(
                f"the limit of {self._most} connections is reached:"
                " those that send no whole request are closed for new ones"
            )
        latest = time.time() - _GRACE_S
        waiting = [
            channel
            for channel in _channels(self._sockets)
            if channel.last_activity < latest and not _has_work(channel, patient=False)
        ]
        waiting.sort(key=lambda channel: channel.last_activity)
        for channel in waiting[: self._most // 10]:
            channel.handle_close()


def _most_connections(tell: Callable[[str], None]) -> int:
    """Return how many connections there can be, as far as the system allows so many open files."""
    wanted = MOST_CONNECTIONS + _OTHER_FILES
    allowed = _allowed_files(wanted)
    if allowed >= wanted:
        return MOST_CONNECTIONS
    most = max(allowed - _OTHER_FILES, _LEAST_CONNECTIONS)
    tell(
        f"only {most} connections at a time instead of {MOST_CONNECTIONS}: the system allows"
        f" {allowed} open files; allow {wanted} (ulimit -n {wanted}; systemd: LimitNOFILE={wanted})"
    )
    return most


def _allowed_files(wanted: int) -> int:
    """Return how many files may be open, which is raised to what is wanted if that is allowed."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    if soft == endless or soft >= wanted:
        return wanted
    raised = wanted if hard == endless else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):
        return soft
    return raised


def _listening(sockets: Sockets) -> list[BaseWSGIServer]:
    return [each for each in sockets.values() if isinstance(each, BaseWSGIServer)]


def _channels(sockets: Sockets) -> list[Any]:
    return [each for each in sockets.values() if isinstance(each, HTTPChannel)]


def _hear_of_trouble(on_trouble: Callable[[], None]) -> None:
    """Have waitress say nothing by itself: what it would print may hold what it was sent."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                on_trouble()

    logger = logging.getLogger("waitress")
    logger.handlers, logger.propagate = [Handler()], False
    queue = logging.getLogger("waitress.queue")  # a request that waits a moment is no news
    queue.handlers, queue.propagate = [logging.NullHandler()], False


def _turn(sockets: Sockets, timeout_s: float) -> None:
    """Accept, read and write what is ready; wait at most so long for something to be."""
    wasyncore.loop(timeout=timeout_s, use_poll=True, map=sockets, count=1)


def _take_the_rest(sockets: Sockets, crowd: _Crowd) -> None:
    """Take what has already been sent, also on connections that still wait, then no more."""
    started = last = time.monotonic()
    while time.monotonic() < min(last + _SETTLE_S, started + _MOST_SETTLE_S):
        before = len(sockets)
        _turn(sockets, _SETTLE_S / 10)
        crowd.let_in()
        if len(sockets) > before:
            last = time.monotonic()
    for listening in _listening(sockets):
        wasyncore.dispatcher.close(listening)


def _answer_the_rest(sockets: Sockets) -> None:
    """Answer what was taken; close each connection when that is done."""
    started = time.monotonic()
    while time.monotonic() < started + _MOST_STOP_S:
        _turn(sockets, _SETTLE_S / 10)
        channels = _channels(sockets)
        if not channels:
            return
        patient = time.monotonic() < started + _HALF_SENT_S
        for channel in channels:
            if not _has_work(channel, patient=patient):
                channel.handle_close()


def _has_work(channel: Any, *, patient: bool) -> bool:
    """Tell whether an answer is owed; to one who has sent half a request, only for a while."""
    if channel.requests or channel.total_outbufs_len:
        return True
    return patient and bool(channel.request or _has_sent(channel.socket))


def _has_sent(client: socket.socket) -> bool:
    """Tell whether something waits to be read, such as a request sent behind another."""
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Yield whether a signal to stop has come; a second one is left to the system."""
    came: list[int] = []
    names = [signal.SIGINT, signal.SIGTERM]

    def stop(number: int, _frame: FrameType | None) -> None:
        if came:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        came.append(number)

    before = {name: signal.signal(name, stop) for name in names}
    try:
        yield lambda: bool(came)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _port(server: Any) -> int:
    """Return the port; a host name of several addresses makes a server of several sockets."""
    several = getattr(server, "effective_listen", None)
    port: int = several[0][1] if several else server.effective_port
    return port
