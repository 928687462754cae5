"""Reads the CSV file that people edit into an `AllowList`, or lists everything that is wrong in it.

`rows` splits its lines into cells, `cells` reads their values; here they become a route. A file
whose last row has no line end may be half-written, so it is never read.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import phone
from allow_list import cells
from allow_list.rows import COLUMNS, NO_LINE_END, RowError, header, rows
from commands import EXTERNAL_ID, LANGUAGE, SEND_DTMF, Dial, check_speech
from config import Settings
from routing import AllowList, AllowListError, Route, RowFault

_Readers = dict[str, Callable[[str], Any]]


def read(path: Path, settings: Settings, *, only_fictional: bool) -> AllowList:
    """Read the file. Raises `AllowListError` with all faults, also when there is no such file.

    Of the settings, some count where a row says nothing. With `only_fictional`, as long as requests
    are not verified, one real number is a fault.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        remedy = "set allow_list to its path, or run this in its folder"
        if isinstance(error, PermissionError):
            remedy = "the user who runs this has to be able to read it"
        message = f"wanted a CSV file, got: {error.strerror}; {remedy}"
        raise AllowListError([RowFault(0, message)], unreadable=True) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = "wanted UTF-8 text, got another encoding; save the file as 'CSV UTF-8'"
        raise AllowListError([RowFault(line, message)]) from None
    if text and not text.endswith("\n"):
        raise AllowListError([RowFault(text.count("\n") + 1, NO_LINE_END)])
    # One by one, so that a long file is not in memory twice. Only a line feed ends a line: after a
    # form feed in a comment, where `splitlines` would end it, no row begins.
    lines = (found[1] for found in re.finditer("(.*)\n", text))
    return parse(lines, settings, only_fictional=only_fictional)


def parse(lines: Iterable[str], settings: Settings, *, only_fictional: bool) -> AllowList:
    """Read an allow-list from its lines. Raises `AllowListError` with all faults at once.

    Empty rows and those that begin with `#` are passed over; the first other one is the header.
    """
    faults: list[RowFault] = []
    routes: Iterable[Route] = _routes(lines, settings, faults)
    if only_fictional:
        routes = list(routes)
        faults += real_numbers(routes)
    own, pool = settings.caller_id_number, settings.virtual_numbers
    refuses = settings.withheld_callers == "refuse"
    try:
        allow_list = AllowList(routes, default_masking_id=own, pool=pool, refuses_withheld=refuses)
    except AllowListError as error:
        raise AllowListError([*faults, *error.faults]) from None
    if faults:
        raise AllowListError(faults)
    return allow_list


def _routes(lines: Iterable[str], settings: Settings, faults: list[RowFault]) -> Iterator[Route]:
    """Yield each valid row as a route; add a fault for each other one."""
    found = rows(lines, faults)
    line, first = next(found, (0, []))
    if faults:  # in a line above this one, which must have been the header
        return
    if not first:
        faults.append(RowFault(0, f"wanted a header line ({','.join(COLUMNS)}), got none"))
        return
    try:
        readers = _readers(header(first), settings.home_country_code)
    except RowError as error:
        faults.append(RowFault(line, str(error)))
        return
    for line, row in found:
        try:
            yield _route(_values(row, readers), settings, line)
        except RowError as error:
            faults.append(RowFault(line, str(error)))


def _readers(columns: list[str], home: str) -> _Readers:
    """Return what reads the cells of each column; `home` is the home country code."""
    # The numbers of a pair are in several cells, one row after another.
    number = lru_cache(partial(cells.number, home_country_code=home))
    known: _Readers = dict.fromkeys(("to", "from", "destination", "caller_id_number"), number)
    known |= {"max_call_duration": cells.duration_s, "expires": cells.expires, "note": str}
    known |= {"greeting": check_speech, "language": LANGUAGE.check}
    known |= {"external_id": EXTERNAL_ID.check, "send_dtmf": SEND_DTMF.check}
    return {column: known.get(column, cells.nothing) for column in columns}


def _values(row: list[str], readers: _Readers) -> dict[str, Any]:
    """Return the values of the cells that are not empty, by column.

    Raises `RowError` with everything that is wrong in the row.
    """
    if len(row) != len(readers):
        raise RowError(f"wanted {len(readers)} cells as in the header, got {len(row)}")
    values, faults = {}, []
    for (column, read), cell in zip(readers.items(), row, strict=True):
        text = cell.strip()
        if text or column == "to":
            try:
                values[column] = read(text)
            except ValueError as error:
                # Keys may be somebody's code.
                shown = "*" * len(text) if column == "send_dtmf" else text
                faults.append(f"{column}: {error}, got {cells.quote(shown)}")
    if faults:
        raise RowError("; ".join(faults))
    return values


def _route(values: dict[str, Any], settings: Settings, line: int) -> Route:
    dialled = values["to"]
    destination = values.get("destination", dialled)
    own = dialled if destination != dialled else settings.caller_id_number
    masking_id = values.get("caller_id_number", own)
    if masking_id is None:
        raise RowError(
            "caller_id_number: wanted a masking ID, here or in the setting of that name, got"
            " neither, and the destination is `to` itself"
        )
    duration_s = values.get("max_call_duration", settings.max_call_duration)
    found = values.get
    try:
        dial = Dial(destination, masking_id, duration_s, found("send_dtmf"), found("external_id"))
    except ValueError as error:
        raise RowError(f"caller_id_number: {error}") from None
    spoken = found("greeting"), found("language")
    return Route(dialled, found("from"), dial, found("expires"), line, *spoken)


def real_numbers(routes: Iterable[Route]) -> Iterator[RowFault]:
    """Yield one fault, that of the first row, if any number of these could be somebody's."""
    rows = [(route.line, *real) for route in routes if (real := real_number(route))]
    for line, column, number in rows[:1]:
        yield RowFault(
            line,
            f"{column}: wanted only fictional numbers (1 NPA 555 0100 to 0199) as long as"
            f" TELESIGN_API_KEY is not set, got {phone.redact(number)}; rows with real"
            f" numbers: {len(rows)}; set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, or"
            " verify_signatures = false to serve everybody who finds the address",
        )


def real_number(route: Route) -> tuple[str, phone.PhoneNumber] | None:
    """Return the first number of a row that could be somebody's, after the name of its column."""
    numbers = route.dialled, route.caller, route.destination, route.masking_id
    found = zip(COLUMNS, numbers, strict=False)
    return next(((name, one) for name, one in found if one and not phone.is_fictional(one)), None)
