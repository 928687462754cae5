"""Plays TeleSign's part over HTTP and tells whether the server does its own.

Nothing of `events`, `commands` or `routing` is imported here or in what this file uses, so that two
separate readings of TeleSign's documents have to agree. Its own `--help` tells what it can do.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import requests
from rich.console import Console

import signature
from cli import console, http_client
from cli.console import Step
from simulation import session_endpoint
from simulation.scenarios import (
    SCENARIOS,
    SIMULATED,
    Exchange,
    Failed,
    Scenario,
    Signer,
    SimulatedCall,
    TurnedAway,
    named,
)

_MAX_LOAD_CALLS = 100_000
_MAX_LOAD_RATE = 1_000
_ONLY_WITH = {"rate": "calls", "port": "api", "answer": "api", "unit": "api"}
_LOAD_THREADS = 64
_ID_BEGINS = re.compile(rb'"reference_id"\s*:\s*"(?!%b|")' % SIMULATED.encode())


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """A scenario that was played: its verdict and everything that led to it."""

    scenario: str
    sentence: str
    passed: bool
    verdict: str
    exchanges: list[Exchange]
    steps: list[Step] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls are played: the server's URL, who sends, and which numbers take part."""

    url: str
    sender: Signer
    to: str | None = None
    caller: str | None = None
    digit: str = "1"

    def call(self, session: requests.Session, scenario: Scenario) -> SimulatedCall:
        """Return a new call for a scenario."""
        to = scenario.to if self.to is None else self.to
        caller = scenario.caller if self.caller is None else self.caller
        return SimulatedCall(session, self.url, self.sender, to=to, caller=caller, digit=self.digit)

    def play(self, scenario: Scenario, session: requests.Session | None = None) -> ScenarioResult:
        """Play a scenario to its verdict."""
        call = self.call(session or http_client.Session(), scenario)
        passed, verdict = True, ""
        try:
            verdict = scenario.play(call)
        except TurnedAway:
            verdict = "turned away: no number was told"
        except Failed as failed:
            passed, verdict = False, str(failed)
        return ScenarioResult(
            scenario.name, scenario.sentence, passed, verdict, call.exchanges, call.steps
        )


def tell(out: Console, played: ScenarioResult) -> None:
    """Draw a call, what went over the wire, and the verdict."""
    out.rule(f"{played.scenario}: {played.sentence}"[: out.width - 4], align="left")
    console.print_ladder(out, played.steps)
    lines = []
    for number, exchange in enumerate(played.exchanges, start=1):
        mark = f"   (assumed: {exchange.assumed})" if exchange.assumed else ""
        lines.append((f"{number} > {exchange.sent}{mark}", "cyan"))
        lines.append((f"{number} < {exchange.status} {exchange.answer}", "green"))
    for text, style in lines:
        console.print_wrapped(out, text, style)
    word, style = ("PASSED", "bold green") if played.passed else ("FAILED", "bold red")
    console.print_wrapped(out, f"{word}: {played.verdict}", style)
    out.print()


def as_json(played: Sequence[ScenarioResult]) -> str:
    """Return what was played, for scripts: all but the drawing."""
    told = [asdict(each) for each in played]
    for each in told:
        del each["steps"]
    return json.dumps(told, indent=2)


