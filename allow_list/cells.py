"""Reads the text of one cell of an allow-list, which is not empty and has no outer spaces.

Each function raises `ValueError`, which says what was wanted, for a text that it cannot read. No
I/O.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NoReturn

import phone
from commands import MAX_CALL_SECONDS

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d(:\d\d){0,2}(\.\d{1,6})?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII
)

_SHORTENED = re.compile("[+-]?[0-9]+([.,][0-9]+)?e[+-]?[0-9]+", re.ASCII | re.IGNORECASE)
_DAY = "(0?[1-9]|[12][0-9]|3[01])"  # or the month, in whichever order
_DATE = re.compile(
    rf"(?ai)((19|20)\d\d[-/.]{_DAY}[-/.]{_DAY}|{_DAY}[-/.]{_DAY}[-/.]((19|20)?\d\d)?)([T ].*)?"
    rf"|(?=.*\d)({_DAY}[-. ]+)?(jan|feb|m[aä]r|apr|ma[iy]|ju[nl]|aug|sep|o.t|nov|de.)\D*\d{{0,4}}"
)


def number(text: str, *, home_country_code: str) -> phone.PhoneNumber:
    """Return a phone number. What a spreadsheet has made of one is none, though a date can be read.

    Where events get a home country code, ten digits that it would change are ambiguous.
    """
    if not text.isdecimal() and _SHORTENED.fullmatch(text):
        raise ValueError("wanted all digits, not a number that a spreadsheet has shortened")
    if not text.isdecimal() and _DATE.fullmatch(text):
        raise ValueError("wanted a phone number, not a date")
    found = phone.parse(text)
    if home_country_code and phone.read(text, home_country_code=home_country_code) != found:
        raise ValueError(
            "wanted a + and the country code in front, because home_country_code puts"
            f" {home_country_code} before ten digits alone"
        )
    return found


@lru_cache  # row after row has the same few texts: each is read, and its value kept, once
def duration_s(text: str) -> int:
    """Return the seconds in `max_call_duration`."""
    if re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= MAX_CALL_SECONDS:
        return int(text)
    raise ValueError(f"wanted seconds, 1 to {MAX_CALL_SECONDS}")


@lru_cache
def expires(text: str) -> datetime:
    """Return the aware time in `expires`."""
    try:
        time = datetime.fromisoformat(text)
        time.astimezone(UTC)  # raises for an hour at the edge of time, which UTC does not have
    except (ValueError, OverflowError):
        time = datetime.min
    if time.tzinfo is None:
        raise ValueError("wanted a time with its zone, such as 2027-01-31T18:00:00Z")
    return time


def nothing(_text: str) -> NoReturn:
    """Refuse any text in a column without a name: other cells may have slipped."""
    raise ValueError("wanted nothing, as this column has no name")


def quote(text: str) -> str:
    """Return a refused text as a message shows it: of a number the last four digits only."""
    return repr(text if _TIME.fullmatch(text) else phone.mask_digits(text))
