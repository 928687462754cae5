"""Explains a refusal by the allow-list in one sentence, with the row that comes nearest.

The two numbers of the call are shown in full if that is asked for; other people's never, to explain
this call. No I/O.
"""

from phone import NoNumber, PhoneNumber, redact
from routing import AllowList, Reason, Route
from tools.list_advice.lint import in_utc
from tools.list_advice.redacted import show_number

SAME_END = 7
"""Numbers of which so many last digits are the same are probably one, spelled in two ways."""

_MAX_CALLERS_NAMED = 5

Party = PhoneNumber | NoNumber


def nearest_cause(
    dialled: Party, caller: Party, reason: Reason, allow_list: AllowList, *, full: bool = False
) -> str:
    """Return why the list refuses this call, and which row comes nearest to allowing it."""
    number = _show_party(dialled, allow_list, full=full)
    caller_is = f"The caller's number, {_show_party(caller, allow_list, full=full)},"
    caller_is += " contains" if isinstance(caller, NoNumber) else " is"
    rows = [route for route in allow_list if route.dialled == dialled]
    match reason:
        case Reason.BAD_NUMBER:
            which = "dialled" if isinstance(dialled, NoNumber) else "caller's"
            cause = f"The {which} number is not a country code and digits, 7 to 15 in all."
            return f"{cause}{_withheld_cause(rows, allow_list)}"
        case Reason.LOOP:
            return f"{caller_is} one of your own numbers: a masking ID or a `to`."
        case Reason.NOT_LISTED:
            return _unknown_number_cause(dialled, number, allow_list)
        case Reason.CALLER_NOT_LISTED:
            return f"{number} is listed, but only for {_callers(rows)}."
        case Reason.CALLER_WITHHELD if closed := _withheld_cause(rows, allow_list):
            return f"This caller is withheld.{closed}"
        case Reason.CALLER_WITHHELD:
            return f"{number} is listed, but only for {_callers(rows)}; this caller is withheld."
        case Reason.EXPIRED:
            by_caller: dict[object, Route] = {route.caller: route for route in rows}
            row = by_caller.get(caller) or by_caller[None]
            return f"The row in line {row.line} expired at {in_utc(row.expires)}."
        case Reason.CALLER_IS_DESTINATION:
            return f"{caller_is} the row's destination: they would call themselves."
        case Reason.REPLAYED | Reason.CONFLICTING:
            return "This call was seen before."


def _withheld_cause(rows: list[Route], allow_list: AllowList) -> str:
    """Return a sentence on the row for any caller that could not be taken, if there is one."""
    line = next((route.line for route in rows if route.caller is None), None)
    if line is None or not allow_list.refuses_withheld:
        return ""
    return f" Line {line} is for any caller, but `withheld_callers` is `refuse`."


def _show_party(party: Party, allow_list: AllowList, *, full: bool) -> str:
    """Return a number of the call; of a SIP address, which only contains one, its digits."""
    if isinstance(party, NoNumber):
        return party.digits if full else redact(party.digits)
    return show_number(party, allow_list, full=full)


def _unknown_number_cause(dialled: Party, number: str, allow_list: AllowList) -> str:
    for route in allow_list:
        if route.destination == dialled:
            return f"{number} is not a `to`: it is the destination in line {route.line}."
        if route.masking_id == dialled:
            return f"{number} is not a `to`: it is the masking ID in line {route.line}."
    for route in allow_list:
        if str(route.dialled)[-SAME_END:] == str(dialled)[-SAME_END:]:
            similar = show_number(route.dialled, allow_list, full=False)
            return f"{number} is not listed, but line {route.line} has {similar}."
    return f"{number} is not listed, and no row has a similar number as its `to`."


def _callers(rows: list[Route]) -> str:
    names = [f"{redact(route.caller or '')} (line {route.line})" for route in rows]
    if len(names) > _MAX_CALLERS_NAMED:
        others = len(names) - _MAX_CALLERS_NAMED
        return f"{', '.join(names[:_MAX_CALLERS_NAMED])} and {others} more"
    return " and ".join(names)
