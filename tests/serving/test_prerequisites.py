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


def bare_python(folder: Path) -> Path:
    """Return the Python of a virtual environment that holds nothing, as after an upgrade of it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / IN_VENV


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program in a folder of its own, as far as it is read before a package is missing."""
    (tmp_path / "serving").mkdir()
    for name in ("app.py", "serving/__init__.py", "serving/prerequisites.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path / "app.py"


def complaint(python: Path, program: Path) -> str:
    """Return what is said of the package that is missing; it is the first that is imported."""
    ended = subprocess.run([python, program], capture_output=True, text=True, check=False)
    begin = f"wanted the package bottle, got none in {python}; "
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(begin), ended.stderr
    return ended.stderr.removeprefix(begin)


def anew(folder: Path) -> str:
    return (
        f"in {folder}, remove the folder .venv if there is one, and make it anew: python3 -m venv"
        f" .venv && {Path('.venv') / IN_VENV} -m pip install --no-user -r requirements.txt\n"
    )


def test_who_runs_the_python_in_venv_is_not_advised_to_run_it(
    tmp_path: Path, program: Path
) -> None:
    assert complaint(bare_python(tmp_path / ".venv"), program) == anew(tmp_path)


def test_who_runs_another_python_is_advised_of_the_one_in_venv_if_it_is_there(
    tmp_path: Path, program: Path
) -> None:
    other, ours = bare_python(tmp_path / "other"), tmp_path / ".venv" / IN_VENV
    assert complaint(other, program) == anew(tmp_path)
    ours.parent.mkdir(parents=True)
    ours.symlink_to("/nowhere/python")  # as after its Python was removed
    assert complaint(other, program) == anew(tmp_path)
    ours.unlink()
    ours.symlink_to(sys.executable)
    assert complaint(other, program) == f"run {ours} instead\n"


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
