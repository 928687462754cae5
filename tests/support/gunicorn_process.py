"""The app under gunicorn, as docs/deploy.md says to run it there; used like our own server process.

Only the command and the line that names the address are others.
"""

import sys
from typing import ClassVar

from helpers import ROOT
from processes import ServerProcess

WORKERS = 2


class GunicornProcess(ServerProcess):
    """The app on gunicorn with several worker processes, on a port of its own."""

    command: ClassVar[list[str]] = [
        *(sys.executable, "-m", "gunicorn", "app:application", "--pythonpath", str(ROOT)),
        *("--bind", "127.0.0.1:0", "--workers", str(WORKERS), "--no-control-socket"),
    ]
    address = r"Listening at: (http://\S+)"
