"""Our own HTTP requests: which way they go, what they carry, and what is said of a failure."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from raw_servers import (
    OPENSSL,
    Play,
    Raw,
    breaking_tls,
    hang_up,
    make_certificate,
    over_tls,
    raw_server,
    say_nothing,
    saying,
)  # fmt: skip

from tools import http_client

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
ELSEWHERE = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"
NO_GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"
NO_TUNNEL = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"

needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="no openssl here")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def other() -> Iterator[Raw]:
    """A server that nobody may ask: a proxy, or where a redirect points."""
    with raw_server(saying(OK)) as server:
        yield server


def ask(url: str, timeout_s: float = 10) -> tuple[bool, str]:
    """Ask; return whether it was surely never connected, and the status or the cause."""
    with http_client.Session() as session:
        try:
            return False, str(session.post(url, b"{}", timeout=timeout_s).status_code)
        except http_client.FAILURES as error:
            return http_client.was_never_connected(error), http_client.cause(error, url)


def ask_server(play: Play, scheme: str = "http", timeout_s: float = 10) -> tuple[bool, str]:
    with raw_server(play) as server:
        answer = ask(f"{scheme}://localhost:{server.port}/", timeout_s)
        assert server.connections == 1
        return answer


# The way


@pytest.mark.parametrize(
    ("variable", "scheme"),
    [("http_proxy", "http"), ("HTTPS_PROXY", "https"), ("all_proxy", "http")],
)
def test_this_machine_is_never_asked_through_a_proxy(
    variable: str, scheme: str, other: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{other.port}")
    with raw_server(saying(OK) if scheme == "http" else hang_up) as server:
        for host in "127.0.0.1", "localhost", "0.0.0.0":
            ask(f"{scheme}://{host}:{server.port}/")
    assert (server.connections > 0, other.connections) == (True, 0)


def test_another_host_is_asked_through_the_proxy_of_the_environment(
    other: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{other.port}")
    with http_client.Session() as session:
        assert session.get("http://calls.example/", timeout=10).status_code == 200
    assert other.got[0].startswith(b"GET http://calls.example/ HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:8080/", True),
        ("http://127.255.255.254/", True),
        ("http://0.0.0.0:8080/", True),
        ("https://LocalHost/", True),
        ("http://[::1]:8080/", True),
        ("http://[::]/", True),
        ("http://127.example.com/", False),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://example.com\\@127.0.0.1/", False),
        ("http://example.com#@127.0.0.1/", False),
        ("http://128.0.0.1/", False),
        ("http://[::2]/", False),
        ("http://[::1/", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_machine(url: str, is_here: bool) -> None:
    assert http_client.is_this_machine(url) is is_here


def test_a_redirect_is_not_followed(other: Raw) -> None:
    with raw_server(saying(ELSEWHERE % other.port)) as server, http_client.Session() as session:
        answer = session.post(f"http://127.0.0.1:{server.port}/", b"{}", timeout=10)
    assert (answer.status_code, answer.history, other.connections) == (307, [], 0)


def test_a_netrc_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with raw_server(saying(OK)) as server, http_client.Session() as session:
        url = f"http://127.0.0.1:{server.port}/"
        session.post(url, b"{}", headers={"Authorization": "TSA ours"}, timeout=10)
        session.post(url, b"{}", timeout=10)
    first, second = server.got
    assert b"\r\nAuthorization: TSA ours\r\n" in first
    assert b"Authorization" not in second


# What goes wrong


NO_REQUEST = [
    (
        "http://no-such-name.invalid/",
        "the name no-such-name.invalid is unknown; check its spelling, and that this machine has"
        " DNS",
    ),
    ("http://127.0.0.1:9/", "connection refused; start the server there, or check the port"),
]


@pytest.mark.parametrize(("url", "cause"), NO_REQUEST)
def test_a_connection_that_is_never_made_is_explained(url: str, cause: str) -> None:
    assert ask(url) == (True, cause)


def test_a_host_that_does_not_take_the_connection_is_unreachable() -> None:
    error = requests.exceptions.ConnectTimeout()
    assert http_client.was_never_connected(error)
    assert http_client.cause(error, "https://calls.example/") == (
        "calls.example is unreachable; check the address, the network and the firewalls"
    )


@needs_openssl
def test_an_untrusted_certificate_is_explained(certificate: Path) -> None:
    assert ask_server(over_tls(certificate, saying(OK)), "https") == (
        True,
        "the certificate of localhost is not trusted (self-signed certificate); check the name and"
        " the certificate, or set REQUESTS_CA_BUNDLE to the file of its CA",
    )


@needs_openssl
def test_a_trusted_certificate_is_accepted_for_its_own_name_only(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert ask_server(over_tls(certificate, saying(OK)), "https") == (False, "200")
    with raw_server(over_tls(certificate, saying(OK))) as server:
        never_connected, cause = ask(f"https://127.0.0.1:{server.port}/")
    assert never_connected
    assert cause.startswith("the certificate of 127.0.0.1 is not trusted (IP address mismatch")


def speak_plainly(connection: socket.socket, _: Raw) -> None:
    connection.recv(65536)
    connection.sendall(NO_TUNNEL)


@pytest.mark.parametrize("play", [hang_up, speak_plainly])
def test_a_failed_handshake_is_explained_and_may_have_been_a_failed_answer(play: Play) -> None:
    never_connected, cause = ask_server(play, "https")
    assert not never_connected
    assert cause in (
        "TLS failed; check the port, and whether the server speaks https there",
        "the connection broke before the whole answer came",
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_timeout_is_explained(scheme: str) -> None:
    assert ask_server(say_nothing, scheme, timeout_s=0.2) == (False, "no answer came in time")


@pytest.mark.parametrize(
    "play", [hang_up, saying(b""), saying(HALF), saying(CHUNKS), saying(b"nonsense\r\n\r\n")],
    ids=["at once", "after the request", "in the answer", "in a chunk", "nonsense"],
)  # fmt: skip
def test_a_broken_connection_is_explained(play: Play) -> None:
    assert ask_server(play) == (False, "the connection broke before the whole answer came")


def test_an_answer_that_cannot_be_unpacked_was_an_answer() -> None:
    assert ask_server(saying(NO_GZIP)) == (
        False,
        "the request failed (ContentDecodingError); check the URL, and the proxy and certificate"
        " settings of the environment",
    )


@needs_openssl
def test_tls_that_breaks_after_the_request_counts_as_connected(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    never_connected, cause = ask_server(breaking_tls(certificate), "https")
    assert not never_connected
    assert cause.startswith("TLS failed; ")


PROXY = (
    True,
    "the proxy set in the environment is unreachable or refuses the request; correct http_proxy,"
    " https_proxy or all_proxy, or add calls.example to no_proxy",
)


def test_a_failing_proxy_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://somebody:secret@127.0.0.1:9")
    assert ask("https://calls.example/") == PROXY
    with raw_server(saying(NO_TUNNEL)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        assert ask("https://calls.example/") == PROXY


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://a..b/", ""),
        ("http://127.0.0.1:99999/", ""),
        ("https://calls.example/", ":::"),
        ("https://calls.example/", "what://ever"),
    ],
)
def test_a_request_that_cannot_be_made_is_explained(
    url: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    never_connected, cause = ask(url)
    assert never_connected
    assert cause.startswith(("the request failed (", "the proxy set in the environment"))
