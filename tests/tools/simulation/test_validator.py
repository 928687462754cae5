"""Every answer that TeleSign would not take is a fault that names the member and the rule."""

import json
from typing import Any

import facts
import pytest

from tools.simulation.validator import Answer, Reply, read_rejection, read_reply

MASKING_ID, DESTINATION = facts.MASKING_ID, facts.DESTINATION


def read(answer: Any, event: str = "incoming_call", **how: Any) -> Reply:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    good = Answer(200, "application/json", body, seconds=0.1)
    return read_reply(event, facts.CALLER, good._replace(**how))


def dial(**params: Any) -> dict[str, Any]:
    required = {"to": DESTINATION, "caller_id_number": MASKING_ID}
    given = {name: value for name, value in (required | params).items() if value is not ...}
    return {"method": "dial", "params": given}


def speak(collect: Any = ..., **tts: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"tts": {"message": "Hello", "language": "en-US"} | tts}
    if collect is not ...:
        params["collect_digits"] = collect
    return {"method": "speak", "params": params}


@pytest.mark.parametrize(
    ("answer", "event"),
    [
        (dial(), "incoming_call"),
        (dial(max_call_duration="14400"), "incoming_call"),
        (dial(send_dtmf="0123456789ABCD*#w"), "incoming_call"),
        (dial(send_dtmf="w" * 100), "incoming_call"),
        (dial(external_id="4142b474-d65d-4265-a5fa-a581b1fe6101"), "incoming_call"),
        (dial(external_id=" "), "incoming_call"),
        ({"jsonrpc": "2.0", "id": "1"} | dial(), "incoming_call"),
        (speak(), "incoming_call"),
        (speak({"max": 1}), "dial_completed"),
        (speak({"max": 1, "timeout": 10000, "inter_digit_timeout": 3000}), "speak_completed"),
        (facts.HANGUP, "incoming_call"),
        ({}, "dial_completed"),
        ({}, "speak_completed"),
        ({}, "call_leg_completed"),
        ({}, "an_event_of_no_document"),
        ({}, "call_completed"),
        ({"method": "nonsense"}, "call_completed"),
    ],
)
def test_an_answer_that_telesign_takes_has_no_faults(answer: dict[str, Any], event: str) -> None:
    reply = read(answer, event)
    assert reply.faults == ()
    if event != "call_completed":
        assert (reply.method, reply.params) == (answer.get("method", ""), answer.get("params", {}))


@pytest.mark.parametrize("event", ["dial_completed", "speak_completed", "x", "call_completed"])
def test_a_list_of_an_empty_object_leaves_a_call_as_it_is(event: str) -> None:
    assert read([{}], event) == read({}, event) == Reply("", {})


@pytest.mark.parametrize("answer", [[], [{}, {}], [[{}]], [None]])
def test_no_other_list_is_taken(answer: Any) -> None:
    (fault,) = read(answer, "dial_completed").faults
    assert fault.startswith("body: wanted a JSON object, got ")


def test_a_reply_knows_whether_it_collects_digits() -> None:
    assert read(speak({"max": 1}), "dial_completed").collects
    assert not read(speak(), "dial_completed").collects


@pytest.mark.parametrize(("answer", "name"), [(facts.HANGUP, "hangup"), ({}, "no action")])
def test_a_reply_has_a_name(answer: dict[str, Any], name: str) -> None:
    assert read(answer, "dial_completed").name == name


