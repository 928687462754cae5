"""`calls --missed`: who must be called back, in every form, and what it is not combined with."""

import csv
import io
import json
from typing import Any

import facts
import pytest
from command_line import ids
from databases import EACH_DATABASE, log_in_sqlite
from helpers import Clock

log_url = log_in_sqlite

ENDED_BUSY = ("incoming_call", "dial_completed_busy", "call_without_legs")
RIDER_TO_DRIVER = {
    "DIALLED": facts.PAIR_NUMBER,
    "DESTINATION": facts.DRIVER,
    "MASKING_ID": facts.PAIR_NUMBER,
}
DRIVER_TO_RIDER = RIDER_TO_DRIVER | {"CALLER": facts.DRIVER, "DESTINATION": facts.RIDER}


def deliver_missed_calls(deliver: Any, clock: Clock) -> None:
    """Two calls for the front desk, one that is refused, and one that is returned."""
    deliver("desk-1", *ENDED_BUSY)
    deliver("driver-1", *ENDED_BUSY, **DRIVER_TO_RIDER)
    clock.sleep(60)
    deliver("desk-2", *ENDED_BUSY)
    deliver("driver-2", "incoming_call", "dial_completed_answered", **RIDER_TO_DRIVER)
    clock.sleep(60)
    deliver("expired-1", "incoming_call", "call_without_legs", DIALLED="12025550102")
    deliver("SIMULATED-1", *ENDED_BUSY, CALLER=facts.STRANGER)


TABLE = """\
UTC          id ends   caller   dialled  wait  times  what became of it
-----------  --------  -------  -------  ----  -----  --------------------------
11-23 12:02  xpired-1  ...0123  ...0102        1      refused: expired
11-23 12:01  desk-2    ...0123  ...0100        2      busy: ...0111 saw
                                                      12025550199
"""


@EACH_DATABASE
@pytest.mark.usefixtures("terminal")
def test_who_must_be_called_back_as_a_table(deliver: Any, ask: Any, clock: Clock) -> None:
    deliver_missed_calls(deliver, clock)
    assert ask("calls", "--missed").stdout == TABLE


@EACH_DATABASE
def test_who_must_be_called_back_as_json(deliver: Any, ask: Any, clock: Clock) -> None:
    deliver_missed_calls(deliver, clock)
    answer = ask("calls", "--missed", "--json")
    assert (answer.returncode, answer.stderr) == (0, "")
    refused, busy = json.loads(answer.stdout)
    nothing = dict.fromkeys(("destination", "masking_id", "row", "external_id", "status", "talk_s"))
    assert refused == nothing | {
        "reference_id": "expired-1",
        "simulated": False,
        "disposition": "refused",
        "began": "2026-11-23T12:02:11.000Z",
        "ended": "2026-11-23T12:02:12.000Z",
        "caller": "...0123",
        "dialled": "...0102",
        "reason": "expired",
        "wait_s": None,
        "number": refused["number"],
        "times": 1,
    }
    assert busy == nothing | {
        "reference_id": "desk-2",
        "simulated": False,
        "disposition": "busy",
        "began": "2026-11-23T12:01:06.000Z",
        "ended": "2026-11-23T12:01:08.000Z",
        "caller": "...0123",
        "dialled": "...0100",
        "destination": "...0111",
        "masking_id": facts.MASKING_ID,
        "row": 2,
        "reason": None,
        "status": "busy",
        "wait_s": None,
        "number": busy["number"],
        "times": 2,
    }
    assert list(busy)[-1] == "times"


CSV = """\
reference_id,simulated,disposition,began,ended,caller,dialled,destination,masking_id,row,\
external_id,reason,status,wait_s,talk_s,number,times
expired-1,false,refused,2026-11-23T12:02:11.000Z,2026-11-23T12:02:12.000Z,12025550123,12025550102,\
,,,,expired,,,,N,1
desk-2,false,busy,2026-11-23T12:01:06.000Z,2026-11-23T12:01:08.000Z,12025550123,12025550100,\
12025550111,12025550199,2,,,busy,,,N,2
"""


