"""The settings: built once from the text of a file and the environment, and frozen.

Each field of `Settings` names its setting, its default and the check of its value. The
environment's `MASKING_<NAME>` wins over the file; secrets come from the environment only and are
never shown. All faults are reported at once. No I/O: `serving.sources` reads the file.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import commands
import phone
import signature
from commands import Hangup, NoAction, Prompts, Speak
from routing import Reason

PREFIX = "MASKING_"
CUSTOMER_ID = "TELESIGN_CUSTOMER_ID"
API_KEY = "TELESIGN_API_KEY"
HEALTH_PATH = "/health"

_MAX_KEYS = 10  # so many TeleSign gives out to one account

_Check = Callable[[Any], object]


class ConfigError(Exception):
    """The server cannot start; `faults` holds every fault, each a line for the operator."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n  ".join(("The server did not start:", *faults)))


_TYPES = {
    str: "wanted a text in quotes",
    int: "wanted a whole number",
    bool: "wanted true or false",
    list: "wanted a list of texts in quotes",
}


def _from_text(kind: type, text: str) -> object:
    """Return what a text of the environment means; the text itself if it has no such meaning."""
    if kind is int and re.fullmatch("-?[0-9]{1,9}", text):
        return int(text)
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is list:
        return re.split(", ?", text) if text else []
    return text


def _setting(default: object, check: _Check, *, kind: type = str, shown: bool = True) -> Any:
    """Return a field; `check` returns the value of the setting, or raises `ValueError`."""
    return field(default=default, repr=shown, metadata={"kind": kind, "check": check})


def _whole(default: int | None, low: int, high: int) -> Any:
    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"wanted a whole number, {low} to {high}")
        return value

    return _setting(default, check, kind=int)


def _text(default: str, pattern: str, wanted: str, *, shown: bool = True) -> Any:
    def check(text: str) -> str:
        advice = _advise(text)
        if advice or not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"wanted {wanted}{advice}")
        return text

    return _setting(default, check, shown=shown)


def _advise(text: str) -> str:
    """Return what a message adds if an environment file or a paste left something around it."""
    is_clean = text.isprintable() and text == text.strip().strip("\"'")
    return "" if is_clean else ", without spaces, quotes or control characters around it"


def _speech(text: str) -> str:
    return text and commands.check_speech(text)


def _number(text: str) -> phone.PhoneNumber | None:
    return phone.parse(text) if text else None


def _numbers(texts: list[object]) -> tuple[phone.PhoneNumber, ...]:
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("wanted each number in quotes")
    return tuple(dict.fromkeys(phone.parse(str(text)) for text in texts))


