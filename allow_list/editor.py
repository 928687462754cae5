"""Adds the two routes of a masked session to the allow-list that people edit.

The file is the old one or the new one at every moment, never half: the new one is written beside
it, checked by every rule of a start and then put in its place. Comments, order and line ends stay.
Two writers at once wait for each other. All of that can be tried out before there is anything to
add.
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

from allow_list.reader import rows
from allow_list.reload import Stamp, stamp_of
from routing import AllowList, Route

try:
    import fcntl
except ImportError:  # not on this system: then one writer at a time is up to the operator
    fcntl = None  # type: ignore[assignment]

_NEEDED = ("to", "from", "destination", "caller_id_number", "expires")
_BOM = "\ufeff"
_MAX_TRIES = 3
_SPARE_BYTES = 4096  # more than two rows and their note take

Parse = Callable[[list[str]], AllowList]


class AppendError(Exception):
    """The routes cannot be added; the file is as it was. The message says why and what to do."""


def check(path: Path) -> None:
    """Raise `AppendError` unless routes can be added to the file, as far as can be known before.

    Adding is tried out as well, so that nothing is found in the way only when there are routes to
    add. The file is the same one afterwards.
    """
    with _alone(path):
        _while_still(path, lambda stamp: _rehearse(path, _addable(path), stamp))


def append(path: Path, routes: list[Route], parse: Parse, *, now: datetime, note: str) -> None:
    """Add routes to the file, in place of expired rows of the same two people or the same masks.

    `parse` reads an allow-list from its lines by every rule and raises `AllowListError`, which is
    passed on. Raises `AppendError` if the file cannot be read or written.
    """

    def add(stamp: Stamp) -> bool:
        new = _with(_addable(path), routes, parse, now=now, note=note)
        return _replace(path, new, stamp)

    with _alone(path):
        _while_still(path, add)


def _while_still(path: Path, work: Callable[[Stamp], bool]) -> None:
    """Do the work, and again while somebody else changes the file under it."""
    for _ in range(_MAX_TRIES):
        if work(stamp_of(path)):
            return
    raise AppendError(f"{path}: is changed again and again by somebody else; it is as they left it")


def _addable(path: Path) -> str:
    """Return the text of the file. Raises `AppendError` if its header has no room for a route."""
    text = _text(path)
    header = _header(text)
    missing = [column for column in _NEEDED if column not in header]
    if missing:
        raise AppendError(f"{path}: wanted the columns {', '.join(missing)} in the header too")
    return text


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
    return parse(_bare_lines(text))


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


def _rehearse(path: Path, text: str, stamp: Stamp) -> bool:
    """Put the very same text in the place of the file, and then the file itself back.

    This proves what no look at rights does: that the lock and a new file beside it can be made,
    that the disk has room for the text and some rows more, and that the file can be replaced: one
    that is mounted by itself, is immutable, or is another's in a sticky folder cannot. It does not
    prove that all this is so for ever. Readers find the same text at every moment. The file that
    comes back has its inode, times and owner, so the server, which looks at these four times a
    second, hardly ever notices. Where it cannot be kept, the copy stays, with its times and, if we
    may, its owner: then the server reads the same text once more.
    """
    target = path.resolve()
    kept = _second_name(target)
    try:
        is_done = _replace(path, text, stamp, rehearsal=True)
        if is_done and kept is not None:
            with contextlib.suppress(OSError):
                kept.replace(target)
        return is_done
    finally:
        if kept is not None:
            _remove(kept)


def _second_name(target: Path) -> Path | None:
    """Return a second name of the file, under which it stays when it is replaced."""
    kept = target.with_name(f".{target.name}.kept.new")
    try:
        kept.hardlink_to(target)
    except (OSError, NotImplementedError):  # a file system without, or a file of somebody else's
        return None
    return kept


def _replace(path: Path, text: str, stamp: Stamp, *, rehearsal: bool = False) -> bool:
    """Put the text in the place of the file; return whether it still was as its stamp says."""
    target, new = path.resolve(), None
    try:
        new = _write_beside(target, text.encode(), spare=_SPARE_BYTES if rehearsal else 0)
        _pass_on_rights(target, new, times=rehearsal)
        if stamp_of(path) != stamp:
            return False
        new.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise AppendError(
            f"{path}: cannot be written ({error.strerror}); it is as it was"
        ) from None
    finally:
        if new is not None:
            _remove(new)
    return True


def _remove(path: Path) -> None:
    """Remove a file of ours, if it is there: it holds numbers."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _write_beside(target: Path, content: bytes, *, spare: int) -> Path:
    """Write a new file in the same folder, on the disk before it is seen."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content + b"\n" * spare)
            file.flush()
            os.fsync(handle)
            file.truncate(len(content))
            os.fsync(handle)
    except BaseException:
        _remove(Path(name))
        raise
    return Path(name)


def _pass_on_rights(old: Path, new: Path, *, times: bool) -> None:
    """Give the new file the old one's rights and, if we may, its owner: the server reads it."""
    found = old.stat()
    new.chmod(found.st_mode)
    if times:
        os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
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
        with (target.parent / f".{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Kept in another descriptor, so that what goes wrong below is not taken for the lock's.
            held = os.dup(lock.fileno())
    except OSError as error:
        raise AppendError(f"{path}: cannot be locked ({error.strerror}); it is as it was") from None
    try:
        for left in target.parent.glob(f".{target.name}.*.new"):
            _remove(left)  # of a writer that was killed
        yield
    finally:
        os.close(held)
