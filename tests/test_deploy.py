"""What is shipped for systemd is sound, says what the code says, and leaves the server little.

The site for nginx is in `test_proxy.py`, with nginx.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import config
import server

DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "masked-calls.service").read_text()
ENVIRONMENT = dict(re.findall("^([A-Z_]+)=(.*)$", (DEPLOY / "environment").read_text(), re.M))
MOST_EXPOSURE = 15  # tenths, of 100; a unit without any hardening has 96

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here"
)


def value(name: str) -> str:
    """Return what the unit says for a name, which it has to say once."""
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(found)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit for this Python and this program, which exist: systemd wants that."""
    file = tmp_path / "masked-calls.service"
    text = UNIT.replace("/opt/masked-calls/.venv/bin/python", sys.executable)
    file.write_text(text.replace("/opt/masked-calls/app.py", str(ROOT / "app.py")))
    return file


@analyze
def test_systemd_understands_every_line(unit: Path) -> None:
    command = ["systemd-analyze", "verify", str(unit)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@analyze
def test_little_is_left_to_the_server(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}"]
    ended = subprocess.run([*command, unit], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_systemd_waits_longer_than_a_stop_takes() -> None:
    assert int(value("TimeoutStopSec")) > 10 > server._MOST_STOP_S


def test_there_is_room_for_all_connections() -> None:
    assert int(value("LimitNOFILE")) > 2 * server.MOST_CONNECTIONS


def test_the_call_log_lies_where_the_server_may_write() -> None:
    folder = f"/var/lib/{value('StateDirectory')}/"
    assert ENVIRONMENT["MASKING_CALL_LOG"].startswith(f"sqlite:///{folder}")


def test_every_variable_in_the_sample_is_known_and_holds_no_secret() -> None:
    known = {f"MASKING_{name.upper()}" for name in config.NAMES}
    assert set(ENVIRONMENT) <= known | {config.CUSTOMER_ID, config.API_KEY}
    assert ENVIRONMENT[config.CUSTOMER_ID] == ENVIRONMENT[config.API_KEY] == ""
