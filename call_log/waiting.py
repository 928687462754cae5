"""What waits to be kept while the log fails: in memory, and in a file when the server stops.

Each delivery waits once, with a count, so that repeats take no room from others. The room is so
many bytes, and who has it keeps it. The file lies beside the log, one JSON line a delivery; what is
in it is kept once, however often it is begun, and by whichever of the servers on one log.
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

from call_log.store import RefusedError, Row, Store, StoreError, emptied, fingerprint

MAX_BYTES = 32 * 2**20

_ROW_BYTES = 1_000  # what a row takes beside its body
_MAX_ROWS_AT_ONCE = 200
_MAX_BYTES_AT_ONCE = 2**20
_NAME = re.compile(r"\.unkept-[0-9a-f]{32}")

Key = tuple[str, str, bytes]


@dataclass(slots=True, eq=False)
class Unkept:
    """A delivery that is not known to be in the log, and how often it came.

    `tried` of its deliveries, the last of them at `tried_seen`, may be there all the same: their
    commit seemed to fail, or was never heard of.
    """

    row: Row
    tried: int = 0
    tried_seen: int = 0

    @property
    def key(self) -> Key:
        """What its repeats share."""
        return _key(self.row)

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.row.body) + len(self.row.reply) + _ROW_BYTES

    def add(self, other: "Unkept") -> None:
        """Count a repeat; the first reply stays."""
        count, last_seen = self.row.deliveries + other.row.deliveries, other.row.last_seen
        self.row = self.row._replace(deliveries=count, last_seen=last_seen)
        if other.tried:
            self.tried, self.tried_seen = self.tried + other.tried, other.tried_seen

    def subtract_tried(self) -> None:
        """Count no longer what was tried: it is kept."""
        self.row = self.row._replace(deliveries=self.row.deliveries - self.tried)
        self.tried = 0


class Waiting:
    """Deliveries that wait, the first one first."""

    def __init__(self, max_bytes: int) -> None:
        self._line: dict[Key, Unkept] = {}
        self._room = max_bytes

    def __len__(self) -> int:
        return len(self._line)

    def add(self, unkept: Unkept) -> bool:
        """Let a delivery wait, or count it with its like; false if there is no room for it."""
        if there := self._line.get(unkept.key):
            there.add(unkept)
        elif unkept.size > self._room:
            return False
        else:
            self._line[unkept.key] = unkept
            self._room -= unkept.size
        return True

    def first(self) -> list[Unkept]:
        """Return those who have waited longest, as many as are kept at once; they still wait."""
        return next(_portions(self._line.values()), [])

    def all(self) -> list[Unkept]:
        """Return copies of all that wait: the writer may still be at work on some."""
        return [replace(each) for each in self._line.values()]

    def kept(self, some: Iterable[Unkept]) -> None:
        """Let go of what was tried and is kept; what came meanwhile waits on."""
        for each in some:
            each.subtract_tried()
            if not each.row.deliveries:
                self.drop(each)

    def drop(self, unkept: Unkept) -> None:
        """Let one go."""
        if self._line.pop(unkept.key, None) is not None:
            self._room += unkept.size


def rows_to_keep(some: list[Unkept], there: Iterable[Row], purged: set[str]) -> list[Row]:
    """Return the rows to be written now; of a call that was purged nothing that is anybody's.

    `there` is what the log holds of the same calls. What a commit in doubt has kept after all is
    written again, since its sync may be what failed, and not counted again.
    """
    done = _done(some, there) if any(each.tried for each in some) else set()
    rows = []
    for each in some:
        if done and each.key in done:
            each.subtract_tried()
        row = each.row
        each.tried, each.tried_seen = row.deliveries, row.last_seen
        rows.append(emptied(row) if row.reference_id in purged else row)
    return rows


def _done(some: Iterable[Unkept], there: Iterable[Row]) -> set[Key]:
    """Return which were tried and are there; repeats tried together have the last one's time."""
    seen = {(_key(row), row.last_seen) for row in there}
    return {each.key for each in some if each.tried and (each.key, each.tried_seen) in seen}


def beside(store: Store) -> Path:
    """Return where the files of a log begin: its own path, or for a database server's a name.

    That one is in the state directory that systemd gives, else where the process works.
    """
    if store.file is not None:
        return Path(store.file)
    folder = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(folder).resolve() / f"postgresql-{fingerprint(store.name)[:12]}"


