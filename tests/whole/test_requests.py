"""Bad requests at the real server, over a socket: each has its status and its whole body."""

import json
import socket

import facts
import pytest
from processes import ServerProcess
from request_table import ALLOWED, BAD, GOOD, Bad, ask


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_request_gets_its_status_and_its_word(
    bad: Bad, verified_server: ServerProcess
) -> None:
    response, answer = ask(verified_server, bad)
    assert (response.status, answer) == (bad.status, b'{"error":"%s"}' % bad.word.encode())
    headers = {name.lower(): value for name, value in response.getheaders()}
    expected = {
        "content-type": "application/json",
        "cache-control": "no-store",
        "content-length": str(len(answer)),
        "date": headers["date"],
    }
    if bad.status == 401:
        expected["www-authenticate"] = "TSA"
    if bad.status == 405:
        expected["allow"] = ALLOWED[bad.path]
    headers.pop("connection", None)
    assert headers == expected


def test_there_are_enough_of_them() -> None:
    assert len({bad.name for bad in BAD}) == len(BAD) >= 60


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name)
def test_a_good_request_beside_them_is_answered(good: Bad, verified_server: ServerProcess) -> None:
    response, answer = ask(verified_server, good)
    assert (response.status, json.loads(answer)) == (200, facts.DIAL)
    assert response.getheader("Content-Type") == "application/json"
    assert response.getheader("Cache-Control") == "no-store"
    assert response.getheader("Server") is None


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_the_server_refuses_by_itself_is_a_refusal_too_and_counted(
    raw: bytes, verified_server: ServerProcess
) -> None:
    before = verified_server.health()["rejected"]
    with socket.create_connection(("127.0.0.1", verified_server.port), timeout=10) as client:
        client.sendall(raw)
        answer = client.recv(65_536)
    assert answer.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4", b"HTTP/1.1 501"))
    assert b"dial" not in answer
    assert b"Server:" not in answer
    refused = before.get("bad_request", 0) + 1
    assert verified_server.health()["rejected"] == {**before, "bad_request": refused}


def test_a_request_that_cannot_be_read_prints_nothing_of_itself(
    verified_server: ServerProcess,
) -> None:
    with socket.create_connection(("127.0.0.1", verified_server.port), timeout=10) as client:
        client.sendall(b"POST http://[12025550123]/ HTTP/1.1\r\n\r\n")
        assert b" 200 " not in client.recv(65_536)
    verified_server.health()
    assert "12025550123" not in verified_server.output()
    assert "Traceback" not in verified_server.output()


def test_a_client_that_leaves_does_no_harm(verified_server: ServerProcess) -> None:
    for raw in (b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\nhalf", b"POST / HT", b""):
        with socket.create_connection(("127.0.0.1", verified_server.port), timeout=10) as client:
            client.sendall(raw)
    response, answer = ask(verified_server, GOOD[0])
    assert (response.status, json.loads(answer)) == (200, facts.DIAL)
