"""Plays TeleSign's session endpoint on loopback, strict in what it takes.

It knows TeleSign from its documents alone and imports nothing of `telesign_api` or of TeleSign's
SDK, so that two readings have to agree. What the documents do not show (the body of a 401, how far
a date may be off) is played in a likely form. Of the two ways to authenticate it plays Digest
alone, which is what the SDK does: a key that is sent itself (Basic) is refused.

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
ANSWERS = (*map(str, DESCRIPTIONS), "429", "500", "slow", "broken")

_POOL = [f"120255501{number}" for number in range(80, 90)]
_MEMBERS = {"phone_number_1", "phone_number_2", "validity_period"}
_MAX_SECONDS = 720 * 3600
_MAX_SKEW_S = 900
_SLOW_S = 30

Answer = tuple[int, str, bytes]


@dataclass
class Endpoint:
    """The account behind the endpoint; `answer` is played instead of the right one if set."""

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
            return _json(404, {"status": {"code": 404, "description": "no such resource"}})
        trouble = self._authorize(headers, body)
        if trouble:
            return _json(401, {"status": {"code": int(trouble), "description": "not authorized"}})
        if self.answer == "429":
            return 429, "text/plain", b"too many requests"
        if self.answer == "500":
            return 500, "text/html", b"<h1>Internal Server Error</h1>"
        if self.answer == "broken":
            return 200, "application/json", b'{"status": {"code": 27'
        if self.answer == "slow":
            time.sleep(self.slow_s)
        return self._create(headers, body)

    def _authorize(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the error code of a request that is not signed as it must be, or nothing."""
        given, nonce = headers.get("Authorization", ""), headers.get("x-ts-nonce", "")
        if not given.startswith("TSA "):
            return "-30005" if given else "-30004"
        if headers.get("x-ts-auth-method") != "HMAC-SHA256":
            return "-30008"
        trouble = _date_trouble(headers.get("Date", ""))
        if trouble:
            return trouble
        right = f"TSA {self.customer_id}:{signature.sign(_signed(headers, body), key=self.key)}"
        if not hmac.compare_digest(given.encode(), right.encode()):
            return "-30006"
        if not nonce or nonce in self.nonces:
            return "-30012"
        self.nonces.add(nonce)
        return ""

    def _create(self, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        if headers.get("Content-Type") != "application/json" or not isinstance(asked, dict):
            return _json(400, {"status": {"code": 400, "description": "wanted a JSON object"}})
        code = int(self.answer) if self.answer.startswith("27") else self._refusal(asked)
        if code is None:
            return _json(400, {"status": {"code": 400, "description": "wanted other members"}})
        return _json(DESCRIPTIONS[code][0], self._message(code, asked))

    def _refusal(self, asked: dict[str, Any]) -> int | None:
        numbers = [asked.get("phone_number_1"), asked.get("phone_number_2")]
        if asked.keys() != _MEMBERS or not all(map(_is_number, numbers)):
            return None
        if numbers[0] == numbers[1]:
            return 2708
        validity = asked["validity_period"]
        if type(validity) is not int or not 0 < validity * self.unit_s <= _MAX_SECONDS:
            return 2705
        return 2700 if len(self._free_masks(numbers)) > 1 else 2702

    def _free_masks(self, numbers: list[Any]) -> list[str]:
        taken = {mask for session in self.sessions for mask in session["masks"]}
        return [mask for mask in _POOL if mask not in taken and mask not in numbers]

    def _message(self, code: int, asked: dict[str, Any]) -> dict[str, Any]:
        created = DESCRIPTIONS[code][0] == 200
        now = datetime.now(UTC)
        numbers = [asked.get("phone_number_1"), asked.get("phone_number_2")]
        masks: list[str | None] = [None, None]
        validity = asked.get("validity_period")
        ends = now
        if created:
            masks[:] = [*self._free_masks(numbers), *_POOL][:2]
            ends = now + timedelta(seconds=min(int(validity or 0) * self.unit_s, _MAX_SECONDS))
            self.sessions.append({"numbers": numbers, "masks": masks})
        parties = {
            f"phone_number_{position}": {
                "complete_phone_number": number,
                "country_name": "United States",
                "country_iso3": "USA",
                "country_iso2": "US",
                "country_code": "1",
                "masked_id": mask,
            }
            for position, number, mask in zip((1, 2), numbers, masks, strict=True)
        }
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
                **parties,
            },
            "error": None,
        }


def _date_trouble(date: str) -> str:
    """Return the error code of a date, or nothing."""
    try:
        skew = abs((parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return "-30009" if date else "-30007"
    return "-30010" if skew > _MAX_SKEW_S else ""


def _signed(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return what is signed of a request. Source: Authentication, Digest; the SDKs of TeleSign."""
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


def _json(status: int, message: dict[str, Any]) -> Answer:
    return status, "application/json", json.dumps(message).encode()


def endpoint_server(endpoint: Endpoint, port: int = 0) -> ThreadingHTTPServer:
    """Return a server for the endpoint on loopback, to be run and closed by the caller."""

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
            """Say nothing: a request holds real numbers."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
