"""How numbers are read, what is not one, and how one is shown."""

import contextlib
import re

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
        "+1(202)555-0100",
        "1 (202)-555-0100",
        "1202555 0100",
        "12.025.550.100",
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


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+44 20 7946 0123", "442079460123"),
        ("+49 30 23125-001", "493023125001"),
        ("+49 (30) 23125 001", "493023125001"),
        ("+39 06 6982 0000", "390669820000"),
    ],
)
def test_other_countries_group_digits_in_their_own_way(text: str, number: str) -> None:
    assert phone.parse(text) == number


ADDED = [
    "493023125001.0",
    "12025550111.0",
    "12025550111.00",
    "2025550123.0",
    "12025550111.000",
    "493023125001.45",
    "+49 30 23125 001.0",
    "+49 30 23125 001.00",
    "1.202.555.01.11",
    "1.2025550111E+10",
    "4.93023125001E+11",
    "+49 (0)30 23125 002",
    "+49(0)3023125002",
    "+49 ( 0 ) 30 23125 002",
    "+49 (00) 30 23125 002",
    "+49 030 23125 002",
    "+49 (030) 23125 002",
    "49-030-23125002",
    "+44 (0) 20 7946 0123",
    "+44 20 7946 (0)123",
    "+44 020 7946 0123",
    "12025550111-45",
    "12025550111 45",
    "12025550111-0",
    "12025550111 - 45",
    "493023125001-45",
    "493023125001 45",
    "+493023125001-0",
    "1 202 555 0111 (45)",
    "1 202 555 0111 45",
    "1-202-555-0111-45",
    "+49 30 23125001 (45)",
    "12025550111x45",
    "1 202 555 0111 ext. 45",
    "12025550111#45",
    "12025550111,45",
    "12025550111;ext=45",
    "12025550111/45",
    "12025550111/12",
    "493023125001/02",
    "1 202 555 0111,,45",
    "12,025,550,111",
    "12025550111 12025550112",
    "12025550111, 12025550112",
    "+1 202 555 0111 +1 202 555 0112",
    "+1+2025550111",
    "1+2025550111",
    "0012025550111",
    "01112025550111",
    "00 1 202 555 0111",
    "011 1 202 555 0111",
    "+0012025550111",
    "'12025550111",
    "=12025550111",
    "\uff11\uff12\uff102555\uff10111",
    "1 202 555\u00a00111",
    "1 202 555\u20110111",
    "12025550111\u00b2",
    "(202) 555-0111",
    "1 555 0111",
]


@pytest.mark.parametrize("text", ADDED)
def test_digits_that_are_not_part_of_the_number_are_never_read(text: str) -> None:
    with pytest.raises(phone.PhoneError):
        phone.parse(text)
    assert not phone.is_number(phone.read(text))


@given(
    st.sampled_from(["12025550111", "442079460123", "493023125001"]),
    st.sampled_from([".0", ".00", ".000", ".5", "-0", "-45", " 45", "(45)", " (45)", ",45", "x45"]),
    st.sampled_from(["", "+", " ", "'"]),
)
def test_whatever_is_added_to_a_whole_number_is_refused(number: str, more: str, sign: str) -> None:
    with pytest.raises(phone.PhoneError):
        phone.parse(f"{sign}{number}{more}")


@given(st.text("+0123456789 -.()/,x", max_size=24))
def test_what_is_read_has_the_digits_of_the_text_and_no_others(text: str) -> None:
    with contextlib.suppress(phone.PhoneError):
        assert phone.parse(text) == re.sub("[^0-9]", "", text)


@pytest.mark.parametrize("value", [None, "", " ", "anonymous", "Restricted", "unknown", "+"])
def test_no_digits_mean_withheld(value: object) -> None:
    assert phone.read(value) is NoNumber.WITHHELD


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        (12025550100, "12025550100"),
        (True, ""),
        (1.5, "15"),
        ([], ""),
        ({}, ""),
        ("12", "12"),
        ("0044", "44"),
        ("+0000000000", ""),
        ("120255501O", "120255501"),
        ("\u0661", "1"),
        ("\u00b2", ""),
        ("sip:12025550199@10.0.0.1", "1202555019910001"),
        ("1" * 199, "1" * 128),
    ],
)
def test_an_unreadable_value_is_bad_and_keeps_its_digits(value: object, digits: str) -> None:
    assert phone.read(value) == NoNumber("bad", digits)


