"""Which virtual number two people get, and which rows that takes."""

import itertools
from dataclasses import dataclass, field
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
from tools.list_editor.pairs import PairError, Pairing

A, B, C, D = (PhoneNumber(f"1202555013{n}") for n in range(4))
ONE, TWO, THREE = POOL = tuple(PhoneNumber(f"1202555016{n}") for n in range(1, 4))
OTHER = PhoneNumber("12025550199")
ENDS = START + timedelta(hours=2)
REST = timedelta(hours=2)
HEADER = "to,from,destination,caller_id_number,max_call_duration,expires,note\n"
WITH_IDS = "to,from,destination,caller_id_number,external_id,expires,greeting\n"
OPEN, SOON = "2026-11-23T13:00:00Z", "2026-11-23T12:00:01Z"
JUST = "2026-11-23T11:59:59Z"
NOW, OLD, OLDER = "2026-11-23T12:00:00Z", "2026-11-22T12:00:00Z", "2026-11-21T12:00:00Z"


def both(number: str, one: str, other: str, expires: str = OPEN) -> str:
    return (
        f"{number},{one},{other},{number},,{expires},x\n"
        f"{number},{other},{one},{number},,{expires},x\n"
    )


def pair(text: str, **said: str | None) -> Pairing:
    listed = read_list(text)
    return pairs.pair(listed, POOL, (A, B), ends=ENDS, now=START, rest=REST, **said)


def number_for(text: str) -> tuple[str, bool]:
    made = pair(HEADER + text)
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
        # So is the number of a person, whose calls would come back to us.
        (f"{OTHER},{D},{ONE},{THREE},,,\n{OTHER},{TWO},{D},,,,\n", THREE, False),
        # The same two keep their number while one of their rows is open.
        (both(ONE, A, C, OLD) + both(TWO, A, B), TWO, True),
        (f"{THREE},{B},{A},,,,for ever\n", THREE, True),
        (both(TWO, A, B, NOW), ONE, False),
        # But not one that is outside the pool, or behind which one of them has somebody else too.
        (both(OTHER, A, B), ONE, False),
        (f"{ONE},{A},{B},,,,\n{ONE},{B},{C},,,,\n", TWO, False),
        (both(ONE, A, B) + f"{OTHER},,{B},{ONE},,,\n", TWO, False),
        # One that rests is the last choice, also for the same two again.
        (both(ONE, A, B, NOW) + both(TWO, A, C, JUST) + both(THREE, B, C, OLD), THREE, False),
        (both(ONE, A, B, NOW) + both(TWO, A, C, JUST) + both(THREE, B, C), TWO, False),
        (both(ONE, A, B, NOW) + both(TWO, A, C) + both(THREE, B, C), ONE, False),
    ],
)  # fmt: skip
def test_a_pair_gets_the_number_least_like_any_they_had(
    text: str, number: PhoneNumber, renewed: bool
) -> None:
    assert number_for(text) == (number, renewed)


def row(caller: PhoneNumber, destination: PhoneNumber, number: PhoneNumber, **said: Any) -> Route:
    dial = Dial(destination, number, external_id=said.get("external_id"))
    return Route(number, caller, dial, ENDS, greeting=said.get("greeting"))


NEW = {"expires": "2026-11-23T14:00:00Z"}
RECENT = "2026-11-23T10:00:00Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", RowChanges(added=(row(A, B, ONE), row(B, A, ONE)))),
        (both(ONE, B, A), RowChanges(changed={2: NEW, 3: NEW})),
        (f"{ONE},{B},{A},{OTHER},,,\n",
         RowChanges(added=(row(A, B, ONE),), changed={2: NEW | {"caller_id_number": ONE}})),
        (both(OTHER, A, B, OLD), RowChanges(added=(row(A, B, ONE), row(B, A, ONE)))),
        # What has expired makes room, whoever it was for.
        (both(ONE, A, C, RECENT) + both(TWO, A, D, JUST) + both(THREE, B, C, JUST),
         RowChanges(added=(row(A, B, ONE), row(B, A, ONE)), removed=frozenset({2}))),
        (both(ONE, A, B, RECENT) + both(TWO, A, D, JUST) + both(THREE, B, C, JUST),
         RowChanges(added=(row(A, B, ONE), row(B, A, ONE)), removed=frozenset({2, 3}))),
        (f"{ONE},{A},{B},,,,\n{ONE},{B},{C},,,{NOW},\n",
         RowChanges(added=(row(B, A, ONE),), changed={2: NEW}, removed=frozenset({3}))),
    ],
)  # fmt: skip
def test_both_rows_are_added_or_get_the_new_end(text: str, expected: RowChanges) -> None:
    assert pair(HEADER + text).changes == expected


