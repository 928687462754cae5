"""Makes our own HTTP requests: those of the simulator, and the one that creates a session.

One rule for all of them: a proxy of the environment (`https_proxy`, `no_proxy`) is used, but never
for this machine; certificates are verified; redirects are not followed, because a signed request is
for one host; `.netrc` is never read. `cause` explains every failure. This file knows nothing of
TeleSign or of phone calls.
"""

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectTimeout, ProxyError, SSLError, Timeout
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError
from urllib3.util import parse_url

FAILURES = (OSError, HTTPError, UnicodeError)
"""What a request raises: `requests` lets some errors of urllib3, `ssl` and `http` through."""

# An exception in the chain of a failure, what it means and what to do; the first match counts. The
# order matters: a failed proxy is also a refused connection, and that a failed connection.
_CAUSES: tuple[tuple[type[BaseException], str, str], ...] = (
    (
        ProxyError,
        "the proxy set in the environment is unreachable or refuses the request",
        "correct http_proxy, https_proxy or all_proxy, or add {host} to no_proxy",
    ),
    (
        ssl.SSLCertVerificationError,
        "the certificate of {host} is not trusted ({error.verify_message})",
        "check the name and the certificate, or set REQUESTS_CA_BUNDLE to the file of its CA",
    ),
    (
        socket.gaierror,
        "the name {host} is unknown",
        "check its spelling, and that this machine has DNS",
    ),
    (
        ConnectionRefusedError,
        "connection refused",
        "start the server there, or check the port",
    ),
    (
        NewConnectionError,
        "{host} is unreachable ({error.__cause__})",
        "check the address and the network",
    ),
    (
        ConnectTimeout,
        "{host} did not accept the connection in time",
        "check the address and the firewalls",
    ),
    (Timeout, "no answer came in time", "look at the output of the server there"),
    (SSLError, "TLS failed", "check the port, and whether the server speaks https there"),
    (
        ProtocolError,
        "the connection broke before the whole answer came",
        "look at the output of the server there",
    ),
    (
        BaseException,
        "the request cannot be made ({error.__class__.__name__})",
        "check the URL, and the proxy and certificate settings of the environment",
    ),
)


class Session(requests.Session):
    """Makes requests by the rule of this file.

    `connected` says whether a connection was ever established, with TLS and a proxy's tunnel. If
    not, not a byte of a request can have reached the host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.connected = False
        self.auth = _keep_authorization
        for scheme in ("http://", "https://"):
            self.mount(scheme, _ConnectionTracker(self))

    def merge_environment_settings(self, url: Any, *others: Any) -> Any:
        """Return what the environment says of a URL; for this machine no proxy."""
        settings = super().merge_environment_settings(url, *others)
        if is_this_machine(url):
            settings["proxies"] = {}
        return settings

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target: a redirect is an answer like any other."""


def _keep_authorization(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return the request unchanged: without an `auth`, `requests` takes the one of .netrc."""
    return request


class _ConnectionTracker(HTTPAdapter):
    """Notes when a connection is established, which an exception does not reliably say.

    A TLS error while the answer is read, for example, looks like one of the handshake.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def get_connection_with_tls_context(self, *args: Any, **more: Any) -> Any:
        """Return the pool for a request; its connections note when they are established."""
        pool: Any = super().get_connection_with_tls_context(*args, **more)
        session, kind = self._session, type(pool).ConnectionCls

        class TrackedConnection(kind):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                super().connect()
                session.connected = True

        pool.ConnectionCls = TrackedConnection
        return pool


def is_this_machine(url: str) -> bool:
    """Return whether a URL names this machine: localhost, a loopback address, or `0.0.0.0`."""
    host = _host(url).rstrip(".")
    if host == "localhost":
        return True
    try:
        # `inet_aton` reads addresses as the system does: 127.1 is one as well.
        address = ipaddress.ip_address(host if ":" in host else socket.inet_aton(host))
    except (OSError, ValueError):
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _host(url: str) -> str:
    """Return the host of a URL, as the library that connects to it reads it."""
    try:
        return (parse_url(url).host or "").strip("[]").lower()
    except HTTPError:
        return ""


def cause(error: BaseException, url: str) -> tuple[str, str]:
    """Return why a URL gave no answer, and what to do about it; neither text holds a secret."""
    chain = list(_chain(error))
    return next(
        (what.format(host=_host(url), error=each), remedy.format(host=_host(url)))
        for kind, what, remedy in _CAUSES
        for each in chain
        if isinstance(each, kind)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
