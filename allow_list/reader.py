"""Reads the CSV file that people edit into an `AllowList`, or lists everything that is wrong in it.

What spreadsheet programs leave behind is nothing: rows and columns in which no cell holds anything.
One line is one row: a cell never spans lines, so that a quote left open cannot swallow the rows
below it, and a row cut short (a file half-written) never passes for a whole one.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path

import phone
from commands import MAX_CALL_SECONDS, Dial
from phone import PhoneNumber
from routing import AllowList, AllowListError, Route, RowFault

COLUMNS = (
    "to",
    "from",
    "destination",
    "caller_id_number",
    "max_call_duration",
    "expires",
    "note",
)
_NAMES = frozenset(COLUMNS)
_NUMBERS_BESIDE_TO = ("from", "destination", "caller_id_number")

Cells = dict[str, str]


class _CellError(ValueError):
    """One cell is wrong; the message names its column, what was wanted and what was got."""


@dataclass(frozen=True, slots=True)
class RowDefaults:
    """What the settings say for rows that say nothing themselves."""

    caller_id_number: PhoneNumber | None = None
    max_call_duration_s: int | None = None
    home_country_code: str = ""


def read(path: Path, defaults: RowDefaults, *, only_fictional: bool) -> AllowList:
    """Read the file. Raises `AllowListError` with all faults, also when there is no such file.

    With `only_fictional`, as long as requests are not verified, one real number is a fault.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        wanted = f"wanted a CSV file, got: {error.strerror}; allow_list names the file"
        raise AllowListError([RowFault(0, wanted)], unread=True) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = "wanted UTF-8 text, got another encoding; save the file again as 'CSV UTF-8'"
        raise AllowListError([RowFault(line, message)]) from None
    if text and not text.endswith("\n"):
        message = "wanted a line end after the last row, got none: it may be cut short"
        raise AllowListError([RowFault(text.count("\n") + 1, message)])
    return parse(_lines(text), defaults, only_fictional=only_fictional)


def _lines(text: str) -> Iterator[str]:
    """Yield one line after the other, so that a long file is not in memory twice.

    Only a line feed ends one: a form feed in a comment, as `splitlines` has it, begins no row.
    """
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1


def parse(lines: Iterable[str], defaults: RowDefaults, *, only_fictional: bool) -> AllowList:
    """Read an allow-list from its lines. Raises `AllowListError` with all faults at once.

    Rows in which no cell holds anything, and those whose first cell begins with `#`, are passed
    over; the first other one is the header.
    """
    faults: list[RowFault] = []
    routes = _routes(lines, defaults, faults)
    if only_fictional:
        routes = _noting_real_numbers(routes, faults)
    try:
        allow_list = AllowList(routes, default_masking_id=defaults.caller_id_number)
    except AllowListError as error:
        raise AllowListError([*faults, *error.faults]) from None
    if faults:
        raise AllowListError(faults)
    return allow_list


def _routes(lines: Iterable[str], defaults: RowDefaults, faults: list[RowFault]) -> Iterator[Route]:
    """Yield the rows that are well-formed and add a fault for each other one."""
    header: list[str] = []
    for line, cells in rows(lines, faults):
        row: Cells = {}
        try:
            if not header:
                header = _header(cells)
            elif len(cells) != len(header):
                raise _CellError(f"wanted {len(header)} cells as in the header, got {len(cells)}")
            else:
                row = dict(zip(header, cells, strict=True))
                yield _route(row, defaults, line)
        except _CellError as error:
            found = list(_faults_of_cells(row, defaults.home_country_code)) if row else []
            faults.append(RowFault(line, "; ".join(found or [str(error)])))
            if not header:
                return
    if not header:
        faults.append(RowFault(0, f"wanted a header line ({','.join(COLUMNS)}), got none"))