@pytest.mark.parametrize(
    ("text", "removed"),
    [
        (both(ONE, C, D, "2026-11-23T09:59:59Z") + both(TWO, C, D, RECENT), {2, 3}),
        (both(OTHER, C, D, OLD) + f"{OTHER},{A},{C},{ONE},,{OLD},\n", set()),
    ],
)
def test_what_has_rested_goes_if_it_is_of_the_pool(text: str, removed: set[int]) -> None:
    assert pair(HEADER + text).changes.removed == removed


def test_a_row_that_keeps_somebody_out_stays_when_it_has_rested() -> None:
    text = f"{TWO},{C},{D},,,{OLD},\n{TWO},,{D},,,,\n{THREE},{C},{D},,,{OLD},\n"
    assert pair(HEADER + text).changes.removed == {4}


def test_without_a_rest_every_expired_row_of_the_pool_goes() -> None:
    listed = read_list(HEADER + both(ONE, A, C, JUST) + both(OTHER, A, C, JUST))
    made = pairs.pair(listed, POOL, (A, B), ends=ENDS, now=START, rest=timedelta())
    assert (made.number, {*made.changes.removed}) == (TWO, {2, 3})


# Orders


def order(number: str, external_id: str, greeting: str = "", expires: str = OPEN) -> str:
    return (
        f"{number},{A},{B},,{external_id},{expires},{greeting}\n"
        f"{number},{B},{A},,{external_id},{expires},{greeting}\n"
    )


@pytest.mark.parametrize(
    ("text", "external_id", "number", "renewed"),
    [
        (order(ONE, "x"), "y", TWO, False),
        (order(ONE, "x"), None, TWO, False),
        (order(ONE, ""), "x", TWO, False),
        (order(ONE, "x") + order(TWO, ""), "x", ONE, True),
        (order(ONE, "x") + order(TWO, ""), None, TWO, True),
        (order(ONE, "x") + order(TWO, "y"), "y", TWO, True),
        (order(ONE, "x", expires=NOW) + order(TWO, "y"), "x", THREE, False),
        # By hand one number got two orders.
        (f"{ONE},{A},{B},,x,,\n{ONE},{B},{A},,y,,\n", "x", TWO, False),
    ],
)
def test_an_order_is_a_pair_of_its_own(
    text: str, external_id: str | None, number: str, renewed: bool
) -> None:
    made = pair(WITH_IDS + text, external_id=external_id)
    assert (made.number, made.renewed) == (number, renewed)


def test_an_id_and_a_greeting_are_in_both_rows() -> None:
    said = {"external_id": "x", "greeting": "Hi"}
    added = row(A, B, ONE, **said), row(B, A, ONE, **said)
    assert pair(WITH_IDS, **said).changes == RowChanges(added=added)


@pytest.mark.parametrize(
    ("before", "greeting", "after"),
    [("", None, NEW), ("Hi", None, NEW), ("Hi", "Ho", NEW | {"greeting": "Ho"})],
)
def test_a_pair_keeps_its_greeting_unless_it_gets_one(
    before: str, greeting: str | None, after: dict[str, str]
) -> None:
    made = pair(WITH_IDS + order(ONE, "x", before), external_id="x", greeting=greeting)
    assert made.changes == RowChanges(changed={2: after, 3: after})


def test_the_greeting_of_one_row_is_also_that_of_the_one_it_lacked() -> None:
    made = pair(WITH_IDS + f"{ONE},{B},{A},,x,,Hi\n", external_id="x")
    lacked = row(A, B, ONE, external_id="x", greeting="Hi")
    assert made.changes == RowChanges(added=(lacked,), changed={2: NEW})


def test_the_row_of_one_direction_that_has_expired_is_that_of_the_order_still() -> None:
    """What else it says stays: its own greeting, and its language."""
    expired = f"{ONE},{A},{B},,x,2026-11-23T11:00:00Z,Ho\n"
    made = pair(WITH_IDS + f"{ONE},{B},{A},,x,,Hi\n" + expired, external_id="x")
    assert made.changes == RowChanges(changed={2: NEW, 3: NEW})


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
        ((A, ONE), f"wanted a person's number, got {ONE}, a virtual number or masking ID of yours"),
        ((OTHER, A), f"wanted a person's number, got {OTHER}, a virtual number or masking ID"),
    ],
)
def test_no_number_of_ours_is_paired(people: pairs.People, message: str) -> None:
    allow_list = read_list(HEADER + f"{THREE},,{C},{OTHER},,,\n")
    with pytest.raises(PairError, match=message):
        pairs.pair(allow_list, POOL, people, ends=ENDS, now=START, rest=REST)


