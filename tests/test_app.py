"""The web door without a socket: health, lines, unforeseen errors, the callable for others."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import (
    ROOT,
    START,
    Clock,
    Door,
    Lines,
    eventually,
    live,
    payload,
    post,
    read_list,
    settings_of,
    signed,
    web,
)

import app as app_module
import config
from allow_list.reload import LiveAllowList
from app import create_app
from call_log.memory import InMemoryCalls
from call_log.writer import LogUnavailable
from calls import Timestamp
from serving.event_log import MAX_WAITING, EventLog

CALL = payload("incoming_call")
NUMBER = "12025550123"


def environ(body: bytes, **members: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(body),
    } | members


def app_of(journal: EventLog, clock: Callable[[], Timestamp]) -> Any:
    calls = InMemoryCalls()
    return web(create_app(settings_of(), live(facts.ALLOW_LIST), calls, journal, clock=clock))


def call(app: Any, request: dict[str, Any]) -> tuple[int, bytes]:
    statuses: list[int] = []
    answer = b"".join(app(request, lambda status, *_: statuses.append(int(status[:3]))))
    return statuses[0], answer


def test_health_counts_what_happened(door: Door, clock: Clock) -> None:
    app = door()
    for name in "incoming_call", "incoming_call", "call_completed", "unknown_event":
        clock.sleep(60)
        post(app, payload(name))
    clock.sleep(60)
    app.post("/", b"{", content_type="application/json", status=400)
    app.post("/", b"{}", content_type="application/json", status=400)
    app.get("/", status=405)
    app.get("/nowhere", status=404)
    assert app.get("/health").json == {
        "status": "ok",
        "since": "2026-11-23T12:00:00Z",
        "last_event": "2026-11-23T12:04:00Z",
        "signatures": "open",
        "routes": 4,
        "allow_list": "ok",
        "call_log": "off",
        "events": {"call_completed": 1, "incoming_call": 2, "unknown": 1},
        "rejected": {"bad_event": 1, "bad_json": 1, "method_not_allowed": 1, "not_found": 1},
        "errors": 0,
        "dropped_lines": 0,
    }


def test_health_of_a_server_with_a_key(lines: Lines) -> None:
    settings, _ = config.read("", facts.KEYS)
    app = web(create_app(settings, live(facts.ALLOW_LIST), InMemoryCalls(), lines.journal))
    assert app.get("/health").json["signatures"] == "verified"
    assert app.post("/", b"", status=401).json == {"error": "unauthorized"}
    assert app.get("/health").json["last_event"] is None
    app.post("/", CALL, headers=signed(CALL))
    assert app.get("/health").json["last_event"] is not None


def test_health_is_not_ok_with_a_list_that_is_not_current(lines: Lines, tmp_path: Path) -> None:
    file = tmp_path / "allowlist.csv"
    file.write_text(facts.ALLOW_LIST)
    listed = LiveAllowList(file, lambda: read_list(file.read_text()))
    app = web(create_app(settings_of(), listed, InMemoryCalls(), lines.journal))
    found = []
    for text in "broken\n", facts.ALLOW_LIST:
        file.write_text(text)
        listed.check(lines.journal.notice, requested=True)
        health = app.get("/health").json
        found.append((health["status"], health["allow_list"], health["routes"]))
    assert found == [("stale", "stale", 4), ("ok", "ok", 4)]


def test_while_events_cannot_be_kept_senders_hear_when_to_come_again(lines: Lines) -> None:
    class Failing(InMemoryCalls):
        def answer(self, *_: Any, **__: Any) -> Any:
            raise LogUnavailable

        def health(self) -> dict[str, object]:
            return {"call_log": "failing"}

    app = web(create_app(settings_of(), live(facts.ALLOW_LIST), Failing(), lines.journal))
    refused = app.post("/", CALL, content_type="application/json", status=503)
    assert (refused.json, refused.headers["Retry-After"]) == ({"error": "log_unavailable"}, "5")
    health = app.get("/health", status=503)
    assert (health.json["status"], health.headers["Retry-After"]) == ("degraded", "5")
    assert lines.journal.counts()["rejected"] == {"log_unavailable": 1}


def test_a_secret_path_is_the_only_one(door: Door) -> None:
    app = door(event_path="/events/x7Kq2")
    assert app.post("/events/x7Kq2", CALL, content_type="application/json").json == facts.DIAL
    assert app.post("/", CALL, content_type="application/json", status=404).json == {
        "error": "not_found"
    }


def test_an_app_below_a_prefix_takes_its_paths_exactly(door: Door) -> None:
    prefixed = {"SCRIPT_NAME": "/calls", "CONTENT_LENGTH": str(len(CALL))}
    app = door().app
    for uri, status in ("/calls/", 200), ("/calls//", 404), ("/", 404):
        assert call(app, environ(CALL, REQUEST_URI=uri, **prefixed))[0] == status


@pytest.mark.parametrize("uri", ["REQUEST_URI", "RAW_URI"])
def test_the_path_as_it_was_sent_counts(uri: str, door: Door) -> None:
    app, length = door().app, {"CONTENT_LENGTH": str(len(CALL))}
    sent = {"/": 200, "//": 404, "http://x/": 200, "https://x/": 200, "https://x?a=/": 404}
    assert {each: call(app, environ(CALL, **{uri: each}, **length))[0] for each in sent} == sent


def test_without_the_path_as_it_was_sent_the_decoded_one_counts(door: Door) -> None:
    app, length = door().app, {"CONTENT_LENGTH": str(len(CALL))}
    assert call(app, environ(CALL, SCRIPT_NAME="/calls", **length))[0] == 200
    assert call(app, environ(CALL, PATH_INFO="/\xff", **length))[0] == 404


def test_a_body_that_is_declared_too_large_is_not_read(door: Door) -> None:
    body = io.BytesIO(b"x")
    request = environ(b"", **{"wsgi.input": body, "CONTENT_LENGTH": "65537"})
    assert call(door().app, request)[0] == 413
    assert body.tell() == 0


def test_a_long_status_is_cut_and_never_blocks(clock: Clock) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a line that nobody reads\n")
    journal = EventLog(writer)
    app = app_of(journal, clock)
    post(app, payload("dial_completed_busy").replace(b"busy", "\u00e9".encode() * 11_000))
    journal.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        (_, line) = stream
    assert json.loads(line)["status"] == "\u00e9" * 64


def test_a_long_notice_is_cut(lines: Lines) -> None:
    lines.journal.notice("y" * 5000)
    assert [line["notice"] for line in lines.read()] == ["y" * 500]


def test_a_line_that_cannot_be_worded_is_counted_and_the_next_is_written(lines: Lines) -> None:
    lines.journal.notice(None)  # type: ignore[arg-type]
    lines.journal.notice("still here")
    assert [line["notice"] for line in lines.read()] == ["still here"]
    assert lines.journal.counts()["dropped_lines"] == 1


def test_output_that_does_not_wait_loses_no_line_as_long_as_somebody_reads() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    journal = EventLog(writer)
    told = [f"{n} {'x' * 400}" for n in range(600)]
    for text in told:
        journal.notice(text)
    time.sleep(0.1)
    with os.fdopen(reader) as stream:
        assert [json.loads(stream.readline())["notice"] for _ in told] == told
    assert journal.counts()["dropped_lines"] == 0
    journal.close()
    os.close(writer)


def test_a_line_that_is_cut_off_does_not_spoil_the_next(
    lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full for a while."""
    write, room = os.write, [20]

    def some(fd: int, data: bytes) -> int:
        if not room:
            return write(fd, data)
        left = room.pop()
        if not left:
            raise OSError
        room.append(0)
        return write(fd, data[:left])

    with monkeypatch.context() as patched:
        patched.setattr("serving.event_log.os.write", some)
        lines.journal.notice("cut off")
        assert eventually(lambda: lines.journal.counts()["dropped_lines"] == 1)
    lines.journal.notice("whole")
    lines.journal.close()
    cut, whole = (tmp_path / "lines").read_text().splitlines()
    assert len(cut) == 20
    assert json.loads(whole)["notice"] == "whole"


