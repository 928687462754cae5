"""`why` and `live-check`: what they print, to whom, and with which exit status."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import Clock, Lines, live, payload, settings_of, web

import events
from app import create_app
from call_log import writer
from call_log.writer import CallLog

LIST = facts.ALLOW_LIST
NUMBERS = re.compile("[0-9]{9,}")
EXPIRED_PERSON = "12025550112"
WHY = """\
...0123 is in 2 rows; open now: 2.
As any caller they reach ...0111 by 12025550100 (line 2).

line  is the       dialled      other person  the row
----  -----------  -----------  ------------  -----------------------------
3     caller       12025550101  ...0145       open, expires in 26,367 d 5 h
4     destination  12025550101  ...0145       open

Their own calls, the newest first (at most 10):
call at (UTC)        caller   dialled      what was decided
-------------------  -------  -----------  ------------------
2026-11-23 12:00:06  ...0123  12025550102  hangup: expired
2026-11-23 12:00:00  ...0123  12025550100  dial: failed: busy

refused because  times  last (UTC)
---------------  -----  -------------------
expired          1      2026-11-23 12:00:06

Other calls, the newest first (at most 10):
call at (UTC)        caller   dialled      what was decided
-------------------  -------  -----------  -------------------------
2026-11-23 12:00:04  ...0188  12025550101  hangup: caller_not_listed

refused because    times  last (UTC)
-----------------  -----  -------------------
caller_not_listed  1      2026-11-23 12:00:04
"""
OF_NO_ACTION = """
 2            whether TeleSign takes `{}` as an answer
   assumed    the call goes on
   in the log 1: speak_completed, then call_completed within 5 s (1)
   result     as assumed
"""


@pytest.fixture
def log(log_url: str, clock: Clock, lines: Lines) -> Iterator[Any]:
    """Return a function that delivers events of a call, and keeps them in the log of this test."""
    kept = CallLog(writer.store_of(log_url), print, keep_days=3650, clock=clock)
    app = web(create_app(settings_of(), live(LIST), kept, lines.event_log, clock=clock))

    def deliver(call: str, *names: str, **members: str) -> None:
        for name in names:
            body = payload(name).replace(facts.REFERENCE_ID.encode(), call.encode())
            for old, new in members.items():
                body = body.replace(getattr(facts, old).encode(), new.encode())
            app.post("/", body, content_type="application/json")
            clock.sleep(2)

    yield deliver
    kept.close()


@pytest.fixture
def ask(ask: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same command line, on a terminal of 80 columns and with the list of these tests."""
    monkeypatch.setenv("COLUMNS", "80")
    Path("allowlist.csv").write_text(LIST)
    return ask


def some_calls(log: Any) -> None:
    log("one", "incoming_call", "dial_completed_busy")
    log("two", "incoming_call", DIALLED=facts.PAIR_NUMBER, CALLER=facts.STRANGER)
    log("three", "incoming_call", DIALLED="12025550102")
    log("SIMULATED1", "incoming_call", DIALLED="12025550102")


def is_narrow(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines())


def test_why_shows_rows_calls_and_refusals(log: Any, ask: Any) -> None:
    some_calls(log)
    answer = ask("why", facts.RIDER)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == WHY
    assert is_narrow(answer.stdout)


def test_why_of_a_person_whose_only_row_has_expired(log: Any, ask: Any) -> None:
    some_calls(log)
    answer = ask("why", EXPIRED_PERSON, "--full", "--simulated")
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        "12025550112 is in 1 row; open now: 0.",
        "As any caller they reach 12025550111 by 12025550100 (line 2).",
        "",
        "line  is the       dialled      other person  the row",
        "----  -----------  -----------  ------------  ----------------------",
        "5     destination  12025550102  anyone        expired 295 d 18 h ago",
        "",
        "Their own calls: none.",
        "",
        "Other calls, the newest first (at most 10):",
        "call at (UTC)        caller       dialled      what was decided",
        "-------------------  -----------  -----------  ---------------------------",
        "2026-11-23 12:00:08  12025550123  12025550102  hangup: expired (simulated)",
        "2026-11-23 12:00:06  12025550123  12025550102  hangup: expired",
        "",
        "refused because  times  last (UTC)",
        "---------------  -----  -------------------",
        "expired          2      2026-11-23 12:00:08",
    ]


def test_why_as_json(log: Any, ask: Any) -> None:
    log("SIMULATED1", "incoming_call", DIALLED="12025550102")
    answer = ask("why", EXPIRED_PERSON, "--simulated", "--json")
    assert answer.returncode == 1
    assert json.loads(answer.stdout) == {
        "number": "...0112",
        "rows": [
            {
                "line": 5,
                "part": "destination",
                "dialled": "12025550102",
                "other": None,
                "state": "expired",
                "expires": "2026-01-31T18:00:00.000Z",
                "expires_in_s": -25552808.0 + 6.0,
                "reason": "expired",
            }
        ],
        "open_to_anyone": [{"line": 2, "dialled": "12025550100", "destination": "...0111"}],
        "nearest": None,
        "own": {"calls": [], "refusals": []},
        "others": {
            "calls": [
                {
                    "reference_id": "SIMULATED1",
                    "simulated": True,
                    "created": "2026-11-23T12:00:00.000Z",
                    "caller": "...0123",
                    "dialled": "12025550102",
                    "decision": "hangup",
                    "reason": "expired",
                    "later_reasons": [],
                    "disposition": "refused",
                }
            ],
            "refusals": [{"reason": "expired", "count": 1, "last": "2026-11-23T12:00:00.000Z"}],
        },
        "almost_this_caller": 0,
        "no_log": None,
    }


