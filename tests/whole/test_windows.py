"""The server without what Windows lacks, as near as can be had without Windows."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import facts
import pytest
from helpers import SUPPORT, payload
from processes import ServerProcess

PROGRAM = [sys.executable, str(SUPPORT / "without_unix.py")]


class WithoutUnix(ServerProcess):
    """The real server without the names of Unix."""

    command: ClassVar[list[str]] = PROGRAM


def test_calls_are_answered_and_kept(tmp_path: Path) -> None:
    with WithoutUnix(tmp_path) as server:
        assert server.deliver(payload("incoming_call")) == (200, facts.DIAL)
        assert server.health()["call_log"] == "ok"
        assert server.stop() == 0
    assert "Traceback" not in server.output()
    shown = ask(tmp_path, "calls", "--json")
    assert facts.REFERENCE_ID in shown.stdout


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["check"], 0),
        (["forget", facts.CALLER, "--yes"], 1),
        (["prune", "--older-than", "7d"], 0),
    ],
)
def test_commands_that_read_or_change_files_run(
    words: list[str], status: int, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    ended = ask(tmp_path, *words)
    assert (ended.returncode, "Traceback" in ended.stderr) == (status, False), ended.stderr


def ask(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=30
    )
