"""Who must be called back: a table of histories, and any calls beside a plain model."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import facts
import pytest
from call_logs import write_down
from databases import EACH_DATABASE, log_in_sqlite
from helpers import START
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from stored_calls import record_with

from call_log.store import Store
from phone import NoNumber, PhoneNumber
from records import CallRecord, Disposition
from routing import Reason
from tools.history import conditions
from tools.history.conditions import Condition
from tools.history.missed import count_missed
from tools.history.stored import StoredCalls, place_of

log_url = log_in_sqlite

MINUTE = timedelta(minutes=1)
NOW = START + timedelta(days=1)
REAL = ~conditions.SIMULATED
Missed = list[tuple[str, int]]


def log_of(
    store: Store, records: Sequence[CallRecord], unended: Sequence[CallRecord]
) -> StoredCalls:
    """Return a log in which these calls are written down, and those are not."""
    store.execute("DELETE FROM call_record")
    write_down(store, records)
    log = StoredCalls(store)
    log._open_calls = list(unended)
    return log


def missed(log: StoredCalls, wanted: Condition = conditions.ANY, among: Condition = REAL) -> Missed:
    return [*count_missed(log, wanted, among, NOW).items()]


NUMBERS = {
    "P": PhoneNumber(facts.CALLER),
    "Q": PhoneNumber(facts.DESTINATION),
    "R": PhoneNumber(facts.DRIVER),
    "V": PhoneNumber(facts.DIALLED),
    "W": PhoneNumber(facts.PAIR_NUMBER),
    "?": NoNumber.WITHHELD,
    "sip": NoNumber("bad", facts.CALLER),
}


def record_of(line: str, minute: int) -> CallRecord:
    """Return the call of a line: id, caller, dialled, destination, masking ID, what became of it.

    Behind a `/` stands the reason or the status.
    """
    name, *numbers, end = line.split(maxsplit=5)
    caller, dialled, destination, masking_id = map(NUMBERS.get, numbers)
    disposition, _, more = end.partition("/")
    return record_with(
        reference_id=name,
        began=START + minute * MINUTE,
        disposition=Disposition(disposition),
        caller=caller,
        dialled=dialled,
        destination=destination,
        masking_id=masking_id,
        **{"reason" if more in list(Reason) else "status": more or None},
    )


TABLE = """
each end that reached nobody : e 1, d 1, c 1, b 1, a 2
  a0  P V Q V  busy
  a   P V Q V  no answer
  b   P V R V  failed/moved
  c   Q V P V  declined/answered
  d   Q W - -  refused/expired
  e   R W - -  refused/caller_not_listed

what was connected, refused for good, or is not over : nothing
  a   P V Q V  connected/answered
  b   P V - -  refused/not_listed
  c   P V - -  refused/loop
  d   P V Q V  in progress
  e   P V Q V  in progress/busy
  f   P V - -  in progress/expired
  g   P V Q V  unknown

the end of a call that never came, but that of its dial or a refusal : c 1, b 2
  a   P V Q V  unknown/answered
  b0  P V Q V  unknown/busy
  b   P V Q V  unknown/busy
  c   R V - -  unknown/expired

a caller without a number : nothing
  a   ? V Q V  busy
  b   sip V Q V  busy
  c   - V Q V  busy

a later connection : a 1
  a   P V Q V  busy
  b0  P V R V  busy
  b   P V R V  connected

a connection before : b 1
  a   P V Q V  connected
  b   P V Q V  busy

how often since the last connection : d 2
  a   P V Q V  busy
  b   P V Q V  connected
  c   P V Q V  busy
  d   P V Q V  no answer

a call back by another number : nothing
  a   P V Q V  busy
  b   Q W P W  connected

a call back that reached nobody either, for each to the other : b 1, a 1
  a   P V Q V  busy
  b   Q V P V  no answer

a call back that goes on : nothing
  a   P V Q V  busy
  b   Q V P V  in progress/answered

a call back that is only ringing : a 1
  a   P V Q V  busy
  b   Q V P V  in progress

a call back of which the end never came : nothing
  a   P V Q V  busy
  b   Q V P V  unknown/answered

a refused call is for whom its caller reached by the number : b 2
  a   P V Q V  busy
  b   P V - -  refused/expired

