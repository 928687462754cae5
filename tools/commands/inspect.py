"""The `inspect` command: serves the pages of log and list on this machine, which only read."""

import argparse
import secrets
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

from allow_list import reader
from call_log import writer
from call_log.store import StoreError
from serving import server
from serving.server import ServeError
from serving.sources import now
from tools.history import stored
from tools.inspector.pages import Pages
from tools.inspector.web import create_app


def run(options: argparse.Namespace, _: datetime) -> int:
    """Serve the pages of log and list on this machine until Ctrl-C; return the exit status."""
    settings = stored.settings_of(options.config)
    if not settings.call_log:
        print("inspect: call_log is empty, so no call is kept", file=sys.stderr)
        return 1
    file = Path(settings.allow_list)
    read_list = partial(reader.read, file, settings, only_fictional=False)
    token = secrets.token_urlsafe()
    try:
        banner = (
            f"  call log    {writer.store_of(settings.call_log).place}, only read",
            f"  allow-list  {file.resolve()}",
            f"  numbers     {'in full' if options.full else 'last four digits'}",
            "  stop        Ctrl-C",
        )
        server.serve(
            create_app(Pages(settings, read_list, now, full=options.full), token),
            host="127.0.0.1",
            port=options.port,
            threads=4,
            on_listening=lambda port: print(
                f"Inspector on http://127.0.0.1:{port}/{token}/",
                *banner,
                sep="\n",
                file=sys.stderr,
                flush=True,
            ),
            on_rejected=lambda _: None,
            # What other programs on this machine set as cookies comes along, up to 180 of 4 KiB.
            max_request_header_size=2**20,
            recv_bytes=2**16,
        )
    except (StoreError, ServeError) as error:
        print(f"The inspector did not start: {error}", file=sys.stderr)
        return 1
    return 0
