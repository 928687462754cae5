"""The server by itself: without the tools it answers, keeps, reloads and stops in order."""

import ast
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import facts
import pytest
import requests
from helpers import ROOT, eventually, payload, signed
from processes import ServerProcess

from call_log import writer
from serving.start import VERSION

MAX_LINES = 3_100
OTHERS = ("tests", "benchmarks", "tools", "simulator.py", ".*", "mutants", "__pycache__", "*.db*")


@pytest.fixture(scope="module")
def server_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project without its tools."""
    folder = tmp_path_factory.mktemp("alone") / "server"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*OTHERS))
    return folder


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "app.py", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_signed_call_is_answered_and_kept_and_the_list_is_reloaded(
    server_alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = [sys.executable, str(server_alone / "app.py")]
    monkeypatch.setattr(ServerProcess, "command", command)
    with ServerProcess(tmp_path, facts.KEYS) as server:
        body = payload("incoming_call")
        answer = requests.post(server.url, body, headers=signed(body), timeout=20)
        assert (answer.status_code, answer.json()) == (200, facts.DIAL)
        (tmp_path / "allowlist.csv").write_text("to,destination,caller_id_number\n")
        assert eventually(lambda: server.health()["routes"] == 0)
        assert server.stop() == 0
    store = writer.store_of(f"sqlite:///{tmp_path}/calls.db")
    store.open(write=False)
    assert [row.body for row in store.rows([facts.REFERENCE_ID])] == [body]
    store.close()


def test_it_knows_its_own_options_and_no_command(server_alone: Path) -> None:
    assert run(server_alone, "--version").stdout == f"masked-calls {VERSION}\n"
    helped = run(server_alone, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "--config FILE" in helped.stdout
    missing = run(server_alone, "--config", "none.toml")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "none.toml: wanted a settings file, got: No such file" in missing.stderr
    command = run(server_alone, "calls")
    assert (command.returncode, command.stdout) == (2, "")
    assert "unrecognized arguments: calls" in command.stderr
    assert "Traceback" not in command.stderr


def lines_of_code(file: Path) -> int:
    """Count the lines of a file, but for blank ones, comments and docstrings."""
    text, documented, found = file.read_text(), set[int](), set[int]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documented |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout | {tokenize.ENDMARKER}:
            found |= set(range(token.start[0], token.end[0] + 1))
    return len(found - documented)


def test_the_server_is_small_and_the_readme_says_how_small(server_alone: Path) -> None:
    count = sum(lines_of_code(file) for file in server_alone.rglob("*.py"))
    assert count <= MAX_LINES
    said = re.search("about ([0-9],[0-9]00) lines of code", (ROOT / "README.md").read_text())
    assert said is not None
    assert abs(int(said[1].replace(",", "")) - count) <= 100
