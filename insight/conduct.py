"""What TeleSign does, and when: what follows our answers, what is repeated, how long it waits.

Each function answers one question of `live_check` from the evidence. No number is shown. No I/O,
no clock: the times are those at which the events came.
"""

from itertools import pairwise

from call_log.records import StoredEvent
from events import (
    CallCompleted,
    CallLegCompleted,
    DialCompleted,
    IncomingCall,
    PlayCompleted,
    SpeakCompleted,
)
from insight.evidence import (
    Answer,
    Call,
    Evidence,
    Next,
    Outcome,
    answer,
    followed,
    is_connected,
    nothing,
    seconds,
    was_dialled,
    word,
)
from routing import REPEAT_WINDOW_S

SUSPICIOUS_S = 1.0
"""A call that ends so soon after an answer of `{}` was perhaps ended by it."""

MIN_SUDDEN_ENDS = 3
"""Fewer sudden ends are no sign: a person may hang up at any time."""

MAX_WAIT_S = 60.0
"""A message and ten seconds for a key take less; the same figure in seconds would take hours."""


def empty_answer(found: Evidence) -> Answer:
    """Tell what followed an answer of `{}` to an event of a live call, and how soon."""
    kinds = (DialCompleted, SpeakCompleted, PlayCompleted)
    after = [
        (each.event.name, then)
        for call in found.calls
        for each, then in followed(call)
        if isinstance(each.event, kinds) and each.reply == {}
    ]
    if not after:
        return nothing("take a call and listen to the greeting to its end")
    values = [_what_came(name, then) for name, then in after]
    ended = sum(_is_sudden(then) for _, then in after)
    went_on = sum(bool(then.name) and not _is_sudden(then) for _, then in after)
    if ended >= max(went_on, MIN_SUDDEN_ENDS):
        to_do = "calls end where they should go on: set `greeting` to an empty text and call again"
        return answer(Outcome.DIFFERS, values, to_do)
    if not went_on:
        to_do = "take more calls, listen to the greeting to its end, and run this again"
        return answer(Outcome.SEEN, values, to_do)
    return answer(Outcome.MOSTLY_AS_ASSUMED if ended else Outcome.AS_ASSUMED, values)


def _is_sudden(then: Next) -> bool:
    ends = (CallCompleted.name, CallLegCompleted.name)
    return then.name in ends and then.after_s <= SUSPICIOUS_S


def _what_came(name: str, then: Next) -> str:
    if not then.name:
        return f"{name}, then nothing yet"
    return f"{name}, then {word(then.name)} {_distance(then.after_s)}"


def dial_is_reported(found: Evidence) -> Answer:
    """Tell whether `dial_completed` comes for the dial that connects two people."""
    calls = [call for call in found.calls if was_dialled(call) and is_connected(call)]
    if not calls:
        return nothing("make a call that is connected, and answer it")
    came = [any(isinstance(each.event, DialCompleted) for each in call) for call in calls]
    values = ["it came" if each else "connected without it" for each in came]
    if any(came):
        outcome = Outcome.AS_ASSUMED if all(came) else Outcome.MOSTLY_AS_ASSUMED
        return answer(outcome, values)
    to_do = "nobody hears the greeting or is asked for a digit: leave `accept_digit` empty"
    return answer(Outcome.DIFFERS, values, to_do)


def leg_end(found: Evidence) -> Answer:
    """Return what followed our `hangup` in answer to `call_leg_completed` of an answered call."""
    connected = [call for call in found.calls if is_connected(call)]
    after = [
        then
        for call in connected
        for each, then in followed(call)
        if isinstance(each.event, CallLegCompleted) and each.reply.get("method") == "hangup"
    ]
    if after:
        values = [
            f"hangup, then {word(then.name)}" if then.name else "hangup, then nothing yet"
            for then in after
        ]
        if any(then.name for then in after):
            return answer(Outcome.AS_ASSUMED, values)
        return answer(Outcome.SEEN, values, "look whether the caller's line goes dead")
    ended = [call for call in connected if was_dialled(call) and _is_over(call)]
    if not ended:
        return nothing("answer a call and let the called person hang up first")
    values = ["call_completed without call_leg_completed"] * len(ended)
    return answer(Outcome.SEEN, values, "let the called person hang up first, and look again")


def _is_over(call: Call) -> bool:
    return any(isinstance(each.event, CallCompleted) for each in call)


def digit_timeout(found: Evidence) -> Answer:
    """Tell how long TeleSign waits for a digit that nobody presses."""
    waits = [
        (then.first_seen - asked.first_seen).total_seconds()
        for call in found.calls
        for asked, then in pairwise(call)
        if _asks_for_digit(asked)
        and isinstance(then.event, SpeakCompleted)
        and not then.event.collected_digits
    ]
    if not waits:
        return nothing("set `accept_digit`, take a call and press no key")
    values = [f"no key, done after {seconds(min(waits))} to {seconds(max(waits))}"] * len(waits)
    if max(waits) > MAX_WAIT_S:
        to_do = "the wait is far longer than the 10 s meant: leave `accept_digit` empty"
        return answer(Outcome.DIFFERS, values, to_do)
    return answer(Outcome.AS_ASSUMED, values)


def _asks_for_digit(heard: StoredEvent) -> bool:
    params = heard.reply.get("params")
    return isinstance(params, dict) and "collect_digits" in params


def repeats(found: Evidence) -> Answer:
    """Tell which events came again, byte for byte, and how long after the first time."""
    again = [each for call in found.calls for each in call if each.deliveries > 1]
    to_do = "how long TeleSign waits, and from where it sends, only a proxy's own log can tell"
    if not again:
        return nothing(f"no event came twice; {to_do}")
    values = [f"{word(each.event.name)}, {_distance(_distance_s(each))}" for each in again]
    if any(
        isinstance(each.event, IncomingCall) and _distance_s(each) > REPEAT_WINDOW_S
        for each in again
    ):
        to_do = f"what comes again after more than {REPEAT_WINDOW_S} s is refused as replayed"
        return answer(Outcome.DIFFERS, values, to_do)
    return answer(Outcome.SEEN, values, to_do)


def _distance_s(heard: StoredEvent) -> float:
    return (heard.last_seen - heard.first_seen).total_seconds()


def _distance(distance_s: float) -> str:
    """Return a distance as one of a few, so that alike ones can be counted together."""
    limit = next((each for each in (1, 5, 15, 60, REPEAT_WINDOW_S) if distance_s <= each), None)
    return f"within {limit} s" if limit else f"after more than {REPEAT_WINDOW_S} s"
