"""Finds the server of these settings, or starts one for a moment: this project's own, as a process.

The few settings that say where it is are read here a second time: nothing of it is imported.
"""

import base64
import contextlib
import re
import secrets
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tools import http_client
from tools.simulation.call import SIMULATED

_APP = Path(__file__).parent.parent.parent / "app.py"
_SETTINGS_FILE = Path("config.toml")
_DEFAULTS = {
    "host": "127.0.0.1",
    "port": "8080",
    "event_path": "/",
    "allow_list": "allowlist.csv",
    "caller_id_number": "",
    "accept_digit": "",
}
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a server listens on

Environment = Mapping[str, str]


class ServerStartError(Exception):
    """No server could be found or started; the text says why, perhaps in the server's own words."""


class FoundServer(NamedTuple):
    """A server to play on: its URL, the environment with its key, and a note if it was started."""

    url: str
    environment: Environment
    note: str = ""


def read_settings(file: Path | None, environment: Environment) -> dict[str, str]:
    """Return the settings that say where the server and its list are.

    `file` must exist; with `None`, `config.toml` is read if it exists. Raises `ServerStartError`.
    """
    path = file or _SETTINGS_FILE
    values: dict[str, object] = {}
    try:
        if file or path.exists():
            values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ServerStartError(f"{path}: wanted a settings file, got: {error.strerror}") from None
    except ValueError as error:
        raise ServerStartError(f"{path}: wanted TOML in UTF-8, got: {error}") from None
    values = _DEFAULTS | values
    return {
        name: environment.get(f"MASKING_{name.upper()}", str(values[name])) for name in _DEFAULTS
    }


@contextlib.contextmanager
def find_or_start_server(
    file: Path | None, environment: Environment, *, screens: bool = False
) -> Iterator[FoundServer]:
    """Yield the server of these settings, or one that is started for the block if none runs.

    One that is started asks for a digit if it `screens` calls. Raises `ServerStartError`.
    """
    settings = read_settings(file, environment)
    address = _address(settings)
    if _is_running(address):
        yield FoundServer(address + settings["event_path"], environment)
        return
    screens = screens and not settings["accept_digit"]
    own = _own_environment(environment, screens=screens)
    with _own_server(file, own) as url:
        note = f", started for this: none runs on {address} (use --url for another)"
        yield FoundServer(url, own, note)


def _address(settings: Mapping[str, str]) -> str:
    """Return the address at which a server of these settings is reached from this machine."""
    host = _EVERY_ADDRESS.get(settings["host"], settings["host"])
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings['port']}"


def _is_running(address: str) -> bool:
    """Return whether our server, and no other program, answers at an address."""
    try:
        with http_client.Session() as session:
            health = session.get(f"{address}/health", timeout=1).json()
    except http_client.FAILURES:
        return False
    return isinstance(health, dict) and "signatures" in health


def _own_environment(environment: Environment, *, screens: bool) -> dict[str, str]:
    """Return the environment for a server of ours: on this machine, with a key and no call log."""
    own = {**environment, "MASKING_HOST": "127.0.0.1", "MASKING_PORT": "0", "MASKING_CALL_LOG": ""}
    if not own.get("TELESIGN_API_KEY"):
        own["TELESIGN_CUSTOMER_ID"] = SIMULATED
        own["TELESIGN_API_KEY"] = base64.b64encode(secrets.token_bytes(32)).decode()
    return own | ({"MASKING_ACCEPT_DIGIT": "1"} if screens else {})


@contextlib.contextmanager
def _own_server(file: Path | None, environment: Environment) -> Iterator[str]:
    """Start the server; yield its URL and stop it at the end. Raises `ServerStartError`."""
    options = ["--config", str(file)] if file else []
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(_APP), *options],
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        try:
            yield _url(process)
        finally:
            process.terminate()


def _url(process: "subprocess.Popen[str]") -> str:
    """Return where the server says that it listens. Raises `ServerStartError` if it ends."""
    text = ""
    for line in process.stderr or ():
        text += line
        if found := re.search(r"http://\S+(?=\n)", line):
            return found[0]
    raise ServerStartError(text)
