"""The command line of the simulator: its options, what it plays, and its exit status."""

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import PAYLOADS, ROOT, payload
from processes import ServerProcess
from raw_servers import raw_server, saying
from scripted_server import scripted_server, well_but
from terminals import in_a_terminal

import simulator
from tools import main
from tools.simulation.scenarios import SCENARIOS

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
    assert (code, [result["scenario"] for result in json.loads(out)]) == (0, ["connected"])


def test_a_failed_call_exits_with_1(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url, "connected", "--to", facts.NOT_LISTED)
    assert code == 1
    assert out.splitlines()[-3:-1] == [
        "FAILED: wanted dial, got hangup",
        f"To see why: python app.py explain --from {facts.CALLER} --to {facts.NOT_LISTED}",
    ]


def test_an_open_server_fails_a_forged_request_and_all_scenarios_skip_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in facts.KEYS:
        monkeypatch.delenv(name)
    with ServerProcess(tmp_path) as server:
        code, out = run(capsys, "--url", server.url, "forged")
        assert (code, "FAILED: status: wanted 401 without a valid" in out) == (1, True)
        code, out = run(capsys, "--url", server.url, "all")
    tally = "15 passed; 4 skipped: screening-accepted, screening-declined, forged, unsigned"
    assert (code, out.splitlines()[-1]) == (0, tally)
    assert "SKIPPED: wanted speak with collect_digits (set accept_digit), got speak" in out


@pytest.mark.parametrize("form", ["{}", "[{}]"])
def test_every_scenario_passes_with_either_way_of_leaving_a_call_as_it_is(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"MASKING_CARRY_ON": form, "MASKING_ACCEPT_DIGIT": "1"}
    with ServerProcess(tmp_path, facts.KEYS | more) as server:
        code, out = run(capsys, "--url", server.url, "all", "--json")
        assert server.stop() == 0
    results = json.loads(out)
    assert (code, {result["outcome"] for result in results}) == (0, {"passed"})
    exchanges = [exchange for result in results for exchange in result["exchanges"]]
    empty = {exchange["answer"] for exchange in exchanges if "{}" in exchange["answer"][:4]}
    assert empty == {form}
    assert f"{form} is taken here" in {exchange["assumed"] for exchange in exchanges}
    with contextlib.closing(sqlite3.connect(tmp_path / "calls.db")) as log:
        kept = log.execute("SELECT DISTINCT reply FROM call_event WHERE event = 'call_completed'")
        assert kept.fetchall() == [("{}",)]


def test_the_digit_is_the_one_that_is_pressed(capsys: pytest.CaptureFixture[str]) -> None:
    collect = {"tts": {"message": "Press 2."}, "collect_digits": {"max": 1}}

    def answer(event: dict[str, Any]) -> Any:
        if event["event"] == "speak_completed":
            return {} if event["data"].get("collected_digits") == "2" else facts.HANGUP
        return well_but(dial_completed={"method": "speak", "params": collect})(event)

    with scripted_server(answer) as url:
        assert run(capsys, "--url", url, "screening-accepted", "--digit", "2")[0] == 0
        code, out = run(capsys, "--url", url, "screening-accepted")
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


def test_an_event_that_gets_no_answer_has_no_status(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "connected", "--url", NOWHERE)
    assert (code, "\n1 < no answer\nFAILED: wanted an answer" in out) == (1, True)


# On one's own list

OWN_LIST = """\
to,from,destination,expires
442079460001,493023125001,493023125002,
442079460001,493023125002,493023125001,
442079460002,,493023125003,2099-01-31T18:00:00Z
"""


def test_on_an_own_list_the_numbers_are_chosen_from_it_and_what_it_cannot_show_is_left_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.csv").write_text(OWN_LIST)
    (tmp_path / "config.toml").write_text('port = 9\nallow_list = "own.csv"\n')
    code, out, err = simulate(tmp_path, "all")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{len(SCENARIOS) - 1} passed; 1 skipped: expired"
    assert "SKIPPED: wanted a row that has expired, got none in own.csv\n" in out
    assert "none runs on http://127.0.0.1:9 " in " ".join(out.split())
    assert re.findall("4420794|4930231", out) == []
    assert "sees ...0001" in out
    code, out, err = simulate(tmp_path, "--full", "--json", "expired", "pair")
    results = json.loads(out)
    assert (code, [result["outcome"] for result in results]) == (0, ["skipped", "passed"])
    sent = [json.loads(exchange["sent"])["data"] for exchange in results[1]["exchanges"]]
    assert sent[0] == {"to": "442079460001", "from": "493023125001"}
    assert {"to": "442079460001", "from": "493023125002"} in sent