def rows(lines: Iterable[str], faults: list[RowFault]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row of CSV with its line number and add a fault for each line that is none."""
    taken: list[int] = []

    def rows_only() -> Iterator[str]:
        for line, text in enumerate(lines, start=1):
            if text.strip() and not text.startswith("#"):
                taken.append(line)
                yield text

    reader = csv.reader(rows_only(), strict=True)
    while True:
        taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(RowFault(taken[0], f"wanted one row of CSV, got none: {error}"))
            if taken[-1] > taken[0]:
                faults.append(RowFault(taken[0], f"a quote is left open until line {taken[-1]}"))
            continue
        if len(taken) > 1:
            message = f"wanted one row a line, got a quote left open until line {taken[-1]}"
            faults.append(RowFault(taken[0], message))
        elif _is_row(cells):
            yield taken[0], cells


def _is_row(cells: list[str]) -> bool:
    """Tell whether cells are a row, and not a blank line or a comment as spreadsheets save them."""
    first = cells[0].lstrip()[:1]
    return first != "#" and (first != "" or any(map(str.strip, cells)))


def _header(cells: list[str]) -> list[str]:
    cells = [cell.strip() for cell in cells]
    unknown = [cell for cell in cells if cell and cell not in COLUMNS]
    if unknown:
        hint = "; separate columns with commas" if {";", "\t"} & set(unknown[0]) else ""
        names = ", ".join(repr(phone.mask_digits(cell)) for cell in unknown)
        raise _CellError(f"unknown column {names}: wanted {', '.join(COLUMNS)}{hint}")
    if "to" not in cells:
        raise _CellError(f"wanted a column `to`, got {', '.join(cells)}")
    named = list(filter(None, cells))
    if len(set(named)) != len(named):
        raise _CellError("wanted each column once, got one of them twice")
    return [cell or f"cell {position}" for position, cell in enumerate(cells, start=1)]


def _route(cells: Cells, defaults: RowDefaults, line: int) -> Route:
    home = defaults.home_country_code
    _refuse_unnamed(cells)
    dialled = _dialled(cells, home)
    caller = _number(cells, "from", home)
    destination = _number(cells, "destination", home) or dialled
    masking_id = _number(cells, "caller_id_number", home) or (
        dialled if destination != dialled else defaults.caller_id_number
    )
    duration_s = _duration_s(cells.get("max_call_duration", "")) or defaults.max_call_duration_s
    expires = _expires(cells.get("expires", ""))
    if masking_id is None:
        raise _CellError(
            "caller_id_number: wanted a masking ID, here or as the setting of that name, got"
            " neither: the destination is `to` itself"
        )
    try:
        dial = Dial(destination, masking_id, duration_s)
    except ValueError as error:
        raise _CellError(f"caller_id_number: {error}") from None
    return Route(dialled, caller, dial, expires, line)


def _faults_of_cells(cells: Cells, home_country_code: str) -> Iterator[str]:
    """Yield what is wrong in each cell of a row by itself."""
    readers: list[Callable[[], object]] = [
        partial(_refuse_unnamed, cells),
        partial(_dialled, cells, home_country_code),
        *(partial(_number, cells, column, home_country_code) for column in _NUMBERS_BESIDE_TO),
        partial(_duration_s, cells.get("max_call_duration", "")),
        partial(_expires, cells.get("expires", "")),
    ]
    for read in readers:
        try:
            read()
        except _CellError as error:
            yield str(error)


def _refuse_unnamed(cells: Cells) -> None:
    """Raise for a value in a column that the header does not name: a cell may have slipped."""
    if _NAMES.issuperset(cells):
        return
    for place, cell in cells.items():
        if place not in _NAMES and cell.strip():
            got = phone.mask_digits(cell)
            raise _CellError(f"{place}: wanted nothing under a header without a name, got {got!r}")


def _dialled(cells: Cells, home_country_code: str) -> PhoneNumber:
    dialled = _number(cells, "to", home_country_code)
    if dialled is None:
        raise _CellError("to: wanted the number that callers dial, got nothing")
    return dialled


def _number(cells: Cells, column: str, home_country_code: str) -> PhoneNumber | None:
    """Return the number in a cell; ten digits are nobody's own while events are mended by home."""
    text = cells.get(column)
    if not text or text.isspace():
        return None
    try:
        number = phone.parse(text)
    except phone.PhoneError as error:
        raise _CellError(f"{column}: {error}, got {phone.mask_digits(text)!r}") from None
    if home_country_code and phone.read(text, home_country_code=home_country_code) != number:
        raise _CellError(
            f"{column}: wanted a country code in front, because home_country_code makes"
            f" {home_country_code} that of ten digits alone, got {phone.mask_digits(text)!r};"
            " a + in front says that it is there"
        )
    return number


@lru_cache  # the same few texts stand in row after row: their values are read and kept once
def _duration_s(text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    if re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= MAX_CALL_SECONDS:
        return int(text)
    wanted = f"wanted seconds, 1 to {MAX_CALL_SECONDS}"
    raise _CellError(f"max_call_duration: {wanted}, got {phone.mask_digits(text)!r}")


@lru_cache
def _expires(text: str) -> datetime | None:
    text = text.strip()
    if not text:
        return None
    wanted = "wanted a time with its zone, such as 2027-01-31T18:00:00Z"
    try:
        expires = datetime.fromisoformat(text)
        expires.astimezone(UTC)  # an hour at the edge of time has no place in every zone
    except (ValueError, OverflowError):
        is_date = re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)", text)
        shown = text if is_date else phone.mask_digits(text)
        raise _CellError(f"expires: {wanted}, got {shown!r}") from None
    if expires.tzinfo is None:
        raise _CellError(f"expires: {wanted}, got {expires.isoformat()} without one")
    return expires


def _noting_real_numbers(routes: Iterable[Route], faults: list[RowFault]) -> Iterator[Route]:
    """Yield the routes, and add one fault if any holds a number that could be somebody's."""
    lines = []
    for route in routes:
        if not all(map(phone.is_fictional, _numbers(route))):
            lines.append(route.line)
        yield route
    if lines:
        wanted = (
            "wanted only fictional numbers (1 NPA 555 0100 to 0199) as long as TELESIGN_API_KEY is"
            f" not set, got {len(lines)} row(s) with real ones, the first one here;"
            " set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, so that strangers are turned away, or"
            " write verify_signatures = false to serve everybody who finds the address"
        )
        faults.append(RowFault(lines[0], wanted))


def _numbers(route: Route) -> Iterator[PhoneNumber]:
    yield from (route.dialled, route.destination, route.masking_id)
    if route.caller is not None:
        yield route.caller
