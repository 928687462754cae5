"""Reads what people type as an argument of a command, or into a form. No I/O.

Each function raises `argparse.ArgumentTypeError`, which says what was wanted and what was got, and
shows of a number its last four digits at most.
"""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable

import commands
import phone
from phone import PhoneNumber

FORMULA_SIGNS = "-=+@\uff0d\uff1d\uff0b\uff20"
"""By these a spreadsheet takes a cell for a formula; some in their full width too."""

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # also what may end a line
_ENDING = re.compile(r"(?:\.\.\.)?([0-9]{4,6})", re.ASCII)  # also as a table shows it


def whole_number(most: int, least: int = 1) -> Callable[[str], int]:
    """Return what reads a whole number, `least` to `most`."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,20}", text, re.ASCII) or not least <= int(text) <= most:
            raise ArgumentTypeError(f"wanted a whole number, {least} to {most}, got {text!r}")
        return int(text)

    return read


def port(text: str) -> int:
    """Read a port; 0 is any free one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65_535):
        raise ArgumentTypeError(f"wanted a port, 0 to 65535, got {text!r}")
    return int(text)


def number(text: str) -> PhoneNumber:
    """Read a whole phone number."""
    try:
        return phone.parse(text)
    except phone.PhoneError as error:
        raise ArgumentTypeError(f"{error}, got {phone.mask_digits(text)!r}") from None


def number_or_end(text: str) -> str:
    """Read a whole number, or the last four to six digits of one."""
    if (found := _ENDING.fullmatch(text)) is not None:
        return found[1]
    try:
        return phone.parse(text)
    except phone.PhoneError as error:
        got = f"got {phone.mask_digits(text)!r}"
        raise ArgumentTypeError(f"{error}, or four or more last digits, {got}") from None


def external_id(text: str) -> str:
    """Read the id of a trip or an order, without outer spaces, which a cell would lose."""
    try:
        return commands.EXTERNAL_ID.check(text.strip())
    except ValueError as error:
        raise ArgumentTypeError(f"{error}, got {phone.mask_digits(text)!r}") from None


def greeting(text: str) -> str:
    """Read a text that is spoken, which has to fit into one line of a list.

    Whoever opens the list in a spreadsheet must not run what a customer's name may hold.
    """
    try:
        if _CONTROL.search(text.strip()):
            raise ValueError("wanted one line without control characters")
        if text.strip().startswith(tuple(FORMULA_SIGNS)):
            raise ValueError("wanted a text that begins no formula of a spreadsheet, as = + - @ do")
        return commands.check_speech(text.strip())
    except ValueError as error:
        raise ArgumentTypeError(f"{error}, got {phone.mask_digits(text)!r}") from None
