"""Changes the allow-list that people edit: what changes its lines is passed in.

The file is the old one or the new one at any time, never half of one: the new one is written beside
it, checked by every rule of a start and then put in its place. Comments, order and line ends stay.
Of two commands at once the second waits, and each for whatever else is writing the file. All of
that can be rehearsed.
"""

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from allow_list.stamp import Stamp, stamp_of
from routing import AllowList, AllowListError
from tools.list_editor import changes, rights, turns
from tools.list_editor.changes import Edit
from tools.list_editor.rights import RightsError
from tools.list_editor.turns import Patience, TurnError

_BOM = "\ufeff"
_MAX_TRIES = 3

Parse = Callable[[list[str]], AllowList]


class ChangeError(Exception):
    """The file cannot be changed, and is not; the message says why and what to do."""


class ListBusyError(ChangeError):
    """Others are changing the file; later it may be possible."""


class NoListError(ChangeError):
    """There is no list in the file."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to the lines of a file, and when that file was last modified."""

    before: list[str]
    after: list[str]
    modified_ns: int | None


def check(path: Path, patience: Patience) -> None:
    """Raise `ChangeError` unless the file can be changed, as far as can be known before.

    The file is replaced with a copy of itself. This finds what its rights do not show: a file
    cannot be replaced if it is mounted by itself, is immutable, or is another user's in a sticky
    folder. That it stays replaceable is not certain.
    """

    def keep(lines: list[str]) -> list[str]:
        changes.columns(lines)
        return lines

    try:
        _edit(path, keep, patience, rehearse=True)
    except AllowListError as error:
        raise NoListError(error.faults[0].at(path)) from None


def change(
    path: Path,
    edit: Edit,
    parse: Parse,
    patience: Patience,
    *,
    accept: Parse | None = None,
) -> Change:
    """Change the lines of the file as `edit` says, which gets them with their ends and their list.

    They are checked by every rule before, by `parse`, and after, by `accept` (default: `parse`);
    what `edit` and these raise is passed on. Raises `ChangeError` if the file cannot be read or
    written.
    """

    def apply_edit(lines: list[str]) -> list[str]:
        new = edit(lines, parse(_without_ends(lines)))
        (accept or parse)(_without_ends(new))
        return new

    return _edit(path, apply_edit, patience)


def take_back(path: Path, changed: Change, parse: Parse, patience: Patience) -> None:
    """Undo a change in the file as it is now: what others have done to it since stays.

    Raises `ChangeError` if the file cannot be read or written, or would have faults then.
    """

    def restore(lines: list[str]) -> list[str]:
        try:
            kept = changes.undo(changed.before, changed.after, lines)
            parse(_without_ends(kept))
        except AllowListError:
            raise ChangeError(f"{path}: another program has changed the same rows since") from None
        return kept

    _edit(path, restore, patience)


def _without_ends(lines: Iterable[str]) -> list[str]:
    return [line.rstrip("\r\n") for line in lines]


def _edit(
    path: Path,
    change: Callable[[list[str]], list[str]],
    patience: Patience,
    *,
    rehearse: bool = False,
) -> Change:
    """Replace the file with its changed lines; start over if another program changes it meanwhile.

    To `rehearse` replaces it also without a change.
    """
    if path.is_dir():
        raise NoListError(f"{path}: wanted a CSV file, got a folder; set allow_list to its path")
    try:
        with turns.hold(Path(os.path.realpath(path)), patience):
            for _ in range(_MAX_TRIES):
                stamp = turns.wait_until_still(path, patience)
                text = _read(path)
                mark = _BOM if text.startswith(_BOM) else ""
                # Split as a file's lines are, and not as `splitlines` does.
                lines = list(io.StringIO(text.removeprefix(mark), newline=""))
                after = change(lines)
                new = mark + "".join(after)
                is_done = new == text and not rehearse
                if is_done or (stamp := _replace(path, new, stamp)):
                    return Change(lines, after, None if stamp is None else stamp.modified_ns)
    except TurnError as error:
        raise ListBusyError(f"{path}: not changed: {error}") from None
    except RightsError as error:
        raise ChangeError(f"{path}: not changed: {error}") from None
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); it is unchanged"
        if error.errno == errno.EACCES:
            message += "; the user who runs this has to be able to write to its folder"
        raise ChangeError(message) from None
    raise ListBusyError(f"{path}: another program keeps changing the file; nothing was changed")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        remedy = "set allow_list to its path, or run this in its folder"
        raise NoListError(f"{path}: wanted a CSV file, got none; {remedy}") from None
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); it is unchanged"
        raise ChangeError(message) from None
    except UnicodeDecodeError:
        remedy = "save the file as 'CSV UTF-8'"
        raise NoListError(f"{path}: wanted UTF-8 text, got another encoding; {remedy}") from None


def _replace(path: Path, text: str, stamp: Stamp | None) -> Stamp | None:
    """Put the text in place of the file if that still has this stamp; return the new one."""
    target = Path(os.path.realpath(path))
    new = target.with_name(f".{target.name}.new")
    try:
        _write(new, text.encode(), old=target)
        if stamp_of(path) != stamp:
            return None
        written = stamp_of(new)
        new.replace(target)
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return written


def _write(new: Path, content: bytes, *, old: Path) -> None:
    """Write a file with the rights of another one; it is on the disk on return."""
    new.unlink(missing_ok=True)  # of a command that was killed
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        rights.copy(old, new)  # before it holds a number
        file.write(content)
        file.flush()
        turns.mark(new)
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk too; some systems do not open folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
