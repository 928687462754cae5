"""The parser and the dispatch: options, help, and the faults that keep a command from running."""

from pathlib import Path
from typing import Any

import facts
import pytest
from command_line import run

from cli import main

COMMANDS = ["check", "explain", "calls", "forget", "session"]


def faults(folder: Path, text: str, **environment: str) -> list[str]:
    """Have `check` read a faulty list; return what it prints, without what was wanted and got."""
    (folder / "allowlist.csv").write_text(text)
    ended = run(folder, "check", **environment)
    assert (ended.returncode, ended.stdout) == (2, "")
    return [line.partition(" wanted")[0] for line in ended.stderr.splitlines()]


def test_all_faults_of_settings_and_list_are_printed_with_their_lines(tmp_path: Path) -> None:
    assert faults(tmp_path, "to\nx\ny\n", MASKING_PORT="x") == [
        "check: fix these first:",
        "  MASKING_PORT:",
        "  allowlist.csv:2: to:",
        "  allowlist.csv:3: to:",
    ]


def test_a_faulty_key_is_printed_with_all_other_faults(tmp_path: Path) -> None:
    assert faults(tmp_path, "to\nx\n", TELESIGN_API_KEY="secret!") == [
        "check: fix these first:",
        "  TELESIGN_API_KEY: key 1:",
        "  allowlist.csv:2: to:",
    ]


def test_calls_are_read_without_a_key_whatever_the_masking_id(tmp_path: Path) -> None:
    ended = run(tmp_path, "calls", MASKING_CALLER_ID_NUMBER="18888888888")
    assert "wanted a fictional number" not in ended.stderr


@pytest.mark.parametrize("command", [["calls"], ["forget", facts.CALLER]])
def test_faulty_settings_keep_the_call_log_from_being_read(
    command: list[str], tmp_path: Path
) -> None:
    ended = run(tmp_path, *command, MASKING_PORT="x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"{command[0]}: fix these first:\n  MASKING_PORT: wanted")


@pytest.mark.parametrize("command", [["calls"], ["forget", facts.CALLER]])
def test_without_a_call_log_there_is_nothing_to_read(tmp_path: Path, command: list[str]) -> None:
    ended = run(tmp_path, *command, MASKING_CALL_LOG="")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"{command[0]}: call_log: wanted a call log to read, got an empty setting:"
        " no calls are kept\n"
    )


def test_the_config_option_goes_before_the_command(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("allow_list = 'mine.csv'")
    (tmp_path / "mine.csv").write_text("to,destination\n12025550100,12025550111\n")
    ended = run(tmp_path, "--config", "my.toml", "check")
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == "rows: 1, warnings: 0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["calls", "--last", "-5"], "wanted a whole number, 1 to"),
        (["calls", "--last", "9" * 30], "wanted a whole number, 1 to"),
        (["calls", "--last", "1" + "0" * 20], "wanted a whole number, 1 to"),
        (["calls", "--last", "0"], "wanted a whole number, 1 to"),
        (["calls", "--since", "soon"], "--since: wanted today, yesterday, a span before now"),
        (["calls", "--number", "12"], "wanted a country code and digits"),
    ],
)
def test_a_wrong_value_of_an_option_is_explained(ask: Any, words: list[str], message: str) -> None:
    ended = ask(*words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_help_describes_every_command(ask: Any) -> None:
    overview = ask("--help").stdout
    for command in COMMANDS:
        (line,) = [line for line in overview.splitlines() if line.split()[:1] == [command]]
        assert len(line.split()) > 3
        assert "usage: " in ask(command, "--help").stdout


@pytest.mark.parametrize("command", [*COMMANDS, "report", "live-check", "pair", "unpair", "prune"])
def test_the_help_of_a_command_says_in_a_sentence_what_it_does(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main.main([command, "--help"])
    description = capsys.readouterr().out.split("\n\n")[1]
    assert description[0].isupper()
    assert description.endswith(".")


def test_every_option_has_a_help_text() -> None:
    (commands,) = main._parser()._subparsers._group_actions  # type: ignore[union-attr]
    for parser in commands.choices.values():  # type: ignore[union-attr]
        assert [each.dest for each in parser._actions if not each.help] == []
