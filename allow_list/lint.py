"""What an operator is told of an allow-list before a real person calls.

Warnings of the numbering plan and of rows that can never connect, and the nearest cause of a
refusal. Numbers are shown in full: this is for the operator's own terminal, not for a log. No I/O.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberType

from phone import NoNumber, PhoneNumber, is_possible, is_valid
from routing import AllowList, Reason, Route

_MAX_NAMED = 5
_SAME_END = 7
_NATIONAL_DIGITS = 10
_IN_WORDS = {"001": "intl", "": "??"}
_NORTH_AMERICA = 1
_SATELLITE_CODES = {870, 881, 882, 883}
_DEAR = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number, which TeleSign refuses to dial",
    PhoneNumberType.SHARED_COST: "a shared-cost number: check what a call to it costs",
}

Party = PhoneNumber | NoNumber


def warnings(route: Route, allow_list: AllowList, now: datetime) -> Iterator[str]:
    """Yield what is doubtful about a row that is not at fault."""
    numbers = [("to", route.dialled)]
    if route.destination != route.dialled:
        numbers.append(("destination", route.destination))
    if route.masking_id != route.dialled:
        numbers.append(("caller_id_number", route.masking_id))
    if route.caller is not None:
        numbers.append(("from", route.caller))
    for column, number in numbers:
        if not is_possible(number):
            yield f"{column}: {number} cannot be a phone number of any country"
        if _lacks_its_1(number):
            yield (
                f"{column}: as it is, the country of {number} is {country(number)}; if it is a"
                f" North American number, write 1{number}"
            )
    kind = _doubtful_kind(route.destination)
    if kind:
        yield f"destination: {route.destination} is {kind}"
    countries = _countries(route.destination, route.masking_id)
    if countries:
        yield "caller_id_number: somebody in {} is shown a number of {}".format(*countries)
    if not allow_list.lists(route.masking_id):
        yield f"caller_id_number: nobody can call {route.masking_id} back: no row has it as `to`"
    yield from _dead_ends(route, allow_list, now)


def _dead_ends(route: Route, allow_list: AllowList, now: datetime) -> Iterator[str]:
    if route.expires is not None and route.expires <= now:
        yield f"expires: this row has refused since {_told(route.expires)}"
    if route.caller in allow_list.own_numbers:
        yield f"from: {route.caller} is a number of yours, so this row never connects (a loop)"
    if route.caller == route.destination:
        yield f"from: {route.caller} would call their own number, so this row never connects"


def nearest_cause(dialled: Party, caller: Party, reason: Reason, allow_list: AllowList) -> str:
    """Return in one sentence why the list refuses this call, and which row comes nearest."""
    rows = [route for route in allow_list if route.dialled == dialled]
    who = caller.digits if isinstance(caller, NoNumber) else caller
    match reason:
        case Reason.BAD_NUMBER:
            which = "dialled" if isinstance(dialled, NoNumber) else "caller's"
            return f"The {which} number is not a country code and digits, 7 to 15 in all."
        case Reason.LOOP:
            return f"The caller, {who}, has a number of this list: a masking ID or a `to`."
        case Reason.NOT_LISTED:
            return _nearest_number(dialled, allow_list)
        case Reason.CALLER_NOT_LISTED:
            return f"{dialled} is listed, but only for {_callers(rows)}."
        case Reason.CALLER_WITHHELD:
            return f"{dialled} is listed, but only for {_callers(rows)}, and this one is withheld."
        case Reason.EXPIRED:
            row = next(route for route in rows if route.caller in (caller, None))
            return f"The row in line {row.line} has refused since {_told(row.expires)}."
        case Reason.CALLER_IS_DESTINATION:
            return f"The row would connect {who} with themselves."
        case _:
            return "The call was seen before."


def _nearest_number(dialled: Party, allow_list: AllowList) -> str:
    for route in allow_list:
        if route.destination == dialled:
            return f"{dialled} is not a `to`, but the destination of line {route.line}."
        if route.masking_id == dialled:
            return f"{dialled} is not a `to`, but the masking ID of line {route.line}."
    for route in allow_list:
        if str(route.dialled)[-_SAME_END:] == str(dialled)[-_SAME_END:]:
            return f"{dialled} is not listed; line {route.line} has {route.dialled}."
    return f"{dialled} is in no row, and nothing like it."


def _callers(rows: list[Route]) -> str:
    names = [f"{route.caller} (line {route.line})" for route in rows]
    if len(names) > _MAX_NAMED:
        return f"{', '.join(names[:_MAX_NAMED])} and {len(names) - _MAX_NAMED} more"
    return " and ".join(names)


def _told(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S UTC}" if moment else "never"


def _parsed(number: PhoneNumber) -> phonenumbers.PhoneNumber:
    """Split a number as it stands: the library's own reading would mend what is wrong in it."""
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


