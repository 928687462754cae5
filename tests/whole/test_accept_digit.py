"""Asking for a digit is switched on, off or over, with a restart: no live call is cut for it."""

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
