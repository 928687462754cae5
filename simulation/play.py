"""Plays scenarios against a `Target` and draws the results; starts a server if none runs.

A server that is started here is this project's own, as a process: nothing of it is imported.
"""

import base64
import contextlib
import json
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

import requests
from rich.console import Console

from cli import console, http_client
from cli.console import Step
from simulation.call import SIMULATED, Exchange, Failed, Refused, Rejected, Signer, SimulatedCall
from simulation.scenarios import Scenario

_APP = Path(__file__).parent.parent / "app.py"
_POLL_S = 0.02
_MANY = 3  # more than are played by default


# Playing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """A scenario that was played: its verdict, what to do next, and everything that led to it."""

    scenario: str
    sentence: str
    passed: bool
    verdict: str
    exchanges: list[Exchange]
    steps: list[Step] = field(repr=False)
    to_do: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls are played, who signs them, and the numbers (default: the scenario's)."""

    url: str
    signer: Signer
    to: str | None = None
    caller: str | None = None
    digit: str = "1"

    def play(self, scenario: Scenario, session: requests.Session | None = None) -> ScenarioResult:
        """Play a scenario to its verdict, over a session of its own if none is given."""
        call = self._call(session or http_client.Session(), scenario)
        passed, to_do = True, ""
        try:
            verdict = scenario.play(call)
        except Rejected:
            verdict = "rejected: no number was revealed"
        except Failed as failed:
            passed, verdict = False, str(failed)
            to_do = _explain(call) if isinstance(failed, Refused) and self._is_given else ""
        return ScenarioResult(
            scenario.name, scenario.sentence, passed, verdict, call.exchanges, call.steps, to_do
        )

    @property
    def _is_given(self) -> bool:
        """Whether the numbers are the operator's own."""
        return self.to is not None or self.caller is not None

    def _call(self, session: requests.Session, scenario: Scenario) -> SimulatedCall:
        to = scenario.to if self.to is None else self.to
        caller = scenario.caller if self.caller is None else self.caller
        return SimulatedCall(session, self.url, self.signer, to=to, caller=caller, digit=self.digit)


def _explain(call: SimulatedCall) -> str:
    """Return the command that says why a call is refused."""
    caller, to = (shlex.quote(each) if each else '""' for each in (call.caller, call.to))
    return f"python app.py explain --from {caller} --to {to}"


# Drawing ---------------------------------------------------------------------------------------


def print_result(out: Console, result: ScenarioResult) -> None:
    """Draw a call, what went over the wire, and the verdict."""
    out.rule(f"{result.scenario}: {result.sentence}"[: out.width - 4], align="left")
    console.print_ladder(out, result.steps)
    for number, exchange in enumerate(result.exchanges, start=1):
        mark = f"   (assumed: {exchange.assumed})" if exchange.assumed else ""
        console.print_wrapped(out, f"{number} > {exchange.sent}{mark}", "cyan")
        console.print_wrapped(out, f"{number} < {exchange.status} {exchange.answer}", "green")
    word, style = ("PASSED", "bold green") if result.passed else ("FAILED", "bold red")
    console.print_wrapped(out, f"{word}: {result.verdict}", style)
    if result.to_do:
        console.print_wrapped(out, f"To see why: {result.to_do}")
    out.print()


def print_results(out: Console, results: Sequence[ScenarioResult]) -> None:
    """Draw every result, and of many a tally."""
    for result in results:
        print_result(out, result)
    if len(results) >= _MANY:
        failed = any(not result.passed for result in results)
        console.print_wrapped(out, tally(results), "bold red" if failed else "bold green")


def tally(results: Sequence[ScenarioResult]) -> str:
    """Return how many passed and which failed: `18 passed, 1 failed: pair`."""
    failed = [result.scenario for result in results if not result.passed]
    passed = f"{len(results) - len(failed)} passed"
    return f"{passed}, {len(failed)} failed: {', '.join(failed)}" if failed else passed


def as_json(results: Sequence[ScenarioResult]) -> str:
    """Return the results as JSON, for scripts: everything but the drawing."""
    rows = [asdict(result) for result in results]
    for row in rows:
        del row["steps"]
    return json.dumps(rows, indent=2)


# The server ------------------------------------------------------------------------------------


class ServerStartError(Exception):
    """The server that was started for the calls ended at once; the text is its output."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server to play on, and the environment with its key; `note` says why it was started."""

    url: str
    environment: Mapping[str, str]
    note: str = ""


@contextlib.contextmanager
def find_or_start_server(
    url: str | None, environment: Mapping[str, str], scenarios: Sequence[Scenario] = ()
) -> Iterator[Server]:
    """Yield the server at a URL, else one that runs here, else one that is started for the block.

    Raises `ServerStartError`.
    """
    url = url or running_server(environment)
    if url is not None:
        yield Server(url, environment)
        return
    own = _own_environment(environment, scenarios)
    where = configured_address(environment)
    with own_server(own) as started:
        note = f", started for this: none runs on {where} (use --url for another)"
        yield Server(started, own, note)


def running_server(environment: Mapping[str, str]) -> str | None:
    """Return the URL of the server that runs at the environment's host and port, if one does."""
    base = configured_address(environment)
    try:
        with http_client.Session() as session:
            health = session.get(f"{base}/health", timeout=1).json()
    except (*http_client.FAILURES, ValueError):
        return None
    if not isinstance(health, dict) or "signatures" not in health:
        return None  # another program has the port
    return base + environment.get("MASKING_EVENT_PATH", "/")


def configured_address(environment: Mapping[str, str]) -> str:
    """Return the address at which a server with this environment listens."""
    host = environment.get("MASKING_HOST", "127.0.0.1")
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{environment.get('MASKING_PORT', '8080')}"


def _own_environment(
    environment: Mapping[str, str], scenarios: Sequence[Scenario]
) -> dict[str, str]:
    """Return the environment for a server of ours: with a key, and the digit that is asked for."""
    own = dict(environment)
    if "TELESIGN_API_KEY" not in own:
        own["TELESIGN_CUSTOMER_ID"] = SIMULATED
        own["TELESIGN_API_KEY"] = base64.b64encode(secrets.token_bytes(32)).decode()
    if any(scenario.screened for scenario in scenarios):
        own.setdefault("MASKING_ACCEPT_DIGIT", "1")
    return own


@contextlib.contextmanager
def own_server(environment: Mapping[str, str]) -> Iterator[str]:
    """Start the server on a free port, without a call log; yield its URL and stop it at the end.

    Raises `ServerStartError`.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, str(_APP)],
            env={**environment, "MASKING_PORT": "0", "MASKING_CALL_LOG": ""},
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
        try:
            yield _wait_for_url(process, output)
        finally:
            process.terminate()
            process.wait()


def _wait_for_url(process: "subprocess.Popen[bytes]", output: TextIO) -> str:
    """Wait until the server prints where it listens. Raises `ServerStartError`."""
    ended = False
    while True:
        output.seek(0)
        text = output.read()
        found = re.search(r"http://\S+(?=\n)", text)
        if found:
            return found[0]
        if ended:
            raise ServerStartError(text)
        # Asked before the next look, so that what it wrote last is read as well.
        ended = process.poll() is not None
        time.sleep(_POLL_S)
