"""`calls` and `forget`: what the log tells, to whom, and that what is forgotten is gone."""

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import DIAL, rows
from helpers import ROOT, START, Clock, Lines, eventually, live, payload, settings_of, web
from processes import ServerProcess

import events
import phone
from app import create_app
from call_log import purge, writer
from call_log.records import finds
from call_log.store import Row, microseconds, row_of
from call_log.writer import CallLog
from calls import Delivery
from cli import main
from commands import Hangup, NoAction
from routing import Decision, Reason

CALLS = "abcdefgh"


def run(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, ROOT / "app.py", *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def of(call: str, name: str) -> bytes:
    return payload(name).replace(facts.REFERENCE_ID.encode(), call.encode())


@pytest.fixture
def log(log_url: str, clock: Clock, lines: Lines) -> Iterator[Any]:
    """Return a function that delivers events, and keeps them in the log of this test."""
    kept = CallLog(writer.store_of(log_url), print, keep_days=3650, clock=clock)
    app = web(create_app(settings_of(), live(facts.ALLOW_LIST), kept, lines.journal, clock=clock))

    def deliver(call: str, *names: str) -> None:
        for name in names:
            app.post("/", of(call, name), content_type="application/json")
            clock.sleep(1)

    yield deliver
    kept.close()


@pytest.fixture
def ask(
    log_url: str,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Return a function that runs the command line in this process, on the log of this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "now", clock)
    monkeypatch.setenv("MASKING_CALL_LOG", log_url)

    def ask(*words: str) -> "subprocess.CompletedProcess[str]":
        capsys.readouterr()
        try:
            status = main.main(words)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return subprocess.CompletedProcess(words, status, *capsys.readouterr())

    return ask


def ids(answer: "subprocess.CompletedProcess[str]") -> list[str]:
    return [each["reference_id"] for each in json.loads(answer.stdout)]


def some_calls(log: Any, clock: Clock) -> None:
    log("answered", "incoming_call", "dial_completed_answered", "speak_completed_digit_1")
    log("answered", "call_completed")
    log("busy", "incoming_call", "dial_completed_busy")
    clock.sleep(86_400)
    log("refused", "incoming_call_not_listed")
    log("end-only", "call_completed")
    log("=1+1", "unknown_event")


def test_the_last_calls_as_json(log: Any, ask: Any, clock: Clock) -> None:
    some_calls(log, clock)
    answer = ask("calls", "--json")
    assert answer.returncode == 0
    assert ids(answer) == ["=1+1", "end-only", "refused", "busy", "answered"]
    assert json.loads(answer.stdout)[-1] == {
        "reference_id": "answered",
        "state": "ended",
        "disposition": "answered",
        "caller": "...0123",
        "dialled": "...0100",
        "destination": "...0111",
        "masking_id": facts.MASKING_ID,
        "decision": "dial",
        "reason": None,
        "created": "2026-03-15T06:48:22.151Z",
        "answered": "2026-03-15T06:48:24.151Z",
        "ended": "2026-03-15T06:48:28.151Z",
        "duration_s": 6,
        "talk_s": 4.0,
        "collected": "*",
        "recordings": [],
        "deliveries": 4,
        "legs": [
            {
                "direction": "outbound",
                "from_number": "...0199",
                "to_number": "...0111",
                "created": "2026-03-15T06:48:22.151Z",
                "answered": "2026-03-15T06:48:24.151Z",
                "ended": "2026-03-15T06:48:28.151Z",
                "duration_s": 6,
                "recording": None,
            }
        ],
    }


def test_the_last_calls_as_a_table(log: Any, ask: Any) -> None:
    log("one", "incoming_call", "dial_completed_answered")
    log("two", "incoming_call_not_listed")
    assert ask("calls").stdout.splitlines() == [
        "created (UTC)        caller   dialled  reached  who saw      disposition  reason    "
        "  talk         reference id",
        "-------------------  -------  -------  -------  -----------  -----------  ----------"
        "  -----------  ------------",
        "2026-11-23 12:00:02  ...0123  ...0177                        refused      not_listed"
        "  in progress  two",
        "2026-11-23 12:00:00  ...0123  ...0100  ...0111  12025550199  answered               "
        "  in progress  one",
    ]


def test_numbers_are_shown_in_full_only_when_asked_for(log: Any, ask: Any, clock: Clock) -> None:
    some_calls(log, clock)
    hidden = {facts.CALLER, facts.DIALLED, facts.DESTINATION}
    forms = ["", "answered --json"]
    for form in forms:
        words = form.split()
        assert not any(number in ask("calls", *words).stdout for number in hidden), form
        full = ask("calls", "--full", *words).stdout
        assert all(number in full for number in hidden), form


def keep(url: str, rows: list[Row]) -> None:
    store = writer.store_of(url)
    store.open()
    with store.transaction():
        store.keep(rows)
    store.close()


CARD = "4012888888881881"
SAID = "+1 (202) 555-0142"  # by TeleSign, where nobody expects a number
TELLING = [
    {"event": f"moved_to_{SAID}", "data": {"who": SAID}},
    {"event": "dial_completed", "data": {"status": f"moved to {SAID}"}},
    {"event": "speak_completed", "data": {"collected_digits": CARD}},
    {"event": "play_completed", "data": {"collected_digits": "42"}},
    {
        "event": "call_completed",
        "data": {
            "created_on_utc": "2026-03-15T06:48:22",
            "direction": f"from {SAID}",
            "to": SAID,
            "from": SAID,
            "duration": 12025550142,
            "audio_recording_file_name": f"0e12025550142f_{SAID}_①②⓪②⑤⑤⑤⓪①④②_1773557302.wav",
        },
    },
]


@pytest.fixture
def telling(log_url: str, clock: Clock) -> str:
    """The id of a call whose every text holds a number."""
    bodies = [json.dumps({"reference_id": "telling", **each}).encode() for each in TELLING]
    deliveries = [Delivery(events.parse(body), body, clock()) for body in bodies]
    keep(log_url, [row_of(each, Decision(NoAction())) for each in deliveries])
    return "telling"


def decoded(text: str) -> str:
    """Return the digits of a text, whatever is between them, and JSON's escapes undone."""
    text = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)
    return "".join(str(unicodedata.digit(each)) for each in text if each.isdigit())


