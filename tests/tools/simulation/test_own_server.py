"""The server of the settings is found, or one is started for a moment."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import facts
import pytest
import requests
from processes import ServerProcess
from raw_servers import raw_server, saying

from tools.simulation import own_server
from tools.simulation.call import Signer
from tools.simulation.own_server import FoundServer, ServerStartError
from tools.simulation.play import Target
from tools.simulation.scenarios import SCENARIOS


@contextlib.contextmanager
def find(
    environment: Mapping[str, str], file: Path | None = None, *, screens: bool = False
) -> Iterator[FoundServer]:
    with own_server.find_or_start_server(file, environment, screens=screens) as server:
        yield server


def test_the_server_that_runs_here_is_found_whatever_the_proxy(
    verified_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"MASKING_PORT": str(verified_server.port)}
    with raw_server(saying(b"")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        with find(environment) as server:
            assert server == (verified_server.url, environment, "")
    assert proxy.connections == 0
    with find(environment | {"MASKING_EVENT_PATH": "/events"}) as server:
        assert server.url == f"{verified_server.url}events"


@pytest.mark.parametrize("name", [None, "other.toml"])
def test_its_port_and_path_are_those_of_the_settings_file(
    name: str | None,
    verified_server: ServerProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f'port = {verified_server.port}\nevent_path = "/events"\n'
    Path(name or "config.toml").write_text(text, encoding="utf-8-sig")
    with find({}, Path(name) if name else None) as server:
        assert server.url == f"{verified_server.url}events"
    with find({"MASKING_EVENT_PATH": "/"}, Path(name) if name else None) as server:
        assert server.url == verified_server.url


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("::1", "http://[::1]:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("10.1.2.3", "http://10.1.2.3:1"),
    ],
)
def test_a_server_is_asked_at_an_address_that_it_listens_on(host: str, address: str) -> None:
    assert own_server._address({"host": host, "port": "1"}) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "own.toml: wanted a settings file, got: No such file or directory"),
        (b"port", "own.toml: wanted TOML in UTF-8, got: "),
        (b'language = "\xe9"', "own.toml: wanted TOML in UTF-8, got: "),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_reported(
    text: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("own.toml").write_bytes(text)
    with pytest.raises(ServerStartError) as raised, find({}, Path("own.toml")):
        pass
    assert str(raised.value).startswith(message)


def test_a_server_is_started_with_a_key_where_none_runs_and_stopped_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text(facts.ALLOW_LIST)
    text = 'host = "0.0.0.0"\nport = 9\nallow_list = "own.csv"\n'
    (tmp_path / "own.toml").write_text(text)
    screened = SCENARIOS["screening-accepted"]
    with find({}, Path("own.toml"), screens=True) as (url, own, note):
        assert url.startswith("http://127.0.0.1:")
        assert note == (
            ", started for this: none runs on http://127.0.0.1:9 (use --url for another)"
        )
        result = Target(url, Signer.from_environment(own)).play(screened)
        assert result.outcome == "passed", result.verdict
        assert requests.post(url, b"{}", timeout=10).status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)
    assert {path.name for path in tmp_path.iterdir()} == {"own.csv", "own.toml"}


def test_a_server_that_is_started_has_the_key_and_the_digit_of_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    digit = {"MASKING_ACCEPT_DIGIT": "2"}
    with find({"MASKING_PORT": "9", **digit, **facts.KEYS}, screens=True) as server:
        here = {"MASKING_HOST": "127.0.0.1", "MASKING_PORT": "0", "MASKING_CALL_LOG": ""}
        assert server.environment == here | digit | facts.KEYS


@pytest.mark.parametrize("environment", [{}, dict.fromkeys(facts.KEYS, "")])
def test_a_server_that_is_started_has_a_key_of_its_own_where_none_is_set(
    environment: dict[str, str],
) -> None:
    own = own_server._own_environment(environment, screens=False)
    assert own["TELESIGN_CUSTOMER_ID"] == "SIMULATED"
    assert Signer.from_environment(own).key
