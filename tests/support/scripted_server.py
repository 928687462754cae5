"""A server that answers each event as a test says, whatever the signature."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import facts

Answer = Callable[[dict[str, Any]], Any]
"""Returns, for an event, the message to answer with 200, or a status line and a message."""


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def scripted_server(answer: Answer) -> Iterator[str]:
    """Serve these answers until the end of the block; yield the URL."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        got = answer(json.loads(body or b'{"event": ""}'))
        status, message = got if isinstance(got, tuple) else ("200 OK", got)
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(message).encode()]

    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def well_but(**answers: Any) -> Answer:
    """Answer these events so, and the others as a good server would that has no greeting."""
    good: dict[str, Any] = {"incoming_call": facts.DIAL, "call_leg_completed": facts.HANGUP}
    return lambda event: (good | answers).get(event["event"], {})


def incoming_calls(*answers: Any) -> Answer:
    """Answer the first incoming calls so, one after the other, and all else well."""
    waiting, otherwise = list(answers), well_but()
    return lambda event: (
        waiting.pop(0) if event["event"] == "incoming_call" and waiting else otherwise(event)
    )
