"""One form of a phone number, and how a number is shown to anybody but its owner.

The form is E.164 without the plus: country code and digits, 7 to 15 of them, ASCII only.
Everything that is compared, looked up or sent is in this form; `parse` and `read` are the only ways
to get one. No I/O, and nothing of ours is imported.
"""

import re
from enum import Enum
from typing import NewType

PhoneNumber = NewType("PhoneNumber", str)

_FORM = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_FICTIONAL = re.compile(r"1[2-9][0-9]{2}55501[0-9]{2}", re.ASCII)
_SEPARATORS = str.maketrans("", "", " -.()")
_NATIONAL_DIGITS = 10
_LEAST_DIGITS = 7
_SHOWN_DIGITS = 4


class PhoneError(ValueError):
    """The text is not a phone number; the message says what was wanted."""


class NoNumber(Enum):
    """Why an event holds no phone number where one belongs."""

    WITHHELD = "withheld"
    BAD = "bad"


def parse(text: str) -> PhoneNumber:
    """Read a number as people write it: a leading `+` and separators are dropped.

    Raises `PhoneError` for anything else, so also for other scripts' digits and for a leading zero,
    which no country code has.
    """
    if not _FORM.fullmatch(text):
        text = text.strip().removeprefix("+").translate(_SEPARATORS)
        if not _FORM.fullmatch(text):
            raise PhoneError(
                "wanted a country code and digits, 7 to 15 in all, such as 12025550100"
            )
    return PhoneNumber(text)


def read(value: object, *, home_country_code: str = "") -> PhoneNumber | NoNumber:
    """Read what an event holds in the place of a number; never raises.

    A text without any digit (`""`, `anonymous`) and a missing value mean that the number is
    withheld: TeleSign documents no spelling for it. `home_country_code`, when not empty, is put
    before a number of ten digits that does not begin with `+`: US callers have been seen to arrive
    without their 1.
    """
    if value is None:
        return NoNumber.WITHHELD
    if not isinstance(value, str):
        return NoNumber.BAD
    try:
        number = parse(value)
    except PhoneError:
        has_digits = any(character.isdigit() for character in value)
        return NoNumber.BAD if has_digits else NoNumber.WITHHELD
    if len(number) == _NATIONAL_DIGITS and home_country_code and not value.lstrip().startswith("+"):
        return PhoneNumber(home_country_code + number)
    return number


def is_number(value: object) -> bool:
    """Tell whether a value is a number in the one form."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def is_fictional(number: PhoneNumber) -> bool:
    """Tell whether the number is one of those set aside for fiction: 1 NPA 555 0100 to 0199."""
    return _FICTIONAL.fullmatch(number) is not None


def redact(text: str) -> str:
    """Show of a number only its last four digits: `...0100`."""
    return f"...{text[-_SHOWN_DIGITS:]}"


def outline(text: str) -> str:
    """Show the shape of a faulty text: of seven digits or more, only the last four.

    `+1 (202) 555-01O0` becomes `+* (***) **5-01O0`: the fault is seen, the number is not.
    """
    digits = sum(character.isdigit() for character in text)
    if digits < _LEAST_DIGITS:
        return text
    return re.sub(r"\d", "*", text, count=digits - _SHOWN_DIGITS)
