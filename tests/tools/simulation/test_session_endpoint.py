"""The played session endpoint takes what TeleSign's documents allow, and nothing else."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import facts
import pytest
import requests
from session_server import session_server
from telesign.rest import RestClient

import signature
from tools.simulation.session_endpoint import PATH, STATUSES, UNITS, Endpoint

KEY = signature.decode_key(facts.API_KEY)
WANTED = {"phone_number_1": facts.RIDER, "phone_number_2": facts.DRIVER, "validity_period": 1}


def endpoint(answer: str = "", **more: Any) -> Endpoint:
    return Endpoint(facts.CUSTOMER_ID, KEY, answer=answer, **more)


def signed_headers(body: bytes) -> dict[str, str]:
    """Return the headers that TeleSign's own client sends with a body."""
    headers: dict[str, str] = RestClient.generate_telesign_headers(
        facts.CUSTOMER_ID,
        facts.API_KEY,
        "POST",
        PATH,
        body.decode(),
        date_rfc2616=format_datetime(datetime.now(UTC), usegmt=True),
        nonce="nonce-1",
        content_type="application/json",
    )
    return headers


def post(account: Endpoint, body: bytes) -> tuple[int, Any]:
    """Post a body as TeleSign's client would; return the HTTP status and the message."""
    status, _, answer = account.post(PATH, signed_headers(body), body)
    return status, json.loads(answer)


def ask(account: Endpoint, **changes: Any) -> tuple[int, Any]:
    return post(account, json.dumps(WANTED | changes).encode())


# Sessions


def test_a_session_has_two_masking_ids_and_an_end() -> None:
    account = endpoint(unit_s=UNITS["minutes"])
    masks = account.free[:2]
    status, message = ask(account, validity_period=90)
    data = message["session_data"]
    assert (status, message["status"]) == (200, {"code": 2700})
    assert [data[f"phone_number_{place}"] for place in (1, 2)] == [
        {"complete_phone_number": facts.RIDER, "masked_id": masks[0]},
        {"complete_phone_number": facts.DRIVER, "masked_id": masks[1]},
    ]
    ends = datetime.fromisoformat(data["session_end_on"]).replace(tzinfo=UTC)
    assert timedelta(minutes=89) < ends - datetime.now(UTC) <= timedelta(minutes=90)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"phone_number_2": facts.RIDER}, 2708),
        ({"validity_period": 0}, 2705),
        ({"validity_period": 721}, 2705),
    ],
)
def test_a_request_that_telesign_refuses_has_its_code(changes: dict[str, Any], code: int) -> None:
    account = endpoint()
    assert ask(account, **changes) == (400, {"status": {"code": code}})
    assert len(account.free) == 10


def test_the_longest_validity_is_720_hours() -> None:
    assert ask(endpoint(), validity_period=720)[0] == 200


def test_no_masking_id_is_left_after_five_sessions() -> None:
    account = endpoint()
    codes = [ask(account)[1]["status"]["code"] for _ in range(6)]
    assert codes == [2700] * 5 + [2702]


@pytest.mark.parametrize("code", STATUSES)
def test_every_code_can_be_played(code: int) -> None:
    account = endpoint(str(code))
    status, message = ask(account)
    assert (status, message["status"]) == (STATUSES[code], {"code": code})
    assert ("session_data" in message) == (code in (2700, 2701))


@pytest.mark.parametrize(("answer", "status"), [("429", 429), ("500", 500), ("broken", 200)])
def test_an_answer_that_is_no_message_can_be_played(answer: str, status: int) -> None:
    body = json.dumps(WANTED).encode()
    got, _, text = endpoint(answer).post(PATH, signed_headers(body), body)
    assert got == status
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_a_slow_answer_comes_late_and_whole() -> None:
    started = time.monotonic()
    assert ask(endpoint("slow", slow_s=0.05))[1]["status"]["code"] == 2700
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"phone_number_1": "12025550123", "phone_number_2": "12025550145"}',
        b'{"phone_number_1": 12025550123, "phone_number_2": "12025550145", "validity_period": 1}',
        b'{"phone_number_1": "12025550123", "phone_number_2": "12025550145",'
        b' "validity_period": true}',
        b'{"phone_number_1": "12025550123", "phone_number_2": "12025550145", "validity_period": 1,'
        b' "more": 1}',
    ],
)
def test_a_body_with_other_members_is_refused(body: bytes) -> None:
    assert post(endpoint(), body) == (400, {"status": {"code": 400}})


# Signatures


@pytest.mark.parametrize(
    "changes",
    [
        {"x-ts-auth-method": "HMAC-SHA1"},
        {"Date": "Wed, 14 Dec 2016 18:20:12 GMT"},
        {"x-ts-nonce": "nonce-2"},
        {"Content-Type": "text/plain"},
        {"Authorization": ""},
        {"Authorization": "Basic nonsense"},
        {"Authorization": "TSA nonsense"},
    ],
)
def test_a_request_that_is_not_signed_right_is_refused(changes: dict[str, str]) -> None:
    assert endpoint().post(PATH, signed_headers(b"{}") | changes, b"{}")[0] == 401


def test_a_body_that_was_changed_on_its_way_is_refused() -> None:
    assert endpoint().post(PATH, signed_headers(b"{}"), b"{ }")[0] == 401


def test_telesigns_own_client_gets_a_session_at_the_one_path_there_is() -> None:
    with session_server(endpoint()) as url:
        client = RestClient(facts.CUSTOMER_ID, facts.API_KEY, rest_endpoint=url)
        with client.session:
            assert client.post(PATH, json_fields=WANTED).status_code == 200
        assert requests.post(f"{url}/v1/other", b"{}", timeout=10).status_code == 404
        assert requests.post(f"{url}{PATH}", b"{}", timeout=10).status_code == 401
