"""A PostgreSQL server of the test's own, which it may ill-treat."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
needs_programs = pytest.mark.skipif(not PROGRAMS, reason="no PostgreSQL server is installed")


class Cluster:
    """A database server of the test's own, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._user = folder, "postgres" if os.geteuid() == 0 else None
        if self._user:
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.run("initdb", "--auth=trust", "--username=postgres", "--no-sync")

    def run(self, program: str, *arguments: str) -> None:
        command = [str(PROGRAMS[-1] / program), "-D", str(self._folder / "data"), *arguments]
        subprocess.run(command, check=True, user=self._user, stdout=subprocess.DEVNULL, timeout=60)

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1"
        self.run("pg_ctl", "start", "-w", "-l", str(self._folder / "log"), "-o", options)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-w", "-m", "fast")


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="masked-calls-"))
    try:
        ours = Cluster(folder)
        ours.start()
        try:
            yield ours
        finally:
            ours.stop()
    finally:
        shutil.rmtree(folder)


def backends(connection: Any) -> list[int]:
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'masked-calls'"
    )
    return [pid for (pid,) in found]
