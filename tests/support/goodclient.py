"""A good client for the tests of attacks: signed events at a steady rate, and how long each took.

Requests are sent when they are due, whatever the answers take; a time counts from when its request
was due, so that a server that stands still cannot hide it.
"""

import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import facts
from helpers import payload, signed

CALL = payload("incoming_call")
_LENGTH = re.compile(rb"Content-Length: (\d+)\r\n.*?\r\n\r\n", re.DOTALL)
_numbers = iter(range(10**9))
_AT_ONCE = 5
_ATTEMPTS = 5
_PAUSE_S = 4


@dataclass
class Answers:
    """The answers that the client got, the seconds that each took, and every error."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list, repr=False)

    def percentile_ms(self, percent: float) -> float:
        """Return the time within which this percentage of the answers came."""
        ordered = sorted(self.seconds)
        return ordered[math.ceil(len(ordered) * percent / 100) - 1] * 1000

    def __str__(self) -> str:
        marks = ", ".join(f"p{mark} {self.percentile_ms(mark):.1f} ms" for mark in (50, 99, 100))
        return f"{len(self.seconds)} answers, {marks}, errors: {self.errors[:3]}"


def new_call() -> bytes:
    """Return a whole signed request that begins a new call."""
    name = f"good-{time.time_ns()}-{next(_numbers)}"
    body = CALL.replace(facts.REFERENCE_ID.encode(), name.encode())
    headers = {"Host": "x", "Content-Length": str(len(body)), **signed(body)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body


def ask(client: socket.socket, request: bytes) -> bytes:
    """Send a request and return the answer; raises `ConnectionError` if it is cut short."""
    client.sendall(request)
    answer = b""
    while not (found := _LENGTH.search(answer)) or len(answer) < found.end() + int(found[1]):
        piece = client.recv(65_536)
        if not piece:
            raise ConnectionError(f"closed after {answer!r}")
        answer += piece
    return answer


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=15)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def keep_asking(
    port: int,
    seconds: float,
    rate: float,
    *,
    reconnect: bool = False,
    is_enough: Callable[[], bool] = lambda: False,
) -> Answers:
    """Ask `rate` times a second, over one connection or, to `reconnect`, over a new one each time.

    It ends after so many seconds, or once `is_enough` returns true.
    """
    answers = Answers()
    requests = [new_call() for _ in range(int(seconds * rate))]
    client = connect(port)
    for due, request in zip(_times(rate), requests, strict=False):
        if is_enough():
            break
        try:
            if reconnect:
                client.close()
                client = connect(port)
            answer = ask(client, request)
            answers.texts.append(answer)
            if facts.DESTINATION.encode() not in answer:
                answers.errors.append(repr(answer))
        except OSError as error:
            answers.errors.append(repr(error))
            client = connect(port)
        answers.seconds.append(time.perf_counter() - due)
    client.close()
    return answers


def assert_prompt(
    measure: Callable[[], tuple[list[Answers], list[Answers]]], *, times: float, or_ms: float
) -> None:
    """Check that there was no error and that a load makes 99 of 100 answers come little later.

    `measure` returns what the same client got without the load and then under it, in one run. Under
    it they may take `times` as long, or `or_ms` if that is longer: several times nearly nothing is
    nothing. Other work on the machine makes times longer, never shorter, so what takes too long is
    measured again, up to five times, after longer and longer pauses; the shortest time under the
    load counts, and the longest without it. An error fails at once.
    """
    limit_ms, shortest_ms = or_ms, math.inf
    for attempt in range(_ATTEMPTS):
        time.sleep(attempt * _PAUSE_S)
        without, under = measure()
        print("without the load", *without, "under it", *under, sep="\n")
        assert [answers.errors for answers in without + under] == [[]] * len(without + under)
        limit_ms = max(limit_ms, times * _worst_ms(without))
        shortest_ms = min(shortest_ms, _worst_ms(under))
        if shortest_ms <= limit_ms:
            return
    raise AssertionError(f"wanted a p99 of at most {limit_ms:.0f} ms, got {shortest_ms:.1f} ms")


def _worst_ms(several: list[Answers]) -> float:
    return max(answers.percentile_ms(99) for answers in several)


def _times(rate: float) -> Iterator[float]:
    due = time.perf_counter()
    while True:
        time.sleep(max(0.0, due - time.perf_counter()))
        yield due
        due += 1 / rate


def both_kinds(port: int, seconds: float, rate: int) -> list[Answers]:
    """Ask over one connection and, at the same time, over a new one each time.

    The new ones are several clients that do not wait for one another.
    """
    fresh = Answers()

    # The threads add to one `Answers`: `extend` is atomic, and it is read when all have ended.
    def ask_reconnecting(number: int) -> None:
        time.sleep(number / rate)
        got = keep_asking(port, seconds, rate / _AT_ONCE, reconnect=True)
        fresh.seconds.extend(got.seconds)
        fresh.errors.extend(got.errors)
        fresh.texts.extend(got.texts)

    asking = [threading.Thread(target=ask_reconnecting, args=(n,)) for n in range(_AT_ONCE)]
    for thread in asking:
        thread.start()
    kept = keep_asking(port, seconds, rate)
    for thread in asking:
        thread.join()
    return [kept, fresh]
