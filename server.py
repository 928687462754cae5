"""Runs a WSGI app for real, on waitress. Knows nothing of what the app does.

The limits are those under which a thousand slow clients did not keep a good one waiting; waitress's
own let about a hundred do so. The body limit is above the app's, so that the app's answer is given.
"""

import errno
import logging
from collections.abc import Callable
from typing import Any

from waitress.server import create_server

LIMITS: dict[str, Any] = {
    "connection_limit": 2000,
    "channel_timeout": 10,
    "cleanup_interval": 5,
    "asyncore_use_poll": True,
    "max_request_body_size": 131_072,
    "max_request_header_size": 16_384,
    "ident": None,
}


_REMEDIES = {
    errno.EADDRINUSE: "end what runs there, or set another port",
    errno.EACCES: "set a port above 1023, or let a proxy take this one",
}


class ServeError(Exception):
    """The server cannot listen; the message says why and what to do."""


def serve(
    app: Any, *, host: str, port: int, threads: int, on_listening: Callable[[int], None]
) -> None:
    """Serve until Ctrl-C. `on_listening` is told the port, once connections are taken.

    Port 0 takes a free one. Raises `ServeError` if the address cannot be listened on.
    """
    try:
        server = create_server(app, host=host, port=port, threads=threads, **LIMITS)
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        cause = getattr(error, "strerror", None) or error
        remedy = _REMEDIES.get(code or 0, "set host to a name or an address of this machine")
        raise ServeError(f"cannot listen on {host}:{port}: {cause}; {remedy}") from None
    # A request that waits for a thread for a moment is no news to the operator.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    on_listening(_port(server))
    server.run()


def _port(server: Any) -> int:
    """Return the port; a host name of several addresses makes a server of several sockets."""
    several = getattr(server, "effective_listen", None)
    port: int = several[0][1] if several else server.effective_port
    return port