def _event_in(path: Path) -> Scenario:
    """Return a scenario that sends the bytes of a file, and reads the answer as TeleSign would.

    The event is simulated like any other, so its reference id is made to say so; all other bytes
    are sent as they are. Raises `Unplayable`.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise Unplayable(f"{path}: {error.strerror}") from None
    message = _object(body)
    event, data = message.get("event", "incoming_call"), message.get("data")
    caller = data.get("from") if isinstance(data, dict) else None
    sent = _ID_BEGINS.sub(rb"\g<0>" + SIMULATED.encode(), body)

    def play(call: SimulatedCall) -> str:
        call.caller = caller if isinstance(caller, str) else ""
        return f"{named(call.post(sent, str(event)))}: TeleSign would take it"

    return Scenario(path.name, "A file, sent as an event.", play)


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, an empty one if there is none."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


# Load ------------------------------------------------------------------------------------------


def play_load(stage: Target, calls: int, rate: float, out: Console) -> bool:
    """Play whole calls at a steady rate, whether or not earlier ones have ended; tell the figures.

    The time of the first answer of a call counts from when the call was due, so that a server
    which falls behind cannot hide it.
    """
    local = threading.local()
    times: list[float] = []
    verdicts: list[tuple[bool, int, str]] = []
    started = time.perf_counter() + 0.1

    def one(position: int) -> None:
        if not hasattr(local, "session"):
            local.session = http_client.Session()
        late_ms = max(0.0, time.perf_counter() - (started + position / rate)) * 1000
        played = stage.play(SCENARIOS["connected"], local.session)
        first, *others = (exchange.milliseconds for exchange in played.exchanges)
        times.extend((first + late_ms, *others))
        verdicts.append((played.passed, played.exchanges[-1].status, played.verdict))

    with ThreadPoolExecutor(_LOAD_THREADS) as pool:
        due = []
        for position in console.progress(out, range(calls), calls, "calls"):
            time.sleep(max(0.0, started + position / rate - time.perf_counter()))
            due.append(pool.submit(one, position))
        for each in due:
            each.result()
    times.sort()
    unanswered = sum(not status for _, status, _ in verdicts)
    failed = sum(not passed for passed, _, _ in verdicts)
    figures = (
        ("calls", f"{calls:,}"),
        ("answers", f"{len(times) - unanswered:,}"),
        ("errors", f"{unanswered:,}"),
        ("wrong verdicts", f"{failed - unanswered:,}"),
        ("p50", f"{times[len(times) // 2]:.1f} ms"),
        ("p99", f"{times[len(times) * 99 // 100]:.1f} ms"),
        ("maximum", f"{times[-1]:.1f} ms"),
    )
    console.print_table(out, ("load", f"{rate:g} calls/s"), figures)
    for (passed, text), count in Counter((each[0], each[2]) for each in verdicts).most_common():
        console.print_wrapped(out, f"{count:,} x {text}", "green" if passed else "red")
    return not failed


# A server, if there is none --------------------------------------------------------------------


def usual_address(environment: dict[str, str]) -> str:
    """Return where a server runs that has its host and port from the environment, if any runs."""
    host = environment.get("MASKING_HOST", "127.0.0.1")
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{environment.get('MASKING_PORT', '8080')}"


def running_server(environment: dict[str, str]) -> str | None:
    """Return the URL of the server that `make run` has started, if it runs."""
    base = usual_address(environment)
    try:
        with http_client.Session() as session:
            health = session.get(f"{base}/health", timeout=1).json()
    except (*http_client.FAILURES, ValueError):
        return None
    if not isinstance(health, dict) or "signatures" not in health:
        return None
    return base + environment.get("MASKING_EVENT_PATH", "/")


@contextlib.contextmanager
def own_server(environment: dict[str, str]) -> Iterator[str]:
    """Start the server on a free port and stop it at the end; yield its URL."""
    command = [sys.executable, str(Path(__file__).with_name("app.py"))]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            env=environment | {"MASKING_PORT": "0", "MASKING_CALL_LOG": ""},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            yield _address(process, said)
        finally:
            process.terminate()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", said: TextIO) -> str:
    """Wait for the server to say where it listens."""
    ended = False
    while True:
        said.seek(0)
        text = said.read()
        found = re.search(r"http://\S+(?=\n)", text)
        if found:
            return found[0]
        if ended:
            raise ServerDied(text)
        ended = process.poll() is not None
        time.sleep(0.02)


class ServerDied(Exception):  # noqa: N818
    """The server that was started for the calls did not run; the text is what it said."""


# The command line ------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Plays TeleSign's part in a call, and tells whether the server does its own."
    )
    add = parser.add_argument
    add("scenarios", nargs="*", help="names of scenarios, or all (connected and refused)")
    add("--list", action="store_true", help="list the scenarios")
    add("--url", help="the customer event URL (a server that runs here, else one is started)")
    add("--from", dest="caller", help="who calls, in place of the scenario's number")
    add("--to", help="what is dialled, in place of the scenario's number")
    pressed = "the key that is pressed when one is asked for (1)"
    add("--digit", default="1", choices=[*"0123456789"], metavar="D", help=pressed)
    add("--api", action="store_true", help="serve TeleSign's session endpoint on this machine")
    add("--port", type=int, default=8081, help="the port of --api (8081)")
    add("--answer", choices=session_endpoint.ANSWERS, default="", help="with --api: answer this")
    add(
        "--unit",
        choices=session_endpoint.UNITS,
        default="hours",
        help="with --api: of the validity",
    )
    add("--json", action="store_true", help="tell it as JSON")
    how = parser.add_mutually_exclusive_group().add_argument
    how("--no-signature", action="store_true", help="do not sign: must be turned away")
    how("--bad-signature", action="store_true", help="sign with another key: must be turned away")
    what = parser.add_mutually_exclusive_group().add_argument
    what("--event", type=Path, metavar="FILE", help="send this file, the JSON of one event")
    what("--calls", type=int, help=f"play so many calls under load, at most {_MAX_LOAD_CALLS:,}")
    add("--rate", type=float, default=50, help="calls a second, with --calls (50)")
    return parser


def _sender(environment: dict[str, str], options: argparse.Namespace) -> Signer:
    how = "unsigned" if options.no_signature else "forged" if options.bad_signature else "right"
    key_text = environment.get("TELESIGN_API_KEY", "").partition(",")[0].strip()
    key = signature.decode_key(key_text) if key_text else b""
    return Signer(environment.get("TELESIGN_CUSTOMER_ID", "").strip(), key, how)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0 if every call went as it must, else 1."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _refuse_nonsense(options, parser)
    try:
        return _mode(options)(options)
    except Unplayable as error:
        parser.error(str(error))
    except (ServerDied, signature.KeyFormError) as error:
        print(f"No call was played: {error}", file=sys.stderr)
        return 1


def _mode(options: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    if options.list:
        return list_scenarios
    if options.api:
        return serve_api
    return load_server if options.calls is not None else play_calls


class Unplayable(Exception):  # noqa: N818
    """What is asked for cannot be played; the text says what is wrong with it."""


def list_scenarios(_: argparse.Namespace) -> int:
    """Print every scenario with its sentence."""
    rows = [(each.name, each.sentence) for each in SCENARIOS.values()]
    console.print_table(console.terminal(), ("scenario", "what happens"), rows)
    return 0


def load_server(options: argparse.Namespace) -> int:
    """Play calls at a rate, and print the figures."""
    out = console.terminal()
    with _stage(options, ()) as stage:
        return 0 if play_load(stage, options.calls, options.rate, out) else 1


def play_calls(options: argparse.Namespace) -> int:
    """Play scenarios, or the event of a file, and print each call."""
    scenarios = _chosen(options)
    with _stage(options, scenarios) as stage:
        played = [stage.play(scenario) for scenario in scenarios]
    if options.json:
        print(as_json(played))
    else:
        out = console.terminal()
        for each in played:
            tell(out, each)
    return 0 if all(each.passed for each in played) else 1


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios that are asked for. Raises `Unplayable`."""
    if options.event is not None:
        return [_event_in(options.event)]
    names_numbers = options.caller is not None or options.to is not None
    names = options.scenarios or (["connected"] if names_numbers else ["connected", "refused"])
    unknown = [name for name in names if name not in {*SCENARIOS, "all"}]
    if unknown:
        raise Unplayable(f"no scenario {unknown[0]!r}; --list tells their names")
    return list(SCENARIOS.values()) if "all" in names else [SCENARIOS[name] for name in names]