def test_why_of_a_number_in_no_row_names_the_nearest(log: Any, ask: Any) -> None:
    log("one", "incoming_call", CALLER=facts.STRANGER, DIALLED=facts.NOT_LISTED)
    answer = ask("why", "12025550154")
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        "...0154 is in no row, neither as a destination nor as a caller.",
        "Nearest: ...0145, the `destination` of line 3 (two digits swapped).",
        "As any caller they reach ...0111 by 12025550100 (line 2).",
        "",
        "The log holds no call that this concerns.",
    ]
    plain = json.loads(ask("why", "12025550154", "--json").stdout)
    assert plain["nearest"] == {
        "line": 3,
        "column": "destination",
        "number": "...0145",
        "likeness": "two digits swapped",
    }
    assert "No row has a number like it." in ask("why", "13105550177").stdout


def test_a_number_asked_for_without_its_1_is_pointed_out_and_the_list_is_not(
    log: Any, ask: Any
) -> None:
    log("one", "incoming_call", DIALLED=facts.PAIR_NUMBER)
    answer = ask("why", "2025550123")
    assert answer.returncode == 1
    text = " ".join(answer.stdout.split())
    assert text.startswith(
        "...0123 lacks its country code: with 1 in front it is in line 3. Run it again with the 1."
    )
    assert "Nearest" not in text
    assert "As any caller" not in text
    assert "home_country_code" not in text
    assert "with 1 in front it is the `to` of line 2." in " ".join(
        ask("why", facts.DIALLED[1:]).stdout.split()
    )


def test_a_conflicting_repeat_is_shown_in_the_line_of_its_call(log: Any, ask: Any) -> None:
    log("one", "incoming_call", "dial_completed_busy")
    log("one", "incoming_call", DIALLED=facts.PAIR_NUMBER)
    assert "dial: failed: busy; then conflicting\n" in ask("why", facts.RIDER).stdout


def test_at_most_five_rows_for_any_caller_are_named(ask: Any) -> None:
    rows = [f"1202555011{n},,1202555012{n},{facts.MASKING_ID},,,\n" for n in range(7)]
    Path("allowlist.csv").write_text(LIST.splitlines()[0] + "\n" + "".join(rows))
    text = " ".join(ask("why", "12025550120").stdout.split())
    assert "As any caller they reach ...0121 by 12025550111 (line 3), ...0122 by" in text
    assert "...0125 by 12025550115 (line 7) and 1 more." in text


def test_why_says_in_its_help_what_it_shows(ask: Any) -> None:
    assert "Show why nobody reaches a person, or they reach nobody" in " ".join(
        ask("why", "--help").stdout.split()
    )


def test_a_caller_without_country_code_is_pointed_out(log: Any, ask: Any) -> None:
    log("one", "incoming_call", DIALLED=facts.PAIR_NUMBER, CALLER="2025550123")
    answer = ask("why", facts.RIDER)
    assert answer.returncode == 0
    assert is_narrow(answer.stdout)
    assert "caller_not_listed" in answer.stdout
    assert " ".join(answer.stdout.split()).endswith(
        "1 of these calls came from a number that ends in the same seven digits and is another"
        " one. If it is the same phone, set `home_country_code`, or write `from` as it arrives"
        " (--full)."
    )


def test_a_virtual_number_is_shown_whole_and_is_nobody(log: Any, ask: Any) -> None:
    log("one", "incoming_call")
    answer = ask("why", facts.DIALLED)
    assert answer.returncode == 1
    assert answer.stdout.startswith(f"{facts.DIALLED} is in no row")
    assert "It is the `to` of line 2: ask for the person's own number." in answer.stdout


def test_the_last_ten_calls_are_shown_and_every_refusal_is_counted(log: Any, ask: Any) -> None:
    for n in range(12):
        log(f"call-{n}", "incoming_call", DIALLED="12025550102")
    plain = json.loads(ask("why", EXPIRED_PERSON, "--json").stdout)
    others = plain["others"]
    assert [each["reference_id"] for each in others["calls"]] == [
        f"call-{n}" for n in range(11, 1, -1)
    ]
    assert [each["count"] for each in others["refusals"]] == [12]


