"""Runs the webhook server: opens the logs, serves, and says at the start what is served to whom.

Runs the inspector too, which is served in the same way and only reads.
"""

import argparse
import os
import secrets
import signal
import sys
from functools import partial
from pathlib import Path

from allow_list import reader
from app import SETTINGS_FILE, create_app, load, now, open_log, row_defaults
from call_log import writer
from call_log.store import StoreError
from config import HEALTH_PATH, Settings
from routing import AllowList
from serving import server
from serving.event_log import EventLog
from serving.server import ServeError


def run(settings_file: Path | None) -> int:
    """Serve until SIGTERM or Ctrl-C; reload the allow-list when it changes, and on SIGHUP.

    Returns the exit status: 1 if the server cannot start, or events were lost at the end. Raises
    `ConfigError`.
    """
    settings, allow_list = load(settings_file, os.environ)
    _open_standard_files()
    event_log = EventLog()

    def print_banner(port: int) -> None:
        text = startup_banner(settings, settings_file or SETTINGS_FILE, allow_list.current, port)
        print(text, file=sys.stderr, flush=True)

    try:
        calls = open_log(settings, event_log)
        try:
            allow_list.watch(event_log.notice)
            if hasattr(signal, "SIGHUP"):
                signal.signal(signal.SIGHUP, lambda *_: allow_list.request_reload())
            server.serve(
                create_app(settings, allow_list, calls, event_log),
                host=settings.host,
                port=settings.port,
                threads=settings.threads,
                on_listening=print_banner,
                on_rejected=lambda: event_log.rejected(
                    "bad_request", "unreadable, too large or cut off"
                ),
                notify=event_log.notice,
            )
        finally:
            lost = calls.close()
    except (StoreError, ServeError) as error:
        print(f"The server did not start: {error}", file=sys.stderr)
        return 1
    event_log.notice("stopped")
    return 1 if lost else 0


def inspect(options: argparse.Namespace) -> int:
    """Serve the pages of log and list on this machine until Ctrl-C; return the exit status."""
    from cli.history import stored
    from inspector.app import create_app as create_inspector
    from inspector.pages import Pages

    settings = stored.settings_of(options.config)
    if not settings.call_log:
        print("inspect: call_log is empty, so no call is kept", file=sys.stderr)
        return 1
    file, defaults = Path(settings.allow_list), row_defaults(settings)
    read_list = partial(reader.read, file, defaults, only_fictional=False)
    token = secrets.token_urlsafe()
    try:
        banner = (
            f"  call log    {writer.store_of(settings.call_log).place}, only read",
            f"  allow-list  {file.resolve()}",
            f"  numbers     {'in full' if options.full else 'last four digits'}",
            "  stop        Ctrl-C",
        )
        server.serve(
            create_inspector(Pages(settings, read_list, now, full=options.full), token),
            host="127.0.0.1",
            port=options.port,
            threads=4,
            on_listening=lambda port: print(
                f"Inspector on http://127.0.0.1:{port}/?token={token}",
                *banner,
                sep="\n",
                file=sys.stderr,
                flush=True,
            ),
            on_rejected=lambda: None,
            notify=lambda _: None,
        )
    except (StoreError, ServeError) as error:
        print(f"The inspector did not start: {error}", file=sys.stderr)
        return 1
    return 0


def _open_standard_files() -> None:
    """Open standard input and output if they are closed, or a socket would take their numbers."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def startup_banner(settings: Settings, file: Path, allow_list: AllowList, port: int) -> str:
    """Return what is served where and to whom, and what to do next."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{port}"
    rows = f"rows: {len(allow_list)}" + ("" if len(allow_list) else " (every call is refused)")
    requests, next_step = _requests_and_next_step(settings)
    settings_from = file.resolve() if file.exists() else f"no {file}: environment and defaults"
    return "\n".join(
        (
            f"Masked calls on {address}{settings.event_path}",
            f"  requests    {requests}",
            f"  settings    {settings_from}",
            f"  allow-list  {Path(settings.allow_list).resolve()}, {rows}",
            f"  call log    {_call_log(settings)}",
            f"  health      {address}{HEALTH_PATH}",
            f"  next        {next_step}",
        )
    )


def _requests_and_next_step(settings: Settings) -> tuple[str, str]:
    if settings.verified:
        return (
            f"signatures are verified; keys: {len(settings.api_keys)}",
            f"give TeleSign's support https://<your tunnel>{settings.event_path}",
        )
    next_step = "set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY before you serve real numbers"
    if settings.api_keys:
        next_step = "remove verify_signatures = false, so that requests are verified with your keys"
    return "NOT VERIFIED: anybody who finds the address is answered", next_step


def _call_log(settings: Settings) -> str:
    if not settings.call_log:
        return "NONE: no calls are kept, and a restart forgets those in progress"
    return f"{writer.store_of(settings.call_log).place}, kept for {settings.keep_days} days"
