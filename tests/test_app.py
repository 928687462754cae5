"""The web app without a socket: health, paths, bodies, unexpected errors, the WSGI callable."""

import io
import json
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import (
    Clock,
    MakeApp,
    PrintedLines,
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
from allow_list import reader
from allow_list.reload import LiveAllowList
from app import Handlers
from call_log.memory import InMemoryCalls
from calls import LogUnavailable

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


def call(app: Any, request: dict[str, Any]) -> tuple[int, bytes]:
    statuses: list[int] = []
    answer = b"".join(app(request, lambda status, *_: statuses.append(int(status[:3]))))
    return statuses[0], answer


def test_health_counts_what_happened(make_app: MakeApp, clock: Clock) -> None:
    app = make_app()
    for name in "incoming_call", "incoming_call", "call_completed", "unknown_event":
        clock.sleep(60)
        post(app, payload(name))
    clock.sleep(60)
    app.post("/", b"{", content_type="application/json", status=400)
    app.post("/", b"{}", content_type="application/json", status=400)
    app.get("/", status=405)
    app.get("/nowhere", status=404)
    version = Path(os.devnull).stat().st_mtime_ns  # of the list of these tests
    assert app.get("/health").json == {
        "status": "ok",
        "since": "2026-11-23T12:00:00Z",
        "last_event": "2026-11-23T12:04:00Z",
        "last_rejected": {
            "time": "2026-11-23T12:05:00Z",
            "error": "bad_event",
            "cause": "event: wanted 1 to 64 printable ASCII characters",
        },
        "signatures": "open",
        "routes": 4,
        "allow_list": "ok",
        "real_numbers": False,
        "list_modified_ns": version,
        "list_read_ns": version,
        "list_fault": None,
        "call_log": "off",
        "events": {"call_completed": 1, "incoming_call": 2, "unknown": 1},
        "rejected": {"bad_event": 1, "bad_json": 1, "method_not_allowed": 1, "not_found": 1},
        "errors": 0,
        "dropped_lines": 0,
    }


def test_health_of_a_server_with_a_key(lines: PrintedLines) -> None:
    settings, _ = config.read("", facts.KEYS)
    app = web(Handlers(settings, live(facts.ALLOW_LIST), InMemoryCalls(), lines.writer).app())
    assert app.get("/health").json["signatures"] == "verified"
    assert app.post("/", b"", status=401).json == {"error": "unauthorized"}
    assert app.get("/health").json["last_event"] is None
    app.post("/", CALL, headers=signed(CALL))
    assert app.get("/health").json["last_event"] is not None


FORGED = signed(CALL, facts.OTHER_API_KEY)
BARE = {name: text for name, text in FORGED.items() if name != "Authorization"}
IN_X_TS = {"Content-Type": "application/json", "X-TS-Authorization": FORGED["Authorization"]}


@pytest.fixture
def verified(lines: PrintedLines, clock: Clock) -> Any:
    """The app of a server with a key."""
    settings, _ = config.read("", facts.KEYS)
    calls = InMemoryCalls()
    return web(Handlers(settings, live(facts.ALLOW_LIST), calls, lines.writer, clock=clock).app())


def refuse(app: Any, headers: dict[str, str], times: int = 1) -> None:
    for _ in range(times):
        app.post("/", CALL, headers=headers, status=401)


def status(app: Any) -> str:
    return str(app.get("/health", status=200).json["status"])


def test_health_is_rejecting_once_three_with_our_customer_id_have_failed_until_a_good_event(
    verified: Any,
) -> None:
    seen = []
    for headers in FORGED, IN_X_TS, FORGED, FORGED:
        refuse(verified, headers)
        seen.append(status(verified))
    assert seen == ["ok", "ok", "rejecting", "rejecting"]
    verified.post("/", CALL, headers=signed(CALL))
    assert status(verified) == "ok"
    refuse(verified, FORGED, times=2)
    assert status(verified) == "ok"


def test_three_failures_with_a_good_event_between_them_are_not_rejecting(verified: Any) -> None:
    for _ in range(4):
        refuse(verified, FORGED, times=2)
        verified.post("/", CALL, headers=signed(CALL))
        assert status(verified) == "ok"


def test_a_signed_message_that_is_no_event_does_not_end_rejecting(verified: Any) -> None:
    refuse(verified, FORGED, times=3)
    verified.post("/", b"{}", headers=signed(b"{}"), status=400)
    assert status(verified) == "rejecting"


def test_who_does_not_know_our_customer_id_never_makes_health_rejecting(verified: Any) -> None:
    json_type = {"Content-Type": "application/json"}
    stranger = json_type | {"Authorization": "TSA somebody:" + FORGED["X-TS-Authorization"]}
    for headers in json_type, BARE, stranger, json_type | {"Authorization": "Basic eDp5"}:
        refuse(verified, headers, times=3)
    assert status(verified) == "ok"


def test_a_stale_list_and_a_failing_log_are_worse_than_rejecting(
    lines: PrintedLines, tmp_path: Path
) -> None:
    class Log(InMemoryCalls):
        found = "failing"

        def health(self) -> dict[str, object]:
            return {"call_log": self.found}

    file, log = tmp_path / "allowlist.csv", Log()
    file.write_text(facts.ALLOW_LIST)
    listed = LiveAllowList(file, lambda: read_list(file.read_text()))
    app = web(Handlers(config.read("", facts.KEYS)[0], listed, log, lines.writer).app())
    refuse(app, FORGED, times=3)
    file.write_text("broken\n")
    listed.check(lines.writer.notice, requested=True)
    assert app.get("/health", status=503).json["status"] == "degraded"
    log.found = "ok"
    assert status(app) == "stale"
    file.write_text(facts.ALLOW_LIST)
    listed.check(lines.writer.notice, requested=True)
    assert status(app) == "rejecting"


def test_health_tells_the_last_rejection_on_the_event_path_alone(
    verified: Any, clock: Clock
) -> None:
    def last_rejected() -> Any:
        return verified.get("/health").json["last_rejected"]

    assert last_rejected() is None
    refuse(verified, FORGED)
    assert last_rejected() == {
        "time": "2026-11-23T12:00:00Z",
        "error": "unauthorized",
        "cause": "wrong signature: another key, another account, or a proxy that re-encodes the"
        " body",
    }
    clock.sleep(60)
    verified.post("/wp-login.php", CALL, headers=FORGED, status=404)
    verified.post("/%ff", CALL, headers=FORGED, status=404)
    verified.get("/nowhere", status=404)
    verified.post("/health", CALL, headers=FORGED, status=405)
    verified.post("/", CALL, headers=signed(CALL))
    assert last_rejected()["time"] == "2026-11-23T12:00:00Z"
    verified.post("/", b"x" * 65_537, headers=FORGED, status=413)
    assert last_rejected() == {
        "time": "2026-11-23T12:01:00Z",
        "error": "too_large",
        "cause": "too large",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"NUMBER",
        b'"NUMBER"',
        b'{"NUMBER": "NUMBER"}',
        b'{"event": "incoming_call", "NUMBER": {"NUMBER": ["NUMBER"]}}',
        b'{"event": "NUMBER\\u0000", "reference_id": "NUMBER"}',
        b'{"event": "incoming_call", "reference_id": "\\u0000NUMBER", "data": {"NUMBER": 1}}',
        b'{"event": "incoming_call", "reference_id": "r", "data": {"to": "\\u0000NUMBER"}}',
    ],
)
def test_health_shows_nothing_of_what_was_sent(verified: Any, body: bytes) -> None:
    body = body.replace(b"NUMBER", NUMBER.encode())
    for headers in signed(body), signed(body, facts.OTHER_API_KEY):
        verified.post("/", body, headers=headers, status="*")
        verified.post("/", body, headers=headers | {"Content-Type": NUMBER}, status="*")
    health = verified.get("/health")
    assert health.json["last_rejected"]["error"] in ("unauthorized", "unsupported_media_type")
    assert NUMBER not in health.text
    verified.post("/", body, headers=signed(body), status="*")
    assert NUMBER not in verified.get("/health").text