@EACH_DATABASE
def test_who_must_be_called_back_as_csv(deliver: Any, ask: Any, clock: Clock) -> None:
    deliver_missed_calls(deliver, clock)
    shown = ask("calls", "--missed", "--csv", "--full").stdout
    rows = list(csv.DictReader(io.StringIO(shown)))
    for row in rows:
        shown = shown.replace(f",{row['number']},{row['times']}\n", f",N,{row['times']}\n")
    assert shown == CSV


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", [("expired-1", 1), ("desk-2", 2)]),
        ("--since today", [("expired-1", 1), ("desk-2", 2)]),
        ("--since 12:01", [("expired-1", 1), ("desk-2", 1)]),
        ("--until 12:01", [("desk-1", 1)]),
        ("--last 1", [("expired-1", 1)]),
        ("--number 12025550111", [("desk-2", 2)]),
        ("--number 0102", [("expired-1", 1)]),
        ("--number 0145", []),
        ("--simulated", [("SIMULATED-1", 1), ("expired-1", 1), ("desk-2", 2)]),
    ],
)
def test_filters_leave_out_missed_calls_but_no_connection(
    deliver: Any, ask: Any, clock: Clock, words: str, found: list[tuple[str, int]]
) -> None:
    deliver_missed_calls(deliver, clock)
    shown = json.loads(ask("calls", "--missed", "--json", *words.split()).stdout)
    assert [(call["reference_id"], call["times"]) for call in shown] == found


def test_how_many_pass_is_said_if_fewer_are_shown(deliver: Any, ask: Any, clock: Clock) -> None:
    deliver_missed_calls(deliver, clock)
    more = "calls: 2 missed calls pass, the last 1 are shown; a larger --last shows more\n"
    for form in ([], ["--json"], ["--csv"]):
        assert ask("calls", "--missed", "--last", "1", *form).stderr == more
        assert ask("calls", "--missed", "--last", "2", *form).stderr == ""


def test_all_of_many_missed_calls_are_shown_in_their_order(
    deliver: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.history.stored._PAGE", 2)
    callers = [f"120255501{number:02}" for number in range(30, 35)]
    for caller in callers:
        deliver(caller, *ENDED_BUSY, CALLER=caller)
    assert ids(ask("calls", "--missed", "--json")) == callers[::-1]


def test_nobody_to_call_back_is_said_to_be_so(deliver: Any, ask: Any) -> None:
    deliver("talks", "incoming_call", "dial_completed_answered")
    assert ask("calls", "--missed").stdout == (
        "no missed calls: none is in the log without a later connection, or none passes"
        " (--simulated: simulated ones as well)\n"
    )
    assert ask("calls", "--missed", "--json").stdout == "[]\n"
    assert ask("calls", "--missed", "--csv").stdout == CSV.splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    ("words", "got"),
    [
        (["desk-1"], "REFERENCE_ID"),
        ([""], "REFERENCE_ID"),
        (["--live"], "--live"),
        (["--disposition", "busy"], "--disposition"),
        (["--reason", "expired", "--live"], "--live, --reason"),
        (["--follow"], "--follow"),
    ],
)
def test_what_says_itself_what_became_of_a_call_is_not_asked_for_at_once(
    ask: Any, words: list[str], got: str
) -> None:
    wanted = "--missed: wanted without REFERENCE_ID, --live, --disposition, --reason, --follow"
    message = f"{wanted}, got it with {got}"
    answer = ask("calls", "--missed", *words)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == f"calls: {message}\n"
    answer = ask("calls", "--missed", "--json", *words)
    assert (answer.returncode, answer.stderr) == (2, "")
    assert json.loads(answer.stdout) == {"error": "bad_arguments", "message": message}
