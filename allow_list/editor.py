"""Changes the allow-list that people edit: adds the routes of a session, or what a pair needs.

The file is the old one or the new one at any time, never half of one: the new one is written beside
it, checked by every rule of a start and then put in its place. Comments, order and line ends stay.
Of two writers at once the second waits. All of that can be rehearsed before there are routes.
"""

import contextlib
import csv
import io
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from allow_list.reload import Stamp, stamp_of
from allow_list.rows import rows
from routing import AllowList, Route

try:
    import fcntl
except ImportError:  # not on this system: the operator has to run one writer at a time
    fcntl = None  # type: ignore[assignment]

_NEEDED_COLUMNS = ("to", "from", "destination", "caller_id_number", "expires")
_BOM = "\ufeff"
_MAX_TRIES = 3
_SPARE_BYTES = 4096  # more than two rows and their notes take

Parse = Callable[[list[str]], AllowList]


class AppendError(Exception):
    """The routes cannot be added; the file is unchanged. The message says why and what to do."""


def check(path: Path) -> None:
    """Raise `AppendError` unless routes can be added to the file, as far as can be known before.

    The file is replaced with a copy of itself, written with room for two more rows. This finds what
    its rights do not show: a file cannot be replaced if it is mounted by itself, is immutable, or
    is another user's in a sticky folder. That it stays replaceable is not certain.
    """
    _edit(path, lambda text: _with_columns(text, path), spare_bytes=_SPARE_BYTES)


def append(path: Path, routes: list[Route], parse: Parse, *, now: datetime, note: str) -> None:
    """Add routes to the file, in place of expired rows for the same two people or masking IDs.

    `parse` reads an allow-list from its lines by every rule and raises `AllowListError`, which is
    passed on. Raises `AppendError` if the file cannot be read or written.
    """
    _edit(
        path,
        lambda text: _with_routes(_with_columns(text, path), routes, parse, now=now, note=note),
    )


def change(path: Path, edit: Callable[[list[str], AllowList], list[str]], parse: Parse) -> None:
    """Change the lines of the file as `edit` says, which gets them with their ends and their list.

    They are checked by every rule before and after; what `edit` and `parse` raise is passed on.
    Raises `AppendError` if the file cannot be read or written.
    """

    def edited(text: str) -> str:
        mark = _BOM if text.startswith(_BOM) else ""
        lines = _lines(text.removeprefix(mark))
        new = edit(lines, parse(_bare_lines(text)))
        parse([line.rstrip("\r\n") for line in new])
        return mark + "".join(new)

    _edit(path, edited)


def _edit(path: Path, change: Callable[[str], str], *, spare_bytes: int = 0) -> None:
    """Replace the file with its changed text; start over if a program without the lock edits it."""
    with _locked(path):
        for _ in range(_MAX_TRIES):
            stamp = stamp_of(path)
            text = _read(path)
            new = change(text)
            is_same = new == text and not spare_bytes
            if is_same or _replace(path, new, stamp, spare_bytes=spare_bytes):
                return
    raise AppendError(f"{path}: another program keeps changing the file; nothing was added")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other writer is at work. The list is replaced, so the lock is another file."""
    if fcntl is None:
        yield
        return
    target = path.resolve()
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(target.with_name(f".{target.name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            message = f"{path}: cannot be locked ({error.strerror}); it is unchanged"
            raise AppendError(message) from None
        yield


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise AppendError(f"{path}: wanted a UTF-8 file to add to, got: {error}") from None


def _with_columns(text: str, path: Path) -> str:
    """Return the text of a list, unless its header has no place for a route."""
    header = _header(text)
    missing = [column for column in _NEEDED_COLUMNS if column not in header]
    if missing:
        raise AppendError(f"{path}: wanted the columns {', '.join(missing)} in the header too")
    return text


def _with_routes(text: str, routes: list[Route], parse: Parse, *, now: datetime, note: str) -> str:
    """Return the text of a list with routes added; checked by every rule before and after."""
    replaced = {
        route.line
        for route in parse(_bare_lines(text))
        if route.expires is not None and route.expires <= now and _is_for_one_of(route, routes)
    }
    end = "\r\n" if "\r\n" in text else "\n"
    kept = [line for number, line in enumerate(_lines(text), start=1) if number not in replaced]
    if kept and not kept[-1].endswith(("\n", "\r")):
        kept[-1] += end
    header = _header(text)
    new = "".join([*kept, *(_line(route, header, note) + end for route in routes)])
    parse(_bare_lines(new))
    return new


def _is_for_one_of(old: Route, routes: list[Route]) -> bool:
    """Whether a route connects the same two people, or the same caller by the same number."""
    return any(
        old.caller == route.caller
        and (old.destination == route.destination or old.dialled == route.dialled)
        for route in routes
    )


def _lines(text: str) -> list[str]:
    """Return the lines with their ends, split as a file's are and not as `splitlines` does."""
    return list(io.StringIO(text, newline=""))


def _bare_lines(text: str) -> list[str]:
    return [line.rstrip("\r\n") for line in _lines(text.removeprefix(_BOM))]


def _header(text: str) -> list[str]:
    found = (cells for _, cells in rows(_bare_lines(text), []))
    return [cell.strip() for cell in next(found, [])]


def _line(route: Route, header: list[str], note: str) -> str:
    cells = {
        "to": route.dialled,
        "from": route.caller or "",
        "destination": route.destination,
        "caller_id_number": route.masking_id,
        "expires": route.expires.isoformat().replace("+00:00", "Z") if route.expires else "",
        "note": note,
    }
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow([cells.get(column, "") for column in header])
    return written.getvalue()


def _replace(path: Path, text: str, stamp: Stamp, *, spare_bytes: int) -> bool:
    """Put the text in place of the file; return whether the file still had this stamp."""
    target = path.resolve()
    new = target.with_name(f".{target.name}.new")
    try:
        _write(new, text.encode(), spare_bytes=spare_bytes)
        _copy_rights(target, new)
        if stamp_of(path) != stamp:
            return False
        new.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); it is unchanged"
        raise AppendError(message) from None
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
    return True


def _write(new: Path, content: bytes, *, spare_bytes: int) -> None:
    """Write a file that is on the disk on return, which had room for some bytes more."""
    new.unlink(missing_ok=True)  # of a writer that was killed
    new.touch(mode=0o600, exist_ok=False)  # before it holds a number
    with new.open("wb") as file:
        file.write(content + b"\n" * spare_bytes)
        file.flush()
        os.fsync(file.fileno())
        file.truncate(len(content))
        os.fsync(file.fileno())


def _copy_rights(old: Path, new: Path) -> None:
    """Give the new file the old one's mode and, if we may, its owner: the server reads it."""
    found = old.stat()
    new.chmod(found.st_mode)
    with contextlib.suppress(OSError, AttributeError):
        os.chown(new, found.st_uid, found.st_gid)


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk too; some systems do not open folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
