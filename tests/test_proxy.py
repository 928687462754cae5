"""The server behind nginx, with the configuration that is shipped: nothing is lost, told or changed.

nginx runs with `deploy/nginx.conf` itself, in which only the name, the ports and the folders are
others; the variants change one line more each, for the other ways in which a proxy may pass a
request on. The certificate is made here.
"""

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
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import facts
import pytest
from conftest import ROOT, ServerProcess, payload, signed
from test_requests import BAD, GOOD, Bad, ask, ask_over

import server
from app import BODY_LIMIT

NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
OPENSSL = shutil.which("openssl")
SITE = (ROOT / "deploy" / "nginx.conf").read_text()
MAIN = """\
{user}
daemon off;
pid nginx.pid;
error_log main.log;
events {{}}
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
    "bodies passed on as they come": {
        "proxy_request_buffering   on;": "proxy_request_buffering off;"
    },
    "HTTP/1.0": {"proxy_http_version 1.1;": ""},
}
CALL = payload("incoming_call")
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
        [str(OPENSSL), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        + ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost", "-out", made.file, "-keyout", made.key],
        check=True,
        capture_output=True,
    )
    return made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


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

    def log(self) -> list[str]:
        return (self.folder / "masked-calls.log").read_text().splitlines()


Answer = tuple[int, dict[str, str], bytes]


def whole(answered: tuple[http.client.HTTPResponse, bytes]) -> Answer:
    """Return status, headers and body, without the headers that each server sets by itself."""
    response, body = answered
    headers = {name.lower(): value for name, value in response.getheaders()}
    for name in ("date", "connection", "server"):
        headers.pop(name, None)
    return response.status, headers, body


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
    direct = whole(ask(verified_server, one))
    if one.name == "NUL in the path":  # nginx refuses it by itself
        direct = (400, direct[1] | {"content-length": "23"}, b'{"error":"bad_request"}')
    here = dataclasses.replace(one, path=one.path.replace("127.0.0.1", "localhost"))
    response, body = ask_over(proxy.connection(), here)
    assert whole((response, body)) == direct
    assert response.getheader("Server") == "nginx"