_EVENT_PATH = (
    # Only what no client and no proxy writes in another way: they resolve `..` and encode `~`.
    rf"(?=/)(?!{HEALTH_PATH}$)(/\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)*/?",
    "a path such as /events/x7Kq2, of letters, digits and / _ . -, with no empty part, and none"
    f' that starts with ".." or ends with ".", other than {HEALTH_PATH}',
)
_API_URL = (
    r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?"
    r"|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?",
    "https:// and a host, or http:// on this machine",
)
_CALL_LOG = (
    r"(sqlite:///|postgres(ql)?://)(?![ \"']).+|",
    "sqlite:/// and the path of a file, postgresql:// and a server, or an empty text for none",
)
_SPAN = "(0|[1-9][0-9]{0,3})[mhd]", "1 to 9999 minutes, hours or days such as 2h, or 0m for none"
_COUNTRY_CODE = "([1-9][0-9]{0,2})?", "1 to 3 digits such as 1, or an empty text"
_CARRY_ON = r"\{\}|\[\{\}\]", '"{}" or "[{}]"'
_WITHHELD = "connect|refuse", '"connect" or "refuse"'


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is set from outside. `api_keys` is empty when no key is set.

    `only_fictional` is true if only fictional numbers may be served: there is no key, and nobody
    has allowed others without one.
    """

    host: str = _text("127.0.0.1", r"\S+", "a host name or an address")
    port: int = _whole(8080, 0, 65535)
    event_path: str = _text("/", *_EVENT_PATH)
    verify_signatures: bool = _setting(default=True, check=bool, kind=bool)
    allow_list: str = _text("allowlist.csv", ".+", "the path of a CSV file")
    call_log: str = _text("sqlite:///calls.db", *_CALL_LOG, shown=False)
    keep_days: int = _whole(30, 1, 36_500)
    caller_id_number: phone.PhoneNumber | None = _setting(None, _number)
    max_call_duration: int | None = _whole(None, 1, commands.MAX_CALL_SECONDS)
    language: str = _text("en-US", *commands.LANGUAGE)
    greeting: str = _setting("Your call is connected.", _speech)
    accept_digit: str = _text("", "[0-9]?", "one digit, 0 to 9, or an empty text")
    refusal_message: str = _setting("", _speech)
    refusal_message_expired: str = _setting("", _speech)
    refusal_message_caller_not_listed: str = _setting("", _speech)
    refusal_message_caller_withheld: str = _setting("", _speech)
    refusal_message_not_listed: str = _setting("", _speech)
    unavailable_message: str = _setting("", _speech)
    home_country_code: str = _text("", *_COUNTRY_CODE)
    carry_on: str = _text("{}", *_CARRY_ON)
    withheld_callers: str = _text("connect", *_WITHHELD)
    threads: int = _whole(16, 1, 256)
    virtual_numbers: tuple[phone.PhoneNumber, ...] = _setting((), _numbers, kind=list)
    pair_rest: str = _text("2h", *_SPAN)
    api_url: str = _text("https://rest-ww.telesign.com", *_API_URL)
    customer_id: str = field(default="", repr=False)
    api_keys: tuple[bytes, ...] = field(default=(), repr=False)
    only_fictional: bool = False

    @property
    def verified(self) -> bool:
        """Whether only requests that TeleSign signed are answered."""
        return self.verify_signatures and bool(self.api_keys)


def prompts(settings: Settings) -> Prompts:
    """Return what these settings have spoken in a call."""
    speak = partial(Speak, language=settings.language)
    refusals = {reason: getattr(settings, f"refusal_message_{reason}", "") for reason in Reason}
    greeting, digit = settings.greeting, settings.accept_digit
    refusal, unavailable = settings.refusal_message, settings.unavailable_message
    return Prompts(
        greeting=speak(greeting, collect_digit=bool(digit)) if greeting else NoAction(),
        refusal=speak(refusal) if refusal else Hangup(),
        unavailable=speak(unavailable) if unavailable else Hangup(),
        accept_digit=digit or None,
        language=settings.language,
        refusals={reason: speak(text) for reason, text in refusals.items() if text},
    )


_FIELDS = {setting.name: setting.metadata for setting in fields(Settings) if setting.metadata}
NAMES = tuple(_FIELDS)


def read(
    text: str, environment: Mapping[str, str], *, file: str = "config.toml", serving: bool = True
) -> tuple[Settings, list[str]]:
    """Return the settings and all their faults; a faulty setting has its default.

    `text` is TOML, from the file of that name. A key or a customer id may be missing unless the
    settings are for `serving`, which answers strangers.
    """
    if environment.get(CUSTOMER_ID) == environment.get(API_KEY) == "":  # neither is set
        environment = {name: text for name, text in environment.items() if name != API_KEY}
    faults: list[str] = []
    values: dict[str, Any] = {}
    for place, name, value in (*_in_file(text, file, faults), *_in_environment(environment)):
        try:
            values[name] = _check(name, value)
        except ValueError as error:
            faults.append(f"{place}: {error}, got {_show(value)}")
        except KeyError:
            table = "refusal_message_" if ": refusal_messages." in place else ""
            names = (one.removeprefix(table) for one in NAMES if one.startswith(table))
            fault = f"unknown setting; wanted one of {', '.join(names)}"
            if name.upper() in (CUSTOMER_ID, API_KEY):
                fault = f"wanted as the environment variable {name.upper()} only; remove it here"
            faults.append(f"{place}: {fault}")
    values |= _secrets(environment, faults, serving=serving)
    if values.get("accept_digit") and "greeting" not in values:
        values["greeting"] = f"Press {values['accept_digit']} to take the call."
    # A faulty key is a fault of its own; only without any would real numbers be served to all.
    is_open = serving and API_KEY not in environment
    values["only_fictional"] = is_open and values.get("verify_signatures", True)
    settings = Settings(**values)
    if settings.accept_digit and not settings.greeting:
        faults.append("accept_digit: wanted a greeting that asks for the digit, got an empty one")
    return settings, faults + (_real_numbers(settings) if settings.only_fictional else [])


_Found = Iterator[tuple[str, str, object]]


def _in_file(text: str, file: str, faults: list[str]) -> _Found:
    """Yield the place, the name and the value of each setting in a file."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        faults.append(f"{file}: wanted TOML, got an error: {error}")
        return
    for key, value in table.items():
        place = _place(file, text, key)
        if key != "refusal_messages":
            yield place, key, value
        elif isinstance(value, dict):
            for reason, message in value.items():
                yield _place(file, text, key, reason), f"refusal_message_{reason}", message
        else:
            faults.append(f"{place}: wanted a table of texts by reason, got {_show(value)}")


