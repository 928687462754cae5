"""Plays TeleSign's session endpoint on loopback, as strict as its documents.

Nothing of `telesign_api` or of TeleSign's SDK is imported, so that two readings of the documents
have to agree. What they do not show (the body of a 401, how far a date may be off) is played in a
likely form. Of the two ways to authenticate only Digest is played, which is what the SDK uses; a
key that is itself sent (Basic) is refused.

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
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import signature

PATH = "/v1/anonymous/session/sms_voice"
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
"""The units of a validity period, which TeleSign sets for each account, in seconds."""

DESCRIPTIONS = {
    2700: (200, "Session successfully created"),
    2701: (200, "Session created; the country of a mask differs from that of its number"),
    2702: (400, "No masked ID available"),
    2703: (400, "Invalid session type"),
    2704: (503, "Internal error"),
    2705: (400, "The validity period must be an integer above 0"),
    2706: (400, "The number is blocked by TeleSign"),
    2707: (400, "The number is blocked by the customer"),
    2708: (400, "The two numbers are equal"),
}
"""The HTTP status and the text of each code."""

ANSWERS = (*map(str, DESCRIPTIONS), "429", "500", "slow", "broken")
"""The answers that can be played in place of the right one."""

_POOL = [f"120255501{number}" for number in range(80, 90)]
_MEMBERS = {"phone_number_1", "phone_number_2", "validity_period"}
_MAX_VALIDITY_S = 720 * 3600
_MAX_SKEW_S = 900
_SLOW_S = 30

Answer = tuple[int, str, bytes]
"""HTTP status, content type and body."""

# The answers that TeleSign's documents do not show, but a client meets.
_BAD_ANSWERS: dict[str, Answer] = {
    "429": (429, "text/plain", b"too many requests"),
    "500": (500, "text/html", b"<h1>Internal Server Error</h1>"),
    "broken": (200, "application/json", b'{"status": {"code": 27'),
}


@dataclass
class Endpoint:
    """The account behind the endpoint, and what came of the requests so far.

    `answer`, one of `ANSWERS`, is given in place of the right one if set. A masking ID that was
    given away is never free again.
    """

    customer_id: str
    key: bytes
    unit_s: int = UNITS["hours"]
    answer: str = ""
    slow_s: float = _SLOW_S
    nonces: set[str] = field(default_factory=set)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request."""
        self.asked += 1
        if path != PATH:
            return _error(404, 404, "no such resource")
        code = self._authentication_error(headers, body)
        if code:
            return _error(401, code, "not authorized")
        if self.answer in _BAD_ANSWERS:
            return _BAD_ANSWERS[self.answer]
        if self.answer == "slow":
            time.sleep(self.slow_s)
        return self._create(headers, body)

    def _authentication_error(self, headers: Mapping[str, str], body: bytes) -> int | None:
        """Return the error code of a request that is not signed as it must be."""
        given, nonce = headers.get("Authorization", ""), headers.get("x-ts-nonce", "")
        if not given.startswith("TSA "):
            return -30005 if given else -30004
        if headers.get("x-ts-auth-method") != "HMAC-SHA256":
            return -30008
        code = _date_error(headers.get("Date", ""))
        if code:
            return code
        right = f"TSA {self.customer_id}:{signature.sign(_signed(headers, body), key=self.key)}"
        if not hmac.compare_digest(given.encode(), right.encode()):
            return -30006
        if not nonce or nonce in self.nonces:
            return -30012
        self.nonces.add(nonce)
        return None

    def _create(self, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            wanted = json.loads(body)
        except ValueError:
            wanted = None
        if headers.get("Content-Type") != "application/json" or not isinstance(wanted, dict):
            return _error(400, 400, "wanted a JSON object")
        code = int(self.answer) if self.answer.startswith("27") else self._code(wanted)
        if code is None:
            return _error(400, 400, f"wanted the members {', '.join(sorted(_MEMBERS))}")
        return _json(DESCRIPTIONS[code][0], self._message(code, wanted))

    def _code(self, wanted: dict[str, Any]) -> int | None:
        """Return the code that answers a request, `None` if it has other members."""
        numbers = _numbers(wanted)
        if wanted.keys() != _MEMBERS or not all(map(_is_number, numbers)):
            return None
        if numbers[0] == numbers[1]:
            return 2708
        validity = wanted["validity_period"]
        if type(validity) is not int or not 0 < validity * self.unit_s <= _MAX_VALIDITY_S:
            return 2705
        return 2700 if len(self._free_masks(numbers)) > 1 else 2702

    def _free_masks(self, numbers: list[Any]) -> list[str]:
        taken = {mask for session in self.sessions for mask in session["masks"]}
        return [mask for mask in _POOL if mask not in taken and mask not in numbers]

    def _message(self, code: int, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return the message with a code; one of success creates the session."""
        numbers, validity = _numbers(wanted), wanted.get("validity_period")
        masks: list[str | None] = [None, None]
        now = ends = datetime.now(UTC)
        if DESCRIPTIONS[code][0] == 200:
            # With an answer that was chosen, masks are given twice once the pool is empty.
            masks[:] = [*self._free_masks(numbers), *_POOL][:2]
            ends += timedelta(seconds=min(int(validity or 0) * self.unit_s, _MAX_VALIDITY_S))
            self.sessions.append({"numbers": numbers, "masks": masks})
        return {
            "reference_id": uuid.uuid4().hex.upper(),
            "external_id": None,
            "status": {
                "code": code,
                "description": DESCRIPTIONS[code][1],
                "updated_on": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
            },
            "session_data": {
                "session_end_on": f"{ends:%Y-%m-%d %H:%M:%S.%f}",
                "resource": "sms_voice",
                "message": "",
                "validity": str(validity),
                "phone_number_1": _party(numbers[0], masks[0]),
                "phone_number_2": _party(numbers[1], masks[1]),
            },
            "error": None,
        }


def _numbers(wanted: dict[str, Any]) -> list[Any]:
    return [wanted.get("phone_number_1"), wanted.get("phone_number_2")]


def _party(number: object, mask: str | None) -> dict[str, Any]:
    return {
        "complete_phone_number": number,
        "country_name": "United States",
        "country_iso3": "USA",
        "country_iso2": "US",
        "country_code": "1",
        "masked_id": mask,
    }


def _date_error(date: str) -> int | None:
    """Return the error code of a date that is missing, unreadable or too far off."""
    try:
        skew = abs((parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return -30009 if date else -30007
    return -30010 if skew > _MAX_SKEW_S else None


def _signed(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the signed bytes of a request. Source: Authentication, Digest; TeleSign's SDKs."""
    lines = [
        "POST",
        headers.get("Content-Type", ""),
        headers.get("Date", ""),
        f"x-ts-auth-method:{headers.get('x-ts-auth-method', '')}",
        f"x-ts-nonce:{headers.get('x-ts-nonce', '')}",
    ]
    return b"\n".join(
        [*(line.encode() for line in lines), *([body] if body else []), PATH.encode()]
    )


def _is_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9]{7,15}", value, re.ASCII) is not None


def _error(status: int, code: int, description: str) -> Answer:
    return _json(status, {"status": {"code": code, "description": description}})


def _json(status: int, message: dict[str, Any]) -> Answer:
    return status, "application/json", json.dumps(message).encode()


def endpoint_server(endpoint: Endpoint, port: int = 0) -> ThreadingHTTPServer:
    """Return a server for the endpoint on loopback; the caller runs and closes it.

    Requests are answered in threads of their own, so two at the same instant could get the same
    masking IDs; the clients here ask one after the other.
    """

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

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
