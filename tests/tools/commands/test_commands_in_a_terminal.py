"""Every line of what the commands print of the log fits a terminal of 80 columns."""

from pathlib import Path
from typing import Any

import facts
import pytest
from command_line import deliver_some_calls
from databases import log_in_sqlite
from helpers import Clock
from terminals import in_a_terminal, one_line

log_url = log_in_sqlite


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("calls --simulated --local --full", "what became of it"),
        ("calls --last 1", "6 calls pass, the last 1 are shown"),
        ("calls answered --full", "line 2 of the allow-list, as it was"),
        ("calls nowhere", "or its last 6 or more characters, got 'nowhere'"),
        ("calls --since soon", "wanted today"),
        ("report --since 2020-01-01 --simulated", "connected"),
        ("report --since soon", "wanted today"),
        (f"why {facts.RIDER} --full --simulated", "the newest first"),
        (f"why {facts.PAIR_NUMBER} --full", "Rows behind 12025550101: 2"),
        (f"why {facts.MASKING_ID}", "Calls by way of it"),
        ("why 2025550123", "Run it again with the 1."),
        ("live-check", "look at this"),
    ],
)
def test_every_line_fits_a_terminal_of_80_columns(
    log_url: str, deliver: Any, clock: Clock, tmp_path: Path, words: str, shown: str
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    deliver_some_calls(deliver, clock)
    deliver("longest", "incoming_call_withheld", "dial_completed_without_status")
    deliver("SIMULATED0123456789ABCDEF0123456", "incoming_call", DIALLED=facts.PAIR_NUMBER)
    log = {"MASKING_CALL_LOG": log_url}
    with in_a_terminal("app.py", *words.split(), folder=tmp_path, **log) as terminal:
        pass
    assert shown in one_line(terminal.text)
    assert terminal.too_wide() == []
