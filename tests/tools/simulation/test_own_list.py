"""The numbers of each call are chosen from a list, as its documentation reads it."""

import csv
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import facts
import pytest
from helpers import ROOT, read_list
from hypothesis import example, given
from hypothesis import strategies as st

import phone
from phone import PhoneNumber
from routing import AllowListError, Reason, Route
from tools.simulation import own_list
from tools.simulation.own_list import (
    RIDER,
    STRANGER,
    UNLISTED,
    ListError,
    Need,
    OwnList,
    OwnRow,
    read,
)
from tools.simulation.scenarios import SCENARIOS

A, B, C, X, Y = "493023125001", "493023125002", "493023125003", "442079460001", "442079460002"
PAST, FUTURE = "2020-01-31T18:00:00Z", "2099-01-31T18:00:00+01:00"


def listing(tmp_path: Path, *rows: str, header: str = "to,from,destination,expires") -> OwnList:
    path = tmp_path / "allowlist.csv"
    path.write_text("\n".join((header, *rows, "")), encoding="utf-8")
    return read(path)


def test_the_numbers_of_each_scenario_in_the_sample_are_those_that_the_sample_gives() -> None:
    sample = read(ROOT / "allowlist.csv")
    for scenario in SCENARIOS.values():
        if scenario.need is not None:
            assert sample.choose(scenario.need) == (scenario.to, scenario.caller), scenario.name


@pytest.mark.parametrize(
    ("need", "rows", "numbers"),
    [
        (Need.CONNECTED, [f"{X},,{A},"], (X, RIDER)),
        (Need.CONNECTED, [f"{X},{A},{B},{PAST}", f"{Y},{A},{B},{FUTURE}"], (Y, A)),
        (Need.CONNECTED, [f"{X},,{A},", f"{X},{RIDER},{A},{PAST}"], (X, "12025550100")),
        (Need.CONNECTED, [f"{X},,{RIDER},"], (X, "12025550100")),
        (Need.CONNECTED, [f"{X},{X},{A},"], None),
        (Need.CONNECTED, [f"{X},,,"], (X, RIDER)),
        (Need.CONNECTED, [f"{X},,{A},2026-01-31"], None),
        (Need.CONNECTED, [f"{X},,{A},{PAST}"], None),
        (Need.CONNECTED, [], None),
        (Need.BOTH_WAYS, [f"{X},{A},{B},", f"{X},{B},{A},"], (X, A)),
        (Need.BOTH_WAYS, [f"{X},{A},{B},", f"{X},{B},{C},"], None),
        (Need.BOTH_WAYS, [f"{X},{A},{B},", f"{Y},{B},{A},"], None),
        (Need.BOTH_WAYS, [f"{X},{A},{B},", f"{X},{B},{A},{PAST}"], None),
        (Need.BOTH_WAYS, [f"{X},,{B},", f"{X},{B},{A},"], (X, B)),
        (Need.NOT_LISTED, [f"{X},,{A},"], (UNLISTED, RIDER)),
        (Need.NOT_LISTED, [f"{UNLISTED},,{A},"], ("12025550100", RIDER)),
        (Need.OTHER_CALLERS, [f"{X},,{A},", f"{Y},{A},{B},"], (Y, STRANGER)),
        (Need.OTHER_CALLERS, [f"{Y},{STRANGER},{B},"], (Y, "12025550100")),
        (Need.OTHER_CALLERS, [f"{X},,{A},", f"{X},{B},{A},"], None),
        (Need.WITHHELD, [f"{X},,{A},", f"{Y},{A},{B},"], (Y, "")),
        (Need.WITHHELD, [f"{X},,{A},", f"{X},{B},{A},"], None),
        (Need.EXPIRED, [f"{X},,{A},", f"{Y},,{B},{PAST}"], (Y, RIDER)),
        (Need.EXPIRED, [f"{X},,{A},", f"{X},{B},{A},{PAST}"], (X, B)),
        (Need.EXPIRED, [f"{X},,{A},{FUTURE}"], None),
    ],
)  # fmt: skip
def test_numbers_are_chosen_that_show_what_is_needed(
    need: Need, rows: list[str], numbers: tuple[str, str] | None, tmp_path: Path
) -> None:
    assert listing(tmp_path, *rows).choose(need) == numbers


@pytest.mark.parametrize(
    ("need", "to", "caller", "numbers"),
    [
        (Need.CONNECTED, X, None, (X, A)),
        (Need.CONNECTED, Y, None, (Y, RIDER)),
        (Need.CONNECTED, None, C, (Y, C)),
        (Need.CONNECTED, None, "", (Y, "")),
        (Need.CONNECTED, X, C, None),
        (Need.CONNECTED, "12025550177", None, None),
        (Need.NOT_LISTED, X, None, None),
        (Need.NOT_LISTED, "12025550111", None, ("12025550111", RIDER)),
        (Need.BOTH_WAYS, None, B, (X, B)),
        (Need.OTHER_CALLERS, None, C, (X, C)),
        (Need.WITHHELD, Y, None, None),
    ],
)
def test_numbers_that_are_given_stay(
    need: Need,
    to: str | None,
    caller: str | None,
    numbers: tuple[str, str] | None,
    tmp_path: Path,
) -> None:
    rows = listing(tmp_path, f"{X},{A},{B},", f"{X},{B},{A},", f"{Y},,{B},")
    assert rows.choose(need, to, caller) == numbers


