"""The calls that can be played without a phone: what TeleSign reports, and what must come back.

A `Call` posts its events over HTTP and remembers what went over the wire and what a person would
have seen. Where TeleSign's documents do not say what it sends, the likely form is played and marked
as assumed. A scenario is a function of a call that ends with a verdict or raises `Failed`.
"""

import contextlib
import json
import re
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import requests

import signature
from cli import http_client
from cli.console import CALLED, CALLER, SERVER, TELESIGN, Arrow, Note, Step
from simulation.validator import Json, Reply, read_reply

# The numbers of the sample allow-list, and two that are not in it.
DESK, PAIR, EXPIRED, UNLISTED = "12025550100", "12025550101", "12025550102", "12025550177"
RIDER, STRANGER = "12025550123", "12025550188"

SIMULATED = "SIMULATED"
"""How the reference id of each simulated call begins, so that none is taken for a real one."""

MAX_WAIT_S = 30


@dataclass(frozen=True, slots=True)
class Exchange:
    """One event and its answer, as they went over the wire."""

    event: str
    sent: str
    assumed: str
    status: int
    answer: str
    milliseconds: float
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs as TeleSign signs; `how` is "right", "forged" (with another key) or "unsigned"."""

    customer_id: str = ""
    key: bytes = b""
    how: str = "right"

    def headers(self, body: bytes) -> dict[str, str]:
        """Return the headers for a body; without a key of ours nothing is signed."""
        headers = {"Content-Type": "application/json"}
        if self.how == "unsigned" or not (self.key or self.how == "forged"):
            return headers
        key = secrets.token_bytes(32) if self.how == "forged" else self.key
        bare = signature.sign(body, key=key)
        headers["Authorization"] = f"TSA {self.customer_id}:{bare}"
        headers["X-TS-Authorization"] = bare
        return headers

    @property
    def is_right(self) -> bool:
        """Whether TeleSign would send so."""
        return self.how == "right"


def new_reference_id() -> str:
    """Return an id of 32 characters, as long as TeleSign's."""
    return SIMULATED + uuid.uuid4().hex.upper()[len(SIMULATED) :]


class Failed(Exception):  # noqa: N818 - a verdict, not an error
    """The call did not go as it must; the text says what was wanted and what was got."""


