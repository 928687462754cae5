"""The command line of the simulator: its options, what it plays, and its exit status."""

import json
import re
import subprocess
import sys
from pathlib import Path

import facts
import pytest
from helpers import PAYLOADS, ROOT, payload
from processes import ServerProcess
from raw_servers import raw_server, saying

import simulator
from simulation.scenarios import SCENARIOS

NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in facts.KEYS.items():
        monkeypatch.setenv(name, value)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = simulator.main(arguments)
    return code, capsys.readouterr().out


def simulate(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the program in a folder, where no server runs unless the environment names one."""
    ended = subprocess.run(
        [sys.executable, ROOT / "simulator.py", *arguments],
        cwd=folder,
        env={"PATH": "", "MASKING_PORT": "9", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


# What is played


def test_connected_and_refused_are_played_by_default(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url)
    assert code == 0
    assert out.startswith(f"server: {verified_server.url}\n")
    assert re.findall("^(?:PASSED|FAILED): .*", out, re.MULTILINE) == [
        "PASSED: connected: neither person saw the other's number",
        "PASSED: refused: nobody was called",
    ]


@pytest.mark.parametrize("option", ["--to", "--from"])
def test_connected_alone_is_played_by_default_if_a_number_is_given(
    option: str, verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    number = {"--to": facts.DIALLED, "--from": facts.CALLER}[option]
    code, out = run(capsys, "--url", verified_server.url, option, number, "--json")
    assert (code, [each["scenario"] for each in json.loads(out)]) == (0, ["connected"])


def test_a_failed_call_exits_with_1(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url, "connected", "--to", facts.NOT_LISTED)
    assert code == 1
    assert out.splitlines()[-3:-1] == [
        "FAILED: wanted dial, got hangup",
        f"To see why: python app.py explain --from {facts.CALLER} --to {facts.NOT_LISTED}",
    ]


@pytest.mark.parametrize("option", ["--no-signature", "--bad-signature"])
def test_a_request_without_a_valid_signature_must_be_rejected(
    option: str, verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url, "connected", option)
    assert code == 0
    assert "PASSED: rejected: no number was revealed" in out


def test_a_server_that_verifies_no_signatures_fails_a_forged_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in facts.KEYS:
        monkeypatch.delenv(name)
    with ServerProcess(tmp_path) as server:
        code, out = run(capsys, "--url", server.url, "forged")
    assert code == 1
    assert "FAILED: status: wanted 401 for the forged request, got 200" in out


def test_the_digit_is_the_one_that_is_pressed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ServerProcess(tmp_path, {**facts.KEYS, "MASKING_ACCEPT_DIGIT": "2"}) as server:
        assert run(capsys, "--url", server.url, "screening-accepted", "--digit", "2")[0] == 0
        code, out = run(capsys, "--url", server.url, "screening-accepted")
    assert code == 1
    words = " ".join(out.split())
    assert "wanted the live call to go on after 1 was pressed (--digit), got hangup" in words


def test_a_file_is_sent_as_an_event(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    path.write_bytes(payload("incoming_call"))
    code, out = run(capsys, "--url", verified_server.url, "--event", str(path))
    assert code == 0
    assert "PASSED: dial: TeleSign would take it" in out


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "--list")
    assert code == 0
    assert [line.split(" ", 1)[0] for line in out.splitlines()[2:]] == list(SCENARIOS)


def test_load_prints_its_figures_and_exits_with_1_if_a_call_failed(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--calls", "3", "--rate", "100")
    code, out = run(capsys, "--url", verified_server.url, *options)
    assert (code, "wrong verdicts  0" in out) == (0, True)
    assert run(capsys, "--url", NOWHERE, *options)[0] == 1


# Where it is played


def test_alone_it_starts_a_server_and_plays_every_scenario_on_it(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    code, out, err = simulate(tmp_path, "all", "--json")
    assert (code, err) == (0, "")
    results = json.loads(out)
    assert [each["scenario"] for each in results] == list(SCENARIOS)
    assert all(each["passed"] for each in results)


def test_many_scenarios_end_with_a_tally(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    three = ["connected", "refused", "replay"]
    code, out = run(capsys, "--url", verified_server.url, *three)
    assert (code, out.splitlines()[-1]) == (0, "3 passed")
    code, out = run(capsys, "--url", verified_server.url, *three, "--to", facts.NOT_LISTED)
    assert (code, out.splitlines()[-1]) == (1, "1 passed, 2 failed: connected, replay")


def test_a_server_that_was_started_is_named_first(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    code, out, _ = simulate(tmp_path, "refused")
    assert code == 0
    words = " ".join(out.split())
    assert re.match(
        r"server: http://127\.0\.0\.1:\d+/, started for this: none runs on http://127\.0\.0\.1:9 "
        r"\(use --url for another\)",
        words,
    )


def test_it_plays_on_a_server_that_runs_whatever_the_proxy(
    verified_server: ServerProcess, tmp_path: Path
) -> None:
    def events() -> int:
        counts: dict[str, int] = verified_server.health()["events"]
        return sum(counts.values())

    before = events()
    with raw_server(saying(b"")) as proxy:
        way = f"http://127.0.0.1:{proxy.port}"
        environment = {"MASKING_PORT": str(verified_server.port), "http_proxy": way, **facts.KEYS}
        code, out, _ = simulate(tmp_path, **environment)
    assert (code, proxy.connections) == (0, 0)
    assert out.startswith(f"server: {verified_server.url}\n")
    assert events() == before + 6


def test_a_server_that_does_not_start_is_reported_with_its_output(tmp_path: Path) -> None:
    code, out, err = simulate(tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("No call was played: ")
    assert "\n  allowlist.csv: wanted" in err


# Options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "unknown scenario 'nonsense'; see --list"),
        (["--calls", "0"], "--calls: wanted 1 to 100000, got 0"),
        (["--calls", "100001"], "--calls: wanted 1 to 100000, got 100001"),
        (
            ["--calls", "9", "--rate", "0"],
            "--rate: wanted above 0 and at most 1000 per second, got 0",
        ),
        (["--calls", "9", "--rate", "1001"], "at most 1000 per second, got 1001"),
        (["--calls", "9", "--rate", "nan"], "at most 1000 per second, got nan"),
        (
            ["--calls", "9", "--url", "https://example.com/"],
            "--calls: wanted a --url on this machine, got 'https://example.com/'",
        ),
        (["--calls", "9", "--url", "http://a.example\\@127.0.0.1/"], "a --url on this machine"),
        (["--calls", "9", "busy"], "--calls takes no scenarios"),
        (["--calls", "9", "--json"], "--calls prints a table, and takes no --json"),
        (["--event", "x.json", "busy"], "--event takes no scenarios"),
        (["--api", "busy"], "--api takes no scenarios"),
        (["--rate", "20"], "--rate needs --calls"),
        (["--port", "8082"], "--port needs --api"),
        (["--answer", "2702", "--calls", "9"], "--answer needs --api"),
        (["--unit", "days"], "--unit needs --api"),
        (["--digit", "12"], "--digit: invalid choice: '12'"),
        (["--event", "x.json", "--calls", "9"], "not allowed with argument"),
        (["--no-signature", "--bad-signature"], "not allowed with argument"),
        (
            ["--url", "127.0.0.1:8080"],
            "--url: wanted http://... or https://..., got '127.0.0.1:8080'",
        ),
        (["--url", "nonsense"], "--url: wanted http://... or https://..., got 'nonsense'"),
        (["--url", "http://["], "--url: wanted http://... or https://..., got 'http://['"),
        (
            ["--url", NOWHERE, "--event", str(PAYLOADS / "none.json")],
            "none.json: No such file or directory",
        ),
    ],
)
def test_a_wrong_option_is_an_error_that_says_what_was_wanted(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        simulator.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", NOWHERE], "No call was played: wanted the key in base64"),
        (["--api"], "--api: TELESIGN_API_KEY: wanted the key in base64"),
    ],
)
def test_a_bad_key_is_reported(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TELESIGN_API_KEY", "no key")
    assert simulator.main(arguments) == 1
    assert capsys.readouterr().err.startswith(message)


def test_the_session_endpoint_needs_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TELESIGN_API_KEY")
    assert simulator.main(["--api"]) == 1
    assert capsys.readouterr().err == (
        "--api: wanted TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, got no key\n"
    )


@pytest.mark.parametrize("port", ["{taken}", "70000"])
def test_a_port_that_cannot_be_had_is_reported(
    port: str, verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    port = port.format(taken=verified_server.port)
    assert simulator.main(["--api", "--port", port]) == 1
    assert capsys.readouterr().err.startswith(f"--api: cannot listen on port {port}: ")
