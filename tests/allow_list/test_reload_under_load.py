"""A long allow-list is reloaded while events come: no answer waits for it or uses half a list.

Every number is fictional: rows differ in who dials and who is dialled, in two ranges of numbers.
"""

import re
import threading
import time
from itertools import pairwise
from pathlib import Path

import facts
import pytest
from goodclient import Answers, assert_prompt, keep_asking
from processes import ServerProcess

pytestmark = pytest.mark.load

ROWS = 100_000
RATE = 200
QUIET_SECONDS = 5
MAX_SECONDS = 40
MAX_TIMES, MAX_MS = 10, 100
OLD, NEW = "12025550198", "12025550199"


def number(index: int) -> str:
    """Return one of 70,000 fictional numbers, none of which has the area code 202."""
    return f"1{300 + index // 100}55501{index % 100:02}"


def long_list(masking_id: str) -> str:
    """Return a list whose last row is that of the good client, each row with this masking ID."""
    rows = [
        f"{number(row // 10)},{number(10_000 + row % 10)},{number(20_000 + row % 50_000)},"
        f"{masking_id},3600,2099-01-31T18:00:00Z,row"
        for row in range(ROWS - 1)
    ]
    header = "to,from,destination,caller_id_number,max_call_duration,expires,note"
    last = f"{facts.DIALLED},,{facts.DESTINATION},{masking_id},,,"
    return "\n".join([header, *rows, last, ""])


def replace(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def wait_for_reloads(server: ServerProcess, count: int) -> None:
    """Wait until the list has been reloaded this many times."""
    line = f"the allow-list was reloaded; rows: {ROWS}"
    deadline = time.monotonic() + 20
    while server.stdout.read_text().count(line) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def answers_while_reloading(folder: Path, old: str, new: str) -> tuple[Answers, Answers]:
    """Return what a good client got before and while the list was reloaded three times."""
    results: list[Answers] = []
    all_reloaded = threading.Event()
    with ServerProcess(folder, facts.KEYS, old) as server:
        quiet = keep_asking(server.port, QUIET_SECONDS, RATE)

        def ask() -> None:
            is_enough = all_reloaded.is_set
            results.append(keep_asking(server.port, MAX_SECONDS, RATE, is_enough=is_enough))

        asking = threading.Thread(target=ask)
        asking.start()
        for count, text in enumerate((new, old, new), start=1):
            time.sleep(0.5)
            replace(folder / "allowlist.csv", text)
            wait_for_reloads(server, count)
        time.sleep(0.5)
        all_reloaded.set()
        asking.join()
    return quiet, results[0]


def test_events_are_answered_soon_while_a_long_list_is_read_and_swapped_whole(
    tmp_path: Path,
) -> None:
    old, new = long_list(OLD), long_list(NEW)

    def measure() -> tuple[list[Answers], list[Answers]]:
        quiet, answers = answers_while_reloading(tmp_path, old, new)
        shown = b"".join(answers.texts).decode()
        masking_ids = re.findall(r'"caller_id_number":"(\d+)"', shown)
        assert len(masking_ids) == len(answers.texts)
        swaps = [first for first, then in pairwise(masking_ids) if first != then]
        assert swaps == [OLD, NEW, OLD]
        return [quiet], [answers]

    assert_prompt(measure, times=MAX_TIMES, or_ms=MAX_MS)