def test_the_home_country_code_is_put_before_numbers_in_events(door: Door) -> None:
    body = CALL.replace(b'"1202', b'"202')
    assert post(door(home_country_code="1"), body) == facts.DIAL
    assert post(door(), body) == facts.HANGUP


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"CONTENT_LENGTH": str(len(CALL))}, 200),
        ({"CONTENT_LENGTH": "", "wsgi.input_terminated": True}, 200),
        ({"wsgi.input_terminated": True}, 200),
        ({}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "x"}, 400),
        ({"CONTENT_LENGTH": str(len(CALL) - 2)}, 400),
        ({"CONTENT_LENGTH": "9" * 5000}, 413),
    ],
)
def test_the_body_is_read_as_far_as_it_is_declared(
    members: dict[str, Any], status: int, door: Door
) -> None:
    assert call(door().app, environ(CALL, **members))[0] == status


def test_no_more_than_the_limit_and_a_byte_is_read(door: Door) -> None:
    body = io.BytesIO(b" " * 1_000_000)
    request = environ(b"", **{"wsgi.input": body, "wsgi.input_terminated": True})
    assert call(door().app, request) == (
        413,
        b'{"error":"too_large"}',
    )
    assert body.tell() == 65_537


class Unforeseen(InMemoryCalls):
    """A store of calls with a fault that nobody foresaw."""

    def answer(self, *_: Any, **__: Any) -> Any:
        raise KeyError(NUMBER)


