"""Rows that wait to be kept while the log fails: in memory, and in a file when the server stops.

Each delivery waits once, with a count, so that repeats take no room from others. The room is so
many bytes, and what has a place keeps it. The file lies next to the log, one JSON line a delivery.
A start that is cut short, or another server on the same log, may import it again: what the log
holds already is not counted twice, unless another server has kept a repeat of it in between.
"""

import base64
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from call_log.store import Key, Row, Store, anonymised, fails_for_all

MAX_BYTES = 32 * 2**20

_ROW_BYTES = 1_000  # what a row takes without its body
_MAX_PORTION_ROWS = 200
_MAX_PORTION_BYTES = 2**20
_SUFFIX = re.compile(r"\.unkept-[0-9a-f]{32}")


@dataclass(slots=True, eq=False)
class PendingRow:
    """A delivery that is not known to be in the log, and how often it came.

    `tried` of its deliveries, the last of them at `tried_seen`, may be there all the same: their
    commit failed, or its outcome is unknown.
    """

    row: Row
    tried: int = 0
    tried_seen: int = 0

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.row.body) + len(self.row.reply) + _ROW_BYTES

    def add(self, other: "PendingRow") -> None:
        """Count a repeat; the first reply stays."""
        count, last_seen = self.row.deliveries + other.row.deliveries, other.row.last_seen
        self.row = self.row._replace(deliveries=count, last_seen=last_seen)
        if other.tried:
            self.tried, self.tried_seen = self.tried + other.tried, other.tried_seen

    def mark_tried(self) -> None:
        """Note that a commit of all its deliveries is about to be tried."""
        self.tried, self.tried_seen = self.row.deliveries, self.row.last_seen

    def subtract_tried(self) -> None:
        """Count no longer the deliveries that were tried: they are in the log."""
        self.row = self.row._replace(deliveries=self.row.deliveries - self.tried)
        self.tried = 0


class Backlog:
    """Rows in the order in which they came, within so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._rows: dict[Key, PendingRow] = {}
        self._room = max_bytes

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, pending: PendingRow) -> bool:
        """Add a row, or count it with its like; false if there is no room for it."""
        if present := self._rows.get(pending.row.key):
            present.add(pending)
        elif pending.size > self._room:
            return False
        else:
            self._rows[pending.row.key] = pending
            self._room -= pending.size
        return True

    def oldest(self) -> list[PendingRow]:
        """Return the rows to be kept next, as many as go at once; they stay here until kept."""
        return next(_portions(self._rows.values()), [])

    def copies(self) -> list[PendingRow]:
        """Return copies of all rows: the writer may still be changing some of the originals."""
        return [replace(each) for each in self._rows.values()]

    def remove_kept(self, some: Iterable[PendingRow]) -> None:
        """Remove what was tried and is kept; a repeat that a request added meanwhile stays."""
        for each in some:
            each.subtract_tried()
            if not each.row.deliveries:
                self.remove(each)

    def remove(self, pending: PendingRow) -> None:
        """Remove a row, if it is here."""
        if self._rows.pop(pending.row.key, None) is not None:
            self._room += pending.size


def rows_to_keep(some: list[PendingRow], stored: Iterable[Row], purged: set[str]) -> list[Row]:
    """Return the rows to be written now, without personal data where the call was purged.

    `stored` is what the log holds of the same calls. What an earlier commit in doubt has kept after
    all is not counted again, but is written again: it may be its sync that failed.
    """
    done = _kept_after_all(some, stored) if any(each.tried for each in some) else set()
    rows = []
    for each in some:
        if each.row.key in done:
            each.subtract_tried()
        each.mark_tried()
        row = each.row
        rows.append(anonymised(row) if row.reference_id in purged else row)
    return rows


def _kept_after_all(some: Iterable[PendingRow], stored: Iterable[Row]) -> set[Key]:
    """Return which were tried and are there; repeats tried together have the last one's time."""
    seen = _seen(stored)
    return {each.row.key for each in some if each.tried and (each.row.key, each.tried_seen) in seen}


def _seen(stored: Iterable[Row]) -> set[tuple[Key, int]]:
    return {(row.key, row.last_seen) for row in stored}


def spill(store: Store, some: list[PendingRow], notify: Callable[[str], None]) -> int:
    """Write rows to a file for the next start; return how many are lost as that failed."""
    try:
        path = write(store.spill_prefix, some)
    except OSError as error:
        notify(
            f"events LOST: {len(some)}; neither the call log nor a file next to it could"
            f" be written ({error.strerror})"
        )
        return len(some)
    notify(f"events saved for the next start: {len(some)}, in {path}")
    return 0


