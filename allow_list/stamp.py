"""Tells one version of a file from another, and how long one has to stand still to be whole.

Nothing says of a file that its writer is done. What was written in place may have more rows a
moment later, so it is waited for longer than what was moved into place. Knows no clock.
"""

from dataclasses import dataclass, field
from pathlib import Path

WRITTEN_S = 1.0
_MOVED_S = 0.2


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file is written or replaced.

    `changed_ns` also changes with its rights and its links, and makes no version another one.
    """

    modified_ns: int
    size: int
    inode: int
    changed_ns: int = field(compare=False)


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file; `None` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


def still_s(new: Stamp | None, old: Stamp | None) -> float:
    """Return for how many seconds a version has to stand still, given the one before it.

    Another file in the same place was moved there, unless its last change was a write, which sets
    both of its times to the same: then it may be growing there, as a copy from another disk does.
    """
    is_moved = new is None or (not is_same_file(new, old) and new.modified_ns != new.changed_ns)
    return _MOVED_S if is_moved else WRITTEN_S


def is_same_file(new: Stamp | None, old: Stamp | None) -> bool:
    """Whether two different versions are of one file, which was written in place."""
    return new is not None and old is not None and new != old and new.inode == old.inode
