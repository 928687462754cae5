"""The table of scenarios: the calls that can be played without a phone, and what happens in each.

A scenario is a function of a `SimulatedCall` that ends with a verdict, or raises `Failure` where
the server is wrong. It knows nothing of the server but its answers. `Chooser` gives it its numbers.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from tools import console
from tools.console import CALLER, TELESIGN, Note
from tools.simulation.call import SIMULATED, Failure, MissingSetup, Signer, SimulatedCall
from tools.simulation.own_list import RIDER, STRANGER, UNLISTED, Need, Numbers, OwnList
from tools.simulation.validator import read_rejection

# The numbers of the sample allow-list.
DESK, PAIR, EXPIRED = "12025550100", "12025550101", "12025550102"


class ScenarioError(Exception):
    """A scenario that was asked for cannot be played; the text says why."""


class Unplayable(Exception):  # noqa: N818 - a verdict, not an error
    """A scenario is left out: the list, or the numbers that were given, cannot show it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A call to play: what happens in one sentence, and its numbers in the sample list.

    `need` is what another list has to hold; `None` if any numbers will do. A call that is screened
    needs a server with `accept_digit`. `own_list` is the list that the server has, if it is known.
    """

    name: str
    sentence: str
    play: Callable[[SimulatedCall], str]
    need: Need | None = Need.CONNECTED
    to: str = DESK
    caller: str = RIDER
    screened: bool = False
    own_list: OwnList | None = None


@dataclass(frozen=True, slots=True)
class Chooser:
    """Gives scenarios their numbers: those that were given, and otherwise fitting ones of the list.

    `read_list` is called only if the list is needed. With `skips`, numbers that were given are
    played only in scenarios that they fit; otherwise in each. `is_served` says that the server has
    this list, so that what it answers can be compared with the rows.
    """

    read_list: Callable[[], OwnList]
    to: str | None = None
    caller: str | None = None
    skips: bool = False
    is_served: bool = False

    def choose(self, scenario: Scenario) -> Scenario:
        """Return a scenario with its numbers. Raises `Unplayable`, and what `read_list` raises."""
        need, to, caller = scenario.need, self.to, self.caller
        if to is not None and caller is not None:
            if self.skips and need not in {None, Need.CONNECTED}:
                raise Unplayable("--from and --to name a call to connect; name it to play it so")
            return replace(scenario, to=to, caller=caller)
        found = self._find(need) if need else None
        found_to, found_caller = found or (scenario.to, scenario.caller)
        return replace(
            scenario,
            to=found_to if to is None else to,
            caller=found_caller if caller is None else caller,
            own_list=self.read_list() if need and self.is_served else None,
        )

    def _find(self, need: Need) -> Numbers | None:
        """Return fitting numbers, or any others beside one that was given and fits none."""
        own_list, is_given = self.read_list(), self.to is not None or self.caller is not None
        found = own_list.choose(need, self.to, self.caller)
        if found is None and (self.skips or not is_given):
            hint = " for the number that was given" if is_given else ""
            raise Unplayable(f"wanted {need.value}, got none in {own_list.path}{hint}")
        return found or own_list.choose(need)


def choose(names: Sequence[str]) -> list[Scenario]:
    """Return the scenarios of these names; "all" stands for every one. Raises `ScenarioError`."""
    for name in names:
        if name != "all" and name not in SCENARIOS:
            raise ScenarioError(f"unknown scenario {name!r}; see --list")
    return list(SCENARIOS.values()) if "all" in names else [SCENARIOS[name] for name in names]


def print_table(out: Console) -> None:
    """Print every scenario with its sentence."""
    rows = [(scenario.name, scenario.sentence) for scenario in SCENARIOS.values()]
    console.print_table(out, ("scenario", "what happens"), rows)


def from_file(path: Path) -> Scenario:
    """Return a scenario that posts the JSON of a file as one event. Raises `ScenarioError`.

    The event is simulated like any other, so its reference id is made to say so.
    """
    try:
        message = json.loads(path.read_bytes())
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ScenarioError(f"{path}: wanted the JSON object of one event")
    reference_id, data = message.get("reference_id"), message.get("data")
    members = data if isinstance(data, dict) else message
    if isinstance(reference_id, str) and not reference_id.startswith(SIMULATED):
        message["reference_id"] = SIMULATED + reference_id

    def play(call: SimulatedCall) -> str:
        call.caller = str(members.get("from", ""))
        reply = call.post(message, str(message.get("event", "incoming_call")))
        return f"{reply.name}: TeleSign would take it"

    return Scenario(path.name, "A file, sent as an event.", play, need=None)


def _play_connected(call: SimulatedCall) -> str:
    call.connect()
    call.end(CALLER)
    return "connected: neither person saw the other's number"


def _play_refused(call: SimulatedCall) -> str:
    reply = call.dial_in()
    if reply.method == "dial":
        raise Failure("wanted a refusal, got dial")
    if reply.method == "speak":
        call.must_hang_up(call.play_message(reply))
    call.end()
    return "refused: nobody was called"


def _play_not_reached(call: SimulatedCall, status: str) -> str:
    call.ring()
    reply = call.complete_dial(status)
    if reply.method == "speak":
        reply = call.play_message(reply)
    call.must_hang_up(reply)
    call.end()
    return "not reached: the caller was disconnected"


def _play_callee_hangs_up(call: SimulatedCall) -> str:
    call.connect()
    call.must_hang_up(call.end_leg())
    call.end()
    return "ended: the caller was not left on the line"


def _play_caller_hangs_up(call: SimulatedCall) -> str:
    call.ring()
    call.end(CALLER)
    call.complete_dial("cancelled")
    return "ended: the late report of the dial did no harm"


def _play_screened(call: SimulatedCall, *, accepted: bool) -> str:
    call.ring()
    reply = call.complete_dial("answered")
    if not reply.collects:
        raise MissingSetup(f"wanted speak with collect_digits (set accept_digit), got {reply.name}")
    if not accepted:
        call.must_hang_up(call.play_message(reply, digits=""))
        call.end()
        return "declined: the called person did not take the call"
    call.talk(reply)
    call.end(CALLER)
    return "connected: the called person took the call"


def _play_pair(call: SimulatedCall) -> str:
    call.connect()
    call.end(CALLER)
    first = call.call_back()
    call.connect()
    if call.destination != first:
        raise Failure(f"wanted {call.caller} to reach {first}, got {call.destination}")
    call.end(CALLER)
    return "connected both ways: each reached the other"


def _play_duplicate(call: SimulatedCall) -> str:
    first = call.ring()
    second = call.report_incoming()
    if first != second:
        one, other = (f"{reply.name} {json.dumps(reply.params)}" for reply in (first, second))
        raise Failure(f"wanted the same answer to both deliveries, got {one} and {other}")
    call.talk(call.complete_dial("answered"))
    call.end(CALLER)
    return "connected once: both deliveries got the same answer"


def _play_out_of_order(call: SimulatedCall) -> str:
    call.ring()
    spoken = {"status": "speak_successful", "collected_digits": call.digit}
    call.must_go_on(call.report("speak_completed", spoken))
    call.talk(call.complete_dial("answered"))
    call.end(CALLER)
    call.report("speak_completed", spoken)
    return "connected: the order of the events did not matter"


def _play_replay(call: SimulatedCall) -> str:
    call.connect()
    call.end(CALLER)
    call.steps.append(Note(TELESIGN, "an old request is sent again", "dim"))
    call.must_hang_up(call.report_incoming())
    return "refused: a request is good for one call"


def _play_forged(call: SimulatedCall) -> str:
    return _play_rejected(call, replace(call.signer, key=secrets.token_bytes(32)))


def _play_unsigned(call: SimulatedCall) -> str:
    return _play_rejected(call, Signer())


def _play_rejected(call: SimulatedCall, signer: Signer) -> str:
    has_key = call.signer.key != b""
    call.signer, call.read = signer, read_rejection
    try:
        call.dial_in()
    except Failure as failed:
        if has_key or call.exchanges[-1].status != 200:
            raise
        raise MissingSetup(str(failed)) from None  # without a key, a server without one is meant
    return "rejected: no number was revealed"


def _play_unknown_event(call: SimulatedCall) -> str:
    call.connect()
    call.must_go_on(call.report("call_quality_reported", {"score": 4}, assumed="this event"))
    call.end(CALLER)
    return "connected: the unknown event did no harm"


_SCENARIOS = (
    Scenario("connected", "A listed number: both talk, neither sees a real number.",
             _play_connected),
    Scenario("refused", "A number that is not listed: nobody is called.",
             _play_refused, Need.NOT_LISTED, UNLISTED),
    Scenario("wrong-caller", "A number listed for other callers: nobody is called.",
             _play_refused, Need.OTHER_CALLERS, PAIR, STRANGER),
    Scenario("withheld-caller", "A withheld caller, where routes name one: nobody is called.",
             _play_refused, Need.WITHHELD, PAIR, ""),
    Scenario("expired", "A route that has expired: nobody is called.",
             _play_refused, Need.EXPIRED, EXPIRED),
    Scenario("busy", "The called person is busy: the caller is disconnected.",
             partial(_play_not_reached, status="busy")),
    Scenario("no-answer", "Nobody answers: the caller is disconnected.",
             partial(_play_not_reached, status="no_answer")),
    Scenario("failed", "The dial fails: the caller is disconnected.",
             partial(_play_not_reached, status="failed")),
    Scenario("callee-hangs-up", "The called person hangs up first: the call is ended.",
             _play_callee_hangs_up),
    Scenario("caller-hangs-up", "The caller hangs up while it rings: no harm.",
             _play_caller_hangs_up),
    Scenario("screening-accepted", "The called person presses the digit: the call goes on.",
             partial(_play_screened, accepted=True), screened=True),
    Scenario("screening-declined", "The called person presses nothing: the call is ended.",
             partial(_play_screened, accepted=False), screened=True),
    Scenario("pair", "Two people behind one number: each reaches the other.",
             _play_pair, Need.BOTH_WAYS, PAIR),
    Scenario("duplicate", "An event is delivered twice: both get the same answer.",
             _play_duplicate),
    Scenario("out-of-order", "Events out of order: the live call is not cut.", _play_out_of_order),
    Scenario("replay", "A request is sent again after its call: refused.", _play_replay),
    Scenario("forged", "Signed with another key: rejected.", _play_forged, need=None),
    Scenario("unsigned", "Not signed: rejected.", _play_unsigned, need=None),
    Scenario("unknown-event", "An undocumented event: the live call is not cut.",
             _play_unknown_event),
)  # fmt: skip
SCENARIOS = {scenario.name: scenario for scenario in _SCENARIOS}
"""Every scenario by its name, in the order in which they are listed."""
