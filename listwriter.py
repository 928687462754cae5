"""Adds the two routes of a masked session to the allow-list that people edit.

The file is the old one or the new one at every moment, never half: the new one is written beside
it, checked by every rule of a start and then put in its place. Comments, order and line ends stay.
Two writers at once wait for each other.
"""

import contextlib
import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from routing import AllowList, Route

try:
    import fcntl
except ImportError:  # not on this system: then one writer at a time is up to the operator
    fcntl = None  # type: ignore[assignment]

_NEEDED = ("to", "from", "destination", "caller_id_number", "expires")
_BOM = "\ufeff"

Parse = Callable[[list[str]], AllowList]


class AppendError(Exception):
    """The routes cannot be added; the file is as it was. The message says why and what to do."""


def check(path: Path) -> None:
    """Raise `AppendError` unless routes can be added to the file, as far as can be known before."""
    header = _header(_text(path).splitlines())
    missing = [column for column in _NEEDED if column not in header]
    if missing:
        raise AppendError(f"{path}: wanted the columns {', '.join(missing)} in the header too")


def append(path: Path, routes: list[Route], parse: Parse, *, now: datetime, note: str) -> None:
    """Add routes to the file, in place of rows of the same two people that have expired.

    `parse` reads an allow-list from its lines by every rule and raises `AllowListError`, which is
    passed on. Raises `AppendError` if the file cannot be read or written.
    """
    with _alone(path):
        check(path)
        text = _text(path)
        listed = parse(text.removeprefix(_BOM).splitlines())
        people = {(route.caller, route.destination) for route in routes}
        gone = {
            route.line
            for route in listed
            if (route.caller, route.destination) in people
            and route.expires is not None
            and route.expires <= now
        }
        end = "\r\n" if "\r\n" in text else "\n"
        kept = [
            line
            for number, line in enumerate(text.splitlines(keepends=True), start=1)
            if number not in gone
        ]
        if kept and not kept[-1].endswith(("\n", "\r")):
            kept[-1] += end
        header = _header(text.splitlines())
        new = "".join(kept) + "".join(_line(route, header, note) + end for route in routes)
        parse(new.removeprefix(_BOM).splitlines())
        _replace(path, new)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise AppendError(f"{path}: wanted a UTF-8 file to add to, got: {error}") from None


def _header(lines: list[str]) -> list[str]:
    for line in lines:
        text = line.removeprefix(_BOM)
        if text.strip() and not text.startswith("#"):
            return [cell.strip() for cell in next(csv.reader([text]))]
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
        Path(name).chmod(target.stat().st_mode)
        Path(name).replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        if name:
            with contextlib.suppress(OSError):
                Path(name).unlink()
        raise AppendError(
            f"{path}: cannot be written ({error.strerror}); it is as it was"
        ) from None


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
