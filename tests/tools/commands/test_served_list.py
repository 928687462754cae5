"""Is the list that I edited live? check, pair, unpair and session beside a real server."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import facts
import pytest
from command_line import Ended, run, run_here
from helpers import ROOT, eventually
from processes import ServerProcess
from session_server import session_server

import signature
from tools.list_editor import turns
from tools.simulation.session_endpoint import Endpoint

A, B, C = "12025550130", "12025550131", "12025550132"
REAL = "18888888888"
POOL = "12025550161"


class Beside:
    """A server, and commands in its folder with its settings but perhaps more of an environment."""

    def __init__(self, server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
        self.server, self._capsys = server, capsys
        self.path = server.folder / "allowlist.csv"
        self.where = server.url.rstrip("/")
        turns.mark(self.path)  # or each command would wait for a program that writes it
        assert eventually(lambda: "serves this list" in self.ask("check").stdout)

    def ask(self, *words: str) -> Ended:
        return run_here(self._capsys, *words)

    def told(self, *words: str) -> tuple[int, Any]:
        ended = self.ask(*words, "--json")
        assert ended.stderr == ""
        return ended.returncode, json.loads(ended.stdout)


@pytest.fixture
def environment() -> dict[str, str]:
    return {}


@pytest.fixture
def beside(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Beside]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKING_VIRTUAL_NUMBERS", POOL)
    with ServerProcess(tmp_path, environment) as server:
        monkeypatch.setenv("MASKING_PORT", str(server.port))
        yield Beside(server, capsys)


def test_check_says_whether_the_list_is_served(beside: Beside) -> None:
    assert f"\nthe server on {beside.where} serves this list\n" in beside.ask("check").stdout
    assert beside.told("check")[1]["live"] is True
    beside.path.write_text(facts.ALLOW_LIST + "12025550103,12025550123,x,,,,\n")
    assert eventually(lambda: beside.server.health()["allow_list"] == "stale")
    ended = beside.ask("check")
    assert (ended.returncode, ended.stderr.splitlines()[-1].strip()) == (
        2,
        f"the server on {beside.where} serves an older list than this one: it has a fault in"
        " line 6, destination",
    )
    beside.server.stop()
    assert f"no server answers on {beside.where}" in beside.ask("check").stderr


def test_a_server_of_another_folder_does_not_pass_for_one_of_this(
    beside: Beside, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "allowlist.csv").write_text(facts.ALLOW_LIST)
    os.utime(elsewhere / "allowlist.csv", (1, 1))
    monkeypatch.chdir(elsewhere)
    text = f"the server on {beside.where} serves another list, changed later than this one"
    assert text in " ".join(beside.ask("check").stdout.split())


def test_a_pair_that_the_server_would_refuse_is_never_written(beside: Beside) -> None:
    before = beside.path.stat()
    status, told = beside.told("pair", REAL, B, "--for", "2h")
    assert (status, told) == (
        6,
        {
            "error": "server_refuses",
            "message": f"the server on {beside.where} has no key, so it refuses a list with real"
            " numbers, got ...8888; nothing has changed; set TELESIGN_CUSTOMER_ID and"
            " TELESIGN_API_KEY for the server, and start it again",
        },
    )
    ended = beside.ask("pair", REAL, B, "--for", "2h")
    assert (ended.returncode, ended.stdout) == (6, "")
    assert ended.stderr == f"pair: {told['message']}\n"
    assert (beside.path.stat().st_ino, beside.path.read_text()) == (before.st_ino, facts.ALLOW_LIST)
    assert beside.told("pair", A, B, "--for", "2h")[0] == 0


@pytest.mark.parametrize("environment", [facts.KEYS, {"MASKING_VERIFY_SIGNATURES": "false"}])
def test_a_server_that_serves_real_numbers_gets_them(beside: Beside) -> None:
    status, told = beside.told("pair", REAL, B, "--for", "2h")
    assert (status, told["live"]) == (0, True)
    status, told = beside.told("unpair", REAL, B)
    assert (status, told["live"]) == (0, True)


@pytest.mark.parametrize("environment", [{"MASKING_CALLER_ID_NUMBER": A}])
def test_what_the_server_refuses_for_another_reason_is_taken_back(beside: Beside) -> None:
    """For the server one of the two is a masking ID, which it is not for the command."""
    status, told = beside.told("pair", A, B, "--for", "2h")
    text = f"the server on {beside.where} refuses the new list: it has a fault in line 6, from"
    assert (status, told["error"]) == (6, "server_refuses")
    assert told["message"].startswith(f"{text}; it was taken back, so nothing has changed")
    assert beside.path.read_text() == facts.ALLOW_LIST
    assert eventually(lambda: beside.server.health()["status"] == "ok")
    assert beside.told("pair", C, B, "--for", "2h")[1]["live"] is True


@pytest.mark.parametrize("environment", [{"MASKING_CALLER_ID_NUMBER": A}])
@pytest.mark.parametrize("greeting", [(), ("--greeting", "Your ride.")])
def test_of_two_pairs_at_once_no_row_stays_that_the_server_refuses(
    beside: Beside, greeting: tuple[str, ...]
) -> None:
    """The second is written before the server has read the first, and perhaps widens the header."""
    command = [sys.executable, str(ROOT / "app.py"), "pair"]
    for pause_s in 0.1, 0.2, 0.3:
        words = [*command, C, "12025550133", "--for", "2h", *greeting]
        with subprocess.Popen([*command, A, B, "--for", "2h"], stderr=subprocess.DEVNULL) as first:
            time.sleep(pause_s)
            subprocess.run(words, capture_output=True, check=False, timeout=20)
        assert first.returncode == 6
        assert A not in beside.path.read_text()
        assert eventually(lambda: beside.server.health()["status"] == "ok")


def test_what_only_ends_rows_is_done_though_the_server_refuses_the_rest(beside: Beside) -> None:
    assert beside.told("pair", A, B, "--for", "2h")[0] == 0
    with beside.path.open("a") as file:
        file.write(f"{REAL},,18888888889,,,,somebody's\n")
    assert eventually(lambda: beside.server.health()["allow_list"] == "stale")
    status, told = beside.told("unpair", A, B)
    assert (status, told["live"], len(told["ended"])) == (7, False, 2)
    assert told["server"].endswith("than this one: it has a fault in line 8, to")
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    ends = [line.split(",")[5] for line in beside.path.read_text().splitlines() if A in line]
    assert [end <= now for end in ends] == [True, True]


@pytest.mark.parametrize("pairs", [2, pytest.param(100, marks=pytest.mark.faults)])
def test_a_program_can_call_at_once_after_each_pair(pairs: int, beside: Beside) -> None:
    for number in range(pairs):
        other = f"120255501{number % 20 + 40}"
        assert run(beside.server.folder, "pair", A, other, "--for", "2h").returncode == 0
        data = {"to": POOL, "from": A}
        event = {"event": "incoming_call", "reference_id": uuid.uuid4().hex, "data": data}
        answer = beside.server.deliver(json.dumps(event).encode())[1]
        assert answer["params"]["to"] == other
        assert run(beside.server.folder, "unpair", A, other).returncode == 0
        event["reference_id"] = uuid.uuid4().hex
        assert beside.server.deliver(json.dumps(event).encode())[1] == facts.HANGUP


@pytest.mark.usefixtures("beside")
def test_pairs_made_at_once_are_all_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKING_VIRTUAL_NUMBERS", ",".join([POOL, "12025550162", "12025550163"]))
    words = [sys.executable, str(ROOT / "app.py"), "pair", A]
    made = [
        subprocess.Popen([*words, other, "--for", "2h", "--json"], stdout=subprocess.PIPE)
        for other in (B, C, "12025550133")
    ]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in made]
    assert [answer["live"] for answer in told] == [True, True, True]
    assert len({answer["virtual_number"] for answer in told}) == 3


def test_without_a_server_the_list_is_changed_and_that_is_said(beside: Beside) -> None:
    beside.server.stop()
    status, told = beside.told("pair", REAL, B, "--for", "2h")
    assert (status, told["live"]) == (0, None)
    assert told["server"] == f"no server answers on {beside.where}"
    assert REAL in beside.path.read_text()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    account = Endpoint(facts.CUSTOMER_ID, signature.decode_key(facts.API_KEY))
    with session_server(account) as url:
        for name, value in {**facts.KEYS, "MASKING_API_URL": url}.items():
            monkeypatch.setenv(name, value)
        yield account


def test_a_session_is_asked_for_only_if_the_server_can_serve_it(
    beside: Beside, account: Endpoint
) -> None:
    """The command has the key, and the server, started without it, has none."""
    status, told = beside.told("session", REAL, B, "--validity", "2", "--append")
    assert (status, told["error"], len(account.free)) == (6, "server_refuses", 10)


@pytest.mark.parametrize("environment", [facts.KEYS])
@pytest.mark.usefixtures("account")
def test_a_session_is_told_to_a_program_and_then_that_it_is_live(beside: Beside) -> None:
    ended = beside.ask("session", A, B, "--validity", "2", "--append", "--json")
    session, added = map(json.loads, ended.stdout.splitlines())
    assert (ended.returncode, ended.stderr, len(session.pop("reference_id"))) == (0, "", 32)
    assert session.pop("expires").endswith("Z")
    one, other = "12025550180", "12025550181"
    assert session == {
        "rows": [
            {"from": "...0130", "to": other, "destination": "...0131", "caller_id_number": one},
            {"from": "...0131", "to": one, "destination": "...0130", "caller_id_number": other},
        ],
        "country_differs": False,
    }
    text = f"the server on {beside.where} serves this list"
    assert added == {"added": True, "live": True, "server": text}


@pytest.mark.parametrize("environment", [{**facts.KEYS, "MASKING_CALLER_ID_NUMBER": A}])
@pytest.mark.usefixtures("account")
def test_a_session_whose_rows_the_server_refuses_is_told_all_the_same(beside: Beside) -> None:
    ended = beside.ask("session", A, B, "--validity", "2", "--append", "--json")
    session, error = map(json.loads, ended.stdout.splitlines())
    assert (ended.returncode, ended.stderr, len(session["rows"])) == (9, "", 2)
    assert error["error"] == "not_added"
    assert "refuses the new list: it has a fault in line 6, from" in error["message"]
    assert beside.path.read_text() == facts.ALLOW_LIST
