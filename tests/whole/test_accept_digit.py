"""Asking for a digit is switched on, off or over, with a restart: no live call is cut for it."""

import json
from typing import Any

import facts
import pytest
from call_logs import Servers
from databases import EACH_DATABASE
from helpers import payload, post

OFF: dict[str, str] = {}
ONE = {"accept_digit": "1", "greeting": "Press 1 to take the call."}
TWO = {"accept_digit": "2", "greeting": "Press 2 to take the call."}
NOT_PRESSED, PRESSED_1 = payload("speak_completed"), payload("speak_completed_digit_1")
PRESSED_2 = PRESSED_1.replace(b'"1"', b'"2"')


@EACH_DATABASE
@pytest.mark.parametrize("after", [OFF, ONE, TWO], ids=["then off", "then 1", "then 2"])
@pytest.mark.parametrize(
    ("before", "spoken", "answer"),
    [
        (OFF, NOT_PRESSED, facts.NO_ACTION),
        (ONE, PRESSED_1, facts.NO_ACTION),
        (TWO, PRESSED_2, facts.NO_ACTION),
        (ONE, NOT_PRESSED, facts.HANGUP),
        (ONE, PRESSED_2, facts.HANGUP),
    ],
    ids=["not asked", "1 pressed", "2 pressed", "nothing pressed", "another pressed"],
)
def test_what_was_asked_of_a_call_counts_whatever_the_settings_say_by_now(
    servers: Servers, before: dict[str, str], after: dict[str, str], spoken: bytes, answer: Any
) -> None:
    app = servers.start(**before)
    post(app, payload("incoming_call"))
    assert post(app, payload("dial_completed_answered"))["method"] == "speak"
    assert post(servers.start(**after), spoken) == answer


@EACH_DATABASE
@pytest.mark.parametrize("spoken", [NOT_PRESSED, PRESSED_1, PRESSED_2])
def test_a_call_that_was_greeted_without_a_question_is_not_cut_by_a_second_greeting(
    servers: Servers, spoken: bytes
) -> None:
    app = servers.start()
    post(app, payload("incoming_call"))
    post(app, payload("dial_completed_answered"))
    again = payload("dial_completed_answered").replace(b'"status"', b'"more": 1, "status"')
    app = servers.start(**ONE)
    assert post(app, again)["params"]["collect_digits"]["max"] == 1
    assert post(app, spoken) == facts.NO_ACTION


AGAIN = payload("dial_completed_answered").replace(b'"status"', b'"more": 1, "status"')
STILL_NOT = NOT_PRESSED.replace(b'"collected_digits"', b'"more": 1, "collected_digits"')


@EACH_DATABASE
@pytest.mark.parametrize("starts_again", [False, True])
def test_a_second_report_of_the_answer_does_not_take_the_call(
    servers: Servers, ask: Any, starts_again: bool
) -> None:
    app = servers.start(**ONE)
    for body in payload("incoming_call"), payload("dial_completed_answered"), NOT_PRESSED:
        answer = post(app, body)
    assert answer == facts.HANGUP
    app = servers.start(**ONE) if starts_again else app
    assert post(app, AGAIN) == facts.NO_ACTION
    assert post(app, STILL_NOT) == facts.HANGUP
    post(app, payload("call_completed"))
    (call,) = json.loads(ask("calls", "--json", "--missed").stdout)
    assert call["disposition"] == "declined"


@EACH_DATABASE
@pytest.mark.parametrize("pressed", [[PRESSED_1, PRESSED_2], [PRESSED_2, PRESSED_1]])
def test_a_call_that_was_taken_stays_so_whatever_else_is_pressed(
    servers: Servers, ask: Any, pressed: list[bytes]
) -> None:
    app = servers.start(**ONE)
    for body in payload("incoming_call"), payload("dial_completed_answered"), *pressed:
        post(app, body)
    assert post(app, NOT_PRESSED) == facts.NO_ACTION
    post(app, payload("call_completed"))
    (call,) = json.loads(ask("calls", "--json").stdout)
    assert call["disposition"] == "connected"
