"""Splits the lines of an allow-list into rows of CSV, and reads the header.

One line is one row: a cell never spans lines, so that a quote left open cannot swallow the rows
below it. What spreadsheet programs leave behind is no row: lines in which every cell is empty, and
comments that they have put in quotes. No I/O.
"""

import csv
import re
from collections.abc import Iterable, Iterator

import phone
from routing import RowFault

_NUMBERS = ("to", "from", "destination", "caller_id_number")
_TEXTS = ("greeting", "language", "external_id", "send_dtmf")
COLUMNS = (*_NUMBERS, "max_call_duration", "expires", "note", *_TEXTS)
NO_LINE_END = "wanted a line end after the last row, got none: the file may be incomplete"
_FORMULA_ERROR = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!|ERROR!)")
_OPEN_QUOTE = "unexpected end of data"  # the words of Python's csv module
# What the csv module only splits at commas: to make a reader for a line takes longer than to read.
_PLAIN = re.compile('[^"\r\n]{1,131072}')


class RowError(ValueError):
    """A row cannot be used; the message says which column, what was wanted and what was got."""


def rows(lines: Iterable[str], faults: list[RowFault]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with its line number; add a fault for each line that is not CSV."""
    for line, text in enumerate(lines, start=1):
        if not text.strip() or _is_comment(text):
            continue
        try:
            is_plain = _PLAIN.fullmatch(text)
            cells = text.split(",") if is_plain else next(csv.reader((text,), strict=True))
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