@pytest.mark.parametrize(
    "value",
    [
        "sip:12025550199@example.com",
        "sip:+1-202-555-0199@10.0.0.1;user=phone",
        "tel:+12025550199;ext=45",
        "0012025550199",
        "01112025550199",
        "00 1 202 555 0199",
        "1 202 555 0199 (45)",
        "12025550199,45",
        12025550199,
        ["12025550199"],
    ],
)
def test_an_unreadable_number_is_searched_for_a_number_in_it(value: object) -> None:
    number = phone.read(value)
    assert isinstance(number, NoNumber)
    assert number.holds_any({"12025550199"})
    assert not number.holds_any({"12025550198", "2025550199012345"})


@pytest.mark.parametrize("value", ["sip:2025550199@example.com", "sip:02025550199@example.com"])
def test_a_home_country_code_is_put_before_unreadable_digits_too(value: str) -> None:
    number = phone.read(value, home_country_code="1")
    assert isinstance(number, NoNumber)
    assert number.holds_any({"12025550199"})


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("2025550100", "12025550100"),
        ("202-555-0100", "12025550100"),
        ("(202) 555-0100", "12025550100"),
        ("4712345678", "4712345678"),
        ("4552345678", "4552345678"),
        ("0202555010", None),
        ("2025550100.0", None),
        ("12025550100", "12025550100"),
        ("+2025550100", "2025550100"),
        (" +2025550100", "2025550100"),
        ("202555010", "202555010"),
    ],
)
def test_home_country_code_goes_before_ten_digits_that_are_a_number_at_home(
    value: str, number: str | None
) -> None:
    found = phone.read(value, home_country_code="1")
    assert found == number or (number is None and isinstance(found, NoNumber))


@pytest.mark.parametrize(
    ("value", "home", "number"),
    [
        ("2079460123", "44", "442079460123"),
        ("0669820000", "39", "390669820000"),
        ("2025550100", "999", "2025550100"),
        ("7946012345", "440", "7946012345"),
        ("2025550100", "44", "2025550100"),
    ],
)
def test_any_country_may_be_the_home_country(value: str, home: str, number: str) -> None:
    assert phone.read(value, home_country_code=home) == number


AT_HOME = [
    ("44", "02079460123", "442079460123"),
    ("44", "(020) 7946 0123", "442079460123"),
    ("44", "020-7946-0123", "442079460123"),
    ("44", "00442079460123", "442079460123"),
    ("44", "00 44 20 7946 0123", "442079460123"),
    ("44", "0012025550123", "12025550123"),
    ("44", "2079460123", "442079460123"),
    ("49", "03023125001", "493023125001"),
    ("49", "030 23125-001", "493023125001"),
    ("49", "00493023125001", "493023125001"),
    ("49", "004903023125001", "493023125001"),
    ("49", "3023125001", "493023125001"),
    ("39", "0623125001", "390623125001"),
    ("39", "06 2312 5001", "390623125001"),
    ("39", "00390623125001", "390623125001"),
    ("1", "2025550123", "12025550123"),
    ("1", "6465550123", "16465550123"),  # which would be a number in New Zealand too
    ("1", "011442079460123", "442079460123"),
    ("1", "00442079460123", "442079460123"),
    ("36", "0612345678", "3612345678"),
]
AS_IT_STANDS = [
    ("44", "442079460123", "442079460123"),
    ("44", "+442079460123", "442079460123"),
    ("44", "12025550123", "12025550123"),
    ("39", "390623125001", "390623125001"),
    ("1", "12025550123", "12025550123"),
    ("1", "+2025550123", "2025550123"),
    # In Germany these could be local numbers, and they are a Norwegian's and a German's in full.
    ("49", "4791234567", "4791234567"),
    ("49", "4930123456", "4930123456"),
]
NOTHING = [
    ("44", "0", ""),
    ("44", "00", ""),
    ("44", "0000000000", ""),
    ("44", "0044", "4444"),
    ("44", "999", "44999"),
    ("44", "0112", "44112"),
    ("44", "0442079460123", "44442079460123"),
    ("44", "+02079460123", "442079460123"),
    ("44", "+44 (0)20 7946 0123", "444402079460123"),
    ("44", "(0) 20 7946 0123", "442079460123"),
    ("44", "02079460123.0", "4420794601230"),
    ("44", "02079460123 45", "44207946012345"),
    ("44", "02079460123;ext=45", "44207946012345"),
    ("44", "sip:02079460123@example.com", "442079460123"),
    ("44", "\u0660\u0662\u0660\u0667\u0669\u0664\u0666\u0660\u0661\u0662\u0663", "442079460123"),
    ("49", "0110", "49110"),
    ("49", "0023125001", "4923125001"),
    ("49", "03023125001 45", "49302312500145"),
    ("49", "00493023125001 45", "4949302312500145"),
    ("39", "0612", "390612"),
    ("1", "911", "1911"),
    ("1", "02025550123", "12025550123"),
    ("999", "02079460123", "99902079460123"),
]  # fmt: skip


