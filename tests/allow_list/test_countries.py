"""In which country a number is, by the numbering plans."""

import facts
import pytest
from helpers import read_list

from allow_list import countries
from phone import PhoneNumber


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("12025550100", "US"),
        ("14165550100", "CA"),
        ("442079460123", "GB"),
        ("493023125001", "DE"),
        ("2025550161", "EG"),
        ("4712345678", "NO"),
        ("88131234567", "intl"),
        ("19992555010", "??"),
        ("9992025550111", "??"),
    ],
)
def test_a_number_has_a_country_in_two_letters(number: str, country: str) -> None:
    assert countries.country(PhoneNumber(number)) == country


def test_a_number_that_is_not_valid_is_in_the_first_country_of_its_code() -> None:
    assert countries.country(PhoneNumber("440000000")) == "GB"


def test_numbers_are_counted_once_each_and_the_most_frequent_country_comes_first() -> None:
    rows = "442079460123,12025550111,12025550112\n12025550100,12025550111,4712345678"
    listed = read_list(f"to,from,destination\n{rows}")
    assert countries.countries(listed) == [("US", 3), ("GB", 1), ("NO", 1)]
    assert countries.countries(read_list(facts.ALLOW_LIST)) == [("US", 8)]


def test_two_countries_differ_only_when_both_are_known() -> None:
    us, gb, unknown = map(PhoneNumber, ("12025550100", "442079460123", "9992025550111"))
    assert countries.different(us, gb) == ("US", "GB")
    assert countries.different(us, us) is None
    assert countries.different(us, unknown) is None