def write(prefix: Path, some: Iterable[PendingRow]) -> Path:
    """Write rows to a new file, readable for its owner only, and sync it. Raises `OSError`.

    Each file has a name of its own, so that no two servers write the same one.
    """
    path = prefix.with_name(f"{prefix.name}.unkept-{uuid.uuid4().hex}")
    try:
        _write_synced(path, b"".join(map(_line, some)))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def import_spilled(store: Store, notify: Callable[[str], None]) -> None:
    """Keep what servers on this log wrote to files when they stopped, and delete the files.

    Lines that cannot be read, or that the database refuses, are put into a file that ends in
    `.unreadable` and reported; nothing is lost. Raises `StoreError`.
    """
    prefix = store.spill_prefix
    for path in sorted(prefix.parent.glob("*.unkept-*")):
        if _SUFFIX.fullmatch(path.name.removeprefix(prefix.name)):
            try:
                _import_file(store, path, notify)
            except FileNotFoundError:  # another server was faster
                pass
            except OSError as error:
                notify(
                    f"{path}: wanted a file of saved events, got {error.strerror}; they are not in"
                    " the call log until the file can be read at a start"
                )


def _import_file(store: Store, path: Path, notify: Callable[[str], None]) -> None:
    some, bad = _parsed(path.read_bytes())
    count = 0
    for portion in _portions(some):
        imported, refused = _import_portion(store, path, portion)
        count, bad = count + imported, bad + refused
    if bad:
        aside = path.with_name(f"{path.name}.unreadable")
        _write_synced(aside, b"".join(bad))
        notify(f"{aside}: wanted saved events, got lines that are none: {len(bad)}; inspect them")
    path.unlink(missing_ok=True)
    if count:
        notify(f"events that a server saved when it stopped, now in the call log: {count}")


def _import_portion(store: Store, path: Path, some: list[PendingRow]) -> tuple[int, list[bytes]]:
    """Keep some rows of a file; return how many were new, and the lines of those refused."""
    try:
        return _import_rows(store, path, [replace(each) for each in some]), []
    except Exception as error:
        if fails_for_all(error):
            raise
        if len(some) == 1:
            return 0, [_line(some[0])]
    results = [_import_portion(store, path, [each]) for each in some]
    return sum(count for count, _ in results), [line for _, lines in results for line in lines]


def _import_rows(store: Store, path: Path, some: list[PendingRow]) -> int:
    """Keep rows in one transaction, and return how many the log did not hold.

    Other servers may be importing the same file. With the locks of its calls held, a row that was
    seen last at the very same time is this row: an earlier import has kept it. A file that is gone
    has been imported whole; then its rows may have been counted on, and are left alone.
    """
    ids = {each.row.reference_id for each in some}
    with store.transaction(ids):
        if not path.exists():
            return 0
        stored, purged = store.rows(ids, bodies=False), store.purged(ids)
        seen = _seen(stored)
        for each in some:
            if (each.row.key, each.row.last_seen) in seen:
                each.mark_tried()
        rows = rows_to_keep(some, stored, purged)
        store.keep(rows)
    return sum(row.deliveries > 0 for row in rows)


def _portions(some: Iterable[PendingRow]) -> Iterator[list[PendingRow]]:
    """Yield as many at a time as a database keeps within its time limit for a statement."""
    portion: list[PendingRow] = []
    size = 0
    for each in some:
        if portion and (len(portion) == _MAX_PORTION_ROWS or size + each.size > _MAX_PORTION_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(each)
        size += each.size
    if portion:
        yield portion


def _line(pending: PendingRow) -> bytes:
    values: dict[str, Any] = pending.row._asdict()
    values["sha256"] = pending.row.sha256.hex()
    values["body"] = base64.b64encode(pending.row.body).decode()
    values |= {"tried": pending.tried, "tried_seen": pending.tried_seen}
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _parsed(text: bytes) -> tuple[list[PendingRow], list[bytes]]:
    """Return the rows in a file, and the lines of it that hold none."""
    some, bad = [], []
    for line in text.splitlines():
        try:
            some.append(_pending(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            bad.append(line + b"\n")
    return some, bad


def _pending(values: dict[str, Any]) -> PendingRow:
    tried, tried_seen = values.pop("tried"), values.pop("tried_seen")
    values["sha256"] = bytes.fromhex(values["sha256"])
    values["body"] = base64.b64decode(values["body"], validate=True)
    row = Row(**values)
    if not all(isinstance(getattr(row, name), kind) for name, kind in Row.__annotations__.items()):
        raise TypeError
    if not (isinstance(row.wire, dict) and type(tried) is type(tried_seen) is int):
        raise TypeError
    row.to_event()  # raises ValueError for a number that is none
    return PendingRow(row, tried, tried_seen)


def _write_synced(path: Path, content: bytes) -> None:
    with open(path, "wb", opener=_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