class SimulatedCall:
    """One call that TeleSign carries: the events that it reports and what it is answered.

    `steps` are for drawing, `exchanges` what went over the wire.
    """

    def __init__(
        self,
        session: requests.Session,
        url: str,
        sender: Signer,
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
        self._session, self._url, self.sender = session, url, sender
        self.reference_id = new_reference_id()

    # What happens, one step each

    def dial_in(self, *, again: bool = False) -> Reply:
        """Let the caller dial; TeleSign asks what to do."""
        if not again:
            self.steps.append(Note(CALLER, f"dials and sees {self.to}"))
        data = {"to": self.to, "from": self.caller}
        assumed = "" if self.caller else "a withheld number is an empty `from`"
        return self.report("incoming_call", data, assumed=assumed)

    def reach(self) -> Reply:
        """Dial in; the answer must be a dial, and the destination's phone rings."""
        reply = self.dial_in()
        if reply.method != "dial":
            raise Failed(f"wanted dial, got {named(reply)}")
        self.destination = reply.params["to"]
        shown = reply.params["caller_id_number"]
        self.steps.append(Arrow(TELESIGN, CALLED, f"rings {self.destination}"))
        self.steps.append(Note(CALLED, f"sees {shown}", "bold"))
        return reply

    def turn_round(self) -> str:
        """Begin a call from the person who was called; return the first caller's number."""
        first, self.caller = self.caller, self.destination
        self.bridged, self.reference_id = False, new_reference_id()
        self.steps.append(Note(TELESIGN, "the other way round", "dim"))
        return first

    def dialled(self, status: str) -> Reply:
        """Report that the dial was answered, or failed."""
        assumed = "" if status == "answered" else f"a failed dial has the status {status!r}"
        if status == "answered":
            self.steps.append(Arrow(CALLED, TELESIGN, "answers"))
            self.bridged = True
        else:
            self.steps.append(Note(CALLED, status.replace("_", " ")))
        data = {"to": self.destination, "from": self.to, "status": status}
        return self.report("dial_completed", data, assumed=assumed)

    def hear(self, reply: Reply, *, pressed: str | None = None) -> Reply:
        """Speak a message to its end, and press keys if it waits for them."""
        digits = (self.digit if pressed is None else pressed) if reply.collects else ""
        listener = CALLED if self.bridged else CALLER
        spoken = reply.params.get("tts", {}).get("message", "audio")
        self.steps.append(Arrow(TELESIGN, listener, f"says: {spoken}"))
        if digits:
            self.steps.append(Arrow(listener, TELESIGN, f"presses {digits}"))
        data = {"status": "speak_successful"} | ({"collected_digits": digits} if digits else {})
        return self.report(f"{'speak' if reply.method == 'speak' else 'play'}_completed", data)

    def leg_ends(self) -> Reply:
        """Let the called person hang up while the caller stays."""
        self.steps.append(Arrow(CALLED, TELESIGN, "hangs up"))
        data = {"to": self.destination, "from": self.to}
        return self.report("call_leg_completed", data, assumed="the data of this event")

    def ends(self, party: int | None = None) -> Reply:
        """End the call; TeleSign tells of both parts if it was bridged."""
        if party is not None:
            self.steps.append(Arrow(party, TELESIGN, "hangs up"))
        inbound = _part(self.caller, self.to, "inbound", 9)
        if not self.bridged:
            return self.report("call_completed", inbound)
        outbound = _part(self.to, self.destination, "outbound", 6)
        both = {"inbound": inbound, "outbound": outbound}
        return self.report("call_completed", both, assumed="how the two parts are laid out")

    # What must come of it

    def connect(self) -> None:
        """Dial in and be connected, hear the greeting and talk."""
        self.reach()
        self.talk(self.dialled("answered"))

    def talk(self, reply: Reply) -> None:
        """Let both talk, if the call goes on."""
        self.stay(reply)
        self.steps.append(Arrow(CALLER, CALLED, "they talk", "bold", both_ways=True))

    def stay(self, reply: Reply) -> None:
        """Hear what is to be heard; the call must go on."""
        pressed = ""
        if reply.method in {"speak", "play"}:
            pressed = f" after {self.digit} was pressed (--digit)" if reply.collects else ""
            reply = self.hear(reply)
        if reply.method == "hangup":
            raise Failed(f"wanted the live call to go on{pressed}, got hangup")

    def must_refuse(self, reply: Reply) -> None:
        """Fail unless the call is refused, and play the refusal to its end."""
        if reply.method == "dial":
            raise Failed("wanted a refusal, got dial")
        if reply.method in {"speak", "play"}:
            self.must_hang_up(self.hear(reply))
        self.ends()

    def must_hang_up(self, reply: Reply) -> None:
        """Fail unless the call is ended."""
        if reply.method != "hangup":
            raise Failed(f"wanted hangup, got {named(reply)}")

    # How it goes over the wire

    def report(self, event: str, data: Json, *, assumed: str = "") -> Reply:
        """Post an event of this call. Raises `Failed` if TeleSign would not take the answer."""
        message = {"event": event, "reference_id": self.reference_id, "data": data}
        return self.post(json.dumps(message).encode(), event, assumed=assumed)

    def post(self, body: bytes, event: str, *, assumed: str = "") -> Reply:
        """Post any body. Not signed as it should be, it has to be turned away."""
        started = time.perf_counter()
        try:
            answer = self._session.post(
                self._url,
                body,
                headers=self.sender.headers(body),
                timeout=MAX_WAIT_S,
            )
        except http_client.FAILURES as error:
            what, remedy = http_client.cause(error, self._url)
            fault = f"wanted an answer to {event}, got none: {what}; {remedy}"
            self._keep(event, body, assumed, 0, b"", started, (fault,))
            raise Failed(fault) from None
        reply = self._read(event, answer, time.perf_counter() - started)
        if event != "call_completed" and answer.ok and not reply.method and not reply.faults:
            assumed = "; ".join(filter(None, (assumed, "{} is taken here")))
        self._keep(event, body, assumed, answer.status_code, answer.content, started, reply.faults)
        if reply.faults:
            raise Failed("; ".join(reply.faults))
        if not self.sender.is_right:
            raise TurnedAway
        return reply

    def _read(self, event: str, answer: requests.Response, seconds: float) -> Reply:
        status, how = answer.status_code, self.sender.how
        if self.sender.is_right:
            content_type = answer.headers.get("Content-Type", "")
            return read_reply(event, self.caller, status, content_type, answer.content, seconds)
        faults: tuple[str, ...] = ()
        if status != 401:
            hint = " (it verifies no signatures)" if status == 200 else ""
            faults = (f"status: wanted 401 for a request {how}, got {status}{hint}",)
        elif re.search(rb"\d{7,}", answer.content):
            faults = (f"body: wanted no number for a request {how}, got one",)
        return Reply("", {}, faults)

    def _keep(
        self,
        event: str,
        body: bytes,
        assumed: str,
        status: int,
        answer: bytes,
        started: float,
        faults: tuple[str, ...],
    ) -> None:
        sent, got = body.decode("utf-8", "replace"), answer.decode("utf-8", "replace")
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        self.exchanges.append(Exchange(event, sent, assumed, status, got, milliseconds, faults))
        number = len(self.exchanges)
        self.steps.append(Arrow(TELESIGN, SERVER, f"{number} {event}", "cyan"))
        label = f"{number} {_word(status, got)} {milliseconds:g} ms"
        self.steps.append(Arrow(SERVER, TELESIGN, label, "red" if faults else "green"))


class TurnedAway(Exception):  # noqa: N818 - what must happen to a wrong signature
    """The server turned a request away that is not signed as it should be."""


def _part(caller: str, to: str, direction: str, seconds: int) -> Json:
    created = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=seconds)

    def after(passed: int) -> str:
        return (created + timedelta(seconds=passed)).isoformat(timespec="milliseconds")

    return {
        "duration": seconds,
        "created_on_utc": after(0),
        "answered_on_utc": after(2),
        "ended_on_utc": after(seconds),
        "status": "hangup",
        "audio_recording_file_name": None,
        "to": to,
        "from": caller,
        "direction": direction,
    }


