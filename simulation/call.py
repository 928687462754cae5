"""One simulated call: what TeleSign posts, what it is answered, and what people see meanwhile.

A `SimulatedCall` posts its events over HTTP and keeps every exchange and every step for drawing.
Where TeleSign's documents do not say what it sends, the likely form is sent and marked as assumed.

Sources: TeleSign, "Voice - Events" and "Authenticate callbacks"; the guide "Set Up a Call with
Number Masking"; TeleSign/voice_server_demo.
"""

import contextlib
import json
import re
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import requests

import signature
from cli import http_client
from cli.console import CALLED, CALLER, SERVER, TELESIGN, Arrow, Note, Step
from simulation.validator import Json, Reply, read_reply

SIMULATED = "SIMULATED"
"""How the reference id of each simulated call begins, so that none is taken for a real one."""

MAX_WAIT_S = 30

Signing = Literal["valid", "forged", "unsigned"]

# Of a call that both people talked on, the called person's leg begins when the phone there rings.
_INBOUND_S, _OUTBOUND_S, _RINGING_S = 9, 6, 2


@dataclass(frozen=True, slots=True)
class Exchange:
    """One event and its answer, as they went over the wire; status 0 means no answer."""

    event: str
    sent: str
    assumed: str
    status: int
    answer: str
    milliseconds: float
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests as TeleSign does; `signing` says whether rightly, with another key, or not."""

    customer_id: str = ""
    key: bytes = b""
    signing: Signing = "valid"

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], signing: Signing = "valid"
    ) -> "Signer":
        """Return a signer with the first key of the environment, if there is one.

        Raises `signature.KeyFormError`.
        """
        text = environment.get("TELESIGN_API_KEY", "").partition(",")[0].strip()
        key = signature.decode_key(text) if text else b""
        return cls(environment.get("TELESIGN_CUSTOMER_ID", "").strip(), key, signing)

    def headers(self, body: bytes) -> dict[str, str]:
        """Return the headers for a body; without a key, a valid request is one without signature.

        So a server that verifies nothing can be called without an account.
        """
        headers = {"Content-Type": "application/json"}
        if self.signing == "unsigned" or not (self.key or self.signing == "forged"):
            return headers
        key = secrets.token_bytes(32) if self.signing == "forged" else self.key
        bare = signature.sign(body, key=key)
        headers["Authorization"] = f"TSA {self.customer_id}:{bare}"
        headers["X-TS-Authorization"] = bare
        return headers


class Failed(Exception):  # noqa: N818 - a verdict, not an error
    """The server's answer is wrong; the text says what was wanted and what was got."""


class Refused(Failed):
    """A call that had to be connected was refused."""


class Rejected(Exception):  # noqa: N818 - a verdict, not an error
    """The server rejected a forged or unsigned request, as it must."""


def new_reference_id() -> str:
    """Return an id of 32 characters, as long as TeleSign's."""
    return SIMULATED + uuid.uuid4().hex.upper()[len(SIMULATED) :]


