"""Waits until it is our turn to change a list: no other command does, and nobody is writing it.

What is locked is a file beside the list that is there only meanwhile. A lock must be open to all
who may change the list, and closed to strangers. The list is changed by putting another file in its
place, so those are the users who may write to its *folder*. Neither a lock on the list nor one on
the folder is theirs alone: both are to be had by reading, and some who may write to the folder may
not write to the list. So the lock is a file of its own, which only they can make, and which is open
to all of them. Nobody has to clean up: the lock of a command that was killed is free, and the next
command takes it.

In a sticky folder such as /tmp strangers can make files too. The list does not belong there.
"""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from allow_list.stamp import WRITTEN_S, Stamp, stamp_of
from tools.list_editor import rights

try:
    import fcntl
except ImportError:  # not on this system: the operator has to run one command at a time
    fcntl = None  # type: ignore[assignment]

_LOOK_EVERY_S = 0.05
_SAY_AFTER_S = 3.0
_MAX_WAIT_S = 10.0
_MILLISECOND_NS = 1_000_000


class TurnError(Exception):
    """We have waited too long for our turn; the message says for whom, and what to do."""


@dataclass(slots=True)
class Patience:
    """For how long a command waits for others: after a while it says for whom, then it gives up.

    The waits of one command count together. `clock` is monotonic, in seconds.
    """

    say: Callable[[str], None]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    waited_s: float = 0.0
    has_said: bool = False

    def wait(self, for_whom: str, remedy: str = "run this again") -> None:
        """Wait for a moment. Raises `TurnError` after ten seconds in all."""
        if self.waited_s >= _MAX_WAIT_S:
            raise TurnError(f"waited {_MAX_WAIT_S:.0f} s for {for_whom}; {remedy}")
        if self.waited_s >= _SAY_AFTER_S and not self.has_said:
            self.has_said = True
            self.say(f"waiting for {for_whom}")
        before_s = self.clock()
        self.sleep(_LOOK_EVERY_S)
        self.waited_s += self.clock() - before_s


# Nobody is writing


def wait_until_still(path: Path, patience: Patience) -> Stamp | None:
    """Wait until a file has stood still for as long as one that was written in place has to.

    A command has not seen the version before, and so cannot tell that a file was moved there. What
    a command of ours has left is whole, and not waited for. Returns the stamp of the file.
    """
    stamp, since_s = stamp_of(path), patience.clock()
    while stamp and not is_marked(stamp) and patience.clock() - since_s < WRITTEN_S:
        patience.wait(f"another program, which is writing {path}")
        found = stamp_of(path)
        if found != stamp:
            stamp, since_s = found, patience.clock()
    return stamp


def mark(file: Path) -> None:
    """Mark a file as whole: its time becomes a whole millisecond, which no write leaves.

    A file system whose times are coarser has no marks, and there each version is waited for.
    """
    found = file.stat()
    whole_ns = found.st_mtime_ns // _MILLISECOND_NS * _MILLISECOND_NS
    os.utime(file, ns=(found.st_atime_ns, whole_ns))


def is_marked(stamp: Stamp) -> bool:
    """Whether a file was marked, and not written since: a write sets both of its times."""
    return stamp.modified_ns % _MILLISECOND_NS == 0 and stamp.modified_ns != stamp.changed_ns


# No other command is at work


@contextlib.contextmanager
def hold(target: Path, patience: Patience) -> Iterator[None]:
    """Keep other commands from changing a file. Raises `OSError` or `TurnError`."""
    if fcntl is None:
        yield
        return
    file = target.with_name(f".{target.name}.turn")
    handle = _acquire(file, target, patience)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()  # before the lock is let go: who gets it then sees that it is gone
        os.close(handle)


def _acquire(file: Path, target: Path, patience: Patience) -> int:
    """Return the handle of the lock, once it is ours."""
    while True:
        handle = _open(file, target)
        if handle is None:
            _wait_for_owner(file, patience)
        elif not _lock(handle):
            holder = _holder(handle)
            os.close(handle)
            patience.wait(f"{holder}, which is changing the list")
        elif _is_at(file, handle):
            _note_holder(handle)
            return handle
        else:
            os.close(handle)


def _open(file: Path, target: Path) -> int | None:
    """Open the lock, or make it; `None` if it is there and we may not open it."""
    try:
        return os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    except PermissionError:
        return None
    except FileNotFoundError:
        pass
    try:
        handle = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    _share(target, handle)
    return handle


def _share(target: Path, handle: int) -> None:
    """Open the lock of a file to all who may change the file, and to nobody else."""
    if target.parent.stat().st_mode & stat.S_ISVTX:  # there it is the owner's alone to change
        rights.change_owner(handle, target.stat().st_uid, -1)
    else:
        rights.share(handle, target.parent)


def _lock(handle: int) -> bool:
    """Lock an open file; return whether nobody else has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        os.close(handle)
        raise
    return True


def _is_at(file: Path, handle: int) -> bool:
    """Whether an open file is still the one at its path; its last holder has removed it if not."""
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _note_holder(handle: int) -> None:
    """Write into the lock who holds it; without room for that, it is not logged."""
    with contextlib.suppress(OSError):
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {os.geteuid()}".encode(), 0)


def _holder(handle: int) -> str:
    found = re.fullmatch(rb"(\d{1,10}) (\d{1,10})", os.pread(handle, 32, 0))
    if not found:
        return "another command"
    return f"process {int(found[1])} of user {rights.user_name(int(found[2]))}"


def _wait_for_owner(file: Path, patience: Patience) -> None:
    try:
        owner = rights.user_name(file.stat().st_uid)
    except FileNotFoundError:
        return
    patience.wait(
        f"user {owner}, who has locked the list with {file}",
        "remove that file if no command of theirs is running, and run this again",
    )