def _word(status: int, answer: str) -> str:
    if status != 200:
        return str(status or "no answer")
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(answer).get("method", "no action"))
    return "?"


def named(reply: Reply) -> str:
    """Return what an answer is called."""
    return reply.method or "no action"


def _connected(call: SimulatedCall) -> str:
    call.connect()
    call.ends(CALLER)
    return "connected: neither person saw the other's number"


def _refused(call: SimulatedCall) -> str:
    call.must_refuse(call.dial_in())
    return "refused: nobody was called"


def _not_reached(call: SimulatedCall, status: str) -> str:
    call.reach()
    reply = call.dialled(status)
    if reply.method in {"speak", "play"}:
        reply = call.hear(reply)
    call.must_hang_up(reply)
    call.ends()
    return "not reached: the caller was let go"


_busy = partial(_not_reached, status="busy")
_no_answer = partial(_not_reached, status="no_answer")
_failed = partial(_not_reached, status="failed")


def _callee_hangs_up(call: SimulatedCall) -> str:
    call.connect()
    call.must_hang_up(call.leg_ends())
    call.ends()
    return "ended: the caller was not left on the line"


def _caller_hangs_up(call: SimulatedCall) -> str:
    call.reach()
    call.ends(CALLER)
    call.dialled("cancelled")
    return "ended: the late report of the dial did no harm"


def _screened(call: SimulatedCall, *, accepted: bool) -> str:
    call.reach()
    reply = call.dialled("answered")
    if reply.method != "speak" or not reply.collects:
        raise Failed(f"wanted speak with collect_digits (set accept_digit), got {named(reply)}")
    if not accepted:
        call.must_hang_up(call.hear(reply, pressed=""))
        call.ends()
        return "declined: the called person did not take the call"
    call.talk(reply)
    call.ends(CALLER)
    return "connected: the called person took the call"


