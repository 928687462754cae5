"""`report`: it counts what the records of the calls say, and prints it within 80 columns."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from call_logs import all_rows, delivering, write_down
from databases import EACH_DATABASE, log_in_sqlite
from helpers import START, Clock, PrintedLines
from old_logs import make_old_log
from stored_calls import record_with
from zones import FIRST_MOMENTS, machine_in, needs_tzset

from call_log.store import Store
from records import CallRecord, Disposition
from routing import Reason
from tools.history.totals import Report, Spread, Tally

log_url = log_in_sqlite


DAY = timedelta(days=1)


def record(call: str, disposition: Disposition, hours: float, **values: Any) -> CallRecord:
    """Return the record of a call that began so many hours after the start."""
    began = START + timedelta(hours=hours)
    return record_with(reference_id=call, disposition=disposition, began=began, **values)


SOME = [
    record("a", Disposition.CONNECTED, -2, wait_s=8.0, talk_s=130.0),
    record("b", Disposition.REFUSED, -1.5, reason="not_listed"),
    record("c", Disposition.BUSY, -1, status="busy"),
    record("SIMULATED1", Disposition.CONNECTED, -1, wait_s=1.0, talk_s=1.0),
    record("before", Disposition.CONNECTED, -48, wait_s=1.0, talk_s=1.0),
]


@EACH_DATABASE
def test_the_report_as_json(store: Store, ask: Any) -> None:
    write_down(store, SOME)
    answer = ask("report", "--since", "yesterday", "--json")
    tally = {
        "calls": 3,
        "connected": 1,
        "declined": 0,
        "no_answer": 0,
        "busy": 1,
        "failed": 0,
        "refused": 1,
        "unknown": 0,
    }
    assert answer.returncode == 0
    assert json.loads(answer.stdout) == {
        "since": "2026-11-22T00:00:00.000Z",
        "until": "2026-11-23T12:00:00.000Z",
        "days": [{"day": "2026-11-23", **tally}],
        "total": tally,
        "refusals": {"not_listed": 1},
        "wait": {"mean_s": 8.0, "median_s": 8.0, "p95_s": 8.0},
        "talk": {"mean_s": 130.0, "median_s": 130.0, "p95_s": 130.0},
        "last_event": None,
        "simulated": 1,
        "in_progress": 0,
    }


SHOWN = """\
calls from 2026-11-16 12:00 to 2026-11-23 12:00 (UTC)
day         calls  connected  refused  busy  other
----------  -----  ---------  -------  ----  -----  --------
2026-11-21      1          1        0     0      0  ##
2026-11-22      0          0        0     0      0
2026-11-23      5          2        1     1      1  ########
all             6          3        1     1      1
refused     not_listed 1
other       1 in progress, 0 end unknown
wait        mean 0:03, median 0:01, 95 % within 0:08
talk        mean 0:44, median 0:01, 95 % within 2:10
simulated   1, counted
last event  2026-11-23 12:00, 0 min 1 s ago
""".replace("#", "\N{FULL BLOCK}")


@pytest.mark.parametrize("columns", ["", "80"])
def test_the_report_as_a_person_reads_it(
    store: Store, deliver: Any, ask: Any, columns: str, request: pytest.FixtureRequest
) -> None:
    write_down(store, SOME)
    deliver("live", "incoming_call")
    if columns:
        request.getfixturevalue("terminal")
    answer = ask("report", "--simulated")
    assert (answer.returncode, answer.stdout) == (0, SHOWN)


def counted(calls: int, of_each: int) -> Report:
    """Return a report of one day on which every column holds something."""
    tally = Tally(calls, *[of_each] * 7)
    spread = Spread(3_600.0, 3_600.0, 14_400.0)
    reasons = {str(reason): of_each for reason in Reason}
    return Report(((START.date(), tally),), tally, reasons, spread, spread, of_each, of_each)


IN_COLUMNS = """\
day         calls  connected  declined  refused  no answer  busy  failed  other
----------  -----  ---------  --------  -------  ---------  ----  ------  -----
2026-11-23     56          7         7        7          7     7       7     14
"""


@pytest.mark.usefixtures("terminal", "store")
@pytest.mark.parametrize(
    ("found", "days"),
    [
        (counted(56, 7), IN_COLUMNS),
        (
            counted(1_250_000, 150_000),
            "2026-11-23: calls 1,250,000, connected 150,000, declined 150,000, refused 150,000, no"
            " answer 150,000, busy 150,000, failed 150,000, other 350,000",
        ),
    ],
)
def test_where_no_bar_has_room_there_are_columns_and_where_these_have_none_words(
    ask: Any, monkeypatch: pytest.MonkeyPatch, found: Report, days: str
) -> None:
    monkeypatch.setattr("tools.commands.report.report", lambda *_, **__: found)
    answer = ask("report")
    assert " ".join(days.split()) in " ".join(answer.stdout.split())
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_a_call_of_long_ago_has_no_empty_day_before_it_and_not_thousands_behind(
    store: Store, ask: Any
) -> None:
    write_down(store, [record("a", Disposition.CONNECTED, -24)])
    shown = json.loads(ask("report", "--since", "1970-01-01", "--json").stdout)
    assert [day["day"] for day in shown["days"]] == ["2026-11-22", "2026-11-23"]
    store.execute("DELETE FROM call_record")
    write_down(store, [record("b", Disposition.CONNECTED, -24 * 365 * 50)])
    shown = json.loads(ask("report", "--since", "1970-01-01", "--json").stdout)
    assert [(day["day"], day["calls"]) for day in shown["days"]] == [("1976-12-05", 1)]


def test_a_log_that_is_partly_written_down_and_one_of_an_older_version_give_one_report(
    log_url: str, ask: Any, clock: Clock, lines: PrintedLines, tmp_path: Any, monkeypatch: Any
) -> None:
    with delivering(log_url, clock, lines) as deliver:
        deliver("ended", "incoming_call", "dial_completed_answered")
        deliver("ended", "call_completed", OUTBOUND="inbound")
        deliver("live", "incoming_call", "dial_completed_answered")
        deliver("refused", "incoming_call_not_listed")
        deliver("lost", "incoming_call", DIALLED="12025550102")
    old = f"sqlite:///{tmp_path}/old.db"
    make_old_log(old, *all_rows(log_url))
    words = "report", "--json", "--since", "2026-01-01"
    found = json.loads(ask(*words).stdout)
    assert found["total"] | {"in_progress": found["in_progress"]} == {
        "calls": 4,
        "connected": 1,
        "declined": 0,
        "no_answer": 0,
        "busy": 0,
        "failed": 0,
        "refused": 0,
        "unknown": 0,
        "in_progress": 3,
    }
    monkeypatch.setenv("MASKING_CALL_LOG", old)
    assert json.loads(ask(*words).stdout) == found


@needs_tzset
@pytest.mark.parametrize(("zone", "day", "first"), FIRST_MOMENTS)
def test_a_local_day_is_counted_from_its_first_moment(
    zone: str, day: str, first: str, deliver: Any, ask: Any, clock: Clock
) -> None:
    began = datetime.fromisoformat(first).replace(tzinfo=UTC)
    clock.utc = began - timedelta(seconds=1)
    deliver("before", "incoming_call")
    deliver("within", "incoming_call")
    deliver("too", "incoming_call")
    clock.utc = began + timedelta(hours=20)
    before = str(date.fromisoformat(day) - DAY)
    with machine_in(zone):
        words = "report", "--local", "--json", "--since"
        since, all_of_it = (json.loads(ask(*words, first).stdout) for first in (day, before))
        calls = ask("calls", "--local", "--since", day).stdout
        until = ask("calls", "--local", "--until", day).stdout
    counts = [[(day["day"], day["calls"]) for day in found["days"]] for found in (since, all_of_it)]
    assert counts == [[(day, 2)], [(before, 1), (day, 2)]]
    assert [name in calls for name in ("before", "within", "too")] == [False, True, True]
    assert [name in until for name in ("before", "within", "too")] == [True, False, False]


@needs_tzset
@pytest.mark.usefixtures("store")
def test_local_times_name_their_zone(ask: Any) -> None:
    with machine_in("TEST-05:30"):
        shown = ask("report", "--local").stdout
    assert "to 2026-11-23 17:30 (UTC+05:30)\n" in shown


def test_days_that_have_not_come_yet_are_not_shown(store: Store, ask: Any) -> None:
    write_down(store, SOME)
    shown = json.loads(ask("report", "--until", "9999-12-31", "--json").stdout)
    assert [day["day"] for day in shown["days"]] == ["2026-11-21", "2026-11-22", "2026-11-23"]


@pytest.mark.usefixtures("store")
def test_an_empty_log_has_a_report_of_no_call(ask: Any) -> None:
    answer = ask("report")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == (
        "calls from 2026-11-16 12:00 to 2026-11-23 12:00 (UTC)\nno call\n"
        "last event  none is in the log\n"
    )


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--since=", "wanted today, yesterday, a span before now"),
        ("--since soon", "wanted today, yesterday, a span before now"),
        ("--since 999999999d", "wanted today, yesterday, a span before now"),
        ("--since today --until 2d", "wanted a time before --until, got 'today' and '2d'"),
        ("--since today --until today", "wanted a time before --until, got 'today' and 'today'"),
        ("--since 2026-12-01", "wanted a time before now, got '2026-12-01'"),
    ],
)
def test_a_time_that_cannot_be_read_is_a_fault(words: str, said: str, ask: Any) -> None:
    answer = ask("report", *words.split())
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"report: --since: {said}")
