"""Output that is not UTF-8, as on Windows or in a bare shell: what it lacks is escaped, no more."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import facts
import pytest
from helpers import ROOT, eventually, payload
from processes import ServerProcess

BARE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
IN_ASCII = str.maketrans("│─█", "|-#")
STATUS = "occupé: 您好 \N{GRINNING FACE}"
EVENT = "Ereignis: 您好.json"
LIST = facts.ALLOW_LIST.replace("front desk", "Zoë 您好").replace("\n", ",Zoë 您好\n", 1)
SETTINGS = 'greeting = "Grüß dich, 您好"\nallow_list = "allowlist.csv"\n'
COMMANDS = [
    "app.py check --full",
    f"app.py explain --from {facts.CALLER} --to {facts.DIALLED}",
    "app.py calls",
    f"app.py calls {facts.REFERENCE_ID}",
    "app.py calls --csv --full",
    "app.py calls --json",
    "app.py report",
    f"app.py why {facts.CALLER}",
    "app.py live-check",
    "app.py forget 您好",
    "app.py --config 您好.toml check",
    "simulator.py connected",
    "simulator.py 您好",
    "simulator.py --event您好",
    "simulator.py --list",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a call was kept; in its name, its list and its log is what others lack."""
    where = tmp_path_factory.mktemp("encodings") / "Bürö 您好"
    where.mkdir()
    (where / "config.toml").write_text(SETTINGS, encoding="utf-8")
    failed = json.loads(payload("dial_completed_busy"))
    failed["data"]["status"] = STATUS
    with ServerProcess(where) as server:
        assert server.deliver(payload("incoming_call"))[0] == 200
        assert server.deliver(json.dumps(failed).encode())[0] == 200
        assert server.stop() == 0
    return where


def run(folder: Path, words: str, environment: dict[str, str]) -> tuple[int, bytes, bytes]:
    program, *rest = words.split()
    ended = subprocess.run(
        [sys.executable, ROOT / program, *rest],
        cwd=folder,
        env={**os.environ, "COLUMNS": "120", "MASKING_PORT": "9", **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stdout, ended.stderr


def steady(text: str) -> list[str]:
    """Return the lines of a text without what differs in any two runs: ids, times, their room."""
    text = re.sub(r"SIMULATED[0-9A-F]+", "", text)
    return [re.sub(r"[ |-]+", " ", re.sub(r"[\d.]+", "0", line)) for line in text.splitlines()]


@pytest.mark.parametrize("words", COMMANDS)
def test_what_an_output_lacks_is_escaped(words: str, folder: Path) -> None:
    status, *wanted = run(folder, words, {"PYTHONIOENCODING": "utf-8"})
    texts = [output.decode().translate(IN_ASCII) for output in wanted]
    assert "Traceback" not in "".join(texts)
    got_status, *got = run(folder, words, {"PYTHONIOENCODING": "cp1252:strict"})
    for text, output in zip(texts, got, strict=True):
        escaped = text.encode("cp1252", "backslashreplace").decode("cp1252")
        assert steady(output.decode("cp1252")) == steady(escaped)
    assert got_status == status
    # Here the words of the command line are not what was typed either.
    got_status, *got = run(folder, words, BARE)
    assert [len(steady(output.decode("ascii"))) for output in got] == [
        len(text.splitlines()) for text in texts
    ]
    assert got_status == status


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "cp1252:strict"}, BARE])
def test_the_server_starts_and_answers_whatever_its_output_is(
    environment: dict[str, str], tmp_path: Path
) -> None:
    where = tmp_path / "Bürö 您好"
    where.mkdir()
    (where / "config.toml").write_text(SETTINGS, encoding="utf-8")
    with ServerProcess(where, environment) as server:
        assert server.deliver(payload("incoming_call")) == (200, facts.DIAL)
        (where / "allowlist.csv").write_text("to\nZoë 您好\n", encoding="utf-8")
        assert eventually(lambda: "您好" in said(server) or "\\u60a8" in said(server), 20)
        assert server.stop() == 0
    assert "Traceback" not in server.stderr.read_bytes().decode("cp1252")


def said(server: ServerProcess) -> str:
    return "".join(str(json.loads(line)) for line in server.stdout.read_text("ascii").splitlines())