LIST = "dial, hangup, speak"
KEYS = "wanted a string of the keys 0-9 A-D * # and w"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", "body: wanted a JSON object, got b''"),
        (b"<html>", "body: wanted a JSON object, got b'<html>'"),
        (b"null", "body: wanted a JSON object, got b'null'"),
        ([facts.HANGUP],
         "body: wanted a JSON object, got b'[{\"method\": \"hangup\", \"params\": {}}]'"),
        ("hangup", "body: wanted a JSON object, got b'\"hangup\"'"),
        ({}, f"method: wanted one of {LIST} in answer to incoming_call, got nothing"),
        ([{}], f"method: wanted one of {LIST} in answer to incoming_call, got nothing"),
        ({"method": "record", "params": {}},
         f"method: wanted one of {LIST} in answer to incoming_call, got 'record'"),
        ({"method": "", "params": {}},
         f"method: wanted one of {LIST} in answer to incoming_call, got ''"),
        ({"method": 1, "params": {}},
         f"method: wanted one of {LIST} in answer to incoming_call, got 1"),
        ({"params": {}},
         f"method: wanted one of {LIST} in answer to incoming_call, got nothing"),
        (b"[" * 100_000, f"body: wanted a JSON object, got b'{'[' * 40}'"),
        ({"method": "hangup"}, "params: wanted an object, got nothing"),
        ({"method": "hangup", "params": []}, "params: wanted an object, got []"),
        ({"method": "hangup", "params": None}, "params: wanted an object, got None"),
        (dial(to=facts.CALLER),
         "params.to: wanted another person's number, got the caller's own number"),
        ({"method": "hangup", "params": {"now": 1}}, "params.now: unknown member"),
        (facts.HANGUP | {"reason": "x"}, "reason: unknown member"),
        (dial(to=...), "params.to: wanted a string of 7 to 15 digits, got nothing"),
        (dial(to=12025550111), "params.to: wanted a string of 7 to 15 digits, got 12025550111"),
        (dial(to="+12025550111"),
         "params.to: wanted a string of 7 to 15 digits, got '+12025550111'"),
        (dial(to="123456"), "params.to: wanted a string of 7 to 15 digits, got '123456'"),
        (dial(caller_id_number=...),
         "params.caller_id_number: wanted a string of 7 to 15 digits, got nothing"),
        (dial(caller_id_number=None),
         "params.caller_id_number: wanted a string of 7 to 15 digits, got None"),
        (dial(caller_id_number=facts.CALLER),
         "params.caller_id_number: wanted a masking ID, got the caller's own number"),
        (dial(caller_id_number=DESTINATION),
         "params.caller_id_number: wanted a masking ID, got the called person's own number"),
        (dial(max_call_duration=600),
         "params.max_call_duration: wanted a string of 1 to 14400 seconds, got 600"),
        (dial(max_call_duration="0"),
         "params.max_call_duration: wanted a string of 1 to 14400 seconds, got '0'"),
        (dial(max_call_duration="14401"),
         "params.max_call_duration: wanted a string of 1 to 14400 seconds, got '14401'"),
        (dial(send_dtmf=""), f"params.send_dtmf: {KEYS}, got ''"),
        (dial(send_dtmf=6458), f"params.send_dtmf: {KEYS}, got 6458"),
        (dial(send_dtmf=None), f"params.send_dtmf: {KEYS}, got None"),
        (dial(send_dtmf="64,58"), f"params.send_dtmf: {KEYS}, got '64,58'"),
        (dial(send_dtmf="64W"), f"params.send_dtmf: {KEYS}, got '64W'"),
        (dial(send_dtmf="64E"), f"params.send_dtmf: {KEYS}, got '64E'"),
        (dial(send_dtmf="64\n"), f"params.send_dtmf: {KEYS}, got '64\\n'"),
        (dial(send_dtmf="\u0661"), f"params.send_dtmf: {KEYS}, got '\u0661'"),
        (dial(external_id=""), "params.external_id: wanted a string that is not empty, got ''"),
        (dial(external_id=1234), "params.external_id: wanted a string that is not empty, got 1234"),
        (dial(external_id=None), "params.external_id: wanted a string that is not empty, got None"),
        (dial(is_primary=True), "params.is_primary: unknown member"),
        (dial(timeout=30), "params.timeout: unknown member"),
        ({"method": "speak", "params": {}}, "params.tts: wanted an object, got nothing"),
        ({"method": "speak", "params": {"tts": "Hello"}},
         "params.tts: wanted an object, got 'Hello'"),
        (speak(message=" "), "params.tts.message: wanted a string that is not blank, got ' '"),
        (speak(language=None), "params.tts.language: wanted a string that is not blank, got None"),
        (speak(voice="x"), "params.tts.voice: unknown member"),
        (speak({}), "params.collect_digits.max: wanted a positive integer, got nothing"),
        (speak({"max": "1"}), "params.collect_digits.max: wanted a positive integer, got '1'"),
        (speak({"max": 0}), "params.collect_digits.max: wanted a positive integer, got 0"),
        (speak({"max": True}), "params.collect_digits.max: wanted a positive integer, got True"),
        (speak({"max": 1, "timeout": 1.5}),
         "params.collect_digits.timeout: wanted a positive integer, got 1.5"),
        (speak({"max": 1, "terminators": "#"}),
         "params.collect_digits.terminators: unknown member"),
    ],
)  # fmt: skip
def test_an_answer_that_telesign_does_not_take_has_a_fault_that_names_the_rule(
    answer: Any, fault: str
) -> None:
    assert read(answer).faults == (fault,)


