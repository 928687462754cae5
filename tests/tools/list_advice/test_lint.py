"""What is doubtful in a row without a fault, warned of before a real person calls."""

import phonenumbers
import pytest
from helpers import START, read_list
from phonenumbers import PhoneNumberType

import phone
from phone import PhoneNumber
from tools.list_advice import lint


def example(region: str, kind: int = PhoneNumberType.FIXED_LINE) -> str:
    """Return the numbering plan's own example of a number."""
    number = phonenumbers.example_number_for_type(region, kind)
    assert number is not None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]


GB, JE, IT = example("GB"), example("JE"), example("IT")
DE, SHARED_COST = example("DE"), example("DE", PhoneNumberType.SHARED_COST)
SATELLITE = phonenumbers.format_number(
    phonenumbers.example_number_for_non_geo_entity(881),  # type: ignore[arg-type]
    phonenumbers.PhoneNumberFormat.E164,
)[1:]
IMPOSSIBLE = "is not possible as a phone number in any country"


@pytest.mark.parametrize(
    ("row", "warnings"),
    [
        ("12025550100,,12025550111,,", []),
        (f"{IT},,{IT[:-1]}9,,", []),
        ("12025550100,,19005550111,,",
         ["destination: 19005550111 is a premium-rate number, which TeleSign refuses to dial"]),
        (f"{DE},,{SHARED_COST},,",
         [f"destination: {SHARED_COST} is a shared-cost number: check what a call to it costs"]),
        (f"{SATELLITE[:-1]}9,,{SATELLITE},,",
         [f"destination: {SATELLITE} is a satellite or international-network number:"
          " check what a call to it costs"]),
        ("12025550100,,1202555011,,", [f"destination: 1202555011 {IMPOSSIBLE}"]),
        ("12025550100,,9992025550111,,", [f"destination: 9992025550111 {IMPOSSIBLE}"]),
        ("12025550100,1202555,12025550111,,", [f"from: 1202555 {IMPOSSIBLE}"]),
        ("1202555,,12025550111,,", [f"to: 1202555 {IMPOSSIBLE}"]),
        (f"440{GB[2:]},,{GB},,", [f"to: 440{GB[2:]} {IMPOSSIBLE}"]),
        ("493023125001,,4903023125002,,", [f"destination: 4903023125002 {IMPOSSIBLE}"]),
        ("12025550100,,15550111,,", [f"destination: 15550111 {IMPOSSIBLE}"]),
        ("12025550100,,12025550111,1202555,",
         [f"caller_id_number: 1202555 {IMPOSSIBLE}",
          "caller_id_number: nobody can call 1202555 back: no row has it as `to`"]),
        (f"12025550100,,{GB},,",
         ["caller_id_number: the destination is in GB, but the masking ID is in US"]),
        (f"{GB},,{JE},,",
         ["caller_id_number: the destination is in JE, but the masking ID is in GB"]),
        ("14165550100,,12025550111,,",
         ["caller_id_number: the destination is in US, but the masking ID is in CA"]),
        ("12025550100,12025550111,12025550111,,",
         ["from: 12025550111 is also the destination, so this row never connects"]),
        ("12025550100,,12025550111,,2026-11-23T12:00:00Z",
         ["expires: this row expired at 2026-11-23 12:00:00 UTC"]),
        ("12025550100,,12025550111,,2026-11-23T12:00:01Z", []),
    ],
)  # fmt: skip
def test_a_row_that_is_doubtful_gets_a_warning_with_its_column(
    row: str, warnings: list[str]
) -> None:
    listed = read_list(f"to,from,destination,caller_id_number,expires\n{row}")
    (route,) = listed
    assert list(lint.warnings(route, listed, START, full=True)) == warnings


@pytest.mark.parametrize(
    ("row", "warning"),
    [
        ("12025550100,,19005550111,,",
         "destination: ...0111 is a premium-rate number, which TeleSign refuses to dial"),
        ("12025550100,,9992025550111,,", f"destination: ...0111 {IMPOSSIBLE}"),
        ("12025550100,1202555,12025550111,,", f"from: ...2555 {IMPOSSIBLE}"),
        ("12025550100,12025550111,12025550111,,",
         "from: ...0111 is also the destination, so this row never connects"),
        ("12025550100,2025550131,12025550111,,",
         "from: as written, ...0131 is a number in EG; if it is North American, write a 1 in front,"
         ' and set home_country_code = "1" if it arrives without the 1'),
        ("1202555,,12025550111,,", f"to: 1202555 {IMPOSSIBLE}"),
        ("1202555,,1202555,12025550199,", f"to: ...2555 {IMPOSSIBLE}"),
    ],
)  # fmt: skip
def test_a_persons_number_is_shown_by_its_last_four_digits_and_one_of_ours_whole(
    row: str, warning: str
) -> None:
    listed = read_list(f"to,from,destination,caller_id_number,expires\n{row}")
    (route,) = listed
    assert next(lint.warnings(route, listed, START)) == warning


@pytest.mark.parametrize(
    ("external_id", "is_warned_of"),
    [
        ("order 12025550145", True),
        ("12025550145-7", True),
        ("t-442079460123", True),
        ("ride 2025550145", True),  # without its 1
        ("ride (202) 555-0133", True),
        ("5550133", True),  # the end of this row's own
        ("trip-1234", False),
        ("2026-11-30-17", False),
        ("order 20261130-0007", False),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", False),
    ],
)
def test_an_id_that_holds_a_telephone_number_is_warned_of(
    external_id: str, is_warned_of: bool
) -> None:
    rows = f"12025550100,12025550133,12025550111,{external_id}\n"
    (route,) = read_list(f"to,from,destination,external_id\n{rows}")
    found = list(lint.warnings(route, read_list(f"to,from,destination,external_id\n{rows}"), START))
    assert [text.partition(":")[0] for text in found] == ["external_id"] * is_warned_of


def test_a_person_in_the_pool_is_warned_of() -> None:
    """A call to the number would come back to us."""
    text = "to,from,destination\n12025550100,12025550145,12025550111\n"
    pool = (PhoneNumber("12025550111"), PhoneNumber("12025550145"))
    listed = read_list(text, virtual_numbers=pool)
    (found,) = [list(lint.warnings(route, listed, START)) for route in listed]
    assert found == [
        "from: 12025550145 is one of your own numbers, so this row would loop",
        "destination: 12025550111 is one of virtual_numbers, so a call to it would come back;"
        " `pair` does not give it out",
    ]


def test_a_row_for_one_of_our_own_numbers_never_connects() -> None:
    text = "to,from,destination,caller_id_number\n12025550100,,12025550111,12025550100\n"
    listed = read_list(
        f"{text}12025550101,12025550102,12025550112,\n12025550102,,12025550113,12025550100"
    )
    found = [list(lint.warnings(route, listed, START)) for route in listed]
    assert found == [
        [],
        ["from: 12025550102 is one of your own numbers, so this row would loop"],
        [],
    ]


@pytest.mark.parametrize(
    ("number", "lacks_it"),
    [("2025550133", True), ("12025550133", False), ("202555013", False), ("4930123456", False)],
)
def test_ten_digits_lack_a_1_if_it_makes_them_a_north_american_number(
    number: str, lacks_it: bool
) -> None:
    assert lint.lacks_north_american_1(phone.parse(number)) is lacks_it