def test_health_is_not_ok_with_a_list_that_is_not_current(
    lines: PrintedLines, tmp_path: Path
) -> None:
    file = tmp_path / "allowlist.csv"
    file.write_text(facts.ALLOW_LIST)
    listed = LiveAllowList(file, lambda: read_list(file.read_text()))
    app = web(Handlers(settings_of(), listed, InMemoryCalls(), lines.writer).app())
    found = []
    for text in "broken\n", facts.ALLOW_LIST:
        file.write_text(text)
        listed.check(lines.writer.notice, requested=True)
        health = app.get("/health").json
        found.append((health["status"], health["allow_list"], health["routes"]))
    assert found == [("stale", "stale", 4), ("ok", "ok", 4)]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("to,from,destination\n12025550166,x,12025550177\n", "line 2, from"),
        (facts.ALLOW_LIST + "18888888888,x,18888888889,1,2,3,Jane Doe\n", "line 6, from"),
        ("12025550166,12025550177\n", "line 1"),
        ("Jane Doe: 12025550166\n", "line 1"),
        ("to,destination\n12025550166,12025550177\n12025550166,12025550177\n", "line 3"),
        ("", "line 0"),
        ("to\n12025550166", "line 2"),
    ],
)
def test_health_says_which_version_is_served_and_of_a_fault_only_the_place(
    text: str, place: str, lines: PrintedLines, tmp_path: Path
) -> None:
    file = tmp_path / "allowlist.csv"
    file.write_text(facts.ALLOW_LIST)
    read = partial(reader.read, file, config.Settings(), only_fictional=False)
    listed = LiveAllowList(file, read)
    app = web(Handlers(settings_of(), listed, InMemoryCalls(), lines.writer).app())

    def versions() -> Any:
        health = app.get("/health").json
        return health["list_modified_ns"], health["list_read_ns"], health["list_fault"]

    def change(text: str, second: int) -> None:
        file.write_text(text)
        os.utime(file, (second, second))
        listed.check(lines.writer.notice, requested=True)

    change(facts.ALLOW_LIST, 1)
    assert versions() == (1_000_000_000, 1_000_000_000, None)
    change(text, 2)
    assert versions() == (1_000_000_000, 2_000_000_000, place)
    change(facts.ALLOW_LIST, 3)
    assert versions() == (3_000_000_000, 3_000_000_000, None)


