"""`live-check`: what it prints, and with which exit status."""

import json
import re
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import all_rows, delivering
from databases import EACH_DATABASE, log_in_sqlite
from helpers import Clock, PrintedLines
from old_logs import make_old_log

import events

log_url = log_in_sqlite


OF_NO_ACTION = """
 2            whether TeleSign takes `{}` as an answer
   assumed    the call goes on
   in the log 1: speak_completed, then call_completed within 5 s (1)
   result     as assumed
"""


@pytest.fixture
def ask(ask: Any) -> Any:
    """The same command line, with a list."""
    Path("allowlist.csv").write_text(facts.ALLOW_LIST)
    return ask


@pytest.mark.usefixtures("terminal")
def test_live_check_says_what_calls_have_shown(deliver: Any, ask: Any, clock: Clock) -> None:
    deliver("one", "incoming_call", "dial_completed_answered", "speak_completed")
    clock.sleep(3)
    deliver("one", "call_completed")
    deliver("SIMULATED1", "incoming_call", "unknown_event", "dial_completed_without_status")
    answer = ask("live-check")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert re.search("[0-9]{9,}", answer.stdout) is None
    assert answer.stdout.startswith("real calls    1 (the newest, at most 1,000), 4 events\n")
    assert OF_NO_ACTION in answer.stdout
    assert "\ncarry_on      {} is sent now to leave a call as it is\n" in answer.stdout
    plain = json.loads(ask("live-check", "--json").stdout)
    assert {name: plain[name] for name in ("calls", "calls_at_most", "events")} == {
        "calls": 1,
        "calls_at_most": 1_000,
        "events": 4,
    }
    assert plain["carry_on"] == "{}"
    assert plain["questions"][3] == {
        "unknown": "which words `dial_completed` uses for a dial that failed",
        "assumed": "every status but `answered` is a failure",
        "outcome": "seen",
        "events": 1,
        "values": {"answered": 1},
        "to_do": "call a phone that is busy, one that nobody answers, and one that is answered",
    }


def test_live_check_ends_with_1_if_something_is_not_as_assumed(deliver: Any, ask: Any) -> None:
    deliver("one", "incoming_call", "dial_completed_without_status")
    answer = ask("live-check")
    assert answer.returncode == 1
    assert "look at this" in answer.stdout


def test_live_check_of_a_log_without_real_calls(deliver: Any, ask: Any) -> None:
    deliver("SIMULATED1", "incoming_call", "dial_completed_without_status")
    answer = ask("live-check", "--json")
    assert answer.returncode == 0
    outcomes = {question["outcome"] for question in json.loads(answer.stdout)["questions"]}
    assert outcomes == {"nothing yet", "no log can tell"}


def test_an_event_that_cannot_be_read_any_more_is_passed_over(
    deliver: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise events.EventError("bad_json", "wanted strict JSON")

    deliver("one", "incoming_call", "dial_completed_busy")
    monkeypatch.setattr(events, "parse", unreadable)
    assert "busy" in ask("live-check").stdout


@EACH_DATABASE
def test_a_log_of_an_older_version_shows_the_same(
    log_url: str, ask: Any, clock: Clock, lines: PrintedLines, tmp_path: Path
) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    with delivering(source, clock, lines) as deliver:
        deliver("ended", "incoming_call", "dial_completed_answered", "call_completed")
        deliver("live", "incoming_call", "dial_completed_without_status")
    make_old_log(log_url, *all_rows(source))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKING_CALL_LOG", source)
        as_now = ask("live-check", "--json")
    assert ask("live-check", "--json").stdout == as_now.stdout
    assert json.loads(as_now.stdout)["calls"] == 2
