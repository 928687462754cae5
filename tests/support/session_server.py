"""The simulated session endpoint on a real socket, in this process."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from tools.simulation.session_endpoint import endpoint_server


@contextlib.contextmanager
def session_server(endpoint: Any) -> Iterator[str]:
    """Serve an endpoint, or what has its `post`, until the end of the block; yield the URL."""
    with endpoint_server(endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
