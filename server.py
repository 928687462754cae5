"""Runs a WSGI app for real, on waitress, until it is told to stop; knows nothing of the app.

waitress reads requests and writes answers. Ours is what waits and what wakes: its own loop asks
every connection at each turn what it waits for, which a thousand slow clients make dear, and its
threads wake each other up twice as often as these.

The limits are those under which a thousand slow clients did not keep a good one waiting. The body
limit is above the app's, so that the app's answer is given. At its limit of connections waitress
lets new clients wait for as long as the old ones stay; here those that keep us waiting longest make
room. waitress itself drops what is under way when it is stopped; here that is answered first.
"""

import contextlib
import errno
import logging
import os
import queue
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
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
_MOST_STOP_S = 7.0
_MOST_END_S = 1.0

_REMEDIES = {
    errno.EADDRINUSE: "end what runs there, or set another port",
    errno.EACCES: "set a port above 1023, or let a proxy take this one",
}

_IN, _OUT = 1, 4  # as poll and epoll have them

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
            threads=0,  # ours are below
            connection_limit=most,
            **LIMITS,
        )
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        cause = getattr(error, "strerror", None) or error
        remedy = _REMEDIES.get(code or 0, "set host to a name or an address of this machine")
        raise ServeError(f"cannot listen on {host}:{port}: {cause}; {remedy}") from None
    _hear_of_trouble(on_trouble)
    workers = _Threads(threads, on_trouble)
    watch = _Epoll(sockets, workers) if hasattr(select, "epoll") else _Poll(sockets, workers)
    crowd = _Crowd(sockets, most, tell)
    with _signals() as told_to_stop:
        on_listening(_port(server))
        while not told_to_stop():
            watch.turn(_TURN_S)
            crowd.let_in()
            crowd.make_room()
            crowd.close_overdue()
        _take_the_rest(sockets, watch, crowd)
        _answer_the_rest(sockets, watch)
        workers.end()
    wasyncore.close_all(sockets)


