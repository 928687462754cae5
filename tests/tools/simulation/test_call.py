"""A simulated call signs as TeleSign does, bears a marked id, and names why no answer came."""

import json
import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import facts
import pytest
import requests
from raw_servers import hang_up, raw_server, say_nothing, saying
from scripted_server import incoming_calls, scripted_server, well_but

import signature
from tools import http_client
from tools.console import CALLED, CALLER, SERVER, TELESIGN, Arrow, Note, Step
from tools.simulation.call import Failure, Signer, SimulatedCall, new_reference_id
from tools.simulation.validator import read_rejection

KEY = signature.decode_key(facts.API_KEY)
SIGNER = Signer(facts.CUSTOMER_ID, KEY)
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with http_client.Session() as session:
        yield session


def call_to(url: str, session: requests.Session, signer: Signer = SIGNER) -> SimulatedCall:
    return SimulatedCall(session, url, signer, to=facts.DIALLED, caller=facts.CALLER)


# Signing


def test_the_first_key_of_the_environment_signs() -> None:
    both = {**facts.KEYS, "TELESIGN_API_KEY": f" {facts.API_KEY} ,{facts.OTHER_API_KEY}"}
    assert Signer.from_environment(both) == SIGNER


def test_a_bad_key_is_an_error_that_does_not_show_it() -> None:
    with pytest.raises(signature.KeyFormError, match="wanted the key in base64") as caught:
        Signer.from_environment({"TELESIGN_API_KEY": "no key"})
    assert "no key" not in str(caught.value)


def verify(headers: dict[str, str], body: bytes) -> None:
    signature.verify(
        body,
        authorization=headers.get("Authorization"),
        x_ts_authorization=headers.get("X-TS-Authorization"),
        customer_id=facts.CUSTOMER_ID,
        keys=[KEY],
    )


def test_a_request_is_signed_with_the_key() -> None:
    verify(SIGNER.headers(b"{}"), b"{}")


def test_without_a_key_a_request_has_no_signature() -> None:
    assert Signer.from_environment({}) == Signer()
    assert Signer().headers(b"") == {"Content-Type": "application/json"}


def test_a_rejection_is_no_failure(session: requests.Session) -> None:
    with scripted_server(lambda _: ("401 No", {"error": "unauthorized"})) as url:
        call = call_to(url, session)
        call.read = read_rejection
        call.dial_in()
    assert (call.exchanges[0].status, call.exchanges[0].faults) == (401, ())
    assert call.steps[-1] == Arrow(
        SERVER, TELESIGN, f"1 401 {call.exchanges[0].milliseconds:g} ms", "green"
    )


# The call


def test_a_reference_id_is_marked_and_as_long_as_telesigns() -> None:
    assert re.fullmatch("SIMULATED[0-9A-F]{23}", new_reference_id())
    assert new_reference_id() != new_reference_id()


def test_an_exchange_holds_what_went_over_the_wire(session: requests.Session) -> None:
    with scripted_server(well_but()) as url:
        call = call_to(url, session)
        reply = call.dial_in()
    (exchange,) = call.exchanges
    assert (reply.method, reply.params) == ("dial", facts.DIAL["params"])
    assert json.loads(exchange.sent) == {
        "event": "incoming_call",
        "reference_id": call.reference_id,
        "data": {"to": facts.DIALLED, "from": facts.CALLER},
    }
    assert (exchange.event, exchange.assumed, exchange.status) == ("incoming_call", "", 200)
    assert json.loads(exchange.answer) == facts.DIAL
    assert call.steps == [
        Note(CALLER, f"dials and sees {facts.DIALLED}"),
        Arrow(TELESIGN, SERVER, "1 incoming_call", "cyan"),
        Arrow(SERVER, TELESIGN, f"1 dial {exchange.milliseconds:g} ms", "green"),
    ]


def test_an_incoming_call_that_is_reported_again_is_the_same_to_the_byte(
    session: requests.Session,
) -> None:
    with scripted_server(well_but()) as url:
        call = call_to(url, session)
        call.dial_in()
        call.report_incoming()
    first, second = (exchange.sent for exchange in call.exchanges)
    assert first == second


def test_what_the_documents_leave_open_is_marked_as_assumed(session: requests.Session) -> None:
    with scripted_server(well_but()) as url:
        call = call_to(url, session)
        call.caller = ""
        call.ring()
        call.complete_dial("busy")
        call.end()
    assert [exchange.assumed for exchange in call.exchanges] == [
        "a withheld number is an empty `from`",
        "a failed dial has the status 'busy'; {} is taken here",
        "",
    ]


def test_an_answer_that_is_no_command_is_drawn_with_a_question_mark(
    session: requests.Session,
) -> None:
    with raw_server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")) as server:
        call = call_to(f"http://127.0.0.1:{server.port}/", session)
        with pytest.raises(Failure, match="Content-Type: wanted application/json, got none"):
            call.dial_in()
    drawn = call.steps[-1]
    assert isinstance(drawn, Arrow)
    assert (drawn.label.startswith("1 ? "), drawn.style) == (True, "red")


# What the dial asks for besides

HELLO = {"method": "speak", "params": {"tts": {"message": "Hello"}}}


def dial(to: str = facts.DESTINATION, **params: str) -> dict[str, Any]:
    return {"method": "dial", "params": {"to": to, "caller_id_number": facts.MASKING_ID, **params}}


def sent(call: SimulatedCall) -> list[dict[str, Any]]:
    return [json.loads(exchange.sent) for exchange in call.exchanges]