@pytest.mark.parametrize("form", ["", "--json", "--csv"])
@pytest.mark.parametrize("which", [[], ["telling"]], ids=["the last calls", "one call"])
def test_no_text_of_telesign_s_shows_a_number_unless_asked_for(
    telling: str, ask: Any, form: str, which: list[str]
) -> None:
    words = [*which, *form.split()]
    shown = decoded(ask("calls", *words).stdout)
    for hidden in ("555014", "888888", "177355"):
        assert hidden not in shown
    full = ask("calls", "--full", *words).stdout
    assert (SAID in full and CARD in full) == (form != "" or which != [])
    assert telling in full


def test_what_is_hidden_of_a_call_still_shows_its_shape(telling: str, ask: Any) -> None:
    (call,) = json.loads(ask("calls", telling, "--json").stdout)
    recording = "*e***********f_+* (***) ***-****_***********_******7302.wav"
    assert call["recordings"] == [recording]
    assert call["collected"] == "*" * len(CARD + "42")
    assert call["duration_s"] is None
    assert [each["event"] for each in call["events"]] == [
        "moved_to_+* (***) ***-0142",
        *(each["event"] for each in TELLING[1:]),
    ]
    (leg,) = call["legs"]
    assert leg["direction"] == "from +* (***) ***-0142"
    assert leg["from_number"] == leg["to_number"] == "...0142"
    assert leg["recording"] == recording
    (row,) = csv.DictReader(io.StringIO(ask("calls", telling, "--csv").stdout))
    assert row["recordings"] == recording
    assert row["collected"] == call["collected"]
    drawn = ask("calls", telling).stdout
    assert f"collected      {call['collected']}" in drawn
    assert "from +* (***) ***-0142, ...0142 to ...0142" in drawn


def test_one_call_as_a_ladder_and_its_record(log: Any, ask: Any) -> None:
    log("one", "incoming_call", "incoming_call", "dial_completed_busy")
    shown = ask("calls", "one").stdout
    told = [line.replace("|", " ").replace("│", " ").split() for line in shown.splitlines()]
    words = [" ".join(line) for line in told]
    assert words[0] == "Caller TeleSign Server Called"
    for expected in (
        "...0123 dials",
        "incoming_call (2",
        "last 12:00:01)",
        "rings ...0111,",
        "busy",
        "12:00:02",
        "disposition failed",
        "masking id 12025550199",
        "deliveries 3",
    ):
        assert any(expected in line for line in words), (expected, shown)
    (drawn,) = json.loads(ask("calls", "one", "--json", "--full").stdout)
    assert [(each["event"], each["deliveries"]) for each in drawn["events"]] == [
        ("incoming_call", 2),
        ("dial_completed", 1),
    ]
    assert drawn["events"][0]["answer"] == facts.DIAL
    assert drawn["events"][0]["body"] == json.loads(of("one", "incoming_call"))


