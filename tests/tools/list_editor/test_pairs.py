"""Which virtual number two people get, and which rows that takes."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from helpers import START, read_list
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import Dial
from phone import NoNumber, PhoneNumber
from routing import AllowList, Reason, Route
from tools.list_editor import changes, pairs
from tools.list_editor.changes import RowChanges
from tools.list_editor.pairs import PairError

A, B, C, D = (PhoneNumber(f"1202555013{n}") for n in range(4))
ONE, TWO, THREE = POOL = tuple(PhoneNumber(f"1202555016{n}") for n in range(1, 4))
OTHER = PhoneNumber("12025550199")
ENDS = START + timedelta(hours=2)
HEADER = "to,from,destination,caller_id_number,max_call_duration,expires,note\n"
OPEN, SOON = "2026-11-23T13:00:00Z", "2026-11-23T12:00:01Z"
NOW, OLD, OLDER = "2026-11-23T12:00:00Z", "2026-11-22T12:00:00Z", "2026-11-21T12:00:00Z"


def both(number: str, one: str, other: str, expires: str = OPEN) -> str:
    return (
        f"{number},{one},{other},{number},,{expires},x\n"
        f"{number},{other},{one},{number},,{expires},x\n"
    )


def number_for(text: str, pool: tuple[PhoneNumber, ...] = POOL) -> tuple[str, bool]:
    made = pairs.pair(read_list(HEADER + text), pool, (A, B), ends=ENDS, now=START)
    return made.number, made.renewed


@pytest.mark.parametrize(
    ("text", "number", "renewed"),
    [
        ("", ONE, False),
        # Others may stand behind the same number.
        (both(ONE, C, D), ONE, False),
        # Neither calls back an old number and reaches a new person.
        (both(ONE, A, C, OLD), TWO, False),
        (both(ONE, D, B, OLD) + both(TWO, A, D, OLDER), THREE, False),
        (f"{OTHER},,{B},{ONE},,{OLD},seen by B\n", TWO, False),
        (f"{OTHER},{C},{A},{ONE},,,seen by A\n", TWO, False),
        (f"{ONE},{A},{C},{OTHER},,{OLD},dialled by A\n", TWO, False),
        # None is new to both: the one that ended longest ago.
        (both(ONE, A, C, OLD) + both(TWO, A, D, OLDER) + both(THREE, B, C, NOW), TWO, False),
        (both(ONE, A, C, OLD) + both(ONE, B, D, OLDER) + both(TWO, A, D, OLD)
         + both(THREE, B, C, NOW), ONE, False),
        (both(ONE, A, C, OLDER) + both(ONE, B, D) + both(TWO, A, D, OLD) + both(THREE, A, B, NOW),
         TWO, False),
        # Until its very end a row is open.
        (both(ONE, A, C, OLDER) + f"{ONE},{D},{A},,,{SOON},\n" + both(TWO, A, D, SOON)
         + both(THREE, B, C, NOW), THREE, False),
        # A row for any caller takes its number out, also when it has expired.
        (f"{ONE},,{C},,,,\n{TWO},,{C},,,{OLD},\n", THREE, False),
        # The same two keep their number while one of their rows is open.
        (both(ONE, A, C, OLD) + both(TWO, A, B), TWO, True),
        (f"{THREE},{B},{A},,,,for ever\n", THREE, True),
        (both(TWO, A, B, NOW), ONE, False),
        # But not one that is outside the pool, or behind which one of them has somebody else too.
        (both(OTHER, A, B), ONE, False),
        (f"{ONE},{A},{B},,,,\n{ONE},{B},{C},,,,\n", TWO, False),
        (both(ONE, A, B) + f"{OTHER},,{B},{ONE},,,\n", TWO, False),
    ],
)  # fmt: skip
def test_a_pair_gets_the_number_least_like_any_they_had(
    text: str, number: PhoneNumber, renewed: bool
) -> None:
    assert number_for(text) == (number, renewed)


def row(caller: PhoneNumber, destination: PhoneNumber, number: PhoneNumber, line: int = 0) -> Route:
    return Route(number, caller, Dial(destination, number), ENDS, line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", RowChanges(added=(row(A, B, ONE), row(B, A, ONE)))),
        (both(ONE, B, A), RowChanges(changed=(row(A, B, ONE, 3), row(B, A, ONE, 2)))),
        (f"{ONE},{B},{A},{OTHER},,,\n",
         RowChanges(added=(row(A, B, ONE),), changed=(row(B, A, ONE, 2),))),
        (both(ONE, A, C, OLDER) + both(TWO, A, D, OLD) + both(THREE, B, C, OLD),
         RowChanges(added=(row(A, B, ONE), row(B, A, ONE)), removed=frozenset({2}))),
        (both(ONE, A, B, OLDER) + both(TWO, A, D, OLD) + both(THREE, B, C, OLD),
         RowChanges(changed=(row(A, B, ONE, 2), row(B, A, ONE, 3)))),
    ],
)  # fmt: skip
def test_both_rows_are_added_or_get_the_new_end(text: str, expected: RowChanges) -> None:
    made = pairs.pair(read_list(HEADER + text), POOL, (A, B), ends=ENDS, now=START)
    assert made.changes == expected


@pytest.mark.parametrize(
    "text",
    [
        both(ONE, A, C) + both(TWO, D, B) + both(THREE, C, A),
        both(ONE, A, C) + f"{TWO},,{D},,,,\n{THREE},{C},{B},,,,for ever\n",
    ],
)
def test_without_a_free_number_there_is_none(text: str) -> None:
    with pytest.raises(
        PairError, match=r"^wanted a number of virtual_numbers .* got none: each has"
    ):
        number_for(text)


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ((A, A), r"wanted the numbers of two people, got \.\.\.0130 twice"),
        ((A, ONE), f"wanted a person's number, got {ONE}, a virtual number or masking ID of yours"),
        ((OTHER, A), f"wanted a person's number, got {OTHER}, a virtual number or masking ID"),
    ],
)
def test_a_pair_is_of_two_people(people: pairs.People, message: str) -> None:
    allow_list = read_list(HEADER + f"{THREE},,{C},{OTHER},,,\n")
    with pytest.raises(PairError, match=message):
        pairs.pair(allow_list, POOL, people, ends=ENDS, now=START)


def lines(routes: Iterable[Route]) -> list[int]:
    return [route.line for route in routes]


def test_unpair_takes_every_row_of_the_two_and_no_other() -> None:
    text = both(ONE, A, B) + both(ONE, C, D) + f"{OTHER},,{B},,,,\n{TWO},{B},{A},,,{OLD},\n"
    removal = pairs.unpair(read_list(HEADER + text), (B, A), START)
    assert (lines(removal.removed), removal.kept) == ([2, 3, 7], ())
    assert removal.changes == RowChanges(removed=frozenset({2, 3, 7}))
    assert pairs.unpair(read_list(HEADER + text), (A, D), START) == pairs.Removal((), ())


def test_prune_removes_what_expired_before_and_keeps_what_only_refuses() -> None:
    anybody = f"{TWO},,{D},,,,for ever\n{THREE},,{D},,,{OLDER},\n"
    text = both(ONE, A, B, OLDER) + both(ONE, C, D, OLD) + anybody
    text += f"{TWO},{A},{B},,,{OLDER},shut out of line 6\n{THREE},{A},{B},,,{OLDER},\n"
    before = datetime.fromisoformat(OLD)
    removal = pairs.prune(read_list(HEADER + text), before)
    assert (lines(removal.removed), removal.kept) == ([2, 3, 7, 9], (8,))


@pytest.mark.parametrize(
    ("expires", "removed", "kept"),
    [
        # At its end a row begins to refuse.
        (NOW, [], (3,)),
        (OLD, [], (3,)),
        # An open one refuses nobody.
        (SOON, [3], ()),
        ("", [3], ()),
    ],
)
def test_unpair_keeps_an_expired_row_beside_one_for_any_caller(
    expires: str, removed: list[int], kept: tuple[int, ...]
) -> None:
    listed = read_list(HEADER + f"{ONE},,{C},,,,\n{ONE},{A},{B},,,{expires},\n")
    removal = pairs.unpair(listed, (A, B), START)
    assert (lines(removal.removed), removal.kept) == (removed, kept)


def test_an_expired_row_goes_if_another_for_its_caller_takes_its_place() -> None:
    listed = read_list(HEADER + f"{ONE},,{C},,,,\n{ONE},{A},{B},,,{OLD},\n{TWO},{A},{B},,,{OLD},\n")
    expired = [route for route in listed if route.expires]
    assert pairs.find_removable(listed, expired) == {4}
    assert pairs.find_removable(listed, expired, added=[row(A, D, ONE)]) == {3, 4}
    assert pairs.find_removable(listed, expired, added=[row(B, A, ONE)]) == {4}


# Any history

PEOPLE = [A, B, C, D]
TWO_PEOPLE = st.permutations(PEOPLE).map(lambda order: (order[0], order[1]))
STEPS = st.one_of(
    st.tuples(st.just("pair"), TWO_PEOPLE, st.integers(1, 6)),
    st.tuples(st.just("unpair"), TWO_PEOPLE, st.just(0)),
    st.tuples(st.just("wait"), st.just((A, B)), st.integers(1, 6)),
    st.tuples(st.just("prune"), st.just((A, B)), st.integers(0, 3)),
)
BY_HAND = [
    "",
    f"# mine\n{ONE},,{A},{OTHER},,,front desk\n",
    f"{ONE},{A},{B},,,,for ever\n{TWO},{A},{C},,,{OLD},\n",
    f"{OTHER},{C},{A},{ONE},,,\n",
]


@dataclass
class History:
    """A list that pairs come to and go from, checked as a start checks it after each step."""

    text: str
    now: datetime = START

    @property
    def allow_list(self) -> AllowList:
        return read_list(self.text)

    def change(self, wanted: RowChanges) -> None:
        lines = self.text.splitlines(keepends=True)
        self.text = "".join(changes.apply(wanted, lines, note="pair"))

    def step(self, kind: str, people: pairs.People, hours: int) -> None:
        span = timedelta(hours=hours)
        match kind:
            case "pair":
                self.pair(people, self.now + span)
            case "unpair":
                self.change(pairs.unpair(self.allow_list, people, self.now).changes)
            case "wait":
                self.now += span
            case "prune":
                self.change(pairs.prune(self.allow_list, self.now - span).changes)

    def pair(self, people: pairs.People, ends: datetime) -> None:
        try:
            made = pairs.pair(self.allow_list, POOL, people, ends=ends, now=self.now)
        except PairError:
            assert all(self.is_taken(number, people) for number in POOL)
            return
        self.change(made.changes)
        for caller, destination in (people, people[::-1]):
            route = self.allow_list.find(made.number, caller, self.now)
            assert isinstance(route, Route)
            assert (route.destination, route.masking_id) == (destination, made.number)
            assert route.expires == ends

    def is_taken(self, number: PhoneNumber, people: pairs.People) -> bool:
        return any(
            number in (route.dialled, route.masking_id)
            and (route.caller is None or {route.caller, route.destination} & {*people})
            for route in self.open()
        )

    def open(self) -> list[Route]:
        return [route for route in self.allow_list if not route.expires or route.expires > self.now]

    def partners(self) -> dict[tuple[str, str], set[str]]:
        """Return with whom each person is connected behind each number of the pool."""
        found: dict[tuple[str, str], set[str]] = {}
        for route in self.open():
            if route.caller is not None:
                for one, other in (
                    (route.caller, route.destination),
                    (route.destination, route.caller),
                ):
                    for number in {route.dialled, route.masking_id} & {*POOL}:
                        found.setdefault((one, number), set()).add(other)
        return found


@settings(max_examples=100)
@given(st.sampled_from(BY_HAND), st.lists(STEPS, max_size=30))
def test_nobody_ever_has_two_open_partners_behind_one_number(
    by_hand: str, steps: list[tuple[str, pairs.People, int]]
) -> None:
    history = History(HEADER + by_hand)
    for kind, people, hours in steps:
        history.step(kind, people, hours)
        assert max(map(len, history.partners().values()), default=1) == 1
        assert history.text.startswith(HEADER)
        assert ("# mine\n" in history.text) == ("# mine\n" in by_hand)


# Any list

NUMBERS = st.sampled_from([ONE, TWO])
ROWS = st.lists(
    st.tuples(
        NUMBERS, st.sampled_from([None, A, B]), st.sampled_from([C, D]),
        st.sampled_from([None, START - timedelta(hours=2), START, START + timedelta(hours=2)]),
    ),
    max_size=8,
    unique_by=lambda row: row[:2],
)  # fmt: skip


@settings(max_examples=200)
@given(ROWS, st.sampled_from([A, B]), st.sampled_from([C, D]), st.integers(0, 3))
def test_no_removal_connects_somebody_who_was_refused(
    found: list[Any], one: PhoneNumber, other: PhoneNumber, hours: int
) -> None:
    before = AllowList(
        Route(number, caller, Dial(destination, number), expires, line)
        for line, (number, caller, destination, expires) in enumerate(found, start=2)
    )
    for removal in (
        pairs.prune(before, START - timedelta(hours=hours)),
        pairs.unpair(before, (one, other), START),
    ):
        gone = lines(removal.removed)
        after = AllowList(route for route in before if route.line not in gone)
        callers: tuple[PhoneNumber | NoNumber, ...] = (A, B, NoNumber.WITHHELD)
        for number, caller in itertools.product((ONE, TWO), callers):
            if isinstance(before.find(number, caller, START), Reason):
                assert isinstance(after.find(number, caller, START), Reason)
