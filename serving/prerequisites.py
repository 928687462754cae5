"""Says in one sentence what this Python lacks, where a traceback would come instead.

It is imported before everything else, by any Python 3: no newer syntax here, nor in `app.py` and
`simulator.py`, and nothing but the standard library.
"""

import sys

OLDEST = (3, 11)


def check() -> None:
    """End the program if this Python is too old; from now on tell of a missing package."""
    if sys.version_info[:2] < OLDEST:
        got = "{}.{}".format(*sys.version_info[:2])
        sys.exit(f"wanted Python 3.11 or newer, got {got} ({sys.executable})")
    sys.excepthook = _tell


def _tell(kind: "type[BaseException]", error: BaseException, trace: object) -> None:
    """Print what is missing, and any other error as ever."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type]
        return
    sys.stderr.write(
        f"wanted the package {error.name.partition('.')[0]}, got none in {sys.executable};"
        " run .venv/bin/python instead, or python -m pip install -r requirements.txt\n"
    )
