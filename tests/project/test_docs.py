"""The README is true: its commands run, its answers come, its names exist."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import facts
import pytest
from helpers import ROOT
from processes import ServerProcess

import config
import events
import phone
from allow_list import reader
from app import now
from benchmarks import run_all
from call_log import memory, purge, waiting, writer
from call_log.writer import CallLog
from calls import Delivery
from commands import NoAction
from routing import REPEAT_WINDOW_S, Decision, Reason
from simulation import session_endpoint
from simulation.scenarios import SCENARIOS

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)
SECTIONS = [
    "What a call looks like",
    "Try it in two minutes, without an account",
    "Going live",
    "Running it for real",
    "The allow-list",
    "The call log",
    "The settings",
    "What it withstands",
    "Who sees which number",
    "What is not known of TeleSign",
    "What it does not do",
    "For developers",
]
OF_OTHER_PROGRAMS = {
    "--version",
    "--inspect",
    "--system",
    "--home-dir",
    "--shell",
    "--now",
    "--bind",
    "--no-control-socket",
    "--preload",
}


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[list[str]]:
    """Return the rows of the tables in a text as their cells."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def curls() -> Iterator[tuple[str, str]]:
    for (kind, command), (_, answer) in pairwise(BLOCKS):
        if kind == "sh" and command.startswith("curl"):
            yield command, answer


def test_the_sections_come_in_their_order() -> None:
    assert re.findall(r"^## (.*)$", README, re.MULTILINE) == SECTIONS


def test_the_measured_figures_are_those_of_the_last_run() -> None:
    made = README.split(run_all.BEGIN)[1].split(run_all.END)[0]
    results = (ROOT / "benchmarks" / "results.md").read_text()
    lines = [line for line in made.splitlines() if line]
    assert len(lines) > 20
    assert [line for line in lines if line.rstrip(":") not in results] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_curl_lines_get_the_answers_that_are_shown(tmp_path: Path) -> None:
    shown = list(curls())
    assert len(shown) == 2
    with ServerProcess(tmp_path, allow_list=(ROOT / "allowlist.csv").read_text()) as server:
        for command, answer in shown * 2:
            assert "http://127.0.0.1:8080/" in command
            line = command.replace("http://127.0.0.1:8080/", server.url)
            got = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
            assert got.stdout == answer.rstrip("\n")
    assert [json.loads(answer)["method"] for _, answer in shown] == ["dial", "hangup"]


def test_every_make_target_in_the_readme_exists() -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "call", "test", "lint"} <= named
    assert named <= targets


def test_the_three_plain_commands_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    (plain,) = [block for kind, block in BLOCKS if kind == "sh" and "-m venv" in block]
    set_up, run, test = plain.splitlines()
    assert set_up.endswith("-m pip install -r requirements.txt")
    assert f"\t{run}\n" in makefile
    assert f"\t{test}\n" in makefile


def test_every_file_in_the_readme_exists() -> None:
    for name in re.findall(r"`([\w./]+\.(?:py|csv|toml|txt))`|`(\.ci/run)`", README):
        assert (ROOT / "".join(name)).exists(), name


def make_log(path: Path, *words: str) -> None:
    """Make a call log that holds a call for each word, which is its id and in its event."""
    log = CallLog(writer.store_of(f"sqlite:///{path}"), print, keep_days=1, clock=now)
    for word in words:
        body = b'{"event": "x", "reference_id": "%b", "data": {"a": "%b"}}' % ((word.encode(),) * 2)
        log.answer(Delivery(events.parse(body), body, now()), lambda _: Decision(NoAction()))
    log.close()


def test_the_backup_of_the_readme_holds_the_calls(tmp_path: Path) -> None:
    (command,) = [block for kind, block in BLOCKS if kind == "sh" and "VACUUM" in block]
    make_log(tmp_path / "calls.db", "one")
    line = command.replace("python ", f"{sys.executable} ")
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    asking = [sys.executable, str(ROOT / "app.py"), "calls", "--json"]
    (made,) = tmp_path.glob("backup-*.db")
    assert made.stat().st_mode & 0o777 == 0o600
    backup = {**os.environ, "MASKING_CALL_LOG": f"sqlite:///{made}"}
    told = subprocess.run(asking, cwd=tmp_path, env=backup, capture_output=True, check=True)
    assert [each["reference_id"] for each in json.loads(told.stdout)] == ["one"]


@pytest.mark.parametrize("program", ["app.py", "simulator.py"])
def test_every_command_line_in_the_readme_is_understood(program: str, tmp_path: Path) -> None:
    """Each is run; the dots stand for what a user puts in, `--url` for a server of theirs."""
    named = re.findall(rf"python {program}((?: [^`\n]+)?)[`\n]", README)
    assert len(named) >= 2
    (tmp_path / "allowlist.csv").write_text((ROOT / "allowlist.csv").read_text())
    make_log(tmp_path / "calls.db", "REFERENCE_ID", facts.CALLER)
    for words in named:
        line = words.replace("...", facts.DIALLED).split()
        if "--url" in line:
            line[line.index("--url") + 1] = "http://127.0.0.1:9/"
        if not line or line[0] in {"session", "--api"}:
            continue  # goes on for ever, or wants another server: tested elsewhere
        ended = subprocess.run(
            [sys.executable, ROOT / program, *line], cwd=tmp_path, capture_output=True, check=False
        )
        assert ended.returncode == (1 if "--url" in line else 0), (line, ended.stderr)


