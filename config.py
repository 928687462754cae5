"""The settings: built once from `config.toml` and the environment, frozen, all faults told at once.

Each field of `Settings` names its setting, its default and how its value is read. The environment's
`MASKING_<NAME>` wins over the file; secrets come from the environment only and are never shown.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import phone
import signature
from commands import LANGUAGE_TAG, MAX_CALL_SECONDS, is_speakable
from phone import PhoneNumber

PREFIX = "MASKING_"
CUSTOMER_ID = "TELESIGN_CUSTOMER_ID"
API_KEY = "TELESIGN_API_KEY"
HEALTH_PATH = "/health"

_MAX_KEYS = 10  # so many TeleSign gives out to one account


class ConfigError(Exception):
    """The server cannot start; `faults` are all that was found, each a line for the operator."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n  ".join(("The server does not start:", *faults)))


class _ValueError(ValueError):
    """A value is not what the setting takes; the message says what is wanted."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one setting is read: its type in TOML, and a function from its text to its value."""

    toml_type: type
    read: Callable[[str], Any]


def _setting(
    default: object, toml_type: type, read: Callable[[str], Any], *, shown: bool = True
) -> Any:
    return field(default=default, repr=shown, metadata={"reader": _Reader(toml_type, read)})


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise _ValueError(f"a whole number, {low} to {high}")
        return int(text)

    return read


