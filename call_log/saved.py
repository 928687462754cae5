"""The files in which a server that stops saves what its log could not take.

One JSON line a delivery, in a file of its own beside the log. A start that is cut short, or another
server on the same log, may take it in again: what the log holds already is not counted twice,
unless another repeat of it was kept in between.
"""

import base64
import glob
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from call_log.store import NEWER_COLUMNS, Row, Store, StoreError, first_portion


def save(store: Store, rows: list[Row], notify: Callable[[str], None]) -> int:
    """Write rows to a file for the next start; return how many are lost as that failed.

    Each file has a name of its own, so that no two servers write the same one.
    """
    prefix = store.saved_prefix
    path = prefix.with_name(f"{prefix.name}.unkept-{uuid.uuid4().hex}")
    try:
        _write_synced(path, b"".join(map(_line, rows)))
    except OSError as error:
        path.unlink(missing_ok=True)
        notify(
            f"events LOST: {len(rows)}; neither log nor file could be written ({error.strerror})"
        )
        return len(rows)
    notify(f"events saved for the next start: {len(rows)}, in {path}")
    return 0


def files_of(store: Store) -> list[Path]:
    """Return the files that were saved for this log and are not taken in yet."""
    prefix = store.saved_prefix
    return sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.unkept-*"))


def take_in(store: Store, notify: Callable[[str], None]) -> None:
    """Keep what servers on this log saved when they stopped, and delete the files.

    A file of which a line cannot be read or kept stays as it is, and is reported. Raises
    `StoreError`.
    """
    for path in files_of(store):
        try:
            count = _take_in_file(store, path)
        except FileNotFoundError:  # another server was faster
            continue
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever somebody has put there
            got = f"got {type(error).__name__}; repair it and start again, or remove it"
            notify(f"{path}: wanted a file of saved events, {got}")
        else:
            notify(f"events that a server saved when it stopped, now in the call log: {count}")


def _take_in_file(store: Store, path: Path) -> int:
    rows = [_row(line) for line in path.read_bytes().splitlines()]
    left = rows
    while some := first_portion(left, lambda row: len(row.body)):
        left = left[len(some) :]
        ids = {row.reference_id for row in some}
        with store.transaction(ids):
            store.keep(some, store.find_purged(ids))
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
    # Of an older program the newer members are missing.
    row = Row(**(dict.fromkeys(NEWER_COLUMNS) | values))
    # What would raise at each start once it was in the log raises now.
    row.to_stored().reply.keys()
    return row


def _write_synced(path: Path, content: bytes) -> None:
    path.touch(0o600)
    with path.open("r+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
