"""Why a call is refused, in a sentence that names the row that comes nearest."""

import facts
import pytest
from helpers import START, read_list

import phone
from phone import PhoneNumber
from routing import Reason
from tools.list_advice.nearest_cause import nearest_cause

LIST = read_list(facts.ALLOW_LIST)
PAIR = "12025550101 is listed, but only for ...0123 (line 3) and ...0145 (line 4)"
NO_NUMBER = "number is not a country code and digits, 7 to 15 in all."
OWN = "one of your own numbers: a masking ID or a `to`."
THEMSELVES = "the row's destination: they would call themselves."


@pytest.mark.parametrize(
    ("caller", "dialled", "reason", "cause"),
    [
        ("12025550188", "12025550101", "caller_not_listed", f"{PAIR}."),
        ("", "12025550101", "caller_withheld", f"{PAIR}; this caller is withheld."),
        ("12025550123", "12025550177", "not_listed",
         "12025550177 is not listed, and no row has a similar number as its `to`."),
        ("12025550123", "12025550111", "not_listed",
         "12025550111 is not a `to`: it is the destination in line 2."),
        ("12025550123", "12025550199", "not_listed",
         "12025550199 is not a `to`: it is the masking ID in line 2."),
        ("12025550123", "2025550102", "not_listed",
         "2025550102 is not listed, but line 5 has 12025550102."),
        ("12025550123", "12025550102", "expired",
         "The row in line 5 expired at 2026-01-31 18:00:00 UTC."),
        ("12025550199", "12025550100", "loop", f"The caller's number, 12025550199, is {OWN}"),
        ("sip:12025550199@example.com", "12025550100", "loop",
         f"The caller's number, 12025550199, contains {OWN}"),
        ("12025550111", "12025550100", "caller_is_destination",
         f"The caller's number, 12025550111, is {THEMSELVES}"),
        ("12025550111-45", "12025550100", "caller_is_destination",
         f"The caller's number, 1202555011145, contains {THEMSELVES}"),
        ("12", "12025550101", "bad_number", f"The caller's {NO_NUMBER}"),
        ("1 202 555 0123 (45)", "12025550101", "bad_number", f"The caller's {NO_NUMBER}"),
        ("12025550123", "12025550100.0", "bad_number", f"The dialled {NO_NUMBER}"),
        ("12025550123", "", "bad_number", f"The dialled {NO_NUMBER}"),
    ],
)  # fmt: skip
def test_each_refusal_by_the_list_has_its_nearest_cause(
    caller: str, dialled: str, reason: str, cause: str
) -> None:
    parties = phone.read(dialled), phone.read(caller)
    found = LIST.find(*parties, START)
    assert found == Reason(reason)
    assert nearest_cause(*parties, Reason(reason), LIST, full=True) == cause


@pytest.mark.parametrize(
    ("caller", "dialled", "reason", "cause"),
    [
        ("12025550188", "12025550101", "caller_not_listed", f"{PAIR}."),
        ("12025550123", "12025550177", "not_listed",
         "...0177 is not listed, and no row has a similar number as its `to`."),
        ("12025550123", "12025550111", "not_listed",
         "...0111 is not a `to`: it is the destination in line 2."),
        ("12025550123", "12025550199", "not_listed",
         "12025550199 is not a `to`: it is the masking ID in line 2."),
        ("12025550123", "2025550102", "not_listed",
         "...0102 is not listed, but line 5 has 12025550102."),
        ("12025550123", "2025550177", "not_listed",
         "...0177 is not listed, but line 6 has ...0177."),
        ("12025550199", "12025550100", "loop", f"The caller's number, 12025550199, is {OWN}"),
        ("sip:12025550199@example.com", "12025550100", "loop",
         f"The caller's number, ...0199, contains {OWN}"),
        ("12025550111", "12025550100", "caller_is_destination",
         f"The caller's number, ...0111, is {THEMSELVES}"),
    ],
)  # fmt: skip
def test_a_number_of_ours_is_shown_whole_and_a_persons_by_its_last_four_digits(
    caller: str, dialled: str, reason: str, cause: str
) -> None:
    direct = "12025550177,,,12025550199,,,dialled by their own number\n"
    listed = read_list(facts.ALLOW_LIST + (direct if "line 6" in cause else ""))
    parties = phone.read(dialled), phone.read(caller)
    assert nearest_cause(*parties, Reason(reason), listed) == cause


@pytest.mark.parametrize(
    ("caller", "reason", "cause"),
    [
        ("", Reason.CALLER_WITHHELD, "This caller is withheld."),
        ("12", Reason.BAD_NUMBER, f"The caller's {NO_NUMBER}"),
    ],
)
def test_a_row_that_is_closed_to_callers_without_a_number_is_named(
    caller: str, reason: Reason, cause: str
) -> None:
    listed = read_list(facts.ALLOW_LIST, withheld_callers="refuse")
    parties = phone.read(facts.DIALLED), phone.read(caller)
    assert listed.find(*parties, START) is reason
    closed = "Line 2 is for any caller, but `withheld_callers` is `refuse`."
    assert nearest_cause(*parties, reason, listed) == f"{cause} {closed}"


@pytest.mark.parametrize(("caller", "line"), [("12025550123", 3), ("12025550188", 2)])
def test_the_row_that_expired_is_that_of_the_caller_or_else_the_one_for_any(
    caller: str, line: int
) -> None:
    ended = "2026-01-31T18:00:00Z"
    listed = read_list(
        "to,from,destination,expires\n"
        f"12025550102,,12025550112,{ended}\n"
        f"12025550102,12025550123,12025550112,{ended}\n"
        "12025550102,12025550124,12025550112,\n"
    )
    dialled, number = PhoneNumber("12025550102"), PhoneNumber(caller)
    cause = f"The row in line {line} expired at 2026-01-31 18:00:00 UTC."
    assert nearest_cause(dialled, number, Reason.EXPIRED, listed) == cause


def test_only_a_few_of_many_callers_are_named() -> None:
    rows = [f"12025550100,120255501{row:02},12025550199" for row in range(10, 20)]
    listed = read_list("\n".join(["to,from,destination", *rows]))
    dialled, caller = PhoneNumber("12025550100"), PhoneNumber("12025550150")
    cause = nearest_cause(dialled, caller, Reason.CALLER_NOT_LISTED, listed)
    assert cause.endswith(", ...0114 (line 6) and 5 more.")


@pytest.mark.parametrize("reason", [Reason.REPLAYED, Reason.CONFLICTING])
def test_a_call_that_was_seen_before_is_not_the_lists_affair(reason: Reason) -> None:
    number = PhoneNumber("12025550100")
    assert nearest_cause(number, number, reason, LIST) == "This call was seen before."
