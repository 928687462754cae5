"""The banner of the server; tests/whole/test_start.py starts and stops it as a user does."""

from pathlib import Path

import facts
import pytest
from helpers import read_list, settings_of

import config
from serving.start import startup_banner

ROUTES = read_list(facts.ALLOW_LIST)


def banner(
    settings: config.Settings, text: str = facts.ALLOW_LIST, file: Path = Path("config.toml")
) -> dict[str, str]:
    """Return the lines of the banner by their first word."""
    lines = startup_banner(settings, file, read_list(text), 8080).splitlines()
    return {line.split()[0]: line[14:] for line in lines[1:]} | {"first": lines[0]}


def with_keys(**environment: str) -> config.Settings:
    settings, faults = config.read("", facts.KEYS | environment)
    assert faults == []
    return settings


def test_an_open_server_is_said_to_be_open() -> None:
    lines = banner(settings_of())
    assert lines["first"] == "Masked calls on http://127.0.0.1:8080/"
    assert lines["requests"] == "NOT VERIFIED: anybody who finds the address is answered"
    assert lines["next"].startswith("set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY")
    assert lines["allow-list"] == f"{Path.cwd()}/allowlist.csv, rows: 4"
    assert lines["health"] == "http://127.0.0.1:8080/health"


def test_a_server_with_a_key_names_the_address_for_telesign() -> None:
    lines = banner(with_keys(MASKING_EVENT_PATH="/events/x7Kq2"))
    assert lines["requests"] == "signatures are verified; keys: 1"
    assert lines["next"] == "give TeleSign's support https://<your tunnel>/events/x7Kq2"


def test_keys_that_are_not_used_are_pointed_out() -> None:
    lines = banner(with_keys(MASKING_VERIFY_SIGNATURES="false"))
    assert lines["requests"].startswith("NOT VERIFIED")
    assert lines["next"] == "remove verify_signatures = false, so that your keys are used"


def test_an_empty_list_is_pointed_out() -> None:
    lines = banner(settings_of(), "to,destination\n")
    assert lines["allow-list"] == f"{Path.cwd()}/allowlist.csv, rows: 0 (every call is refused)"


def test_the_settings_file_is_named_or_said_to_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    assert banner(settings_of(), file=file)["settings"] == f"no {file}: environment and defaults"
    file.touch()
    assert banner(settings_of(), file=file)["settings"] == str(file)


def test_an_ipv6_address_is_in_brackets() -> None:
    assert banner(settings_of(host="::1"))["first"] == "Masked calls on http://[::1]:8080/"


@pytest.mark.parametrize(
    ("call_log", "said"),
    [
        ("", "NONE: no calls are kept, and a restart forgets those in progress"),
        ("sqlite:////var/calls.db", "/var/calls.db, kept for 30 days"),
    ],
)
def test_where_calls_are_kept_is_said(call_log: str, said: str) -> None:
    assert banner(settings_of(call_log=call_log))["call"].removeprefix("log ").strip() == said