def test_calls_of_strangers_leave_room_for_those_of_the_person(log: Any, ask: Any) -> None:
    log("made", "incoming_call", DIALLED=facts.PAIR_NUMBER)
    log("received", "incoming_call", CALLER=facts.DRIVER, DIALLED=facts.PAIR_NUMBER)
    for n in range(11):
        log(f"call-{n}", "incoming_call", CALLER=facts.STRANGER, DIALLED=facts.PAIR_NUMBER)
    own = json.loads(ask("why", facts.RIDER, "--json").stdout)["own"]
    assert [each["reference_id"] for each in own["calls"]] == ["received", "made"]
    assert own["refusals"] == []


def test_a_row_says_how_long_it_is_still_open(ask: Any) -> None:
    row = f"{facts.DIALLED},,{facts.DESTINATION},{facts.MASKING_ID},,2026-11-23T14:05:59Z,\n"
    Path("allowlist.csv").write_text(LIST.splitlines()[0] + "\n" + row)
    assert "open, expires in 2 h 5 min" in ask("why", facts.DESTINATION).stdout


def test_a_row_that_never_connects_says_why(ask: Any) -> None:
    row = f"{facts.DIALLED},{facts.STRANGER},{facts.STRANGER},{facts.MASKING_ID},,,\n"
    Path("allowlist.csv").write_text(LIST.splitlines()[0] + "\n" + row)
    answer = ask("why", facts.STRANGER)
    assert answer.returncode == 1
    assert "never connects: caller_is_destination" in answer.stdout


def test_an_event_that_cannot_be_read_any_more_is_passed_over(
    log: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise events.EventError("bad_json", "wanted strict JSON")

    log("one", "incoming_call", "dial_completed_busy")
    monkeypatch.setattr(events, "parse", unreadable)
    assert "busy" in ask("live-check").stdout


def test_a_call_in_progress_and_a_withheld_caller_are_shown_as_such(log: Any, ask: Any) -> None:
    log("one", "incoming_call_withheld")
    (line,) = [
        each for each in ask("why", facts.DESTINATION).stdout.splitlines() if "dial:" in each
    ]
    assert line == "2026-11-23 12:00:00  withheld  12025550100  dial: in progress"


def test_why_needs_neither_a_key_nor_a_log(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELESIGN_API_KEY", "no key at all")
    real = "to,destination,caller_id_number\n442079460100,442079460101,442079460100\n"
    Path("allowlist.csv").write_text(real)
    for log, words in (
        ("", "call_log is empty"),
        ("sqlite:///none.db", "there is no call log yet"),
    ):
        monkeypatch.setenv("MASKING_CALL_LOG", log)
        answer = ask("why", "442079460101")
        assert (answer.returncode, answer.stderr) == (0, "")
        assert words in " ".join(answer.stdout.split())
        assert words in json.loads(ask("why", "442079460101", "--json").stdout)["no_log"]


@pytest.mark.parametrize("command", [("why", facts.RIDER), ("live-check",)])
def test_faults_of_the_list_are_named(ask: Any, command: tuple[str, ...]) -> None:
    Path("allowlist.csv").write_text("to,who\n")
    answer = ask(*command)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "allowlist.csv:1:" in answer.stderr


def test_what_is_no_number_is_no_person(ask: Any) -> None:
    answer = ask("why", "front desk")
    assert answer.returncode == 2
    assert "wanted a country code and digits" in answer.stderr


def test_live_check_says_what_calls_have_shown(log: Any, ask: Any) -> None:
    log("one", "incoming_call", "dial_completed_answered", "speak_completed", "call_completed")
    log("SIMULATED1", "incoming_call", "unknown_event", "dial_completed_without_status")
    answer = ask("live-check")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert is_narrow(answer.stdout)
    assert NUMBERS.search(answer.stdout) is None
    assert answer.stdout.startswith("real calls    1 (the newest, at most 1,000), 4 events\n")
    assert OF_NO_ACTION in answer.stdout
    plain = json.loads(ask("live-check", "--json").stdout)
    assert {each: plain[each] for each in ("calls", "calls_at_most", "events")} == {
        "calls": 1,
        "calls_at_most": 1_000,
        "events": 4,
    }
    assert plain["questions"][3] == {
        "unknown": "which words `dial_completed` uses for a dial that failed",
        "assumed": "every status but `answered` is a failure",
        "outcome": "nothing yet",
        "events": 0,
        "values": {},
        "to_do": "call a phone that is busy, and one that nobody answers",
    }


def test_live_check_ends_with_1_if_something_is_not_as_assumed(log: Any, ask: Any) -> None:
    log("one", "incoming_call", "dial_completed_without_status")
    answer = ask("live-check")
    assert answer.returncode == 1
    assert "look at this" in answer.stdout


def test_live_check_of_a_log_without_real_calls(log: Any, ask: Any) -> None:
    log("SIMULATED1", "incoming_call", "dial_completed_without_status")
    answer = ask("live-check", "--json")
    assert answer.returncode == 0
    outcomes = {each["outcome"] for each in json.loads(answer.stdout)["questions"]}
    assert outcomes == {"nothing yet", "no log can tell"}


def test_live_check_without_a_log_says_so(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKING_CALL_LOG", "")
    answer = ask("live-check")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == "live-check: call_log is empty, so no call is kept\n"
