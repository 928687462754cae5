"""Reads an answer as strictly as TeleSign may, from TeleSign's documents alone.

Every fault names its member and the rule. Nothing of ours is imported: this is the second reading
of the documents, which has to agree with that of `events` and `commands`.

Sources: TeleSign, "Voice - Events" and "Voice - Actions" (developer.telesign.com/enterprise); the
guide "Set Up a Call with Number Masking"; TeleSign/voice_server_demo for what no page shows.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

ANSWER_WITHIN_S = 5.0
"""An answer that takes longer counts as none. Assumed: TeleSign's own limit is not documented."""

_PLAYABLE = {"speak", "play", "play_multiple", "hangup", ""}
ALLOWED: dict[str, set[str]] = {
    "incoming_call": {"hangup", "speak", "play", "play_multiple", "dial"},
    "dial_completed": _PLAYABLE | {"send_dtmf"},
    "speak_completed": _PLAYABLE,
    "play_completed": _PLAYABLE,
    "call_leg_completed": _PLAYABLE,
}
"""The methods that may answer an event; "" is the empty answer, which is assumed to be taken."""


def _text(pattern: str) -> Callable[[object], bool]:
    """Return a rule: a text that fits the pattern as a whole."""
    fits = re.compile(pattern, re.ASCII | re.DOTALL).fullmatch
    return lambda value: isinstance(value, str) and fits(value) is not None


def _is_duration(value: object) -> bool:
    return _text("[0-9]{1,5}")(value) and 1 <= int(str(value)) <= 14_400


_NUMBER = ("7 to 15 digits in a text", _text("[0-9]{7,15}"))
_WORDS = ("a text", _text(r".*\S.*"))
_COUNT = ("a whole number", lambda value: type(value) is int and value > 0)
_OBJECT = ("an object", lambda value: isinstance(value, dict))
_COLLECT = {"max!": _COUNT, "timeout": _COUNT, "inter_digit_timeout": _COUNT}

# What each object may hold: a member that must be there has a "!", each has what is wanted of it.
MEMBERS: dict[str, dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "dial": {
        "to!": _NUMBER,
        "caller_id_number!": _NUMBER,
        "max_call_duration": ("seconds in a text, 1 to 14400", _is_duration),
        "send_dtmf": ("keys 0-9 A-D * # and w", _text("[0-9A-D*#w]+")),
        "external_id": _WORDS,
        "is_primary": ("true or false", lambda value: isinstance(value, bool)),
    },
    "speak": {"tts!": _OBJECT, "collect_digits": _OBJECT},
    "speak.tts": {"message!": _WORDS, "language": _WORDS},
    "speak.collect_digits": _COLLECT,
    "play": {"url!": _WORDS, "collect_digits": _OBJECT},
    "play.collect_digits": _COLLECT,
    "hangup": {},
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as TeleSign would read it: its method, what it says, and every fault in it."""

    method: str
    params: Json
    faults: tuple[str, ...] = ()

    @property
    def collects(self) -> bool:
        """Whether keys are waited for."""
        return "collect_digits" in self.params


def read_reply(
    event: str, caller: object, status: int, content_type: str, body: bytes, seconds: float
) -> Reply:
    """Read an answer to an event as strictly as TeleSign may; `caller` is who called."""
    if status != 200:
        return _not_taken(f"status: wanted 200, got {status}{_hint(status)}")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return _not_taken(f"Content-Type: wanted application/json, got {content_type or 'none'}")
    if seconds > ANSWER_WITHIN_S:
        return _not_taken(
            f"time: wanted an answer within {ANSWER_WITHIN_S:g} s, got {seconds:.1f} s"
        )
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return _not_taken("body: wanted JSON, got something else")
    if not isinstance(message, dict):
        return _not_taken("body: wanted one JSON object, got something else")
    if event == "call_completed":
        return Reply("", {})  # the call is over: TeleSign ignores what is answered
    return _read_action(event, caller, message)


def _not_taken(fault: str) -> Reply:
    return Reply("", {}, (fault,))


def _hint(status: int) -> str:
    hints = {
        401: " (set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY as the server has them)",
        404: " (name the server's event path in --url)",
    }
    return hints.get(status, "")


def _read_action(event: str, caller: object, message: Json) -> Reply:
    method, params = message.get("method", ""), message.get("params", {})
    allowed = ALLOWED.get(event, _PLAYABLE)
    if not message and "" in allowed:
        return Reply("", {})
    if not isinstance(method, str) or method not in allowed:
        wanted = ", ".join(sorted(allowed - {""}))
        return _not_taken(f"method: wanted one of {wanted} in answer to {event}, got {method!r}")
    if not isinstance(params, dict) or "params" not in message:
        return _not_taken(f"params: wanted an object, got {message.get('params', 'none')!r}")
    faults = [f"{name}: unknown member" for name in message.keys() - _ENVELOPE]
    if method in MEMBERS:
        faults += _check(params, method, "params.")
    if not faults and method == "dial":
        faults += _disclosures(params, caller)
    return Reply(method, params, tuple(faults))


_ENVELOPE = {"method", "params", "jsonrpc", "id"}


def _check(found: Json, kind: str, path: str) -> Iterator[str]:
    members = {name.rstrip("!"): rule for name, rule in MEMBERS[kind].items()}
    for name in sorted(found.keys() - members):
        yield f"{path}{name}: unknown member"
    for name, (wanted, fits) in members.items():
        if name in found and not fits(found[name]):
            yield f"{path}{name}: wanted {wanted}, got {found[name]!r}"
        elif name in found and f"{kind}.{name}" in MEMBERS:
            yield from _check(found[name], f"{kind}.{name}", f"{path}{name}.")
        elif name not in found and f"{name}!" in MEMBERS[kind]:
            yield f"{path}{name}: wanted {wanted}, got nothing"


def _disclosures(params: Json, caller: object) -> Iterator[str]:
    shown = params["caller_id_number"]
    if params["to"] == caller:
        yield "params.to: wanted somebody else's number, got the caller's own"
    if shown == caller:
        yield "params.caller_id_number: wanted a masking ID, got the caller's own number"
    if shown == params["to"]:
        yield "params.caller_id_number: wanted a masking ID, got the called person's own number"
