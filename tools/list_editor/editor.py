"""Changes the allow-list that people edit: adds the routes of a session, or what a pair needs.

The file is the old one or the new one at any time, never half of one: the new one is written beside
it, checked by every rule of a start and then put in its place. Comments, order and line ends stay.
Of two commands at once the second waits, and each for whatever else is writing the file. All of
that can be rehearsed before there are routes.
"""

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from allow_list.stamp import Stamp, stamp_of
from routing import AllowList, AllowListError, Route
from tools.list_editor import changes, pairs, rights, turns
from tools.list_editor.changes import RowChanges
from tools.list_editor.rights import RightsError
from tools.list_editor.turns import Patience, TurnError

_BOM = "\ufeff"
_MAX_TRIES = 3

Parse = Callable[[list[str]], AllowList]


class AppendError(Exception):
    """The file cannot be changed, and is not; the message says why and what to do."""


def check(path: Path, patience: Patience) -> None:
    """Raise `AppendError` unless routes can be added to the file, as far as can be known before.

    The file is replaced with a copy of itself. This finds what its rights do not show: a file
    cannot be replaced if it is mounted by itself, is immutable, or is another user's in a sticky
    folder. That it stays replaceable is not certain.
    """

    def unchanged(lines: list[str]) -> list[str]:
        changes.columns(lines, has_masks=True)
        return lines

    try:
        _edit(path, unchanged, patience, rehearse=True)
    except AllowListError as error:
        raise AppendError(error.faults[0].at(path)) from None


def append(
    path: Path, routes: list[Route], parse: Parse, patience: Patience, *, now: datetime, note: str
) -> None:
    """Add routes to the file, in place of expired rows for the same two people or masking IDs.

    An expired row that keeps its caller from a row for any caller stays. `parse` reads an
    allow-list from its lines by every rule and raises `AllowListError`, which is passed on. Raises
    `AppendError` if the file cannot be read or written.
    """

    def edit(lines: list[str], allow_list: AllowList) -> list[str]:
        old = [
            route
            for route in allow_list
            if route.expires and route.expires <= now and _is_for_one_of(route, routes)
        ]
        removed = pairs.find_removable(allow_list, old, added=routes)
        return changes.apply(RowChanges(added=tuple(routes), removed=removed), lines, note=note)

    change(path, edit, parse, patience)


def _is_for_one_of(old: Route, routes: list[Route]) -> bool:
    """Whether a route connects the same two people, or the same caller by the same number."""
    return any(
        old.caller == route.caller
        and (old.destination == route.destination or old.dialled == route.dialled)
        for route in routes
    )


def change(
    path: Path,
    edit: Callable[[list[str], AllowList], list[str]],
    parse: Parse,
    patience: Patience,
) -> None:
    """Change the lines of the file as `edit` says, which gets them with their ends and their list.

    They are checked by every rule before and after; what `edit` and `parse` raise is passed on.
    Raises `AppendError` if the file cannot be read or written.
    """

    def edited(lines: list[str]) -> list[str]:
        new = edit(lines, parse(_without_ends(lines)))
        parse(_without_ends(new))
        return new

    _edit(path, edited, patience)


def _without_ends(lines: Iterable[str]) -> list[str]:
    return [line.rstrip("\r\n") for line in lines]


def _edit(
    path: Path,
    change: Callable[[list[str]], list[str]],
    patience: Patience,
    *,
    rehearse: bool = False,
) -> None:
    """Replace the file with its changed lines; start over if another program changes it meanwhile.

    To `rehearse` replaces it also without a change.
    """
    try:
        with turns.hold(path.resolve(), patience):
            for _ in range(_MAX_TRIES):
                stamp = turns.wait_until_still(path, patience)
                text = _read(path)
                mark = _BOM if text.startswith(_BOM) else ""
                # Split as a file's lines are, and not as `splitlines` does.
                lines = list(io.StringIO(text.removeprefix(mark), newline=""))
                new = mark + "".join(change(lines))
                is_done = new == text and not rehearse
                if is_done or _replace(path, new, stamp):
                    return
    except (TurnError, RightsError) as error:
        raise AppendError(f"{path}: not changed: {error}") from None
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); it is unchanged"
        if error.errno == errno.EACCES:
            message += "; the user who runs this has to be able to write to its folder"
        raise AppendError(message) from None
    raise AppendError(f"{path}: another program keeps changing the file; nothing was changed")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        remedy = "set allow_list to its path, or run this in its folder"
        raise AppendError(f"{path}: wanted a CSV file, got none; {remedy}") from None
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); it is unchanged"
        raise AppendError(message) from None
    except UnicodeDecodeError:
        remedy = "save the file as 'CSV UTF-8'"
        raise AppendError(f"{path}: wanted UTF-8 text, got another encoding; {remedy}") from None


def _replace(path: Path, text: str, stamp: Stamp | None) -> bool:
    """Put the text in place of the file; return whether the file still had this stamp."""
    target = path.resolve()
    new = target.with_name(f".{target.name}.new")
    try:
        _write(new, text.encode(), old=target)
        if stamp_of(path) != stamp:
            return False
        new.replace(target)
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return True


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
