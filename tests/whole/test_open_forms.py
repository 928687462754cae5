"""Events in forms that TeleSign's documents leave open: each is answered, kept and read."""

import json
from pathlib import Path
from typing import Any

import facts
import pytest
from databases import log_in_sqlite
from helpers import Clock, PrintedLines, live, settings_of, web

from app import Handlers
from call_log import writer
from call_log.writer import CallLog
from serving import sources

log_url = log_in_sqlite

TIMES = {
    "created_on_utc": "2026-11-30T10:00:00",
    "answered_on_utc": "2026-11-30T10:00:02",
    "ended_on_utc": "2026-11-30T10:02:00",
}
INBOUND = {"direction": "inbound", "from": facts.CALLER, "to": facts.DIALLED, **TIMES}
OUTBOUND = {"direction": "outbound", "from": facts.MASKING_ID, "to": facts.DESTINATION, **TIMES}
NUMBERS = {"to": facts.DIALLED, "from": facts.CALLER}
REFUSED = ("in progress", "bad_number", "withheld")
LIVE = ("in progress", None, None)
FORMS: list[tuple[dict[str, Any], Any, tuple[str, str | None, str | None]]] = [
    ({"event": "call_transcribed"}, facts.NO_ACTION, LIVE),
    ({"event": "call_leg_completed", **NUMBERS}, facts.HANGUP, LIVE),
    (
        {"event": "call_completed", "data": [INBOUND, OUTBOUND]},
        facts.NO_ACTION,
        ("connected", None, "...0123"),
    ),
    ({"event": "incoming_call", "data": None}, facts.HANGUP, REFUSED),
    ({"event": "incoming_call"}, facts.HANGUP, REFUSED),
    ({"event": "incoming_call", "data": {}, **NUMBERS}, facts.HANGUP, REFUSED),
    ({"event": "incoming_call", "data": "x", **NUMBERS}, facts.DIAL,
        ("in progress", None, "...0123")),
    ({"event": "dial_completed", "status": "busy"}, facts.HANGUP, LIVE),
]  # fmt: skip


@pytest.mark.parametrize(("form", "answer", "call"), FORMS)
def test_an_open_form_is_answered_and_kept(
    form: dict[str, Any],
    answer: Any,
    call: tuple[str, str | None, str | None],
    log_url: str,
    clock: Clock,
    lines: PrintedLines,
    ask: Any,
) -> None:
    log = CallLog(writer.store_of(log_url), print, keep_days=30, clock=clock)
    try:
        app = Handlers(settings_of(), live(facts.ALLOW_LIST), log, lines.writer, clock=clock).app()
        body = json.dumps({"reference_id": "OPEN", **form}).encode()
        got = web(app).post("/", body, content_type="application/json", status=200)
    finally:
        log.close()
    assert got.json == answer
    (kept,) = json.loads(ask("calls", "--json").stdout)
    assert (kept["disposition"], kept["reason"], kept["caller"]) == call
    (shown,) = json.loads(ask("calls", "OPEN", "--json", "--full").stdout)
    assert [event["body"] for event in shown["events"]] == [{"reference_id": "OPEN", **form}]
    Path("allowlist.csv").write_text(facts.ALLOW_LIST)
    assert ask("live-check").stderr == ""


def test_numbers_of_a_report_are_read_as_they_are_written_at_home(
    log_url: str, lines: PrintedLines, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(call_log=log_url, home_country_code="1")
    legs = json.dumps([INBOUND, OUTBOUND]).replace('"1202', '"202')
    log = sources.open_log(settings, print)
    app = web(Handlers(settings, live(facts.ALLOW_LIST), log, lines.writer).app())
    event = {"event": "call_completed", "reference_id": "HOME", "data": json.loads(legs)}
    app.post_json("/", event, status=200)
    log.close()
    monkeypatch.setenv("MASKING_HOME_COUNTRY_CODE", "1")
    (call,) = json.loads(ask("calls", "--json", "--full", "--number", facts.CALLER).stdout)
    numbers = call["caller"], call["dialled"], call["destination"]
    assert numbers == (facts.CALLER, facts.DIALLED, facts.DESTINATION)
    (call,) = json.loads(ask("calls", "HOME", "--json", "--full").stdout)
    assert [leg["from_number"] for leg in call["legs"]] == [facts.CALLER, facts.MASKING_ID]
