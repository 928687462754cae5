"""The client of TeleSign's session endpoint, at the simulated one and at one that answers badly."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import facts
import pytest
import requests

import signature
import telesign_api
from api_simulator import ANSWERS, PATH, UNITS, Endpoint, endpoint_server
from phone import PhoneNumber
from telesign_api import Credentials, MaskedSession, SessionError, create_session

ONE, TWO = PhoneNumber(facts.RIDER), PhoneNumber(facts.DRIVER)
KEY = signature.decode_key(facts.API_KEY)
CREDENTIALS = Credentials(facts.CUSTOMER_ID, KEY)

# TeleSign's SDK tests.
SDK_API_KEY = (
    "EXAMPLE----TE8sTgg45yusumoN6BYsBVkh+yRJ5czgsnCehZaOYldPJdmFh6NeX8kunZ2zU1YWaUw/0wV6xfw=="
)
SDK_KEY = base64.b64decode(SDK_API_KEY)
SDK_LINES = (
    "Wed, 14 Dec 2016 18:20:12 GMT\n"
    "x-ts-auth-method:HMAC-SHA256\n"
    "x-ts-nonce:A1592C6F-E384-4CDB-BC42-C3AB970369E9\n"
)
SDK_POST = f"POST\napplication/x-www-form-urlencoded\n{SDK_LINES}"


@pytest.mark.parametrize(
    ("head", "body", "known"),
    [
        (SDK_POST, b"test=param", "2xVlmbrxLjYrrPun3G3WMNG6Jon4yKcTeOoK9DjXJ/Q="),
        (SDK_POST, b"test=%CF%BF", "h8d4I0RTxErbxYXuzCOtNqb/f0w3Ck8e5SEkGNj01+8="),
        (f"GET\n\n{SDK_LINES}", b"", "aUm7I+9GKl3ww7PNeeJntCT0iS7b+EmRKEE4LnRzChQ="),
    ],
)
def test_known_request_signatures(head: str, body: bytes, known: str) -> None:
    made = telesign_api.tsa(facts.CUSTOMER_ID, SDK_KEY, head, body, "/v1/resource")
    assert made == f"TSA {facts.CUSTOMER_ID}:{known}"


def test_the_known_basic_header() -> None:
    assert telesign_api.basic(facts.CUSTOMER_ID, SDK_API_KEY) == (
        "Basic RkZGRkZGRkYtRUVFRS1ERERELTEyMzQtQUIxMjM0NTY3ODkwOkVYQU1QTEUtLS0tVEU4c1RnZzQ1eXVzdW1v"
        "TjZCWXNCVmtoK3lSSjVjemdzbkNlaFphT1lsZFBKZG1GaDZOZVg4a3VuWjJ6VTFZV2FVdy8wd1Y2eGZ3PT0="
    )


def test_a_request_is_signed_in_the_order_that_is_known() -> None:
    now = datetime(2016, 12, 14, 18, 20, 12, tzinfo=UTC)
    signed = Credentials(facts.CUSTOMER_ID, SDK_KEY, signed=True)
    headers = signed.headers(b"{}", now=now, nonce="A1592C6F-E384-4CDB-BC42-C3AB970369E9")
    right = telesign_api.tsa(
        facts.CUSTOMER_ID, SDK_KEY, f"POST\napplication/json\n{SDK_LINES}", b"{}", PATH
    )
    assert headers == {
        "Authorization": right,
        "Date": "Wed, 14 Dec 2016 18:20:12 GMT",
        "x-ts-auth-method": "HMAC-SHA256",
        "x-ts-nonce": "A1592C6F-E384-4CDB-BC42-C3AB970369E9",
    }


def test_the_key_is_not_shown() -> None:
    assert repr(KEY)[2:-1] not in repr(CREDENTIALS)
    assert facts.CUSTOMER_ID not in repr(CREDENTIALS)


Serve = Callable[[Endpoint], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running = []

    def start(endpoint: Any) -> str:
        server = endpoint_server(endpoint)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def endpoint(answer: str = "", **more: Any) -> Endpoint:
    return Endpoint(facts.CUSTOMER_ID, KEY, answer=answer, **more)


@pytest.mark.parametrize("signed", [False, True], ids=["Basic", "TSA"])
def test_a_session_is_created_once(signed: bool, serve: Serve) -> None:
    account = endpoint(unit_s=UNITS["minutes"])
    credentials = Credentials(facts.CUSTOMER_ID, KEY, signed=signed)
    made = create_session(serve(account), credentials, ONE, TWO, 90)
    masks = account.sessions[0]["masks"]
    assert account.sessions == [{"numbers": [ONE, TWO], "masks": masks}]
    assert made == MaskedSession(
        reference_id=made.reference_id,
        number_1=ONE,
        mask_1=masks[0],
        number_2=TWO,
        mask_2=masks[1],
        ends=made.ends,
    )
    left = made.ends - datetime.now(UTC)
    assert timedelta(minutes=89) < left <= timedelta(minutes=90)
    assert len(made.reference_id) == 32


def test_a_mask_of_another_country_is_a_warning(serve: Serve) -> None:
    made = create_session(serve(endpoint("2701")), CREDENTIALS, ONE, TWO, 1)
    assert made.warning == "a mask is of another country than its number"


@pytest.mark.parametrize("code", sorted(telesign_api.REFUSALS))
def test_each_refusal_is_an_error_of_its_own(code: int, serve: Serve) -> None:
    account = endpoint(str(code))
    with pytest.raises(SessionError) as caught:
        create_session(serve(account), CREDENTIALS, ONE, TWO, 1)
    assert type(caught.value) is telesign_api.REFUSALS[code]
    assert str(caught.value).startswith(f"{code}: ")
    assert account.sessions == []


def test_every_documented_code_is_known() -> None:
    codes = {int(answer) for answer in ANSWERS if answer.startswith("27")}
    assert codes == set(telesign_api.REFUSALS) | {2700, 2701}


@pytest.mark.parametrize(
    ("numbers", "validity", "error"),
    [
        ((ONE, ONE), 1, telesign_api.SameNumbersError),
        ((ONE, TWO), 0, telesign_api.InvalidValidityError),
        ((ONE, TWO), 721, telesign_api.InvalidValidityError),
    ],
)
def test_the_endpoint_refuses_what_telesign_does(
    numbers: tuple[PhoneNumber, PhoneNumber],
    validity: int,
    error: type[SessionError],
    serve: Serve,
) -> None:
    with pytest.raises(error):
        create_session(serve(endpoint()), CREDENTIALS, *numbers, validity)


def test_the_pool_runs_out(serve: Serve) -> None:
    url = serve(endpoint())
    for _ in range(5):
        create_session(url, CREDENTIALS, ONE, TWO, 1)
    with pytest.raises(telesign_api.NoMaskAvailableError):
        create_session(url, CREDENTIALS, ONE, TWO, 1)


@pytest.mark.parametrize("signed", [False, True], ids=["Basic", "TSA"])
@pytest.mark.parametrize(
    ("customer_id", "key"),
    [(facts.CUSTOMER_ID, signature.decode_key(facts.OTHER_API_KEY)), ("another", KEY)],
)
def test_a_wrong_key_or_id_is_refused(
    customer_id: str, key: bytes, signed: bool, serve: Serve
) -> None:
    account = endpoint()
    with pytest.raises(telesign_api.NotAuthorizedError, match="check both"):
        create_session(serve(account), Credentials(customer_id, key, signed=signed), ONE, TWO, 1)
    assert account.sessions == []


def test_too_many_requests_say_wait(serve: Serve) -> None:
    with pytest.raises(telesign_api.TooManyRequestsError, match="wait a while"):
        create_session(serve(endpoint("429")), CREDENTIALS, ONE, TWO, 1)


@pytest.mark.parametrize("answer", ["500", "broken"])
def test_an_answer_that_says_nothing_leaves_it_open(answer: str, serve: Serve) -> None:
    with pytest.raises(telesign_api.SessionUnknownError, match="the session may exist"):
        create_session(serve(endpoint(answer)), CREDENTIALS, ONE, TWO, 1)


def test_a_slow_answer_leaves_it_open_and_is_not_asked_again(serve: Serve) -> None:
    account = endpoint("slow", slow_s=1.0)
    url = serve(account)
    with pytest.raises(telesign_api.SessionUnknownError, match="ReadTimeout"):
        create_session(url, CREDENTIALS, ONE, TWO, 1, timeout_s=0.2)
    time.sleep(1.0)
    assert account.asked == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://a..b", "https://127.0.0.1:99999"])
def test_no_connection_means_nothing_was_asked(url: str) -> None:
    with pytest.raises(SessionError, match="nothing was asked") as caught:
        create_session(url, CREDENTIALS, ONE, TWO, 1)
    assert type(caught.value) is SessionError


def good_message() -> dict[str, Any]:
    asked = {"phone_number_1": ONE, "phone_number_2": TWO, "validity_period": 1}
    headers = {"Content-Type": "application/json"} | CREDENTIALS.headers(
        b"", now=datetime.now(UTC), nonce=""
    )
    message: dict[str, Any] = json.loads(
        endpoint().post(PATH, headers, json.dumps(asked).encode())[2]
    )
    return message


def broken(change: Callable[[dict[str, Any]], object]) -> bytes:
    message = good_message()
    change(message)
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"status": null}',
        b'{"status": {"code": "2700"}}',
        b'{"status": {"code": 2799}}',
        b'{"status": {"code": []}}',
        broken(lambda m: m.pop("session_data")),
        broken(lambda m: m.pop("reference_id")),
        broken(lambda m: m["session_data"].pop("session_end_on")),
        broken(lambda m: m["session_data"].update(session_end_on="soon")),
        broken(lambda m: m["session_data"].update(session_end_on="2026-01-31")),
        broken(lambda m: m["session_data"].update(session_end_on="2026-01-31 18:00:00+99:00")),
        broken(lambda m: m.update(reference_id=None)),
        broken(lambda m: m.update(reference_id="\x1b[2J")),
        broken(lambda m: m["session_data"]["phone_number_1"].update(masked_id=None)),
        broken(lambda m: m["session_data"]["phone_number_1"].update(masked_id="x")),
        broken(lambda m: m["session_data"]["phone_number_1"].update(masked_id=TWO)),
        broken(lambda m: m["session_data"]["phone_number_2"].update(masked_id=TWO)),
        broken(lambda m: m["session_data"]["phone_number_1"].update(complete_phone_number=TWO)),
    ],
)
def test_an_answer_that_is_no_session_is_none(body: bytes, serve: Serve) -> None:
    class Lying:
        def post(self, *_: object) -> tuple[int, str, bytes]:
            return 200, "application/json", body

    with pytest.raises(telesign_api.SessionUnknownError, match="got HTTP 200 with status code"):
        create_session(serve(Lying()), CREDENTIALS, ONE, TWO, 1)  # type: ignore[arg-type]


def change_harmlessly(message: dict[str, Any]) -> None:
    message["session_data"]["session_end_on"] = "2026-01-31 18:00:00+05:30"
    message["session_data"]["phone_number_1"]["complete_phone_number"] = f"+{ONE}"


def test_a_good_answer_is_read_by_the_same_path(serve: Serve) -> None:
    body = broken(change_harmlessly)

    class Honest:
        def post(self, *_: object) -> tuple[int, str, bytes]:
            return 200, "application/json", body

    made = create_session(serve(Honest()), CREDENTIALS, ONE, TWO, 1)  # type: ignore[arg-type]
    assert made.mask_1
    assert made.ends == datetime(2026, 1, 31, 12, 30, tzinfo=UTC)


# What the endpoint takes


def ask(account: Endpoint, headers: dict[str, str], body: bytes = b"{}") -> tuple[int, Any]:
    status, _, answer = account.post(PATH, headers, body)
    return status, json.loads(answer)["status"]["code"]


def signed_headers(**changes: str) -> dict[str, str]:
    credentials = Credentials(facts.CUSTOMER_ID, KEY, signed=True)
    now = datetime.now(UTC)
    headers = credentials.headers(b"{}", now=now, nonce="nonce-1")
    return {"Content-Type": "application/json"} | headers | changes


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
        ({"Authorization": "Basic nonsense"}, -30006),
        ({"Authorization": "TSA nonsense"}, -30006),
    ],
)
def test_the_endpoint_refuses_what_is_not_signed_right(changes: dict[str, str], code: int) -> None:
    assert ask(endpoint(), signed_headers(**changes)) == (401, code)


def test_the_endpoint_takes_a_nonce_once() -> None:
    account, headers = endpoint(), signed_headers()
    assert ask(account, headers) == (400, 400)
    assert ask(account, headers) == (401, -30012)


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
def test_the_endpoint_is_strict_about_members(body: bytes) -> None:
    headers = CREDENTIALS.headers(body, now=datetime.now(UTC), nonce="")
    sent = {"Content-Type": "application/json"} | headers
    assert ask(endpoint(), sent, body) == (400, 400)


def test_the_endpoint_has_one_path(serve: Serve) -> None:
    url = serve(endpoint())
    assert requests.post(f"{url}/v1/other", b"{}", timeout=10).status_code == 404
    assert requests.post(f"{url}{PATH}", b"{}", timeout=10).status_code == 401
