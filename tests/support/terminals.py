"""Runs a program in a terminal of 80 columns, and measures what it prints there."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers import ROOT
from rich.cells import cell_len
from rich.text import Text

COLUMNS = 80


class Terminal:
    """A program in a terminal, and what it has printed there so far."""

    def __init__(
        self, words: tuple[str, ...], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._printed = bytearray()
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, COLUMNS))
        usual = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        self.process = subprocess.Popen(
            [sys.executable, ROOT / words[0], *words[1:]],
            cwd=folder,
            env={**usual, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # that is the end of a terminal which nobody has open
            while data := os.read(self._master, 65_536):
                self._printed += data

    @property
    def text(self) -> str:
        """What has been printed, without colours."""
        printed = self._printed.decode("utf-8", "replace").replace("\r\n", "\n")
        return Text.from_ansi(printed).plain

    def close(self) -> None:
        """Wait for the end of the program, and end it if it does not come."""
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        os.close(self._master)

    def too_wide(self) -> list[str]:
        """Return the lines that are wider than the terminal."""
        return [line for line in self.text.splitlines() if cell_len(line.rstrip()) > COLUMNS]


@contextlib.contextmanager
def in_a_terminal(*words: str, folder: Path = ROOT, **environment: str) -> Iterator[Terminal]:
    """Run a program of ours with these words; yield it, and wait for its end."""
    terminal = Terminal(words, folder, environment)
    try:
        yield terminal
    finally:
        terminal.close()


def one_line(text: str) -> str:
    """Return a text as one line, whatever its terminal has made of it."""
    return re.sub(r"\s+", " ", text)
