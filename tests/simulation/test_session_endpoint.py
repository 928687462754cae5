"""The played session endpoint takes what TeleSign's documents allow, and nothing else."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import facts
import pytest
import requests
from telesign.rest import RestClient

import signature
from simulation.session_endpoint import DESCRIPTIONS, PATH, UNITS, Endpoint, endpoint_server

KEY = signature.decode_key(facts.API_KEY)
WANTED = {"phone_number_1": facts.RIDER, "phone_number_2": facts.DRIVER, "validity_period": 1}


def endpoint(answer: str = "", **more: Any) -> Endpoint:
    return Endpoint(facts.CUSTOMER_ID, KEY, answer=answer, **more)


@contextlib.contextmanager
def served(account: Endpoint) -> Iterator[str]:
    with endpoint_server(account) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def signed_headers(body: bytes, nonce: str = "nonce-1") -> dict[str, str]:
    """Return the headers that TeleSign's own client sends with a body."""
    headers: dict[str, str] = RestClient.generate_telesign_headers(
        facts.CUSTOMER_ID,
        facts.API_KEY,
        "POST",
        PATH,
        body.decode(),
        date_rfc2616=format_datetime(datetime.now(UTC), usegmt=True),
        nonce=nonce,
        content_type="application/json",
    )
    return headers


def post(account: Endpoint, body: bytes, nonce: str = "nonce-1") -> tuple[int, Any]:
    """Post a body as TeleSign's client would; return the HTTP status and the message."""
    status, _, answer = account.post(PATH, signed_headers(body, nonce), body)
    return status, json.loads(answer)


def code_of(account: Endpoint, headers: dict[str, str], body: bytes = b"{}") -> tuple[int, int]:
    status, _, answer = account.post(PATH, headers, body)
    return status, json.loads(answer)["status"]["code"]


# Sessions


def ask(account: Endpoint, nonce: str = "nonce-1", **changes: Any) -> tuple[int, Any]:
    return post(account, json.dumps(WANTED | changes).encode(), nonce)


def test_a_session_has_two_masking_ids_and_an_end() -> None:
    account = endpoint(unit_s=UNITS["minutes"])
    status, message = ask(account, validity_period=90)
    data = message["session_data"]
    assert (status, message["status"]["code"], data["validity"]) == (200, 2700, "90")
    masks = [data[name]["masked_id"] for name in ("phone_number_1", "phone_number_2")]
    assert account.sessions == [{"numbers": [facts.RIDER, facts.DRIVER], "masks": masks}]
    assert len({facts.RIDER, facts.DRIVER, *masks}) == 4
    ends = datetime.fromisoformat(data["session_end_on"]).replace(tzinfo=UTC)
    assert timedelta(minutes=89) < ends - datetime.now(UTC) <= timedelta(minutes=90)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"phone_number_2": facts.RIDER}, 2708),
        ({"validity_period": 0}, 2705),
        ({"validity_period": 721}, 2705),
        ({"validity_period": 1.5}, 2705),
        ({"validity_period": "1"}, 2705),
        ({"validity_period": True}, 2705),
    ],
)
def test_a_request_that_telesign_refuses_has_its_code(changes: dict[str, Any], code: int) -> None:
    account = endpoint()
    status, message = ask(account, **changes)
    assert (status, message["status"]["code"]) == (400, code)
    assert account.sessions == []


def test_the_longest_validity_is_720_hours() -> None:
    assert ask(endpoint(), validity_period=720)[0] == 200


def test_no_masking_id_is_left_after_five_sessions() -> None:
    account = endpoint()
    codes = [ask(account, f"nonce-{n}")[1]["status"]["code"] for n in range(6)]
    assert codes == [2700] * 5 + [2702]


@pytest.mark.parametrize("code", DESCRIPTIONS)
def test_every_code_can_be_played(code: int) -> None:
    account = endpoint(str(code))
    status, message = ask(account)
    assert (status, message["status"]["description"]) == DESCRIPTIONS[code]
    assert len(account.sessions) == (1 if status == 200 else 0)


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
        b"",
        b"[]",
        b"{}",
        b'{"phone_number_1": "12025550123", "phone_number_2": "12025550145"}',
        b'{"phone_number_1": 12025550123, "phone_number_2": "12025550145", "validity_period": 1}',
        b'{"phone_number_1": "12025550123", "phone_number_2": "12025550145", "validity_period": 1,'
        b' "more": 1}',
    ],
)
def test_a_body_with_other_members_is_refused(body: bytes) -> None:
    assert code_of(endpoint(), signed_headers(body), body) == (400, 400)


# Signatures


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"x-ts-auth-method": "HMAC-SHA1"}, -30008),
        ({"Date": ""}, -30007),
        ({"Date": "yesterday"}, -30009),
        ({"Date": "Wed, 14 Dec 2016 18:20:12 GMT"}, -30010),
        ({"x-ts-nonce": "nonce-2"}, -30006),
        ({"Content-Type": "text/plain"}, -30006),
        ({"Authorization": ""}, -30004),
        ({"Authorization": "Basic nonsense"}, -30005),
        ({"Authorization": "TSA nonsense"}, -30006),
    ],
)
def test_a_request_that_is_not_signed_right_is_refused(changes: dict[str, str], code: int) -> None:
    assert code_of(endpoint(), signed_headers(b"{}") | changes) == (401, code)


def test_a_signature_that_leaves_the_body_out_is_refused() -> None:
    """TeleSign's client signs so when it is given a `body`, and not `json_fields`."""
    with served(endpoint()) as url:
        client = RestClient(facts.CUSTOMER_ID, facts.API_KEY, rest_endpoint=url)
        with client.session:
            assert client.post(PATH, body=WANTED).status_code == 401
            assert client.post(PATH, json_fields=WANTED).status_code == 200


def test_a_body_that_was_changed_on_its_way_is_refused() -> None:
    assert code_of(endpoint(), signed_headers(b"{}"), b"{ }") == (401, -30006)


def test_a_nonce_is_taken_once() -> None:
    account, headers = endpoint(), signed_headers(b"{}")
    assert code_of(account, headers) == (400, 400)
    assert code_of(account, headers) == (401, -30012)


def test_the_endpoint_has_one_path() -> None:
    with served(endpoint()) as url:
        assert requests.post(f"{url}/v1/other", b"{}", timeout=10).status_code == 404
        assert requests.post(f"{url}{PATH}", b"{}", timeout=10).status_code == 401
