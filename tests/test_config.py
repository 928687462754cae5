"""The settings: defaults, file, environment, secrets, and every fault reported at once."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import ROOT

import config
import phone
import signature
from commands import Speak
from config import Settings
from routing import Reason
from serving.sources import read_settings

KEY = signature.decode_key(facts.API_KEY)
OTHER_KEY = signature.decode_key(facts.OTHER_API_KEY)

DEFAULTS = {
    "host": "127.0.0.1",
    "port": 8080,
    "event_path": "/",
    "verify_signatures": True,
    "allow_list": "allowlist.csv",
    "call_log": "sqlite:///calls.db",
    "keep_days": 30,
    "caller_id_number": None,
    "max_call_duration": None,
    "language": "en-US",
    "greeting": "Your call is connected.",
    "accept_digit": "",
    "refusal_message": "",
    "refusal_message_expired": "",
    "refusal_message_caller_not_listed": "",
    "refusal_message_caller_withheld": "",
    "refusal_message_not_listed": "",
    "unavailable_message": "",
    "home_country_code": "",
    "carry_on": "{}",
    "withheld_callers": "connect",
    "threads": 16,
    "virtual_numbers": (),
    "pair_rest": "2h",
    "api_url": "https://rest-ww.telesign.com",
}

OTHERS: dict[str, Any] = {
    "host": "::1",
    "port": 9000,
    "event_path": "/events/x7Kq2",
    "verify_signatures": False,
    "allow_list": "other.csv",
    "call_log": "postgresql://somebody:secret@db.example/calls",
    "keep_days": 7,
    "caller_id_number": "12025550199",
    "max_call_duration": 600,
    "language": "de-DE",
    "greeting": "Hello.",
    "accept_digit": "5",
    "refusal_message": "No.",
    "refusal_message_expired": "Over.",
    "refusal_message_caller_not_listed": "Not you.",
    "refusal_message_caller_withheld": "Show your number.",
    "refusal_message_not_listed": "Nobody.",
    "unavailable_message": "Away.",
    "home_country_code": "44",
    "carry_on": "[{}]",
    "withheld_callers": "refuse",
    "threads": 4,
    "virtual_numbers": ("12025550160", "12025550161"),
    "pair_rest": "0m",
    "api_url": "http://127.0.0.1:9000",
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def values(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in config.NAMES}


def faults_of(**environment: str) -> list[str]:
    return config.read("", environment)[1]


def faults_in(path: Path) -> list[str]:
    return read_settings(path, {})[1]


def test_without_file_and_environment_all_is_at_its_default() -> None:
    settings, faults = config.read("", {"PATH": "/bin", "masking_port": "1"})
    assert (values(settings), faults) == (DEFAULTS, [])
    assert (settings.customer_id, settings.api_keys) == ("", ())
    assert set(config.NAMES) == {setting.name for setting in fields(Settings)} - {
        "customer_id",
        "api_keys",
        "only_fictional",
    }


IN_TABLE = "refusal_message_"


def as_toml(settings: dict[str, Any]) -> str:
    def shown(value: object) -> str:
        if isinstance(value, tuple):
            return str(list(value))
        return str(value).lower() if isinstance(value, bool) else repr(value)

    table = {name: value for name, value in settings.items() if name.startswith(IN_TABLE)}
    plain = [f"{name} = {shown(settings[name])}" for name in settings.keys() - table.keys()]
    inner = [f"{name.removeprefix(IN_TABLE)} = {shown(table[name])}" for name in table]
    return "\n".join([*plain, "[refusal_messages]", *inner])


def test_every_setting_may_come_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(as_toml(OTHERS))
    for given in (None, path):
        settings, faults = read_settings(given, {})
        assert (values(settings), faults) == (OTHERS, [])


def test_every_setting_may_come_from_the_environment_which_wins(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        as_toml(DEFAULTS | {"caller_id_number": ""}).replace("max_call_duration = None\n", "")
    )
    environment = {
        f"MASKING_{name.upper()}": ", ".join(value) if isinstance(value, tuple) else str(value)
        for name, value in OTHERS.items()
    }
    settings, faults = config.read("", environment)
    assert (values(settings), faults) == (OTHERS, [])


def test_the_sample_shows_every_setting_at_its_default() -> None:
    text = (ROOT / "config.toml").read_text()
    assert tomllib.loads(text) == {}
    shown = tomllib.loads(
        "\n".join(
            line.removeprefix("# ")
            for line in text.splitlines()
            if (" = " in line and line[0] == "#") or line.startswith("# [")
        )
    )
    refusals = shown.pop("refusal_messages")
    assert {f"{IN_TABLE}{reason}": text for reason, text in refusals.items()} == {
        name: "" for name in DEFAULTS if name.startswith(IN_TABLE)
    }
    assert list(shown) == [name for name in DEFAULTS if not name.startswith(IN_TABLE)]
    assert shown == {name: DEFAULTS[name] for name in shown} | {
        "caller_id_number": "",
        "max_call_duration": 3600,
        "virtual_numbers": [],
    }


def test_a_table_of_refusal_messages_has_only_reasons_and_texts(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('port = 9000\n\n[refusal_messages]\nexpired = 1\nlate = "x"\n')
    reasons = "expired, caller_not_listed, caller_withheld, not_listed"
    wanted = f"unknown setting; wanted one of {reasons}"
    assert faults_in(path) == [
        f"{path}:4: refusal_messages.expired: wanted a text in quotes, got 1",
        f"{path}:5: refusal_messages.late: {wanted}",
    ]
    for dotted in 'refusal_messages.late = "x"', 'refusal_messages = {late = "x"}':
        path.write_text(f'greeting = "Hello"\n\n{dotted}\n')
        assert faults_in(path) == [f"{path}:3: refusal_messages.late: {wanted}"]
    path.write_text('\nrefusal_messages = "No, 12025550123"\n')
    assert faults_in(path) == [
        f"{path}:2: refusal_messages: wanted a table of texts by reason, got 'No, *******0123'"
    ]


def test_a_reason_without_a_text_of_its_own_gets_the_general_one() -> None:
    environment = {
        "MASKING_REFUSAL_MESSAGE": "No.",
        "MASKING_REFUSAL_MESSAGE_EXPIRED": "Over.",
        "MASKING_LANGUAGE": "en-GB",
    }
    found = config.prompts(config.read("", environment)[0])
    assert (found.refusal, found.refusals) == (
        Speak("No.", "en-GB"),
        {Reason.EXPIRED: Speak("Over.", "en-GB")},
    )


PATH_WANTED = (
    "a path such as /events/x7Kq2, of letters, digits and / _ . -, with no empty part, and none"
    ' that starts with ".." or ends with ".", other than /health'
)
KEY_WANTED = "wanted the key in base64, as TeleSign shows it"
BARE = ", without spaces, quotes or control characters around it"
URL_WANTED = "https:// and a host, or http:// on this machine"
LOG_WANTED = (
    "sqlite:/// and the path of a file, postgresql:// and a server, or an empty text for none"
)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("HOST", "", "a host name or an address"),
        ("HOST", "a b", "a host name or an address"),
        ("PORT", "eighty", "a whole number"),
        ("PORT", "65536", "a whole number, 0 to 65535"),
        ("PORT", "-1", "a whole number, 0 to 65535"),
        ("PORT", "", "a whole number"),
        ("EVENT_PATH", "events", PATH_WANTED),
        ("EVENT_PATH", "/events/<id>", PATH_WANTED),
        ("EVENT_PATH", "/events?x=1", PATH_WANTED),
        ("EVENT_PATH", "/health", PATH_WANTED),
        ("EVENT_PATH", "//events", PATH_WANTED),
        ("EVENT_PATH", "", PATH_WANTED),
        *(
            ("EVENT_PATH", path, PATH_WANTED)
            for path in (
                "/a/../b",
                "/..",
                "/../a",
                "/a/..",
                "/a/../",
                "/./a",
                "/.",
                "/a/.",
                "/a/./",
                "/...",
                "/..a",
                "/a.",
                "/a./b",
                "/a..b",
                "/~",
                "/a/~me",
                "/a//b",
                "/a//",
                "/%61",
                "/a%2fb",
                "/a;b",
                "/a#b",
                "/a\\b",
                "/\u00e4",
            )
        ),
        ("EVENT_PATH", "/events\n", PATH_WANTED + BARE),
        ("EVENT_PATH", "/events\r", PATH_WANTED + BARE),
        ("EVENT_PATH", " /events", PATH_WANTED + BARE),
        ("EVENT_PATH", "'/events'", PATH_WANTED + BARE),
        ("HOST", "127.0.0.1\r", "a host name or an address" + BARE),
        ("HOST", "127.0.0.1 ", "a host name or an address" + BARE),
        ("HOST", '"::1"', "a host name or an address" + BARE),
        ("ALLOW_LIST", "list.csv\r", "the path of a CSV file" + BARE),
        ("ALLOW_LIST", "a\x1bb.csv", "the path of a CSV file" + BARE),
        ("ALLOW_LIST", "list.csv\u00a0", "the path of a CSV file" + BARE),
        ("ALLOW_LIST", " list.csv", "the path of a CSV file" + BARE),
        ("ALLOW_LIST", "'list.csv'", "the path of a CSV file" + BARE),
        ("ALLOW_LIST", 'list.csv"', "the path of a CSV file" + BARE),
        ("CALL_LOG", "sqlite:///calls.db\r", LOG_WANTED + BARE),
        ("CALL_LOG", "sqlite:///calls.db ", LOG_WANTED + BARE),
        ("CALL_LOG", "sqlite:/// calls.db", LOG_WANTED),
        ("CALL_LOG", 'sqlite:///"calls.db"', LOG_WANTED + BARE),
        ("CALL_LOG", '"sqlite:///calls.db"', LOG_WANTED + BARE),
        ("API_URL", "https://example.com\r", URL_WANTED + BARE),
        ("API_URL", " https://example.com", URL_WANTED + BARE),
        ("API_URL", '"https://example.com"', URL_WANTED + BARE),
        ("LANGUAGE", "en-US\r", "a tag such as en-US" + BARE),
        ("VERIFY_SIGNATURES", "no", "true or false"),
        ("ALLOW_LIST", "", "the path of a CSV file"),
        ("MAX_CALL_DURATION", "0", "a whole number, 1 to 14400"),
        ("MAX_CALL_DURATION", "14401", "a whole number, 1 to 14400"),
        ("LANGUAGE", "english", "a tag such as en-US"),
        ("GREETING", " ", "a text to speak, without broken characters"),
        ("REFUSAL_MESSAGE", "\n", "a text to speak, without broken characters"),
        ("UNAVAILABLE_MESSAGE", "a\udcff", "a text to speak, without broken characters"),
        ("ACCEPT_DIGIT", "12", "one digit, 0 to 9, or an empty text"),
        ("ACCEPT_DIGIT", "#", "one digit, 0 to 9, or an empty text"),
        ("HOME_COUNTRY_CODE", "01", "1 to 3 digits such as 1, or an empty text"),
        ("HOME_COUNTRY_CODE", "+1", "1 to 3 digits such as 1, or an empty text"),
        ("THREADS", "0", "a whole number, 1 to 256"),
        ("THREADS", "257", "a whole number, 1 to 256"),
        ("API_URL", "http://example.com", "https:// and a host, or http:// on this machine"),
        ("API_URL", "https://example.com/", "https:// and a host, or http:// on this machine"),
    ],
)
def test_a_wrong_value_is_a_fault(name: str, text: str, wanted: str) -> None:
    is_whole = text.removeprefix("-").isdecimal() and wanted.startswith("a whole number, ")
    shown = text if is_whole else phone.mask_digits(repr(text))
    assert faults_of(**{f"MASKING_{name}": text}) == [
        f"MASKING_{name}: wanted {wanted}, got {shown}"
    ]


@pytest.mark.parametrize(
    "path", ["/", "/events/", "/a.b/c-d_e", "/.well-known/x", "/.refused", "/a.b.c", "/healthy"]
)
def test_a_path_that_nobody_changes_on_the_way_is_taken(path: str) -> None:
    settings, faults = config.read("", {"MASKING_EVENT_PATH": path})
    assert (settings.event_path, faults) == (path, [])


def test_spaces_and_quotes_inside_a_path_are_part_of_it() -> None:
    settings, faults = config.read(
        "",
        {"MASKING_ALLOW_LIST": "our list's.csv", "MASKING_CALL_LOG": "sqlite:////srv/our calls.db"},
    )
    assert faults == []
    assert settings.allow_list == "our list's.csv"
    assert settings.call_log == "sqlite:////srv/our calls.db"


@pytest.mark.parametrize("text", ["12025550199.0", "1 202 555 0199 (45)", "+49 (0)30 23125 002"])
def test_a_number_in_the_settings_never_grows(text: str) -> None:
    settings, (fault,) = config.read("", {"MASKING_CALLER_ID_NUMBER": text})
    assert settings.caller_id_number is None
    assert "wanted a country code and digits" in fault


def test_a_wrong_number_is_reported_without_its_digits() -> None:
    assert faults_of(MASKING_CALLER_ID_NUMBER="1202555019X") == [
        "MASKING_CALLER_ID_NUMBER: wanted a country code and digits, 7 to 15 in all,"
        " such as 12025550100, got '******5019X'"
    ]


NUMBER_WANTED = "a country code and digits, 7 to 15 in all, such as 12025550100"


@pytest.mark.parametrize(
    ("text", "wanted", "got"),
    [
        ("'12025550160'", "a list of texts in quotes", "'*******0160'"),
        ("['12025550160', 12025550161]", "each number in quotes", "['*******0160', *******0161]"),
        ("['12025550160', '']", NUMBER_WANTED, "['*******0160', '']"),
        ("['1202555016O', '12025550160']", NUMBER_WANTED, "['******5016O', '*******0160']"),
    ],
)
def test_a_pool_is_a_list_of_numbers(text: str, wanted: str, got: str, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(f"virtual_numbers = {text}\n")
    assert faults_in(path) == [f"{path}:1: virtual_numbers: wanted {wanted}, got {got}"]


def test_a_number_that_is_twice_in_a_pool_is_in_it_once() -> None:
    settings, faults = config.read(
        "", {"MASKING_VIRTUAL_NUMBERS": "12025550161,12025550160,+1 202 555 0161"}
    )
    assert (settings.virtual_numbers, faults) == (("12025550161", "12025550160"), [])


def test_a_pool_of_the_environment_stands_between_commas() -> None:
    assert faults_of(MASKING_VIRTUAL_NUMBERS="") == []
    assert faults_of(MASKING_VIRTUAL_NUMBERS="12025550160,") == [
        f"MASKING_VIRTUAL_NUMBERS: wanted {NUMBER_WANTED}, got ['*******0160', '']"
    ]


def test_without_a_key_a_pool_is_fictional_for_serving_only() -> None:
    real = {"MASKING_VIRTUAL_NUMBERS": "12025550160,18888888888"}
    assert faults_of(**real) == [
        "virtual_numbers: wanted a fictional number as long as TELESIGN_API_KEY is not set,"
        " got ...8888; set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY"
    ]
    assert faults_of(**real, **facts.KEYS) == []
    assert config.read("", real, serving=False)[1] == []


def test_faults_in_the_file_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        "# port = 1\nhost = 5\n\nport = '8080'\nverify_signatures = 'false'\n"
        "threads = true\ncolour = 1\nTELESIGN_API_KEY = 'secret'\n[table]\nport = 3\n"
    )
    names = ", ".join(config.NAMES)
    assert faults_in(path) == [
        f"{path}:2: host: wanted a text in quotes, got 5",
        f"{path}:4: port: wanted a whole number without quotes, got '8080'",
        f"{path}:5: verify_signatures: wanted true or false without quotes, got 'false'",
        f"{path}:6: threads: wanted a whole number, got True",
        f"{path}:7: colour: unknown setting; wanted one of {names}",
        f"{path}:8: TELESIGN_API_KEY: wanted as the environment variable TELESIGN_API_KEY only;"
        " remove it here",
        f"{path}:9: table: unknown setting; wanted one of {names}",
    ]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    assert faults_in(path) == [f"{path}: wanted a settings file, got: No such file or directory"]
    assert faults_in(tmp_path) == [f"{tmp_path}: wanted a settings file, got: Is a directory"]
    path.write_bytes(b"greeting = '\xff'")
    assert faults_in(path) == [
        f"{path}: wanted UTF-8 text, got another encoding; save it again as UTF-8"
    ]
    path.write_text("a = " + "[" * 9000)
    (fault,) = faults_in(path)
    assert fault.startswith(f"{path}: wanted TOML, got an error: maximum recursion depth")
    path.write_bytes(b"\xef\xbb\xbfport = 9")
    assert faults_in(path) == []
    path.write_text("port = ")
    assert faults_in(path) == [
        f"{path}: wanted TOML, got an error: Invalid value (at end of document)"
    ]


@pytest.mark.parametrize(
    "variable", ["MASKING_PROT", "MASKING_", "MASKING_port", "MASKING_API_KEYS"]
)
def test_an_unknown_variable_is_a_fault(variable: str) -> None:
    names = ", ".join(config.NAMES)
    assert faults_of(**{variable: "1"}) == [f"{variable}: unknown setting; wanted one of {names}"]


@pytest.mark.parametrize("text", ["", "[]", "null", "{} ", '"{}"', "[{},{}]", "{ }", "hangup"])
def test_a_call_is_left_as_it_is_in_one_of_two_forms(text: str) -> None:
    assert [config.read(f"carry_on = '{form}'", {})[1] for form in ("{}", "[{}]")] == [[], []]
    (fault,) = faults_of(MASKING_CARRY_ON=text)
    assert fault.startswith('MASKING_CARRY_ON: wanted "{}" or "[{}]"')
    (fault,) = config.read("carry_on = [{}]", {})[1]
    assert fault == "config.toml:1: carry_on: wanted a text in quotes, got [{}]"


@pytest.mark.parametrize("text", ["", "Refuse", "no", "true"])
def test_withheld_callers_are_connected_or_refused(text: str) -> None:
    (fault,) = faults_of(MASKING_WITHHELD_CALLERS=text)
    assert fault == f'MASKING_WITHHELD_CALLERS: wanted "connect" or "refuse", got {text!r}'


def test_a_digit_to_accept_needs_a_greeting() -> None:
    assert faults_of(MASKING_GREETING="", MASKING_ACCEPT_DIGIT="1") == [
        "accept_digit: wanted a greeting that asks for the digit, got an empty one"
    ]


def test_without_a_key_the_masking_id_of_the_settings_is_fictional() -> None:
    assert faults_of(MASKING_CALLER_ID_NUMBER="18888888888") == [
        "caller_id_number: wanted a fictional number as long as TELESIGN_API_KEY is not set,"
        " got ...8888; set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY"
    ]
    assert faults_of(MASKING_CALLER_ID_NUMBER="12025550100") == []
    assert faults_of(MASKING_CALLER_ID_NUMBER="18888888888", **facts.KEYS) == []
    assert (
        faults_of(MASKING_CALLER_ID_NUMBER="18888888888", MASKING_VERIFY_SIGNATURES="false") == []
    )


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (facts.API_KEY, (KEY,)),
        (f"{facts.API_KEY}, {facts.OTHER_API_KEY}", (KEY, OTHER_KEY)),
        (f"{facts.API_KEY},{facts.OTHER_API_KEY}", (KEY, OTHER_KEY)),
        (",".join([facts.API_KEY] * 10), (KEY,) * 10),
    ],
)
def test_one_to_ten_keys_may_be_set(text: str, keys: tuple[bytes, ...]) -> None:
    settings, faults = config.read("", facts.KEYS | {"TELESIGN_API_KEY": text})
    assert (settings.api_keys, settings.customer_id, faults) == (keys, facts.CUSTOMER_ID, [])
    assert (settings.verified, settings.only_fictional) == (True, False)


@pytest.mark.parametrize(
    ("environment", "verified", "only_fictional"),
    [
        ({}, False, True),
        ({"MASKING_VERIFY_SIGNATURES": "false"}, False, False),
        (facts.KEYS | {"MASKING_VERIFY_SIGNATURES": "False"}, False, False),
    ],
)
def test_who_is_answered_without_a_signature(
    environment: dict[str, str],
    verified: bool,
    only_fictional: bool,
) -> None:
    settings, faults = config.read("", environment)
    assert (settings.verified, settings.only_fictional, faults) == (verified, only_fictional, [])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "TELESIGN_API_KEY: key 1: wanted at least 16 bytes of key, got 0"),
        (
            f"{facts.API_KEY},",
            "TELESIGN_API_KEY: key 2: wanted at least 16 bytes of key, got 0",
        ),
        (
            f"{facts.API_KEY},secret!",
            "TELESIGN_API_KEY: key 2: wanted the key in base64, as TeleSign shows it",
        ),
        (",".join([facts.API_KEY] * 11), "TELESIGN_API_KEY: wanted 1 to 10 keys, got 11"),
        *(
            (text, f"TELESIGN_API_KEY: key 1: {KEY_WANTED}{without}")
            for text, without in (
                (f"{facts.API_KEY}\r", BARE),
                (f"{facts.API_KEY}\n", BARE),
                (f"\ufeff{facts.API_KEY}", BARE),
                (f" {facts.API_KEY}", BARE),
                (f"{facts.API_KEY} ", BARE),
                (f"{facts.API_KEY} ,{facts.API_KEY}", BARE),
                (f"'{facts.API_KEY}'", BARE),
                (f'"{facts.API_KEY}"', BARE),
                (f"{facts.API_KEY};{facts.API_KEY}", ""),
                (f"{facts.API_KEY} {facts.API_KEY}", ""),
            )
        ),
        (
            f"{facts.API_KEY},  {facts.API_KEY}",
            f"TELESIGN_API_KEY: key 2: {KEY_WANTED}{BARE}",
        ),
    ],
)
def test_a_key_that_is_none_is_a_fault_and_not_shown(text: str, fault: str) -> None:
    assert faults_of(**facts.KEYS | {"TELESIGN_API_KEY": text}) == [fault]


ONE_ALONE = "wanted both TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, or neither, got only one"


def test_a_key_needs_its_customer_id() -> None:
    for environment in {}, {"TELESIGN_CUSTOMER_ID": ""}:
        assert faults_of(TELESIGN_API_KEY=facts.API_KEY, **environment) == [ONE_ALONE]


@pytest.mark.parametrize(
    ("text", "without"),
    [
        (" ", BARE),
        (f"{facts.CUSTOMER_ID} ", BARE),
        (f"{facts.CUSTOMER_ID}\r", BARE),
        (f"{facts.CUSTOMER_ID[:8]}\0{facts.CUSTOMER_ID[8:]}", BARE),
        (f'"{facts.CUSTOMER_ID}"', BARE),
        ("two words", ""),
        ("\u00e4", ""),
    ],
)
def test_a_customer_id_that_is_none_is_a_fault_and_not_shown(text: str, without: str) -> None:
    fault = f"TELESIGN_CUSTOMER_ID: wanted the id as TeleSign shows it{without}"
    assert faults_of(**facts.KEYS | {"TELESIGN_CUSTOMER_ID": text}) == [fault]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TELESIGN_API_KEY": facts.API_KEY},
        {"TELESIGN_CUSTOMER_ID": facts.CUSTOMER_ID},
        {"TELESIGN_API_KEY": "", "TELESIGN_CUSTOMER_ID": ""},
        {"TELESIGN_API_KEY": "", "TELESIGN_CUSTOMER_ID": facts.CUSTOMER_ID},
    ],
)
def test_who_only_looks_needs_no_key(environment: dict[str, str]) -> None:
    environment = {"MASKING_CALLER_ID_NUMBER": "18888888888", **environment}
    settings, faults = config.read("", environment, serving=False)
    assert (settings.caller_id_number, faults) == ("18888888888", [])


def test_a_faulty_key_is_reported_also_when_nothing_is_served() -> None:
    _, faults = config.read("", {"TELESIGN_API_KEY": "secret!"}, serving=False)
    assert faults == [f"TELESIGN_API_KEY: key 1: {KEY_WANTED}"]


def test_both_of_them_empty_are_as_if_neither_was_set() -> None:
    """So `deploy/environment` ships them."""
    empty = {"TELESIGN_CUSTOMER_ID": "", "TELESIGN_API_KEY": ""}
    for environment in {}, {"MASKING_CALLER_ID_NUMBER": "18888888888"}:
        assert config.read("", environment | empty) == config.read("", environment)
    settings, faults = config.read("", empty)
    assert (settings.verified, settings.only_fictional, faults) == (False, True, [])


@pytest.mark.parametrize("filled", [{}, {"TELESIGN_CUSTOMER_ID": facts.CUSTOMER_ID}])
def test_an_empty_key_alone_is_a_fault(filled: dict[str, str]) -> None:
    assert faults_of(TELESIGN_API_KEY="", **filled)


def test_a_customer_id_needs_its_key() -> None:
    assert faults_of(TELESIGN_CUSTOMER_ID=facts.CUSTOMER_ID) == [ONE_ALONE]


def test_who_sets_only_a_digit_gets_a_greeting_that_asks_for_it() -> None:
    settings, faults = config.read("", {"MASKING_ACCEPT_DIGIT": "7"})
    assert (settings.greeting, faults) == ("Press 7 to take the call.", [])


def test_a_password_in_a_url_is_not_shown() -> None:
    url = "postgresql://us:secret@db.example/calls"
    settings, faults = config.read("", {"MASKING_CALL_LOG": url})
    assert faults == []
    assert "secret" not in repr(settings)
    _, (fault,) = config.read("", {"MASKING_CALL_LOG": f"{url} "})
    assert fault.endswith(", got ...@db.example/calls '")


def test_secrets_are_not_shown() -> None:
    settings, _ = config.read("", facts.KEYS)
    shown = repr(settings)
    assert facts.CUSTOMER_ID not in shown
    assert repr(KEY) not in shown
    assert "api_keys" not in shown
