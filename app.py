"""The web app: HTTP in, HTTP out.

A request goes one straight way: raw body, signature, event, decision, record, answer. Each step may
raise; only this file turns that into an HTTP status. No answer but a dial command holds a phone
number, and none holds a path, the text of an exception or a version.

    loop (serving.server)   reads requests, sends answers
      worker thread         receive_event: verifies, parses, waits for the call log
        log writer          decides and records in one transaction, then lets the worker answer
        lines' writer        writes the line; nobody waits for it

The decision is made inside the transaction that records it: two processes on one call log would
otherwise give two different dials for one call.

`python app.py` serves, by `serving/start.py`; with a command it is a tool, by `tools/main.py`.
Another WSGI server runs `app:application`.
"""

if __name__ == "__main__":
    import signal

    # First of all: to a server it means "read the list again", and that is about to be done.
    hangup = hasattr(signal, "SIGHUP") and signal.signal(signal.SIGHUP, signal.SIG_IGN)

    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent))  # `python -P` and -I leave it out

    from serving import prerequisites

    prerequisites.check()  # first: the imports below find out what is missing

import json
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any

from bottle import Bottle, HTTPError, HTTPResponse, request

import events
import signature
from allow_list.reload import LiveAllowList
from calls import CallState, CallStore, Clock, Decision, Delivery, LogUnavailable
from commands import Command, NoAction
from config import HEALTH_PATH, Settings, prompts
from routing import decide
from serving import sources, start
from serving.lines import Lines

MAX_BODY_BYTES = 65_536
MAX_FAILED_SIGNATURES = 3  # with our customer id, one after the other: then `/health` says so

_compact = json.JSONEncoder(separators=(",", ":")).encode
_NO_SUCH_PAGE = "wanted POST on the event path"
_STATUS = {"bad_json": 400, "bad_text": 400, "bad_event": 400, "unauthorized": 401}
_STATUS |= {"not_found": 404, "method_not_allowed": 405, "too_large": 413}
_STATUS |= {"unsupported_media_type": 415, "internal": 500, "log_unavailable": 503}
_HEADERS = {401: {"WWW-Authenticate": "TSA"}, 503: {"Retry-After": "5"}}


@dataclass
class Handlers:
    """Handles the requests of one server: events and health.

    The answer to an event depends on what `calls` holds of its call, and is recorded there.
    """

    settings: Settings
    allow_list: LiveAllowList
    calls: CallStore
    lines: Lines
    clock: Clock = sources.now

    def __post_init__(self) -> None:
        self._prompts = prompts(self.settings)
        self._since = self.clock().utc
        # Any worker writes the next three and any reads them for `/health`, without a lock: an
        # assignment, and what a deque is asked for here, is one step each.
        self._last_event: datetime | None = None
        self._last_rejected: dict[str, str | None] | None = None
        self._failed_signatures: deque[str] = deque(maxlen=MAX_FAILED_SIGNATURES)

    def app(self) -> Bottle:
        """Return the Bottle app, a WSGI callable, that has these handlers."""
        app = Bottle()
        app.default_error_handler = self.answer_bottle_error
        app.route(self.settings.event_path, "POST", partial(self.answer, self.receive_event))
        app.route(HEALTH_PATH, "GET", partial(self.answer, self.health))
        return app

    def answer(self, handler: Callable[[], HTTPResponse]) -> HTTPResponse:
        """Return the answer of a handler; log an exception and answer with its HTTP status.

        The line says the shape of what came only if it was signed: a stranger could choose its
        words.
        """
        try:
            if not _is_exact_path(request.environ):
                return self.refuse("not_found", _NO_SUCH_PAGE)
            return handler()
        except (events.EventError, signature.SignatureError, LogUnavailable) as error:
            now = _utc(self.clock().utc)
            self._last_rejected = {"time": now, "error": error.word, "cause": error.cause}
            if isinstance(error, signature.SignatureError) and error.names_us:
                self._failed_signatures.append(error.cause)
            shape = getattr(error, "shape", "") if self.settings.verified else ""
            return self.refuse(error.word, error.cause, shape=shape)
        except Exception as error:  # noqa: BLE001 - the sender waits for an answer
            self.lines.failure(error)
            return _answer(_compact({"error": "internal"}), 500)

    def refuse(self, word: str, cause: str, *, shape: str = "") -> HTTPResponse:
        """Log a request that is turned away, and return the answer that says so."""
        self.lines.rejection(word, cause, shape=shape)
        return _answer(_compact({"error": word}), _STATUS[word])

    def answer_bottle_error(self, error: HTTPError) -> HTTPResponse:
        """Return our answer to a path or a method that Bottle has no route for."""
        words = {404: "not_found", 405: "method_not_allowed"}
        is_exact = _is_exact_path(request.environ)
        word = words.get(error.status_code, "internal") if is_exact else "not_found"
        refusal = self.refuse(word, "refused by Bottle" if word == "internal" else _NO_SUCH_PAGE)
        if word == "method_not_allowed":
            refusal.set_header("Allow", error.get_header("Allow"))
        return refusal

    def receive_event(self) -> HTTPResponse:
        """Answer one event from TeleSign with a command."""
        started = time.perf_counter()
        environ = request.environ
        body = _read_body(environ)
        if self.settings.verified:
            signature.verify(
                body,
                authorization=environ.get("HTTP_AUTHORIZATION"),
                x_ts_authorization=environ.get("HTTP_X_TS_AUTHORIZATION"),
                customer_id=self.settings.customer_id,
                keys=self.settings.api_keys,
            )
        _check_media_type(environ)
        event = events.parse(body, home_country_code=self.settings.home_country_code)
        delivery = Delivery(event, body, self.clock())
        self._last_event = delivery.received.utc
        self._failed_signatures.clear()

        def decide_by(call: CallState) -> Decision:
            return decide(event, call, self.allow_list.current, self._prompts, delivery.received)

        call, decision = self.calls.answer(delivery, decide_by)
        self.lines.event(event, call, decision, time.perf_counter() - started)
        return _reply(decision.command, self.settings.carry_on)

    def health(self) -> HTTPResponse:
        """Answer with the state of list and log, and with counts.

        A stale list is not `ok`, but no 503 either: a load balancer would take away every server
        that has this list, and none would be left to answer. `rejecting` is a hint: anybody who
        knows our customer id can cause it, until the next good event.
        """
        log, listed = self.calls.health(), self.allow_list.health()
        failing, stale = log["call_log"] == "failing", listed["allow_list"] == "stale"
        rejecting = len(self._failed_signatures) == MAX_FAILED_SIGNATURES
        status = "degraded" if failing else "stale" if stale else "rejecting" if rejecting else "ok"
        ours = {
            "status": status,
            "since": _utc(self._since),
            "last_event": _utc(self._last_event),
            "last_rejected": self._last_rejected,
            "signatures": "verified" if self.settings.verified else "open",
            "routes": len(self.allow_list.current),
            "real_numbers": not self.settings.only_fictional,
        }
        return _answer(_compact(ours | listed | log | self.lines.counts()), 503 if failing else 200)


