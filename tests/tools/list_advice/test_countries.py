"""In which country a number is, by the numbering plans."""

import facts
import pytest
from helpers import read_list

from phone import PhoneNumber
from tools.list_advice import countries


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("12025550100", "US"),
        ("14165550100", "CA"),
        ("442079460123", "GB"),
        ("493023125001", "DE"),
        ("2025550161", "EG"),
        ("4712345678", "??"),
        ("88131234567", "intl"),
        ("19992555010", "??"),
        ("9992025550111", "??"),
        ("440000000", "??"),
    ],
)
def test_a_number_has_a_country_in_two_letters(number: str, country: str) -> None:
    assert countries.country(PhoneNumber(number)) == country


def test_numbers_are_counted_once_each_and_the_most_frequent_country_comes_first() -> None:
    rows = "442079460123,12025550111,12025550112\n12025550100,12025550111,493023125001"
    listed = read_list(f"to,from,destination\n{rows}")
    assert countries.countries(listed) == [("US", 3), ("DE", 1), ("GB", 1)]
    assert countries.countries(read_list(facts.ALLOW_LIST)) == [("US", 8)]