@pytest.mark.parametrize(
    ("people", "external_id", "ended"),
    [
        ((A, B), None, [2, 3, 6, 7, 12]),
        ((B, A), "x", [2, 3]),
        ((A, B), "y", [6, 7]),
        (None, "x", [2, 3, 8]),
        ((A, C), None, []),
        (None, "z", []),
        ((C, D), "x", []),
    ],
)
def test_unpair_ends_what_is_open_and_asked_for(
    people: pairs.People | None, external_id: str | None, ended: list[int]
) -> None:
    text = order(ONE, "x") + order(TWO, "x", expires=JUST) + order(THREE, "y")
    text += f"{OTHER},,{B},,x,,\n" + order(OTHER, "y", expires=NOW)
    text += f"{ONE},{C},{D},,,,\n{TWO},{A},{B},{ONE},,{SOON},\n"
    text = text.replace(f"{TWO},{A},{B},,x,{JUST},\n", "\n")
    now = START + timedelta(microseconds=999_999)
    ending = pairs.unpair(read_list(WITH_IDS + text), people, external_id, now)
    assert [route.line for route in ending.ended] == ended
    expected = {line: {"expires": "2026-11-23T12:00:00Z"} for line in ended}
    assert ending.changes == RowChanges(changed=expected)


def test_prune_removes_what_expired_before_and_keeps_what_only_refuses() -> None:
    anybody = f"{TWO},,{D},,,,for ever\n{THREE},,{D},,,{OLDER},\n"
    text = both(ONE, A, B, OLDER) + both(ONE, C, D, OLD) + anybody
    text += f"{TWO},{A},{B},,,{OLDER},shut out of line 6\n{THREE},{A},{B},,,{OLDER},\n"
    before = datetime.fromisoformat(OLD)
    removal = pairs.prune(read_list(HEADER + text), before)
    assert ({*removal.removed}, removal.kept) == ({2, 3, 7, 9}, (8,))


def test_an_expired_row_goes_if_another_for_its_caller_takes_its_place() -> None:
    listed = read_list(HEADER + f"{ONE},,{C},,,,\n{ONE},{A},{B},,,{OLD},\n{TWO},{A},{B},,,{OLD},\n")
    expired = [route for route in listed if route.expires]
    assert pairs.find_removable(listed, expired) == {4}
    assert pairs.find_removable(listed, expired, added=[row(A, D, ONE)]) == {3, 4}
    assert pairs.find_removable(listed, expired, added=[row(B, A, ONE)]) == {4}


# Any history

PEOPLE = [A, B, C, D]
TWO_PEOPLE = st.permutations(PEOPLE).map(lambda order: (order[0], order[1]))
ORDERS = st.sampled_from([None, "x", "y"])
GREETINGS = st.sampled_from([None, "Hi", "Ho"])
STEPS = st.one_of(
    st.tuples(st.just("pair"), TWO_PEOPLE, ORDERS, st.integers(1, 6), GREETINGS),
    st.tuples(st.just("unpair"), st.none() | TWO_PEOPLE, ORDERS, st.just(0), st.none()),
    st.tuples(st.just("wait"), st.just((A, B)), st.none(), st.integers(1, 6), st.none()),
    st.tuples(st.just("prune"), st.just((A, B)), st.none(), st.integers(0, 3), st.none()),
)
BY_HAND = [
    "",
    f"# mine\n{ONE},,{A},{OTHER},,,front desk\n",
    f"{ONE},{A},{B},,,,for ever\n{TWO},{A},{C},,,{OLD},\n",
    f"{OTHER},{C},{A},{ONE},,,\n",
]

Step = tuple[str, pairs.People | None, str | None, int, str | None]
Order = tuple[frozenset[PhoneNumber], str | None]