def test_every_option_in_the_readme_exists_and_the_other_way_round() -> None:
    def helped(*words: str) -> str:
        command = [sys.executable, *words, "--help"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    commands: list[list[str]] = [[], ["check"], ["explain"], ["calls"], ["session"]]
    ours = "".join(helped("app.py", *command) for command in commands)
    options = set(re.findall(r"--[a-z][a-z-]+", ours + helped("simulator.py"))) - {"--help"}
    named = set(re.findall(r"--[a-z][a-z-]+", README)) - OF_OTHER_PROGRAMS
    assert named == options


def test_the_example_of_a_session_gets_the_answer_that_is_shown(tmp_path: Path) -> None:
    first, second = (
        block
        for kind, block in BLOCKS
        if kind == "sh" and block.startswith("export TELESIGN") and "=try" in block
    )
    (shown,) = [block for kind, block in BLOCKS if kind == "text"]
    (tmp_path / "allowlist.csv").write_text((ROOT / "allowlist.csv").read_text())

    def script(block: str, port: str) -> list[str]:
        text = block.replace("python ", f"exec {sys.executable} {ROOT}/").replace("8081", port)
        return ["sh", "-c", text]

    serving = script(first.replace("--api", "--api --port 0"), "")
    with subprocess.Popen(serving, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as endpoint:
        assert endpoint.stdout is not None
        port = endpoint.stdout.readline().strip().rpartition(":")[2]
        asking = script(second, port)
        made = subprocess.run(asking, cwd=tmp_path, capture_output=True, text=True, check=True)
        endpoint.terminate()

    def steady(text: str) -> str:
        return re.sub("[0-9A-F]{32}", "ID", re.sub(r"until [0-9: -]+ \(", "until (", text))

    assert steady(made.stdout) == steady(shown)


def test_the_table_of_scenarios_is_whole() -> None:
    rows = first_cells(section("Try it in two minutes, without an account"))
    table = {cells[0].strip("`"): cells[1] for cells in rows if not cells[0].startswith("`--")}
    assert table == {each.name: each.sentence for each in SCENARIOS.values()}


def test_the_table_of_settings_is_whole_and_its_defaults_true() -> None:
    defaults = config.Settings()
    table = {
        cells[0].strip("`"): cells[1].strip("`") for cells in first_cells(section("The settings"))
    }
    values = {name: getattr(defaults, name) for name in config.NAMES}
    shown = {
        name: str(value).lower() if isinstance(value, bool) else str(value or "")
        for name, value in values.items()
    }
    assert table == shown
    assert list(table) == list(config.NAMES)


def test_every_variable_in_the_readme_exists() -> None:
    named = set(re.findall(r"\b(?:MASKING|TELESIGN)_[A-Z_]+\b", README))
    known = {f"MASKING_{name.upper()}" for name in config.NAMES}
    assert named <= known | {config.CUSTOMER_ID, config.API_KEY}


def test_the_table_of_columns_is_whole_and_its_sample_is_read() -> None:
    text = section("The allow-list")
    columns = [cells[0].strip("`") for cells in first_cells(text)]
    assert [name for name in columns if "--" not in name] == list(reader.COLUMNS)
    (sample,) = [block for kind, block in BLOCKS if kind == "csv"]
    assert len(reader.parse(sample.splitlines(), reader.RowDefaults(), only_fictional=True)) == 3


def test_the_list_of_reasons_is_whole() -> None:
    (sentence,) = re.findall(r"one of these reasons.*?\.\n\n", README, re.DOTALL)
    assert re.findall("`([a-z_]+)`", sentence) == list(Reason)


def test_the_figures_in_the_readme_are_those_of_the_code() -> None:
    assert f"within {REPEAT_WINDOW_S} s" in README
    assert f"the last {_MAX_STORIES:,} of them" in README
    assert f"{waiting.MAX_BYTES >> 20} MB of them at the most" in README
    assert f"of {memory.MAX_PURGED:,} that were purged" in README
    assert f"over {purge.MAX_REWRITTEN >> 20} MB" in README
    assert f"up to {MAX_WAITING:,}\nlines wait" in README
    assert len(session_endpoint._POOL) == 10
    assert "ten masking IDs and takes none back: after five sessions it answers 2702" in README
    assert f"GET {config.HEALTH_PATH}" in README


def test_every_package_is_named_with_its_reason() -> None:
    files = ("requirements.txt", "requirements-postgresql.txt", "requirements-mutants.txt")
    text = "".join((ROOT / name).read_text() for name in files)
    required = re.findall(r"^([a-z-]+)(?:\[.*\])?==", text, re.MULTILINE)
    named = [cells[0] for cells in first_cells(section("For developers"))]
    assert sorted(re.findall("`([a-z-]+)`", " ".join(named))) == sorted(required)


def test_no_number_in_the_documents_could_be_somebodys() -> None:
    for path in ROOT.glob("*.*"):
        if path.suffix in {".md", ".csv", ".toml", ".py"}:
            found = re.findall(r"\b1\d{10}\b", path.read_text())
            assert [number for number in found if not phone.is_fictional(number)] == []