def seen(call: SimulatedCall) -> list[Step]:
    """Return what people see and hear of a call."""
    return [
        step
        for step in call.steps
        if isinstance(step, Note) or SERVER not in (step.sender, step.receiver)
    ]


def test_every_event_after_the_dial_bears_the_id_of_the_dial(session: requests.Session) -> None:
    answers = {"incoming_call": dial(external_id="trip 1"), "dial_completed": HELLO}
    with scripted_server(well_but(**answers)) as url:
        call = call_to(url, session)
        call.ring()
        call.report_incoming()
        call.play_message(call.complete_dial("answered"))
        call.end_leg()
        call.report("call_quality_reported", {"score": 4})
        call.end()
        call.report_incoming()
    legs = {"to": facts.DESTINATION, "from": facts.DIALLED}
    incoming = {
        "event": "incoming_call",
        "reference_id": call.reference_id,
        "data": {"to": facts.DIALLED, "from": facts.CALLER},
    }
    later = [
        ("dial_completed", {**legs, "status": "answered"}),
        ("speak_completed", {"status": "speak_successful"}),
        ("call_leg_completed", legs),
        ("call_quality_reported", {"score": 4}),
        ("call_completed", ANY),
    ]
    known = {"reference_id": call.reference_id, "external_id": "trip 1"}
    events = [{"event": name, **known, "data": data} for name, data in later]
    assert sent(call) == [incoming, incoming, *events, incoming]
    assert list(sent(call)[2]) == ["event", "reference_id", "external_id", "data"]


def test_a_call_back_has_no_id_until_its_own_dial(session: requests.Session) -> None:
    dials = dial(external_id="trip 1"), dial(facts.CALLER, external_id="trip 2"), facts.HANGUP
    with scripted_server(incoming_calls(*dials)) as url:
        call = call_to(url, session)
        for _ in range(2):
            call.ring()
            call.end()
            call.call_back()
        call.dial_in()
        call.end()
    assert [message.get("external_id") for message in sent(call)] == [
        None, "trip 1", None, "trip 2", None, None,
    ]  # fmt: skip


def test_the_keys_are_pressed_after_the_answer_and_before_the_greeting(
    session: requests.Session,
) -> None:
    answers = {"incoming_call": dial(send_dtmf="ww6458#"), "dial_completed": HELLO}
    with scripted_server(well_but(**answers)) as url:
        call = call_to(url, session)
        call.connect()
    assert seen(call) == [
        Note(CALLER, f"dials and sees {facts.DIALLED}"),
        Arrow(TELESIGN, CALLED, f"rings {facts.DESTINATION}"),
        Note(CALLED, f"sees {facts.MASKING_ID}", "bold"),
        Arrow(CALLED, TELESIGN, "answers"),
        Arrow(TELESIGN, CALLED, "presses ww6458# (send_dtmf)"),
        Arrow(TELESIGN, CALLED, "says: Hello"),
        Arrow(CALLER, CALLED, "they talk", "bold", both_ways=True),
    ]
    assert [exchange.assumed for exchange in call.exchanges] == [
        "",
        "the keys are pressed before anything is spoken",
        "{} is taken here",
    ]
    assert all("external_id" not in message for message in sent(call))


@pytest.mark.parametrize(
    ("asked", "status"), [({"send_dtmf": "6458"}, "busy"), ({"external_id": "6458"}, "answered")]
)
def test_no_key_is_pressed_where_nobody_answers_or_none_is_asked_for(
    asked: dict[str, str], status: str, session: requests.Session
) -> None:
    with scripted_server(well_but(incoming_call=dial(**asked))) as url:
        call = call_to(url, session)
        call.ring()
        call.complete_dial(status)
    assert "presses" not in str(call.steps)
    assert "keys" not in call.exchanges[1].assumed


# No answer


def failure(url: str, session: requests.Session, signer: Signer = SIGNER) -> str:
    """Return the failure of a call that gets no answer."""
    call = call_to(url, session, signer)
    with pytest.raises(Failure) as caught:
        call.dial_in()
    assert (call.exchanges[0].status, call.exchanges[0].faults) == (0, (str(caught.value),))
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        (NOWHERE, "connection refused; start the server there, or check the port"),
        ("http://no-such-name.invalid/", "the name no-such-name.invalid is unknown; "),
        ("https://127.0.0.1:9/", "connection refused; "),
        ("https://a..b/", "the request failed (LocationParseError); "),
    ],
)
def test_a_call_without_an_answer_fails_and_names_the_cause(
    url: str, cause: str, session: requests.Session
) -> None:
    wanted = f"wanted an answer to incoming_call, got none: {cause}"
    assert failure(url, session).startswith(wanted)


def test_a_broken_answer_is_named(session: requests.Session) -> None:
    with raw_server(hang_up) as server:
        text = failure(f"http://127.0.0.1:{server.port}/", session)
    assert "got none: the connection broke" in text


def test_an_answer_that_does_not_come_in_time_is_named(
    monkeypatch: pytest.MonkeyPatch, session: requests.Session
) -> None:
    monkeypatch.setattr("tools.simulation.call.MAX_WAIT_S", 0.1)
    with raw_server(say_nothing) as server:
        text = failure(f"http://127.0.0.1:{server.port}/", session)
    assert "got none: no answer came in time" in text


def test_a_customer_id_that_no_header_can_hold_is_named(session: requests.Session) -> None:
    text = failure(NOWHERE, session, Signer("\u0100", KEY))
    assert "got none: the request failed (UnicodeEncodeError); " in text
