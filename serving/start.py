"""Starts the server: opens what it works with, serves, and says what is served to whom.

The options of the server are here too, so that it needs none of the tools.
"""

import atexit
import os
import signal
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from call_log import writer
from call_log.store import StoreError
from config import HEALTH_PATH, ConfigError, Settings
from routing import AllowList
from serving import server
from serving.lines import ERROR, Lines, write_stderr
from serving.sources import SETTINGS_FILE, load, open_log

VERSION = "0.2.0"


def server_parser(*, add_help: bool = True) -> ArgumentParser:
    """Return the parser of what the server itself understands."""
    text = "Connect phone calls through masking numbers. Without a command, run the webhook server."
    parser = ArgumentParser(description=text, add_help=add_help, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"masked-calls {VERSION}")
    add_settings_file(parser)
    return parser


def add_settings_file(parser: ArgumentParser, **more: Any) -> None:
    """Add the option that names the settings file."""
    text = "the settings file (default: config.toml, if it exists)"
    parser.add_argument("--config", type=Path, metavar="FILE", help=text, **more)


def run(make_handlers: Callable[..., Any], settings_file: Path | None) -> int:
    """Serve until SIGTERM or Ctrl-C; reload the allow-list when it changes, and on SIGHUP.

    Returns the exit status: 1 if the server cannot start, or events were lost at the end; 2 for
    faults in the settings or the allow-list.
    """
    _open_standard_files()
    try:
        settings, allow_list = load(settings_file, os.environ)
    except ConfigError as error:
        write_stderr(f"{error}", priority=ERROR)
        return 2
    lines = Lines()

    def print_banner(port: int) -> None:
        text = startup_banner(settings, settings_file or SETTINGS_FILE, allow_list.current, port)
        # By a thread of its own: an output that nobody reads must not keep us from serving.
        Thread(target=write_stderr, args=[text], daemon=True).start()

    try:
        calls = open_log(settings, lines.notice)
        try:
            allow_list.watch(lines.notice)
            if hasattr(signal, "SIGHUP"):
                signal.signal(signal.SIGHUP, lambda *_: allow_list.request_reload())
            app = make_handlers(settings, allow_list, calls, lines).app()
            on_rejected = partial(lines.rejection, "bad_request")
            given = {"host": settings.host, "port": settings.port, "threads": settings.threads}
            server.serve(app, on_listening=print_banner, on_rejected=on_rejected, **given)
        finally:
            lost = calls.close()
    except (StoreError, server.ServeError) as error:
        write_stderr(f"The server did not start: {error}", priority=ERROR)
        return 1
    lines.notice("stopped")
    return 1 if lost else 0


def application(make_handlers: Callable[..., Any]) -> Any:
    """Return the web app for another WSGI server; ends the process if it cannot be served."""
    lines = Lines()
    try:
        settings, allow_list = load(None, os.environ)
        calls = open_log(settings, lines.notice)
    except (ConfigError, StoreError) as error:
        write_stderr(f"{error}", priority=ERROR)
        raise SystemExit(3) from None  # gunicorn ends, instead of starting worker after worker
    atexit.register(calls.close)  # first: a worker may be stopped at any time from now on
    if not settings.verified:
        lines.notice("requests are NOT VERIFIED: anybody who finds the address is answered")
    allow_list.watch(lines.notice)
    return make_handlers(settings, allow_list, calls, lines).app()


def _open_standard_files() -> None:
    """Open standard input and output if they are closed, or a socket would take their numbers."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # always the lowest that is free
        pass
    os.close(fd)


def startup_banner(settings: Settings, file: Path, allow_list: AllowList, port: int) -> str:
    """Return what is served where and to whom, and what to do next."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{port}"
    rows = f"rows: {len(allow_list)}" + ("" if len(allow_list) else " (every call is refused)")
    requests, next_step = _requests_and_next_step(settings)
    settings_from = file.resolve() if file.exists() else f"no {file}: environment and defaults"
    kept = "NONE: no calls are kept, and a restart forgets those in progress"
    if settings.call_log:
        kept = f"{writer.store_of(settings.call_log).place}, kept for {settings.keep_days} days"
    return (
        f"Masked calls on {address}{settings.event_path}\n"
        f"  requests    {requests}\n"
        f"  settings    {settings_from}\n"
        f"  allow-list  {Path(settings.allow_list).resolve()}, {rows}\n"
        f"  call log    {kept}\n"
        f"  health      {address}{HEALTH_PATH}\n"
        f"  next        {next_step}"
    )


def _requests_and_next_step(settings: Settings) -> tuple[str, str]:
    if settings.verified:
        next_step = f"give TeleSign's support https://<your tunnel>{settings.event_path}"
        return f"signatures are verified; keys: {len(settings.api_keys)}", next_step
    next_step = "set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY for real numbers"
    if settings.api_keys:
        next_step = "remove verify_signatures = false, so that your keys are used"
    return "NOT VERIFIED: anybody who finds the address is answered", next_step
