"""The settings: built once from the text of a file and the environment, and frozen.

Each field of `Settings` names its setting, its default and the check of its value. The
environment's `MASKING_<NAME>` wins over the file; secrets come from the environment only and are
never shown. All faults are reported at once. No I/O: `app` reads the file.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import phone
import signature
from commands import LANGUAGE_TAG, MAX_CALL_SECONDS, Hangup, NoAction, Speak, is_speakable
from phone import PhoneNumber
from routing import Prompts

PREFIX = "MASKING_"
CUSTOMER_ID = "TELESIGN_CUSTOMER_ID"
API_KEY = "TELESIGN_API_KEY"
HEALTH_PATH = "/health"

_MAX_KEYS = 10  # so many TeleSign gives out to one account


class ConfigError(Exception):
    """The server cannot start; `faults` holds every fault, each a line for the operator."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n  ".join(("The server did not start:", *faults)))


class _ValueError(ValueError):
    """A setting does not take this value; the message says what it wants."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """The type of a setting: as TOML names it, and how a text of the environment becomes one."""

    type: type
    wanted_in_toml: str
    from_text: Callable[[str], object]


def _int_or_text(text: str) -> object:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text


_TEXT = _Kind(str, "a text in quotes", str)
_WHOLE = _Kind(int, "a whole number without quotes", _int_or_text)
_FLAG = _Kind(
    bool,
    "true or false without quotes",
    lambda text: {"true": True, "false": False}.get(text.lower(), text),
)

_LIST = _Kind(list, "a list of texts in quotes", lambda text: re.split(", ?", text) if text else [])


def _setting(
    default: object, kind: _Kind, check: Callable[[Any], object], *, shown: bool = True
) -> Any:
    """Return a field; `check` returns the value of the setting, or raises `_ValueError`."""
    return field(default=default, repr=shown, metadata={"kind": kind, "check": check})


def _whole(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or not low <= value <= high:
            raise _ValueError(f"a whole number, {low} to {high}")
        return value

    return check


def _shaped(pattern: str, wanted: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        unwanted = _unwanted(text)
        if unwanted or not re.fullmatch(pattern, text, re.ASCII):
            raise _ValueError(wanted + unwanted)
        return text

    return check


def _unwanted(text: str) -> str:
    """Return what a message adds if an environment file or a paste left something around it."""
    if not text.isprintable():
        return ", without control characters such as the line end of Windows"
    if text != text.strip():
        return ", without spaces around it"
    return ", without quotes around it" if text.strip("\"'") != text else ""


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _ValueError("true or false")
    return value


def _speech(text: str) -> str:
    if text and not is_speakable(text):
        raise _ValueError("a text to speak, or an empty one")
    return text


def _phone(read: Callable[[Any], object]) -> Callable[[Any], object]:
    def check(value: Any) -> object:
        try:
            return read(value)
        except phone.PhoneError as error:
            raise _ValueError(str(error).removeprefix("wanted ")) from None

    return check


_number = _phone(lambda text: phone.parse(text) if text else None)
_event_path = _shaped(
    # Only what no client and no proxy writes in another way: they resolve `..` and encode `~`.
    rf"(?=/)(?!{HEALTH_PATH}$)(/\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)*/?",
    "a path such as /events/x7Kq2, of letters, digits and / _ . -, with no empty part, and none"
    f' that starts with ".." or ends with ".", other than {HEALTH_PATH}',
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

    host: str = _setting("127.0.0.1", _TEXT, _shaped(r"\S+", "a host name or an address"))
    port: int = _setting(8080, _WHOLE, _whole(0, 65535))
    event_path: str = _setting("/", _TEXT, _event_path)
    verify_signatures: bool = _setting(True, _FLAG, _flag)  # noqa: FBT003
    allow_list: str = _setting("allowlist.csv", _TEXT, _shaped(".+", "the path of a CSV file"))
    call_log: str = _setting("sqlite:///calls.db", _TEXT, _call_log, shown=False)
    keep_days: int = _setting(30, _WHOLE, _whole(1, 36_500))
    caller_id_number: PhoneNumber | None = _setting(None, _TEXT, _number)
    max_call_duration: int | None = _setting(None, _WHOLE, _whole(1, MAX_CALL_SECONDS))
    language: str = _setting("en-US", _TEXT, _shaped(LANGUAGE_TAG.pattern, "a tag such as en-US"))
    greeting: str = _setting("Your call is connected.", _TEXT, _speech)
    accept_digit: str = _setting(
        "", _TEXT, _shaped("[0-9]?", "one digit, 0 to 9, or an empty text")
    )
    refusal_message: str = _setting("", _TEXT, _speech)
    unavailable_message: str = _setting("", _TEXT, _speech)
    home_country_code: str = _setting(
        "", _TEXT, _shaped("([1-9][0-9]{0,2})?", "1 to 3 digits such as 1, or an empty text")
    )
    threads: int = _setting(16, _WHOLE, _whole(1, 256))
    virtual_numbers: tuple[PhoneNumber, ...] = _setting((), _LIST, _phone(phone.parse_each))
    api_url: str = _setting("https://rest-ww.telesign.com", _TEXT, _api_url)
    customer_id: str = field(default="", repr=False)
    api_keys: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def verified(self) -> bool:
        """Whether only requests that TeleSign signed are answered."""
        return self.verify_signatures and bool(self.api_keys)

    @property
    def only_fictional(self) -> bool:
        """Whether only fictional numbers may be served: there is no key, and nobody allowed it."""
        return self.verify_signatures and not self.api_keys


def prompts(settings: Settings) -> Prompts:
    """Return what these settings have spoken in a call."""

    def speak(message: str, *, collect_digit: bool = False) -> Speak:
        return Speak(message, settings.language, collect_digit)

    accept_digit = settings.accept_digit or None
    refusal, unavailable = settings.refusal_message, settings.unavailable_message
    return Prompts(
        greeting=speak(settings.greeting, collect_digit=accept_digit is not None)
        if settings.greeting
        else NoAction(),
        refusal=speak(refusal) if refusal else Hangup(),
        unavailable=speak(unavailable) if unavailable else Hangup(),
        accept_digit=accept_digit,
    )


_FIELDS = {each.name: each.metadata for each in fields(Settings) if each.metadata}
NAMES = tuple(_FIELDS)


def read(
    text: str, environment: Mapping[str, str], *, file: str = "config.toml", serving: bool = True
) -> tuple[Settings, list[str]]:
    """Return the settings and all their faults; a faulty setting has its default.

    `text` is TOML, from the file of that name. A key or a customer id may be missing unless the
    settings are for `serving`, which answers strangers.
    """
    faults: list[str] = []
    values: dict[str, Any] = _from_file(text, file, faults)
    values |= _from_environment(environment, faults)
    values |= _secrets(environment, faults, serving=serving)
    if values.get("accept_digit") and "greeting" not in values:
        values["greeting"] = f"Press {values['accept_digit']} to take the call."
    settings = Settings(**values)
    if settings.accept_digit and not settings.greeting:
        faults.append("accept_digit: wanted a greeting that asks for the digit, got an empty one")
    if serving and API_KEY not in environment and settings.only_fictional:
        faults += _real_without_a_key(settings)
    return settings, faults


def _from_file(text: str, file: str, faults: list[str]) -> dict[str, object]:
    try:
        table = tomllib.loads(text)
    except RecursionError:
        faults.append(f"{file}: wanted TOML, got one nested too deep")
        return {}
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{file}: wanted TOML, got an error: {error}")
        return {}
    values: dict[str, object] = {}
    for name, value in table.items():
        place = f"{file}:{_line_of(name, text)}: {phone.mask_digits(name)}"
        if name not in _FIELDS:
            faults.append(_unknown(place))
            continue
        kind = _FIELDS[name]["kind"]
        if type(value) is kind.type:
            _check_into(values, name, value, place, faults, got=value)
        else:
            faults.append(f"{place}: wanted {kind.wanted_in_toml}, got {_shown(value)}")
    return values


def _from_environment(environment: Mapping[str, str], faults: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            if name in _FIELDS and variable == PREFIX + name.upper():
                value = _FIELDS[name]["kind"].from_text(text)
                _check_into(values, name, value, variable, faults, got=text)
            else:
                faults.append(_unknown(variable))
    return values


def _check_into(
    values: dict[str, object],
    name: str,
    value: object,
    place: str,
    faults: list[str],
    *,
    got: object,
) -> None:
    try:
        values[name] = _FIELDS[name]["check"](value)
    except _ValueError as error:
        faults.append(f"{place}: wanted {error}, got {_shown(got)}")


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
    """Return the keys of a text; they are separated by a comma, which a space may follow."""
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
    ours = [("caller_id_number", settings.caller_id_number)]
    ours += [("virtual_numbers", number) for number in settings.virtual_numbers]
    return [
        f"{name}: wanted a fictional number as long as {API_KEY} is not set, got"
        f" {phone.redact(each)}"
        for name, each in ours
        if each and not phone.is_fictional(each)
    ]


def _line_of(key: str, text: str) -> int:
    """Return the line of a setting, which the TOML parser does not give."""
    pattern = rf"^[ \t]*\[*[ \t]*[\"']?{re.escape(key)}\b"
    found = re.search(pattern, text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _unknown(place: str) -> str:
    return f"{place}: unknown setting; wanted one of {', '.join(NAMES)}"


def _shown(value: object) -> str:
    """Return a refused value as text, without what may be a password in a URL."""
    return phone.mask_digits(re.sub(r".*@", "...@", repr(value)))
