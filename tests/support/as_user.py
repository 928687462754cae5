"""Does something as another user: `as_user.py USER GROUP[,GROUP...] WORD...`, as root.

The words are those of the command line, or `hold FILE` to have the turn to change a list, or
`block FILE...` to take each lock on them that is to be had; either says so and waits for its end.
"""

import contextlib
import encodings.idna
import encodings.utf_8_sig  # noqa: F401
import fcntl
import io
import os
import sys
import time
from pathlib import Path

import facts

import phone
from tools import console, main
from tools.commands import pair, session  # noqa: F401
from tools.list_editor import turns


def import_what_is_imported_later() -> None:
    """Have everything at hand: another user may not be able to read the program."""
    phone.is_valid(phone.parse(facts.CALLER))
    lines = console.terminal(io.StringIO())
    console.print_wrapped(lines, "text")


def become(user: int, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setgid(groups[0])
    os.setuid(user)


def hold(path: Path) -> None:
    with turns.hold(path, turns.Patience(print, time.monotonic, time.sleep)):
        print("held", flush=True)
        sys.stdin.read()


def block(*paths: str) -> None:
    handles = []
    for path in paths:
        for flags in os.O_RDWR, os.O_RDONLY:
            with contextlib.suppress(OSError):
                handles.append(os.open(path, flags))
    for handle in handles:
        for lock in fcntl.flock, fcntl.lockf:
            for kind in fcntl.LOCK_EX, fcntl.LOCK_SH:
                with contextlib.suppress(OSError):
                    lock(handle, kind | fcntl.LOCK_NB)
    print(f"held {len(handles)}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    import_what_is_imported_later()
    become(int(sys.argv[1]), [int(group) for group in sys.argv[2].split(",")])
    match sys.argv[3:]:
        case ["hold", file]:
            hold(Path(file))
        case ["block", *files]:
            block(*files)
        case words:
            sys.exit(main.main(words))