def test_the_calls_as_csv_that_no_spreadsheet_calculates(log: Any, ask: Any, clock: Clock) -> None:
    some_calls(log, clock)
    for call in "+1", "-1", "@sum":
        log(call, "incoming_call_not_listed")
    table = list(csv.DictReader(io.StringIO(ask("calls", "--csv").stdout)))
    assert [row["reference_id"] for row in table][:4] == ["'@sum", "'-1", "'+1", "'=1+1"]
    assert table[-1]["disposition"] == "answered"
    assert table[-1]["talk_s"] == "4.0"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("--last 2", ["=1+1", "end-only"]),
        ("--disposition answered", ["end-only", "answered"]),
        ("--disposition refused", ["refused"]),
        ("--disposition failed", ["busy"]),
        ("--number 12025550177", ["refused"]),
        ("--number +1(202)555-0123", ["refused", "busy", "answered"]),
        ("--number 12025550111", ["=1+1", "end-only", "busy", "answered"]),
        ("--number 12025550142", []),
        ("--since 2026-11-24", ["=1+1", "refused"]),
        ("--until 2026-11-23", ["end-only", "answered"]),
        ("--since 2026-11-24T13:00:00+01:00 --last 1", ["=1+1"]),
    ],
)
def test_filters(log: Any, ask: Any, clock: Clock, words: str, found: list[str]) -> None:
    some_calls(log, clock)
    assert ids(ask("calls", "--json", *words.split())) == found


def older(answer: "subprocess.CompletedProcess[str]") -> str:
    return answer.stderr.removesuffix("; a larger --last shows more\n").removeprefix("calls: ")


