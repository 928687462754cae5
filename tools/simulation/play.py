"""Plays scenarios against a `Target` and draws the results; starts a server if none runs.

A server that is started here is this project's own, as a process: nothing of it is imported.
"""

import base64
import contextlib
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from tools import console, http_client
from tools.console import Step
from tools.simulation.call import SIMULATED, Exchange, Failed, NotSetUp, Signer, SimulatedCall
from tools.simulation.scenarios import Scenario

_APP = Path(__file__).parent.parent.parent / "app.py"
_MANY = 3  # more than are played by default
_STYLES = {"passed": "bold green", "failed": "bold red", "skipped": "bold yellow"}


# Playing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """A scenario that was played: its verdict, what to do next, and everything that led to it.

    `outcome` is `passed`, `failed` or `skipped`.
    """

    scenario: str
    sentence: str
    outcome: str
    verdict: str
    to_do: str
    exchanges: list[Exchange]
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls are played, who signs them, and the numbers (default: the scenario's).

    With `skips`, a scenario that the server is not set up for is skipped and does not fail.
    """

    url: str
    signer: Signer
    to: str | None = None
    caller: str | None = None
    digit: str = "1"
    skips: bool = False

    def play(self, scenario: Scenario) -> ScenarioResult:
        """Play a scenario to its verdict."""
        to = scenario.to if self.to is None else self.to
        caller = scenario.caller if self.caller is None else self.caller
        outcome, to_do = "passed", ""
        with http_client.Session() as session:
            call = SimulatedCall(session, self.url, self.signer, to, caller, self.digit)
            try:
                verdict = scenario.play(call)
            except Failed as failed:
                is_skipped = self.skips and isinstance(failed, NotSetUp)
                outcome = "skipped" if is_skipped else "failed"
                verdict, to_do = str(failed), failed.to_do
        what = scenario.name, scenario.sentence
        return ScenarioResult(*what, outcome, verdict, to_do, call.exchanges, call.steps)


# Drawing ---------------------------------------------------------------------------------------


def print_results(out: Console, results: Sequence[ScenarioResult]) -> None:
    """Draw every result, and of many a tally."""
    for result in results:
        _print_result(out, result)
    if len(results) >= _MANY:
        failed = any(result.outcome == "failed" for result in results)
        console.print_wrapped(out, tally(results), _STYLES["failed" if failed else "passed"])


def _print_result(out: Console, result: ScenarioResult) -> None:
    """Draw a call, what went over the wire, and the verdict."""
    out.rule(f"{result.scenario}: {result.sentence}"[: out.width - 4], align="left")
    console.print_ladder(out, result.steps)
    for number, exchange in enumerate(result.exchanges, start=1):
        mark = f"   (assumed: {exchange.assumed})" if exchange.assumed else ""
        console.print_wrapped(out, f"{number} > {exchange.sent}{mark}", "cyan")
        answer = f"{exchange.status} {exchange.answer}" if exchange.status else "no answer"
        console.print_wrapped(out, f"{number} < {answer}", "green")
    text = f"{result.outcome.upper()}: {result.verdict}"
    console.print_wrapped(out, text, _STYLES[result.outcome])
    if result.to_do:
        console.print_wrapped(out, f"To see why: {result.to_do}")
    out.print()


def tally(results: Sequence[ScenarioResult]) -> str:
    """Return how many passed, and which did not: `17 passed; 1 failed: pair; 1 skipped: forged`."""
    counts = []
    for outcome in _STYLES:
        names = [result.scenario for result in results if result.outcome == outcome]
        if outcome == "passed":
            counts.append(f"{len(names)} passed")
        elif names:
            counts.append(f"{len(names)} {outcome}: {', '.join(names)}")
    return "; ".join(counts)


def as_json(results: Sequence[ScenarioResult]) -> str:
    """Return the results as JSON, for scripts: everything but the drawing."""
    rows = [asdict(result) for result in results]
    for row in rows:
        del row["steps"]
    return json.dumps(rows, indent=2)


# The server ------------------------------------------------------------------------------------


class ServerStartError(Exception):
    """The server that was started for the calls ended at once; the text is its output."""


@contextlib.contextmanager
def find_or_start_server(
    url: str | None, environment: Mapping[str, str], scenarios: Sequence[Scenario] = ()
) -> Iterator[tuple[str, Mapping[str, str], str]]:
    """Yield the server at a URL, else one that runs here, else one that is started for the block.

    Of it are yielded the URL, the environment with its key, and a note if it was started. Raises
    `ServerStartError`.
    """
    where = _configured_address(environment)
    url = url or _running_server(where, environment)
    if url is not None:
        yield url, environment, ""
        return
    own = _own_environment(environment, scenarios)
    with _own_server(own) as started:
        yield started, own, f", started for this: none runs on {where} (use --url for another)"


def _configured_address(environment: Mapping[str, str]) -> str:
    """Return the address at which a server with this environment listens."""
    host = environment.get("MASKING_HOST", "127.0.0.1")
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{environment.get('MASKING_PORT', '8080')}"


def _running_server(base: str, environment: Mapping[str, str]) -> str | None:
    """Return the URL of the server that runs at an address, if one does."""
    try:
        with http_client.Session() as session:
            health = session.get(f"{base}/health", timeout=1).json()
    except http_client.FAILURES:
        return None
    if not isinstance(health, dict) or "signatures" not in health:
        return None  # another program has the port
    return base + environment.get("MASKING_EVENT_PATH", "/")


def _own_environment(
    environment: Mapping[str, str], scenarios: Sequence[Scenario]
) -> dict[str, str]:
    """Return the environment for a server of ours: with a key, and the digit that is asked for.

    It takes any free port, and keeps no call log.
    """
    own = {**environment, "MASKING_PORT": "0", "MASKING_CALL_LOG": ""}
    if not own.get("TELESIGN_API_KEY"):
        own["TELESIGN_CUSTOMER_ID"] = SIMULATED
        own["TELESIGN_API_KEY"] = base64.b64encode(secrets.token_bytes(32)).decode()
    if any(scenario.screened for scenario in scenarios):
        own.setdefault("MASKING_ACCEPT_DIGIT", "1")
    return own


@contextlib.contextmanager
def _own_server(environment: Mapping[str, str]) -> Iterator[str]:
    """Start the server; yield its URL and stop it at the end. Raises `ServerStartError`."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(_APP)],
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        try:
            yield _url(process)
        finally:
            process.terminate()


def _url(process: "subprocess.Popen[str]") -> str:
    """Return where the server says that it listens. Raises `ServerStartError` if it ends."""
    text = ""
    for line in process.stderr or ():
        text += line
        if found := re.search(r"http://\S+(?=\n)", line):
            return found[0]
    raise ServerStartError(text)
