"""Whether a text of the log holds a number, however it is written. No I/O.

What may be somebody else's number is told apart from what is surely this one: only the latter is
deleted unasked. A text is first written plainly (`_plain`); then the digits are looked for, with
whatever stands between them but letters.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from enum import IntEnum
from itertools import accumulate
from urllib.parse import unquote

import phonenumbers

import phone
from phone import PhoneNumber

_GAP = r"[\W_]*"
# Also from one member of an object to the value of the next: `","phone_number":"`.
_GAP_OVER_NAME = rf'{_GAP}(?:(?<=")[^"]*"\s*:{_GAP})?'
_ABROAD = rf"(?:(?:00|011){_GAP})?"
_STARTS = (  # no digit before, or those of a date or a time, which may have no space behind it
    "(?<![0-9])",
    "(?<=[0-9]{4}[./-][0-9]{2}[./-][0-9]{2})",
    "(?<=[0-9]{2}[./-][0-9]{2}[./-][0-9]{4})",
    "(?<=[0-9]:[0-9]{2})",
    "(?<=:[0-9]{2}[.,][0-9]{3})",
    "(?<=:[0-9]{2}[.,][0-9]{6})",
    "(?<=(?<![0-9])1[0-9]{9})",  # seconds since 1970
    "(?<=(?<![0-9])1[0-9]{12})",
    "(?<=(?<![0-9])1[0-9]{9}[.][0-9]{3})",
    "(?<=(?<![0-9])1[0-9]{9}[.][0-9]{6})",
)
_START, _END = f"(?:{'|'.join(_STARTS)})", "(?:(?![0-9])|(?=[0-9]{4}-[0-9]{2}-[0-9]{2}))"
_COUNTRY_BEFORE = re.compile(r"(?:\+|(?<![0-9])00)(?:[0-9]{1,4}[ .()/-]{1,3})+$")
_DATE_BEFORE = re.compile(r"[0-9]{2}([./-])[0-9]{2}\1(?:[0-9]{2}){1,2}[ .()/-]{1,3}$")
_DIGITS_BEFORE = re.compile(r"(?:(?<![0-9:])[0-9]+[ .()/-]{1,3}){1,8}$")
_DIGITS_BEHIND = re.compile(r"(?!\.0+(?![0-9]))(?:[ .()/-]{1,3}[0-9]+(?![0-9:])){1,8}")
_RUN = re.compile("[0-9]{16,}")  # too long for a number, so that it holds more than one thing
_CODE = re.compile(
    r'"(?:[^"]*country[^"]*|(?:[^"]*(?:dial|calling)[^"]*)?(?:code|prefix)|(?:[^"]*_)?cc)"\s*:\s*'
    r'"?(?:\+|00|011)?([0-9]{1,3}|[a-z]{2})\b',
    re.IGNORECASE,
)
_ESCAPED = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([bfnrt"\\/]))')
_MAX_LAYERS = 4
_MIN_ALONE = 7  # digits without the country code that are looked for by themselves
_NEAR = 30  # characters: more than a number has
_MAX_BESIDE = 500


class Match(IntEnum):
    """Whether a text holds a number; `PERHAPS` may be another number, or none."""

    NO = 0
    PERHAPS = 1
    SURELY = 2


def matcher(number: PhoneNumber, home_country_code: str) -> Callable[[str], Match]:
    """Return a test of whether a text holds a number.

    Surely: with its country code, before it or in a member of its own that is named like one, or as
    the server reads it at home. Perhaps: without the code or with a 0 behind it, in a longer run of
    digits, or where the digits around it make another number.
    """
    search = _Search(number, home_country_code)

    def test(text: str) -> Match:
        plain = _plain(text)
        found = search.in_plain(plain)
        # What was read as an escape may have been digits.
        return found or min(search.in_plain(text), Match.PERHAPS) if plain != text else found

    return test


class _Search:
    """Looks for a number in plain texts."""

    def __init__(self, number: PhoneNumber, home: str) -> None:
        plan = phone.by_plan(number)
        self._code = str(plan.country_code) if plan else home if number.startswith(home) else ""
        self._number, self._home = number, home
        national = number.removeprefix(self._code)
        code, digits = _GAP.join(self._code), _GAP.join(national)
        zero = rf"(?:(?<=\()0(?=\)){_GAP})?" if code else ""
        self._whole = re.compile(f"{_START}{_ABROAD}{code}{_GAP}{zero}{digits}{_END}")
        is_alone = len(national) >= _MIN_ALONE or self._code == home
        before = f"(?:{_ABROAD}{code}{_GAP_OVER_NAME}){'?' if is_alone else ''}"
        digits = _GAP_OVER_NAME.join(national)
        self._part = re.compile(f"{_START}{before}(?P<written>(?:0{_GAP})?{digits}){_END}")
        self._abroad = re.compile(rf"(?:\+{_GAP}|(?<![0-9]){self._code}[ .()/-]*)$")
        self._digits = re.compile(digits)

    def in_plain(self, text: str) -> Match:
        if not self._digits.search(text):
            return Match.NO
        for found in self._whole.finditer(text):
            if not _is_in_another(self._number, text, *found.span()):
                return Match.SURELY
        parts = list(self._part.finditer(text))
        if any(map(self._is_this, parts)):
            return Match.SURELY
        is_in_run = any(self._number in run for run in _RUN.findall(text))
        return Match.PERHAPS if parts or is_in_run or self._whole.search(text) else Match.NO

    def _is_this(self, found: re.Match[str]) -> bool:
        """Whether it is this number by the country code beside it, or as it is read at home."""
        text, (begin, end) = found.string, found.span("written")
        written = re.sub("[^0-9]", "", found["written"])
        is_abroad = self._abroad.search(text[max(begin - _NEAR, 0) : begin])
        if is_abroad or _is_in_another(written, text, begin, end):
            return False
        codes = _codes_beside(text, begin, end)
        if codes == {self._code} and written[0] != "0":
            return True
        home = self._code if codes == {self._code} else "" if codes else self._home
        return phone.read(written, home_country_code=home) == self._number


def _is_in_another(digits: str, text: str, begin: int, end: int) -> bool:
    """Whether digits may be a part of a longer number, by what stands around them in a text."""
    before = text[max(begin - _NEAR, 0) : begin]
    if _COUNTRY_BEFORE.search(before):
        return True
    in_front = None if _DATE_BEFORE.search(before) else _DIGITS_BEFORE.search(before)
    behind = _DIGITS_BEHIND.match(text, end)
    longer = [
        *accumulate(
            reversed(_groups(in_front)), lambda later, group: group + later, initial=digits
        ),
        *accumulate(_groups(behind), initial=digits),
    ]
    numbers = (PhoneNumber(run) for run in longer if run != digits and phone.is_number(run))
    return any(map(phone.is_possible, numbers))


def _groups(found: re.Match[str] | None) -> list[str]:
    return re.findall("[0-9]+", found[0]) if found else []


def _codes_beside(text: str, begin: int, end: int) -> set[str]:
    """Return the country codes in the object around a place, but for those in objects within it."""
    before = re.split("[{}]", text[max(begin - _MAX_BESIDE, 0) : begin])[-1]
    behind = re.split("[{}]", text[end : end + _MAX_BESIDE], maxsplit=1)[0]
    found = {code[1].upper() for part in (before, behind) for code in _CODE.finditer(part)}
    return {code if code.isdigit() else _dialling_code(code) for code in found} - {""}


def _dialling_code(region: str) -> str:
    """Return the country code of a region such as `US`; empty if there is no such region."""
    return str(phonenumbers.country_code_for_region(region) or "")


def _plain(text: str) -> str:
    """Return a text without what hides digits: escapes of JSON, HTML and addresses, other scripts.

    Without a JSON decoder, for which a text may be nested too deeply.
    """
    for _ in range(_MAX_LAYERS):
        if "\\" not in text and "%" not in text and "&" not in text:
            break
        text = html.unescape(unquote(_ESCAPED.sub(_unescape, text)))
    if text.isascii():
        return text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return re.sub(r"[^\x00-\x7f]", _digit, unicodedata.normalize("NFKC", whole))


def _unescape(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return found[2] if found[2] in '"\\/' else " "


def _digit(found: re.Match[str]) -> str:
    value = unicodedata.numeric(found[0], -1)
    return str(int(value)) if value in range(10) else found[0]
