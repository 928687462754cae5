"""A scenario is played with the numbers of its target and drawn; a server is found or started."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path

import facts
import pytest
import requests
from processes import ServerProcess
from raw_servers import raw_server, saying
from scripted_server import scripted_server, well_but

from tools import console
from tools.simulation import play
from tools.simulation.call import Signer
from tools.simulation.play import ScenarioResult, Target
from tools.simulation.scenarios import SCENARIOS

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
    assert text.endswith(
        "\nFAILED: wanted dial, got hangup\n"
        f"To see why: python app.py explain --from {facts.CALLER} --to {facts.DIALLED}\n\n"
    )


@pytest.mark.parametrize(
    ("scenario", "numbers", "to_do"),
    [
        ("connected", {"to": facts.NOT_LISTED}, f"{facts.CALLER} --to {facts.NOT_LISTED}"),
        ("connected", {"to": facts.PAIR_NUMBER, "caller": ""}, f'"" --to {facts.PAIR_NUMBER}'),
        ("pair", {"to": facts.DIALLED}, f"{facts.DESTINATION} --to {facts.DIALLED}"),
    ],
)
def test_a_call_that_is_refused_names_the_command_that_says_why(
    scenario: str, numbers: dict[str, str], to_do: str, verified_server: ServerProcess
) -> None:
    to, caller = numbers["to"], numbers.get("caller")
    result = Target(verified_server.url, SIGNER, to, caller).play(SCENARIOS[scenario])
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


# The server


@contextlib.contextmanager
def found(environment: Mapping[str, str], url: str | None = None) -> Iterator[tuple[str, str]]:
    """Find or start a server; yield its URL and its note."""
    with play.find_or_start_server(url, environment) as (found_url, _, note):
        yield found_url, note


def test_the_server_that_runs_here_is_found_whatever_the_proxy(
    verified_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"MASKING_PORT": str(verified_server.port)}
    with raw_server(saying(b"")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        with found(environment) as told:
            assert told == (verified_server.url, "")
    assert proxy.connections == 0
    with found(environment | {"MASKING_EVENT_PATH": "/events"}) as (url, _):
        assert url == f"{verified_server.url}events"


def test_a_url_is_used_as_it_is_given(verified_server: ServerProcess) -> None:
    environment = {"MASKING_PORT": str(verified_server.port)}
    with found(environment, "http://given.example/") as told:
        assert told == ("http://given.example/", "")


def test_an_ipv6_address_is_in_brackets() -> None:
    environment = {"MASKING_HOST": "::1", "MASKING_PORT": "1"}
    assert play._configured_address(environment) == "http://[::1]:1"


def test_a_server_is_started_with_a_key_where_none_runs_and_stopped_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    screened = SCENARIOS["screening-accepted"]
    with play.find_or_start_server(None, {"MASKING_PORT": "9"}, [screened]) as (url, own, note):
        assert note == (
            ", started for this: none runs on http://127.0.0.1:9 (use --url for another)"
        )
        result = Target(url, Signer.from_environment(own)).play(screened)
        assert result.outcome == "passed", result.verdict
        assert requests.post(url, b"{}", timeout=10).status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)
    assert [path.name for path in tmp_path.iterdir()] == ["allowlist.csv"]


def test_a_server_that_is_started_has_the_key_and_the_digit_of_the_environment() -> None:
    environment = {"MASKING_PORT": "9", "MASKING_ACCEPT_DIGIT": "2", **facts.KEYS}
    own = play._own_environment(environment, [SCENARIOS["screening-accepted"]])
    assert own == environment | {"MASKING_PORT": "0", "MASKING_CALL_LOG": ""}


@pytest.mark.parametrize("environment", [{}, dict.fromkeys(facts.KEYS, "")])
def test_a_server_that_is_started_has_a_key_of_its_own_where_none_is_set(
    environment: dict[str, str],
) -> None:
    own = play._own_environment(environment, [])
    assert own["TELESIGN_CUSTOMER_ID"] == "SIMULATED"
    assert Signer.from_environment(own).key
