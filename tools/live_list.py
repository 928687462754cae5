"""Asks the server of these settings whether the list that was edited is the one that it serves.

A version of the list is known by its time of modification, which `/health` tells; behind gunicorn
that is the word of one worker. Only http and the server's own address: no proxy, no redirect. An
answer is waited for two seconds at most, whatever the other side does.
"""

import http.client
import json
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from allow_list.stamp import stamp_of
from config import HEALTH_PATH, Settings

MAX_WAIT_S = 2.0

_ASK_EVERY_S = 0.03
_MAX_ANSWER_BYTES = 65_536
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where we ask, not listen
_CAUSES = {
    "being written": "it is being written",
    "line 0": "the server cannot read it, or finds no header in it",
}


class State(StrEnum):
    """What is known of the server's list."""

    SERVED = "served"
    OLDER = "older"
    OTHER = "other"
    NO_SERVER = "no server"


@dataclass(frozen=True, slots=True)
class ServedList:
    """Which list a server serves, and a sentence that says so.

    `is_refused` if the server has read the list that was asked about, and does not take it.
    """

    state: State
    text: str
    is_refused: bool = False
    cause: str = ""

    @property
    def is_live(self) -> bool | None:
        """Whether the list is the one that is served; `None` without a server."""
        return None if self.state is State.NO_SERVER else self.state is State.SERVED

    @property
    def is_waiting(self) -> bool:
        """Whether the server may still take the list by itself."""
        return self.is_live is False and not self.is_refused

    def plain(self) -> dict[str, Any]:
        """Return both as JSON takes them."""
        return {"live": self.is_live, "server": self.text}


def state_of(settings: Settings) -> ServedList:
    """Return whether the server of these settings serves the list as it is now."""
    return of_version(settings, _modified_ns(settings), ask(settings))


def wait_until_live(settings: Settings, modified_ns: int | None) -> ServedList:
    """Return once the server serves this version of the list or a later one, or refuses it.

    Without a server it returns at once, and after two seconds in any case.
    """
    until_s = time.monotonic() + MAX_WAIT_S
    found = of_version(settings, modified_ns, ask(settings))
    while found.is_waiting and (left_s := until_s - time.monotonic()) > _ASK_EVERY_S:
        time.sleep(_ASK_EVERY_S)
        health = ask(settings, max_wait_s=left_s - _ASK_EVERY_S)
        if health:  # or the answer before this one counts
            found = of_version(settings, modified_ns, health)
    return found


def of_version(
    settings: Settings, modified_ns: int | None, health: Mapping[str, Any] | None
) -> ServedList:
    """Return what an answer of `/health` means for this version of the list."""
    where = address(settings)
    if health is None:
        return ServedList(State.NO_SERVER, f"no server answers on {where}")
    if not health:
        text = f"what answers on {where} is no server of this version"
        return ServedList(State.NO_SERVER, text)
    server, fault = f"the server on {where} serves", health["list_fault"]
    served_ns, read_ns = health["list_modified_ns"], health["list_read_ns"]
    is_behind = served_ns is None or modified_ns is None or served_ns < modified_ns
    # A later version of another program may be refused for what was done here: nobody can tell.
    is_later = is_behind and (read_ns or 0) > (modified_ns or 0)
    is_refused = bool(fault) and (is_later or read_ns == modified_ns)
    if is_refused or fault == "being written":
        cause = _CAUSES.get(fault, f"it has a fault in {fault}")
        text = f"{server} an older list than this one: {cause}"
        return ServedList(State.OLDER, text, is_refused, cause)
    if modified_ns is None:
        return ServedList(State.OTHER, f"{server} another list: there is none in this place")
    if is_behind:
        return ServedList(State.OLDER, f"{server} an older list: it has not read this one yet")
    if served_ns > modified_ns and _modified_ns(settings) == modified_ns:
        other = "another list, changed later than this one; does it run in another folder?"
        return ServedList(State.OTHER, f"{server} {other}")
    return ServedList(State.SERVED, f"{server} this list")


def _modified_ns(settings: Settings) -> int | None:
    stamp = stamp_of(Path(settings.allow_list))
    return None if stamp is None else stamp.modified_ns


def address(settings: Settings) -> str:
    """Return where the server of these settings is asked."""
    host = _host(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _host(settings: Settings) -> str:
    return _ANY_ADDRESS.get(settings.host, settings.host)


def ask(settings: Settings, *, max_wait_s: float = MAX_WAIT_S) -> Mapping[str, Any] | None:
    """Return what `/health` says: nothing if that is no server of this version.

    `None` if nobody answers in time.

    A thread asks: the time that a name takes, or an answer that comes byte by byte, has no limit of
    its own.
    """
    answers: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()

    def put_answer() -> None:
        answers.put(_health(settings))

    threading.Thread(target=put_answer, daemon=True).start()
    try:
        return answers.get(timeout=max(max_wait_s, 0.0))
    except queue.Empty:
        return None


def _health(settings: Settings) -> Mapping[str, Any] | None:
    connection = http.client.HTTPConnection(_host(settings), settings.port, timeout=MAX_WAIT_S)
    try:
        connection.request("GET", HEALTH_PATH)
        body = connection.getresponse().read(_MAX_ANSWER_BYTES)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    else:
        return _ours(body)
    finally:
        connection.close()


def _ours(body: bytes) -> Mapping[str, Any]:
    """Return what a server of this version says; nothing if an older one or another does."""
    try:
        health = json.loads(body)
        versions = health["list_modified_ns"], health["list_read_ns"]
        is_ours = (
            all(version is None or type(version) is int for version in versions)
            and isinstance(health["list_fault"], str | None)
            and isinstance(health["real_numbers"], bool)
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return health if is_ours else {}