def test_health_says_whether_real_numbers_are_served(lines: PrintedLines) -> None:
    def served(environment: dict[str, str]) -> object:
        settings, _ = config.read("", environment)
        app = web(Handlers(settings, live(facts.ALLOW_LIST), InMemoryCalls(), lines.writer).app())
        return app.get("/health").json["real_numbers"]

    assert served({}) is False
    assert served(facts.KEYS) is True
    assert served({"MASKING_VERIFY_SIGNATURES": "false"}) is True


def test_while_the_call_log_fails_senders_get_503_and_when_to_retry(lines: PrintedLines) -> None:
    class Failing(InMemoryCalls):
        def answer(self, *_: Any, **__: Any) -> Any:
            raise LogUnavailable

        def health(self) -> dict[str, object]:
            return {"call_log": "failing"}

    app = web(Handlers(settings_of(), live(facts.ALLOW_LIST), Failing(), lines.writer).app())
    refused = app.post("/", CALL, content_type="application/json", status=503)
    assert (refused.json, refused.headers["Retry-After"]) == ({"error": "log_unavailable"}, "5")
    health = app.get("/health", status=503)
    assert (health.json["status"], health.headers["Retry-After"]) == ("degraded", "5")
    assert lines.writer.counts()["rejected"] == {"log_unavailable": 1}


ODD = json.dumps(
    {"evnt": "incoming_call", "reference_id": NUMBER, "data": {NUMBER: NUMBER}}
).encode()
SHAPE = "{evnt: text, reference_id: text, data: {*******0123: text}}"


@pytest.mark.parametrize(("keys", "shape"), [(facts.KEYS, {"shape": SHAPE}), ({}, {})])
def test_the_line_of_a_signed_message_that_is_no_event_says_its_shape(
    keys: dict[str, str], shape: dict[str, str], lines: PrintedLines
) -> None:
    """What anybody may send unsigned, a stranger could fill the lines with."""
    settings, _ = config.read("", keys)
    app = web(Handlers(settings, live(facts.ALLOW_LIST), InMemoryCalls(), lines.writer).app())
    refused = app.post("/", ODD, headers=signed(ODD), status=400)
    assert refused.json == {"error": "bad_event"}
    (line,) = lines.read()
    del line["time"]
    cause = "event: wanted 1 to 64 printable ASCII characters"
    assert line == {"rejected": "bad_event", "cause": cause, "more_before": 0, **shape}
    assert NUMBER not in app.get("/health").text
    assert "evnt" not in app.get("/health").text


def test_a_secret_path_is_the_only_one(make_app: MakeApp) -> None:
    app = make_app(event_path="/events/x7Kq2")
    assert app.post("/events/x7Kq2", CALL, content_type="application/json").json == facts.DIAL
    assert app.post("/", CALL, content_type="application/json", status=404).json == {
        "error": "not_found"
    }


def test_an_app_below_a_prefix_takes_its_paths_exactly(make_app: MakeApp) -> None:
    prefixed = {"SCRIPT_NAME": "/calls", "CONTENT_LENGTH": str(len(CALL))}
    app = make_app().app
    for uri, status in ("/calls/", 200), ("/calls//", 404), ("/", 404):
        assert call(app, environ(CALL, REQUEST_URI=uri, **prefixed))[0] == status


def test_no_path_at_all_is_not_the_root(make_app: MakeApp) -> None:
    request = environ(CALL, REQUEST_URI="?x", PATH_INFO="", CONTENT_LENGTH=str(len(CALL)))
    assert call(make_app().app, request)[0] == 404