@contextlib.contextmanager
def _stage(options: argparse.Namespace, scenarios: Sequence[Scenario]) -> Iterator[Target]:
    """Yield where the calls are played: on the server that is named or runs, else on one of ours.

    Raises `ServerDied` or `KeyFormError`.
    """
    environment = dict(os.environ)
    with contextlib.ExitStack() as stack:
        url, own = options.url or running_server(environment), ""
        if url is None:
            _prepare(environment, scenarios)
            url = stack.enter_context(own_server(environment))
            where = usual_address(environment)
            own = f", started for this: none runs on {where} (--url names another)"
        sender = _sender(environment, options)
        if not options.json:
            console.print_wrapped(console.terminal(), f"server: {url}{own}", "dim")
        yield Target(url, sender, options.to, options.caller, options.digit)


def serve_api(options: argparse.Namespace) -> int:
    """Serve TeleSign's session endpoint until Ctrl-C, for the customer id and key that are set."""
    try:
        sender = _sender(dict(os.environ), options)
    except signature.KeyFormError as error:
        print(f"--api: TELESIGN_API_KEY: {error}", file=sys.stderr)
        return 1
    if not sender.key:
        print(
            "--api: wanted TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, got neither", file=sys.stderr
        )
        return 1
    unit_s = session_endpoint.UNITS[options.unit]
    endpoint = session_endpoint.Endpoint(sender.customer_id, sender.key, unit_s, options.answer)
    try:
        server = session_endpoint.endpoint_server(endpoint, options.port)
    except (OSError, OverflowError) as error:
        print(f"--api: cannot listen on port {options.port}: {error}", file=sys.stderr)
        return 1
    with server:
        print(f"TeleSign's session endpoint: http://127.0.0.1:{server.server_port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def _refuse_nonsense(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    given = {name for name, value in vars(options).items() if value != parser.get_default(name)}
    alone = given & {"calls", "event", "api"}
    if alone and options.scenarios:
        parser.error(f"--{min(alone)} takes no scenarios")
    for name, owner in _ONLY_WITH.items():
        if name in given and owner not in given:
            parser.error(f"--{name} goes with --{owner}")
    if options.calls is not None and options.json:
        parser.error("--calls tells its figures as a table, not with --json")
    if options.url is not None:
        address = urlsplit(options.url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            parser.error("--url: wanted http://... or https://...")
        if options.calls is not None and not http_client.is_this_machine(options.url):
            parser.error("load is for a server on this machine only, not for --url elsewhere")
    if options.calls is not None and not (
        1 <= options.calls <= _MAX_LOAD_CALLS and 0 < options.rate <= _MAX_LOAD_RATE
    ):
        parser.error(
            f"wanted 1 to {_MAX_LOAD_CALLS} calls at a rate of up to {_MAX_LOAD_RATE} a second"
        )


def _prepare(environment: dict[str, str], scenarios: Sequence[Scenario]) -> None:
    """Give the server that is started here a key, and the digit that a scenario asks for."""
    if "TELESIGN_API_KEY" not in environment:
        environment["TELESIGN_CUSTOMER_ID"] = "SIMULATED"
        environment["TELESIGN_API_KEY"] = base64.b64encode(secrets.token_bytes(32)).decode()
    if any(each.name.startswith("screening") for each in scenarios):
        environment.setdefault("MASKING_ACCEPT_DIGIT", "1")


if __name__ == "__main__":
    sys.exit(console.quietly(main))
