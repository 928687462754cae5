"""Plays scenarios against a `Target` and draws the results.

Real numbers are shown by their last four digits unless they are asked for in full.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from rich.console import Console

from tools import console, http_client
from tools.console import Arrow, Step
from tools.simulation.call import Exchange, Failure, MissingSetup, Signer, SimulatedCall
from tools.simulation.scenarios import Scenario, Unplayable

_MANY = 3  # more than are played by default
_STYLES = {"passed": "bold green", "failed": "bold red", "skipped": "bold yellow"}
# Also one within an id of the customer's; but no part of a reference id of ours, and not
# 1 NPA 555 0100 to 0199, which are nobody's.
_REAL_NUMBER = re.compile(
    r"(SIMULATED[0-9A-Za-z]+)|(?<![0-9])(?!1[0-9]{3}55501[0-9]{2}(?![0-9]))[0-9]{7,}"
)
# In a drawing, on the wire and in a verdict; they may be somebody's code.
_KEYS = re.compile(
    r"""(?<=presses )\S+(?= \(send_dtmf\))|(?<="send_dtmf":")[^"]+"""
    r"""|(?<="send_dtmf": ")[^"]+|(?<=\bkeys ')[^']+"""
)


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
    """Where calls are played, and who signs them.

    With `skips`, a scenario that the server is not set up for is skipped and does not fail.
    """

    url: str
    signer: Signer
    digit: str = "1"
    skips: bool = False

    def play(self, scenario: Scenario) -> ScenarioResult:
        """Play a scenario to its verdict."""
        outcome, to_do = "passed", ""
        with http_client.Session() as session:
            numbers = scenario.to, scenario.caller
            call = SimulatedCall(session, self.url, self.signer, *numbers, self.digit)
            call.own_list = scenario.own_list
            try:
                verdict = scenario.play(call)
            except Failure as failed:
                is_skipped = self.skips and isinstance(failed, MissingSetup)
                outcome = "skipped" if is_skipped else "failed"
                verdict, to_do = str(failed), failed.to_do
        what = scenario.name, scenario.sentence
        return ScenarioResult(*what, outcome, verdict, to_do, call.exchanges, call.steps)


def leave_out(scenario: Scenario, why: Unplayable) -> ScenarioResult:
    """Return the result of a scenario that was not played."""
    return ScenarioResult(scenario.name, scenario.sentence, "skipped", str(why), "", [], [])


def redact(result: ScenarioResult) -> ScenarioResult:
    """Return a result with all but fictional numbers by their last four digits."""
    steps = [
        replace(step, label=redact_text(step.label))
        if isinstance(step, Arrow)
        else replace(step, text=redact_text(step.text))
        for step in result.steps
    ]
    exchanges = [
        replace(
            exchange,
            sent=redact_text(exchange.sent),
            answer=redact_text(exchange.answer),
            faults=tuple(map(redact_text, exchange.faults)),
        )
        for exchange in result.exchanges
    ]
    to_do = redact_text(result.to_do)
    if to_do != result.to_do:
        to_do += " (in full with --full)"
    verdict = redact_text(result.verdict)
    return replace(result, verdict=verdict, to_do=to_do, exchanges=exchanges, steps=steps)


def redact_text(text: str) -> str:
    """Return a text with all but fictional numbers by their last four digits, and no keys."""
    text = _KEYS.sub(lambda found: "*" * len(found[0]), text)
    return _REAL_NUMBER.sub(lambda found: found[1] or f"...{found[0][-4:]}", text)


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
    if result.steps:
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
