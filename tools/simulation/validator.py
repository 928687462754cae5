"""Reads an answer as strictly as TeleSign may, from TeleSign's documents alone.

Every fault names the member, what was wanted and what was got. Nothing of ours is imported: this is
the second reading of the documents, which has to agree with that of `events` and `commands`.

Sources: TeleSign, "Voice - Events" and "Voice - Actions" (developer.telesign.com/enterprise); the
guide "Set Up a Call with Number Masking"; TeleSign/voice_server_demo for what no page shows.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

Json = dict[str, Any]

MAX_ANSWER_S = 5.0
"""An answer that takes longer counts as none. Assumed: TeleSign's own limit is not documented."""

_MAX_EXCERPT = 40
_ENVELOPE = {"method", "params", "jsonrpc", "id"}
_HINTS = {
    401: " (the server has another key or another customer id, or a proxy in front of it re-encodes"
    " the body; set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY to the values that the server has)",
    404: " (add the server's event path to --url)",
}

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

# What each object may hold, with the rule for each member; "!" marks a required one.
_MEMBERS: dict[str, dict[str, _Rule]] = {
    "dial": {
        "to!": _NUMBER,
        "caller_id_number!": _NUMBER,
        "max_call_duration": ("a string of 1 to 14400 seconds", _is_duration),
        "send_dtmf": ("a string of the keys 0-9 A-D * # and w", _string("[0-9A-D*#w]+")),
        "external_id": ("a string that is not empty", _string(".+")),
    },
    "speak": {"tts!": _OBJECT, "collect_digits": _OBJECT},
    "speak.tts": {"message!": _TEXT, "language": _TEXT},
    "speak.collect_digits": {"max!": _COUNT, "timeout": _COUNT, "inter_digit_timeout": _COUNT},
    "hangup": {},
}
# TeleSign has other methods (play, send_dtmf); this server never answers with them.
_METHODS = {"dial", "hangup", "speak"}


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
    def collects(self) -> bool:
        """Whether digits are collected."""
        return "collect_digits" in self.params


class Answer(NamedTuple):
    """What came back for an event, and after how long."""

    status: int
    content_type: str
    body: bytes
    seconds: float


def read_reply(event: str, caller: object, answer: Answer) -> Reply:
    """Read an answer to an event as strictly as TeleSign may.

    `caller` is the number that must not be shown or dialled.
    """
    status, content_type, body, seconds = answer
    message: object = None
    with contextlib.suppress(ValueError, RecursionError):
        message = json.loads(body)
    if message == [{}]:  # as one of TeleSign's samples writes `{}`
        message = {}
    if status != 200:
        fault = f"status: wanted 200, got {status}{_HINTS.get(status, '')}"
    elif content_type.partition(";")[0].strip().lower() != "application/json":
        fault = f"Content-Type: wanted application/json, got {content_type or 'none'}"
    elif seconds > MAX_ANSWER_S:
        fault = f"time: wanted an answer within {MAX_ANSWER_S:g} s, got one after {seconds:.1f} s"
    elif not isinstance(message, dict):
        fault = f"body: wanted a JSON object, got {body[:_MAX_EXCERPT]!r}"
    elif event == "call_completed":
        return Reply("", {})  # the call is over: TeleSign ignores what is answered
    else:
        return _read_action(event, caller, message)
    return Reply("", {}, (fault,))


def read_rejection(_event: str, _caller: object, answer: Answer) -> Reply:
    """Read the answer to a request without a valid signature: 401, and no number in it.

    The request may come from a stranger, who must learn no number.
    """
    faults: tuple[str, ...] = ()
    if answer.status != 401:
        hint = " (the server verifies no signatures)" if answer.status == 200 else ""
        faults = (f"status: wanted 401 without a valid signature, got {answer.status}{hint}",)
    elif re.search(rb"\d{7,}", answer.body):
        faults = ("body: wanted no number without a valid signature, got one",)
    return Reply("", {}, faults)


def _read_action(event: str, caller: object, message: Json) -> Reply:
    method, params = message.get("method"), message.get("params")
    is_first = event == "incoming_call"
    allowed = _METHODS if is_first else _METHODS - {"dial"}
    if not message and not is_first:
        return Reply("", {})  # assumed to be taken
    if not isinstance(method, str) or method not in allowed:
        wanted = f"one of {', '.join(sorted(allowed))} in answer to {event}"
        return Reply("", {}, (f"method: wanted {wanted}, got {_value_of(message, 'method')}",))
    if not isinstance(params, dict):
        return Reply("", {}, (f"params: wanted an object, got {_value_of(message, 'params')}",))
    faults = [f"{name}: unknown member" for name in sorted(message.keys() - _ENVELOPE)]
    faults += _check(params, method, "params.")
    if not faults and method == "dial":
        faults += _disclosures(params, caller)
    return Reply(method, params, tuple(faults))


def _value_of(found: Json, name: str) -> str:
    return repr(found[name]) if name in found else "nothing"


def _check(found: Json, kind: str, path: str) -> Iterator[str]:
    """Yield every fault in the object of a kind in `_MEMBERS`, and in the objects inside it."""
    members = {name.rstrip("!"): rule for name, rule in _MEMBERS[kind].items()}
    for name in sorted(found.keys() - members):
        yield f"{path}{name}: unknown member"
    for name, (wanted, fits) in members.items():
        if name not in found:
            if f"{name}!" in _MEMBERS[kind]:
                yield f"{path}{name}: wanted {wanted}, got nothing"
        elif not fits(found[name]):
            yield f"{path}{name}: wanted {wanted}, got {found[name]!r}"
        elif f"{kind}.{name}" in _MEMBERS:
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
