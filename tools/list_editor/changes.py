"""Does changes of rows to the lines of an allow-list, of which all others stay byte for byte.

Comments, order and line ends stay too, and of a changed row the cells that are not changed. Columns
that the header lacks are added at its end. No I/O.
"""

import csv
import io
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from allow_list.rows import COLUMNS, NO_LINE_END, rows
from phone import NATIONAL_DIGITS, PhoneNumber
from routing import AllowList, AllowListError, Route, RowFault

_CELL = re.compile(r'(?:^|,)("(?:[^"]|"")*"|[^,]*)')

Cells = dict[str, str]
Edit = Callable[[list[str], AllowList], list[str]]
"""Returns the lines of a list, with their ends, as they are to be, from them and their list."""


@dataclass(frozen=True, slots=True)
class RowChanges:
    """What to do to the rows of a list.

    `changed` has for a line the cells that it gets, by column; `removed` are lines.
    """

    added: tuple[Route, ...] = ()
    changed: Mapping[int, Cells] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()


def apply(changes: RowChanges, lines: Sequence[str], *, note: str) -> list[str]:
    """Return the lines of a list, with their ends, after the changes.

    An added row is given the note, if there is a column for it. Raises `AllowListError` if the last
    line has no end, there is no header, or a row would be read as a comment.
    """
    if lines and not lines[-1].endswith(("\n", "\r")):
        raise AllowListError([RowFault(len(lines), NO_LINE_END)])
    added = [_cells(route) for route in changes.added]
    new = [*added, *changes.changed.values()]
    if not new:
        return _without(changes.removed, lines)
    lines = widen(lines, {column for cells in new for column in _needed_columns(cells)})
    header = columns(lines)
    for number, cells in changes.changed.items():
        lines[number - 1] = _check_line(_change_line(lines[number - 1], cells, header), header)
    _, end = _split_end(lines[0])
    for cells in added:
        row = cells | {"note": note}
        lines.append(_check_line(_line_of(row, header) + end, header))
    return _without(changes.removed, lines)


def columns(lines: Sequence[str]) -> list[str]:
    """Return the columns of a list. Raises `AllowListError` if it has no header."""
    _, header = next(_rows(lines), (0, []))
    if not header:
        message = f"wanted a header line ({','.join(COLUMNS)}), got none"
        raise AllowListError([RowFault(0, message)])
    return [cell.strip() for cell in header]


def widen(lines: Sequence[str], needed: Container[str]) -> list[str]:
    """Return the lines with the needed columns that the header lacks, which are empty, at its end.

    Raises `AllowListError` if there is no header.
    """
    header = columns(lines)
    missing = [column for column in COLUMNS if column in needed and column not in header]
    if not missing:
        return [*lines]
    places = [number for number, _ in _rows(lines)]
    more = dict.fromkeys(places, "," * len(missing)) | {places[0]: f",{','.join(missing)}"}
    parts = enumerate(map(_split_end, lines), start=1)
    return [f"{bare}{more.get(number, '')}{end}" for number, (bare, end) in parts]


def undo(before: Sequence[str], after: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Return the lines without the change that made `after` of `before`; others may have made more.

    Rows that were added go, whatever others did to them: they are known by whom they connect. Of
    those that were changed or removed what was there comes back, unless others have changed them or
    put a row in their place. Columns that were added stay, for others may have filled them.
    """
    if list(lines) == list(after):
        return [*before]
    old, new = _by_key(before), _by_key(after)
    added = {key: row for key, row in new.items() if key not in old}
    changed = {key: old[key] for key, row in new.items() if key in old and row != old[key]}
    header = columns(lines)
    _, end = _split_end(lines[0])
    rows_by_line = dict(_rows(lines))
    kept: list[str] = []
    for number, line in enumerate(lines, start=1):
        row = _named(header, rows_by_line.get(number, []))
        key = _key(row)
        if key in added and row.get("destination") == added[key].get("destination"):
            continue
        is_ours = key in changed and row == new[key]
        kept.append(_line_of(changed[key], header) + end if is_ours else line)
    there = _by_key(kept).keys()
    places = [number for number, _ in _rows(before)]
    for place, (key, row) in zip(places[1:], old.items(), strict=True):
        if key not in new and key not in there:
            kept.insert(place - 1, _line_of(row, header) + end)
    return kept


def _by_key(lines: Sequence[str]) -> dict[tuple[str, str], Cells]:
    """Return the cells of each row that are not empty, by its `to` and `from`."""
    header = columns(lines)
    rows_below = (_named(header, row) for _, row in [*_rows(lines)][1:])
    return {_key(row): row for row in rows_below}


def _named(header: Sequence[str], row: Sequence[str]) -> Cells:
    cells = zip(header, map(str.strip, row), strict=False)
    return {column: text for column, text in cells if column and text}


def _key(row: Cells) -> tuple[str, str]:
    return row.get("to", ""), row.get("from", "")


def _line_of(row: Cells, header: Sequence[str]) -> str:
    return _csv([row.get(column, "") for column in header])


def time_cell(moment: datetime) -> str:
    """Return a time, in UTC, as a cell."""
    return moment.isoformat().replace("+00:00", "Z")


def number_cell(number: PhoneNumber) -> str:
    """Return a number as a cell: a + says of ten digits that their country code is there."""
    return f"+{number}" if len(number) == NATIONAL_DIGITS else number


def _without(removed: Container[int], lines: Sequence[str]) -> list[str]:
    return [line for number, line in enumerate(lines, start=1) if number not in removed]


def _rows(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and each row, as they are read, with their line numbers."""
    return rows((line.rstrip("\r\n") for line in lines), [])


def _needed_columns(cells: Cells) -> Iterator[str]:
    """Yield the columns without which a row would say something else."""
    for column, text in cells.items():
        is_usual = column == "caller_id_number" and text == cells.get("to")
        if text and not is_usual:
            yield column


def _change_line(line: str, cells: Cells, header: list[str]) -> str:
    bare, end = _split_end(line)
    found = _CELL.findall(bare)
    for column, text in cells.items():
        found[header.index(column)] = _csv([text])
    return ",".join(found) + end


def _check_line(line: str, header: list[str]) -> str:
    """Return the line of a row. Raises `AllowListError` if it would be read as a comment."""
    if next(_rows([line]), None) is None:
        (text, *_) = next(csv.reader([line]))
        wanted = f"wanted another column in front of {header[0]}, got {text!r} in it"
        message = f"{wanted}: a row that begins with # is a comment; move the column"
        raise AllowListError([RowFault(0, message)])
    return line


def _cells(route: Route) -> Cells:
    return {
        "to": number_cell(route.dialled),
        "from": number_cell(route.caller) if route.caller else "",
        "destination": number_cell(route.destination),
        "caller_id_number": number_cell(route.masking_id),
        "expires": time_cell(route.expires) if route.expires else "",
        "greeting": route.greeting or "",
        "external_id": route.dial.external_id or "",
    }


def _csv(cells: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(cells)
    return written.getvalue()


def _split_end(line: str) -> tuple[str, str]:
    bare = line.rstrip("\r\n")
    return bare, line[len(bare) :]
