"""A scenario is played with its numbers and drawn, real numbers by their last four digits."""

import json
import re
from dataclasses import replace
from io import StringIO

import facts
import pytest
from processes import ServerProcess
from scripted_server import incoming_calls, scripted_server, well_but

from tools import console
from tools.simulation import play
from tools.simulation.call import Signer
from tools.simulation.play import ScenarioResult, Target
from tools.simulation.scenarios import SCENARIOS

SIGNER = Signer.from_environment(facts.KEYS)
CONNECTED = SCENARIOS["connected"]


# Playing


def test_a_scenario_is_played_with_its_numbers(verified_server: ServerProcess) -> None:
    scenario = replace(CONNECTED, to=facts.PAIR_NUMBER, caller=facts.DRIVER)
    first = Target(verified_server.url, SIGNER).play(scenario).exchanges[0]
    assert json.loads(first.sent)["data"] == {"to": facts.PAIR_NUMBER, "from": facts.DRIVER}
    assert json.loads(first.answer)["params"]["to"] == facts.RIDER


def test_an_empty_caller_is_a_withheld_one() -> None:
    with scripted_server(well_but()) as url:
        first = Target(url, SIGNER).play(replace(CONNECTED, caller="")).exchanges[0]
    assert json.loads(first.sent)["data"]["from"] == ""


# Drawing


def draw(target: Target) -> str:
    out = StringIO()
    play.print_results(console.terminal(out), [target.play(CONNECTED)])
    return re.sub(r"[0-9.]+ ms", "0 ms", re.sub("SIMULATED[0-9A-F]{23}", "ID", out.getvalue()))


def test_a_call_is_drawn_with_what_people_see_and_what_went_over_the_wire(
    verified_server: ServerProcess,
) -> None:
    text = draw(Target(verified_server.url, SIGNER))
    lines, words = text.splitlines(), re.sub(r"\s+", " ", text)
    assert lines[0].startswith(
        "connected: A listed number: both talk, neither sees a real number. "
    )
    assert lines[1] == (
        " Caller                 TeleSign                 Server                  Called"
    )
    assert "dials and sees" in lines[2]
    assert "12025550100" in lines[3]
    assert any(line.endswith("           sees 12025550199") for line in lines)
    assert any("1 dial 0 ms" in line for line in lines)
    assert '1 > {"event": "incoming_call", "reference_id": "ID",' in words
    assert "(assumed: the layout of the two legs)" in words
    assert "(assumed: {} is taken here) 3 < 200 {}" in words
    assert text.endswith("4 < 200 {}\nPASSED: connected: neither person saw the other's number\n\n")
    assert all(len(line) <= 80 for line in lines)


def test_a_failed_call_ends_with_what_was_wanted() -> None:
    with scripted_server(well_but(incoming_call=facts.HANGUP)) as url:
        text = draw(Target(url, SIGNER))
    assert text.endswith(
        "\nFAILED: wanted dial, got hangup\n"
        f"To see why: python app.py explain --from {facts.CALLER} --to {facts.DIALLED}\n\n"
    )


@pytest.mark.parametrize(
    ("scenario", "to", "caller", "to_do"),
    [
        ("connected", facts.NOT_LISTED, facts.CALLER, f"{facts.CALLER} --to {facts.NOT_LISTED}"),
        ("connected", facts.PAIR_NUMBER, "", f'"" --to {facts.PAIR_NUMBER}'),
        ("pair", facts.DIALLED, facts.CALLER, f"{facts.DESTINATION} --to {facts.DIALLED}"),
    ],
)
def test_a_call_that_is_refused_names_the_command_that_says_why(
    scenario: str, to: str, caller: str, to_do: str, verified_server: ServerProcess
) -> None:
    played = replace(SCENARIOS[scenario], to=to, caller=caller)
    result = Target(verified_server.url, SIGNER).play(played)
    assert result.to_do == f"python app.py explain --from {to_do}"


@pytest.mark.parametrize(
    ("passed", "failed", "skipped", "text"),
    [
        ("busy forged", "", "", "2 passed"),
        ("busy", "pair", "", "1 passed; 1 failed: pair"),
        ("", "pair replay", "forged", "0 passed; 2 failed: pair, replay; 1 skipped: forged"),
    ],
)
def test_a_tally_names_what_failed(passed: str, failed: str, skipped: str, text: str) -> None:
    results = [
        ScenarioResult(scenario, "", outcome, "", "", [], [])
        for outcome, names in (("passed", passed), ("failed", failed), ("skipped", skipped))
        for scenario in names.split()
    ]
    assert play.tally(results) == text