def write(begin: Path, some: Iterable[Unkept]) -> Path:
    """Write what waits to a new file, for its owner only, synced. Raises `OSError`.

    No two servers write the same file: each has a name of its own.
    """
    path = begin.with_name(f"{begin.name}.unkept-{uuid.uuid4().hex}")
    try:
        _write_synced(path, b"".join(map(_line, some)))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def take_in(store: Store, tell: Callable[[str], None]) -> None:
    """Keep what servers on this log have left in files when they stopped.

    What cannot be read, or is refused, is put into a file of another name and told; nothing is
    lost. Raises `StoreError`.
    """
    begin = beside(store)
    for path in sorted(begin.parent.glob("*.unkept-*")):
        if _NAME.fullmatch(path.name.removeprefix(begin.name)):
            try:
                _take_in(store, path, tell)
            except FileNotFoundError:  # another server was faster
                pass
            except OSError as error:
                tell(f"{path}: events in it are not in the call log: {error.strerror}")


def _take_in(store: Store, path: Path, tell: Callable[[str], None]) -> None:
    file = _File(store, path)
    some, bad = _parsed(path.read_bytes())
    taken = sum(file.keep(portion, bad) for portion in _portions(some))
    if bad:
        aside = path.with_name(f"{path.name}.unreadable")
        _write_synced(aside, b"".join(bad))
        tell(f"{aside}: wanted events to keep, got {len(bad)} line(s) that are none; see to them")
    path.unlink(missing_ok=True)
    file.unmark()
    if taken:
        tell(f"{taken} event(s) that waited when a server stopped are kept now")


class _File:
    """A file that is taken in portion by portion, each with a mark that it was, in one transaction.

    A server that is ended between two portions, or before it deletes the file, leaves the marks. Of
    two servers that take in one file at once, each keeps what the other has not. The marks go after
    the file: so where there is neither mark nor file, everything is kept.
    """

    def __init__(self, store: Store, path: Path) -> None:
        self._store, self._path = store, path
        self._marks: list[str] = []

    def keep(self, some: list[Unkept], bad: list[bytes]) -> int:
        """Keep a portion and return how many were kept by this; what is refused is bad."""
        mark = f"{self._path.name} {some[0].key} {len(some)}"
        ids = {each.row.reference_id for each in some}
        self._marks.append(mark)
        lines = list(map(_line, some))  # as they are now: what is tried is noted in them
        try:
            with self._store.transaction([mark, *ids]):
                if not self._store.mark(mark) or not self._path.exists():
                    return 0
                there, purged = self._store.rows(ids, bodies=False), self._store.purged(ids)
                self._store.keep(rows_to_keep(some, there, purged))
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, RefusedError):
                raise
            if len(some) == 1:
                bad.append(lines[0])
                return 0
            again, _ = _parsed(b"".join(lines))
            return sum(self.keep([each], bad) for each in again)
        return len(some)

    def unmark(self) -> None:
        self._store.unmark(self._marks)


def _portions(some: Iterable[Unkept]) -> Iterator[list[Unkept]]:
    """Yield as many at a time as a database takes in one statement in good time."""
    portion: list[Unkept] = []
    size = 0
    for each in some:
        if portion and (len(portion) == _MAX_ROWS_AT_ONCE or size + each.size > _MAX_BYTES_AT_ONCE):
            yield portion
            portion, size = [], 0
        portion.append(each)
        size += each.size
    if portion:
        yield portion


def _key(row: Row) -> Key:
    return row.reference_id, row.event, row.sha256


def _line(unkept: Unkept) -> bytes:
    values: dict[str, Any] = unkept.row._asdict()
    values["sha256"] = unkept.row.sha256.hex()
    values["body"] = base64.b64encode(unkept.row.body).decode()
    values |= {"tried": unkept.tried, "tried_seen": unkept.tried_seen}
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _parsed(text: bytes) -> tuple[list[Unkept], list[bytes]]:
    """Return the deliveries in a file, and the lines of it that hold none."""
    some, bad = [], []
    for line in text.splitlines():
        try:
            some.append(_unkept(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            bad.append(line + b"\n")
    return some, bad


def _unkept(values: dict[str, Any]) -> Unkept:
    tried, tried_seen = values.pop("tried"), values.pop("tried_seen")
    values["sha256"] = bytes.fromhex(values["sha256"])
    values["body"] = base64.b64decode(values["body"], validate=True)
    row = Row(**values)
    if not all(isinstance(getattr(row, name), kind) for name, kind in Row.__annotations__.items()):
        raise TypeError
    if not (isinstance(row.wire, dict) and type(tried) is type(tried_seen) is int):
        raise TypeError
    row.told()  # raises ValueError for a number that is none
    return Unkept(row, tried, tried_seen)


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