_accepted = partial(_screened, accepted=True)
_declined = partial(_screened, accepted=False)


def _pair(call: SimulatedCall) -> str:
    call.connect()
    call.ends(CALLER)
    first = call.turn_round()
    call.connect()
    if call.destination != first:
        raise Failed(f"wanted {call.caller} to reach {first}, got {call.destination}")
    call.ends(CALLER)
    return "connected both ways: each reached the other"


def _duplicate(call: SimulatedCall) -> str:
    reply = call.reach()
    again = call.dial_in(again=True)
    if again != reply:
        raise Failed(f"wanted the same answer twice, got {named(reply)} and {named(again)}")
    call.talk(call.dialled("answered"))
    call.ends(CALLER)
    return "connected once: both deliveries got the same answer"


def _out_of_order(call: SimulatedCall) -> str:
    call.reach()
    spoken = {"status": "speak_successful", "collected_digits": call.digit}
    call.stay(call.report("speak_completed", spoken))
    call.talk(call.dialled("answered"))
    call.ends(CALLER)
    call.report("speak_completed", spoken)
    return "connected: the order did not matter"


def _replay(call: SimulatedCall) -> str:
    call.connect()
    call.ends(CALLER)
    call.steps.append(Note(TELESIGN, "sent again by somebody", "dim"))
    call.must_hang_up(call.dial_in(again=True))
    return "refused: a request is good for one call"


def _turned_away(call: SimulatedCall, how: str) -> str:
    call.sender = replace(call.sender, how=how)
    call.dial_in()
    raise AssertionError("a request that is not signed as it should be ends in an exception")


_forged = partial(_turned_away, how="forged")
_unsigned = partial(_turned_away, how="unsigned")


def _unknown_event(call: SimulatedCall) -> str:
    call.connect()
    call.stay(call.report("call_quality_reported", {"score": 4}, assumed="this event"))
    call.ends(CALLER)
    return "connected: an event that nobody knows did no harm"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A call to play: what happens in one sentence, and the numbers unless others are given."""

    name: str
    sentence: str
    play: Callable[[SimulatedCall], str]
    to: str = DESK
    caller: str = RIDER


_SCENARIOS = (
    Scenario("connected", "A listed number: both talk, neither sees a real number.", _connected),
    Scenario("refused", "A number that is not listed: nobody is called.", _refused, UNLISTED),
    Scenario(
        "wrong-caller",
        "A number listed for other callers: nobody is called.",
        _refused,
        PAIR,
        STRANGER,
    ),
    Scenario(
        "withheld-caller", "No caller's number, where one is needed: refused.", _refused, PAIR, ""
    ),
    Scenario("expired", "A row that has expired: nobody is called.", _refused, EXPIRED),
    Scenario("busy", "The called person is busy: the caller is let go.", _busy),
    Scenario("no-answer", "Nobody answers: the caller is let go.", _no_answer),
    Scenario("failed", "The dial fails: the caller is let go.", _failed),
    Scenario(
        "callee-hangs-up", "The called person hangs up first: the call is ended.", _callee_hangs_up
    ),
    Scenario("caller-hangs-up", "The caller hangs up while it rings: no harm.", _caller_hangs_up),
    Scenario(
        "screening-accepted", "The called person presses the digit: the call goes on.", _accepted
    ),
    Scenario(
        "screening-declined", "The called person presses nothing: the call is ended.", _declined
    ),
    Scenario("pair", "Two people behind one number: each reaches the other.", _pair, PAIR),
    Scenario("duplicate", "An event is delivered twice: both get the same answer.", _duplicate),
    Scenario("out-of-order", "Events in another order: the live call is not cut.", _out_of_order),
    Scenario("replay", "A request is sent again after its call: refused.", _replay),
    Scenario("forged", "Signed with another key: turned away.", _forged),
    Scenario("unsigned", "Not signed: turned away.", _unsigned),
    Scenario("unknown-event", "An event of no document: the live call is not cut.", _unknown_event),
)
SCENARIOS = {each.name: each for each in _SCENARIOS}
"""Every scenario by its name, in the order in which they are listed."""
