"""`calls --follow` as a process of its own, and what it has told."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

from helpers import ROOT, eventually

PATIENCE_S = 60  # of tests that do not measure


class FollowerProcess:
    """The command as a program runs it: its output is read as it comes, and when each line came."""

    program = (sys.executable, str(ROOT / "app.py"))

    def __init__(self, folder: Path, after: int | None = 0, *words: str, **more: str) -> None:
        begin = [] if after is None else ["--after", str(after)]
        self._stderr = folder / f"follower-{time.monotonic_ns()}"
        with self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [*self.program, "calls", "--follow", "--json", *begin, *words],
                cwd=folder,
                env={**os.environ, **more},
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )
        self.after, self.lines, self.times_s = after or 0, list[str](), list[float]()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.times_s.append(time.monotonic())
            self.lines.append(line)

    @property
    def told(self) -> list[dict[str, Any]]:
        """The calls that it has told."""
        return [json.loads(line) for line in self.lines]

    @property
    def said(self) -> str:
        """What it has written to standard error."""
        return self._stderr.read_text()

    @property
    def last(self) -> int:
        """The number that a program would begin again with."""
        return int(self.told[-1]["number"]) if self.lines else self.after

    def has_told(self, count: int, seconds: float = PATIENCE_S) -> bool:
        """Wait until it has told so many calls; return whether it did in time."""
        return eventually(lambda: len(self.lines) >= count, seconds)

    def kill(self) -> list[dict[str, Any]]:
        """End it at once, whatever it is doing; return all that it has told."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
