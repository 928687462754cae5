"""Each condition means the same in SQL, for calls that are written down, as in Python."""

from dataclasses import replace
from datetime import timedelta

import facts
import pytest
from call_logs import write_down, written_down
from databases import EACH_DATABASE, log_in_sqlite
from helpers import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_calls import record_with

from call_log.store import Store
from phone import NoNumber, PhoneNumber
from records import CallRecord, Disposition
from routing import Reason
from tools.history import conditions
from tools.history.conditions import Condition

log_url = log_in_sqlite


NUMBERS = [
    *map(PhoneNumber, (facts.CALLER, facts.DIALLED, facts.DESTINATION, facts.MASKING_ID)),
    PhoneNumber("442079460123"),
    PhoneNumber("5550123"),
    NoNumber.WITHHELD,
    NoNumber("bad"),
    NoNumber("bad", facts.CALLER),
    NoNumber("bad", "0123"),
    None,
]
TIMES = st.integers(-3, 3).map(lambda seconds: START + timedelta(seconds=seconds))
IDS = ["a", "abcdef", "bcdef", "x_%cdef", "SIMULATEDabcdef", "simulatedabcdef", "\u00e9bcdef"]
numbers = st.sampled_from(NUMBERS)
records = st.builds(
    CallRecord,
    reference_id=st.just(""),
    disposition=st.sampled_from(Disposition),
    began=TIMES,
    ended=st.none() | TIMES,
    caller=numbers,
    dialled=numbers,
    destination=numbers,
    masking_id=st.sampled_from([None, facts.MASKING_ID, facts.CALLER]),
    row=st.sampled_from([None, 7]),
    external_id=st.none(),
    reason=st.sampled_from([None, *Reason]),
    status=st.sampled_from([None, "answered", "busy"]),
    wait_s=st.sampled_from([None, 0.0, 1.5]),
    talk_s=st.sampled_from([None, 60.0]),
)
wanted_numbers = [number for number in NUMBERS if isinstance(number, str)]
roles = st.sampled_from(["caller", "dialled", "destination", "masking_id"])
digits = st.sampled_from([*wanted_numbers, "0123", "50123", "550199", "9999"])
simple = st.one_of(
    st.sampled_from([conditions.ANY, conditions.NONE, conditions.SIMULATED]),
    st.builds(conditions.began_from, TIMES),
    st.builds(conditions.began_before, TIMES),
    st.builds(conditions.is_equal, st.just("disposition"), st.sampled_from([*Disposition])),
    st.builds(conditions.is_equal, st.just("reason"), st.sampled_from([*Reason])),
    st.builds(conditions.is_equal, roles, digits),
    st.builds(conditions.is_call, st.sampled_from(IDS)),
    st.builds(conditions.is_call, st.sampled_from(IDS), st.sampled_from(IDS)),
    st.builds(
        conditions.id_ends_in, st.sampled_from([*IDS, "cdef", "%cdef", "CDEF", "longer" * 9])
    ),
    st.builds(conditions.holds, digits),
    st.builds(conditions.ends_in, roles, digits),
    st.builds(conditions.is_one_of, roles, st.sets(st.sampled_from(wanted_numbers))),
    st.builds(
        conditions.is_one_of,
        st.sampled_from(["disposition", "reason"]),
        st.sets(st.sampled_from([*map(str, Disposition), *map(str, Reason)])),
    ),
)
compound = st.recursive(
    simple,
    lambda parts: st.one_of(
        parts.map(lambda part: ~part),
        st.tuples(parts, parts).map(lambda pair: pair[0] & pair[1]),
        st.tuples(parts, parts).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=4,
)


@EACH_DATABASE
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some=st.lists(records, max_size=len(IDS)), wanted=st.lists(compound, min_size=1, max_size=9))
def test_a_condition_passes_the_same_records_in_the_database_and_here(
    store: Store, log_url: str, some: list[CallRecord], wanted: list[Condition]
) -> None:
    store.execute("DELETE FROM call_record")
    named = [replace(record, reference_id=name) for record, name in zip(some, IDS, strict=False)]
    write_down(store, named)
    assert [replace(record, number=None) for record in written_down(log_url)] == named
    for condition in wanted:
        sql = f"SELECT reference_id FROM call_record WHERE {condition.sql} ORDER BY number"
        found = [name for (name,) in store.execute(sql, condition.values)]
        assert found == [record.reference_id for record in named if condition.passes(record)]


@pytest.mark.parametrize(
    ("digits", "record", "passes"),
    [
        (facts.CALLER, record_with(caller=facts.CALLER), True),
        (facts.CALLER, record_with(caller=NoNumber("bad", facts.CALLER)), True),
        (facts.CALLER, record_with(masking_id=facts.CALLER), True),
        (facts.CALLER, record_with(caller=f"{facts.CALLER}9"), False),
        (facts.CALLER, record_with(external_id=facts.CALLER), False),
        ("0123", record_with(destination=facts.CALLER), True),
        ("0123", record_with(dialled=NoNumber("bad", "990123")), True),
        ("0123", record_with(caller=NoNumber.WITHHELD), False),
        ("2025", record_with(caller=facts.CALLER), False),
    ],
)
def test_a_call_holds_a_number_in_one_of_its_four_roles(
    digits: str, record: CallRecord, *, passes: bool
) -> None:
    assert conditions.holds(digits).passes(record) is passes


def test_a_negated_condition_passes_what_is_not_known() -> None:
    unknown = record_with()
    assert (~conditions.is_equal("reason", "expired")).passes(unknown)
    assert (~conditions.holds(facts.CALLER)).passes(unknown)
