"""The one form of a phone number, and how a number is shown without giving it away.

The form is E.164 without the plus: country code and digits, 7 to 15 of them, ASCII only.
Everything that is compared, looked up or sent is in this form; `parse` and `read` are the only ways
to get one, and neither ever adds a digit that is not part of the number. No I/O, and no import of
ours.
"""

import re
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NewType

import phonenumbers

PhoneNumber = NewType("PhoneNumber", str)

_FORM = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_FICTIONAL = re.compile(r"1[2-9][0-9]{2}55501[0-9]{2}", re.ASCII)
# A first group of more than seven digits is a whole number, and what follows is an extension.
_GROUPED = re.compile(
    r"\+? ?[1-9][0-9]{0,6}([ .-][0-9]+|[ .-]?\((?!0+\))[0-9]{1,5}\)[ .-]?[0-9]+)+", re.ASCII
)
_DECIMALS = re.compile(r".*\.([0-9]{1,2}|0+)", re.ASCII)
NATIONAL_DIGITS = 10
SHOWN_DIGITS = 4
_MIN_DIGITS = 7
_MAX_DIGITS = 15
_MAX_KEPT_DIGITS = 128
_WANTED = "wanted a country code and digits, 7 to 15 in all, such as 12025550100"


class PhoneError(ValueError):
    """The text is not a phone number; the message says what was wanted."""


@dataclass(frozen=True, slots=True)
class NoNumber:
    """Why an event has no phone number in a member that is for one.

    `value` is `withheld` or `bad`. `digits` are those of a text that cannot be read as a number,
    such as a SIP address, after the home country code, if one is set.
    """

    value: str
    digits: str = ""

    WITHHELD: ClassVar["NoNumber"]

    def holds_any(self, numbers: Container[str]) -> bool:
        """Whether the digits contain one of these numbers, wherever it begins."""
        return any(
            self.digits[start : start + length] in numbers
            for start in range(len(self.digits))
            for length in range(_MIN_DIGITS, _MAX_DIGITS + 1)
        )


NoNumber.WITHHELD = NoNumber("withheld")


def parse(text: str) -> PhoneNumber:
    """Read a number as people write it: a leading `+` and what separates its digits are dropped.

    Grouped digits are accepted only if, by the numbering plans, exactly these digits are a possible
    number. Raises `PhoneError` for anything else: also for the digits of other scripts, a leading
    zero, which no country code has, an extension, a `(0)` or the `.0` of a spreadsheet.
    """
    text = text.strip()
    if _FORM.fullmatch(digits := text.removeprefix("+")):
        return PhoneNumber(digits)
    number = PhoneNumber(re.sub("[^0-9]", "", text))
    is_grouped = _GROUPED.fullmatch(text) and not _DECIMALS.fullmatch(text)
    if not (is_grouped and is_number(number) and is_possible(number)):
        raise PhoneError(_WANTED)
    return number


def is_possible(number: PhoneNumber) -> bool:
    """Whether the number's country can have a number of exactly these digits, assigned or not."""
    found = by_plan(number)
    possible = phonenumbers.ValidationResult.IS_POSSIBLE
    return found is not None and phonenumbers.is_possible_number_with_reason(found) == possible


def is_valid(number: PhoneNumber) -> bool:
    """Whether the numbering plan of the number's country assigns such numbers."""
    found = by_plan(number)
    return found is not None and phonenumbers.is_valid_number(found)


@lru_cache(maxsize=4096)  # takes 20 µs, and the same people call again
def by_plan(number: PhoneNumber) -> phonenumbers.PhoneNumber | None:
    """Split a number by the numbering plans; `None` if they would change any of its digits."""
    try:
        found = phonenumbers.parse(f"+{number}")
    except phonenumbers.NumberParseException:
        return None
    form = phonenumbers.PhoneNumberFormat.E164
    return found if phonenumbers.format_number(found, form) == f"+{number}" else None


def read(value: object, *, home_country_code: str = "") -> PhoneNumber | NoNumber:
    """Read the value that an event has for a number; never raises.

    A missing value and a text without any digit (`""`, `anonymous`) mean a withheld number:
    TeleSign documents no spelling for it. With a `home_country_code` a number may arrive as it is
    written in that country: US callers have been seen to arrive without their 1.
    """
    if value is None:
        return NoNumber.WITHHELD
    if not isinstance(value, str):
        return _keep_digits(str(value), home_country_code)
    if home_country_code and (number := _read_at_home(value.strip(), home_country_code)):
        return number
    try:
        return parse(value)
    except PhoneError:
        has_digits = any(character.isdigit() for character in value)
        return _keep_digits(value, home_country_code) if has_digits else NoNumber.WITHHELD


def _keep_digits(text: str, home_country_code: str) -> NoNumber:
    """Return a bad number with its digits, after the home country code.

    Leading zeros are left out, but not of a country whose own numbers begin with one.
    """
    digits = "".join(str(int(character)) for character in text if character.isdecimal())
    if not home_country_code or _trunk_prefix(home_country_code):
        digits = digits.lstrip("0")
    digits = digits[:_MAX_KEPT_DIGITS]
    return NoNumber("bad", f"{home_country_code}{digits}" if digits else "")


def _trunk_prefix(country_code: str) -> str:
    """Return what is written before a number within a country; empty where nothing is."""
    region = phonenumbers.region_code_for_country_code(int(country_code))
    return phonenumbers.ndd_prefix_for_region(region, strip_non_digits=True) or ""


def _read_at_home(text: str, country_code: str) -> PhoneNumber | None:
    """Return the number that a text means at home; `None` if that is none, or not clear.

    At home a number is written with a trunk zero or `00` in front, or as ten digits.
    """
    digits = re.sub("[^0-9]", "", text)
    if not digits.startswith("0") and len(digits) != NATIONAL_DIGITS:
        return None
    # The first group may begin with a zero, which the 1 here allows for.
    if text != digits and (not _GROUPED.fullmatch(f"1{text}") or _DECIMALS.fullmatch(text)):
        return None
    found = [number for number in _readings(digits, country_code) if is_valid(number)]
    return found[0] if len(found) == 1 else None


def _readings(digits: str, country_code: str) -> set[PhoneNumber]:
    """Return what digits may mean in a country, and abroad where that is as likely."""
    readings = set()
    if digits.startswith("00") or _trunk_prefix(country_code).startswith("0"):
        readings.add(digits.removeprefix("00"))
    with suppress(phonenumbers.NumberParseException):
        region = phonenumbers.region_code_for_country_code(int(country_code))
        number = phonenumbers.parse(digits, region)
        form = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        readings.add(form.removeprefix("+"))
    return {PhoneNumber(digits) for digits in readings if is_number(digits)}


def is_number(value: object) -> bool:
    """Whether a value is a number in the one form."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def is_fictional(number: PhoneNumber) -> bool:
    """Whether the number is reserved for fiction: 1 NPA 555 0100 to 0199."""
    return _FICTIONAL.fullmatch(number) is not None


def redact(text: str) -> str:
    """Return only the last four digits of a number: `...0100`."""
    return f"...{text[-SHOWN_DIGITS:]}"


def mask_digits(text: str) -> str:
    """Return a text with all but the last four of its digits masked, if it has seven or more.

    `+1 (202) 555-01O0` becomes `+* (***) **5-01O0`, which shows what is wrong, but not the number.
    """
    digits = [place for place, character in enumerate(text) if character.isdigit()]
    if len(digits) < _MIN_DIGITS:
        return text
    hidden = set(digits[:-SHOWN_DIGITS])
    return "".join("*" if place in hidden else text[place] for place in range(len(text)))
