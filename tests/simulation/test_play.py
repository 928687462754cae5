"""A scenario is played with the numbers of its target and drawn; a server is found or started."""

import json
import re
from io import StringIO
from pathlib import Path

import facts
import pytest
import requests
from processes import ServerProcess
from raw_servers import raw_server, saying
from scripted_server import scripted_server, well_but

from cli import console
from simulation import play
from simulation.call import Signer
from simulation.play import ScenarioResult, ServerStartError, Target
from simulation.scenarios import SCENARIOS

SIGNER = Signer.from_environment(facts.KEYS)
CONNECTED = SCENARIOS["connected"]


# Playing


def test_the_numbers_of_the_target_take_the_place_of_the_scenarios(
    verified_server: ServerProcess,
) -> None:
    target = Target(verified_server.url, SIGNER, to=facts.PAIR_NUMBER, caller=facts.DRIVER)
    first = target.play(CONNECTED).exchanges[0]
    assert json.loads(first.sent)["data"] == {"to": facts.PAIR_NUMBER, "from": facts.DRIVER}
    assert json.loads(first.answer)["params"]["to"] == facts.RIDER


def test_an_empty_number_of_the_target_is_a_withheld_caller() -> None:
    with scripted_server(well_but()) as url:
        first = Target(url, SIGNER, caller="").play(CONNECTED).exchanges[0]
    assert json.loads(first.sent)["data"]["from"] == ""


@pytest.mark.parametrize("signing", ["forged", "unsigned"])
def test_a_rejected_request_passes(signing: str, verified_server: ServerProcess) -> None:
    signer = Signer(SIGNER.customer_id, SIGNER.key, signing)  # type: ignore[arg-type]
    result = Target(verified_server.url, signer).play(CONNECTED)
    assert (result.passed, result.verdict) == (True, "rejected: no number was revealed")


# Drawing


def drawn(target: Target) -> str:
    out = StringIO()
    play.print_results(console.terminal(out), [target.play(CONNECTED)])
    return re.sub(r"[0-9.]+ ms", "0 ms", re.sub("SIMULATED[0-9A-F]{23}", "ID", out.getvalue()))


def test_a_call_is_drawn_with_what_people_see_and_what_went_over_the_wire(
    verified_server: ServerProcess,
) -> None:
    text = drawn(Target(verified_server.url, SIGNER))
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
        text = drawn(Target(url, SIGNER))
    assert text.endswith("\nFAILED: wanted dial, got hangup\n\n")


LISTED_PAIR, UNLISTED = facts.PAIR_NUMBER, facts.NOT_LISTED
EXPLAIN = "python app.py explain --from"


@pytest.mark.parametrize(
    ("scenario", "numbers", "to_do"),
    [
        ("connected", {"to": UNLISTED}, f"{EXPLAIN} {facts.CALLER} --to {UNLISTED}"),
        ("connected", {"to": LISTED_PAIR, "caller": ""}, f'{EXPLAIN} "" --to {LISTED_PAIR}'),
        ("connected", {"to": "$(x) y"}, f"{EXPLAIN} {facts.CALLER} --to '$(x) y'"),
        ("connected", {"to": facts.DIALLED}, ""),
        ("connected", {}, ""),
        ("refused", {"to": UNLISTED}, ""),
        ("refused", {"to": facts.DIALLED}, ""),
        ("pair", {"to": facts.DIALLED}, f"{EXPLAIN} {facts.DESTINATION} --to {facts.DIALLED}"),
    ],
)  # fmt: skip
def test_a_call_of_numbers_of_ones_own_that_is_refused_names_the_command_that_says_why(
    scenario: str, numbers: dict[str, str], to_do: str, verified_server: ServerProcess
) -> None:
    result = Target(verified_server.url, SIGNER, **numbers).play(SCENARIOS[scenario])
    assert result.to_do == to_do


def result_of(scenario: str, *, passed: bool) -> ScenarioResult:
    return ScenarioResult(scenario, "", passed, "", [], [])