def test_a_list_is_read_as_spreadsheets_save_it(tmp_path: Path) -> None:
    path = tmp_path / "allowlist.csv"
    path.write_text(
        '# rows, "for now\r\n\r\n"# quoted, too",,\r\n destination ,to,note,from\r\n,,,\r\n'
        f' {A},"+1 (202) 555-0160","a, b",+{B}\r\n',
        encoding="utf-8-sig",
        newline="",
    )
    assert read(path).choose(Need.CONNECTED) == ("12025550160", B)


def test_a_row_says_what_its_columns_hold_in_any_order(tmp_path: Path) -> None:
    header = "send_dtmf,greeting,to,external_id,from,language"
    rows = listing(
        tmp_path,
        f'ww6458#,"Hello, ""driver"" ",{X}, trip 1 ,,es-ES',
        f",,{X},,{A},",
        f'"","Ihr Fahrer, Köln",{Y},,{A},',
        header=header,
    )
    assert rows.find(X, B) == OwnRow(X, None, 'Hello, "driver"', "es-ES", "trip 1", "ww6458#")
    assert rows.find(X, A) == OwnRow(X, None)
    assert rows.find(Y, A) == OwnRow(Y, None, "Ihr Fahrer, Köln")
    assert rows.find(Y, B) is None


def test_nobody_calls_from_a_number_of_ours(tmp_path: Path) -> None:
    masked = listing(tmp_path, f"{X},,{A},{RIDER}", header="to,from,destination,caller_id_number")
    assert masked.choose(Need.CONNECTED) == (X, "12025550100")
    path = tmp_path / "allowlist.csv"
    path.write_text(f"to,destination\n{X},{A}\n")
    for masking_id in RIDER, f"+{RIDER}", "+1 202 555 0123":
        assert read(path, masking_id).choose(Need.CONNECTED) == (X, "12025550100")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"to\n\xff\n", "wanted CSV in UTF-8, got: "),
        (b"to\n" + b"1" * 200_000 + b"\n", "wanted CSV in UTF-8, got: "),
    ],
)
def test_a_list_that_cannot_be_read_is_reported(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ListError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: {message}")


# What the server makes of them

NUMBERS = st.sampled_from(
    [facts.CALLER, facts.DESTINATION, STRANGER, UNLISTED, "12025550100", "12025550101", A, B]
)
TIMES = st.sampled_from([PAST, FUTURE, ""])
TEXTS = ["", "Hello", ' "Hi", driver '], ["", "es-ES"], ["", "trip 1", A], ["", "ww6458#"]
ROWS = st.tuples(
    NUMBERS,
    NUMBERS | st.just(""),
    NUMBERS | st.just(""),
    NUMBERS,
    TIMES,
    *map(st.sampled_from, TEXTS),
)
HEADER = "to,from,destination,caller_id_number,expires,greeting,language,external_id,send_dtmf"


@given(st.lists(ROWS, max_size=6))
@example(
    [
        ("12025550100", "", A, "12025550101", "", "Hello", "es-ES", "trip 1", "ww6458#"),
        ("12025550101", A, B, "12025550101", PAST, "", "", "", ""),
    ]
)
def test_the_server_reads_a_list_in_the_same_way(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]
) -> None:
    """What is chosen is answered as it has to be, and what is not chosen is not in the list."""
    file = StringIO(newline="")
    csv.writer(file).writerows([HEADER.split(","), *rows])
    text = file.getvalue()
    try:
        allow_list = read_list(text)
    except AllowListError:
        return
    path = tmp_path_factory.getbasetemp() / "own.csv"
    path.write_text(text)
    chosen, now = read(path), datetime.now(UTC)
    reasons: dict[Need, set[object]] = {
        Need.NOT_LISTED: {Reason.NOT_LISTED, Reason.LOOP},
        Need.OTHER_CALLERS: {Reason.CALLER_NOT_LISTED, Reason.LOOP},
        Need.WITHHELD: {Reason.CALLER_WITHHELD},
        Need.EXPIRED: {Reason.EXPIRED, Reason.LOOP},
    }

    def find(to: str, caller: str) -> Route | Reason:
        from_ = phone.parse(caller) if caller else phone.NoNumber.WITHHELD
        return allow_list.find(PhoneNumber(to), from_, now)

    for need, allowed in reasons.items():
        numbers = chosen.choose(need)
        assert numbers is None or find(*numbers) in allowed, need
    for need in (Need.CONNECTED, Need.BOTH_WAYS):
        numbers = chosen.choose(need)
        if numbers is not None:
            to, caller = numbers
            route = find(to, caller)
            assert isinstance(route, Route)
            dial, row = route.dial, chosen.find(to, caller)
            said = route.greeting, route.language, dial.external_id, dial.send_dtmf
            assert row == (route.destination, route.expires, *(text or "" for text in said))
            if need is Need.BOTH_WAYS:
                back = find(to, route.destination)
                assert isinstance(back, Route)
                assert back.destination == caller
        elif need is Need.CONNECTED:
            for route in allow_list:
                caller = route.caller or own_list.RIDER
                assert not isinstance(find(route.dialled, caller), Route)