class _Threads:
    """Answers requests, each thread one at a time."""

    def __init__(self, count: int, on_trouble: Callable[[], None]) -> None:
        self._on_trouble = on_trouble
        self._line: queue.SimpleQueue[HTTPChannel | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def add_task(self, channel: HTTPChannel) -> None:
        """Have the first request of a connection answered by the next thread that is free."""
        self._line.put(channel)

    def end(self) -> None:
        """Let the threads end, and wait for that, though not for one that is stuck."""
        for _ in self._threads:
            self._line.put(None)
        by = time.monotonic() + _MOST_END_S
        for thread in self._threads:
            thread.join(max(0.0, by - time.monotonic()))

    def _run(self) -> None:
        while (channel := self._line.get()) is not None:
            try:
                channel.service()
            except BaseException:  # noqa: BLE001 - as SystemExit; nobody else takes its place
                self._on_trouble()


class _Poll:
    """Waits as waitress does, where there is no epoll."""

    def __init__(self, sockets: Sockets, workers: _Threads) -> None:
        self._sockets = sockets
        for door in _listening(sockets):
            door.task_dispatcher = workers
            door.channel_class = partial(_Channel, self)

    def turn(self, timeout_s: float) -> None:
        """Accept, read and write what is ready; wait at most so long for something to be."""
        wasyncore.loop(timeout=timeout_s, use_poll=True, map=self._sockets, count=1)

    def register(self, channel: Any) -> None:
        """Hear of a new connection."""

    def look_at(self, channel: Any) -> None:
        """Send what a thread has left on a connection; it has pulled waitress's own trigger."""


class _Epoll(_Poll):
    """Waits with epoll: connections on which nothing happens cost nothing, however many they are.

    The system is told anew what a connection waits for only when there is news that it does not
    wait for, or when it waits for more than was told: for most requests not at all. All this is the
    loop's own affair; a thread that has answered only says whom to look at.
    """

    def __init__(self, sockets: Sockets, workers: _Threads) -> None:
        super().__init__(sockets, workers)
        self._epoll = select.epoll()
        self._known: dict[int | None, int] = {}
        self._doors = _listening(sockets)
        self._trigger = self._doors[0].trigger
        self._to_look_at: deque[Any] = deque()
        self._sleeps = False
        self.register(self._trigger)
        for door in self._doors:
            self.register(door)
            door.pull_trigger = lambda: None  # `look_at` says for whom

    def turn(self, timeout_s: float) -> None:
        for door in self._doors:
            self._arm(door)
        self._sleeps = True
        news = self._epoll.poll(0 if self._to_look_at else timeout_s)
        self._sleeps = False
        for fd, flags in news:
            self._handle(self._sockets.get(fd), flags)
        while self._to_look_at:
            channel = self._to_look_at.popleft()
            self._handle(channel, _wanted(channel) & _OUT)

    def register(self, channel: Any) -> None:
        self._known[channel._fileno] = _IN
        self._epoll.register(channel._fileno, _IN)

    def look_at(self, channel: Any) -> None:
        self._to_look_at.append(channel)  # first: the loop looks once more before it sleeps
        if self._sleeps:
            self._sleeps = False
            self._trigger.pull_trigger()

    def _handle(self, channel: Any, flags: int) -> None:
        """Do what can be done on a connection, or have nothing more be heard of it for a while."""
        if channel is None or channel._fileno is None:
            return
        wanted = _wanted(channel)
        if flags & (_IN | _OUT) & ~wanted:
            self._tell(channel, wanted)
        else:
            wasyncore.readwrite(channel, flags)
            self._arm(channel)

    def _arm(self, channel: Any) -> None:
        wanted = _wanted(channel)
        if wanted & ~self._known.get(channel._fileno, wanted):
            self._tell(channel, wanted)

    def _tell(self, channel: Any, wanted: int) -> None:
        self._known[channel._fileno] = wanted
        self._epoll.modify(channel._fileno, wanted)


def _wanted(channel: Any) -> int:
    return (_IN if channel.readable() else 0) | (_OUT if channel.writable() else 0)


class _Channel(HTTPChannel):
    """A connection that has its time for a whole request, not for each byte of it."""

    def __init__(self, watch: _Poll, *others: Any, **named: Any) -> None:
        self._watch, self._served, self._begun = watch, 0, False
        super().__init__(*others, **named)
        try:
            watch.register(self)
        except OSError:  # the system waits for no more: this one goes, the others stay
            self.handle_close()

    def service(self) -> None:
        self._served += 1
        try:
            super().service()
        except BaseException:
            with self.requests_lock:  # type: ignore[attr-defined]
                self.requests, self.close_when_flushed = [], True
            raise
        finally:
            self._watch.look_at(self)

    def _flush_some(self, *, do_close: bool = True) -> bool:
        """Send, one thread at a time; only the loop closes, which may be going through them all."""
        with self.outbuf_lock:
            is_loop = threading.current_thread() is threading.main_thread()
            return bool(super()._flush_some(do_close=do_close and is_loop))  # type: ignore[misc]

    def write_soon(self, data: Any) -> int:
        count: int = super().write_soon(data)
        if self.total_outbufs_len >= self.adj.send_bytes:
            self._watch.look_at(self)
        return count

    def handle_read(self) -> None:
        since, served = self.last_activity, self._served
        super().handle_read()
        if self.requests or self._served != served:
            self._begun = False
        elif self._begun or self.request is None:  # an empty line is no request
            self.last_activity = since
        else:
            self._begun = True

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

    def _accept(self, listening: Any) -> None:
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
            if channel.last_activity < latest and not _is_owed(channel)
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


def _listening(sockets: Sockets) -> list[Any]:
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


def _take_the_rest(sockets: Sockets, watch: _Poll, crowd: _Crowd) -> None:
    """Take what has already been sent, also on connections that still wait, then no more."""
    started = last = time.monotonic()
    while time.monotonic() < min(last + _SETTLE_S, started + _MOST_SETTLE_S):
        before = len(sockets)
        watch.turn(_SETTLE_S / 10)
        crowd.let_in()
        if len(sockets) > before:
            last = time.monotonic()
    for listening in _listening(sockets):
        wasyncore.dispatcher.close(listening)


def _answer_the_rest(sockets: Sockets, watch: _Poll) -> None:
    """Answer what was sent, half a request for a while only; close each connection then."""
    started = time.monotonic()
    while time.monotonic() < started + _MOST_STOP_S:
        watch.turn(_SETTLE_S / 10)
        channels = _channels(sockets)
        if not channels:
            return
        patient = time.monotonic() < started + _HALF_SENT_S
        for channel in channels:
            begun = patient and channel.request
            if not (_is_owed(channel) or begun or _has_sent(channel.socket)):
                channel.handle_close()


def _is_owed(channel: Any) -> bool:
    """Tell whether an answer is under way."""
    return bool(channel.requests or channel.total_outbufs_len)


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
