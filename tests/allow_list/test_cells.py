"""What one cell may hold, and what is said of any other content."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from allow_list import cells

WANTED_TIME = "wanted a time with its zone, such as 2027-01-31T18:00:00Z"


def error_of(read: Callable[[], object]) -> str:
    with pytest.raises(ValueError, match=r"^wanted") as caught:
        read()
    return str(caught.value)


def test_ten_digits_that_a_home_country_code_would_change_are_refused() -> None:
    assert error_of(lambda: cells.number("2025550102", home_country_code="1")) == (
        "wanted a + and the country code in front, because home_country_code puts 1 before ten"
        " digits alone"
    )


@pytest.mark.parametrize("text", ["+2025550109", "4712345678", "12025550102"])
def test_ten_digits_that_a_home_country_code_leaves_alone_are_read(text: str) -> None:
    number = cells.number(text, home_country_code="1")
    assert number == text.removeprefix("+")


@pytest.mark.parametrize("text", ["1.20256E+10", "1,20256e+10", "4.4E11", "+1E+10", "120256E5"])
@pytest.mark.parametrize("home", ["", "1"])
def test_a_number_that_a_spreadsheet_has_shortened_is_named_as_that(text: str, home: str) -> None:
    error = error_of(lambda: cells.number(text, home_country_code=home))
    assert error == "wanted all digits, not a number that a spreadsheet has shortened"


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-31", "2027/1/31", "2027-01-31T18:00:00Z", "2027-01-31 18:00", "31.01.2027",
        "31.1.27", "1/31/2027", "29-12-2035", "31-Jan-27", "31. Jan", "Jan-27", "5 May 2027",
        "01. Mär", "12-Okt-26",
    ],
)  # fmt: skip
def test_a_date_is_named_as_that_even_where_its_digits_could_be_a_number(text: str) -> None:
    error = error_of(lambda: cells.number(text, home_country_code=""))
    assert error == "wanted a phone number, not a date"


@pytest.mark.parametrize("text", ["Janet", "May", "12-34-5678", "12E", "E10", "1.2"])
def test_what_is_neither_a_number_nor_a_date_is_named_as_neither(text: str) -> None:
    error = error_of(lambda: cells.number(text, home_country_code=""))
    assert error == "wanted a country code and digits, 7 to 15 in all, such as 12025550100"


@pytest.mark.parametrize("text", ["1-202-555-0100", "1.202.555.0100", "20270131", "+12025550100"])
def test_a_number_that_is_grouped_or_could_be_a_date_without_separators_is_read(text: str) -> None:
    assert cells.number(text, home_country_code="") == re.sub("[^0-9]", "", text)


def test_a_duration_is_1_to_14400_seconds() -> None:
    assert [cells.duration_s(text) for text in ("1", "14400")] == [1, 14400]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1h", "\u0661", "1e3", "14401"])
def test_any_other_duration_is_refused(text: str) -> None:
    assert error_of(lambda: cells.duration_s(text)) == "wanted seconds, 1 to 14400"


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("2027-01-31T18:00:00Z", UTC),
        ("2027-01-31 18:00:00+05:30", timezone(timedelta(hours=5, minutes=30))),
    ],
)
def test_an_expiry_may_be_in_any_zone(text: str, zone: timezone) -> None:
    assert cells.expires(text) == datetime(2027, 1, 31, 18, tzinfo=zone)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("soon", "soon"),
        ("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00+05:00"),
        ("2027-02-30T00:00:00Z", "2027-02-30T00:00:00Z"),
        ("2027-01-31", "2027-01-31"),
        ("2027-01-31T18:00:00", "2027-01-31T18:00:00"),
        ("12025550123", "*******0123"),
        ("1202-5550-123", "****-***0-123"),
        ("2027-01-31 12025550123", "****-**-** *******0123"),
        ("2027-01-31 +1 202 555 0123", "****-**-** +* *** *** 0123"),
    ],
)
def test_an_expiry_without_a_zone_or_meaning_is_refused_and_shown_without_a_number(
    text: str, shown: str
) -> None:
    assert error_of(lambda: cells.expires(text)) == WANTED_TIME
    assert cells.quote(text) == repr(shown)