def test_an_unforeseen_error_is_told_without_its_values(lines: Lines) -> None:
    app = web(create_app(settings_of(), live(facts.ALLOW_LIST), Unforeseen(), lines.journal))
    answer = app.post("/", CALL, content_type="application/json", status=500)
    assert answer.json == {"error": "internal"}
    (line,) = lines.read()
    assert line.pop("time").endswith("Z")
    assert line.pop("where").startswith("test_app.py:")
    assert line == {"error": "KeyError"}
    assert app.get("/health").json["errors"] == 1


def test_every_event_is_one_line_with_redacted_numbers(door: Door, lines: Lines) -> None:
    app = door()
    for name in (
        "dial_completed_busy",
        "incoming_call_withheld",
        "incoming_call",
        "dial_completed_answered",
        "unknown_event",
    ):
        post(app, payload(name))
    told = lines.read()
    for line in told:
        assert line.pop("time").endswith("Z")
        assert line.pop("ms") >= 0
        assert line.pop("reference_id") == facts.REFERENCE_ID
    people = {"caller": "withheld", "dialled": "...0100"}
    assert told == [
        {"event": "dial_completed", "status": "busy", "reply": "hangup"},
        {"event": "incoming_call", **people, "reply": "dial"},
        {
            "event": "incoming_call",
            "caller": "...0123",
            "dialled": "...0100",
            "reply": "hangup",
            "reason": "conflicting",
        },
        {"event": "dial_completed", **people, "status": "answered", "reply": "speak"},
        {"event": "call_transferred", **people, "reply": "no action"},
    ]


def test_numbers_in_the_wrong_place_are_not_told_either(door: Door, lines: Lines) -> None:
    app = door()
    post(app, payload("unknown_event").replace(b"call_transferred", NUMBER.encode()))
    post(app, payload("dial_completed_busy").replace(b"busy", f"to {NUMBER}".encode()))
    assert [line["event"] for line in lines.read()] == ["*******0123", "dial_completed"]
    assert lines.read()[1]["status"] == "to *******0123"