def _shaped(pattern: str, wanted: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        unwanted = _unwanted(text)
        if unwanted or not re.fullmatch(pattern, text, re.ASCII):
            raise _ValueError(wanted + unwanted)
        return text

    return read


def _unwanted(text: str) -> str:
    """Say what a file of the environment, or a copy and paste, has left around a value."""
    if not text.isprintable():
        return ", without control characters such as the line end of Windows"
    if text != text.strip():
        return ", without spaces around it"
    return ", without quotes around it" if text.strip("\"'") != text else ""


def _flag(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise _ValueError("true or false") from None


def _speech(text: str) -> str:
    if text and not is_speakable(text):
        raise _ValueError("a text to speak, or an empty one")
    return text


def _number(text: str) -> PhoneNumber | None:
    try:
        return phone.parse(text) if text else None
    except phone.PhoneError as error:
        raise _ValueError(str(error).removeprefix("wanted ")) from None


_event_path = _shaped(
    # Only what no client and no proxy writes in another way: they resolve `..` and encode `~`.
    rf"(?=/)(?!{HEALTH_PATH}$)(/\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)*/?",
    "a path such as /events/x7Kq2, of letters, digits and / _ . -, with no part that is empty or"
    f" begins with two points or ends in one, other than {HEALTH_PATH}",
)

_api_url = _shaped(
    r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?"
    r"|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?",
    "https:// and a host, or http:// on this machine",
)


_call_log = _shaped(
    r"(sqlite:///|postgres(ql)?://)(?![ \"']).+|",
    "sqlite:/// and the path of a file, postgresql:// and a server, or an empty text for none",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is set from outside. `api_keys` is empty when no key is set."""

    host: str = _setting("127.0.0.1", str, _shaped(r"\S+", "a host name or an address"))
    port: int = _setting(8080, int, _whole(0, 65535))
    event_path: str = _setting("/", str, _event_path)
    verify_signatures: bool = _setting(True, bool, _flag)  # noqa: FBT003
    allow_list: str = _setting("allowlist.csv", str, _shaped(".+", "the path of a CSV file"))
    call_log: str = _setting("sqlite:///calls.db", str, _call_log, shown=False)
    keep_days: int = _setting(30, int, _whole(1, 36_500))
    caller_id_number: PhoneNumber | None = _setting(None, str, _number)
    max_call_duration: int | None = _setting(None, int, _whole(1, MAX_CALL_SECONDS))
    language: str = _setting("en-US", str, _shaped(LANGUAGE_TAG.pattern, "a tag such as en-US"))
    greeting: str = _setting("Your call is connected.", str, _speech)
    accept_digit: str = _setting("", str, _shaped("[0-9]?", "one digit, 0 to 9, or an empty text"))
    refusal_message: str = _setting("", str, _speech)
    unavailable_message: str = _setting("", str, _speech)
    home_country_code: str = _setting(
        "", str, _shaped("([1-9][0-9]{0,2})?", "1 to 3 digits such as 1, or an empty text")
    )
    threads: int = _setting(16, int, _whole(1, 256))
    api_url: str = _setting("https://rest-ww.telesign.com", str, _api_url)
    customer_id: str = field(default="", repr=False)
    api_keys: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def verified(self) -> bool:
        """Whether only requests that TeleSign signed are answered."""
        return self.verify_signatures and bool(self.api_keys)

    @property
    def only_fictional(self) -> bool:
        """Whether everybody is answered without anybody having asked for that."""
        return self.verify_signatures and not self.api_keys


_READERS: dict[str, _Reader] = {
    each.name: each.metadata["reader"] for each in fields(Settings) if "reader" in each.metadata
}
NAMES = tuple(_READERS)


def read(
    path: Path | None, environment: Mapping[str, str], *, serving: bool = True
) -> tuple[Settings, list[str]]:
    """Return the settings and all their faults; what is faulty has its default.

    `path` is the file to read, which then has to exist; with `None`, `config.toml` is read if it is
    there. Unless for `serving`, which answers strangers, a key or an id may be missing.
    """
    faults: list[str] = []
    values: dict[str, Any] = _from_file(path, faults)
    values |= _from_environment(environment, faults)
    values |= _secrets(environment, faults, serving=serving)
    if values.get("accept_digit") and "greeting" not in values:
        values["greeting"] = f"Press {values['accept_digit']} to take the call."
    settings = Settings(**values)
    if settings.accept_digit and not settings.greeting:
        faults.append("accept_digit: wanted a greeting that asks for the digit, got an empty one")
    if serving and API_KEY not in environment:
        faults += _real_without_a_key(settings)
    return settings, faults


def _from_file(path: Path | None, faults: list[str]) -> dict[str, object]:
    name = path or Path("config.toml")
    try:
        text = name.read_text(encoding="utf-8-sig")
        table = tomllib.loads(text)
    except FileNotFoundError:
        if path is not None:
            faults.append(f"{name}: wanted a settings file, got: no such file")
        return {}
    except OSError as error:
        faults.append(f"{name}: wanted a settings file, got: {error.strerror}")
        return {}
    except UnicodeDecodeError:
        faults.append(f"{name}: wanted UTF-8 text, got another encoding; save it again as UTF-8")
        return {}
    except RecursionError:
        faults.append(f"{name}: wanted TOML, got one nested too deep")
        return {}
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{name}: wanted TOML, got an error: {error}")
        return {}
    values: dict[str, object] = {}
    for key, value in table.items():
        place = f"{name}:{_line_of(key, text)}: {phone.mask_digits(key)}"
        reader = _READERS.get(key)
        if reader is None:
            faults.append(_unknown(place))
        elif type(value) is not reader.toml_type:
            kind = {
                str: "a text in quotes",
                int: "a whole number without quotes",
                bool: "true or false without quotes",
            }
            faults.append(f"{place}: wanted {kind[reader.toml_type]}, got {_shown(value)}")
        else:
            text_value = str(value).lower() if reader.toml_type is bool else str(value)
            _read_into(values, key, text_value, place, faults)
    return values


def _from_environment(environment: Mapping[str, str], faults: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX):
            key = variable.removeprefix(PREFIX).lower()
            if key in _READERS and variable == PREFIX + key.upper():
                _read_into(values, key, text, variable, faults)
            else:
                faults.append(_unknown(variable))
    return values


def _read_into(
    values: dict[str, object], key: str, text: str, place: str, faults: list[str]
) -> None:
    try:
        values[key] = _READERS[key].read(text)
    except _ValueError as error:
        faults.append(f"{place}: wanted {error}, got {_shown(text)}")


def _secrets(
    environment: Mapping[str, str], faults: list[str], *, serving: bool
) -> dict[str, object]:
    customer_id, text = environment.get(CUSTOMER_ID, ""), environment.get(API_KEY)
    unwanted = _unwanted(customer_id)
    if unwanted or not re.fullmatch("[!-~]*", customer_id):
        faults.append(f"{CUSTOMER_ID}: wanted the id as TeleSign shows it{unwanted}")
    keys = _keys(text, faults) if text or (text is not None and serving) else []
    if serving and text is not None and not customer_id:
        faults.append(f"{CUSTOMER_ID}: wanted the id that belongs to {API_KEY}, got nothing")
    if serving and text is None and customer_id:
        faults.append(f"{API_KEY}: wanted the key that belongs to {CUSTOMER_ID}, got nothing")
    return {"customer_id": customer_id, "api_keys": tuple(keys)}


def _keys(text: str, faults: list[str]) -> list[bytes]:
    """Return the keys of a text, between which stand commas; a space may follow each of those."""
    keys: list[bytes] = []
    texts = re.split(", ?", text)
    if len(texts) > _MAX_KEYS:
        faults.append(f"{API_KEY}: wanted 1 to {_MAX_KEYS} keys, got {len(texts)}")
    for position, each in enumerate(texts, start=1):
        comma = "; a comma goes between two keys" if re.search("[^,][ ;]+[^,]", each) else ""
        try:
            keys.append(signature.decode_key(each))
        except signature.KeyFormError as error:
            faults.append(f"{API_KEY}: key {position}: {error}{_unwanted(each) or comma}")
    return keys


def _real_without_a_key(settings: Settings) -> list[str]:
    masking_id = settings.caller_id_number
    if masking_id is None or phone.is_fictional(masking_id) or not settings.only_fictional:
        return []
    return [
        f"caller_id_number: wanted a fictional number as long as {API_KEY} is not set, got"
        f" {phone.redact(masking_id)}"
    ]


def _line_of(key: str, text: str) -> int:
    """Return the line of a setting: the parser does not tell it."""
    pattern = rf"^[ \t]*\[*[ \t]*[\"']?{re.escape(key)}\b"
    found = re.search(pattern, text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _unknown(place: str) -> str:
    return f"{place}: unknown setting; wanted one of {', '.join(NAMES)}"


def _shown(value: object) -> str:
    """Show a value that is not taken, without what may be a password in a URL."""
    return phone.mask_digits(re.sub(r".*@", "...@", repr(value)))
