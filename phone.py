"""One form of a phone number, and how a number is shown to anybody but its owner.

The form is E.164 without the plus: country code and digits, 7 to 15 of them, ASCII only.
Everything that is compared, looked up or sent is in this form; `parse` and `read` are the only ways
to get one, and neither ever takes a digit that is not the number's own. No I/O, and nothing of ours
is imported.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, NewType

if TYPE_CHECKING:
    import phonenumbers

PhoneNumber = NewType("PhoneNumber", str)

_FORM = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_FICTIONAL = re.compile(r"1[2-9][0-9]{2}55501[0-9]{2}", re.ASCII)
# A first group of more than seven digits is a number by itself, and what follows is an extension.
_GROUPED = re.compile(
    r"\+? ?[1-9][0-9]{0,6}([ .-][0-9]+|[ .-]?\((?!0+\))[0-9]{1,5}\)[ .-]?[0-9]+)+", re.ASCII
)
_DECIMALS = re.compile(r".*\.([0-9]{1,2}|0+)", re.ASCII)
_NATIONAL_DIGITS = 10
_MIN_DIGITS = 7
_MAX_DIGITS = 15
_SHOWN_DIGITS = 4
_MAX_HELD_DIGITS = 40
_WANTED = "wanted a country code and digits, 7 to 15 in all, such as 12025550100"
_WANTED_OF_GROUPS = (
    "; digits in groups are read only if they make a number that their country can have, without"
    " an extension, a (0) or a decimal point"
)


class PhoneError(ValueError):
    """The text is not a phone number; the message says what was wanted."""


@dataclass(frozen=True, slots=True)
class NoNumber:
    """Why an event holds no phone number where one belongs.

    `value` is `withheld` or `bad`. `digits` are those of a text that cannot be read as a number,
    such as a SIP address; with the home country code in front, if there is one.
    """

    value: str
    digits: str = ""

    WITHHELD: ClassVar["NoNumber"]
    BAD: ClassVar["NoNumber"]

    def __post_init__(self) -> None:
        if self.value not in ("withheld", "bad"):
            raise ValueError("value: wanted withheld or bad")

    def holds_any(self, numbers: Container[str]) -> bool:
        """Tell whether one of these numbers stands anywhere in the digits."""
        return any(
            self.digits[start : start + length] in numbers
            for start in range(len(self.digits))
            for length in range(_MIN_DIGITS, _MAX_DIGITS + 1)
        )


NoNumber.WITHHELD = NoNumber("withheld")
NoNumber.BAD = NoNumber("bad")


def parse(text: str) -> PhoneNumber:
    """Read a number as people write it: a leading `+` and the groups of its digits are dropped.

    Grouped digits are taken only if the numbering plans know just these digits as a possible
    number. Raises `PhoneError` for anything else, so also for other scripts' digits, for a leading
    zero, which no country code has, and for an extension, a `(0)` or the `.0` of a spreadsheet.
    """
    if _FORM.fullmatch(text):
        return PhoneNumber(text)
    text = text.strip()
    digits = text.removeprefix("+")
    if _FORM.fullmatch(digits):
        return PhoneNumber(digits)
    digits = re.sub("[^0-9]", "", text)
    is_grouped = _GROUPED.fullmatch(text) and not _DECIMALS.fullmatch(text)
    if not (is_grouped and _FORM.fullmatch(digits) and is_possible(PhoneNumber(digits))):
        in_groups = re.search("[0-9][^0-9A-Za-z]", text)
        raise PhoneError(_WANTED + (_WANTED_OF_GROUPS if in_groups else ""))
    return PhoneNumber(digits)


def is_possible(number: PhoneNumber) -> bool:
    """Tell whether its country can have a number of just these digits, given out or not."""
    import phonenumbers

    found = _in_its_plan(number)
    possible = phonenumbers.ValidationResult.IS_POSSIBLE
    return found is not None and phonenumbers.is_possible_number_with_reason(found) == possible


@lru_cache(maxsize=4096)  # a look into the plans takes 30 µs, and the same people call again
def is_valid(number: PhoneNumber) -> bool:
    """Tell whether the numbering plan of its country gives out such a number."""
    import phonenumbers

    found = _in_its_plan(number)
    return found is not None and phonenumbers.is_valid_number(found)


def _in_its_plan(number: PhoneNumber) -> "phonenumbers.PhoneNumber | None":
    """Split a number by the plans; `None` if they do not read just these digits out of it."""
    import phonenumbers  # 25 ms, for which digits alone never have to wait

    try:
        found = phonenumbers.parse(f"+{number}")
    except phonenumbers.NumberParseException:
        return None
    form = phonenumbers.PhoneNumberFormat.E164
    return found if phonenumbers.format_number(found, form) == f"+{number}" else None


def read(value: object, *, home_country_code: str = "") -> PhoneNumber | NoNumber:
    """Read what an event holds in the place of a number; never raises.

    A text without any digit (`""`, `anonymous`) and a missing value mean that the number is
    withheld: TeleSign documents no spelling for it. `home_country_code`, when not empty, is put
    before a number of ten digits that does not begin with `+`, if that makes a valid number of the
    country: US callers have been seen to arrive without their 1.
    """
    if value is None:
        return NoNumber.WITHHELD
    if not isinstance(value, str):
        return _unreadable(str(value), home_country_code)
    if home_country_code and (number := _at_home(value.strip(), home_country_code)):
        return number
    try:
        return parse(value)
    except PhoneError:
        has_digits = any(character.isdigit() for character in value)
        return _unreadable(value, home_country_code) if has_digits else NoNumber.WITHHELD


def _unreadable(text: str, home_country_code: str) -> NoNumber:
    """Return what is no number with its digits: after them, home's code and no prefix of `0`s."""
    digits = "".join(str(int(character)) for character in text if character.isdecimal())
    digits = digits.lstrip("0")[:_MAX_HELD_DIGITS]
    return NoNumber("bad", f"{home_country_code}{digits}" if digits else "")


def _at_home(text: str, home_country_code: str) -> PhoneNumber | None:
    """Return ten digits as the number that they are in the home country, if they are one there."""
    digits = re.sub("[^0-9]", "", text)
    if text.startswith("+") or len(digits) != _NATIONAL_DIGITS:
        return None
    try:
        number = parse(f"{home_country_code}{'' if text == digits else ' '}{text}")
    except PhoneError:
        return None
    return number if is_valid(number) else None


def is_number(value: object) -> bool:
    """Tell whether a value is a number in the one form."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def is_fictional(number: PhoneNumber) -> bool:
    """Tell whether the number is one of those set aside for fiction: 1 NPA 555 0100 to 0199."""
    return _FICTIONAL.fullmatch(number) is not None


def redact(text: str) -> str:
    """Show of a number only its last four digits: `...0100`."""
    return f"...{text[-_SHOWN_DIGITS:]}"


def mask_digits(text: str) -> str:
    """Show the shape of a faulty text: of seven digits or more, only the last four.

    `+1 (202) 555-01O0` becomes `+* (***) **5-01O0`: the fault is seen, the number is not.
    """
    digits = [place for place, character in enumerate(text) if character.isdigit()]
    if len(digits) < _MIN_DIGITS:
        return text
    hidden = set(digits[:-_SHOWN_DIGITS])
    return "".join("*" if place in hidden else each for place, each in enumerate(text))
