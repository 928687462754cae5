"""`report`: it counts what the records of the calls say, and prints it within 80 columns."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import facts
import pytest
from databases import EACH_DATABASE, log_in_sqlite
from helpers import START, Clock, payload
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zones import FIRST_MOMENTS, machine_in, needs_tzset

import events
from call_log import writer
from call_log.store import Row, Store, row_of, utc
from calls import Delivery, Timestamp
from commands import Dial, Hangup, NoAction
from phone import PhoneNumber
from records import CallRecord, Disposition, StoredEvent, record
from routing import Decision, Reason
from tools.commands.report import calls_of
from tools.history.totals import report

log_url = log_in_sqlite


IDS = ("a", "b", "c", "SIMULATED1")
DIAL = Decision(Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID)))
NOTHING = Decision(NoAction())
DAY = timedelta(days=1)


def refusal(reason: Reason) -> Decision:
    return Decision(Hangup(), reason)


class Said(NamedTuple):
    """What may be said to the server, and how it answers."""

    body: bytes
    decision: Decision


def dial_completed(status: str) -> Said:
    return Said(payload("dial_completed_answered").replace(b"answered", status.encode()), NOTHING)


INCOMING = Said(payload("incoming_call"), DIAL)
REFUSED = Said(payload("incoming_call_not_listed"), refusal(Reason.NOT_LISTED))
REPLAYED = Said(payload("incoming_call").replace(b": ", b":"), refusal(Reason.REPLAYED))
ANSWERED = dial_completed("answered")
BUSY = dial_completed("busy")
NO_ANSWER = dial_completed("no answer")
END = Said(b'{"event":"call_completed","reference_id":"%b","data":{}}', NOTHING)
END_WITH_ANSWER = Said(payload("call_completed"), NOTHING)
SAID = (
    INCOMING,
    REFUSED,
    REPLAYED,
    ANSWERED,
    BUSY,
    NO_ANSWER,
    Said(payload("dial_completed_without_status"), NOTHING),
    Said(payload("speak_completed_digit_1"), NOTHING),
    Said(payload("unknown_event"), NOTHING),
    END,
    END_WITH_ANSWER,
    Said(END_WITH_ANSWER.body.replace(b"outbound", b"inbound"), NOTHING),
    Said(END_WITH_ANSWER.body.replace(b'"2026-03-15T06:48:24.151"', b"null"), NOTHING),
)


class History(NamedTuple):
    """What was said of which call, so many seconds after what was said before."""

    call: str
    said: Said
    seconds: int


def row(each: History, time: datetime) -> Row:
    body = each.said.body.replace(facts.REFERENCE_ID.encode(), each.call.encode())
    body = body.replace(b"%b", each.call.encode())
    delivery = Delivery(events.parse(body), body, Timestamp(time, 0.0))
    return row_of(delivery, each.said.decision)


def rows(history: list[History]) -> list[Row]:
    """Return what is kept; only the first `incoming_call` of a call is answered as if it were."""
    time, kept, known = START, [], set()
    for each in history:
        time += timedelta(seconds=each.seconds)
        is_incoming = b"incoming_call" in each.said.body
        again = each.said._replace(decision=refusal(Reason.CONFLICTING))
        is_known = is_incoming and each.call in known
        kept.append(row(each._replace(said=again) if is_known else each, time))
        known |= {each.call} if is_incoming else set()
    return kept


@pytest.fixture
def store(log_url: str) -> Iterator[Store]:
    opened = writer.store_of(log_url)
    opened.open()
    yield opened
    opened.close()


def records(store: Store, now: datetime) -> list[CallRecord]:
    """Return the records of all calls but those of which only other events were heard."""
    found = []
    for call in IDS:
        kept = store.rows([call])
        heard = [
            StoredEvent(
                events.parse(each.body),
                each.wire,
                each.reason,
                utc(each.first_seen),
                utc(each.last_seen),
                each.deliveries,
                "",
            )
            for each in kept
        ]
        if any(each.event != "speak_completed" for each in kept):
            found.append(record(heard, now))
    return found


HISTORIES = st.lists(
    st.builds(
        History, st.sampled_from(IDS), st.sampled_from(SAID), st.sampled_from((0, 1, 20, 600))
    ),
    max_size=12,
)


@EACH_DATABASE
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES, minutes=st.integers(-1, 60))
def test_a_report_agrees_with_the_records_of_its_calls(
    history: list[History], minutes: int, store: Store
) -> None:
    """A call counts where it began, and nothing in it contradicts itself."""
    store.purge(IDS)
    for each in rows(consistent(history)):
        store.keep([each])
    since, until = START + timedelta(minutes=minutes), START + DAY
    counted = report(calls_of(store, since), since=since, until=until, with_simulated=True)
    within = [each for each in records(store, until) if first_seen(store, each) >= since]
    ends = Counter(each.disposition for each in within)
    assert [*vars_of(counted.total)] == [
        len(within),
        ends[Disposition.ANSWERED],
        ends[Disposition.REFUSED],
        ends[Disposition.FAILED],
        ends[Disposition.NO_ANSWER],
        ends[Disposition.UNKNOWN],
    ]
    reasons = Counter(str(each.reason) for each in within if each.disposition == "refused")
    assert counted.refusals == reasons
    assert sum(tally.calls for _, tally in counted.days) == len(within)


def consistent(history: list[History]) -> list[History]:
    """Leave out the ends that tell of an answer where the dial failed."""
    failed = {each.call for each in history if each.said in (BUSY, NO_ANSWER)}
    return [each for each in history if each.said != END_WITH_ANSWER or each.call not in failed]


def vars_of(tally: Any) -> Iterator[int]:
    for name in tally.__slots__:
        yield getattr(tally, name)


def first_seen(store: Store, call: CallRecord) -> datetime:
    """Return when the server heard of a call: not TeleSign's own times, as in its record."""
    kept = [each for each in store.rows([call.reference_id]) if each.event != "speak_completed"]
    incoming = [each.first_seen for each in kept if each.event == "incoming_call"]
    return utc(min(incoming or [each.first_seen for each in kept]))