@pytest.mark.parametrize("uri", ["REQUEST_URI", "RAW_URI"])
def test_a_path_must_be_sent_exactly(uri: str, make_app: MakeApp) -> None:
    app, length = make_app().app, {"CONTENT_LENGTH": str(len(CALL))}
    sent = {
        "/": 200,
        "?a": 404,
        "//": 404,
        "http://x/": 200,
        "https://x/": 200,
        "https://x?a=/": 404,
    }
    assert {
        address: call(app, environ(CALL, **{uri: address}, **length))[0] for address in sent
    } == sent


def test_a_server_that_hides_the_sent_path_is_judged_by_the_decoded_one(make_app: MakeApp) -> None:
    app, length = make_app().app, {"CONTENT_LENGTH": str(len(CALL))}
    assert call(app, environ(CALL, SCRIPT_NAME="/calls", **length))[0] == 200
    assert call(app, environ(CALL, PATH_INFO="/\xff", **length))[0] == 404


def test_a_body_that_is_declared_too_large_is_not_read(make_app: MakeApp) -> None:
    body = io.BytesIO(b"x")
    request = environ(b"", **{"wsgi.input": body, "CONTENT_LENGTH": "65537"})
    assert call(make_app().app, request)[0] == 413
    assert body.tell() == 0


def test_the_home_country_code_is_put_before_numbers_in_events(make_app: MakeApp) -> None:
    body = CALL.replace(b'"1202', b'"202')
    assert post(make_app(home_country_code="1"), body) == facts.DIAL
    assert post(make_app(), body) == facts.HANGUP


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
    members: dict[str, Any], status: int, make_app: MakeApp
) -> None:
    assert call(make_app().app, environ(CALL, **members))[0] == status


def test_no_more_than_the_limit_and_a_byte_is_read(make_app: MakeApp) -> None:
    body = io.BytesIO(b" " * 1_000_000)
    request = environ(b"", **{"wsgi.input": body, "wsgi.input_terminated": True})
    assert call(make_app().app, request) == (
        413,
        b'{"error":"too_large"}',
    )
    assert body.tell() == 65_537


class Failing(InMemoryCalls):
    """A store of calls that fails unexpectedly."""

    def answer(self, *_: Any, **__: Any) -> Any:
        raise KeyError(NUMBER)


def test_an_unexpected_error_is_logged_without_its_values(lines: PrintedLines) -> None:
    app = web(Handlers(settings_of(), live(facts.ALLOW_LIST), Failing(), lines.writer).app())
    answer = app.post("/", CALL, content_type="application/json", status=500)
    assert answer.json == {"error": "internal"}
    (line,) = lines.read()
    assert line.pop("time").endswith("Z")
    assert line.pop("where").startswith("test_app.py:")
    assert line == {"error": "KeyError"}
    assert app.get("/health").json["errors"] == 1


def test_a_line_says_how_many_milliseconds_the_answer_took(
    make_app: MakeApp, lines: PrintedLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.perf_counter", iter([1000.0, 1000.0123]).__next__)
    post(make_app(), CALL)
    assert [line["ms"] for line in lines.read()] == [12.3]


def test_fifty_copies_at_once_get_one_dial(make_app: MakeApp) -> None:
    app = make_app().app
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
    written: list[str] = []

    def both_written() -> bool:
        written.extend(capfd.readouterr().out.splitlines())
        return len(written) == 2

    assert eventually(both_written)
    assert "NOT VERIFIED" in written[0]
    assert json.loads(written[1])["reply"] == "dial"
    with pytest.raises(AttributeError):
        _ = app_module.no_such_name
    monkeypatch.setenv("MASKING_ALLOW_LIST", "none.csv")
    with pytest.raises(SystemExit, match="3"):
        _ = app_module.application
    assert "did not start:\n  none.csv: wanted a CSV file" in capfd.readouterr().err


@pytest.mark.parametrize(("form", "sent"), [("{}", {}), ("[{}]", [{}])])
def test_what_leaves_a_call_as_it_is_goes_out_as_it_is_set(
    form: str, sent: Any, make_app: MakeApp, lines: PrintedLines
) -> None:
    app = make_app(carry_on=form, greeting="")
    names = "incoming_call", "dial_completed_answered", "speak_completed", "unknown_event"
    answers = [post(app, payload(name)) for name in (*names, "call_completed", "incoming_call")]
    assert answers == [facts.DIAL, sent, sent, sent, sent, facts.HANGUP]
    said = ["dial", *["no action"] * 4, "hangup"]
    assert [line["reply"] for line in lines.read()] == said