def _doubtful_kind(number: PhoneNumber) -> str:
    parsed = _parsed(number)
    if parsed.country_code in _SATELLITE_CODES:
        return "a satellite or international-network number: check what a call to it costs"
    if not _may_be_dear(parsed.country_code or 0).fullmatch(str(parsed.national_number)):
        return ""
    return _DEAR.get(phonenumbers.number_type(parsed), "")


@lru_cache(maxsize=1024)
def _may_be_dear(country_code: int) -> re.Pattern[str]:
    """Return what every dear number of a country matches: to ask for each number's type is slow."""
    patterns = ["(?!)"]
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(country_code, ()):
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
        for kind in (metadata.premium_rate, metadata.shared_cost) if metadata else ():
            if kind and kind.national_number_pattern:
                patterns.append(kind.national_number_pattern)
    return re.compile("|".join(patterns))


def _lacks_its_1(number: PhoneNumber) -> bool:
    """Tell whether ten digits would be a valid North American number with its 1 in front."""
    return len(number) == _NATIONAL_DIGITS and is_valid(PhoneNumber(f"{_NORTH_AMERICA}{number}"))


def countries(allow_list: AllowList) -> list[tuple[str, int]]:
    """Return the countries of all numbers in the list, each with how many it has, most first."""
    numbers = {
        number
        for route in allow_list
        for number in (route.caller, route.dialled, route.destination, route.masking_id)
        if number is not None
    }
    counted = Counter(map(country, numbers))
    return sorted(counted.items(), key=lambda each: (-each[1], each[0]))


def country(number: PhoneNumber) -> str:
    """Return a number's country in two letters: `intl` if it is of none, `??` if that is unknown.

    Of a number that nobody gives out it is the first country of its country code.
    """
    parsed = _parsed(number)
    first, *others = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(parsed.country_code or 0, ("",))
    found = _country(parsed) if others else first
    if not found and parsed.country_code != _NORTH_AMERICA:
        found = first
    return _IN_WORDS.get(found, found)


def _countries(one: PhoneNumber, other: PhoneNumber) -> tuple[str, str] | None:
    """Return the countries of two numbers if they are known and differ."""
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    parsed = _parsed(one), _parsed(other)
    first, second = (number.country_code or 0 for number in parsed)
    if first == second and len(codes.get(first, ())) == 1:
        return None
    home, away = map(_country, parsed)
    return (home, away) if home and away and home != away else None


def _country(number: phonenumbers.PhoneNumber) -> str:
    if number.country_code == _NORTH_AMERICA:
        return _country_of_area(str(number.national_number)[:3])
    return phonenumbers.region_code_for_number(number) or ""


@lru_cache(maxsize=1024)
def _country_of_area(area_code: str) -> str:
    """Return the country of a North American area code: there it is what tells the country."""
    number = phonenumbers.PhoneNumber(_NORTH_AMERICA, int(f"{area_code}5550100"))
    return phonenumbers.region_code_for_number(number) or ""