@pytest.fixture
def many(log_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-seven calls, of which every third was refused, and little patience to count more."""
    rows = []
    for n in range(67):
        body = of(f"call-{n}", "incoming_call")
        decision = DIAL if n % 3 else Decision(Hangup(), Reason.NOT_LISTED)
        rows.append(row_of(Delivery(events.parse(body), body, clock()), decision))
        clock.sleep(1)
    keep(log_url, rows)
    monkeypatch.setattr("cli.calls._MAX_COUNTED", 20)
    monkeypatch.setattr("cli.calls._MAX_FOLDED", 20)
    monkeypatch.setattr("cli.calls._PAGE", 7)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("words", "shown", "left_out"),
    [
        ("", 50, "17 older call(s) are left out"),
        ("--last 46", 46, "at least 20 older calls are left out"),
        ("--last 47", 47, "20 older call(s) are left out"),
        ("--last 66", 66, "1 older call(s) are left out"),
        ("--last 67", 67, ""),
        ("--last 999", 67, ""),
        ("--since 2026-11-23", 67, ""),
        ("--until 2026-11-24", 67, ""),
        ("--number 12025550123", 67, ""),
        ("--disposition refused", 23, ""),
        ("--since 2026-11-23 --last 50", 50, "17 older call(s) are left out"),
        ("--number 12025550123 --last 1", 1, "at least 20 older calls are left out"),
        ("--disposition refused --last 20", 20, "3 older call(s) are left out"),
        ("--disposition refused --last 1", 1, "at least 6 older calls are left out"),
        ("--disposition refused --last 23", 23, ""),
        ("--since 2026-11-23T12:01:06 --last 1", 1, "older calls were not looked at"),
        ("--since 2026-11-23T12:01:06", 1, ""),
        ("--since 2026-11-25", 0, ""),
    ],
)
def test_what_is_left_out_is_said(ask: Any, words: str, shown: int, left_out: str) -> None:
    answer = ask("calls", "--json", *words.split())
    assert (
        ids(answer)
        == [f"call-{n}" for n in reversed(range(67)) if "refused" not in words or n % 3 == 0][
            :shown
        ]
    )
    assert older(answer) == left_out


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("form", ["", "--json", "--csv"])
def test_every_form_shows_all_that_pass_a_filter_and_what_is_left_out_apart(
    ask: Any, form: str
) -> None:
    for words, shown in (([], 50), (["--since", "2026-11-23"], 67), (["--last", "3"], 3)):
        answer = ask("calls", *form.split(), *words)
        assert sum(f"call-{n}" in answer.stdout for n in range(67)) >= shown
        assert len(re.findall(r"call-[0-9]+", answer.stdout)) == shown
        assert "left out" not in answer.stdout
        assert ("left out" in answer.stderr) == (shown < 67)


@pytest.mark.usefixtures("log")
def test_an_empty_log_says_so(ask: Any) -> None:
    assert ask("calls").stdout == "no call is in the log, or none that passes the filters\n"
    assert ask("calls", "--json").stdout == "[]\n"


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["calls", "nowhere"], "calls: wanted the whole reference id of a call in the log, got"),
        (["calls", "--last", "-5"], "wanted a whole number, 1 to"),
        (["calls", "--last", "9" * 30], "wanted a whole number, 1 to"),
        (["calls", "--last", "1" + "0" * 20], "wanted a whole number, 1 to"),
        (["calls", "--last", "0"], "wanted a whole number, 1 to"),
        (["forget", "2025550123"], "forget: wanted a number in the log, with its country code"),
        (["calls", "--since", "soon"], "wanted a date or time such as"),
        (["calls", "--number", "12"], "wanted a country code and digits"),
        (["forget", "12"], "forget: wanted a country code and digits"),
    ],
)
def test_what_is_asked_wrongly_is_told(ask: Any, words: list[str], told: str) -> None:
    answer = ask(*words)
    assert answer.returncode in (1, 2)
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", [["calls"], ["forget", facts.CALLER]])
def test_without_a_log_both_say_so(tmp_path: Path, command: list[str]) -> None:
    off = run(tmp_path, *command, MASKING_CALL_LOG="")
    assert (off.returncode, off.stdout) == (1, "")
    assert off.stderr == "call_log: wanted a log to look into, got an empty setting\n"


def test_reading_needs_a_log_and_makes_none(tmp_path: Path) -> None:
    none = run(tmp_path, "calls")
    assert none.returncode == 1
    assert none.stderr == f"calls: {tmp_path}/calls.db: there is no call log yet\n"
    none = run(tmp_path, "forget", facts.CALLER)
    assert none.stderr == f"forget: {tmp_path}/calls.db: there is no call log yet\n"
    assert list(tmp_path.iterdir()) == []


def test_the_log_is_read_while_the_server_writes(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        server.deliver(of("one", "incoming_call"))
        assert ids(run(tmp_path, "calls", "--json")) == ["one"]
        server.deliver(of("two", "incoming_call"))
        assert ids(run(tmp_path, "calls", "--json")) == ["two", "one"]


def test_a_number_is_forgotten_however_it_was_written(
    log: Any, ask: Any, clock: Clock, log_url: str
) -> None:
    some_calls(log, clock)
    answer = ask("forget", "+1 202 555 0123")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "3 call(s) with ...0123 are forgotten\n"
    assert ids(ask("calls", "--json")) == ["=1+1", "end-only"]
    store = writer.store_of(log_url)
    store.open(write=False)
    assert store.purged(["answered", "busy", "refused", "end-only"]) == {
        "answered",
        "busy",
        "refused",
    }
    store.close()
    log("answered", "incoming_call")
    (row,) = rows(log_url, "answered")
    assert row.reason == "replayed"


@pytest.mark.parametrize(
    "written",
    [
        '"+1 (202) 555-0123"',
        '"1-202-555-0123"',
        '"2025550123"',
        "12025550123",
        '"001 (202) 555-0123"',
        '"+1\\u00a0202\\u00a0555\\u00a00123"',
        '"0 202 555 0123"',
        '"\\u0031202555\\u00301\\u00323"',
    ],
)
def test_every_way_to_write_a_number_is_found(log_url: str, written: str) -> None:
    body = b'{"event":"x","reference_id":"one","data":{"who":%s}}' % written.encode()
    store = writer.store_of(log_url)
    store.open()
    row = Row("one", "x", b"1", None, None, None, "{}", None, 1, 1, 1, body)
    with store.transaction(["one"]):
        store.keep([row, row._replace(reference_id="two", body=body.replace(b"23", b"24"))])
    number = phone.parse(facts.CALLER)
    assert store.calls_where(finds(number, "1")) == {"one"}
    store.close()


def in_the_files(folder: Path, number: bytes) -> bool:
    return any(number in path.read_bytes() for path in folder.glob("calls.db*"))


def test_what_is_forgotten_is_nowhere_in_the_files(tmp_path: Path) -> None:
    """Also between other calls, in pages that were split, and while the server runs."""
    with ServerProcess(tmp_path) as server:
        for n in range(600):
            caller = f"1202555{n % 3 + 1:02}{n % 100:02}".encode()
            server.deliver(of(f"call-{n}", "incoming_call").replace(b"12025550123", caller))
        assert in_the_files(tmp_path, b"12025550142")
        ended = run(tmp_path, "forget", "12025550142")
        assert ended.stderr == ""
        assert not in_the_files(tmp_path, b"12025550142")
        assert in_the_files(tmp_path, b"12025550143")


@pytest.mark.faults
def test_what_is_purged_is_nowhere_in_the_files(
    tmp_path: Path, clock: Clock, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("call_log.writer._TICK_S", 0.01)  # fifty calls are purged at each
    numbers = [f"1202555{n:04}" for n in range(100, 200)]
    path = tmp_path / "calls.db"
    store = writer.store_of(f"sqlite:///{path}")
    log = CallLog(store, print, keep_days=30, clock=clock)
    app = web(create_app(settings_of(), live(facts.ALLOW_LIST), log, lines.journal, clock=clock))
    for n in range(3000):
        body = of(f"call-{n * 7919 % 3001}", "incoming_call")
        body = body.replace(b"12025550123", numbers[n % 100].encode())
        app.post("/", body, content_type="application/json")
        if n == 1500:
            clock.sleep(10 * 86_400)
    clock.sleep(21 * 86_400)

    def purged() -> bool:
        clock.sleep(1)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (left,) = connection.execute("SELECT count(*) FROM call_event").fetchone()
        return bool(left == 1499)

    assert eventually(purged, 20)
    clock.sleep(30 * 86_400)

    def gone() -> bool:
        clock.sleep(1)
        return not in_the_files(tmp_path, b"1202555")

    assert eventually(gone, 20)
    log.close()
    assert not in_the_files(tmp_path, b"1202555")


@pytest.mark.faults
def test_what_is_purged_between_calls_that_stay_is_nowhere_in_the_file(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rows move from page to page, SQLite leaves copies of them behind."""
    monkeypatch.setattr("call_log.writer._TICK_S", 0.01)
    store = writer.store_of(f"sqlite:///{tmp_path / 'calls.db'}")
    store.open()

    def row(n: int) -> Row:
        is_old = n % 3 > 0
        number = b"12025550142" if is_old else b"12025550123"
        body = b'{"from":"%s"}' % number + b" " * (n * 7919 % 100)
        seen = microseconds(clock().utc)
        if is_old:
            seen -= 40 * 86_400_000_000
        return Row(f"call-{n}", "x", b"%d" % n, None, None, None, "{}", None, seen, seen, 1, body)

    with store.transaction():
        store.keep([row(n) for n in range(3_000)])
    store.close()
    assert in_the_files(tmp_path, b"12025550142")
    log = CallLog(store, print, keep_days=30, clock=clock)
    clock.sleep(purge.MIN_TRUSTED_S)

    def gone() -> bool:
        clock.sleep(1)
        return not in_the_files(tmp_path, b"12025550142")

    assert eventually(gone, 20)
    log.close()
    assert not in_the_files(tmp_path, b"12025550142")
    assert in_the_files(tmp_path, b"12025550123")


@pytest.mark.faults
def test_a_million_events_are_looked_through_at_once(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    store = writer.store_of(f"sqlite:///{path}")
    store.open()
    body = payload("incoming_call")
    reply = json.dumps(facts.DIAL)

    def made(n: int) -> Row:
        seen = microseconds(START) + n
        call = f"call-{n // 4:032}"
        return Row(
            call, f"event-{n % 4}", b"%d" % n, None, None, None, reply, None, seen, seen, 1, body
        )

    store._execute("PRAGMA synchronous = OFF")
    with store.transaction():
        for begin in range(0, 1_000_000, 10_000):
            store.keep([made(n) for n in range(begin, begin + 10_000)])
    store.close()
    for words, left_out in [
        ([], "at least 10,000 older calls are left out"),
        (["--since", "2026-11-01", "--last", "50"], "at least 1,000 older calls are left out"),
        ([f"call-{777:032}"], ""),
    ]:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            ended = run(tmp_path, "calls", "--json", *words)
            times.append(time.perf_counter() - started)
        assert len(ids(ended)) == (50 if left_out else 1)
        assert older(ended) == left_out
        assert min(times) < 0.5, times  # of which the start of Python is most