EVERY_COLUMN = """\
to,from,destination,caller_id_number,max_call_duration,expires,note,\
greeting,language,external_id,send_dtmf
442079460002,,493023125003,,600,,a note,"Your driver, Kim, is calling.",,trip 442079460009,ww6458#
442079460001,493023125001,493023125002,,,2099-01-31T18:00:00Z,,,es-ES,trip 1,
442079460001,493023125002,493023125001,,,,,"Su conductor, Kim",es-ES,trip 2,ww442079460009
442079460003,,493023125003,,,2020-01-31T18:00:00Z,,Late,,trip 3,
"""


def test_every_scenario_plays_what_a_row_says_on_a_server_that_is_started(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(EVERY_COLUMN)
    code, out, err = simulate(tmp_path, "all")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{len(SCENARIOS)} passed"
    assert re.findall("4420794|4930231|6458", out) == []
    assert "presses ******* (send_dtmf)" in out
    words = " ".join(re.sub("[^a-zA-Z0-9.,:>(]+", " ", out).split())
    for drawn in (
        "says: Your driver, Kim, is calling.",
        "external id : trip ...0009",
        "says: Su conductor, Kim",
    ):
        assert drawn in words


def test_load_plays_what_a_row_says(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(EVERY_COLUMN)
    code, out, err = simulate(tmp_path, "--calls", "3", "--rate", "100")
    assert (code, err) == (0, "")
    assert "3 x connected: neither person saw the other's number" in out


def test_a_call_whose_row_says_everything_is_played_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a server that runs with this list."""
    with ServerProcess(tmp_path, facts.KEYS, EVERY_COLUMN) as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MASKING_PORT", str(server.port))
        code, out = run(capsys, "connected", "--json", "--full")
        assert server.stop() == 0
    (result,) = json.loads(out)
    assert (code, result["verdict"]) == (0, "connected: neither person saw the other's number")
    answers = [json.loads(exchange["answer"]) for exchange in result["exchanges"]]
    tts = {"message": "Your driver, Kim, is calling.", "language": "en-US"}
    assert answers[:2] == [
        {
            "method": "dial",
            "params": {
                "to": "493023125003",
                "caller_id_number": "442079460002",
                "max_call_duration": "600",
                "send_dtmf": "ww6458#",
                "external_id": "trip 442079460009",
            },
        },
        {"method": "speak", "params": {"tts": tts}},
    ]
    sent = [json.loads(exchange["sent"]) for exchange in result["exchanges"]]
    assert {(event["event"], event.get("external_id")) for event in sent} == {
        ("incoming_call", None),
        ("dial_completed", "trip 442079460009"),
        ("speak_completed", "trip 442079460009"),
        ("call_completed", "trip 442079460009"),
    }
    kept = main.main(["calls", "--simulated", "--json", "--external-id", "trip 442079460009"])
    (record,) = json.loads(capsys.readouterr().out)
    assert (kept, record["external_id"]) == (0, "trip 442079460009")


def test_a_row_that_the_server_does_not_have_fails_the_call_unless_the_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ServerProcess(tmp_path, facts.KEYS) as server:
        own = "to,destination,external_id\n12025550100,12025550111,trip 1\n"
        (tmp_path / "own.csv").write_text(own)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MASKING_PORT", str(server.port))
        monkeypatch.setenv("MASKING_ALLOW_LIST", "own.csv")
        code, out = run(capsys, "connected")
        wanted = "FAILED: external_id: wanted 'trip 1', as in the list, got nothing"
        assert (code, wanted in out) == (1, True)
        both = ("--from", facts.CALLER, "--to", facts.DIALLED)
        assert run(capsys, "connected", *both)[0] == 0
        assert run(capsys, "connected", "--url", server.url)[0] == 0


def test_without_a_row_that_connects_no_load_is_played(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text("to\n")
    code, _, err = simulate(tmp_path, "--calls", "3")
    wanted = "wanted a row that connects somebody, got none in allowlist.csv"
    assert (code, err) == (1, f"No call was played: {wanted}\n")


def test_a_list_that_cannot_be_read_is_reported_unless_both_numbers_are_given(
    verified_server: ServerProcess, tmp_path: Path
) -> None:
    url = ("--url", verified_server.url)
    code, _, err = simulate(tmp_path, *url, **facts.KEYS)
    assert (code, err) == (
        1,
        "No call was played: allowlist.csv: No such file or directory; name --from and --to,"
        " or run this in the folder of the list\n",
    )
    numbers = ("--from", facts.CALLER, "--to", facts.DIALLED)
    code, out, err = simulate(tmp_path, *url, *numbers, **facts.KEYS)
    assert (code, "PASSED" in out, err) == (0, True, "")


# In a terminal of 80 columns


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--list",
        "all",
        "connected --to 12025550177",
        "--calls 3",
        "--api --rate 1",
        "--answer nonsense",
        "--config none.toml",
        f"--url http://127.0.0.1:9/{'y' * 90}",
        "nonsense-" * 12,
    ],
    ids=lambda words: words[:20].strip(),
)
def test_nothing_is_wider_than_a_terminal_of_80_columns(words: str, tmp_path: Path) -> None:
    folder = tmp_path / ("a-folder-with-a-name/" * 6)
    folder.mkdir(parents=True)
    (folder / "own.csv").write_text(OWN_LIST)
    (folder / "config.toml").write_text(
        f'port = 9\nallow_list = "{folder}/own.csv"\nevent_path = "/events/{"x" * 60}"\n'
    )
    with in_a_terminal("simulator.py", *words.split(), folder=folder) as terminal:
        pass
    assert terminal.text != ""
    assert terminal.too_wide() == []


# Where it is played


def test_alone_it_starts_a_server_and_plays_every_scenario_on_it(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    code, out, err = simulate(tmp_path, "all")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{len(SCENARIOS)} passed"
    assert re.match(
        r"server: http://127\.0\.0\.1:\d+/, started for this: none runs on http://127\.0\.0\.1:9 "
        r"\(use --url for another\)",
        " ".join(out.split()),
    )


def test_many_scenarios_end_with_a_tally(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    three = ["connected", "refused", "replay"]
    code, out = run(capsys, "--url", verified_server.url, *three)
    assert (code, out.splitlines()[-1]) == (0, "3 passed")
    code, out = run(capsys, "--url", verified_server.url, *three, "--to", facts.NOT_LISTED)
    assert (code, out.splitlines()[-1]) == (1, "1 passed; 2 failed: connected, replay")


def test_it_plays_on_a_server_that_runs_whatever_the_proxy(
    verified_server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MASKING_PORT", str(verified_server.port))
    with raw_server(saying(b"")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        code, out = run(capsys)
    assert (code, proxy.connections) == (0, 0)
    assert out.startswith(f"server: {verified_server.url}\n")


def test_where_another_program_has_the_port_a_server_is_started_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not start, as there is no list."""
    monkeypatch.chdir(tmp_path)
    with scripted_server(well_but()) as url:
        monkeypatch.setenv("MASKING_PORT", url.split(":")[2].rstrip("/"))
        assert simulator.main([]) == 1
    out, err = capsys.readouterr()
    assert (out, err[:20]) == ("", "No call was played: ")
    assert "\n  allowlist.csv: wanted" in err


# Options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "unknown scenario 'nonsense'; see --list"),
        (["--calls", "0"], "--calls: wanted a number, 1 to 100000, got '0'"),
        (["--calls", "100001"], "--calls: wanted a number, 1 to 100000, got '100001'"),
        (["--calls", "9", "--rate", "0"], "--rate: wanted a number, 0.01 to 1000, got '0'"),
        (
            ["--calls", "9", "--rate", "1001"],
            "--rate: wanted a number, 0.01 to 1000, got '1001'",
        ),
        (
            ["--calls", "9", "--rate", "nan"],
            "--rate: wanted a number, 0.01 to 1000, got 'nan'",
        ),
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
        (["--api", "--port", "70000"], "--port: wanted a number, 0 to 65535, got '70000'"),
        (["--unit", "days"], "--unit needs --api"),
        (["--answer", "2702", "--calls", "9"], "--answer needs --api"),
        (["--digit", "12"], "--digit: invalid choice: '12'"),
        (["--event", "x.json", "--calls", "9"], "not allowed with argument"),
        (["--from", "abc"], "--from: wanted a country code and digits, 7 to 15 in all, got 'abc'"),
        (["--to", ""], "--to: wanted a country code and digits, 7 to 15 in all, got ''"),
        (["--url", "127.0.0.1:8080"], "--url: wanted http://... or https://..., got '127."),
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
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_number_may_have_a_plus_and_an_empty_caller_is_a_withheld_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with scripted_server(well_but()) as url:
        numbers = ("--from", "", "--to", f"+{facts.DIALLED}")
        code, out = run(capsys, "--url", url, "--json", *numbers)
    (result,) = json.loads(out)
    sent = json.loads(result["exchanges"][0]["sent"])["data"]
    assert (code, sent) == (0, {"to": facts.DIALLED, "from": ""})


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("no key", "TELESIGN_API_KEY: wanted the key in base64"),
        ("", "TELESIGN_API_KEY: wanted a key to check requests with, got none; set it"),
    ],
)
def test_a_bad_or_missing_key_is_reported(
    key: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TELESIGN_API_KEY", key)
    assert simulator.main(["--api"]) == 1
    assert capsys.readouterr().err.startswith(message)
    if key:
        assert simulator.main(["--url", NOWHERE]) == 1
        assert capsys.readouterr().err.startswith(message)


def test_a_port_that_cannot_be_had_is_reported(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    port = verified_server.port
    assert simulator.main(["--api", "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"--api: cannot listen on 127.0.0.1:{port}: Address already in use;"
        " name another port with --port\n"
    )
