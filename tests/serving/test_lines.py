"""The lines of the server: what they say, as text and as JSON, and that no output holds us up."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import facts
import pytest
from helpers import ROOT, START, MakeApp, PrintedLines, eventually, payload, post

import events
from calls import UNKNOWN, CallState, Decision
from commands import Dial, Hangup, NoAction
from events import Event, IncomingCall
from phone import PhoneNumber
from routing import Reason
from serving.lines import _ALARM, ERROR, MAX_WAITING_LINES, Lines, write_stderr

NUMBER = "12025550123"
OWN_DIAL = Dial(PhoneNumber(facts.DESTINATION), PhoneNumber(facts.MASKING_ID))
DIAL = Decision(OWN_DIAL)
NO_ACTION = Decision(NoAction())
HANGUP = Decision(Hangup())


def event_of(name: str, old: bytes = b"", new: bytes = b"") -> Event:
    """Return the event of a payload, with a part of it replaced."""
    return events.parse(payload(name).replace(old, new))


def call_of(incoming: Event) -> CallState:
    assert isinstance(incoming, IncomingCall)
    return CallState(incoming=incoming)


INCOMING = event_of("incoming_call")
END = event_of("call_completed")


def log_end(lines: Lines) -> None:
    lines.event(END, UNKNOWN, NO_ACTION, 0.0)


def output(write: Callable[[Lines], None], *, readable: bool = True) -> list[str]:
    """Return the lines that are written to a pipe, without their ends."""
    reader, writer = os.pipe()
    lines = Lines(writer, readable=readable)
    write(lines)
    lines.close()
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stream:
        return stream.read().splitlines()


def texts(write: Callable[[Lines], None]) -> list[str]:
    """Return the lines for a terminal, without their times."""
    return [line[len("12:00:00 ") :] for line in output(write)]


# What a line says


def test_the_external_id_of_a_call_is_in_each_of_its_lines() -> None:
    """Also of one that a row without an id connects, if TeleSign says one."""
    own = replace(OWN_DIAL, external_id="order 12")
    call = call_of(INCOMING)._replace(reply=own.to_wire())
    echoed = replace(END, external_id="order 13")

    def log(lines: Lines) -> None:
        lines.event(INCOMING, UNKNOWN, Decision(own), 0.0)
        lines.event(END, call, NO_ACTION, 0.0)
        lines.event(echoed, call, NO_ACTION, 0.0)
        lines.event(echoed, call_of(INCOMING), NO_ACTION, 0.0)
        lines.event(END, call_of(INCOMING), NO_ACTION, 0.0)

    found = [json.loads(line).get("external_id") for line in output(log, readable=False)]
    assert found == ["order 12", "order 12", "order 12", "order 13", None]
    assert texts(log)[0] == "incoming_call  ...0123->...0100 dial 0.0 ms 04f58a order 12"


def test_every_event_is_one_line_with_redacted_numbers(
    make_app: MakeApp, lines: PrintedLines
) -> None:
    app = make_app()
    for name in (
        "dial_completed_busy",
        "incoming_call_withheld",
        "incoming_call",
        "dial_completed_answered",
        "unknown_event",
    ):
        post(app, payload(name))
    written = lines.read()
    for line in written:
        assert line.pop("time").endswith("Z")
        assert line.pop("ms") >= 0
        assert line.pop("reference_id") == facts.REFERENCE_ID
    numbers = {"caller": "withheld", "dialled": "...0100"}
    assert written == [
        {"event": "dial_completed", "status": "busy", "reply": "hangup"},
        {"event": "incoming_call", **numbers, "reply": "dial"},
        {
            "event": "incoming_call",
            "caller": "...0123",
            "dialled": "...0100",
            "reply": "hangup",
            "reason": "conflicting",
        },
        {"event": "dial_completed", **numbers, "status": "answered", "reply": "speak"},
        {"event": "call_transferred", **numbers, "reply": "no action"},
    ]


def test_a_number_in_the_name_or_status_of_an_event_is_redacted(lines: PrintedLines) -> None:
    number = NUMBER.encode()
    unknown = event_of("unknown_event", b"call_transferred", number)
    busy = event_of("dial_completed_busy", b"busy", b"to " + number)
    for event in unknown, busy:
        lines.writer.event(event, UNKNOWN, NO_ACTION, 0.0)
    first, second = lines.read()
    assert first["event"] == "*******0123"
    assert second["status"] == "to *******0123"
    assert lines.writer.counts()["events"] == {"dial_completed": 1, "unknown": 1}


def test_a_line_says_how_many_milliseconds_the_answer_took(lines: PrintedLines) -> None:
    lines.writer.event(INCOMING, UNKNOWN, DIAL, 0.0123)
    assert [line["ms"] for line in lines.read()] == [12.3]


def test_long_texts_are_cut(lines: PrintedLines) -> None:
    busy = event_of("dial_completed_busy", b"busy", "\u00e9".encode() * 11_000)
    lines.writer.event(busy, UNKNOWN, HANGUP, 0.0)
    lines.writer.notice("y" * 5000)
    first, second = lines.read()
    assert first["status"] == "\u00e9" * 64
    assert second["notice"] == "y" * 500


def test_a_rejected_line_says_the_shape_of_a_signed_message_and_keeps_one_cause(
    lines: PrintedLines,
) -> None:
    for shape in "{evnt: text}", "{name: text}", "":
        lines.writer.rejection("bad_event", "wanted a JSON object", shape=shape)
    (line,) = lines.read()
    del line["time"]
    assert line == {
        "rejected": "bad_event",
        "cause": "wanted a JSON object",
        "more_before": 0,
        "shape": "{evnt: text}",
    }
    assert lines.writer.counts()["rejected"] == {"bad_event": 3}


def test_an_error_is_logged_by_its_type_and_place_without_its_text(lines: PrintedLines) -> None:
    try:
        raise KeyError(NUMBER)
    except KeyError as error:
        lines.writer.failure(error)
    (line,) = lines.read()
    assert line.pop("time").endswith("Z")
    assert line.pop("where").startswith("test_lines.py:")
    assert line == {"error": "KeyError"}
    assert lines.writer.counts()["errors"] == 1


def test_a_cause_of_rejection_has_one_line_in_ten_seconds_and_every_request_counts(
    lines: PrintedLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [1.0]  # the clock of a machine that has just started
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    for wait_s in (0, 1, 8, 1, 1, 9):
        seconds[0] += wait_s
        lines.writer.rejection("bad_json", "wanted strict JSON")
    lines.writer.rejection("bad_event", "wanted an event")
    monkeypatch.undo()
    assert [(line["rejected"], line["cause"], line["more_before"]) for line in lines.read()] == [
        ("bad_json", "wanted strict JSON", 0),
        ("bad_json", "wanted strict JSON", 2),
        ("bad_json", "wanted strict JSON", 1),
        ("bad_event", "wanted an event", 0),
    ]
    assert lines.writer.counts()["rejected"] == {"bad_event": 1, "bad_json": 6}


# How it looks on a terminal


def test_an_event_on_a_terminal_is_one_line() -> None:
    def write(lines: Lines) -> None:
        lines.event(INCOMING, UNKNOWN, DIAL, 0.0015)
        refused = Decision(Hangup(), Reason.CALLER_NOT_LISTED)
        lines.event(event_of("incoming_call_not_listed"), UNKNOWN, refused, 0.0125)

    first, second = texts(write)
    assert first == "incoming_call  ...0123->...0100 dial 1.5 ms 04f58a"
    assert second == "incoming_call  ...0123->...0177 hangup caller_not_listed 12.5 ms 04f58a"
    assert len("12:00:00 " + second) <= 80


def test_a_status_on_a_terminal_is_escaped() -> None:
    busy = event_of("dial_completed_busy", b"busy", b"\\u001b[2J")
    (text,) = texts(lambda lines: lines.event(busy, call_of(INCOMING), HANGUP, 0.001))
    assert text == ('dial_completed ...0123->...0100 hangup 1.0 ms 04f58a "\\u001b[2J"')


def test_an_error_on_a_terminal_has_its_place() -> None:
    def write(lines: Lines) -> None:
        try:
            raise KeyError(NUMBER)
        except KeyError as error:
            lines.failure(error)

    (text,) = texts(write)
    assert text.startswith("error: KeyError at test_lines.py:")


def test_a_rejection_on_a_terminal_says_how_many_had_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(lines: Lines) -> None:
        for seconds in 1000.0, 1001.0, 1010.0:
            monkeypatch.setattr("time.monotonic", lambda now=seconds: now)
            lines.rejection("bad_json", "wanted JSON")
        lines.rejection("bad_event", "wanted JSON", shape="[text]")

    assert texts(write) == [
        "rejected: bad_json (wanted JSON)",
        "rejected: bad_json (wanted JSON; 1 more since the last line)",
        "rejected: bad_event (wanted JSON; got [text])",
    ]


def test_a_text_that_cannot_be_encoded_is_escaped() -> None:
    assert texts(lambda log: log.notice("list\udcff.csv")) == ["notice: list\\udcff.csv"]


def test_what_the_encoding_of_a_terminal_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert texts(lambda log: log.notice("für")) == ["notice: f\\xfcr"]
    monkeypatch.setattr(sys, "stdout", None)  # it was closed
    assert texts(lambda log: log.notice("für")) == ["notice: für"]


def test_lines_are_text_on_a_terminal_and_json_elsewhere() -> None:
    are_json = []
    for reader, writer in os.openpty(), os.pipe():
        lines = Lines(writer)
        lines.notice("ready")
        lines.close()
        are_json.append(os.read(reader, 1000)[:1] == b"{")
        os.close(reader)
        os.close(writer)
    assert are_json == [False, True]


@pytest.mark.parametrize(
    ("readable", "line"),
    [
        (False, '{"time": "2026-11-23T12:00:00.062Z", "notice": "ready"}'),
        (True, "15:00:00 notice: ready"),
    ],
    ids=["json", "text"],
)
def test_the_time_is_utc_in_json_and_local_on_a_terminal(
    readable: bool, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: START.timestamp() + 0.0625)
    monkeypatch.setattr("time.localtime", lambda now: time.gmtime(now + 3 * 3600))
    assert output(lambda lines: lines.notice("ready"), readable=readable) == [line]


# In systemd's journal


def write_one_of_each(lines: Lines) -> None:
    lines.notice("ready")
    lines.rejection("unauthorized", "unsigned")
    lines.notice("the call log is failing, events are held in memory: locked")
    try:
        raise KeyError(NUMBER)
    except KeyError as error:
        lines.failure(error)
    lines.event(INCOMING, UNKNOWN, DIAL, 0.001)


def stream_of(fd: int) -> str:
    status = os.fstat(fd)
    return f"{status.st_dev}:{status.st_ino}"


def test_in_the_journal_what_fails_is_an_error_and_what_is_rejected_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv("JOURNAL_STREAM", stream_of(writer))
    lines = Lines(writer)
    write_one_of_each(lines)
    lines.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        written = [re.fullmatch(r"(<\d>)?(\{.*\})", line.rstrip()) for line in stream]
    found = [(line[1], *json.loads(line[2])) for line in written if line]
    assert [line[:3] for line in found] == [
        (None, "time", "notice"),
        ("<4>", "time", "rejected"),
        ("<3>", "time", "notice"),
        ("<3>", "time", "error"),
        (None, "time", "event"),
    ]


@pytest.mark.parametrize("named", [None, "", "8:1", "JOURNAL", "the same inode elsewhere"])
def test_where_the_output_is_not_the_journal_lines_have_no_priority(
    named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable may come from a parent that has passed on another output."""
    reader, writer = os.pipe()
    inode = stream_of(writer).partition(":")[2]
    if named is not None:
        monkeypatch.setenv(
            "JOURNAL_STREAM", named.replace("the same inode elsewhere", f"1:{inode}")
        )
    lines = Lines(writer)
    write_one_of_each(lines)
    lines.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert len([json.loads(line) for line in stream]) == 5


