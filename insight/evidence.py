"""What the stored events of real calls show, and the form of an answer to a question about them.

Each function is small and knows no question: `wording` and `conduct` ask, `live_check` lists.
Nothing here shows a number: texts of TeleSign's own pass through `phone.mask_digits`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import phone
from call_log.records import StoredEvent
from calls import ANSWERED
from events import CallCompleted, DialCompleted, Event, IncomingCall
from phone import PhoneNumber
from routing import AllowList

Call = Sequence[StoredEvent]
"""All that is kept of one call."""

_MAX_VALUES = 12

PART_TIMES = ("created_on_utc", "answered_on_utc", "ended_on_utc")


class Outcome(StrEnum):
    """What the log says of a question."""

    NOTHING_YET = "nothing yet"
    AS_ASSUMED = "as assumed"
    MOSTLY_AS_ASSUMED = "mostly as assumed: see the values"
    SEEN = "seen"
    DIFFERS = "look at this"
    NOT_IN_A_LOG = "no log can tell"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found: in how many events, the most frequent values, each with its count.

    `to_do` is what an operator does about it, or to find out; empty if there is nothing to do.
    """

    outcome: Outcome
    events: int = 0
    values: tuple[tuple[str, int], ...] = ()
    to_do: str = ""


def answer(outcome: Outcome, values: Iterable[str], to_do: str = "") -> Answer:
    """Return an answer with these values counted, the most frequent first."""
    counted = Counter(values)
    return Answer(outcome, counted.total(), tuple(counted.most_common(_MAX_VALUES)), to_do)


def nothing(to_do: str) -> Answer:
    """Return the answer of a log in which there is nothing to see yet."""
    return Answer(Outcome.NOTHING_YET, to_do=to_do)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The calls to look at, and which numbers the list is dialled by and calls."""

    calls: Sequence[Call]
    dialled: frozenset[PhoneNumber] = frozenset()
    destinations: frozenset[PhoneNumber] = frozenset()

    def of(self, kind: type[Event]) -> list[StoredEvent]:
        """Return all events of one kind."""
        return [each for call in self.calls for each in call if isinstance(each.event, kind)]


def evidence(calls: Iterable[Call], allow_list: AllowList) -> Evidence:
    """Return the evidence of these calls, the events of each in the order in which they came."""
    routes = list(allow_list)
    return Evidence(
        tuple(tuple(sorted(call, key=lambda each: each.first_seen)) for call in calls),
        frozenset(route.dialled for route in routes),
        frozenset(route.destination for route in routes),
    )


@dataclass(frozen=True, slots=True)
class Next:
    """What came after an event, and after how many seconds; `name` is empty if nothing has."""

    name: str
    after_s: float


def followed(call: Call) -> Iterator[tuple[StoredEvent, Next]]:
    """Yield every event of a call with what came next."""
    for one, other in pairwise(call):
        yield one, Next(other.event.name, (other.first_seen - one.first_seen).total_seconds())
    if call:
        yield call[-1], Next("", 0.0)


def message(heard: StoredEvent) -> dict[str, Any]:
    """Return the body of an event; empty if the call was purged."""
    try:
        found = json.loads(heard.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def data(heard: StoredEvent) -> dict[str, Any]:
    """Return the member `data` of an event's body."""
    found = message(heard).get("data")
    return found if isinstance(found, dict) else {}


def was_dialled(call: Call) -> bool:
    """Tell whether a call was answered with a dial."""
    return any(
        isinstance(each.event, IncomingCall) and each.reply.get("method") == "dial" for each in call
    )


def is_connected(call: Call) -> bool:
    """Tell whether the called person answered, by a dial's status or by the times of the parts."""
    return any(_says_answered(each.event) for each in call)


def _says_answered(event: Event) -> bool:
    match event:
        case DialCompleted(status=status):
            return status == ANSWERED
        case CallCompleted(legs=parts):
            return any(part.direction == "outbound" and part.answered for part in parts)
        case _:
            return False


def part_places(members: object, place: str = "data") -> Iterator[str]:
    """Yield where the objects with a part's times stand, such as `data.legs[]`."""
    if isinstance(members, dict):
        if not members.keys().isdisjoint(PART_TIMES):
            yield place
        for name, value in members.items():
            yield from part_places(value, f"{place}.{word(name)}")
    elif isinstance(members, list):
        for value in members:
            yield from part_places(value, f"{place}[]")


def word(text: object) -> str:
    """Return a word of TeleSign's without a number in it, and not without end."""
    return phone.mask_digits(str(text))[:40]


def seconds(value: float) -> str:
    """Return how long something took, as people read it."""
    return f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"
