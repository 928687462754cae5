"""The server behind nginx, with the shipped configuration: nothing is lost, revealed or changed.

nginx runs with `deploy/nginx.conf` itself, in which only the name, the ports and the folders are
others; the variants change one line more each, for the other ways in which a proxy may pass a
request on. The certificate is made here.
"""

import contextlib
import dataclasses
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import facts
import pytest
from gunicorn_process import GunicornProcess
from helpers import ROOT, payload, signed
from processes import ServerProcess, free_port
from request_table import BAD, GOOD, Answer, Bad, ask, ask_over, whole

from app import MAX_BODY_BYTES
from serving import server
from tools.simulation.scenarios import SCENARIOS

NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
OPENSSL = shutil.which("openssl")
SITE = (ROOT / "deploy" / "nginx.conf").read_text()
SELF_SIGNED = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
)
MAIN = """\
{user}
daemon off;
pid nginx.pid;
error_log main.log;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    include site.conf;
}}
"""
VARIANTS = {
    "as it is": {},
    "bodies as they come": {"proxy_request_buffering   on;": "proxy_request_buffering off;"},
    "HTTP/1.0": {"proxy_http_version 1.1;": ""},
}
CALL = payload("incoming_call")
HEAD = b"Host: localhost\r\nConnection: close\r\n"
APOLOGY = {
    "content-type": "application/json",
    "content-length": "23",
    "cache-control": "no-store",
    "retry-after": "5",
}

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(NGINX is None or OPENSSL is None, reason="no nginx or no openssl here"),
]


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost, signed by itself, and its key."""

    file: Path
    key: Path

    def client(self) -> ssl.SSLContext:
        """Return how a client trusts this certificate and no other."""
        return ssl.create_default_context(cafile=self.file)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder = tmp_path_factory.mktemp("certificate")
    made = Certificate(folder / "fullchain.pem", folder / "privkey.pem")
    subprocess.run(
        [str(OPENSSL), *SELF_SIGNED.split(), "-out", made.file, "-keyout", made.key],
        check=True,
        capture_output=True,
    )
    return made


@dataclass
class Proxy:
    """nginx with our site, on a port of its own, in front of the port of a server."""

    folder: Path
    certificate: Certificate
    upstream: int
    changes: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Proxy":
        self.port = free_port()
        (self.folder / "temp").mkdir()
        (self.folder / "site.conf").write_text(self._site())
        user = "user root;" if os.geteuid() == 0 else ""  # it has to reach the tests' folder
        (self.folder / "main.conf").write_text(MAIN.format(user=user))
        self.process = subprocess.Popen(
            [str(NGINX), "-p", self.folder, "-c", "main.conf", "-e", "main.log"]
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        self.__exit__()
        raise AssertionError(f"nginx did not start: {(self.folder / 'main.log').read_text()}")

    def _site(self) -> str:
        text = SITE
        for old, new in {
            "calls.example.com;": "localhost;",
            "/etc/letsencrypt/live/calls.example.com": str(self.certificate.file.parent),
            "/var/log/nginx": str(self.folder),
            "server 127.0.0.1:8080;": f"server 127.0.0.1:{self.upstream};",
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            "listen [::]:443 ": f"listen [::1]:{self.port} ",
            **self.changes,
        }.items():
            assert old in text
            text = text.replace(old, new)
        return text

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/"

    def connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=10, context=self.certificate.client()
        )

    def socket(self) -> ssl.SSLSocket:
        """Return a connection over TLS, for bytes that no client of HTTP would send."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        return self.certificate.client().wrap_socket(plain, server_hostname="localhost")

    def send(self, raw: bytes) -> bytes:
        """Send these bytes and return all that comes until the connection is closed."""
        with self.socket() as client:
            client.sendall(raw)
            return b"".join(iter(lambda: client.recv(65_536), b""))

    def log(self, wanted: int) -> list[str]:
        """Return so many lines of the log: one comes a moment after its answer."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            lines = (self.folder / "masked-calls.log").read_text().splitlines()
            if len(lines) >= wanted:
                return lines
            time.sleep(0.02)
        raise AssertionError(f"wanted {wanted} lines, got {lines}")


def call(proxy: Proxy, body: bytes = CALL) -> Answer:
    return whole(ask_over(proxy.connection(), Bad("a call", 200, "", body)))


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda name: name)
def proxy(
    request: pytest.FixtureRequest,
    verified_server: ServerProcess,
    certificate: Certificate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    """nginx in front of the server with a key, in each variant."""
    folder = tmp_path_factory.mktemp("nginx")
    with Proxy(folder, certificate, verified_server.port, VARIANTS[request.param]) as running:
        yield running


@pytest.mark.parametrize("one", BAD + GOOD, ids=lambda one: one.name)
def test_a_request_gets_the_same_answer_as_without_nginx(
    one: Bad, proxy: Proxy, verified_server: ServerProcess
) -> None:
    one = dataclasses.replace(one, more=one.more | {"Accept-Encoding": "gzip"})
    direct = whole(ask(verified_server, one))
    if one.name == "NUL in the path":  # nginx refuses it by itself
        direct = (400, direct[1] | {"content-length": "23"}, b'{"error":"bad_request"}')
    here = dataclasses.replace(one, path=one.path.replace("127.0.0.1", "localhost"))
    response, body = ask_over(proxy.connection(), here)
    assert whole((response, body)) == direct
    assert response.getheader("Server") == "nginx"


def test_the_simulator_plays_every_call_through_nginx(
    certificate: Certificate, tmp_path: Path
) -> None:
    sample = (ROOT / "allowlist.csv").read_text()
    environment = {**facts.KEYS, "MASKING_ACCEPT_DIGIT": "1"}
    (tmp_path / "nginx").mkdir()
    with (
        ServerProcess(tmp_path, environment, sample) as server,
        Proxy(tmp_path / "nginx", certificate, server.port) as proxy,
    ):
        ended = simulate(proxy, "all", REQUESTS_CA_BUNDLE=str(certificate.file))
        assert ended.returncode == 0, ended.stdout
        assert len(json.loads(ended.stdout)) == len(SCENARIOS)
        assert simulate(proxy, "connected").returncode == 1  # nobody vouches for the certificate


def simulate(proxy: Proxy, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, ROOT / "simulator.py", "--json", "--url", proxy.url, *words],
        env={**os.environ, **facts.KEYS, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Upstream:
    """Stands in the server's place: keeps what comes, and answers each request with these bytes.

    An empty answer closes the connection, none at all keeps silent.
    """

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0

    def __enter__(self) -> "Upstream":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=[client], daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while got := client.recv(65_536):
                while CALL not in got:
                    got += client.recv(65_536)
                self.requests.append(got)
                if self._answer is None:
                    continue
                if not self._answer:
                    return
                client.sendall(self._answer)


FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
FULL += b'Cache-Control: no-store\r\nContent-Length: 27\r\n\r\n{"error":"log_unavailable"}'


@pytest.mark.parametrize(
    ("variant", "first", "header"),
    [
        ("as it is", b"POST / HTTP/1.1\r\n", b"\r\nContent-Length: 145\r\n"),
        ("bodies as they come", b"POST / HTTP/1.1\r\n", b"\r\nTransfer-Encoding: chunked\r\n"),
        ("HTTP/1.0", b"POST / HTTP/1.0\r\n", b"\r\nContent-Length: 145\r\n"),
    ],
)
def test_the_variants_are_what_they_are_called(
    variant: str, first: bytes, header: bytes, certificate: Certificate, tmp_path: Path
) -> None:
    with (
        Upstream(FULL) as upstream,
        Proxy(tmp_path, certificate, upstream.port, VARIANTS[variant]) as proxy,
        proxy.socket() as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        time.sleep(0.2)
        client.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(CALL), CALL))
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
    (came,) = upstream.requests
    assert came.startswith(first)
    assert header in came


def test_the_headers_arrive_as_they_were_sent(certificate: Certificate, tmp_path: Path) -> None:
    with Upstream(FULL) as upstream, Proxy(tmp_path, certificate, upstream.port) as proxy:
        call(proxy)
    (came,) = upstream.requests
    head, _, body = came.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert {f"{name}: {value}" for name, value in signed(CALL).items()} < set(lines)
    assert "Host: localhost" in lines
    assert not any(line.startswith("Connection:") for line in lines)
    assert body == CALL


def test_an_answer_of_the_server_passes_whatever_its_status(
    certificate: Certificate, tmp_path: Path
) -> None:
    ours = APOLOGY | {"content-length": "27", "retry-after": "1"}
    with Upstream(FULL) as upstream, Proxy(tmp_path, certificate, upstream.port) as proxy:
        assert call(proxy) == (503, ours, b'{"error":"log_unavailable"}')


def test_a_body_just_too_large_is_refused_by_the_server_and_a_huge_one_by_nginx(
    verified_server: ServerProcess, certificate: Certificate, tmp_path: Path
) -> None:
    with Proxy(tmp_path, certificate, verified_server.port) as proxy:
        first, second = (
            call(proxy, b" " * size) for size in (MAX_BODY_BYTES + 1, 2 * MAX_BODY_BYTES)
        )
        lines = proxy.log(2)
    assert first == second
    assert first[0] == 413
    assert " 413 upstream=413 " in lines[0]
    assert " 413 upstream=- " in lines[1]


def test_connections_to_the_server_are_used_again_but_never_an_old_one(
    certificate: Certificate, tmp_path: Path
) -> None:
    """One that both sides may close at this moment would lose the event that is sent down it."""
    with Upstream(FULL) as upstream, Proxy(tmp_path, certificate, upstream.port) as proxy:
        for _ in range(5):
            call(proxy)
        assert upstream.connections == 1
        time.sleep(6)
        call(proxy)
        assert upstream.connections == 2
    assert server.MAX_WAIT_S >= 10


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"HTTP/1.1 200 OK\r\nContent-Le"],
    ids=["none", "the connection is closed", "half a head"],
)
def test_a_broken_server_gets_an_event_once_and_the_caller_an_apology(
    answer: bytes | None, certificate: Certificate, tmp_path: Path
) -> None:
    with Upstream(answer) as upstream, Proxy(tmp_path, certificate, upstream.port) as proxy:
        started = time.monotonic()
        assert call(proxy) == (503, APOLOGY, b'{"error":"unavailable"}')
        assert time.monotonic() - started < 5
    assert len(upstream.requests) == 1


def test_an_event_is_sent_to_a_second_server_only_if_it_did_not_reach_the_first(
    certificate: Certificate, tmp_path: Path
) -> None:
    def through(first: int, second: int, folder: str) -> int:
        (tmp_path / folder).mkdir()
        both = f"server 127.0.0.1:{first};"
        changes = {both: f"{both} server 127.0.0.1:{second};"}
        with Proxy(tmp_path / folder, certificate, first, changes) as proxy:
            # A fresh nginx takes the first one first.
            return call(proxy)[0]

    with Upstream(b"") as broken, Upstream(FULL.replace(b"503", b"200")) as good:
        assert through(broken.port, good.port, "broken") == 503
        assert (len(broken.requests), len(good.requests)) == (1, 0)
        assert through(free_port(), good.port, "away") == 200
        assert len(good.requests) == 1


def test_while_the_server_is_away_there_is_an_apology_and_after_it_an_answer(
    certificate: Certificate, tmp_path: Path
) -> None:
    port = free_port()
    environment = {**facts.KEYS, "MASKING_PORT": str(port)}
    (tmp_path / "nginx").mkdir()
    with Proxy(tmp_path / "nginx", certificate, port) as proxy:
        for _ in range(3):
            with ServerProcess(tmp_path, environment):
                assert json.loads(call(proxy)[2]) == facts.DIAL
            for _ in range(20):
                assert call(proxy) == (503, APOLOGY, b'{"error":"unavailable"}')
        health = Bad("", 503, "", b"", {}, "GET", "/health")
        assert whole(ask_over(proxy.connection(), health))[:2] == (503, APOLOGY)
        lines = proxy.log(64)
    assert sum(" 200 upstream=200 " in line for line in lines) == 3
    assert sum(" 503 upstream=502 " in line for line in lines) == 61


def test_restarts_under_load_give_answers_and_apologies_and_nothing_else(
    certificate: Certificate, tmp_path: Path
) -> None:
    port = free_port()
    environment = {**facts.KEYS, "MASKING_PORT": str(port)}
    (tmp_path / "nginx").mkdir()
    over, answers = threading.Event(), Counter[bytes]()

    def calling(proxy: Proxy) -> None:
        with contextlib.closing(proxy.connection()) as connection:
            while not over.is_set():
                connection.request("POST", "/", CALL, signed(CALL))
                answers[connection.getresponse().read()] += 1

    with (
        Proxy(tmp_path / "nginx", certificate, port) as proxy,
        ThreadPoolExecutor(4) as pool,
    ):
        callers = [pool.submit(calling, proxy) for _ in range(4)]
        try:
            for _ in range(5):
                with ServerProcess(tmp_path, environment):
                    time.sleep(0.5)
        finally:
            over.set()
        for caller in callers:
            caller.result()
    dial = json.dumps(facts.DIAL, separators=(",", ":")).encode()
    assert set(answers) == {dial, b'{"error":"unavailable"}'}


@pytest.mark.parametrize(
    ("raw", "status", "word"),
    [
        (b"POST\r\n\r\n", 400, b"bad_request"),
        (b"\x00\x01\x02\r\n\r\n", 400, b"bad_request"),
        (b"POST /../x HTTP/1.1\r\n" + HEAD + b"\r\n", 400, b"bad_request"),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n", 400, b"bad_request"),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"A: " + b"a" * 9_000 + b"\r\n\r\n", 400, b"bad_request"),
        (b"POST /" + b"a" * 9_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414, b"bad_request"),
        (b"TRACE / HTTP/1.1\r\n" + HEAD + b"\r\n", 405, b"method_not_allowed"),
        (b"POST /.refused HTTP/1.1\r\n" + HEAD + b"\r\n", 404, b"not_found"),
        (
            b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 67585\r\n\r\n" + b" " * 67_585,
            413,
            b"too_large",
        ),
    ],
)
def test_what_nginx_refuses_by_itself_is_refused_as_the_server_does(
    raw: bytes, status: int, word: bytes, proxy: Proxy
) -> None:
    head, _, body = proxy.send(raw).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert b"\r\nCache-Control: no-store" in head
    assert b"nginx/" not in head
    assert body == b'{"error":"%s"}' % word


def test_whoever_does_not_know_the_name_gets_no_certificate_and_no_answer(proxy: Proxy) -> None:
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    for name in (None, "example.com"):
        with (
            socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
            pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"),
        ):
            anybody.wrap_socket(client, server_hostname=name)
    for raw in (b"POST / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nHost: example.com\r\n\r\n"):
        assert proxy.send(raw) == b""
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(raw)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == b""


def test_an_old_version_of_tls_is_refused(proxy: Proxy) -> None:
    old = proxy.certificate.client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
        pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"),
    ):
        old.wrap_socket(client, server_hostname="localhost")


SLOW_CLIENTS = 1000
LARGE = CALL.ljust(MAX_BODY_BYTES)
LARGE_HEAD = b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES


def test_a_thousand_slow_clients_reach_the_server_only_when_they_have_sent_everything(
    certificate: Certificate, tmp_path: Path
) -> None:
    """Nothing of them lies in a file meanwhile: a body holds phone numbers."""
    telling = {"masked-calls.error.log crit;": "masked-calls.error.log warn;"}
    with (
        Upstream(FULL) as upstream,
        Proxy(tmp_path, certificate, upstream.port, telling) as proxy,
        ExitStack() as stack,
    ):
        slow = [stack.enter_context(proxy.socket()) for _ in range(SLOW_CLIENTS)]
        for client in slow:
            client.sendall(LARGE_HEAD + CALL)
        assert call(proxy)[0] == 503
        time.sleep(0.3)
        assert (upstream.connections, len(upstream.requests)) == (1, 1)
        for client in slow[:20]:
            client.sendall(LARGE.removeprefix(CALL))
            assert client.recv(100).startswith(b"HTTP/1.1 503")
        assert len(upstream.requests) == 21
    assert "temporary file" not in (tmp_path / "masked-calls.error.log").read_text()


def test_slow_clients_hold_up_gunicorn_but_not_behind_nginx(
    certificate: Certificate, tmp_path: Path
) -> None:
    (tmp_path / "nginx").mkdir()
    with (
        GunicornProcess(tmp_path, facts.KEYS) as gunicorn,
        Proxy(tmp_path / "nginx", certificate, gunicorn.port) as proxy,
        ExitStack() as stack,
    ):
        for _ in range(8):
            stack.enter_context(proxy.socket()).sendall(LARGE_HEAD + CALL)
        assert json.loads(call(proxy)[2]) == facts.DIAL
        for _ in range(8):
            direct = socket.create_connection(("127.0.0.1", gunicorn.port), timeout=10)
            stack.enter_context(direct).sendall(LARGE_HEAD + CALL)
        time.sleep(0.3)
        assert call(proxy) == (503, APOLOGY, b'{"error":"unavailable"}')


def test_the_logs_hold_no_number_no_path_and_no_address(
    certificate: Certificate, tmp_path: Path
) -> None:
    secret = Bad("", 503, "", CALL, path=f"/events/secret?from={facts.CALLER}")
    with Proxy(tmp_path, certificate, free_port()) as proxy:
        ask_over(proxy.connection(), secret)
        ask_over(proxy.connection(), dataclasses.replace(secret, body=b" " * 19_000))
        proxy.send(f"POST {secret.path}\r\nX-{facts.CALLER}: {facts.CALLER}\r\n\r\n".encode())
        proxy.send(f"GET /../{facts.CALLER} HTTP/1.1\r\n\r\n".encode())
        lines = proxy.log(4)
    line = r"\d{4}-\d\d-\d\dT[\d:+-]+ [45]\d\d upstream=(502|-) [\d.]+s"
    assert len(lines) == 4
    assert [text for text in lines if not re.fullmatch(line, text)] == []
    rest = (tmp_path / "masked-calls.error.log").read_text() + (tmp_path / "main.log").read_text()
    assert rest == ""
