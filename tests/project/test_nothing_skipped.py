"""Where everything is wanted, as in CI, a skipped test fails; elsewhere it is skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, SUPPORT

pytestmark = pytest.mark.faults

ONE_TEST = """\
import pytest

@pytest.mark.skip(reason="no such program")
def test_one():
    pass
"""
MARKED = """\
import pytest

@pytest.mark.xfail
def test_one():
    raise AssertionError
"""
WHOLE_FILE = """\
import pytest

pytest.skip("no such program", allow_module_level=True)
"""


def run(folder: Path, text: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    (folder / "test_one.py").write_text(text)
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", SUPPORT)))
    without = {name: value for name, value in os.environ.items() if name != "NOTHING_SKIPPED"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-c", os.devnull, folder],
        cwd=folder,
        env={**without, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("text", [ONE_TEST, WHOLE_FILE], ids=["a test", "a file"])
def test_a_skip_fails_only_where_everything_is_wanted(text: str, tmp_path: Path) -> None:
    assert "1 skipped" in run(tmp_path, text).stdout
    wanted = run(tmp_path, text, NOTHING_SKIPPED="1")
    assert wanted.returncode in {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
    assert "no such program" in wanted.stdout
    assert "skipped" not in wanted.stdout.splitlines()[-1]


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert run(tmp_path, MARKED, NOTHING_SKIPPED="1").returncode == 0