def test_rejected_requests_are_told_once_and_counted(
    door: Door, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = door()
    seconds = [1.0]  # as soon after the start of the machine
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    for wait_s in (0, 1, 8, 1, 1, 9):
        seconds[0] += wait_s
        app.post("/", b"{", content_type="application/json", status=400)
    app.post("/", b"{}", content_type="application/json", status=400)
    told = [(line["rejected"], line["cause"], line["more_before"]) for line in lines.read()]
    assert told == [
        ("bad_json", "wanted strict JSON", 0),
        ("bad_json", "wanted strict JSON", 2),
        ("bad_json", "wanted strict JSON", 1),
        ("bad_event", "event: wanted 1 to 64 printable ASCII characters", 0),
    ]
    assert app.get("/health").json["rejected"] == {"bad_event": 1, "bad_json": 6}


def written_to_a_terminal(write: Any) -> list[str]:
    reader, writer = os.pipe()
    journal = EventLog(writer, readable=True)
    write(journal)
    journal.close()
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stream:
        return [line[9:].rstrip("\n") for line in stream]


def test_lines_for_people(clock: Clock) -> None:
    def write(journal: EventLog) -> None:
        app = app_of(journal, clock)
        post(app, payload("incoming_call"))
        post(app, payload("incoming_call_not_listed"))
        post(app, payload("dial_completed_busy").replace(b"busy", b"\\u001b[2J"))
        app.post("/", b"{", content_type="application/json", status=400)
        try:
            raise KeyError(NUMBER)
        except KeyError as error:
            journal.failed(error)

    told = written_to_a_terminal(write)
    assert [line.split(" ms ")[0][:-6] for line in told[:3]] == [
        "incoming_call      ...0123 -> ...0100 dial           ",
        "incoming_call      ...0123 -> ...0177 hangup conflicting ",
        "dial_completed     ...0123 -> ...0100 hangup         ",
    ]
    assert [line.split(" ms ")[1] for line in told[:2]] == ["1a04f58a", "1a04f58a"]
    assert len(told[0]) <= 80 - len("12:00:00 ")
    assert told[2].endswith('"\\u001b[2J"')
    assert told[3] == " rejected: bad_json (cause wanted strict JSON)"
    assert told[4].startswith(" error: KeyError (where test_app.py:")


def test_a_cause_that_comes_again_is_shown_to_people_with_its_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(journal: EventLog) -> None:
        for seconds in 1000.0, 1001.0, 1010.0:
            monkeypatch.setattr("time.monotonic", lambda now=seconds: now)
            journal.rejected("bad_json", "wanted JSON")

    assert written_to_a_terminal(write) == [
        " rejected: bad_json (cause wanted JSON)",
        " rejected: bad_json (cause wanted JSON, more before 1)",
    ]


def test_lines_are_for_people_on_a_terminal_alone() -> None:
    told = []
    for reader, writer in os.openpty(), os.pipe():
        journal = EventLog(writer)
        journal.notice("ready")
        journal.close()
        told.append(os.read(reader, 1000)[:1] == b"{")
        os.close(reader)
        os.close(writer)
    assert told == [False, True]


def test_a_text_that_nothing_can_encode_is_shown_escaped() -> None:
    def write(journal: EventLog) -> None:
        journal.notice("list\udcff.csv")

    assert written_to_a_terminal(write) == [" notice: list\\udcff.csv"]


@pytest.mark.parametrize(
    ("readable", "line"),
    [
        (False, '{"time": "2026-11-23T12:00:00.062Z", "notice": "ready"}\n'),
        (True, "15:00:00  notice: ready\n"),
    ],
    ids=["programs", "people"],
)
def test_a_line_has_its_time_whole_for_programs_in_utc_for_people_as_on_their_clocks(
    readable: bool, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: START.timestamp() + 0.0625)
    monkeypatch.setattr("time.localtime", lambda now: time.gmtime(now + 3 * 3600))
    reader, writer = os.pipe()
    journal = EventLog(writer, readable=readable)
    journal.notice("ready")
    journal.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read() == line


def test_a_line_says_how_many_milliseconds_the_answer_took(
    door: Door, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.perf_counter", iter([1000.0, 1000.0123]).__next__)
    post(door(), CALL)
    assert [line["ms"] for line in lines.read()] == [12.3]


def test_output_that_takes_a_few_bytes_at_a_time_gets_all(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr("os.write", lambda fd, data: write(fd, data[:7]))
    lines.journal.notice("one")
    lines.journal.notice("two")
    assert [line["notice"] for line in lines.read()] == ["one", "two"]


def test_closing_takes_no_longer_than_writing(lines: Lines) -> None:
    lines.journal.notice("ready")
    started = time.monotonic()
    lines.journal.close()
    assert time.monotonic() - started < 0.4


def dropped(app: Any) -> int:
    count: int = app.get("/health").json["dropped_lines"]
    return count


def test_output_that_is_blocked_or_closed_holds_nothing_up(clock: Clock) -> None:
    reader, writer = os.pipe()
    journal = EventLog(writer)
    app = app_of(journal, clock)
    while not dropped(app):
        post(app, payload("call_completed"))
    os.close(reader)
    assert eventually(lambda: dropped(app) > MAX_WAITING)
    told_before = dropped(app)
    post(app, payload("call_completed"))
    os.close(writer)
    post(app, payload("call_completed"))
    assert eventually(lambda: dropped(app) == told_before + 2)


def test_what_was_told_is_written_before_the_process_ends() -> None:
    words = "from serving.event_log import EventLog; EventLog().notice('the last word')"
    ended = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, check=True)
    assert json.loads(ended.stdout)["notice"] == "the last word"


def test_output_that_is_blocked_does_not_hold_up_the_end() -> None:
    make = "from serving.event_log import EventLog; log = EventLog()"
    words = f"{make}; [log.notice('x' * 500) for _ in range(400)]"
    command = [sys.executable, "-c", words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.wait(timeout=5) == 0


def test_fifty_copies_at_once_get_one_dial(door: Door) -> None:
    app = door().app
    answers: list[tuple[int, bytes]] = []
    barrier = threading.Barrier(50)

    def deliver(copy: int) -> None:
        body = CALL if copy % 2 else CALL.replace(b"0123", b"0124")
        request = environ(body, CONTENT_LENGTH=str(len(body)))
        barrier.wait()
        answers.append(call(app, request))

    threads = [threading.Thread(target=deliver, args=(copy,)) for copy in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted({json.loads(body)["method"] for _, body in answers}) == ["dial", "hangup"]
    assert [json.loads(body)["method"] for _, body in answers].count("dial") == 25


def test_the_callable_for_other_servers_is_made_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.csv").write_text(facts.ALLOW_LIST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKING_ALLOW_LIST", "list.csv")
    application = app_module.application
    assert post(web(application), CALL) == facts.DIAL
    told: list[str] = []

    def all_told() -> bool:
        told.extend(capfd.readouterr().out.splitlines())
        return len(told) == 2

    assert eventually(all_told)
    assert "NOT VERIFIED" in told[0]
    assert json.loads(told[1])["reply"] == "dial"
    with pytest.raises(AttributeError):
        _ = app_module.no_such_name
    monkeypatch.setenv("MASKING_ALLOW_LIST", "none.csv")
    with pytest.raises(SystemExit, match="3"):
        _ = app_module.application
    assert "did not start:\n  none.csv: wanted a CSV file" in capfd.readouterr().err