@pytest.mark.parametrize(
    ("passed", "failed", "text"),
    [
        ("busy forged", "", "2 passed"),
        ("busy", "pair", "1 passed, 1 failed: pair"),
        ("", "pair duplicate", "0 passed, 2 failed: pair, duplicate"),
    ],
)
def test_a_tally_names_what_failed(passed: str, failed: str, text: str) -> None:
    results = [result_of(each, passed=True) for each in passed.split()]
    results += [result_of(each, passed=False) for each in failed.split()]
    assert play.tally(results) == text


def test_the_json_of_the_results_holds_everything_but_the_drawing(
    verified_server: ServerProcess,
) -> None:
    result = Target(verified_server.url, SIGNER).play(CONNECTED)
    (row,) = json.loads(play.as_json([result]))
    assert row.keys() == {"scenario", "sentence", "passed", "verdict", "exchanges", "to_do"}
    assert (row["scenario"], row["passed"]) == ("connected", True)
    assert row["exchanges"][0].keys() == {
        "event", "sent", "assumed", "status", "answer", "milliseconds", "faults",
    }  # fmt: skip


# The server


def test_the_server_that_runs_here_is_found_whatever_the_proxy(
    verified_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"MASKING_PORT": str(verified_server.port)}
    with raw_server(saying(b"")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert play.running_server(environment) == verified_server.url
    assert proxy.connections == 0


def test_the_event_path_of_the_environment_is_part_of_the_url(
    verified_server: ServerProcess,
) -> None:
    environment = {"MASKING_PORT": str(verified_server.port), "MASKING_EVENT_PATH": "/events"}
    assert play.running_server(environment) == f"{verified_server.url}events"


def test_another_program_on_the_port_is_not_taken_for_the_server() -> None:
    with scripted_server(well_but()) as url:
        port = url.split(":")[2].rstrip("/")
        assert play.running_server({"MASKING_PORT": port}) is None


def test_no_server_is_found_where_none_runs() -> None:
    assert play.running_server({"MASKING_PORT": "9"}) is None


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"MASKING_HOST": "::1", "MASKING_PORT": "1"}, "http://[::1]:1"),
    ],
)
def test_the_server_is_looked_for_where_the_environment_says(
    environment: dict[str, str], address: str
) -> None:
    assert play.configured_address(environment) == address


def test_a_url_is_used_as_it_is_given(verified_server: ServerProcess) -> None:
    environment = {"MASKING_PORT": str(verified_server.port)}
    with play.find_or_start_server("http://given.example/", environment) as server:
        assert (server.url, server.environment) == ("http://given.example/", environment)


def test_a_server_is_started_with_a_key_where_none_runs_and_stopped_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    monkeypatch.chdir(tmp_path)
    screened = [SCENARIOS["screening-accepted"]]
    with play.find_or_start_server(None, {"MASKING_PORT": "9"}, screened) as server:
        assert server.note == (
            ", started for this: none runs on http://127.0.0.1:9 (use --url for another)"
        )
        result = Target(server.url, Signer.from_environment(server.environment)).play(screened[0])
        assert result.passed, result.verdict
        assert requests.post(server.url, b"{}", timeout=10).status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=10)
    assert [path.name for path in tmp_path.iterdir()] == ["allowlist.csv"]


def test_a_server_that_is_started_has_the_key_and_the_digit_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    monkeypatch.chdir(tmp_path)
    environment = {"MASKING_PORT": "9", "MASKING_ACCEPT_DIGIT": "2", **facts.KEYS}
    screened = SCENARIOS["screening-accepted"]
    with play.find_or_start_server(None, environment, [screened]) as server:
        assert server.environment == environment
        assert Target(server.url, SIGNER, digit="2").play(screened).passed


def test_a_server_that_does_not_start_is_an_error_with_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ServerStartError, match=r"allowlist\.csv"),
        play.find_or_start_server(None, {"MASKING_PORT": "9"}),
    ):
        pass