@pytest.mark.parametrize(
    "event", ["dial_completed", "speak_completed", "play_completed", "call_leg_completed", "new"]
)
def test_a_dial_answers_an_incoming_call_only(event: str) -> None:
    (fault,) = read(dial(), event).faults
    assert fault.startswith("method: wanted one of hangup, ")
    assert fault.endswith(f" in answer to {event}, got 'dial'")


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ({"status": 500}, "status: wanted 200, got 500"),
        ({"status": 202}, "status: wanted 200, got 202"),
        ({"status": 404}, "status: wanted 200, got 404 (add the server's event path to --url)"),
        (
            {"status": 401},
            "status: wanted 200, got 401"
            " (the server has another key or another customer id, or a proxy in front of it"
            " re-encodes the body; set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY to the values that"
            " the server has)",
        ),
        (
            {"content_type": "text/html; charset=UTF-8"},
            "Content-Type: wanted application/json, got text/html; charset=UTF-8",
        ),
        ({"content_type": ""}, "Content-Type: wanted application/json, got none"),
        ({"seconds": 5.25}, "time: wanted an answer within 5 s, got one after 5.2 s"),
    ],
)
def test_an_answer_must_come_as_telesign_wants_it_even_when_it_is_ignored(
    how: dict[str, Any], fault: str
) -> None:
    for event in "incoming_call", "call_completed":
        assert read(facts.HANGUP, event, **how).faults == (fault,)


def test_all_faults_of_an_answer_are_listed() -> None:
    answer = {"method": "dial", "params": {"caller_id_number": 1, "x": 2}, "y": 3, "b": 4}
    assert read(answer).faults == (
        "b: unknown member",
        "y: unknown member",
        "params.x: unknown member",
        "params.to: wanted a string of 7 to 15 digits, got nothing",
        "params.caller_id_number: wanted a string of 7 to 15 digits, got 1",
    )


@pytest.mark.parametrize(
    ("status", "body", "faults"),
    [
        (401, b'{"error":"unauthorized"}', ()),
        (401, b'{"to":"12025550111"}',
         ("body: wanted no number without a valid signature, got one",)),
        (403, b"", ("status: wanted 401 without a valid signature, got 403",)),
        (200, b"{}", ("status: wanted 401 without a valid signature, got 200 (the server verifies"
                      " no signatures)",)),
    ],
)  # fmt: skip
def test_a_request_without_a_valid_signature_has_to_be_rejected_without_a_number(
    status: int, body: bytes, faults: tuple[str, ...]
) -> None:
    answer = Answer(status, "application/json", body, 0.1)
    assert read_rejection("incoming_call", facts.CALLER, answer) == Reply("", {}, faults)
