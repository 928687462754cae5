"""One simulated call: what TeleSign posts, what it is answered, and what people see meanwhile.

A `SimulatedCall` posts its events over HTTP and keeps every exchange and every step for drawing.
Where TeleSign's documents do not say what it sends, the likely form is sent and marked as assumed.

Sources: TeleSign, "Voice - Events" and "Authenticate callbacks"; the guide "Set Up a Call with
Number Masking"; TeleSign/voice_server_demo.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import requests

import signature
from tools import http_client
from tools.console import CALLED, CALLER, SERVER, TELESIGN, Arrow, Note, Step
from tools.simulation.own_list import OwnList
from tools.simulation.validator import Answer, Json, Reply, read_reply

SIMULATED = "SIMULATED"
"""How the reference id of each simulated call begins, so that none is taken for a real one."""

MAX_WAIT_S = 30

# Of a call that both people talked on, the called person's leg begins when the phone there rings.
_INBOUND_S, _OUTBOUND_S, _RINGING_S = 9, 6, 2
_BY_SETTINGS = {"greeting", "language"}  # of a row that leaves them empty, whatever they are


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
    """Signs requests as TeleSign does. Without a key it does not, for a server that has none."""

    customer_id: str = ""
    key: bytes = b""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Signer":
        """Return a signer with the first key of the environment, if there is one.

        Raises `signature.KeyFormError`.
        """
        text = environment.get("TELESIGN_API_KEY", "").partition(",")[0].strip()
        key = signature.decode_key(text) if text else b""
        return cls(environment.get("TELESIGN_CUSTOMER_ID", "").strip(), key)

    def headers(self, body: bytes) -> dict[str, str]:
        """Return the headers for a body."""
        headers = {"Content-Type": "application/json"}
        if self.key:
            bare = signature.sign(body, key=self.key)
            headers["Authorization"] = f"TSA {self.customer_id}:{bare}"
            headers["X-TS-Authorization"] = bare
        return headers


class Failure(Exception):  # noqa: N818 - a verdict, not an error
    """The server's answer is wrong; the text says what was wanted and what was got.

    `to_do` is the command that says why, if there is one.
    """

    def __init__(self, text: str, to_do: str = "") -> None:
        super().__init__(text)
        self.to_do = to_do


class MissingSetup(Failure):
    """The answer is wrong for the scenario, but right for a server that is not set up for it."""


def new_reference_id() -> str:
    """Return an id of 32 characters, as long as TeleSign's."""
    return SIMULATED + uuid.uuid4().hex.upper()[len(SIMULATED) :]