def test_the_json_of_the_results_holds_everything_but_the_drawing(
    verified_server: ServerProcess,
) -> None:
    result = Target(verified_server.url, SIGNER).play(CONNECTED)
    (row,) = json.loads(play.as_json([result]))
    assert row.keys() == {"scenario", "sentence", "outcome", "verdict", "exchanges", "to_do"}
    assert (row["scenario"], row["outcome"]) == ("connected", "passed")
    assert row["exchanges"][0].keys() == {
        "event", "sent", "assumed", "status", "answer", "milliseconds", "faults",
    }  # fmt: skip


# Real numbers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"to": "447700900123"', '"to": "...0123"'),
        ("rings 4930231250", "rings ...1250"),
        ("+12025559123", "+...9123"),
        ("sees 12025550100 and 12025550199", "sees 12025550100 and 12025550199"),
        ("12025550200, 120255501001", "...0200, ...1001"),
        ("SIMULATED1234567890ABCDEF1234567", "SIMULATED1234567890ABCDEF1234567"),
        (
            "SIMULATED534e1848-235f-482d-983d-e3e11a04f58a",
            "SIMULATED534e1848-235f-482d-983d-e3e11a04f58a",
        ),
        ("presses ww442079460001# (send_dtmf)", "presses *************** (send_dtmf)"),
        ("presses 1w*# (send_dtmf)", "presses **** (send_dtmf)"),
        ('{"send_dtmf":"ww6458#","x":"y"}', '{"send_dtmf":"*******","x":"y"}'),
        ('{"send_dtmf": "12025550111"}', '{"send_dtmf": "***********"}'),
        (
            "send_dtmf: wanted keys 'ww64', as in the list, got nothing",
            "send_dtmf: wanted keys '****', as in the list, got nothing",
        ),
        ('"external_id": "trip442079460001b"', '"external_id": "trip...0001b"'),
        (
            '"external_id": "4142b474-d65d-4265-a5fa-a581b1fe6101"',
            '"external_id": "4142b474-d65d-4265-a5fa-a581b1fe6101"',
        ),
        ("123456 2026-11-23T12:00:00.123456Z", "123456 2026-11-23T12:00:00.123456Z"),
    ],
)
def test_a_number_that_may_be_somebodys_is_shown_by_its_last_four_digits(
    text: str, shown: str
) -> None:
    assert play.redact_text(text) == shown


def test_no_real_number_is_left_in_what_is_drawn_or_printed_as_json() -> None:
    """Of a call that connects, and of one that fails with numbers in its verdict."""
    to, caller, called, other = "442079460001", "442079460002", "442079460003", "442079460004"
    more = {"external_id": f"trip{other}", "send_dtmf": f"ww{other}#"}
    dials = [
        {"method": "dial", "params": {"to": number, "caller_id_number": to, **more}}
        for number in (called, called, other)
    ]
    with scripted_server(incoming_calls(*dials)) as url:
        target = Target(url, SIGNER)
        scenarios = [replace(SCENARIOS[name], to=to, caller=caller) for name in ("busy", "pair")]
        results = [target.play(scenario) for scenario in scenarios]
        with_caller = incoming_calls(
            {"method": "dial", "params": {"to": caller, "caller_id_number": caller}}
        )
    with scripted_server(with_caller) as url:
        results += [Target(url, SIGNER).play(scenarios[0])]
    with scripted_server(well_but(incoming_call=facts.HANGUP)) as url:
        results += [Target(url, SIGNER).play(scenarios[0])]
    assert [result.outcome for result in results] == ["failed"] * 4
    assert results[1].verdict == f"wanted {called} to reach {caller}, got {other}"
    redacted = [play.redact(result) for result in results]
    assert redacted[1].verdict == "wanted ...0003 to reach ...0002, got ...0004"
    assert redacted[3].to_do == (
        "python app.py explain --from ...0002 --to ...0001 (in full with --full)"
    )
    out = StringIO()
    play.print_results(console.terminal(out), redacted)
    assert "rings ...0003" in out.getvalue()
    assert "presses *************** (send_dtmf)" in out.getvalue()
    assert "trip...0004" in play.as_json(redacted)
    for text in out.getvalue(), play.as_json(redacted):
        assert "44207946" not in text
