"""Load begins calls at its rate and prints the figures and every verdict."""

import re
import time
from io import StringIO

import facts
import pytest
from processes import ServerProcess
from scripted_server import scripted_server, well_but

from tools import console
from tools.simulation.call import Signer
from tools.simulation.load import play_load
from tools.simulation.play import Target
from tools.simulation.scenarios import SCENARIOS

SIGNER = Signer.from_environment(facts.KEYS)


def load(url: str, calls: int = 3, rate: float = 100) -> tuple[bool, dict[str, str], str]:
    """Play load; return whether all passed, the figures by name, and the whole output."""
    out = StringIO()
    target, terminal = Target(url, SIGNER), console.terminal(out)
    passed = play_load(target, SCENARIOS["connected"], calls, rate, terminal)
    pairs = re.findall(r"^(\S.*?)  +(\S.*)$", out.getvalue(), re.MULTILINE)
    return passed, dict(pairs), out.getvalue()


def test_calls_begin_at_the_rate_and_the_figures_are_printed(
    verified_server: ServerProcess,
) -> None:
    started = time.monotonic()
    passed, figures, text = load(verified_server.url, calls=20, rate=40)
    assert time.monotonic() - started >= 19 / 40
    assert passed
    assert figures["load"] == "40 calls/s"
    assert (figures["calls"], figures["answers"]) == ("20", "80")
    assert "20 x connected: neither person saw" in text
    assert (figures["errors"], figures["wrong verdicts"]) == ("0", "0")
    p50, p99, maximum = (float(figures[name].split()[0]) for name in ("p50", "p99", "maximum"))
    assert 0 < p50 <= p99 <= maximum


def test_a_wrong_answer_is_counted_and_its_verdict_printed() -> None:
    with scripted_server(well_but(incoming_call=facts.HANGUP)) as url:
        passed, figures, text = load(url)
    assert not passed
    assert (figures["errors"], figures["wrong verdicts"]) == ("0", "3")
    assert "3 x wanted dial, got hangup\n" in text


def test_a_missing_answer_is_an_error() -> None:
    passed, figures, _ = load("http://127.0.0.1:9/")
    assert not passed
    assert (figures["answers"], figures["errors"], figures["wrong verdicts"]) == ("0", "3", "0")


def test_load_goes_by_no_proxy(
    verified_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    assert load(verified_server.url)[0]


def test_the_time_of_an_answer_counts_from_when_its_call_was_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One thread plays six calls that are due at almost the same time: the last begins late."""
    monkeypatch.setattr("tools.simulation.load._THREADS", 1)

    def slow(event: dict[str, str]) -> object:
        time.sleep(0.05 if event["event"] == "incoming_call" else 0)
        return well_but()(event)

    with scripted_server(slow) as url:
        figures = load(url, calls=6, rate=1000)[1]
    assert float(figures["maximum"].split()[0]) >= 250
