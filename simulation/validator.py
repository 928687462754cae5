"""Reads an answer as strictly as TeleSign may, from TeleSign's documents alone.

Every fault names the member, what was wanted and what was got. Nothing of ours is imported: this is
the second reading of the documents, which has to agree with that of `events` and `commands`.

Sources: TeleSign, "Voice - Events" and "Voice - Actions" (developer.telesign.com/enterprise); the
guide "Set Up a Call with Number Masking"; TeleSign/voice_server_demo for what no page shows.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

MAX_ANSWER_S = 5.0
"""An answer that takes longer counts as none. Assumed: TeleSign's own limit is not documented."""

_MAX_EXCERPT = 40
_ENVELOPE = {"method", "params", "jsonrpc", "id"}
_HINTS = {
    401: " (set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY to the values that the server has)",
    404: " (add the server's event path to --url)",
}

_PLAYABLE = {"speak", "play", "play_multiple", "hangup", ""}
ALLOWED: dict[str, set[str]] = {
    "incoming_call": {"hangup", "speak", "play", "play_multiple", "dial"},
    "dial_completed": _PLAYABLE | {"send_dtmf"},
    "speak_completed": _PLAYABLE,
    "play_completed": _PLAYABLE,
    "call_leg_completed": _PLAYABLE,
}
"""The methods that may answer an event; "" is the empty answer, which is assumed to be taken."""

_Rule = tuple[str, Callable[[Any], bool]]
"""What is wanted of a member, in words and as a check."""


def _string(pattern: str) -> Callable[[object], bool]:
    """Return a check for a string that the whole pattern matches."""
    matches = re.compile(pattern, re.ASCII | re.DOTALL).fullmatch
    return lambda value: isinstance(value, str) and matches(value) is not None


def _is_duration(value: object) -> bool:
    return _string("[0-9]{1,5}")(value) and 1 <= int(str(value)) <= 14_400


_NUMBER: _Rule = ("a string of 7 to 15 digits", _string("[0-9]{7,15}"))
_TEXT: _Rule = ("a string that is not blank", _string(r".*\S.*"))
_COUNT: _Rule = ("a positive integer", lambda value: type(value) is int and value > 0)
_OBJECT: _Rule = ("an object", lambda value: isinstance(value, dict))
_COLLECT = {"max!": _COUNT, "timeout": _COUNT, "inter_digit_timeout": _COUNT}

# What each object may hold, with the rule for each member; "!" marks a required one.
MEMBERS: dict[str, dict[str, _Rule]] = {
    "dial": {
        "to!": _NUMBER,
        "caller_id_number!": _NUMBER,
        "max_call_duration": ("a string of 1 to 14400 seconds", _is_duration),
        "send_dtmf": ("a string of 0-9, A-D, *, # and w", _string("[0-9A-D*#w]+")),
        "external_id": _TEXT,
        "is_primary": ("true or false", lambda value: isinstance(value, bool)),
    },
    "speak": {"tts!": _OBJECT, "collect_digits": _OBJECT},
    "speak.tts": {"message!": _TEXT, "language": _TEXT},
    "speak.collect_digits": _COLLECT,
    "play": {"url!": _TEXT, "collect_digits": _OBJECT},
    "play.collect_digits": _COLLECT,
    "hangup": {},
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as TeleSign would read it: method, parameters, and every fault in it."""

    method: str
    params: Json
    faults: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The method, or "no action"."""
        return self.method or "no action"

    @property
    def speaks(self) -> bool:
        """Whether a message is played, of which TeleSign reports the end."""
        return self.method in {"speak", "play"}

    @property
    def collects(self) -> bool:
        """Whether digits are collected."""
        return "collect_digits" in self.params


def read_reply(
    event: str, caller: object, status: int, content_type: str, body: bytes, seconds: float
) -> Reply:
    """Read an answer to an event as strictly as TeleSign may.

    `caller` is the number that must not be shown or dialled, `seconds` how long the answer took.
    """
    fault = _transport_fault(status, content_type, seconds)
    if fault:
        return _refuse(fault)
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        return _refuse(f"body: wanted a JSON object, got {_excerpt(body)}")
    if event == "call_completed":
        return Reply("", {})  # the call is over: TeleSign ignores what is answered
    return _read_action(event, caller, message)


def _refuse(fault: str) -> Reply:
    return Reply("", {}, (fault,))


def _transport_fault(status: int, content_type: str, seconds: float) -> str:
    """Return what is wrong with how an answer came, or nothing."""
    if status != 200:
        return f"status: wanted 200, got {status}{_HINTS.get(status, '')}"
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return f"Content-Type: wanted application/json, got {content_type or 'none'}"
    if seconds > MAX_ANSWER_S:
        return f"time: wanted an answer within {MAX_ANSWER_S:g} s, got one after {seconds:.1f} s"
    return ""


def _excerpt(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    shown = text[:_MAX_EXCERPT] + "..." * (len(text) > _MAX_EXCERPT)
    return repr(shown) if text else "nothing"


def _read_action(event: str, caller: object, message: Json) -> Reply:
    method, params = message.get("method", ""), message.get("params")
    allowed = ALLOWED.get(event, _PLAYABLE)
    if not message and "" in allowed:
        return Reply("", {})
    if not isinstance(method, str) or method not in allowed:
        wanted, got = ", ".join(sorted(allowed - {""})), _got(message, "method")
        return _refuse(f"method: wanted one of {wanted} in answer to {event}, got {got}")
    if not isinstance(params, dict):
        return _refuse(f"params: wanted an object, got {_got(message, 'params')}")
    faults = [f"{name}: unknown member" for name in sorted(message.keys() - _ENVELOPE)]
    if method in MEMBERS:
        faults += _check(params, method, "params.")
    if not faults and method == "dial":
        faults += _disclosures(params, caller)
    return Reply(method, params, tuple(faults))


def _got(found: Json, name: str) -> str:
    return repr(found[name]) if name in found else "nothing"


def _check(found: Json, kind: str, path: str) -> Iterator[str]:
    """Yield every fault in the object of a kind in `MEMBERS`, and in the objects inside it."""
    members = {name.rstrip("!"): rule for name, rule in MEMBERS[kind].items()}
    for name in sorted(found.keys() - members):
        yield f"{path}{name}: unknown member"
    for name, (wanted, fits) in members.items():
        if name not in found:
            if f"{name}!" in MEMBERS[kind]:
                yield f"{path}{name}: wanted {wanted}, got nothing"
        elif not fits(found[name]):
            yield f"{path}{name}: wanted {wanted}, got {found[name]!r}"
        elif f"{kind}.{name}" in MEMBERS:
            yield from _check(found[name], f"{kind}.{name}", f"{path}{name}.")


def _disclosures(params: Json, caller: object) -> Iterator[str]:
    """Yield every way in which a dial shows a real number, or calls the caller back."""
    shown = params["caller_id_number"]
    if params["to"] == caller:
        yield "params.to: wanted another person's number, got the caller's own number"
    if shown == caller:
        yield "params.caller_id_number: wanted a masking ID, got the caller's own number"
    if shown == params["to"]:
        yield "params.caller_id_number: wanted a masking ID, got the called person's own number"
