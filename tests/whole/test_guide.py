"""The guide page's own set-up, over a socket and signed: its commands come, member by member."""

import json
from collections.abc import Iterator
from typing import Any

import facts
import pytest
import requests
from helpers import signed
from processes import ServerProcess

# As the guide page prints them.
MASKING_ID, DESTINATION = "18888888888", "19999999999"
GUIDE_DIAL = {"method": "dial", "params": {"caller_id_number": MASKING_ID, "to": DESTINATION}}
GUIDE_SPEAK = {
    "method": "speak",
    "params": {
        "tts": {"message": "Thanks for using Telesign", "language": "en-US"},
        "collect_digits": {"max": 1, "timeout": 10000, "inter_digit_timeout": 3000},
    },
}

SETTINGS = facts.KEYS | {
    "MASKING_GREETING": "Thanks for using Telesign",
    "MASKING_ACCEPT_DIGIT": "1",
}
LIST = f"to,caller_id_number\n{DESTINATION},{MASKING_ID}\n"


@pytest.fixture(scope="module")
def guide_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("guide"), SETTINGS, LIST) as server:
        yield server


def play(server: ServerProcess, call: str, *events: tuple[str, dict[str, Any]]) -> list[Any]:
    answers = []
    for name, data in events:
        body = json.dumps({"event": name, "reference_id": call, "data": data}).encode()
        answer = requests.post(server.url, body, headers=signed(body), timeout=10)
        assert answer.status_code == 200
        answers.append(answer.json())
    return answers


def test_diagram_a_connects_the_two(guide_server: ServerProcess) -> None:
    answers = play(
        guide_server,
        "diagram-a",
        ("incoming_call", {"to": DESTINATION, "from": facts.CALLER}),
        ("dial_completed", {"to": DESTINATION, "from": MASKING_ID, "status": "answered"}),
        ("speak_completed", {"status": "speak_successful", "collected_digits": "1"}),
        ("call_completed", {"inbound": {"duration": 9}, "outbound": {"duration": 6}}),
    )
    assert answers == [GUIDE_DIAL, GUIDE_SPEAK, facts.NO_ACTION, facts.NO_ACTION]


def test_diagram_b_does_not(guide_server: ServerProcess) -> None:
    answers = play(
        guide_server,
        "diagram-b",
        ("incoming_call", {"to": facts.NOT_LISTED, "from": facts.CALLER}),
        ("call_completed", {"duration": 1, "status": "hangup", "direction": "inbound"}),
    )
    assert answers == [facts.HANGUP, facts.NO_ACTION]
