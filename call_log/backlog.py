"""What happens while the log fails, be it a full disk, a lock, or a database that is down.

Events are answered from memory, and their rows wait here. Each delivery waits once, with a count,
so that repeats take no room from others. The room is so many bytes, and what has a place keeps it.

When the server stops meanwhile, what waits is saved in a file next to the log, one JSON line a
delivery. A start that is cut short, or another server on the same log, may import it again: what
the log holds already is not counted twice, unless another repeat of it was kept in between.
"""

import base64
import glob
import json
import os
import uuid
from collections.abc import Callable, Iterable
from enum import Enum, auto
from itertools import islice
from pathlib import Path

from call_log.store import MAX_KEPT, Key, Row, Store, StoreError, utc

MAX_BYTES = 32 * 2**20

_ROW_BYTES = 1_000  # what a row takes without its body
_MAX_KEPT_BYTES = 2**20


class Condition(Enum):
    """How the log is doing."""

    OK = auto()
    FAILING = auto()  # requests do not wait for the writer
    CATCHING_UP = auto()  # they do again, but some rows are left here


class Backlog:
    """The condition of the log, and the rows to be kept later, in the order in which they came.

    The writer and the requests share it: they use it with the log's lock held.
    """

    def __init__(self) -> None:
        self.condition = Condition.OK
        self.unkept = self.dropped = 0
        self._rows: dict[Key, Row] = {}
        self._room = MAX_BYTES

    def __len__(self) -> int:
        return len(self._rows)

    def fail(self) -> bool:
        """Let no request wait for the writer; return whether the log was ok till now."""
        was_ok, self.condition = self.condition is Condition.OK, Condition.FAILING
        return was_ok

    def recover(self) -> bool:
        """Let requests wait for the writer again once the next turn can keep all that is left.

        Return whether the log is ok again, as nothing is left; under load, more is always queued.
        """
        if self.condition is Condition.FAILING and len(self) < MAX_KEPT:
            self.condition = Condition.CATCHING_UP
        has_recovered = self.condition is Condition.CATCHING_UP and not self._rows
        if has_recovered:
            self.condition = Condition.OK
        return has_recovered

    def add(self, row: Row) -> None:
        """Add a row, or count it with its like; it is dropped if there is no room for it."""
        if present := self._rows.get(row.key):
            self._rows[row.key] = present.with_repeat(row)
        elif _size(row) > self._room:
            self.dropped += 1
        else:
            self._rows[row.key] = row
            self._room -= _size(row)

    def oldest(self) -> list[Row]:
        """Return the rows to be kept next; they stay here until they are removed."""
        return _first(self._rows.values())

    def remove(self, rows: Iterable[Row]) -> None:
        """Remove rows as they were when they were taken; a repeat that came meanwhile stays."""
        for row in rows:
            if present := self._rows.pop(row.key, None):
                self._room += _size(row)
                if left := present.deliveries - row.deliveries:
                    self.add(present._replace(deliveries=left))

    def take_all(self) -> list[Row]:
        """Return and remove all rows."""
        rows, self._rows, self._room = list(self._rows.values()), {}, 0
        return rows


def _first(rows: Iterable[Row]) -> list[Row]:
    """Return the first rows: as many as any database keeps within its time for a statement."""
    some: list[Row] = []
    room = _MAX_KEPT_BYTES
    for row in islice(rows, MAX_KEPT):
        room -= _size(row)
        if some and room < 0:
            break
        some.append(row)
    return some


def _size(row: Row) -> int:
    """Return the bytes of memory, about."""
    return len(row.body) + len(row.reply) + _ROW_BYTES


def spill(store: Store, rows: list[Row], notify: Callable[[str], None]) -> int:
    """Write rows to a file for the next start; return how many are lost as that failed.

    Each file has a name of its own, so that no two servers write the same one.
    """
    prefix = store.spill_prefix
    path = prefix.with_name(f"{prefix.name}.unkept-{uuid.uuid4().hex}")
    try:
        _write_synced(path, b"".join(map(_line, rows)))
    except OSError as error:
        path.unlink(missing_ok=True)
        notify(
            f"events LOST: {len(rows)}; neither the call log nor a file next to it could"
            f" be written ({error.strerror})"
        )
        return len(rows)
    notify(f"events saved for the next start: {len(rows)}, in {path}")
    return 0


def import_spilled(store: Store, notify: Callable[[str], None]) -> None:
    """Keep what servers on this log saved when they stopped, and delete the files.

    A file of which a line cannot be read or kept stays as it is, and is reported. Raises
    `StoreError`.
    """
    prefix = store.spill_prefix
    for path in sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.unkept-*")):
        try:
            count = _import_file(store, path)
        except FileNotFoundError:  # another server was faster
            continue
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever somebody has put there
            notify(
                f"{path}: wanted a file of saved events, got {type(error).__name__}; it is left as"
                " it is: repair it and start again, or remove it"
            )
        else:
            notify(f"events that a server saved when it stopped, now in the call log: {count}")


def _import_file(store: Store, path: Path) -> int:
    rows = [_row(line) for line in path.read_bytes().splitlines()]
    left = rows
    while some := _first(left):
        left = left[len(some) :]
        ids = {row.reference_id for row in some}
        with store.transaction(ids):
            store.keep(some, store.purged(ids))
    path.unlink()
    return len(rows)


def _line(row: Row) -> bytes:
    body = base64.b64encode(row.body).decode()
    values = row._asdict() | {"sha256": row.sha256.hex(), "body": body}
    return json.dumps(values).encode() + b"\n"


def _row(line: bytes) -> Row:
    values = json.loads(line)
    values["sha256"] = bytes.fromhex(values["sha256"])
    values["body"] = base64.b64decode(values["body"], validate=True)
    row = Row(*(values[name] for name in Row._fields))
    # What would raise at each start once it was in the log raises now.
    row.to_event()
    row.wire.keys()
    row.body.decode()
    utc(row.first_seen)
    utc(row.last_seen)
    return row


def _write_synced(path: Path, content: bytes) -> None:
    path.touch(0o600)
    with path.open("r+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