@lru_cache
def _reply(command: Command, carry_on: str) -> HTTPResponse:
    """Return the answer that is a command; `carry_on` is what is sent to leave a call as it is."""
    return _answer(carry_on if isinstance(command, NoAction) else command.to_json())


def _answer(text: str, status: int = 200) -> HTTPResponse:
    """Return a complete answer. Nothing may change it: `_reply` gives it to several threads."""
    body = text.encode("ascii")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= {"Cache-Control": "no-store", **_HEADERS.get(status, {})}
    return HTTPResponse(body, status, headers)


def _utc(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _is_exact_path(environ: Mapping[str, Any]) -> bool:
    """Return whether the path is as it was sent: Bottle and waitress alter `/%ff` and `//`."""
    uri = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if not uri:
        return bool(environ["bottle.raw_path"] == environ["PATH_INFO"])
    path = uri if uri.startswith("/") else re.sub("^https?://[^/?]+", "", uri)
    seen = environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"]
    return bool(seen and path.partition("?")[0] == seen)


def _read_body(environ: Mapping[str, Any]) -> bytes:
    """Return the body exactly as it was sent; never read more than the limit and one byte."""
    declared = environ.get("CONTENT_LENGTH") or ""
    undeclared = MAX_BODY_BYTES + 1 if environ.get("wsgi.input_terminated") else 0
    size = int(declared[:9]) if declared.isdecimal() else undeclared
    is_too_large = declared.isdecimal() and size > MAX_BODY_BYTES
    body: bytes = b"" if is_too_large else environ["wsgi.input"].read(size)
    if is_too_large or len(body) > MAX_BODY_BYTES:
        raise events.EventError("too_large", "too large")
    return body


def _check_media_type(environ: Mapping[str, Any]) -> None:
    media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if media_type != "application/json" or encoding not in ("", "identity"):
        raise events.EventError("unsupported_media_type", "wanted application/json, not compressed")


def __getattr__(name: str) -> Any:
    """Build `application` when another WSGI server asks for it, so that an import reads nothing."""
    if name != "application":
        raise AttributeError(name)
    return start.application(Handlers)


def main(before_command: Callable[[], object] = lambda: None) -> int:
    """Serve, or run the command that the command line names; return the exit status."""
    options, words = start.server_parser(add_help=False).parse_known_args()
    if not words:
        return start.run(Handlers, options.config)
    before_command()
    if find_spec("tools") is None:
        start.server_parser().parse_args()  # helps, or names the word that it does not know; exits
    from tools import main as tools

    return tools.main()


if __name__ == "__main__":
    sys.exit(main(lambda: hasattr(signal, "SIGHUP") and signal.signal(signal.SIGHUP, hangup)))
