"""What one cell may hold, and what is said of any other content."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from allow_list import cells
from allow_list.rows import RowError

WANTED_NUMBER = "wanted a country code and digits, 7 to 15 in all, such as 12025550100"
WANTED_TIME = "wanted a time with its zone, such as 2027-01-31T18:00:00Z"
WANTED_GROUPS = (
    "; digits in groups are read only if they make a number that their country can have, without"
    " an extension, a (0) or a decimal point"
)


def error_of(read: Callable[[], object]) -> str:
    with pytest.raises(RowError) as caught:
        read()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12025550101", "12025550101"),
        ("+1 (202) 555-0101", "12025550101"),
        (" 1.202.555.0101 ", "12025550101"),
        ("2025550101", "2025550101"),
        ("", None),
        (" ", None),
    ],
)
def test_a_number_is_read_as_people_write_it(text: str, number: str | None) -> None:
    assert cells.number({"from": text}, "from", "") == number


def test_a_column_that_the_file_does_not_have_is_empty() -> None:
    assert cells.number({}, "from", "") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", f"{WANTED_NUMBER}, got '0'"),
        ("1202x", f"{WANTED_NUMBER}, got '1202x'"),
        ("+12O2555", f"{WANTED_NUMBER}, got '+12O2555'"),
        ("12025550111.0", f"{WANTED_NUMBER}{WANTED_GROUPS}, got '********111.0'"),
        ("+49 (0)30 23125 002", f"{WANTED_NUMBER}{WANTED_GROUPS}, got '+** (*)** ****5 002'"),
    ],
)
def test_what_is_not_a_number_is_refused_with_its_column(text: str, message: str) -> None:
    assert error_of(lambda: cells.number({"from": text}, "from", "")) == f"from: {message}"


def test_every_row_has_a_dialled_number() -> None:
    assert cells.dialled({"to": "12025550101"}, "") == "12025550101"
    message = "to: wanted the number that callers dial, got nothing"
    assert error_of(lambda: cells.dialled({"to": " "}, "")) == message


def test_ten_digits_that_a_home_country_code_would_change_are_refused() -> None:
    assert error_of(lambda: cells.number({"destination": "2025550102"}, "destination", "1")) == (
        "destination: wanted a + and the country code in front, because home_country_code puts 1"
        " before ten digits alone, got '******0102'"
    )


@pytest.mark.parametrize("text", ["+2025550109", "4712345678", "12025550102"])
def test_ten_digits_that_a_home_country_code_leaves_alone_are_read(text: str) -> None:
    assert cells.number({"to": text}, "to", "1") == text.removeprefix("+")


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), (" ", None), ("1", 1), (" 14400 ", 14400)]
)
def test_a_duration_is_1_to_14400_seconds(text: str, seconds: int | None) -> None:
    assert cells.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1h", "\u0661", "1e3", "14401"])
def test_any_other_duration_is_refused(text: str) -> None:
    message = f"max_call_duration: wanted seconds, 1 to 14400, got '{text}'"
    assert error_of(lambda: cells.duration_s(text)) == message


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("2027-01-31T18:00:00Z", UTC),
        (" 2027-01-31 18:00:00+05:30 ", timezone(timedelta(hours=5, minutes=30))),
    ],
)
def test_an_expiry_may_be_in_any_zone(text: str, zone: timezone) -> None:
    assert cells.expires(text) == datetime(2027, 1, 31, 18, tzinfo=zone)


def test_an_empty_expiry_is_none() -> None:
    assert cells.expires(" ") is None


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("soon", "'soon'"),
        ("0001-01-01T00:00:00+05:00", "'0001-01-01T00:00:00+05:00'"),
        ("2027-02-30T00:00:00Z", "'2027-02-30T00:00:00Z'"),
        ("2027-01-31", "2027-01-31T00:00:00 without one"),
        ("2027-01-31T18:00:00", "2027-01-31T18:00:00 without one"),
        ("12025550123", "'*******0123'"),
        ("1202-5550-123", "'****-***0-123'"),
    ],
)
def test_an_expiry_without_a_zone_or_meaning_is_refused(text: str, got: str) -> None:
    assert error_of(lambda: cells.expires(text)) == f"expires: {WANTED_TIME}, got {got}"
