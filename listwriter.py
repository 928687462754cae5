"""Adds the two routes of a masked session to the allow-list that people edit.

The file is the old one or the new one at every moment, never half: the new one is written beside
it, checked by every rule of a start and then put in its place. Comments, order and line ends stay.
Two writers at once wait for each other.
"""

import contextlib
import csv
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from routing import AllowList, Route
from watch import stamp_of

try:
    import fcntl
except ImportError:  # not on this system: then one writer at a time is up to the operator
    fcntl = None  # type: ignore[assignment]

_NEEDED = ("to", "from", "destination", "caller_id_number", "expires")
_BOM = "\ufeff"
_MOST_TRIES = 3

Parse = Callable[[list[str]], AllowList]


class AppendError(Exception):
    """The routes cannot be added; the file is as it was. The message says why and what to do."""


def check(path: Path) -> None:
    """Raise `AppendError` unless routes can be added to the file, as far as can be known before."""
    header = _header(_text(path))
    missing = [column for column in _NEEDED if column not in header]
    if missing:
        raise AppendError(f"{path}: wanted the columns {', '.join(missing)} in the header too")


def append(path: Path, routes: list[Route], parse: Parse, *, now: datetime, note: str) -> None:
    """Add routes to the file, in place of expired rows of the same two people or the same masks.

    `parse` reads an allow-list from its lines by every rule and raises `AllowListError`, which is
    passed on. Raises `AppendError` if the file cannot be read or written.
    """
    with _alone(path):
        for _ in range(_MOST_TRIES):
            check(path)
            stamp = stamp_of(path)
            new = _with(_text(path), routes, parse, now=now, note=note)
            if stamp_of(path) == stamp:
                _replace(path, new)
                return
    raise AppendError(f"{path}: is changed again and again by somebody else; it is as they left it")


def _with(text: str, routes: list[Route], parse: Parse, *, now: datetime, note: str) -> str:
    """Return the text of a list with the routes added; checked by every rule before and after."""
    people = {(route.caller, route.destination) for route in routes}
    pairs = {(route.dialled, route.caller) for route in routes}
    gone = {
        route.line
        for route in _parsed(text, parse)
        if route.expires is not None
        and route.expires <= now
        and ((route.caller, route.destination) in people or (route.dialled, route.caller) in pairs)
    }
    end = "\r\n" if "\r\n" in text else "\n"
    kept = [line for number, line in enumerate(_lines(text), start=1) if number not in gone]
    if kept and not kept[-1].endswith(("\n", "\r")):
        kept[-1] += end
    header = _header(text)
    new = "".join([*kept, *(_line(route, header, note) + end for route in routes)])
    _parsed(new, parse)
    return new


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise AppendError(f"{path}: wanted a UTF-8 file to add to, got: {error}") from None


def _lines(text: str) -> list[str]:
    """Return the lines with their ends, split as a file is and not as `splitlines` does."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)


def _parsed(text: str, parse: Parse) -> AllowList:
    return parse([line.rstrip("\r\n") for line in _lines(text.removeprefix(_BOM))])


def _header(text: str) -> list[str]:
    for line in _lines(text):
        row = line.removeprefix(_BOM)
        if row.strip() and not row.startswith("#"):
            return [cell.strip() for cell in next(csv.reader([row]))]
    return []


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


def _replace(path: Path, text: str) -> None:
    """Put the text in the place of the file, on the disk before it is seen."""
    target = path.resolve()
    handle, name = -1, ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _pass_on_rights(target, Path(name))
        Path(name).replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        if name:
            with contextlib.suppress(OSError):
                Path(name).unlink()
        raise AppendError(
            f"{path}: cannot be written ({error.strerror}); it is as it was"
        ) from None


def _pass_on_rights(old: Path, new: Path) -> None:
    """Give the new file the old one's rights and, if we may, its owner: the server reads it."""
    found = old.stat()
    new.chmod(found.st_mode)
    with contextlib.suppress(OSError, AttributeError):
        os.chown(new, found.st_uid, found.st_gid)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some systems do not open folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other writer is at work; the lock is another file, for the list is replaced."""
    if fcntl is None:
        yield
        return
    target = path.resolve()
    try:
        lock = (target.parent / f".{target.name}.lock").open("w")
    except OSError as error:
        raise AppendError(f"{path}: cannot be locked ({error.strerror}); it is as it was") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in target.parent.glob(f".{target.name}.*.new"):
            left.unlink(missing_ok=True)  # by a writer that was killed: it holds numbers
        yield