@dataclass
class SimulatedCall:
    """One call that TeleSign carries: posts its events and checks what they are answered.

    Every method that posts raises `Failure` if the answer is wrong, which `read` decides; with an
    `own_list`, also if it is not what the row of this call says. `dial` are the parameters of the
    dial that TeleSign was answered. `bridged` says whether both people are on the line. `steps` are
    for drawing, `exchanges` are what went over the wire.
    """

    session: requests.Session
    url: str
    signer: Signer
    to: str
    caller: str
    digit: str = "1"
    read: Callable[[str, object, Answer], Reply] = read_reply
    own_list: OwnList | None = None
    dial: Json = field(default_factory=dict)
    bridged: bool = False
    reference_id: str = field(default_factory=new_reference_id)
    steps: list[Step] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def destination(self) -> str:
        """Whom TeleSign was asked to call; empty before."""
        return str(self.dial.get("to", ""))

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
            caller = self.caller or '""'
            to_do = f"python app.py explain --from {caller} --to {self.to}"
            raise Failure(f"wanted dial, got {reply.name}", to_do)
        self.dial = reply.params
        self.steps.append(Arrow(TELESIGN, CALLED, f"rings {self.destination}"))
        self.steps.append(Note(CALLED, f"sees {self.dial['caller_id_number']}", "bold"))
        given = ("external_id", "send_dtmf")
        self._must_be_as_listed({name: self.dial.get(name, "") for name in given})
        return reply

    def call_back(self) -> str:
        """Begin a new call, from the person who was called; return the first caller's number."""
        first, self.caller = self.caller, self.destination
        self.dial, self.bridged, self.reference_id = {}, False, new_reference_id()
        self.steps.append(Note(TELESIGN, "the other way round", "dim"))
        return first

    def complete_dial(self, status: str) -> Reply:
        """Report that the dial was answered, or how it failed."""
        assumed = ""
        if status == "answered":
            self.steps.append(Arrow(CALLED, TELESIGN, "answers"))
            self.bridged = True
            if keys := self.dial.get("send_dtmf"):
                self.steps.append(Arrow(TELESIGN, CALLED, f"presses {keys} (send_dtmf)"))
                assumed = "the keys are pressed before anything is spoken"
        else:
            self.steps.append(Note(CALLED, status.replace("_", " ")))
            assumed = f"a failed dial has the status {status!r}"
        data = {"to": self.destination, "from": self.to, "status": status}
        reply = self.report("dial_completed", data, assumed=assumed)
        if status == "answered":
            self._must_greet_as_listed(reply)
        return reply

    def play_message(self, reply: Reply, *, digits: str | None = None) -> Reply:
        """Play a message to its end; if it collects digits, press these (default: `digit`)."""
        listener = CALLED if self.bridged else CALLER
        self.steps.append(Arrow(TELESIGN, listener, f"says: {reply.params['tts']['message']}"))
        data = {"status": "speak_successful"}
        pressed = self.digit if digits is None else digits
        if reply.collects and pressed:
            self.steps.append(Arrow(listener, TELESIGN, f"presses {pressed}"))
            data["collected_digits"] = pressed
        return self.report("speak_completed", data)

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
        if reply.method == "speak":
            pressed = f" after {self.digit} was pressed (--digit)" if reply.collects else ""
            reply = self.play_message(reply)
        if reply.method == "hangup":
            raise Failure(f"wanted the live call to go on{pressed}, got hangup")

    def must_hang_up(self, reply: Reply) -> None:
        """Fail unless the reply ends the call."""
        if reply.method != "hangup":
            raise Failure(f"wanted hangup, got {reply.name}")

    def _must_greet_as_listed(self, reply: Reply) -> None:
        """Fail unless the called person hears what the row says, in its language."""
        spoken = reply.params.get("tts", {})
        said = {"greeting": spoken.get("message", "")}
        if spoken:
            said["language"] = spoken.get("language", "")
        self._must_be_as_listed(said)

    def _must_be_as_listed(self, said: Json) -> None:
        """Fail if the list is known, and has something else in these columns of the call's row."""
        row = self.own_list.find(self.to, self.caller) if self.own_list else None
        for column, got in said.items():
            wanted = getattr(row, column, got)
            if got != wanted and (wanted or column not in _BY_SETTINGS):
                kind = "keys " if column == "send_dtmf" else ""
                one, other = (f"{kind}{text!r}" if text else "nothing" for text in (wanted, got))
                raise Failure(f"{column}: wanted {one}, as in the list, got {other}")

    # How it goes over the wire

    def report(self, event: str, data: Json, *, assumed: str = "") -> Reply:
        """Post an event of this call; from the dial on, it bears the id that the dial gave it."""
        message: Json = {"event": event, "reference_id": self.reference_id}
        if event != "incoming_call" and "external_id" in self.dial:
            message["external_id"] = self.dial["external_id"]
        return self.post(message | {"data": data}, event, assumed=assumed)

    def post(self, message: Json, event: str, *, assumed: str = "") -> Reply:
        """Post any message, and read the answer as the answer to `event`."""
        body = json.dumps(message).encode()
        headers = self.signer.headers(body)
        started = time.perf_counter()
        try:
            got = self.session.post(self.url, body, headers=headers, timeout=MAX_WAIT_S)
        except http_client.FAILURES as error:
            answer = Answer(0, "", b"", time.perf_counter() - started)
            cause = http_client.cause(error, self.url)
            reply = Reply("", {}, (f"wanted an answer to {event}, got none: {cause}",))
        else:
            seconds, kind = time.perf_counter() - started, got.headers.get("Content-Type", "")
            answer = Answer(got.status_code, kind, got.content, seconds)
            reply = self.read(event, self.caller, answer)
            if reply == Reply("", {}) and event != "call_completed" and got.ok:
                assumed = "; ".join(filter(None, (assumed, f"{got.text} is taken here")))
        self._keep(event, body.decode(), assumed, answer, reply)
        if reply.faults:
            raise Failure("; ".join(reply.faults))
        return reply

    def _keep(self, event: str, sent: str, assumed: str, answer: Answer, reply: Reply) -> None:
        """Keep what went over the wire, and draw it."""
        ms, text = round(answer.seconds * 1000, 1), answer.body.decode("utf-8", "replace")
        self.exchanges.append(Exchange(event, sent, assumed, answer.status, text, ms, reply.faults))
        number = len(self.exchanges)
        if answer.status != 200:
            label = str(answer.status or "no answer")
        else:
            label = "?" if reply.faults and not reply.method else reply.name
        self.steps.append(Arrow(TELESIGN, SERVER, f"{number} {event}", "cyan"))
        style = "red" if reply.faults else "green"
        self.steps.append(Arrow(SERVER, TELESIGN, f"{number} {label} {ms:g} ms", style))


def _leg(caller: str, to: str, direction: str, duration_s: int) -> Json:
    """Return a leg as `call_completed` reports it; its times bear no zone and mean UTC."""
    created = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=duration_s)
    seconds = {"created": 0, "answered": _RINGING_S, "ended": duration_s}
    times = {
        f"{name}_on_utc": (created + timedelta(seconds=after)).isoformat(timespec="milliseconds")
        for name, after in seconds.items()
    }
    return {
        "duration": duration_s,
        **times,
        "status": "hangup",
        "audio_recording_file_name": None,
        "to": to,
        "from": caller,
        "direction": direction,
    }
