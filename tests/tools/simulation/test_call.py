"""A simulated call signs as TeleSign does, bears a marked id, and names why no answer came."""

import json
import re
from collections.abc import Iterator

import facts
import pytest
import requests
from raw_servers import hang_up, raw_server, say_nothing, saying
from scripted_server import scripted_server, well_but

import signature
from tools import http_client
from tools.console import CALLER, SERVER, TELESIGN, Arrow, Note
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
