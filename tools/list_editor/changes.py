"""Does changes of rows to the lines of an allow-list, of which all others stay byte for byte.

Comments, order and line ends stay too. No I/O.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from allow_list.rows import NO_LINE_END, rows
from phone import PhoneNumber
from routing import AllowListError, Route, RowFault

_NATIONAL_DIGITS = 10

Cells = dict[str, str]


@dataclass(frozen=True, slots=True)
class RowChanges:
    """What to do to the rows of a list.

    The `line` of a changed route says which row it takes the place of; `removed` are lines.
    """

    added: tuple[Route, ...] = ()
    changed: tuple[Route, ...] = ()
    removed: frozenset[int] = frozenset()


def apply(changes: RowChanges, lines: Sequence[str], *, note: str) -> list[str]:
    """Return the lines of a list, with their ends, after the changes.

    An added row is given the note; a changed one keeps its note and its duration. Raises
    `AllowListError` if the last line has no end or the header lacks a column that a row needs.
    """
    if lines and not lines[-1].endswith(("\n", "\r")):
        raise AllowListError([RowFault(len(lines), NO_LINE_END)])
    new = (*changes.added, *changes.changed)
    has_own_masks = any(route.masking_id != route.dialled for route in new)
    header = columns(lines, has_masks=has_own_masks) if new else []
    changed = {
        route.line: _change_line(lines[route.line - 1], route, header) for route in changes.changed
    }
    kept = [
        changed.get(number, line)
        for number, line in enumerate(lines, start=1)
        if number not in changes.removed
    ]
    end = _end(lines[0]) if lines else "\n"
    return [*kept, *(_row(_cells(route) | {"note": note}, header) + end for route in changes.added)]


def columns(lines: Sequence[str], *, has_masks: bool) -> list[str]:
    """Return the columns of a list. Raises `AllowListError` unless a route has room in them.

    With `has_masks`, there are routes whose masking ID is another number than their `to`.
    """
    bare = (line.rstrip("\r\n") for line in lines)
    line, cells = next(rows(bare, []), (0, []))
    header = [cell.strip() for cell in cells]
    needed = ("from", "destination", *(("caller_id_number",) if has_masks else ()), "expires")
    missing = [column for column in needed if column not in header]
    if missing:
        wanted = f"wanted the columns {', '.join(missing)} in the header too"
        raise AllowListError([RowFault(line, f"{wanted}, got {', '.join(header) or 'none'}")])
    return header


def _change_line(line: str, route: Route, header: list[str]) -> str:
    """Return the line with the cells of the route; those that a route does not name stay."""
    (before,) = csv.reader([line])
    return _row(dict(zip(header, before, strict=True)) | _cells(route), header) + _end(line)


def _cells(route: Route) -> Cells:
    ends = route.expires.isoformat().replace("+00:00", "Z") if route.expires else ""
    return {
        "to": _cell(route.dialled),
        "from": _cell(route.caller) if route.caller else "",
        "destination": _cell(route.destination),
        "caller_id_number": _cell(route.masking_id),
        "expires": ends,
    }


def _cell(number: PhoneNumber) -> str:
    """Return a number as a cell: a + says of ten digits that their country code is there."""
    return f"+{number}" if len(number) == _NATIONAL_DIGITS else number


def _row(cells: Cells, header: list[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow([cells.get(column, "") for column in header])
    return written.getvalue()


def _end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
