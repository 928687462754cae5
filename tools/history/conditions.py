"""Which calls are looked for: each condition in SQL, and in Python.

The first is for calls that are written down, the second for those without an end, which are folded
as they are read. Conditions are joined with `&`, `|` and `~`. No I/O.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import phone
from call_log.store import microseconds
from phone import NoNumber, PhoneNumber
from records import CallRecord, Disposition

_ROLES = ("caller", "dialled", "destination", "masking_id")


@dataclass(frozen=True, slots=True)
class Condition:
    """What a record has to be like: `sql` takes `values`, and means what `passes` returns."""

    sql: str
    values: tuple[object, ...]
    passes: Callable[[CallRecord], bool]

    def __and__(self, other: "Condition") -> "Condition":
        return Condition(
            f"({self.sql} AND {other.sql})",
            self.values + other.values,
            lambda record: self.passes(record) and other.passes(record),
        )

    def __or__(self, other: "Condition") -> "Condition":
        return Condition(
            f"({self.sql} OR {other.sql})",
            self.values + other.values,
            lambda record: self.passes(record) or other.passes(record),
        )

    def __invert__(self) -> "Condition":
        return Condition(f"(NOT {self.sql})", self.values, lambda record: not self.passes(record))


ANY = Condition("1 = 1", (), lambda _: True)
NONE = Condition("1 = 0", (), lambda _: False)
SIMULATED = Condition("simulated = 1", (), lambda record: record.is_simulated)


def began_from(time: datetime) -> Condition:
    """Return that a call began at this time or later."""
    return Condition("began >= ?", (microseconds(time),), lambda record: record.began >= time)


def began_before(time: datetime) -> Condition:
    """Return that a call began earlier."""
    return Condition("began < ?", (microseconds(time),), lambda record: record.began < time)


def is_equal(field: str, value: str) -> Condition:
    """Return that a text of the record, such as its disposition, is this one."""
    sql = f"coalesce({field}, '') = ?"  # so that what is not known can be negated
    return Condition(sql, (value,), lambda record: (getattr(record, field) or "") == value)


def is_live() -> Condition:
    """Return that the people may be on the phone: the call has no end yet, and was not refused."""
    return is_equal("disposition", Disposition.IN_PROGRESS.value) & is_equal("reason", "")


def is_call(*reference_ids: str) -> Condition:
    """Return that a call is one of these; by an index, unlike the others."""
    sql = f"reference_id IN ({', '.join('?' * len(reference_ids))})"
    return Condition(sql, reference_ids, lambda record: record.reference_id in reference_ids)


def id_ends_in(ending: str) -> Condition:
    """Return that the reference id ends like this."""
    sql = "substr(reference_id, length(reference_id) - ? + 1) = ?"
    values = (len(ending), ending)
    return Condition(sql, values, lambda record: record.reference_id.endswith(ending))


def holds(digits: str) -> Condition:
    """Return that a number of the call, in whatever role, is this one, or ends in these digits."""
    found = NONE
    for role in _ROLES:
        found |= _is_number(role, digits) if phone.is_number(digits) else ends_in(role, digits)
    return found


def _is_number(role: str, number: str) -> Condition:
    # What cannot be read as a number is kept as a word and its digits.
    sql = f"coalesce({role}, '') IN (?, ?)"
    return Condition(
        sql, (number, f"bad {number}"), lambda record: _digits(getattr(record, role)) == number
    )


def ends_in(role: str, digits: str) -> Condition:
    """Return that the number in this role ends in these digits."""
    sql = f"coalesce({role}, '') LIKE ?"
    return Condition(
        sql, (f"%{digits}",), lambda record: _digits(getattr(record, role)).endswith(digits)
    )


def is_one_of(field: str, values: Collection[str]) -> Condition:
    """Return that a text of the record, such as the number in a role, is one of these."""
    if not values:
        return NONE
    sql = f"coalesce({field}, '') IN ({', '.join('?' * len(values))})"
    return Condition(sql, tuple(values), lambda record: getattr(record, field) in values)


def _digits(number: PhoneNumber | NoNumber | str | None) -> str:
    return number.digits if isinstance(number, NoNumber) else number or ""