and for whom they saw behind it : nothing
  a   Q W P V  connected
  b   P V - -  refused/expired
  c   Q W P W  connected

but not for somebody who has the number afterwards : c 1
  a   P V Q V  connected
  c   P V - -  refused/expired
  d   P V R V  connected

unless nobody had it before : nothing
  c   P V - -  refused/caller_not_listed
  d   P V R V  connected

the number of another caller shows nothing : b 1
  a   R V Q V  connected
  b   P V - -  refused/expired
  c   P W Q W  connected

without a partner the dialled number counts : d 1
  a   P V - -  refused/expired
  b   P V ? V  connected
  c   Q V - -  refused/expired
  c1  ? W Q V  connected
  d   R V - -  refused/expired
  e   R W ? W  connected
  f   ? V R W  connected

a number that is none connects nobody : a 1
  a   P - - -  busy
  b   P - ? V  connected
  c   ? - P -  connected

a person who is dialled by their own number : nothing
  a   P Q - -  refused/expired
  b   Q P P Q  connected

a simulated call : a 1
  a   P V Q V  busy
  SIMULATED1  P V Q V  connected
  SIMULATED2  R V Q V  busy
"""
CASES = [block.strip().splitlines() for block in TABLE.split("\n\n")]


@EACH_DATABASE
@pytest.mark.parametrize("are_written_down", [True, False])
@pytest.mark.parametrize(("title", "lines"), [(case[0], case[1:]) for case in CASES])
def test_what_is_missed(
    store: Store, title: str, lines: list[str], *, are_written_down: bool
) -> None:
    records = [record_of(line, minute) for minute, line in enumerate(lines)]
    log = log_of(store, records, []) if are_written_down else log_of(store, [], records)
    found = ", ".join(f"{name} {times}" for name, times in missed(log))
    assert (found or "nothing") == title.partition(" : ")[2]


def test_simulated_calls_count_among_all(store: Store) -> None:
    records = [record_of(line, minute) for minute, line in enumerate(CASES[-1][1:])]
    found = missed(log_of(store, records, []), among=conditions.ANY)
    assert found == [("SIMULATED2", 1)]


@EACH_DATABASE
def test_only_what_is_wanted_is_counted_but_every_connection_is_seen(store: Store) -> None:
    lines = ["a P V Q V busy", "b P V Q V busy", "c P V R V busy", "d R V - - refused/expired"]
    lines += ["e Q V P V busy", "f P V R V connected"]
    log = log_of(store, [record_of(line, minute) for minute, line in enumerate(lines)], [])
    before, after = conditions.began_before(START + MINUTE), conditions.began_from(START + MINUTE)
    assert missed(log) == [("e", 1), ("b", 2)]
    assert missed(log, before) == [("a", 1)]
    assert missed(log, after) == [("e", 1), ("b", 1)]
    assert missed(log, after & conditions.is_equal("caller", facts.CALLER)) == [("b", 1)]


@EACH_DATABASE
def test_the_last_connection_may_have_ended_before_another_that_has_no_end_yet(
    store: Store,
) -> None:
    lines = ["a P V Q V busy", "b Q V P V in progress/answered", "c P V Q V busy"]
    lines += ["d Q V P V connected"]
    first, endless, *others = [record_of(line, minute) for minute, line in enumerate(lines)]
    assert missed(log_of(store, [first, *others], [endless])) == []


people = st.sampled_from([*map(NUMBERS.get, "PQR?"), None])
virtual_numbers = st.sampled_from([*map(NUMBERS.get, "VWQ"), None])
calls = st.builds(
    record_with,
    reference_id=st.sampled_from(["call", "SIMULATED"]),
    began=st.integers(0, 5).map(lambda minute: START + minute * MINUTE),
    disposition=st.sampled_from(Disposition),
    caller=people,
    dialled=virtual_numbers | st.just(NoNumber.WITHHELD),
    destination=people,
    masking_id=virtual_numbers.map(lambda number: number and str(number)),
    reason=st.sampled_from([None, None, *map(str, Reason)]),
    status=st.sampled_from([None, "answered", "busy"]),
)
histories = st.lists(calls, max_size=12).map(
    lambda some: [
        replace(call, reference_id=f"{call.reference_id}{n}") for n, call in enumerate(some)
    ]
)
wanted = st.sampled_from(
    [
        conditions.ANY,
        conditions.began_from(START + 2 * MINUTE),
        conditions.began_before(START + 3 * MINUTE),
        conditions.holds(facts.DESTINATION),
    ]
)


REASONS = ("expired", "caller_not_listed")


class Model:
    """What is missed, by going through all calls for each: slow and plain."""

    def __init__(self, calls: Sequence[CallRecord], among: Condition) -> None:
        self.calls = sorted(filter(among.passes, calls), key=place_of)

    def missed(self, wanted: Condition) -> Missed:
        lines: dict[tuple[object, object], list[CallRecord]] = {}
        for place, call in enumerate(self.calls):
            if wanted.passes(call) and self.is_missed(call):
                partner = self.partner(place)
                later = self.calls[place + 1 :]
                if not any(is_connection(one, call.caller, partner) for one in later):
                    lines.setdefault((call.caller, partner), []).append(call)
        newest = sorted(lines.values(), key=lambda line: place_of(line[-1]), reverse=True)
        return [(line[-1].reference_id, len(line)) for line in newest]

    def is_missed(self, call: CallRecord) -> bool:
        if not isinstance(call.caller, str):
            return False
        if call.disposition == "unknown":
            is_refused = call.status is None and call.reason in REASONS
            return is_refused or call.status == "busy"
        if call.disposition == "refused":
            return call.reason in REASONS
        return call.disposition in ("no answer", "busy", "failed", "declined")

    def partner(self, place: int) -> object:
        call = self.calls[place]
        if isinstance(call.destination, str):
            return call.destination
        if not isinstance(call.dialled, str):
            return None
        others = [*reversed(self.calls[:place]), *self.calls[place:]]
        shown = (shown_by(one, call.caller, call.dialled) for one in others)
        return next(filter(None, shown), call.dialled)


def shown_by(call: CallRecord, person: object, number: object) -> object:
    """Return whom a call shows behind a number for a person."""
    if (call.destination, call.masking_id) == (person, number) and isinstance(call.caller, str):
        return call.caller
    is_dialled = (call.caller, call.dialled) == (person, number)
    return call.destination if is_dialled and isinstance(call.destination, str) else None


def is_connection(call: CallRecord, person: object, other: object) -> bool:
    """Whether a call connected a person with another, or by way of a number."""
    if call.disposition != "connected" and (
        call.status != "answered" or call.disposition not in ("in progress", "unknown")
    ):
        return False
    others: set[object] = set()
    if call.caller == person:
        others |= {call.destination, call.dialled}
    if call.destination == person:
        others |= {call.caller, call.masking_id}
    return isinstance(other, str) and other in others


@EACH_DATABASE
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, wanted=wanted, is_all=st.booleans(), written_down=st.integers(0, 12))
def test_every_missed_call_without_a_later_connection_is_counted_in_one_line(
    store: Store,
    history: list[CallRecord],
    wanted: Condition,
    is_all: bool,
    written_down: int,
) -> None:
    ended, unended = history[:written_down], history[written_down:]
    log = log_of(store, ended, unended)
    among = conditions.ANY if is_all else REAL
    kept = [replace(call, number=number) for number, call in enumerate(ended)]
    assert missed(log, wanted, among) == Model([*kept, *unended], among).missed(wanted)


@EACH_DATABASE
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, data=st.data())
def test_a_later_connection_of_the_two_takes_their_line_away(
    store: Store, history: list[CallRecord], data: st.DataObject
) -> None:
    before = missed(log_of(store, history, []))
    assume(before)
    name, _ = data.draw(st.sampled_from(before))
    model = Model([replace(call, number=number) for number, call in enumerate(history)], REAL)
    place = next(n for n, call in enumerate(model.calls) if call.reference_id == name)
    two = (model.calls[place].caller, model.partner(place))
    assume(two[1] is not None)
    caller, destination = data.draw(st.permutations(two))
    later = record_with(
        reference_id="later",
        began=START + 10 * MINUTE,
        caller=caller,
        destination=destination,
        dialled=data.draw(virtual_numbers),
        masking_id=data.draw(virtual_numbers),
    )
    after = missed(log_of(store, [*history, later], []))
    assert name not in dict(after)
    assert {found for found, _ in after} <= {found for found, _ in before}