class SimulatedCall:
    """One call that TeleSign carries: posts its events and checks what they are answered.

    `steps` are for drawing, `exchanges` are what went over the wire. Every method that posts raises
    `Failed` if TeleSign would not take the answer, and `Rejected` if a request without a valid
    signature was rejected.
    """

    def __init__(
        self,
        session: requests.Session,
        url: str,
        signer: Signer,
        *,
        to: str,
        caller: str,
        digit: str = "1",
    ) -> None:
        self.to, self.caller, self.digit = to, caller, digit
        self.steps: list[Step] = []
        self.exchanges: list[Exchange] = []
        self.bridged = False
        self.destination = ""
        self.signer = signer
        self.reference_id = new_reference_id()
        self._session, self._url = session, url

    # What happens, one step each

    def dial_in(self) -> Reply:
        """Let the caller dial; TeleSign asks what to do."""
        self.steps.append(Note(CALLER, f"dials and sees {self.to}"))
        return self.report_incoming()

    def report_incoming(self) -> Reply:
        """Report that the caller dialled; each report of one call is the same, to the byte."""
        assumed = "" if self.caller else "a withheld number is an empty `from`"
        data = {"to": self.to, "from": self.caller}
        return self.report("incoming_call", data, assumed=assumed)

    def ring(self) -> Reply:
        """Dial in; the reply must be a dial, and the destination's phone rings."""
        reply = self.dial_in()
        if reply.method != "dial":
            raise Refused(f"wanted dial, got {reply.name}")
        self.destination = reply.params["to"]
        shown = reply.params["caller_id_number"]
        self.steps.append(Arrow(TELESIGN, CALLED, f"rings {self.destination}"))
        self.steps.append(Note(CALLED, f"sees {shown}", "bold"))
        return reply

    def call_back(self) -> str:
        """Begin a new call, from the person who was called; return the first caller's number."""
        first, self.caller = self.caller, self.destination
        self.bridged, self.reference_id = False, new_reference_id()
        self.steps.append(Note(TELESIGN, "the other way round", "dim"))
        return first

    def complete_dial(self, status: str) -> Reply:
        """Report that the dial was answered, or how it failed."""
        assumed = ""
        if status == "answered":
            self.steps.append(Arrow(CALLED, TELESIGN, "answers"))
            self.bridged = True
        else:
            self.steps.append(Note(CALLED, status.replace("_", " ")))
            assumed = f"a failed dial has the status {status!r}"
        data = {"to": self.destination, "from": self.to, "status": status}
        return self.report("dial_completed", data, assumed=assumed)

    def play_message(self, reply: Reply, *, digits: str | None = None) -> Reply:
        """Play a message to its end; if it collects digits, press these (default: `digit`)."""
        listener = CALLED if self.bridged else CALLER
        message = reply.params.get("tts", {}).get("message", "audio")
        self.steps.append(Arrow(TELESIGN, listener, f"says: {message}"))
        data = {"status": "speak_successful"}
        pressed = self.digit if digits is None else digits
        if reply.collects and pressed:
            self.steps.append(Arrow(listener, TELESIGN, f"presses {pressed}"))
            data["collected_digits"] = pressed
        event = "speak_completed" if reply.method == "speak" else "play_completed"
        return self.report(event, data)

    def end_leg(self) -> Reply:
        """Let the called person hang up while the caller stays."""
        self.steps.append(Arrow(CALLED, TELESIGN, "hangs up"))
        data = {"to": self.destination, "from": self.to}
        return self.report("call_leg_completed", data, assumed="the data of this event")

    def end(self, party: int | None = None) -> Reply:
        """End the call; TeleSign reports both legs if people were connected."""
        if party is not None:
            self.steps.append(Arrow(party, TELESIGN, "hangs up"))
        inbound = _leg(self.caller, self.to, "inbound", _INBOUND_S)
        if not self.bridged:
            return self.report("call_completed", inbound)
        outbound = _leg(self.to, self.destination, "outbound", _OUTBOUND_S)
        legs = {"inbound": inbound, "outbound": outbound}
        return self.report("call_completed", legs, assumed="the layout of the two legs")

    # What must come of it

    def connect(self) -> None:
        """Dial in, be connected, play the greeting and talk."""
        self.ring()
        self.talk(self.complete_dial("answered"))

    def talk(self, reply: Reply) -> None:
        """Let both people talk; fail if the call does not go on."""
        self.must_go_on(reply)
        self.steps.append(Arrow(CALLER, CALLED, "they talk", "bold", both_ways=True))

    def must_go_on(self, reply: Reply) -> None:
        """Play the message of a reply, if any; fail if the live call is cut."""
        pressed = ""
        if reply.speaks:
            pressed = f" after {self.digit} was pressed (--digit)" if reply.collects else ""
            reply = self.play_message(reply)
        if reply.method == "hangup":
            raise Failed(f"wanted the live call to go on{pressed}, got hangup")

    def must_be_refused(self, reply: Reply) -> None:
        """Fail unless the call is refused; play the refusal to its end."""
        if reply.method == "dial":
            raise Failed("wanted a refusal, got dial")
        if reply.speaks:
            self.must_hang_up(self.play_message(reply))
        self.end()

    def must_hang_up(self, reply: Reply) -> None:
        """Fail unless the reply ends the call."""
        if reply.method != "hangup":
            raise Failed(f"wanted hangup, got {reply.name}")

    # How it goes over the wire

    def report(self, event: str, data: Json, *, assumed: str = "") -> Reply:
        """Post an event of this call."""
        message = {"event": event, "reference_id": self.reference_id, "data": data}
        return self.post(json.dumps(message).encode(), event, assumed=assumed)

    def post(self, body: bytes, event: str, *, assumed: str = "") -> Reply:
        """Post any body, and read the answer as the answer to `event`."""
        sent = body.decode("utf-8", "replace")
        headers = self.signer.headers(body)
        started = time.perf_counter()
        try:
            answer = self._session.post(self._url, body, headers=headers, timeout=MAX_WAIT_S)
        except http_client.FAILURES as error:
            cause, remedy = http_client.cause(error, self._url)
            fault = f"wanted an answer to {event}, got none: {cause}; {remedy}"
            ms = _milliseconds(time.perf_counter() - started)
            self._keep(Exchange(event, sent, assumed, 0, "", ms, (fault,)))
            raise Failed(fault) from None
        seconds = time.perf_counter() - started
        reply = self._read(event, answer, seconds)
        if event != "call_completed" and answer.ok and not reply.method and not reply.faults:
            assumed = "; ".join(filter(None, (assumed, "{} is taken here")))
        got, ms = answer.content.decode("utf-8", "replace"), _milliseconds(seconds)
        self._keep(Exchange(event, sent, assumed, answer.status_code, got, ms, reply.faults))
        if reply.faults:
            raise Failed("; ".join(reply.faults))
        if self.signer.signing != "valid":
            raise Rejected
        return reply

    def _read(self, event: str, answer: requests.Response, seconds: float) -> Reply:
        """Read an answer by TeleSign's rules, or that to a bad request by our own: 401, no number.

        A request without a valid signature may come from a stranger, who must learn no number.
        """
        status, signing = answer.status_code, self.signer.signing
        if signing == "valid":
            content_type = answer.headers.get("Content-Type", "")
            return read_reply(event, self.caller, status, content_type, answer.content, seconds)
        faults: tuple[str, ...] = ()
        if status != 401:
            hint = " (the server verifies no signatures)" if status == 200 else ""
            faults = (f"status: wanted 401 for the {signing} request, got {status}{hint}",)
        elif re.search(rb"\d{7,}", answer.content):
            faults = (f"body: wanted no number for the {signing} request, got one",)
        return Reply("", {}, faults)

    def _keep(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        number = len(self.exchanges)
        self.steps.append(Arrow(TELESIGN, SERVER, f"{number} {exchange.event}", "cyan"))
        label = f"{number} {_label(exchange)} {exchange.milliseconds:g} ms"
        self.steps.append(Arrow(SERVER, TELESIGN, label, "red" if exchange.faults else "green"))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _label(exchange: Exchange) -> str:
    if exchange.status != 200:
        return str(exchange.status or "no answer")
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(exchange.answer).get("method", "no action"))
    return "?"


def _leg(caller: str, to: str, direction: str, duration_s: int) -> Json:
    """Return a leg as `call_completed` reports it; its times bear no zone and mean UTC."""
    created = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=duration_s)

    def after(seconds: int) -> str:
        return (created + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

    return {
        "duration": duration_s,
        "created_on_utc": after(0),
        "answered_on_utc": after(_RINGING_S),
        "ended_on_utc": after(duration_s),
        "status": "hangup",
        "audio_recording_file_name": None,
        "to": to,
        "from": caller,
        "direction": direction,
    }
