"""What a Python lacks is said in one sentence; and what may stand before and after a command."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from serving.start import VERSION
from tools import main

PROGRAMS = ("app.py", "simulator.py")
IN_VENV = Path("Scripts" if os.name == "nt" else "bin", "python")


def run(program: str, before: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a program after some lines of Python that change what it finds."""
    code = f"import runpy, sys\n{before}\nsys.argv = {[program, *words]!r}\n"
    code += f"sys.path.insert(0, {str(ROOT)!r})\n"
    code += f"runpy.run_path({str(ROOT / program)!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_python_that_is_too_old_is_reported_in_one_sentence(program: str) -> None:
    ended = run(program, "sys.version_info = (3, 10, 18, 'final', 0)")
    wanted = f"wanted Python 3.11 or newer, got 3.10 ({sys.executable})\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", wanted)


@pytest.mark.parametrize("file", [*PROGRAMS, "serving/prerequisites.py", "serving/__init__.py"])
def test_what_an_old_python_reads_before_that_it_can_parse(file: str) -> None:
    ast.parse((ROOT / file).read_text(), feature_version=(3, 7))


@pytest.mark.parametrize(
    ("program", "package", "words"),
    [
        ("app.py", "bottle", ["check"]),
        ("app.py", "phonenumbers", ["check"]),
        ("simulator.py", "rich", ["--list"]),
    ],
)
def test_a_package_that_is_missing_is_reported_in_one_sentence(
    program: str, package: str, words: list[str], tmp_path: Path
) -> None:
    list_file = tmp_path / "allowlist.csv"
    list_file.write_text((ROOT / "allowlist.csv").read_text())
    gone = f"sys.modules[{package!r}] = None\nimport os\nos.chdir({str(tmp_path)!r})"
    ended = run(program, gone, *words)
    begin = f"wanted the package {package}, got none in {sys.executable}; "
    assert ended.returncode == 1
    assert ended.stderr.startswith(begin), ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_virtual_environment_that_holds_nothing_is_told_to_be_made_anew(tmp_path: Path) -> None:
    """As after an upgrade of its Python. The program is there as far as it is read before that."""
    program, python = tmp_path / "app.py", tmp_path / ".venv" / IN_VENV
    (tmp_path / "serving").mkdir()
    for name in ("app.py", "serving/__init__.py", "serving/prerequisites.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    venv = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv")]
    subprocess.run(venv, check=True)
    ended = subprocess.run([python, program], capture_output=True, text=True, check=False)
    in_venv = Path(".venv") / IN_VENV
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        1,
        "",
        f"wanted the package bottle, got none in {python}; in {tmp_path}, use {in_venv}; if there"
        " is none, or this is it, remove .venv and make it anew: python3 -m venv .venv &&"
        f" {in_venv} -m pip install --no-user -r requirements.txt\n",
    )


@pytest.mark.parametrize("words", ["app.py check", "simulator.py --list"])
@pytest.mark.parametrize("flags", [["-P"], ["-I"], []])
def test_a_python_that_leaves_out_the_folder_of_the_program_finds_it(
    words: str, flags: list[str], tmp_path: Path
) -> None:
    shutil.copy(ROOT / "allowlist.csv", tmp_path)
    program, word = words.split()
    ended = subprocess.run(
        [sys.executable, *flags, ROOT / program, word],
        cwd=tmp_path,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_another_error_has_its_traceback() -> None:
    broken = "import argparse\nargparse.ArgumentParser = None"
    ended = run("app.py", broken)
    assert "TypeError" in ended.stderr


def test_the_version_is_that_of_the_newest_changes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"masked-calls {VERSION}\n")
    newest = re.search(r"^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == VERSION
