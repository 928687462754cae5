"""Whether the server serves the list that was edited: what its answers mean, how it is asked."""

import dataclasses
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import settings_of
from raw_servers import Raw, hang_up, raw_server, say_nothing, saying

import config
from tools import live_list
from tools.live_list import State

WHERE = "http://127.0.0.1:8080"
MINE, BEFORE, AFTER = 2_000, 1_000, 3_000
OLDER = f"the server on {WHERE} serves an older list"
SERVED = f"the server on {WHERE} serves this list"
OTHER = (
    f"the server on {WHERE} serves another list, changed later than this one; does it run in"
    " another folder?"
)


def says(served: int | None, read: int | None, fault: str | None) -> dict[str, Any]:
    return {
        "list_modified_ns": served,
        "list_read_ns": read,
        "list_fault": fault,
        "real_numbers": True,
    }


@pytest.mark.parametrize(
    ("served", "read", "fault", "state", "text"),
    [
        (MINE, MINE, None, State.SERVED, SERVED),
        (BEFORE, BEFORE, None, State.OLDER, f"{OLDER}: it has not read this one yet"),
        (BEFORE, BEFORE - 1, "line 4", State.OLDER, f"{OLDER}: it has not read this one yet"),
        (BEFORE, MINE, "line 4, from", State.OLDER,
         f"{OLDER} than this one: it has a fault in line 4, from"),
        (BEFORE, MINE, "line 0", State.OLDER,
         f"{OLDER} than this one: the server cannot read it, or finds no header in it"),
        (BEFORE, BEFORE, "being written", State.OLDER,
         f"{OLDER} than this one: it is being written"),
        (MINE, MINE, "line 0", State.OLDER,
         f"{OLDER} than this one: the server cannot read it, or finds no header in it"),
        (BEFORE, AFTER, "line 4", State.OLDER,
         f"{OLDER} than this one: it has a fault in line 4"),
        (MINE, AFTER, "line 4", State.SERVED, SERVED),
        (None, None, None, State.OLDER, f"{OLDER}: it has not read this one yet"),
        (AFTER, AFTER, None, State.OTHER, OTHER),
    ],
)  # fmt: skip
def test_an_answer_says_which_list_is_served(
    served: int | None,
    read: int | None,
    fault: str | None,
    state: State,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_list, "_modified_ns", lambda _: MINE)
    settings = settings_of(allow_list=str(tmp_path / "list"))
    found = live_list.of_version(settings, MINE, says(served, read, fault))
    assert (found.state, found.text) == (state, text)
    is_read = read == MINE or (served, read) == (BEFORE, AFTER)
    assert found.is_refused == (fault is not None and is_read)
    assert found.is_live is (state is State.SERVED)


def test_a_later_version_of_the_same_file_is_live_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_list, "_modified_ns", lambda _: AFTER)
    assert live_list.of_version(settings_of(), MINE, says(AFTER, AFTER, None)).text == SERVED


def test_without_a_list_the_server_has_another() -> None:
    found = live_list.of_version(settings_of(), None, says(BEFORE, BEFORE, None))
    text = f"the server on {WHERE} serves another list: there is none in this place"
    assert (found.state, found.text, found.is_live) == (State.OTHER, text, False)


def test_without_a_server_nothing_is_known() -> None:
    found = live_list.of_version(settings_of(), MINE, None)
    assert found.plain() == {"live": None, "server": f"no server answers on {WHERE}"}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("localhost", "http://localhost:8080"),
    ],
)
def test_the_server_is_asked_where_it_listens(host: str, address: str) -> None:
    assert live_list.address(settings_of(host=host)) == address


def on(port: int, host: str = "127.0.0.1") -> config.Settings:
    return dataclasses.replace(settings_of(), port=port, host=host)


def answering(body: bytes, status: str = "200 OK") -> Any:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
    return saying(head.encode() + body)


GOOD = says(MINE, MINE, None) | {"status": "ok"}


@pytest.mark.parametrize("status", ["200 OK", "503 Service Unavailable"])
def test_the_answer_counts_whatever_its_status(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where nobody is
    with raw_server(answering(json.dumps(GOOD).encode(), status)) as server:
        assert live_list.ask(on(server.port)) == GOOD
        assert live_list.ask(on(server.port, "0.0.0.0")) == GOOD


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"null", b"{}", b'{"status": "ok"}', b"[" * 50_000, b"\xff",
        json.dumps(GOOD | {"list_modified_ns": "1"}).encode(),
        json.dumps(GOOD | {"list_modified_ns": True}).encode(),
        json.dumps(GOOD | {"list_fault": 1}).encode(),
        json.dumps(GOOD | {"real_numbers": "yes"}).encode(),
        json.dumps(GOOD | {"more": "x" * 100_000}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_server_of_this_version_is_said_to_be_none(body: bytes) -> None:
    with raw_server(answering(body, "404 Not Found")) as server:
        settings = on(server.port)
        assert live_list.ask(settings) == {}
        found = live_list.state_of(settings)
    text = f"what answers on http://127.0.0.1:{server.port} is no server of this version"
    assert found.plain() == {"live": None, "server": text}


def test_who_hangs_up_or_is_not_there_gives_no_answer() -> None:
    with raw_server(hang_up) as server:
        assert live_list.ask(on(server.port)) is None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert live_list.ask(on(port)) is None
    assert live_list.ask(on(port, "no.such.host.invalid")) is None


def drip(connection: socket.socket, _: Raw) -> None:
    """Answer byte by byte, for longer than anybody should wait."""
    for _second in range(8):
        connection.send(b"H")
        time.sleep(0.4)


@pytest.mark.parametrize("play", [say_nothing, drip])
def test_nobody_is_waited_for_longer_than_two_seconds(play: Any) -> None:
    with raw_server(play) as server:
        began_s = time.monotonic()
        assert live_list.wait_until_live(on(server.port), MINE).state is State.NO_SERVER
        assert 1.9 < time.monotonic() - began_s < 3


def test_a_list_that_is_not_read_is_waited_for_two_seconds() -> None:
    with raw_server(answering(json.dumps(says(BEFORE, BEFORE, None)).encode())) as server:
        began_s = time.monotonic()
        assert live_list.wait_until_live(on(server.port), MINE).state is State.OLDER
        assert 1.8 < time.monotonic() - began_s < 3


def test_a_list_that_is_refused_is_not_waited_for() -> None:
    with raw_server(answering(json.dumps(says(BEFORE, MINE, "line 4")).encode())) as server:
        began_s = time.monotonic()
        assert live_list.wait_until_live(on(server.port), MINE).is_refused
        assert time.monotonic() - began_s < 1
