"""The parser and the dispatch: options, help, and the faults that keep a command from running."""

import contextlib
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import facts
import pytest
from command_line import run_here
from helpers import ROOT

from call_log import writer
from tools import main


@pytest.fixture
def ask_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    monkeypatch.chdir(tmp_path)
    return partial(run_here, capsys)


@pytest.mark.parametrize(
    ("text", "environment", "faults"),
    [
        ("to\nx\ny\n", ("MASKING_PORT", "x"),
         ["MASKING_PORT:", "allowlist.csv:2: to:", "allowlist.csv:3: to:"]),
        ("to\nx\n", ("TELESIGN_API_KEY", "secret!"),
         ["TELESIGN_API_KEY: key 1:", "allowlist.csv:2: to:"]),
    ],
)  # fmt: skip
def test_all_faults_of_settings_key_and_list_are_printed_with_their_lines(
    text: str,
    environment: tuple[str, str],
    faults: list[str],
    ask_here: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("allowlist.csv").write_text(text)
    monkeypatch.setenv(*environment)
    ended = ask_here("check")
    assert (ended.returncode, ended.stdout) == (2, "")
    head, *lines = ended.stderr.splitlines()
    assert head == "check: fix these first:"
    assert [line.strip().partition(" wanted")[0] for line in lines] == faults
    assert "secret!" not in ended.stderr


def test_a_long_fault_is_wrapped_as_wide_as_the_terminal(
    ask_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("allowlist.csv").write_text("to\nx\n")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if it were a terminal
    monkeypatch.setenv("MASKING_PORT", "1")
    assert ask_here("check").stderr == (
        "check: fix these first:\n"
        "  allowlist.csv:2: to: wanted a country code and digits, 7 to 15 in all, such as\n"
        "    12025550100, got 'x'\n"
        "  no server answers on http://127.0.0.1:1\n"
    )


@pytest.mark.parametrize("command", [["calls"], ["prune", "--older-than", "7d"]])
def test_neither_a_faulty_key_nor_a_real_masking_id_is_in_the_way_of_who_answers_nobody(
    command: list[str], ask_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("allowlist.csv").write_text(facts.ALLOW_LIST)
    monkeypatch.setenv("TELESIGN_API_KEY", "faulty")
    monkeypatch.setenv("MASKING_CALLER_ID_NUMBER", "18888888888")
    assert "fix these first" not in ask_here(*command).stderr


@pytest.mark.parametrize("command", [["calls"], ["forget", facts.CALLER], ["prune"]])
def test_faulty_settings_keep_a_command_from_running(
    command: list[str], ask_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKING_PORT", "x")
    span = ["--older-than", "7d"] if command == ["prune"] else []
    ended = ask_here(*command, *span)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"{command[0]}: fix these first:\n  MASKING_PORT: wanted")


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "mine.toml", "check"],
        ["check", "--config", "mine.toml"],
        ["--config", "other.toml", "check", "--config", "mine.toml"],
    ],
)
def test_the_settings_file_may_be_named_before_or_after_the_command(
    words: list[str], ask_here: Any
) -> None:
    Path("mine.toml").write_text("allow_list = 'mine.csv'")
    Path("mine.csv").write_text("to,destination\n12025550100,12025550111\n")
    ended = ask_here(*words)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "rows: 1, warnings: 0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["calls", "--last", "-5"], "wanted a whole number, 1 to"),
        (["calls", "--last", "9" * 30], "wanted a whole number, 1 to"),
        (["calls", "--last", "0"], "wanted a whole number, 1 to"),
        (["calls", "--since", "soon"], "--since: wanted today, yesterday, a span before now"),
        (["calls", "--number", "12"], "or four or more last digits, got '12'"),
        (["calls", "--since", "1h", "--until", "2h"], "before --until, got '1h' and '2h'"),
        (["report", "--since", "1h", "--until", "2h"], "before --until, got '1h' and '2h'"),
        (["forget", "0012025550145"], "such as 12025550100, got '*********0145'"),
        (["why", "somebody"], "such as 12025550100, got 'somebody'"),
        (
            ["session", facts.RIDER, facts.DRIVER, "--validity", "1h"],
            "--validity: wanted a whole number, 1 to 2592000, got '1h'",
        ),
    ],
)
def test_a_wrong_value_of_an_option_is_explained(
    ask_here: Any, words: list[str], message: str
) -> None:
    ended = ask_here(*words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in " ".join(ended.stderr.split())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["calls", "12025550123"], "no_call"),
        (["calls", "--since", "12025550123"], "bad_arguments"),
        (["calls", "--since", "+1 202-555-0123"], "bad_arguments"),
        (["calls", "--reason", "12025550123"], "bad_arguments"),
        (["calls", "--last", "12025550123"], "bad_arguments"),
        (["calls", "--disposition=12025550123"], "bad_arguments"),
        (["report", "--since", "12025550123"], "bad_arguments"),
        (["pair", facts.RIDER, facts.DRIVER, "12025550123", "--for", "2h"], "bad_arguments"),
        (["pair", facts.RIDER, facts.DRIVER, "--for", "12025550123"], "bad_arguments"),
        (["12025550123"], "bad_arguments"),
        (["12025550123\t"], "bad_arguments"),
        (["12025550123=y"], "bad_arguments"),
        (["calls", "--x=12025550123=y"], "bad_arguments"),
        (["calls", "--reason", "\u202a12025550123\u202c"], "bad_arguments"),
        (["calls", "--disposition", "1 202\u00a0555\u00a00123"], "bad_arguments"),
        (["calls", "--since", "1202-555-0123"], "bad_arguments"),
    ],
)
def test_a_number_in_a_wrong_place_is_not_shown_whole(
    ask_here: Any, words: list[str], error: str
) -> None:
    with contextlib.closing(writer.store_of("sqlite:///calls.db")) as log:
        log.open()
    ended = ask_here(*words, "--json")
    text = ask_here(*words).stderr
    assert json.loads(ended.stdout)["error"] == error
    for said in ended.stdout, text:
        assert "0123" in said
        assert "5550123" not in re.sub("[^0-9]", "", said)


@pytest.mark.parametrize(
    "words",
    [
        ["session", facts.RIDER, facts.DRIVER, "--v", "2", "--json"],
        ["calls", "--c"],
        ["pair", facts.RIDER, facts.DRIVER, "--fo", "2h"],
    ],
)
def test_no_option_is_abbreviated(words: list[str], tmp_path: Path) -> None:
    """The server's own parser would take `--v` for its `--version`, and report success."""
    command = [sys.executable, str(ROOT / "app.py"), *words]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    told = ended.stdout + ended.stderr
    assert "required" in told or "unrecognized" in told


COMMANDS = [
    "check", "explain", "calls", "report", "why", "live-check", "forget", "pair", "unpair", "prune",
    "session", "inspect",
]  # fmt: skip


def test_the_help_says_in_a_sentence_what_each_command_does(ask_here: Any) -> None:
    overview = ask_here("--help").stdout
    for command in COMMANDS:
        (line,) = [line for line in overview.splitlines() if line.split()[:1] == [command]]
        assert len(line.split()) > 3
        description = ask_here(command, "--help").stdout.split("\n\n")[1]
        assert description[0].isupper()
        assert description.endswith(".")


def test_every_option_has_a_help_text() -> None:
    (commands,) = main._parser()._subparsers._group_actions  # type: ignore[union-attr]
    for parser in commands.choices.values():  # type: ignore[union-attr]
        assert [action.dest for action in parser._actions if not action.help] == []
