"""What is shipped for systemd is sound, says what the code says, and leaves the server little.

The site for nginx is in `test_proxy.py`, with nginx.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers import ROOT

import config
from serving import server

DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text()
UNIT = (DEPLOY / "masked-calls.service").read_text()
SAMPLE = (DEPLOY / "environment").read_text()
ENVIRONMENT = dict(re.findall("^([A-Z_]+)='([^']*)'$", SAMPLE, re.MULTILINE))
MAX_EXPOSURE = 15  # tenths, of 100; a unit without any hardening has 96

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
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE}"]
    ended = subprocess.run([*command, unit], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_systemd_waits_longer_than_a_stop_takes() -> None:
    assert int(value("TimeoutStopSec")) > 10 > server.MAX_STOP_S


def test_the_server_starts_when_the_time_of_day_is_right() -> None:
    for name in ("Wants", "After"):
        assert "time-sync.target" in value(name).split()


def test_there_is_room_for_all_connections() -> None:
    assert int(value("LimitNOFILE")) > 2 * server.MAX_CONNECTIONS


def test_the_call_log_lies_where_the_server_may_write() -> None:
    folder = f"/var/lib/{value('StateDirectory')}/"
    assert ENVIRONMENT["MASKING_CALL_LOG"].startswith(f"sqlite:///{folder}")


SERVER, DISPATCH = 61_001, 61_002  # users, and the group of the server


def make_folders(folder: Path) -> Path:
    """Do what the page says with the folders below `/etc`, in another place; return it."""
    (block,) = [part for part in PAGE.split("```") if "2750 /etc/masked-calls" in part]
    commands = re.findall("^sudo ((?:install|sed) .* /etc/masked-calls.*)$", block, re.MULTILINE)
    assert len(commands) == 6
    script = "\n".join(commands).replace("/etc/masked-calls", f"{folder}/settings")
    script = re.sub("-([og]) masked-calls", rf"-\1 {SERVER}", script)
    subprocess.run(["sh", "-ec", script], cwd=ROOT, check=True)
    return folder / "settings"


def as_dispatch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program as the user of the dispatch software, a member of the server's group.

    It may read everything, because this Python may lie where only root may look, and write only
    what that user may.
    """
    rights = [f"--reuid={DISPATCH}", f"--regid={DISPATCH}", f"--groups={SERVER}"]
    reading = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    command = ["setpriv", *rights, *reading, *words]
    # Where coverage is measured, it would write where that user may not.
    env = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make files for other users")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv here")
def test_the_dispatch_software_may_pair_and_change_neither_key_nor_settings() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = make_folders(Path(name))
        with (folder / "config.toml").open("a") as settings:
            settings.write('virtual_numbers = ["12025550160"]\n')
        pair = [sys.executable, str(ROOT / "app.py"), "pair", "12025550133", "12025550134"]
        done = as_dispatch(folder, *pair, "--for", "2h")
        assert (done.returncode, done.stderr) == (0, "")
        listed = folder / "list" / "allowlist.csv"
        assert "12025550133" in listed.read_text()
        assert listed.stat().st_gid == SERVER
        assert listed.stat().st_mode & 0o777 == 0o640
        for file in "environment", "config.toml":
            for words in ["touch", file], ["mv", file, "other"], ["rm", "-f", file]:
                assert as_dispatch(folder, *words).returncode != 0
        secret = (folder / "environment").stat()
        assert (secret.st_uid, secret.st_mode & 0o777) == (SERVER, 0o400)


def as_systemd_reads(text: str) -> dict[str, str]:
    """Read lines by the rules of `EnvironmentFile=` in systemd.exec(5).

    What stands in single quotes is taken as it is; without quotes a backslash is dropped, blanks at
    both ends are too, and `$` is only a character. Compared once with systemd 252's own reading.
    """
    values = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        name, _, value = line.partition("=")
        quoted = re.fullmatch(r"\s*'([^']*)'\s*", value)
        values[name] = quoted[1] if quoted else re.sub(r"\\(.)", r"\1", value.strip())
    return values


def as_the_shell_reads(path: Path) -> dict[str, str]:
    """Read a file with the words of the page, and return what a program is then started with."""
    (words,) = re.findall(r"(set -a && \. \./environment) &&", PAGE)
    command = ["env", "-i", "sh", "-c", f"{words} && exec {shutil.which('env')} -0"]
    ended = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in ended.stdout.split("\0") if line)
    return {name: text for name, text in found.items() if name not in ("PWD", "_", "SHLVL")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Your call is connected.",
        "  two  spaces  ",
        "pa$$word & more",
        "$HOME `ls` $(ls) ${x}",
        "#1; # 2",
        'a "b" \\n c\\',
        "* ? [a] ~ ! | < > ( ) { }",
        "a=b",
        "postgresql://user@db.example/calls?sslmode=verify-full&connect_timeout=3",
    ],
)
def test_systemd_and_the_shell_read_the_same_values(text: str, tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text(re.sub("'.*'", lambda _: f"'{text}'", SAMPLE))
    values = dict.fromkeys(ENVIRONMENT, text)
    assert len(values) == 3
    assert as_systemd_reads(file.read_text()) == values
    assert as_the_shell_reads(file) == values


def test_every_value_in_the_sample_stands_in_single_quotes() -> None:
    lines = [line for line in SAMPLE.splitlines() if not line.startswith("#")]
    assert [line.partition("=")[0] for line in lines] == list(ENVIRONMENT)


def test_every_variable_in_the_sample_is_known_and_holds_no_secret() -> None:
    known = {f"MASKING_{name.upper()}" for name in config.NAMES}
    assert set(ENVIRONMENT) <= known | {config.CUSTOMER_ID, config.API_KEY}
    assert ENVIRONMENT[config.CUSTOMER_ID] == ENVIRONMENT[config.API_KEY] == ""
