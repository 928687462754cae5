"""What a row says beside who may call whom: its values, and in a few words. No I/O.

Unless in full, of a number in a text only the last four digits are shown, and of keys, which may be
somebody's code, only how many they are. An id is whole.
"""

from collections.abc import Mapping

import phone
from routing import Route


def texts_of(route: Route, *, full: bool) -> dict[str, str | None]:
    """Return what a row has in these columns, as it is shown; `None` where it has nothing."""
    greeting = route.greeting
    return {
        "greeting": greeting if full else greeting and phone.mask_digits(greeting),
        "language": route.language,
        "external_id": route.dial.external_id,
        "send_dtmf": mask_keys(route.dial.send_dtmf, full=full),
    }


def mask_keys(keys: str | None, *, full: bool) -> str | None:
    """Return what is shown of keys that TeleSign presses."""
    return keys if full else keys and "*" * len(keys)


def in_words(row: Mapping[str, str | None]) -> str:
    """Return the same as a person reads it; empty for nothing."""
    greeting = f'"{row["greeting"]}"' if row["greeting"] else "the greeting"
    language = f" in {row['language']}" if row["language"] else ""
    words = [f"hears {greeting}{language}"] if row["greeting"] or language else []
    words += [f"id {row['external_id']}"] if row["external_id"] else []
    words += [f"keys {row['send_dtmf']}"] if row["send_dtmf"] else []
    return ", ".join(words)
