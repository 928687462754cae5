"""Splits the lines of an allow-list into rows of CSV, and reads the header.

One line is one row: a cell never spans lines, so that a quote left open cannot swallow the rows
below it. What spreadsheet programs leave behind is no row: lines in which every cell is empty, and
comments that they have put in quotes.

And back: `apply` does changes of rows to the lines, of which all others stay byte for byte:
comments, order and line ends. No I/O.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import phone
from phone import PhoneNumber
from routing import AllowListError, Route, RowFault

COLUMNS = ("to", "from", "destination", "caller_id_number", "max_call_duration", "expires", "note")
NO_LINE_END = "wanted a line end after the last row, got none: the file may be incomplete"
_FORMULA_ERROR = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!|ERROR!)")
_OPEN_QUOTE = "unexpected end of data"  # the words of Python's csv module
_NATIONAL_DIGITS = 10

Cells = dict[str, str]


class RowError(ValueError):
    """A row cannot be used; the message says which column, what was wanted and what was got."""


def rows(lines: Iterable[str], faults: list[RowFault]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with its line number; add a fault for each line that is not CSV."""
    for line, text in enumerate(lines, start=1):
        if not text.strip() or _is_comment(text):
            continue
        try:
            cells = next(csv.reader((text,), strict=True))
        except csv.Error as error:
            is_open = str(error) == _OPEN_QUOTE
            got = "a quote that is not closed in the same line" if is_open else str(error)
            faults.append(RowFault(line, f"wanted one row of CSV, got: {got}"))
        else:
            if _is_row(cells):
                yield line, cells


def _is_row(cells: list[str]) -> bool:
    """Whether this is neither an empty row nor a comment, as spreadsheet programs save them."""
    first = cells[0].lstrip()
    return not _is_comment(first) and (first != "" or any(map(str.strip, cells)))


def _is_comment(text: str) -> bool:
    """Whether it begins with `#`; a formula's error does too, and must not hide its row."""
    return text.startswith("#") and not _FORMULA_ERROR.match(text)


def header(cells: list[str]) -> list[str]:
    """Return the names of the columns; one without a name gets its position. Raises `RowError`."""
    cells = [cell.strip() for cell in cells]
    names = list(filter(None, cells))
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        hint = "; separate columns with commas" if {";", "\t"} & set(unknown[0]) else ""
        shown = ", ".join(repr(phone.mask_digits(name)) for name in unknown)
        raise RowError(f"unknown column {shown}: wanted {', '.join(COLUMNS)}{hint}")
    if "to" not in names:
        raise RowError(f"wanted a column `to`, got {', '.join(names)}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RowError(f"wanted each column only once, got {', '.join(repeated)} again")
    return [cell or f"cell {position}" for position, cell in enumerate(cells, start=1)]


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
