import pytest
from hypothesis import given
from hypothesis import strategies as st

import phone
from phone import NoNumber


@pytest.mark.parametrize(
    "text",
    [
        "12025550100",
        "+12025550100",
        "+1 (202) 555-0100",
        " 1.202.555.0100 ",
        "1-202-555-0100",
    ],
)
def test_spellings_of_one_number_have_one_form(text: str) -> None:
    assert phone.parse(text) == "12025550100"


@pytest.mark.parametrize("text", ["1234567", "123456789012345"])
def test_7_and_15_digits_are_numbers(text: str) -> None:
    assert phone.parse(text) == text
    assert phone.is_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "123456",
        "1234567890123456",
        "02025550100",
        "++12025550100",
        "1202555010O",
        "12025550100x9",
        "12025550100;",
        "1\u0662025550100",
        "١٢٠٢٥٥٥٠١٠٠",
        "1202555\n0100",
        "1[202]5550100",
        "1/202/5550100",
        "12025550100\n12025550111",
        "1\u00a02025550100",
    ],
)
def test_anything_else_is_no_number(text: str) -> None:
    assert not phone.is_number(text)
    with pytest.raises(phone.PhoneError, match="wanted a country code and digits"):
        phone.parse(text)


@pytest.mark.parametrize("value", [None, "", " ", "anonymous", "Restricted", "unknown", "+"])
def test_no_digits_mean_withheld(value: object) -> None:
    assert phone.read(value) is NoNumber.WITHHELD


@pytest.mark.parametrize(
    "value", [12025550100, True, 1.5, [], {}, "12", "0044", "120255501O", "\u0661"]
)
def test_what_is_not_a_number_in_text_is_bad(value: object) -> None:
    assert phone.read(value) is NoNumber.BAD


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("2025550100", "12025550100"),
        ("202-555-0100", "12025550100"),
        ("12025550100", "12025550100"),
        ("+2025550100", "2025550100"),
        (" +2025550100", "2025550100"),
        ("202555010", "202555010"),
    ],
)
def test_home_country_code_goes_before_ten_digits_only(value: str, number: str) -> None:
    assert phone.read(value, home_country_code="1") == number


def test_without_home_country_code_ten_digits_stay() -> None:
    assert phone.read("2025550100") == "2025550100"


@pytest.mark.parametrize(
    ("number", "fictional"),
    [
        ("12025550100", True),
        ("12025550199", True),
        ("12025550200", False),
        ("12025550099", False),
        ("11025550100", False),
        ("22025550100", False),
        ("120255501000", False),
        ("18888888888", False),
    ],
)
def test_fictional_numbers_are_555_0100_to_0199(number: str, fictional: bool) -> None:
    assert phone.is_fictional(phone.parse(number)) is fictional


def test_redaction_leaves_four_digits() -> None:
    assert phone.redact("12025550100") == "...0100"


def test_outline_shows_the_fault_and_not_the_number() -> None:
    assert phone.outline("+1 (202) 555-01O0") == "+* (***) **5-01O0"
    assert phone.outline("no 123456") == "no 123456"
    assert phone.outline("no 1234567") == "no ***4567"


@given(st.one_of(st.none(), st.text(), st.integers(), st.text("+0123456789 -.()", max_size=20)))
def test_reading_anything_gives_a_number_in_the_one_form_or_none(value: object) -> None:
    number = phone.read(value, home_country_code="1")
    assert isinstance(number, NoNumber) or phone.is_number(number)
