"""`make` makes a virtual environment that is of use, also where one of no use is in its place."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import ROOT

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("make") is None, reason="no make here"),
]
CHECKS = "-c 'import sys; sys.exit("
PYTHON = Path(".venv", "bin", "python")


def make(folder: Path, *options: str, **environment: str) -> list[str]:
    """Return the commands that `make` runs for the environment, or would run, but the check."""
    # As if it were not run by `make faults`, whose level and flags it would take over.
    outside = {name: text for name, text in os.environ.items() if "MAKE" not in name}
    ended = subprocess.run(
        ["make", *options, f"PYTHON={sys.executable}", ".venv/ready"],
        cwd=folder,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return [line for line in ended.stdout.splitlines() if CHECKS not in line]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with its environment, made where pip is set to install for the user alone."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.txt").write_text("pip\n")  # it is there already
    assert make(folder, PIP_USER="1") == [MAKES, INSTALLS, MARKS]
    return folder


MAKES = f"{sys.executable} -m venv --clear .venv"
INSTALLS = f"{PYTHON} -m pip install --no-user --quiet --disable-pip-version-check"
INSTALLS += " -r requirements.txt"
MARKS = "touch .venv/ready"


def test_one_that_is_of_use_is_left_as_it_is(made: Path) -> None:
    assert make(made) == ["make: '.venv/ready' is up to date."]


def test_one_that_somebody_made_by_hand_is_kept(made: Path) -> None:
    (made / ".venv" / "ready").unlink()
    assert make(made) == [INSTALLS, MARKS]


def remove_python(folder: Path) -> None:
    for link in (folder / ".venv" / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/python")


def upgrade_python(folder: Path) -> None:
    (library,) = (folder / ".venv" / "lib").glob("python*")
    library.rename(library.with_name("python3.9"))


def remove_home(folder: Path) -> None:
    remove_python(folder)
    python = folder / PYTHON
    python.unlink()
    python.write_text("#!/bin/sh\necho No Python at /nowhere >&2\nexit 103\n")  # as a copy says
    python.chmod(0o755)


def only_move(_: Path) -> None:
    """Leave it as it is, but for its place."""


@pytest.mark.parametrize("change", [remove_python, upgrade_python, remove_home, only_move])
def test_one_that_is_of_no_use_is_made_anew(
    change: Callable[[Path], None], made: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved here"
    shutil.copytree(made, moved, symlinks=True)
    change(moved)
    assert make(moved, "--dry-run") == [MAKES, INSTALLS, MARKS]


def test_what_is_made_anew_is_of_use(made: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved here"
    shutil.copytree(made, moved, symlinks=True)
    remove_python(moved)
    assert make(moved) == [MAKES, INSTALLS, MARKS]
    assert make(moved) == ["make: '.venv/ready' is up to date."]
    subprocess.run([moved / PYTHON, "-c", "import pip"], check=True)
