"""Calls of a log from any place back to older ones, each on one page only, in every database."""

from collections.abc import Iterator
from itertools import islice

import facts
import pytest
from command_line import of
from helpers import START, Clock

import events
from call_log import writer
from call_log.store import Store, microseconds, row_of
from calls import Delivery
from commands import Hangup, NoAction
from routing import Decision, Reason
from tools.history import newest
from tools.history.newest import LAST, NewestCalls, Sought
from tools.history.search import ends_in


@pytest.fixture
def store(log_url: str) -> Iterator[Store]:
    opened = writer.store_of(log_url)
    opened.open()
    yield opened
    opened.close()


def keep(store: Store, clock: Clock, call: str, name: str, reason: Reason | None = None) -> None:
    """Keep an event of a payload file; a second passes."""
    body = of(call, name)
    decision = Decision(Hangup() if reason else NoAction(), reason)
    with store.transaction():
        store.keep([row_of(Delivery(events.parse(body), body, clock()), decision)])
    clock.sleep(1)


def pages(store: Store, sought: Sought, size: int) -> list[list[str]]:
    """Return the calls page by page."""
    found, before = list[list[str]](), LAST
    while before:
        calls = NewestCalls(store, sought, before)
        found.append(list(islice(calls, size)))
        before = calls.reached
    return found


@pytest.fixture
def five_calls(store: Store, clock: Clock) -> None:
    for name in "one", "two", "three":
        keep(store, clock, name, "incoming_call")
    keep(store, clock, "one", "call_completed")
    keep(store, clock, "four", "incoming_call_not_listed", Reason.NOT_LISTED)
    keep(store, clock, "five", "incoming_call_not_listed", Reason.EXPIRED)
    keep(store, clock, "four", "unknown_event")


@pytest.mark.usefixtures("five_calls")
def test_calls_stand_where_the_newest_of_their_events_does(store: Store) -> None:
    listed = ["four", "five", "one", "three", "two"]
    assert pages(store, Sought(), 10) == [listed]
    assert pages(store, Sought(), 2) == [listed[:2], listed[2:4], listed[4:]]
    assert pages(store, Sought(), 1) == [*([each] for each in listed), []]


@pytest.mark.usefixtures("five_calls")
def test_calls_are_sought_by_time_reason_and_text(store: Store) -> None:
    second = 1_000_000
    start = microseconds(START)
    ending = ends_in(facts.NOT_LISTED[-4:])
    for sought, listed in [
        (Sought(since=start + 5 * second), ["four", "five"]),
        (Sought(until=start + 3 * second), ["three", "two", "one"]),
        (Sought(start + second, start + 4 * second), ["one", "three", "two"]),
        (Sought(since=start + 60 * second), []),
        (Sought(until=start), []),
        (Sought(reason="not_listed"), ["four"]),
        (Sought(has_text=ending), ["five", "four"]),
        (Sought(has_text=ends_in("9999")), []),
    ]:
        found = [each for page in pages(store, sought, 1) for each in page]
        assert found == listed, sought


@pytest.mark.usefixtures("five_calls")
def test_calls_are_found_though_a_clock_was_wrong_for_a_while(store: Store, clock: Clock) -> None:
    for name, seconds in (
        ("ahead", 86_400),
        ("right", -86_400),
        ("behind", -86_400),
        ("last", 86_400),
    ):
        clock.sleep(seconds)
        keep(store, clock, name, "incoming_call")
    listed = ["last", "behind", "right", "ahead", "four", "five", "one", "three", "two"]
    assert pages(store, Sought(), 10) == [listed]
    start = microseconds(START)
    today = [each for each in listed if each not in ("ahead", "behind")]
    assert pages(store, Sought(start, start + 3_600_000_000), 10) == [today]
    assert pages(store, Sought(until=start), 10) == [["behind"]]
    assert pages(store, Sought(since=start + 3_600_000_000), 10) == [["ahead"]]


def test_an_empty_log_has_no_calls(store: Store) -> None:
    assert pages(store, Sought(), 10) == [[]]


@pytest.mark.usefixtures("five_calls")
def test_no_more_is_looked_at_in_one_go_than_is_meant(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "_STEP", 1)
    monkeypatch.setattr(newest, "MAX_EVENTS", 3)
    monkeypatch.setattr(newest, "MAX_TEXTS", 2)
    assert pages(store, Sought(), 10) == [["four", "five"], ["one", "three", "two"], []]
    number = Sought(has_text=ends_in(facts.NOT_LISTED[-4:]))
    assert pages(store, number, 10) == [["five"], ["four"], [], []]
