"""Who must be called back: calls that reached nobody, after which the two were not connected.

The two are the caller and the person they wanted; a connection of them counts in either direction
and by whatever virtual number. Of each call few columns are read, and of most calls only those that
may end a wait. No I/O but by `StoredCalls`, and no clock.
"""

from bisect import bisect
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import phone
from call_log.store import utc
from calls import ANSWERED
from records import Disposition
from routing import Reason
from tools.history import conditions
from tools.history.conditions import Condition
from tools.history.stored import Parties, StoredCalls

_Place = tuple[int, int]
_Two = tuple[str | None, str | None]
"""A person, and another, or a number by which they have another."""


def _is_any_of(*dispositions: Disposition) -> Condition:
    return conditions.is_one_of("disposition", [disposition.value for disposition in dispositions])


_IS_ANSWERED = conditions.is_equal("status", ANSWERED)
_HAS_STATUS = ~conditions.is_equal("status", "")
# Of these, unlike the others, somebody may be behind the number.
_IS_EXPIRED = conditions.is_one_of("reason", [Reason.EXPIRED.value, Reason.CALLER_NOT_LISTED.value])
_REACHED_NOBODY = (
    _is_any_of(Disposition.NO_ANSWER, Disposition.BUSY, Disposition.FAILED, Disposition.DECLINED)
    | (_is_any_of(Disposition.REFUSED) & _IS_EXPIRED)
    # The end of the call was never reported, but that of its dial, or it was refused.
    | (_is_any_of(Disposition.UNKNOWN) & ~_IS_ANSWERED & (_HAS_STATUS | _IS_EXPIRED))
)
_IS_CONNECTED = _is_any_of(Disposition.CONNECTED) | (
    # They may be talking right now.
    _is_any_of(Disposition.IN_PROGRESS, Disposition.UNKNOWN) & _IS_ANSWERED
)


def count_missed(
    log: StoredCalls, wanted: Condition, among: Condition, now: datetime
) -> dict[str, int]:
    """Return the newest missed call of each caller to each person, and how many there were.

    Those count that are wanted and began after the two were last connected. The newest goes first.
    Only the calls `among` these are looked at, also to see who was connected.
    """
    reached_nobody = log.parties(wanted & among & _REACHED_NOBODY, now)
    missed = sorted((call for call in reached_nobody if phone.is_number(call.caller)), key=_place)
    if not missed:
        return {}
    alone = [call for call in missed if not phone.is_number(call.destination)]
    shown = _people_behind({(call.caller, call.dialled) for call in alone}, log.parties(among, now))
    whom = [(call.caller, _whom(call, shown)) for call in missed]
    later = conditions.began_from(utc(missed[0].began))
    known = {two for two in whom if two[1] is not None}
    connected = _last_connections(known, log.parties(among & later & _IS_CONNECTED, now))
    found: dict[_Two, tuple[str, int]] = {}
    for two, call in zip(whom, missed, strict=True):
        if two not in connected or connected[two] < _place(call):
            _, times = found.pop(two, ("", 0))  # goes to the end, as the newest so far
            found[two] = call.reference_id, times + 1
    return dict(reversed(found.values()))


def _place(call: Parties) -> _Place:
    return call.began, call.number


def _ways(call: Parties) -> tuple[_Two, _Two, _Two, _Two]:
    """Return each of two people with the other, and with the number by which they have them."""
    return (
        (call.caller, call.destination),
        (call.destination, call.caller),
        (call.caller, call.dialled),
        (call.destination, call.masking_id),
    )


def _last_connections(asked: Collection[_Two], calls: Iterable[Parties]) -> dict[_Two, _Place]:
    """Return where the last of these calls stands that connected two, for each that did."""
    found: dict[_Two, _Place] = {}
    for call in calls:
        for two in _ways(call):
            if two in asked:
                found[two] = max(found.get(two, _place(call)), _place(call))
    return found


def _people_behind(
    asked: Iterable[_Two], calls: Iterable[Parties]
) -> dict[_Two, list[tuple[_Place, str]]]:
    """Return whom each of these calls shows behind a number that somebody has dialled."""
    found: dict[_Two, list[tuple[_Place, str]]] = {two: [] for two in asked}
    for call in calls if found else ():
        *_, dialled, seen = _ways(call)
        for two, other in ((dialled, call.destination), (seen, call.caller)):
            if two in found and phone.is_number(other):
                found[two].append((_place(call), str(other)))
    return {two: sorted(shown) for two, shown in found.items()}


def _whom(call: Parties, people_behind: Mapping[_Two, Sequence[tuple[_Place, str]]]) -> str | None:
    """Return whom a call was for; the dialled number, if any, where the log shows nobody behind it.

    A call that was refused has no destination. It was for whom its caller had behind the number
    before, as it may be another's by now; if nobody, for the first one afterwards.
    """
    if phone.is_number(call.destination):
        return call.destination
    if not phone.is_number(call.dialled):
        return None
    shown = people_behind[call.caller, call.dialled]
    return shown[max(bisect(shown, (_place(call), "")) - 1, 0)][1] if shown else call.dialled
