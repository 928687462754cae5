"""Opens what a server or a command works with: the settings, the allow-list and the call log.

The one place that knows which file or variable each comes from, and the present time.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import config
from allow_list import reader
from allow_list.reload import LiveAllowList
from call_log.memory import InMemoryCalls
from call_log.writer import CallLog, store_of
from calls import CallStore, Timestamp
from config import ConfigError, Settings
from routing import AllowListError

SETTINGS_FILE = Path("config.toml")


def now() -> Timestamp:
    """Return the present time on both clocks."""
    return Timestamp(datetime.now(UTC), time.monotonic())


def read_settings(
    path: Path | None, environment: Mapping[str, str], *, serving: bool = True
) -> tuple[Settings, list[str]]:
    """Return the settings and their faults; see `config.read`.

    `path` names the file, which must exist; with `None`, `config.toml` is read if it exists.
    """
    file = path or SETTINGS_FILE
    text, faults = "", []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        if path or not isinstance(error, FileNotFoundError):
            faults = [f"{file}: wanted a settings file, got: {error.strerror}"]
    except UnicodeDecodeError:
        faults = [f"{file}: wanted UTF-8 text, got another encoding; save it again as UTF-8"]
    settings, more = config.read(text, environment, file=str(file), serving=serving)
    return settings, faults + more


def load(
    path: Path | None, environment: Mapping[str, str], *, serving: bool = True
) -> tuple[Settings, LiveAllowList]:
    """Return settings and allow-list. Raises `ConfigError` with the faults of both at once.

    Without `serving`, real numbers need no key: looking at a list answers nobody.
    """
    settings, faults = read_settings(path, environment, serving=serving)
    file, only_fictional = Path(settings.allow_list), settings.only_fictional
    read = partial(reader.read, file, settings, only_fictional=only_fictional)
    try:
        live = LiveAllowList(file, read)
    except AllowListError as error:
        faults += [fault.at(settings.allow_list) for fault in error.faults]
    if faults:
        raise ConfigError(faults)
    return settings, live


def open_log(settings: Settings, notify: Callable[[str], None]) -> CallStore:
    """Open the call log of these settings; an empty one keeps nothing on disk.

    Raises `StoreError` if there is a log that cannot be used.
    """
    if not settings.call_log:
        return InMemoryCalls()
    store = store_of(settings.call_log)
    store.home = settings.home_country_code
    return CallLog(store, notify, keep_days=settings.keep_days, clock=now)
