"""The page of exit statuses is true: each of its rows is what some command really ends with."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import facts
import pytest
from command_line import Ended, run_here
from helpers import ROOT
from raw_servers import raw_server, saying
from session_server import session_server

import signature
from call_log.store import StoreError
from tools.commands import check
from tools.list_editor import editor, turns
from tools.outcome import Status
from tools.simulation.session_endpoint import Endpoint

A, B, C = "12025550130", "12025550131", "12025550132"
POOL = "12025550161"
PAGE = (ROOT / "docs" / "at-two-in-the-morning.md").read_text()
STOPPED = 130
PAIR, UNPAIR = ("pair", A, B, "--for", "2h"), ("unpair", A, B)
SESSION = ("session", A, B, "--validity", "2")


def page() -> set[tuple[int, str]]:
    """Return each status of the page with each of its words, or none."""
    found = re.findall(r"^\| ([0-9]+) \| ([^|]*)\|", PAGE, re.MULTILINE)
    return {
        (int(status), word)
        for status, cell in found
        for word in re.findall(r"`(\w+)`", cell) or [""]
    }


Run = Callable[..., Ended]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with `--json`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKING_PORT", "1")
    monkeypatch.setenv("MASKING_VIRTUAL_NUMBERS", POOL)
    put(facts.ALLOW_LIST)
    return lambda *words: run_here(capsys, *words, "--json")


def put(text: str) -> None:
    Path("allowlist.csv").write_text(text)
    turns.mark(Path("allowlist.csv"))


def outcome(ended: Ended) -> tuple[int, str]:
    """Return the status and the word of an error; in JSON nothing is said on standard error."""
    assert ended.stderr == ""
    told: Any = json.loads(ended.stdout.splitlines()[-1])
    return ended.returncode, told.get("error", "")


def test_the_page_names_every_status_and_no_other() -> None:
    assert {status for status, _ in page()} == {*map(int, Status), STOPPED}


def test_every_word_in_the_code_is_on_the_page() -> None:
    texts = [file.read_text() for file in (ROOT / "tools").rglob("*.py")]
    statuses = {
        (int(Status[name]), word)
        for text in texts
        for word, name in re.findall(r'\(\s*"([a-z_]+)",[^)]*?Status\.([A-Z_]+)', text, re.DOTALL)
    }
    words = {word for text in texts for word in re.findall(r'CommandError\(\s*"([a-z_]+)"', text)}
    assert statuses
    assert statuses <= page()
    assert words <= {word for _, word in page()}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (PAIR, (0, "")),
        (("check",), (0, "")),
        (("check", "--strict"), (1, "")),
        (("explain", "--from", A, "--to", B), (0, "")),
        (UNPAIR, (1, "no_pair")),
        (("pair", A, POOL, "--for", "2h"), (1, "no_pair")),
        (("pair", A), (2, "bad_arguments")),
        (("unpair",), (2, "bad_arguments")),
        (("unpair", A, "--external-id", "x"), (2, "bad_arguments")),
        (("unpair", "--external-id", "x"), (1, "no_pair")),
        ((*PAIR, "--external-id", "a,b"), (2, "bad_arguments")),
        (("check", "--nonsense"), (2, "bad_arguments")),
        (("prune", "--older-than", "soon"), (2, "bad_arguments")),
        (("unpair", A, "x"), (2, "bad_number")),
        (("pair", A, A, "--for", "2h"), (2, "bad_number")),
        (SESSION, (2, "faults")),
    ],
)
def test_a_command_ends_with_its_status(
    words: tuple[str, ...], expected: tuple[int, str], ask: Run
) -> None:
    assert expected in page()
    assert outcome(ask(*words)) == expected


def test_a_call_log_that_cannot_be_read(ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("there is no call log yet")

    monkeypatch.setattr(check, "run", fail)
    assert outcome(ask("check")) == (1, "log_unavailable")


@pytest.mark.parametrize("text", ["to\nx\n", "", None])
@pytest.mark.parametrize(
    "words", [("check",), ("explain", "--from", A, "--to", B), PAIR, UNPAIR,
              ("prune", "--older-than", "7d")],
)  # fmt: skip
def test_a_list_that_is_faulty_or_not_there_is_a_fault(
    words: tuple[str, ...], text: str | None, ask: Run
) -> None:
    Path("allowlist.csv").unlink()
    if text is not None:
        put(text)
    assert outcome(ask(*words)) == (2, "faults")


def test_no_number_free(ask: Run) -> None:
    ask(*PAIR)
    assert outcome(ask("pair", A, C, "--for", "2h")) == (4, "no_number_free")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (editor.ChangeError("cannot be written"), (5, "list_not_writable")),
        (editor.ListBusyError("somebody else"), (1, "list_busy")),
    ],
)
@pytest.mark.parametrize("words", [PAIR, UNPAIR, ("prune", "--older-than", "7d")])
def test_a_list_that_cannot_be_changed(
    words: tuple[str, ...],
    error: Exception,
    expected: tuple[int, str],
    ask: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(editor, "_edit", fail)
    assert outcome(ask(*words)) == expected


@pytest.mark.parametrize(
    ("real_numbers", "words", "expected"),
    [
        (False, ("pair", "18888888888", B, "--for", "2h"), (6, "server_refuses")),
        (True, PAIR, (7, "")),
        (True, ("prune", "--older-than", "7d"), (7, "")),
    ],
)
def test_a_server_that_refuses_or_has_not_read_the_list(
    real_numbers: bool,
    words: tuple[str, ...],
    expected: tuple[int, str],
    ask: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    health = {"list_modified_ns": 1, "list_read_ns": 1, "list_fault": None}
    body = json.dumps(health | {"real_numbers": real_numbers}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with raw_server(saying(head + body)) as server:
        monkeypatch.setenv("MASKING_PORT", str(server.port))
        assert outcome(ask(*words)) == expected


@pytest.mark.parametrize(
    ("answer", "words", "expected"),
    [
        ("", SESSION, (0, "")),
        ("2702", SESSION, (1, "no_session")),
        ("2704", SESSION, (8, "session_may_exist")),
        ("", (*SESSION, "--append"), (9, "not_added")),
    ],
)
def test_what_becomes_of_a_session(
    answer: str,
    words: tuple[str, ...],
    expected: tuple[int, str],
    ask: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "not_added" in expected:
        put(f"{facts.ALLOW_LIST}12025550140,,12025550180,12025550141,,,the mask is a person here\n")
    account = Endpoint(facts.CUSTOMER_ID, signature.decode_key(facts.API_KEY), answer=answer)
    with session_server(account) as url:
        for name, value in {**facts.KEYS, "MASKING_API_URL": url}.items():
            monkeypatch.setenv(name, value)
        assert outcome(ask(*words)) == expected


@pytest.mark.usefixtures("ask")
def test_done_but_not_printed() -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, str(ROOT / "app.py"), *PAIR, "--json"]
        assert subprocess.run(words, stdout=full, check=False, timeout=30).returncode == 3


@pytest.mark.usefixtures("ask")
def test_stopped_with_ctrl_c() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        with subprocess.Popen(
            [sys.executable, ROOT / "app.py", *PAIR],
            env={**os.environ, "MASKING_PORT": port},
            stderr=subprocess.PIPE,
        ) as process:
            silent.accept()[0].close()
            with silent.accept()[0]:  # it has asked again: now it waits
                process.send_signal(signal.SIGINT)
                assert process.communicate(timeout=30)[1] == b""
    assert process.returncode == STOPPED
