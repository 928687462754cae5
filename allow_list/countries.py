"""In which countries the numbers of an allow-list are, by the numbering plans. No I/O."""

from collections import Counter
from functools import lru_cache

import phonenumbers

from phone import PhoneNumber
from routing import AllowList

NORTH_AMERICA = 1
_NAMES = {"001": "intl", "": "??"}


def countries(allow_list: AllowList) -> list[tuple[str, int]]:
    """Return how many numbers of the list each country has, the largest first."""
    numbers = {
        number
        for route in allow_list
        for number in (route.caller, route.dialled, route.destination, route.masking_id)
        if number is not None
    }
    counted = Counter(map(country, numbers))
    return sorted(counted.items(), key=lambda each: (-each[1], each[0]))


def country(number: PhoneNumber) -> str:
    """Return a number's country in two letters; `intl` if it has none, `??` if it is unknown.

    A number that is not valid is in the first country of its country code.
    """
    parsed = split(number)
    first, *others = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(parsed.country_code or 0, ("",))
    found = _country(parsed) if others else first
    if not found and parsed.country_code != NORTH_AMERICA:
        found = first
    return _NAMES.get(found, found)


def different(one: PhoneNumber, other: PhoneNumber) -> tuple[str, str] | None:
    """Return the countries of two numbers if they are known and differ."""
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    parsed = split(one), split(other)
    first, second = (number.country_code or 0 for number in parsed)
    if first == second and len(codes.get(first, ())) == 1:
        return None
    home, away = map(_country, parsed)
    return (home, away) if home and away and home != away else None


def _country(number: phonenumbers.PhoneNumber) -> str:
    if number.country_code == NORTH_AMERICA:
        return _country_of_area(str(number.national_number)[:3])
    return phonenumbers.region_code_for_number(number) or ""


@lru_cache(maxsize=1024)
def _country_of_area(area_code: str) -> str:
    """Return the country of a North American area code, which all numbers with it share."""
    number = phonenumbers.PhoneNumber(NORTH_AMERICA, int(f"{area_code}5550100"))
    return phonenumbers.region_code_for_number(number) or ""


def split(number: PhoneNumber) -> phonenumbers.PhoneNumber:
    """Split off the country code; the library's own parser would correct what is wrong in it."""
    for length in (1, 2, 3):
        code = int(number[:length])
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            rest = number[length:]
            zeros = len(rest) - len(rest.lstrip("0"))
            return phonenumbers.PhoneNumber(
                country_code=code,
                national_number=int(rest),
                italian_leading_zero=bool(zeros),
                number_of_leading_zeros=zeros or None,
            )
    return phonenumbers.PhoneNumber(country_code=0, national_number=int(number))