def test_the_words_of_an_alarm_are_those_that_log_and_list_say() -> None:
    files = [*(ROOT / "call_log").glob("*.py"), ROOT / "allow_list" / "reload.py"]
    said = "".join(file.read_text() for file in files)
    assert [words for words in _ALARM.pattern.split("|") if words not in said] == []


@pytest.mark.parametrize(
    "text",
    [
        "the call log has recovered, all events that were held are kept",
        "the allow-list was reloaded; rows: 4",
        "events saved for the next start: 3, in calls.db.unkept-1",
        "stopped",
    ],
)
def test_a_notice_that_only_informs_is_no_alarm(text: str) -> None:
    assert _ALARM.search(text) is None


def test_a_text_for_standard_error_has_its_priority_on_every_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_stderr("one\ntwo", priority=ERROR)
    monkeypatch.setenv("JOURNAL_STREAM", stream_of(2))
    write_stderr("three\nfour", priority=ERROR)
    write_stderr("five")
    assert capfd.readouterr().err == "one\ntwo\n<3>three\n<3>four\nfive\n"


# What the output may do


def test_a_line_that_cannot_be_formatted_is_counted_and_the_next_is_written(
    lines: PrintedLines,
) -> None:
    lines.writer.rejection("bad_json", object())  # type: ignore[arg-type]
    lines.writer.notice("still here")
    assert [line["notice"] for line in lines.read()] == ["still here"]
    assert lines.writer.counts()["dropped_lines"] == 1


