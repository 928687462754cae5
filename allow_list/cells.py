"""Reads the value of one cell of an allow-list; `RowError` says which, what was wanted and got.

An error shows no more of a number than its last four digits. No I/O.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

import phone
from allow_list.rows import Cells, RowError
from commands import MAX_CALL_SECONDS
from phone import PhoneNumber


def dialled(cells: Cells, home_country_code: str) -> PhoneNumber:
    """Return the number in `to`, which every row has."""
    found = number(cells, "to", home_country_code)
    if found is None:
        raise RowError("to: wanted the number that callers dial, got nothing")
    return found


def number(cells: Cells, column: str, home_country_code: str) -> PhoneNumber | None:
    """Return the number in a column, `None` if there is none.

    Where events get a home country code, ten digits that it would change are ambiguous.
    """
    text = cells.get(column)
    if not text or text.isspace():
        return None
    try:
        found = phone.parse(text)
    except phone.PhoneError as error:
        raise RowError(f"{column}: {error}, got {phone.mask_digits(text)!r}") from None
    if home_country_code and phone.read(text, home_country_code=home_country_code) != found:
        raise RowError(
            f"{column}: wanted a + and the country code in front, because home_country_code puts"
            f" {home_country_code} before ten digits alone, got {phone.mask_digits(text)!r}"
        )
    return found


@lru_cache  # row after row has the same few texts: each is read, and its value kept, once
def duration_s(text: str) -> int | None:
    """Return the seconds in `max_call_duration`, `None` if it is empty."""
    text = text.strip()
    if not text:
        return None
    if re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= MAX_CALL_SECONDS:
        return int(text)
    wanted = f"wanted seconds, 1 to {MAX_CALL_SECONDS}"
    raise RowError(f"max_call_duration: {wanted}, got {phone.mask_digits(text)!r}")


@lru_cache
def expires(text: str) -> datetime | None:
    """Return the aware time in `expires`, `None` if it is empty."""
    text = text.strip()
    if not text:
        return None
    wanted = "wanted a time with its zone, such as 2027-01-31T18:00:00Z"
    try:
        time = datetime.fromisoformat(text)
        time.astimezone(UTC)  # raises for an hour at the edge of time, which UTC does not have
    except (ValueError, OverflowError):
        is_date = re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)", text)
        shown = text if is_date else phone.mask_digits(text)
        raise RowError(f"expires: {wanted}, got {shown!r}") from None
    if time.tzinfo is None:
        raise RowError(f"expires: {wanted}, got {time.isoformat()} without one")
    return time