@pytest.mark.parametrize(("home", "text", "number"), AT_HOME + AS_IT_STANDS)
def test_a_number_is_read_as_it_is_written_at_home(home: str, text: str, number: str) -> None:
    assert phone.read(text, home_country_code=home) == number


@pytest.mark.parametrize(("home", "text", "digits"), NOTHING)
def test_what_is_no_clear_number_at_home_is_none(home: str, text: str, digits: str) -> None:
    assert phone.read(text, home_country_code=home) == NoNumber("bad", digits)


@pytest.mark.parametrize("value", [text for _, text, _ in AT_HOME + NOTHING])
def test_without_a_home_no_zero_is_a_trunk_prefix_and_ten_digits_stay(value: str) -> None:
    found = phone.read(value)
    assert isinstance(found, NoNumber) or found == value


BEGUN = r"0{0,2}(1202555|4420794|4930231|390623|20794|30231|0623)[0-9]{3,6}"


@given(
    st.sampled_from(["1", "39", "44", "49"]),
    st.text("0123456789 -()+.", max_size=18) | st.from_regex(BEGUN, fullmatch=True),
)
def test_no_digit_is_added_but_the_country_code_and_none_left_out_but_a_prefix(
    home: str, text: str
) -> None:
    found, digits = phone.read(text, home_country_code=home), re.sub("[^0-9]", "", text)
    if not isinstance(found, NoNumber):
        national = digits.removeprefix("0") if home != "39" else digits
        abroad = {digits.removeprefix("00"), digits.removeprefix("011")}
        abroad |= {re.sub("^(44|49)0", r"\1", number) for number in abroad}
        assert found in {digits, f"{home}{digits}", f"{home}{national}", *abroad}
        assert found == digits or phone.is_valid(found)


@pytest.mark.parametrize(
    ("home", "own", "text"),
    [
        ("44", "442079460199", "sip:02079460199@example.com"),
        ("44", "442079460199", "tel:00442079460199"),
        ("39", "390623125001", "sip:0623125001@example.com"),
        ("39", "390623125001", "sip:00390623125001@example.com"),
        ("49", "493023125001", "030 23125001 (45)"),
        ("44", "442025550199", "02025550199"),  # possible, and not assigned
    ],
)
def test_a_number_of_ours_is_found_in_what_cannot_be_read_at_home(
    home: str, own: str, text: str
) -> None:
    found = phone.read(text, home_country_code=home)
    assert isinstance(found, NoNumber)
    assert found.holds_any({own})


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


def test_masked_digits_show_the_fault_and_not_the_number() -> None:
    assert phone.mask_digits("+1 (202) 555-01O0") == "+* (***) **5-01O0"
    assert phone.mask_digits("no 123456") == "no 123456"
    assert phone.mask_digits("no 1234567") == "no ***4567"
    assert phone.mask_digits("①②⓪②⑤⑤⑤⓪①④②") == "*******⓪①④②"


@given(st.one_of(st.none(), st.text(), st.integers(), st.text("+0123456789 -.()", max_size=20)))
def test_reading_anything_gives_a_number_in_the_one_form_or_none(value: object) -> None:
    number = phone.read(value, home_country_code="1")
    assert isinstance(number, NoNumber) or phone.is_number(number)


def test_a_number_of_ours_is_found_behind_many_other_digits() -> None:
    found = phone.read(f"sip:{'9' * 30}12025550199@example.com")
    assert isinstance(found, NoNumber)
    assert found.holds_any({"12025550199"})
