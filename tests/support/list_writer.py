"""A program that adds pairs of routes to an allow-list: `list_writer.py FILE FIRST COUNT`."""

import sys
import time
from datetime import timedelta
from pathlib import Path

import facts
from helpers import START, read_list

from commands import Dial
from phone import PhoneNumber
from routing import Route
from tools.list_editor import editor, pairs
from tools.list_editor.turns import Patience


def pair(number: int) -> list[Route]:
    """Return the two routes of a session, whose masking IDs no other number has."""
    rider, driver = PhoneNumber(facts.RIDER), PhoneNumber(facts.DRIVER)
    mask, other_mask = PhoneNumber(f"1303{number:07}"), PhoneNumber(f"1404{number:07}")
    ends = START + timedelta(hours=2)
    return [
        Route(mask, rider, Dial(driver, other_mask), ends),
        Route(other_mask, driver, Dial(rider, mask), ends),
    ]


def main(path: Path, first: int, count: int) -> None:
    print("ready", flush=True)
    for number in range(first, first + count):
        editor.check(path, Patience(print, time.monotonic, time.sleep))
        editor.change(
            path,
            pairs.addition(pair(number), now=START, note="n"),
            lambda lines: read_list("\n".join(lines)),
            Patience(print, time.monotonic, time.sleep),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