@dataclass
class History:
    """A list that pairs come to and go from, checked as a start checks it after each step.

    `ends` has when each pair that `pair` has made ends, and `said` what is heard in it; `had` when
    each person was last connected behind each number.
    """

    text: str
    now: datetime = START
    ends: dict[Order, tuple[PhoneNumber, datetime]] = field(default_factory=dict)
    said: dict[Order, str | None] = field(default_factory=dict)
    had: dict[tuple[PhoneNumber, PhoneNumber], datetime] = field(default_factory=dict)

    @property
    def allow_list(self) -> AllowList:
        return read_list(self.text)

    def change(self, wanted: RowChanges) -> None:
        lines = self.text.splitlines(keepends=True)
        self.text = "".join(changes.apply(wanted, lines, note="pair"))

    def step(
        self,
        kind: str,
        people: pairs.People | None,
        external_id: str | None,
        hours: int,
        greeting: str | None,
    ) -> None:
        span = timedelta(hours=hours)
        match kind:
            case "pair":
                assert people is not None
                self.pair(people, external_id, self.now + span, greeting)
            case "unpair" if people or external_id:
                self.unpair(people, external_id)
            case "wait":
                self.now += span + timedelta(milliseconds=1)
            case "prune":
                before = self.now - span
                self.change(pairs.prune(self.allow_list, before).changes)
                self.had = {key: end for key, end in self.had.items() if end >= before}

    def pair(
        self, people: pairs.People, external_id: str | None, ends: datetime, greeting: str | None
    ) -> None:
        ends = ends.replace(microsecond=0)
        try:
            made = pairs.pair(
                self.allow_list, POOL, people, ends=ends, now=self.now, rest=REST,
                external_id=external_id, greeting=greeting,
            )  # fmt: skip
        except PairError:
            assert all(self.is_taken(number, people) for number in POOL)
            return
        order = frozenset(people), external_id
        if made.renewed and order in self.ends:
            assert self.ends[order][0] == made.number
            greeting = greeting or self.said[order]
        elif not made.renewed:
            free = {number for number in POOL if not self.is_taken(number, people)}
            assert made.number in free
            assert made.number not in self.resting(people) or free <= self.resting(people)
        self.change(made.changes)
        self.ends[order], self.said[order] = (made.number, ends), greeting
        self.had |= {(person, made.number): ends for person in people}

    def unpair(self, people: pairs.People | None, external_id: str | None) -> None:
        ending = pairs.unpair(self.allow_list, people, external_id, self.now)
        self.change(ending.changes)
        now = self.now.replace(microsecond=0)
        for order, (number, ends) in self.ends.items():
            is_theirs = people is None or order[0] == frozenset(people)
            if is_theirs and external_id in (None, order[1]) and ends > self.now:
                self.ends[order] = number, now
                self.had |= {(person, number): now for person in order[0]}

    def resting(self, people: pairs.People) -> set[PhoneNumber]:
        return {
            number for (person, number), end in self.had.items()
            if person in people and end > self.now - REST
        }  # fmt: skip

    def is_taken(self, number: PhoneNumber, people: pairs.People) -> bool:
        return any(
            number in (route.dialled, route.masking_id)
            and (route.caller is None or {route.caller, route.destination} & {*people})
            for route in self.open()
        )

    def open(self) -> list[Route]:
        return [route for route in self.allow_list if not route.expires or route.expires > self.now]

    def orders(self) -> dict[tuple[PhoneNumber, PhoneNumber], set[Order]]:
        """Return with whom each person is connected for what, behind each number of the pool."""
        found: dict[tuple[PhoneNumber, PhoneNumber], set[Order]] = {}
        for route in self.open():
            if route.caller is not None:
                order = frozenset((route.caller, route.destination)), route.dial.external_id
                for person in route.caller, route.destination:
                    for number in {route.dialled, route.masking_id} & {*POOL}:
                        found.setdefault((person, number), set()).add(order)
        return found


@settings(max_examples=100)
@given(st.sampled_from(BY_HAND), st.lists(STEPS, max_size=30))
def test_nobody_ever_has_two_open_pairs_behind_one_number(by_hand: str, steps: list[Step]) -> None:
    history = History(HEADER + by_hand)
    for step in steps:
        history.step(*step)
        assert max(map(len, history.orders().values()), default=1) == 1
        assert history.text.startswith(HEADER.rstrip())
        assert ("# mine\n" in history.text) == ("# mine\n" in by_hand)


@settings(max_examples=100)
@given(st.lists(STEPS, max_size=40))
def test_each_pair_lasts_as_long_as_it_was_given_and_leaves_its_number_to_rest(
    steps: list[Step],
) -> None:
    history = History("to,from\n")
    for step in steps:
        history.step(*step)
        expected: dict[tuple[str | None, ...], tuple[Any, ...]] = {
            (number, caller, called): (ends, external_id, history.said[people, external_id])
            for (people, external_id), (number, ends) in history.ends.items()
            if ends > history.now
            for caller, called in itertools.permutations(people, 2)
        }
        found = {
            (route.dialled, route.caller or "", route.destination): (
                route.expires,
                route.dial.external_id,
                route.greeting,
            )
            for route in history.open()
        }
        assert found == expected
        if step[0] == "pair":
            since = history.now - REST
            assert all(route.expires and route.expires >= since for route in history.allow_list)


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
@given(ROWS, st.integers(0, 3))
def test_no_removal_connects_somebody_who_was_refused(found: list[Any], hours: int) -> None:
    before = AllowList(
        Route(number, caller, Dial(destination, number), expires, line)
        for line, (number, caller, destination, expires) in enumerate(found, start=2)
    )
    removal = pairs.prune(before, START - timedelta(hours=hours))
    after = AllowList(route for route in before if route.line not in removal.removed)
    callers: tuple[PhoneNumber | NoNumber, ...] = (A, B, NoNumber.WITHHELD)
    for number, caller in itertools.product((ONE, TWO), callers):
        if isinstance(before.find(number, caller, START), Reason):
            assert isinstance(after.find(number, caller, START), Reason)
