"""Reads the CSV file that people edit into an `AllowList`, or lists everything that is wrong in it.

`rows` splits its lines into cells, `cells` reads their values; here a row becomes a route. A file
whose last row has no line end may be half-written, so it is never read.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import phone
from allow_list import cells
from allow_list.rows import COLUMNS, Cells, RowError, check_unnamed, header, named, rows
from commands import Dial
from phone import PhoneNumber
from routing import AllowList, AllowListError, Route, RowFault

_NUMBERS_BESIDE_TO = ("from", "destination", "caller_id_number")


@dataclass(frozen=True, slots=True)
class RowDefaults:
    """What the settings say where a row says nothing."""

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
        is_directory = isinstance(error, IsADirectoryError)
        got = "got a directory" if is_directory else f"got: {error.strerror}"
        message = f"wanted a CSV file, {got}; set allow_list to its path"
        raise AllowListError([RowFault(0, message)], unreadable=True) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = "wanted UTF-8 text, got another encoding; save the file as 'CSV UTF-8'"
        raise AllowListError([RowFault(line, message)]) from None
    if text and not text.endswith("\n"):
        message = "wanted a line end after the last row, got none: the file may be incomplete"
        raise AllowListError([RowFault(text.count("\n") + 1, message)])
    return parse(_lines(text), defaults, only_fictional=only_fictional)


def _lines(text: str) -> Iterator[str]:
    """Yield the lines one by one, so that a long file is not in memory twice.

    Only a line feed ends a line: after a form feed in a comment, where `splitlines` would end it,
    no row begins.
    """
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1


def parse(lines: Iterable[str], defaults: RowDefaults, *, only_fictional: bool) -> AllowList:
    """Read an allow-list from its lines. Raises `AllowListError` with all faults at once.

    Empty rows and those that begin with `#` are passed over; the first other one is the header.
    """
    faults: list[RowFault] = []
    routes = _routes(lines, defaults, faults)
    if only_fictional:
        routes = _checked_for_real_numbers(routes, faults)
    try:
        allow_list = AllowList(routes, default_masking_id=defaults.caller_id_number)
    except AllowListError as error:
        raise AllowListError([*faults, *error.faults]) from None
    if faults:
        raise AllowListError(faults)
    return allow_list


def _routes(lines: Iterable[str], defaults: RowDefaults, faults: list[RowFault]) -> Iterator[Route]:
    """Yield each valid row as a route; add a fault for each other one."""
    found = rows(lines, faults)
    line, first = next(found, (0, []))
    if faults:  # in a line above this one, which must have been the header
        return
    if not first:
        faults.append(RowFault(0, f"wanted a header line ({','.join(COLUMNS)}), got none"))
        return
    try:
        columns = header(first)
    except RowError as error:
        faults.append(RowFault(line, str(error)))
        return
    for line, row in found:
        try:
            yield _route(named(row, columns), defaults, line)
        except RowError as error:
            faults.append(RowFault(line, str(error)))


def _route(row: Cells, defaults: RowDefaults, line: int) -> Route:
    """Return the route of a row. Raises `RowError` with everything that is wrong in it.

    The first wrong cell ends the reading; only then is each cell read by itself, to find them all:
    the rows of a long list, nearly all of them right, do not pay for that.
    """
    try:
        return _route_of_valid_cells(row, defaults, line)
    except RowError as error:
        faults = list(_faults_of_cells(row, defaults.home_country_code))
        raise RowError("; ".join(faults) or str(error)) from None


def _route_of_valid_cells(row: Cells, defaults: RowDefaults, line: int) -> Route:
    home = defaults.home_country_code
    check_unnamed(row)
    dialled = cells.dialled(row, home)
    caller = cells.number(row, "from", home)
    destination = cells.number(row, "destination", home) or dialled
    masking_id = cells.number(row, "caller_id_number", home) or (
        dialled if destination != dialled else defaults.caller_id_number
    )
    duration_s = cells.duration_s(row.get("max_call_duration", "")) or defaults.max_call_duration_s
    expires = cells.expires(row.get("expires", ""))
    if masking_id is None:
        raise RowError(
            "caller_id_number: wanted a masking ID, here or in the setting of that name, got"
            " neither, and the destination is `to` itself"
        )
    try:
        dial = Dial(destination, masking_id, duration_s)
    except ValueError as error:
        raise RowError(f"caller_id_number: {error}") from None
    return Route(dialled, caller, dial, expires, line)


def _faults_of_cells(row: Cells, home_country_code: str) -> Iterator[str]:
    """Yield what is wrong in each cell by itself, whatever the others hold."""
    checks: list[Callable[[], object]] = [
        partial(check_unnamed, row),
        partial(cells.dialled, row, home_country_code),
        *(partial(cells.number, row, column, home_country_code) for column in _NUMBERS_BESIDE_TO),
        partial(cells.duration_s, row.get("max_call_duration", "")),
        partial(cells.expires, row.get("expires", "")),
    ]
    for check in checks:
        try:
            check()
        except RowError as error:
            yield str(error)


def _checked_for_real_numbers(routes: Iterable[Route], faults: list[RowFault]) -> Iterator[Route]:
    """Yield the routes, and at their end add one fault if any number could be somebody's."""
    first, count = None, 0
    for route in routes:
        if real := _real_number(route):
            first = first or (route.line, *real)
            count += 1
        yield route
    if first:
        faults.append(_real_number_fault(*first, count))


def _real_number(route: Route) -> tuple[str, PhoneNumber] | None:
    """Return the first number of a route that is not fictional, after its column, if any."""
    numbers = {
        "to": route.dialled,
        "from": route.caller,
        "destination": route.destination,
        "caller_id_number": route.masking_id,
    }
    found = (
        (name, each) for name, each in numbers.items() if each and not phone.is_fictional(each)
    )
    return next(found, None)


def _real_number_fault(line: int, column: str, number: PhoneNumber, count: int) -> RowFault:
    one = ""
    if phone.lacks_north_american_1(number):
        one = " (ten digits: if it is a North American number, put 1 in front)"
    return RowFault(
        line,
        f"{column}: wanted only fictional numbers (1 NPA 555 0100 to 0199) as long as"
        f" TELESIGN_API_KEY is not set, got {phone.redact(number)}{one};"
        f" rows with real numbers: {count};"
        " set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, so that strangers are turned away, or"
        " write verify_signatures = false to serve everybody who finds the address",
    )