def _place(file: str, text: str, *keys: str) -> str:
    """Return the file, the line and the name of a setting, or of one in a table.

    The TOML parser gives no lines.
    """
    start = 0
    for key in keys:
        pattern = rf"^[ \t]*\[*[ \t]*(?:\w+\.)?[\"']?{re.escape(key)}\b"
        if found := re.compile(pattern, re.MULTILINE).search(text, start):
            start = found.start()
    line = text.count("\n", 0, start) + 1
    return f"{file}:{line}: {phone.mask_digits('.'.join(keys))}"


def _in_environment(environment: Mapping[str, str]) -> _Found:
    """Yield the variable, the name and the value of each setting in the environment."""
    names = {f"{PREFIX}{name.upper()}": name for name in NAMES}
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX):
            name = names.get(variable, "")
            yield variable, name, _from_text(_FIELDS[name]["kind"], text) if name else text


def _check(name: str, value: object) -> object:
    """Return the value of a setting. Raises `ValueError`, or `KeyError` if there is none."""
    kind, check = _FIELDS[name]["kind"], _FIELDS[name]["check"]
    if type(value) is not kind:
        is_quoted = kind in (int, bool) and type(value) is str and _from_text(kind, value) != value
        raise ValueError(_TYPES[kind] + (" without quotes" if is_quoted else ""))
    return check(value)


def _secrets(environment: Mapping[str, str], faults: list[str], *, serving: bool) -> dict[str, Any]:
    customer_id, text = environment.get(CUSTOMER_ID, ""), environment.get(API_KEY)
    advice = _advise(customer_id)
    if advice or not re.fullmatch("[!-~]*", customer_id):
        faults.append(f"{CUSTOMER_ID}: wanted the id as TeleSign shows it{advice}")
    if serving and bool(customer_id) != (text is not None):
        faults.append(f"wanted both {CUSTOMER_ID} and {API_KEY}, or neither, got only one")
    keys = _keys(text, faults) if text or (text is not None and serving) else []
    return {"customer_id": customer_id, "api_keys": tuple(keys)}


def _keys(text: str, faults: list[str]) -> list[bytes]:
    """Return the keys of a text; they are separated by a comma, which a space may follow."""
    keys: list[bytes] = []
    texts = re.split(", ?", text)
    if len(texts) > _MAX_KEYS:
        faults.append(f"{API_KEY}: wanted 1 to {_MAX_KEYS} keys, got {len(texts)}")
    for position, key in enumerate(texts, start=1):
        try:
            keys.append(signature.decode_key(key))
        except signature.KeyFormError as error:
            faults.append(f"{API_KEY}: key {position}: {error}{_advise(key)}")
    return keys


def _real_numbers(settings: Settings) -> list[str]:
    """Return a fault for each number that could be somebody's."""
    ours = [("caller_id_number", settings.caller_id_number)]
    ours += [("virtual_numbers", number) for number in settings.virtual_numbers]
    return [
        f"{name}: wanted a fictional number as long as {API_KEY} is not set, got"
        f" {phone.redact(number)}; set {CUSTOMER_ID} and {API_KEY}"
        for name, number in ours
        if number and not phone.is_fictional(number)
    ]


def _show(value: object) -> str:
    """Return a refused value as text, without what may be a number or a password in a URL."""
    if isinstance(value, list):
        return f"[{', '.join(map(_show, value))}]"
    return phone.mask_digits(re.sub(r".*@", "...@", repr(value)))
