"""Warns of what is doubtful in an allow-list without a fault, before a real person calls.

Numbers that the numbering plans do not know, cost much or are in another country than the one they
are shown to, and rows that can never connect. People's numbers are shown by their last four digits
unless they are asked for in full. No I/O.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial

import phonenumbers
from phonenumbers import PhoneNumberType

from phone import NATIONAL_DIGITS, PhoneNumber, by_plan, is_possible, is_valid
from routing import AllowList, Route
from tools.list_advice.countries import UNKNOWN, country
from tools.list_advice.redacted import show_number

_Show = Callable[[PhoneNumber], str]

_DIGITS = re.compile("[0-9]{7,15}")
# As people group a number, and not a date.
_GROUPED = re.compile(r"(?<![0-9])(?!20[0-9]{2}[.-])[0-9]{1,4}(?:[ ().-]+[0-9]{2,4}){2,4}(?![0-9])")
_SATELLITE_CODES = {870, 881, 882, 883}
_COSTLY = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number, which TeleSign refuses to dial",
    PhoneNumberType.SHARED_COST: "a shared-cost number: check what a call to it costs",
}


def warnings(
    route: Route,
    allow_list: AllowList,
    now: datetime,
    accept_digit: str = "",
    *,
    full: bool = False,
) -> Iterator[str]:
    """Yield each doubtful thing in a row that has no fault, the column first.

    `accept_digit` is the setting, by which a greeting has to ask for a digit.
    """
    show = partial(show_number, allow_list=allow_list, full=full)
    for column, number in _numbers(route):
        yield from _number_warnings(column, number, show)
    kind = _costly_kind(route.destination)
    if kind:
        yield f"destination: {show(route.destination)} is {kind}"
    called, seen = (country(number) for number in (route.destination, route.masking_id))
    if called != seen and UNKNOWN not in (called, seen):
        yield f"caller_id_number: the destination is in {called}, but the masking ID is in {seen}"
    if not allow_list.lists(route.masking_id):
        yield f"caller_id_number: nobody can call {route.masking_id} back: no row has it as `to`"
    yield from _text_warnings(route, accept_digit)
    yield from _never_connects(route, allow_list, now, show)


def _text_warnings(route: Route, accept_digit: str) -> Iterator[str]:
    asks = f"(?<![0-9]){accept_digit}(?![0-9])"
    if accept_digit and route.greeting and not re.search(asks, route.greeting):
        yield f"greeting: accept_digit is {accept_digit}, but this greeting does not ask for it"
    if _looks_like_number(route):
        yield "external_id: looks like a telephone number, and ids are shown whole everywhere"


def _looks_like_number(route: Route) -> bool:
    """Whether the id holds a valid number, or the number of a person of this row."""
    text, people = route.dial.external_id or "", (route.caller, route.destination)
    if any(number and number in text for number in people):
        return True
    found = _DIGITS.findall(text)
    found += (re.sub("[^0-9]", "", digits) for digits in _GROUPED.findall(text))
    return any(
        is_valid(number) or lacks_north_american_1(number) or _ends_one_of(people, number)
        for number in map(PhoneNumber, found)
    )


def _ends_one_of(people: Iterable[PhoneNumber | None], digits: str) -> bool:
    return any(person is not None and person.endswith(digits) for person in people)


def _numbers(route: Route) -> Iterator[tuple[str, PhoneNumber]]:
    """Yield the numbers of a route, each once, with its column."""
    yield "to", route.dialled
    if route.destination != route.dialled:
        yield "destination", route.destination
    if route.masking_id != route.dialled:
        yield "caller_id_number", route.masking_id
    if route.caller is not None:
        yield "from", route.caller


def _number_warnings(column: str, number: PhoneNumber, show: _Show) -> Iterator[str]:
    if not is_possible(number):
        yield f"{column}: {show(number)} is not possible as a phone number in any country"
    if lacks_north_american_1(number):
        text = f"{column}: as written, {show(number)} is a number in {country(number)}; if it is"
        also = ', and set home_country_code = "1" if it arrives without the 1'
        yield f"{text} North American, write a 1 in front{also if column == 'from' else ''}"


def lacks_north_american_1(number: PhoneNumber) -> bool:
    """Whether these are ten digits that a 1 in front makes a valid North American number."""
    return len(number) == NATIONAL_DIGITS and is_valid(PhoneNumber(f"1{number}"))


def _never_connects(
    route: Route, allow_list: AllowList, now: datetime, show: _Show
) -> Iterator[str]:
    """Yield each reason why the row connects nobody."""
    if route.expires is not None and route.expires <= now:
        yield f"expires: this row expired at {in_utc(route.expires)}"
    if route.caller is not None and route.caller in allow_list.own_numbers:
        yield f"from: {show(route.caller)} is one of your own numbers, so this row would loop"
    if route.destination in allow_list.own_numbers:
        yield (
            f"destination: {show(route.destination)} is one of virtual_numbers, so a call to it"
            " would come back; `pair` does not give it out"
        )
    if route.caller == route.destination:
        yield f"from: {show(route.destination)} is also the destination, so this row never connects"


def in_utc(time: datetime | None) -> str:
    """Return a time as an operator reads it."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S UTC}" if time else "never"


def _costly_kind(number: PhoneNumber) -> str:
    parsed = by_plan(number)
    if parsed is None:
        return ""
    if parsed.country_code in _SATELLITE_CODES:
        return "a satellite or international-network number: check what a call to it costs"
    return _COSTLY.get(phonenumbers.number_type(parsed), "")
