"""Starting and stopping as a user does: the real process, its words and its exit status."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import facts
import pytest
import requests
from helpers import ROOT, eventually, payload, signed
from processes import ServerProcess
from terminals import in_a_terminal

from app import Handlers
from serving.start import run as serve

CALL = payload("incoming_call")
JSON = {"Content-Type": "application/json"}
REAL_LIST = "to,destination\n12025550100,18888888888\n"


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


HAS_IPV6 = _has_ipv6()


def start(
    folder: Path, *arguments: str, before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Start a server that is expected not to run."""
    return subprocess.run(
        [*before, sys.executable, ROOT / "app.py", *arguments],
        cwd=folder,
        env={**os.environ, "MASKING_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_the_sample_starts_without_a_key_and_says_so_loudly(tmp_path: Path) -> None:
    sample = (ROOT / "allowlist.csv").read_text()
    with ServerProcess(tmp_path, {"MASKING_PORT": "0"}, sample) as server:
        answer = requests.post(
            server.url, CALL, headers={"Content-Type": "application/json"}, timeout=10
        )
        assert answer.json() == facts.DIAL
        assert requests.get(f"{server.url}health", timeout=10).json()["signatures"] == "open"
        assert server.stop() == 0
    assert server.stderr.read_text() == (
        f"Masked calls on http://127.0.0.1:{server.port}/\n"
        "  requests    NOT VERIFIED: anybody who finds the address is answered\n"
        "  settings    no config.toml: environment and defaults\n"
        f"  allow-list  {tmp_path}/allowlist.csv, rows: 4\n"
        f"  call log    {tmp_path}/calls.db, kept for 30 days\n"
        f"  health      http://127.0.0.1:{server.port}/health\n"
        "  next        set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY for real numbers\n"
    )


def test_on_a_terminal_a_line_is_text_to_read(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with in_a_terminal("app.py", folder=tmp_path, MASKING_PORT="0") as terminal:
        assert eventually(lambda: "  next " in terminal.text, 20)
        found = re.search(r"http://\S+/(?=health)", terminal.text)
        assert found is not None
        requests.post(found[0], b"no JSON", headers=JSON, timeout=10)
        terminal.process.send_signal(signal.SIGTERM)
    assert re.search(
        r"\d\d:\d\d:\d\d rejected: bad_json \(wanted strict JSON in UTF-8\)", terminal.text
    )


def test_with_a_key_real_numbers_are_served_and_only_signed_events_answered(tmp_path: Path) -> None:
    environment = facts.KEYS | {"MASKING_EVENT_PATH": "/events/x7Kq2"}
    with ServerProcess(tmp_path, environment, REAL_LIST) as server:
        url = f"{server.url}events/x7Kq2"
        answer = requests.post(url, CALL, headers=signed(CALL), timeout=10).json()
        assert answer["params"]["to"] == "18888888888"
        assert requests.post(url, CALL, timeout=10).status_code == 401
        assert server.stop() == 0
    assert "NOT VERIFIED" not in server.output()
    assert "signatures are verified; keys: 1" in server.stderr.read_text()
    assert "https://<your tunnel>/events/x7Kq2" in server.stderr.read_text()
    assert facts.API_KEY not in server.output()
    assert facts.CUSTOMER_ID not in server.output()


def test_a_real_list_without_a_key_does_not_start_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(REAL_LIST)
    ended = start(tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "The server did not start:\n"
        "  allowlist.csv:2: destination: wanted only fictional numbers (1 NPA 555 0100 to 0199) as"
        " long as TELESIGN_API_KEY is not set, got ...8888; rows with real numbers: 1;"
        " set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, or"
        " verify_signatures = false to serve everybody who finds the address\n"
    )


def test_a_real_list_is_served_to_everybody_only_when_that_is_written_out(tmp_path: Path) -> None:
    environment = {"MASKING_VERIFY_SIGNATURES": "false"}
    with ServerProcess(tmp_path, environment, REAL_LIST) as server:
        assert requests.get(f"{server.url}health", timeout=10).json()["routes"] == 1
    assert "NOT VERIFIED" in server.output()


def test_all_faults_of_settings_and_list_come_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKING_THREADS", "0")
    monkeypatch.setenv("TELESIGN_API_KEY", "")
    (tmp_path / "my.toml").write_text("port = 'x'\nallow_list = 'my.csv'\n")
    (tmp_path / "my.csv").write_text("to,destination\n12025550100,x\n,12025550111\n")
    assert serve(Handlers, Path("my.toml")) == 2
    assert capfd.readouterr() == (
        "",
        "The server did not start:\n"
        "  my.toml:1: port: wanted a whole number, got 'x'\n"
        "  MASKING_THREADS: wanted a whole number, 1 to 256, got 0\n"
        "  wanted both TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, or neither, got only one\n"
        "  TELESIGN_API_KEY: key 1: wanted at least 16 bytes of key, got 0\n"
        "  my.csv:2: destination: wanted a country code and digits, 7 to 15 in all,"
        " such as 12025550100, got 'x'\n"
        "  my.csv:3: to: wanted a country code and digits, 7 to 15 in all,"
        " such as 12025550100, got ''\n",
    )


def test_a_list_that_is_not_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve(Handlers, None) == 2
    assert capfd.readouterr() == (
        "",
        "The server did not start:\n"
        "  allowlist.csv: wanted a CSV file, got: No such file or directory;"
        " set allow_list to its path, or run this in its folder\n",
    )


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        ended = start(tmp_path, MASKING_PORT=str(port))
    assert (ended.returncode, ended.stderr) == (
        1,
        f"The server did not start: cannot listen on 127.0.0.1:{port}: Address already in use;"
        " stop the program that uses it, or set another port\n",
    )


def test_a_port_that_needs_permission_is_one_clear_line(tmp_path: Path) -> None:
    free_from = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not free_from.exists() or int(free_from.read_text()) < 2:
        pytest.skip("every port is free to all here")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may listen anywhere, and cannot put that down here")
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    modest = ["setpriv", "--bounding-set=-net_bind_service"] if os.geteuid() == 0 else []
    ended = start(tmp_path, before=modest, MASKING_PORT="1")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "The server did not start: cannot listen on 127.0.0.1:1: Permission denied;"
        " set a port above 1023, or let a proxy listen on this one\n"
    )


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.9"])
def test_a_host_that_is_not_here_is_one_clear_line(host: str, tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    ended = start(tmp_path, MASKING_HOST=host)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"The server did not start: cannot listen on {host}:0: ")
    assert ended.stderr.endswith("; set host to a name or an address of this machine\n")
    assert ".;" not in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        pytest.param("::1", marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")),
    ],
)
def test_a_host_of_another_kind_is_served(host: str, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, {"MASKING_HOST": host}) as server:
        assert requests.get(f"{server.url}health", timeout=10).status_code == 200


def test_closed_standard_files_are_not_taken_by_sockets(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    process = subprocess.Popen(
        ["sh", "-c", f"exec {sys.executable} {ROOT}/app.py <&- >&-"],
        cwd=tmp_path,
        # SQLite would open them itself.
        env={**os.environ, "MASKING_PORT": str(port), "MASKING_CALL_LOG": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Masked calls")
        answer = requests.post(
            f"http://127.0.0.1:{port}/",
            CALL,
            headers={"Content-Type": "application/json"},
            timeout=10,
        )
        opened = [Path(f"/proc/{process.pid}/fd/{fd}").resolve() for fd in range(2)]
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert answer.json() == facts.DIAL
    if sys.platform == "linux":
        assert opened == [Path(os.devnull)] * 2


@dataclass
class QuietServer(ServerProcess):
    """A server whose standard error tells nothing; `shell` says what is done to its files."""

    shell: str = ""
    stderr_fd: int | None = None

    def __enter__(self) -> Self:
        (self.folder / "allowlist.csv").write_text(self.allow_list)
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$0" "$@" {self.shell}', *self.command],
            cwd=self.folder,
            env={**os.environ, "MASKING_PORT": str(self.port), **self.environment},
            stderr=self.stderr_fd,
        )
        assert eventually(lambda: self.listens() or self.process.poll() is not None, 20)
        return self

    def listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


@pytest.mark.parametrize(
    "shell",
    ["2>&-", "2>/dev/full", "2</dev/null", ">&- 2>&-", "<&- 2>&-", ">/dev/full 2>/dev/full"],
)
def test_standard_error_that_takes_nothing_does_not_stop_the_start(
    shell: str, tmp_path: Path
) -> None:
    with QuietServer(tmp_path, shell=shell) as server:
        assert server.deliver(CALL) == (200, facts.DIAL)
        assert server.health()["status"] == "ok"
        assert server.stop() == 0


def test_standard_error_that_nobody_reads_does_not_stop_the_start(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with QuietServer(tmp_path, stderr_fd=writer) as server:
        assert server.deliver(CALL) == (200, facts.DIAL)
        assert server.stop() == 0
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("shell", ["2>&-", "2>/dev/full"])
def test_a_fault_that_cannot_be_printed_still_has_its_exit_status(
    shell: str, tmp_path: Path
) -> None:
    command = ["sh", "-c", f'exec "$0" "$@" {shell}', sys.executable, str(ROOT / "app.py")]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, b"", b"")


def ignores_hangup(pid: int) -> bool:
    (mask,) = re.findall(r"SigIgn:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) & 1 << signal.SIGHUP - 1)


def test_no_hangup_ends_the_server_from_its_first_moment_on_and_the_list_is_current(
    tmp_path: Path,
) -> None:
    """Nothing of ours is loaded yet when the first one comes; they come until an answer does."""
    (tmp_path / "allowlist.csv").write_text("to,destination\n")
    with subprocess.Popen(
        [sys.executable, ROOT / "app.py"],
        cwd=tmp_path,
        env={**os.environ, "MASKING_PORT": "0"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        stderr = process.stderr
        assert stderr is not None
        try:
            assert eventually(lambda: ignores_hangup(process.pid), 20)
            said: list[str] = []
            listening = threading.Thread(
                target=lambda: said.extend(stderr.readline() for _ in range(7))
            )
            listening.start()
            (tmp_path / "new.csv").write_text(facts.ALLOW_LIST)
            (tmp_path / "new.csv").replace(tmp_path / "allowlist.csv")
            while listening.is_alive():
                process.send_signal(signal.SIGHUP)
                time.sleep(0.001)
            urls = re.findall(r"health +(http://.+/)health", "".join(said))
            assert len(urls) == 1, said
            health = f"{urls[0]}health"
            assert eventually(lambda: requests.get(health, timeout=10).json()["routes"] == 4)
            process.terminate()
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()  # no longer there, unless something failed


@pytest.mark.parametrize(("before", "ends"), [((), True), (("nohup",), False)])
def test_a_hangup_ends_a_command_unless_it_was_started_to_outlive_one(
    before: tuple[str, ...], ends: bool, tmp_path: Path
) -> None:
    """The terminal of the inspector is closed."""
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    command = [*before, sys.executable, str(ROOT / "app.py"), "inspect", "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_hangups,  # noqa: PLW1509 - it has no thread yet
    ) as process:
        try:
            assert process.stderr is not None
            while not process.stderr.readline().startswith("Inspector on"):
                assert process.poll() is None
            process.send_signal(signal.SIGHUP)
            if not ends:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
                process.terminate()
            assert process.wait(timeout=10) == (-signal.SIGHUP if ends else 0)
        finally:
            process.kill()


def hear_hangups() -> None:
    """Have a process that starts end at a hangup, though these tests may outlive theirs."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_in_the_journal_a_failing_log_is_an_error_and_its_recovery_is_not(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    status = os.fstat(writer)
    environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    with (
        ServerProcess(tmp_path, facts.KEYS | environment, stdout_fd=writer) as server,
        open(reader) as lines,  # noqa: PTH123 - it has no path
    ):
        os.close(writer)
        with contextlib.closing(sqlite3.connect(tmp_path / "calls.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            assert requests.post(server.url, CALL, headers=signed(CALL), timeout=10).ok
            assert requests.post(server.url, CALL, timeout=10).status_code == 401
            other.rollback()
        assert eventually(lambda: server.health()["status"] == "ok")
        assert server.stop() == 0
        written = {line[: line.index("{")]: json.loads(line[line.index("{") :]) for line in lines}
    assert written.keys() == {"", "<3>", "<4>"}
    assert written["<3>"]["notice"].startswith("the call log is failing")
    assert written["<4>"]["rejected"] == "unauthorized"
    # its own banner goes elsewhere, and so has no priorities
    assert "<" not in server.stderr.read_text().replace("<your tunnel>", "")
