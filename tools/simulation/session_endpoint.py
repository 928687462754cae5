"""Plays TeleSign's session endpoint on loopback, as strict as its documents.

Nothing of the `session` command or of TeleSign's SDK is imported, so that two readings of the
documents have to agree. What they do not show (the body of a 401) is played in a likely form. Of
the two ways to authenticate only Digest is played, which is what the SDK uses; a key that is itself
sent (Basic) is refused. How old a request is, or whether its nonce is new, is not looked at. An
answer holds no more members than say something here.

Sources: TeleSign, "Engage API (Number Masking)" v1.0 and "Authentication".
"""

import hmac
import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import signature

PATH = "/v1/anonymous/session/sms_voice"
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
"""The units of a validity period, which TeleSign sets for each account, in seconds."""

STATUSES = dict.fromkeys(range(2702, 2709), 400) | {2700: 200, 2701: 200, 2704: 503}
"""The HTTP status that each code comes with."""

ANSWERS = (*map(str, sorted(STATUSES)), "429", "500", "slow", "broken")
"""The answers that can be played in place of the right one."""

_POOL = [f"120255501{number}" for number in range(80, 90)]
_MEMBERS = ("phone_number_1", "phone_number_2", "validity_period")
_MAX_VALIDITY_S = 720 * 3600
_SLOW_S = 30

HttpAnswer = tuple[int, str, bytes]
"""HTTP status, content type and body."""

# The answers that TeleSign's documents do not show, but a client meets.
_BAD_ANSWERS: dict[str, HttpAnswer] = {
    "429": (429, "text/plain", b"too many requests"),
    "500": (500, "text/html", b"<h1>Internal Server Error</h1>"),
    "broken": (200, "application/json", b'{"status": {"code": 27'),
}


@dataclass
class Endpoint:
    """The account behind the endpoint, and the masking IDs that are free; none comes back.

    `answer`, one of `ANSWERS`, is given in place of the right one if set.
    """

    customer_id: str
    key: bytes
    unit_s: int = UNITS["hours"]
    answer: str = ""
    slow_s: float = _SLOW_S
    free: list[str] = field(default_factory=lambda: [*_POOL])

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Answer one request."""
        if path != PATH:
            return _json(404, 404)
        right = (
            f"TSA {self.customer_id}:{signature.sign(_signed_bytes(headers, body), key=self.key)}"
        )
        given = headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), right.encode()):
            return _json(401, 401)
        if self.answer in _BAD_ANSWERS:
            return _BAD_ANSWERS[self.answer]
        if self.answer == "slow":
            time.sleep(self.slow_s)
        wanted = _read(body)
        if wanted is None:
            return _json(400, 400)
        return self._create(*wanted)

    def _create(self, one: str, other: str, validity: int) -> HttpAnswer:
        """Create a session, or refuse it."""
        masks = [mask for mask in self.free if mask not in {one, other}][:2]
        validity_s = validity * self.unit_s
        if self.answer.startswith("27"):
            code, masks = int(self.answer), _POOL[:2]
        elif one == other:
            code = 2708
        elif not 0 < validity_s <= _MAX_VALIDITY_S:
            code = 2705
        else:
            code = 2700 if len(masks) > 1 else 2702
        if STATUSES[code] != 200:
            return _json(STATUSES[code], code)
        self.free = [mask for mask in self.free if mask not in masks]
        ends = datetime.now(UTC) + timedelta(seconds=validity_s)
        data = {
            "session_end_on": f"{ends:%Y-%m-%d %H:%M:%S.%f}",
            "phone_number_1": {"complete_phone_number": one, "masked_id": masks[0]},
            "phone_number_2": {"complete_phone_number": other, "masked_id": masks[1]},
        }
        return _json(200, code, reference_id=uuid.uuid4().hex.upper(), session_data=data)


def _read(body: bytes) -> tuple[str, str, int] | None:
    """Return the two numbers and the validity of a request; `None` if it holds anything else."""
    try:
        wanted = json.loads(body)
        one, other, validity = (wanted.pop(name) for name in _MEMBERS)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    fits = _is_number(one) and _is_number(other) and type(validity) is int and not wanted
    return (one, other, validity) if fits else None


def _signed_bytes(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the signed bytes of a request. Source: Authentication, Digest; TeleSign's SDKs."""
    lines = (
        "POST",
        headers.get("Content-Type", ""),
        headers.get("Date", ""),
        f"x-ts-auth-method:{headers.get('x-ts-auth-method', '')}",
        f"x-ts-nonce:{headers.get('x-ts-nonce', '')}",
    )
    return b"\n".join((*map(str.encode, lines), body, PATH.encode()))


def _is_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9]{7,15}", value, re.ASCII) is not None


def _json(http_status: int, code: int, **members: object) -> HttpAnswer:
    message = {"status": {"code": code}, **members}
    return http_status, "application/json", json.dumps(message).encode()


def endpoint_server(endpoint: Endpoint, port: int = 0) -> HTTPServer:
    """Return a server for the endpoint on loopback; the caller runs and closes it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, kind, answer = endpoint.post(self.path, dict(self.headers.items()), body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Log nothing: a request holds real numbers."""

    return HTTPServer(("127.0.0.1", port), Handler)
