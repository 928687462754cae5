"""Nothing that the server writes holds a phone number in full, whatever it is sent."""

import json
import os
import pty
import re
import threading
from pathlib import Path

import facts
import requests
from helpers import payload, signed
from processes import ServerProcess
from reply_table import CASES, MESSAGES, SCREENING
from request_table import BAD, GOOD, ask

NUMBER = re.compile(rb"\d{7,}")


def play_everything(server: ServerProcess) -> int:
    """Send every call and every bad request of the whole suite; return how many were events."""
    events = 0
    with requests.Session() as client:
        for position, row in enumerate(CASES):
            call = f"call-{position}".encode()
            for name in [*row.before, row.event]:
                body = payload(name).replace(facts.REFERENCE_ID.encode(), call)
                assert client.post(server.url, body, headers=signed(body), timeout=10).ok
                events += 1
    for request in BAD + GOOD:
        ask(server, request)
    odd = [
        {"event": facts.CALLER, "data": {"to": facts.CALLER}},
        {"event": "dial_completed", "data": {"status": facts.DESTINATION}},
        {"event": "incoming_call", "data": {"to": facts.DIALLED + "0" * 9, "from": "x"}},
        {"event": "incoming_call", "data": {"to": f"+1 {facts.DIALLED}", "from": [facts.CALLER]}},
    ]
    for position, event in enumerate(odd):
        body = json.dumps(event | {"reference_id": f"odd-{position}"}).encode()
        assert requests.post(server.url, body, headers=signed(body), timeout=10).ok
    return events + len(GOOD) + len(odd)


def environment(settings: dict[str, str]) -> dict[str, str]:
    return facts.KEYS | {f"MASKING_{name.upper()}": value for name, value in settings.items()}


def test_the_whole_suites_calls_leave_no_number_in_the_output(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, environment(MESSAGES)) as server:
        events = play_everything(server)
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.stdout.read_text().splitlines()]
    assert len([line for line in lines if "event" in line]) == events
    assert {line["rejected"] for line in lines if "rejected" in line} == {bad.word for bad in BAD}
    written = server.output().encode()
    # A part of an opaque reference id may be digits only: the ids are known, the rest is searched.
    for line in written.splitlines():
        assert NUMBER.findall(line.replace(facts.REFERENCE_ID.encode(), b"")) == []


def test_the_lines_on_a_terminal_hold_no_number_either(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    written = bytearray()

    def collect() -> None:
        try:
            while piece := os.read(leader, 65_536):
                written.extend(piece)
        except OSError:
            pass

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    with ServerProcess(tmp_path, environment(SCREENING), stdout_fd=follower) as server:
        os.close(follower)
        play_everything(server)
        assert server.stop() == 0
    collector.join(timeout=10)
    os.close(leader)
    assert written.count(b"incoming_call") > len(CASES) / 2
    assert b"...0123->...0100" in written
    assert NUMBER.findall(bytes(written)) == []
