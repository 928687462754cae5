"""How a command ends: its exit status, and what it says of what it did or of what is in the way.

A command raises `CommandError`; `tools.main` prints it, as JSON on standard output for a program
that asked for `--json`, else as text on standard error, and ends with its status.
"""

import io
import json
import sys
from collections.abc import Sequence
from enum import IntEnum

from tools import console


class Status(IntEnum):
    """What an exit status means, the same for each command; `docs` has them in a table."""

    DONE = 0
    IN_THE_WAY = 1
    FAULTS = 2
    NOT_PRINTED = console.NOT_PRINTED
    NONE_FREE = 4
    NOT_WRITABLE = 5
    SERVER_REFUSES = 6
    NOT_LIVE = 7
    MAY_EXIST = 8
    NOT_ADDED = 9


class CommandError(Exception):
    """What keeps a command from its work: a word for programs, a message for people, a status.

    `faults` are printed below the message, each on a line of its own.
    """

    def __init__(
        self,
        word: str,
        message: str,
        status: Status = Status.IN_THE_WAY,
        *,
        faults: Sequence[str] = (),
    ) -> None:
        self.word, self.message, self.status, self.faults = word, message, status, tuple(faults)
        super().__init__("\n  ".join((message, *faults)))


def print_error(command: str, error: CommandError, *, as_json: bool) -> int:
    """Print what is in the way, for a program or for people; return the exit status."""
    if as_json:
        message = " ".join((error.message, "; ".join(error.faults))).rstrip()
        print(json.dumps({"error": error.word, "message": message}), flush=True)
    else:
        console.say(f"{command}: {error}")
    return int(error.status)


def wrap(*texts: str) -> str:
    """Return texts for people, each on as many lines as it takes."""
    lines = io.StringIO()
    for text in texts:
        console.print_wrapped(console.terminal(lines), text)
    return lines.getvalue().rstrip("\n")


def report(command: str, text: str) -> int:
    """Print what a command has done; return 0, or `NOT_PRINTED` after saying it on stderr."""
    try:
        print(text, flush=True)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            console.discard(sys.stdout)
        cause = getattr(error, "strerror", None) or type(error).__name__
        failure = f"{command}: this was done, but the output cannot be written ({cause}):"
        console.say(f"{failure}\n{text}")
        return Status.NOT_PRINTED
    return Status.DONE
