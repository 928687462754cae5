"""What one cell may hold, and what is said of any other content."""

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
    assert error_of(lambda: cells.unambiguous_number("2025550102", home_country_code="1")) == (
        "wanted a + and the country code in front, because home_country_code puts 1 before ten"
        " digits alone"
    )


@pytest.mark.parametrize("text", ["+2025550109", "4712345678", "12025550102"])
def test_ten_digits_that_a_home_country_code_leaves_alone_are_read(text: str) -> None:
    number = cells.unambiguous_number(text, home_country_code="1")
    assert number == text.removeprefix("+")


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