def test_a_dial_that_failed_counts_as_failed_though_the_end_tells_of_an_answer(
    store: Store,
) -> None:
    store.keep(rows([History("a", each, 1) for each in (INCOMING, BUSY, END_WITH_ANSWER)]))
    assert [each.disposition for each in calls_of(store, START)] == [Disposition.FAILED]
    assert [each.disposition for each in records(store, START)] == [Disposition.ANSWERED]


def test_wait_and_talk_are_those_of_the_records_where_telesign_tells_no_times(
    store: Store,
) -> None:
    history = [History("a", INCOMING, 0), History("a", ANSWERED, 7), History("a", END, 95)]
    store.keep(rows(history))
    (call,) = records(store, START + DAY)
    assert call.answered is not None
    (outline,) = calls_of(store, START)
    assert (outline.wait, outline.talk) == (7_000_000, 95_000_000)
    assert (call.answered - call.created, call.talk_s) == (timedelta(seconds=7), 95.0)


def test_a_replay_of_an_older_call_is_no_call_of_today(store: Store) -> None:
    replay = History("a", REPLAYED, 9 * 86_400)
    store.keep(rows([History("a", INCOMING, 0), replay]))
    counted = report(
        calls_of(store, START + 5 * DAY), since=START + 5 * DAY, until=START + 10 * DAY
    )
    assert counted.total.calls == 0


TODAY = [
    History("a", INCOMING, -7200),
    History("a", ANSWERED, 8),
    History("a", END, 130),
    History("b", REFUSED, 60),
    History("c", INCOMING, 60),
    History("c", BUSY, 6),
    History("SIMULATED1", INCOMING, 60),
]


@EACH_DATABASE
def test_the_report_as_json(store: Store, ask: Any) -> None:
    store.keep(rows(TODAY))
    answer = ask("report", "--since", "yesterday", "--json")
    tally = {"calls": 3, "connected": 1, "refused": 1, "failed": 1, "no_answer": 0, "other": 0}
    assert answer.returncode == 0
    assert json.loads(answer.stdout) == {
        "since": "2026-11-22T00:00:00.000Z",
        "until": "2026-11-23T12:00:00.000Z",
        "days": [{"day": "2026-11-23", **tally}],
        "total": tally,
        "refusals": {"not_listed": 1},
        "wait": {"median_s": 8.0, "p95_s": 8.0},
        "talk": {"median_s": 130.0, "p95_s": 130.0},
        "last_event": "2026-11-23T10:04:24.000Z",
        "simulated": 1,
    }


def test_the_report_as_a_person_reads_it(store: Store, ask: Any) -> None:
    earlier = [History("d", INCOMING, -86_400 - 7_200), History("d", ANSWERED, 3)]
    store.keep(rows(earlier) + rows(TODAY))
    answer = ask("report", "--simulated")
    assert (answer.returncode, answer.stdout) == (0, SHOWN)
    assert max(map(len, SHOWN.splitlines())) <= 80


SHOWN = """\
calls from 2026-11-16 12:00 to 2026-11-23 12:00 (UTC)
day           calls  connected  refused   failed  no answer    other
----------  -------  ---------  -------  -------  ---------  -------  ----------
2026-11-22        1          1        0        0          0        0  ###
2026-11-23        4          1        1        1          0        1  ##########
all               5          2        1        1          0        1
refused     not_listed 1
wait        median 0:03, 95 % within 0:08
talk        median 2:10, 95 % within 2:10
simulated   1, counted
last event  2026-11-23 10:05, 1 h 54 min ago
""".replace("#", "\N{FULL BLOCK}")


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
        since, all_of_it = (json.loads(ask(*words, each).stdout) for each in (day, before))
        calls = ask("calls", "--local", "--since", day).stdout
        until = ask("calls", "--local", "--until", day).stdout
    counts = [[(each["day"], each["calls"]) for each in one["days"]] for one in (since, all_of_it)]
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
    store.keep(rows(TODAY))
    shown = json.loads(ask("report", "--until", "9999-12-31", "--json").stdout)
    assert [each["day"] for each in shown["days"]] == ["2026-11-23"]


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
    assert answer.stderr.startswith(f"report: fix these first:\n  --since: {said}")
