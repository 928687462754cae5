"""Says in one sentence what this Python lacks, where a traceback would come instead.

It is imported before everything else, by any Python 3: no newer syntax here, nor in `app.py` and
`simulator.py`, and nothing but the standard library.
"""

import io
import os
import sys
from pathlib import Path

OLDEST = (3, 11)

_PYTHON = Path(".venv", "Scripts" if os.name == "nt" else "bin", "python")
_REMEDY = (
    "in {folder}, use {python}; if there is none, or this is it, remove .venv and make it anew:"
    " python3 -m venv .venv && {python} -m pip install --no-user -r requirements.txt"
)


def check() -> None:
    """End the program if this Python is too old; from now on report a missing package.

    What is printed is escaped where the encoding of the output lacks it.
    """
    if sys.version_info[:2] < OLDEST:
        got = "{}.{}".format(*sys.version_info[:2])
        sys.exit(f"wanted Python 3.11 or newer, got {got} ({sys.executable})")
    sys.excepthook = _report
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it is `None` if it was closed
            stream.reconfigure(errors="backslashreplace")


def _report(kind: "type[BaseException]", error: BaseException, trace: object) -> None:
    """Print what is missing, and any other error as ever."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type]
        return
    package = error.name.partition(".")[0]
    remedy = _REMEDY.format(folder=Path(__file__).resolve().parent.parent, python=_PYTHON)
    sys.stderr.write(f"wanted the package {package}, got none in {sys.executable}; {remedy}\n")
