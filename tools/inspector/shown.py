"""How numbers and JSON are shown: the last four digits, or in full where that is asked for.

Masking IDs are whole where our own answer names them. Every other text may hold somebody's number,
so each is masked, down to the last member of TeleSign's JSON.
"""

import json
import re
from datetime import datetime
from typing import Any

import phone
from commands import Wire
from tools.history.fields import View, decode

_NUMBER = re.compile("[0-9]{7,}", re.ASCII)
_KEYS = ("collected_digits", "send_dtmf")
_DIGIT = re.compile(r"\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?", re.ASCII)


class Shown:
    """Shows values; `view` shows those of records, as `calls` does."""

    def __init__(self, *, full: bool) -> None:
        self.full, self.view = full, View(full=full)

    def number(self, number: object) -> str:
        """Return a number, or why there is none."""
        return str(self.view.cell("caller", number) or "")

    def sentence(self, text: str) -> str:
        """Return a sentence of ours, in which every number is digits alone."""
        text = text.replace("`", '"')
        return text if self.full else _NUMBER.sub(lambda found: phone.redact(found[0]), text)

    def time(self, time: datetime) -> str:
        """Return a time in UTC, to the second."""
        return f"{self.view.at(time):%Y-%m-%d %H:%M:%S}"

    def body(self, body: str) -> str:
        """Return an event of TeleSign's, indented; its reference id is whole on every page."""
        event = decode(body)
        if not isinstance(event, dict):  # a text, in which no member can be told from another
            return body if self.full else _DIGIT.sub("*", body)
        shown = event if self.full else _mask(event) | {"reference_id": event["reference_id"]}
        return json.dumps(shown, indent=2)

    def wire(self, wire: Wire) -> str:
        """Return an answer of ours, indented, with its masking ID whole."""
        shown: Any = wire if self.full else _mask(wire)
        params = wire.get("params")
        if isinstance(params, dict) and "caller_id_number" in params:
            shown["params"]["caller_id_number"] = params["caller_id_number"]
        return json.dumps(shown, indent=2)


def _mask(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {phone.mask_digits(key): _mask(member, key) for key, member in value.items()}
        case list():
            return [_mask(member, name) for member in value]
        case str() | int() | float() if name in _KEYS:  # may be a card's number
            return "*" * len(str(value))
        case str() if name == "external_id":
            return value
        case str() if _TIME.fullmatch(value):
            return value
        case _:
            masked = phone.mask_digits(str(value))
            return value if masked == str(value) else masked