def test_non_blocking_output_loses_no_line_while_it_is_read() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    lines = Lines(writer)
    notices = [f"{n} {'x' * 400}" for n in range(600)]
    for text in notices:
        lines.notice(text)
    time.sleep(0.1)
    with os.fdopen(reader) as stream:
        assert [json.loads(stream.readline())["notice"] for _ in notices] == notices
    assert lines.counts()["dropped_lines"] == 0
    lines.close()
    os.close(writer)


def test_output_that_takes_a_few_bytes_at_a_time_gets_all(
    lines: PrintedLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr("os.write", lambda fd, data: write(fd, data[:7]))
    lines.writer.notice("one")
    lines.writer.notice("two")
    assert [line["notice"] for line in lines.read()] == ["one", "two"]


def test_a_line_that_is_cut_off_does_not_spoil_the_next(
    lines: PrintedLines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full for a while."""
    write, room = os.write, [20]

    def write_a_part(fd: int, data: bytes) -> int:
        if not room:
            return write(fd, data)
        left = room.pop()
        if not left:
            raise OSError
        room.append(0)
        return write(fd, data[:left])

    with monkeypatch.context() as patched:
        patched.setattr("serving.lines.os.write", write_a_part)
        lines.writer.notice("cut off")
        assert eventually(lambda: lines.writer.counts()["dropped_lines"] == 1)
    lines.writer.notice("whole")
    lines.writer.close()
    cut, whole = (tmp_path / "lines").read_text().splitlines()
    assert len(cut) == 20
    assert json.loads(whole)["notice"] == "whole"


def test_blocked_or_closed_output_delays_nothing_and_dropped_lines_are_counted() -> None:
    reader, writer = os.pipe()
    lines = Lines(writer)

    def count_dropped() -> int:
        count = lines.counts()["dropped_lines"]
        assert isinstance(count, int)
        return count

    while not count_dropped():
        log_end(lines)
    os.close(reader)
    assert eventually(lambda: count_dropped() > MAX_WAITING_LINES)
    before = count_dropped()
    log_end(lines)
    assert eventually(lambda: count_dropped() == before + 1)
    os.close(writer)
    log_end(lines)
    assert eventually(lambda: count_dropped() == before + 2)


def test_closing_takes_no_longer_than_writing(lines: PrintedLines) -> None:
    started = time.monotonic()
    lines.writer.notice("ready")
    lines.writer.close()
    assert time.monotonic() - started < 0.4


def test_the_last_line_is_written_before_the_process_ends() -> None:
    program = "from serving.lines import Lines; Lines().notice('the last line')"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert json.loads(ended.stdout)["notice"] == "the last line"


def test_blocked_output_does_not_keep_the_process_alive() -> None:
    create = "from serving.lines import Lines; log = Lines()"
    program = f"{create}; [log.notice('x' * 500) for _ in range(400)]"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.wait(timeout=5) == 0
