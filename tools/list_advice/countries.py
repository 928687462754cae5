"""In which countries the numbers of an allow-list are, by the numbering plans. No I/O."""

from collections import Counter

import phonenumbers

from phone import PhoneNumber, by_plan
from routing import AllowList

UNKNOWN = "??"
_NO_COUNTRY = "001"  # as the numbering plans call satellite and international-network numbers


def countries(allow_list: AllowList) -> list[tuple[str, int]]:
    """Return how many numbers of the list each country has, the largest first."""
    numbers = {
        number
        for route in allow_list
        for number in (route.caller, route.dialled, route.destination, route.masking_id)
        if number is not None
    }
    counted = Counter(map(country, numbers))
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def country(number: PhoneNumber) -> str:
    """Return a number's country in two letters; `intl` if it has none.

    It is `??` if the numbering plans assign the number to no country.
    """
    found = by_plan(number)
    name = phonenumbers.region_code_for_number(found) if found else None
    return "intl" if name == _NO_COUNTRY else name or UNKNOWN
