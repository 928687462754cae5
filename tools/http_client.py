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
from requests.exceptions import ConnectTimeout, ProxyError, SSLError, Timeout
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError
from urllib3.util import parse_url

FAILURES = (OSError, HTTPError, ValueError)
"""What a request raises: `requests` lets some errors of urllib3 and of odd URLs through."""

# These are raised only while a connection is made. A TLS error is not: it may come with the answer.
_NOT_CONNECTED = (ProxyError, ssl.SSLCertVerificationError, NewConnectionError, ConnectTimeout)

# An exception in the chain of a failure, and what it means; the first match counts. The order
# matters: a failed proxy is also a refused connection, and that a failed connection.
_CAUSES = (
    (
        ProxyError,
        "the proxy set in the environment is unreachable or refuses the request; correct"
        " http_proxy, https_proxy or all_proxy, or add {host} to no_proxy",
    ),
    (
        ssl.SSLCertVerificationError,
        "the certificate of {host} is not trusted ({error.verify_message}); check the name and the"
        " certificate, or set REQUESTS_CA_BUNDLE to the file of its CA",
    ),
    (
        socket.gaierror,
        "the name {host} is unknown; check its spelling, and that this machine has DNS",
    ),
    (ConnectionRefusedError, "connection refused; start the server there, or check the port"),
    (
        (NewConnectionError, ConnectTimeout),
        "{host} is unreachable; check the address, the network and the firewalls",
    ),
    (Timeout, "no answer came in time"),
    (SSLError, "TLS failed; check the port, and whether the server speaks https there"),
    (ProtocolError, "the connection broke before the whole answer came"),
    (
        BaseException,
        "the request failed ({error.__class__.__name__}); check the URL, and the proxy and"
        " certificate settings of the environment",
    ),
)


class Session(requests.Session):
    """Makes requests by the rule of this file."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = lambda request: request  # without any, `requests` takes the one of .netrc

    def merge_environment_settings(self, url: Any, *others: Any) -> Any:
        """Return what the environment says of a URL; for this machine no proxy."""
        settings = super().merge_environment_settings(url, *others)
        if is_this_machine(url):
            settings["proxies"] = {}
        return settings

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target: a redirect is an answer like any other."""


def is_this_machine(url: str) -> bool:
    """Return whether a URL names this machine: localhost, or an address such as 127.0.0.1."""
    host = _host(url)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _host(url: str) -> str:
    """Return the host of a URL, as the library that connects to it reads it."""
    try:
        return (parse_url(url).host or "").strip("[]").lower()
    except HTTPError:
        return ""


def cause(error: BaseException, url: str) -> str:
    """Return why a URL gave no answer and, where it helps, what to do; no text holds a secret."""
    return next(
        text.format(host=_host(url), error=link)
        for kind, text in _CAUSES
        for link in _chain(error)
        if isinstance(link, kind)
    )


def was_never_connected(error: BaseException) -> bool:
    """Return whether a failure shows by its own class that no request can have been sent."""
    cannot_be_made = isinstance(error, ValueError)  # a URL or a header is malformed
    return cannot_be_made or any(isinstance(link, _NOT_CONNECTED) for link in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
