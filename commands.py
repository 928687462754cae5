"""What we answer: `Dial`, `Speak`, `Hangup` and `NoAction`, each of which makes its own JSON.

A command that exists is one that TeleSign accepts: otherwise its constructor raises `ValueError`,
which says what was wanted and what was got. TeleSign's own spelling of members appears only in
`to_wire`. No I/O.

Sources: TeleSign, "Voice - Actions" (developer.telesign.com/enterprise/reference/voice-actions),
and the guide "Set Up a Call with Number Masking", whose form (no `jsonrpc` member) is kept.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import ClassVar, NamedTuple

from phone import PhoneNumber, is_number, mask_digits

MAX_CALL_SECONDS = 14_400
"""TeleSign ends every call after four hours. Source: Voice - Actions, `max_call_duration`."""


class Form(NamedTuple):
    """How a member of a command is written, and that in words."""

    pattern: str
    wanted: str

    def check(self, text: str) -> str:
        """Return the text. Raises `ValueError` for one in another form."""
        if re.fullmatch(self.pattern, text):
            return text
        raise ValueError(f"wanted {self.wanted}")


LANGUAGE = Form("[a-z]{2}-[A-Z]{2}", "a tag such as en-US")
"""The form of the tags in TeleSign's samples; which languages there are is not documented."""

EXTERNAL_ID = Form(r"[ -+\--~]{1,64}", "1 to 64 printable ASCII characters without commas")
"""TeleSign documents a string; the limits are ours."""

SEND_DTMF = Form("[0-9A-D*#w]{1,32}", "1 to 32 of the keys 0-9 A-D * #, or w for a pause")
"""Source: Voice - Actions, `send_dtmf`; how many TeleSign takes is not documented."""

_ONE_DIGIT = {"max": 1, "timeout": 10_000, "inter_digit_timeout": 3_000}  # in milliseconds

Wire = dict[str, object]

_compact = json.JSONEncoder(separators=(",", ":")).encode


def is_dial(reply: Wire) -> bool:
    """Whether a command on the wire connects a call."""
    return reply.get("method") == "dial"


def asks_for_digit(reply: Wire) -> bool:
    """Whether a command on the wire waits for a key to be pressed."""
    params = reply.get("params")
    return isinstance(params, dict) and "collect_digits" in params


class _Command(ABC):
    """What every command can do."""

    __slots__ = ()

    @abstractmethod
    def to_wire(self) -> Wire:
        """Return the command as TeleSign reads it."""

    def to_json(self) -> str:
        """Return the command as it is sent and stored: compact JSON in ASCII."""
        return _json(self)


@lru_cache  # a server sends the same few commands again and again
def _json(command: _Command) -> str:
    return _compact(command.to_wire())


@dataclass(frozen=True, slots=True)
class Dial(_Command):
    """Call the destination and bridge it with the caller. Source: Voice - Actions, `dial`.

    The called person sees `masking_id`, which is never the destination itself. The call ends after
    `max_call_duration_s` seconds, 1 to 14400; `None` leaves it to TeleSign's own limit. Once the
    called side has answered, TeleSign presses `send_dtmf`: `0-9 A-D * #`, and `w` for a pause of
    half a second. `external_id` is your own id of the call, which later events bear too.
    """

    destination: PhoneNumber
    masking_id: PhoneNumber
    max_call_duration_s: int | None = None
    send_dtmf: str | None = None
    external_id: str | None = None

    name: ClassVar = "dial"

    def __post_init__(self) -> None:
        for name, number in ("destination", self.destination), ("masking ID", self.masking_id):
            if not is_number(number):
                raise ValueError(f"{name}: wanted 7 to 15 digits, got {mask_digits(number)!r}")
        if self.masking_id == self.destination:
            raise ValueError("masking ID: wanted a number other than the destination")
        duration_s = self.max_call_duration_s
        if duration_s is not None and not 1 <= duration_s <= MAX_CALL_SECONDS:
            raise ValueError(f"duration: wanted 1 to {MAX_CALL_SECONDS} s, got {duration_s}")
        keys = "send_dtmf", SEND_DTMF, self.send_dtmf
        for name, form, text in keys, ("external_id", EXTERNAL_ID, self.external_id):
            if text is not None and not re.fullmatch(form.pattern, text):
                raise ValueError(f"{name}: wanted {form.wanted}, got {mask_digits(text)!r}")

    def to_wire(self) -> Wire:
        """Return the command as TeleSign reads it, with the duration as a text."""
        params: Wire = {"to": self.destination, "caller_id_number": self.masking_id}
        if self.max_call_duration_s is not None:
            params["max_call_duration"] = str(self.max_call_duration_s)
        for name in "send_dtmf", "external_id":
            if (text := getattr(self, name)) is not None:
                params[name] = text
        return {"method": "dial", "params": params}


@dataclass(frozen=True, slots=True)
class Speak(_Command):
    """Speak a message into the call. Source: the guide's `SpeakCommand`.

    With `collect_digit`, TeleSign waits 10 s for one key press, as in the guide. That the guide's
    timeouts are milliseconds is inferred from their size; no page names the unit.
    """

    message: str
    language: str = "en-US"
    collect_digit: bool = False

    name: ClassVar = "speak"

    def __post_init__(self) -> None:
        check_speech(self.message)
        if not re.fullmatch(LANGUAGE.pattern, self.language):
            raise ValueError(f"language: wanted {LANGUAGE.wanted}, got {self.language!r}")

    def to_wire(self) -> Wire:
        """Return the command as TeleSign reads it."""
        params: Wire = {"tts": {"message": self.message, "language": self.language}}
        if self.collect_digit:
            params["collect_digits"] = dict(_ONE_DIGIT)
        return {"method": "speak", "params": params}


@dataclass(frozen=True, slots=True)
class Hangup(_Command):
    """End the call, or refuse it before it begins. Source: the guide's `HangupCommand`."""

    name: ClassVar = "hangup"

    def to_wire(self) -> Wire:
        """Return the command as TeleSign reads it."""
        return {"method": "hangup", "params": {}}


@dataclass(frozen=True, slots=True)
class NoAction(_Command):
    """Leave the call as it is. Source: TeleSign/voice_server_demo, for `call_completed`.

    That TeleSign accepts it for other events too is not documented.
    """

    name: ClassVar = "no action"

    def to_wire(self) -> Wire:
        """Return the empty answer."""
        return {}


Command = Dial | Speak | Hangup | NoAction


def check_speech(message: str) -> str:
    """Return a message. Raises `ValueError` if nothing is in it, or a NUL or lone surrogate."""
    if not message.strip() or re.search("[\0\ud800-\udfff]", message):
        raise ValueError("wanted a text to speak, without broken characters")
    return message


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is spoken to callers and called persons: `config.prompts` makes it from the settings.

    `routing.decide` says when. `accept_digit` is the key by which the called person takes the call;
    `None` asks for none. `refusals` are by reason; what is not among them is answered `refusal`.
    """

    greeting: Speak | NoAction = NoAction()
    refusal: Speak | Hangup = Hangup()
    unavailable: Speak | Hangup = Hangup()
    accept_digit: str | None = None
    language: str = "en-US"
    refusals: Mapping[str, Speak] = field(default_factory=dict)

    def greet(self, message: str | None, language: str | None) -> Speak | NoAction:
        """Return the greeting, with what is given in place of its message and its language."""
        usual = self.greeting
        if isinstance(usual, NoAction):  # so no digit is asked for either
            return Speak(message, language or self.language) if message else usual
        return replace(usual, message=message or usual.message, language=language or usual.language)
