"""How a call that has not happened would be answered, and why. No I/O, no clock."""

import phone
from calls import UNKNOWN, Decision, Timestamp
from config import Settings, prompts
from events import IncomingCall
from routing import AllowList, Reason, decide
from tools.list_advice.nearest_cause import nearest_cause


def explain(
    caller: str,
    dialled: str,
    settings: Settings,
    allow_list: AllowList,
    now: Timestamp,
    *,
    full: bool = False,
) -> tuple[IncomingCall, Decision, str]:
    """Return the call, the decision, and for a refusal its nearest cause.

    The numbers are texts as an event has them; an empty one is a withheld number.
    """
    home = settings.home_country_code
    to, by = (phone.read(number, home_country_code=home) for number in (dialled, caller))
    event = IncomingCall("explain", dialled=to, caller=by)
    decision = decide(event, UNKNOWN, allow_list, prompts(settings), now)
    reason = decision.reason
    cause = nearest_cause(to, by, Reason(reason), allow_list, full=full) if reason else ""
    return event, decision, cause
