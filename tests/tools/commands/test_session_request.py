"""A session is asked for once, and no unclear answer is taken for a session, or for none."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import facts
import pytest
from raw_servers import (
    OPENSSL,
    Play,
    breaking_tls,
    hang_up,
    make_certificate,
    over_tls,
    raw_server,
    say_nothing,
    saying,
)
from session_server import session_server

import config
import signature
from commands import Dial
from phone import PhoneNumber
from routing import Route
from tools.commands.session import MAY_EXIST, REFUSALS, MaskedSession, SessionError, create_session
from tools.simulation.session_endpoint import STATUSES, UNITS, Endpoint

ONE, TWO = PhoneNumber(facts.RIDER), PhoneNumber(facts.DRIVER)
KEY = signature.decode_key(facts.API_KEY)
SETTINGS = config.read("", facts.KEYS)[0]
ASKED = {"phone_number_1": ONE, "phone_number_2": TWO, "validity_period": 1}


def ask(
    url: str, *, validity: int = 1, people: tuple[PhoneNumber, PhoneNumber] = (ONE, TWO),
    timeout_s: float = 10, **changes: Any,
) -> MaskedSession:  # fmt: skip
    settings = replace(SETTINGS, api_url=url, **changes)
    return create_session(settings, people, validity, timeout_s=timeout_s)


def refusal(url: str, **how: Any) -> str:
    with pytest.raises(SessionError) as caught:
        ask(url, **how)
    assert facts.API_KEY not in str(caught.value)
    return str(caught.value)


def endpoint(answer: str = "", **more: Any) -> Endpoint:
    return Endpoint(facts.CUSTOMER_ID, KEY, answer=answer, **more)


@pytest.fixture
def account() -> Endpoint:
    return endpoint(unit_s=UNITS["minutes"])


@pytest.fixture
def url(account: Endpoint) -> Iterator[str]:
    with session_server(account) as url:
        yield url


def test_a_session_is_a_route_each_way_until_its_end(account: Endpoint, url: str) -> None:
    first, second, *left = account.free
    mask_1, mask_2 = PhoneNumber(first), PhoneNumber(second)
    made = ask(url, validity=90)
    ends = made.routes[0].expires
    assert ends is not None
    assert timedelta(minutes=89) < ends - datetime.now(UTC) <= timedelta(minutes=90)
    assert made.routes == [
        Route(mask_2, ONE, Dial(TWO, mask_1), ends),
        Route(mask_1, TWO, Dial(ONE, mask_2), ends),
    ]
    assert (made.country_differs, len(made.reference_id)) == (False, 32)
    assert account.free == left


def test_the_endpoint_refuses_what_telesign_does(account: Endpoint, url: str) -> None:
    assert refusal(url, people=(ONE, ONE)) == REFUSALS[2708]
    assert refusal(url, validity=0) == refusal(url, validity=721 * 60) == REFUSALS[2705]
    account.free.clear()
    assert refusal(url) == REFUSALS[2702]


def test_a_wrong_key_or_id_is_refused(url: str) -> None:
    assert refusal(url, customer_id="another") == REFUSALS[401]
    assert refusal(url, api_keys=(signature.decode_key(facts.OTHER_API_KEY),)) == REFUSALS[401]


def test_each_code_of_telesign_is_a_session_or_a_refusal_that_names_it(
    account: Endpoint, url: str
) -> None:
    for code in STATUSES:
        account.answer = str(code)
        if code in (2700, 2701):
            assert ask(url).country_differs == (code == 2701)
        else:
            assert refusal(url) == REFUSALS[code]
            assert REFUSALS[code].startswith(f"{code}: ")
    account.answer = "429"
    assert refusal(url) == REFUSALS[429]
    assert set(REFUSALS) == set(STATUSES) - {2700, 2701} | {401, 429}


# What came of it: without a connection nothing has happened, and otherwise a session may exist


def assert_nothing_was_sent(message: str) -> None:
    assert ", so nothing was sent: " in message
    assert "may exist" not in message


def assert_may_exist(message: str) -> None:
    assert message.endswith(f"; {MAY_EXIST}")
    assert "nothing was sent" not in message


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if OPENSSL is None:
        pytest.skip("no openssl here")
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize(
    ("url", "customer_id"),
    [
        ("http://127.0.0.1:9", "id"),
        ("https://127.0.0.1:9", "id"),
        ("https://no-such-name.invalid", "id"),
        ("https://a..b", "id"),
        ("https://127.0.0.1:99999", "id"),
        ("http://127.0.0.1:9", "no\r\nid"),
    ],
)
def test_no_connection_means_nothing_was_sent(url: str, customer_id: str) -> None:
    assert_nothing_was_sent(refusal(url, customer_id=customer_id))


def test_an_untrusted_certificate_means_nothing_was_sent(certificate: Path) -> None:
    with raw_server(over_tls(certificate, saying(b""))) as server:
        message = refusal(f"https://localhost:{server.port}")
    assert_nothing_was_sent(message)
    assert "the certificate of localhost is not trusted (self-signed certificate); " in message
    assert server.got == []


def test_a_proxy_that_refuses_means_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(saying(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        assert_nothing_was_sent(refusal("https://calls.example"))
    (got,) = proxy.got
    assert got.startswith(b"CONNECT calls.example:443 HTTP/1.")
    assert b"Authorization" not in got


BROKEN: list[Play] = [
    hang_up,
    saying(b""),
    saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
    saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"),
    saying(b"nonsense"),
]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_after_a_broken_connection_the_session_may_exist(
    scheme: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    for play in BROKEN:
        wrapped = over_tls(certificate, play) if scheme == "https" else play
        with raw_server(wrapped) as server:
            assert_may_exist(refusal(f"{scheme}://localhost:{server.port}"))
        assert server.connections == 1
        assert len(server.got) == (play is not hang_up)


def test_when_tls_breaks_after_the_request_the_session_may_exist(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with raw_server(breaking_tls(certificate)) as server:
        assert_may_exist(refusal(f"https://localhost:{server.port}"))
    assert json.loads(server.got[0].partition(b"\r\n\r\n")[2]) == ASKED


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_when_no_answer_comes_in_time_the_session_may_exist(scheme: str) -> None:
    with raw_server(say_nothing) as server:
        url = f"{scheme}://localhost:{server.port}"
        message = refusal(url, timeout_s=0.2)
    assert message == f"no answer from {url}: no answer came in time; {MAY_EXIST}"
    assert server.connections == 1


def test_after_ctrl_c_the_session_may_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.http_client.Session.post", stop)
    assert refusal("http://127.0.0.1:9") == f"stopped; {MAY_EXIST}"


# What is sent


def test_a_redirect_is_not_followed_and_the_session_may_exist() -> None:
    with raw_server(saying(b"")) as elsewhere:
        there = f"http://127.0.0.1:{elsewhere.port}/"
        answer = f"HTTP/1.1 307 Go\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
        with raw_server(saying(answer.encode())) as server:
            message = refusal(f"http://127.0.0.1:{server.port}")
    assert_may_exist(message)
    assert "got HTTP 307" in message
    assert elsewhere.connections == 0


def test_neither_a_netrc_file_nor_a_proxy_gets_between_this_machine_and_itself(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with raw_server(saying(b"")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert len(ask(url).routes) == 2
    assert proxy.connections == 0


# What is answered


def good_message() -> dict[str, Any]:
    def party(number: str, mask: str) -> dict[str, str]:
        return {"complete_phone_number": number, "masked_id": mask}

    return {
        "reference_id": "0123456789ABCDEF0123456789ABCDEF",
        "status": {"code": 2700},
        "session_data": {
            "session_end_on": "2026-01-31 18:00:00.000000",
            "phone_number_1": party(ONE, "12025550180"),
            "phone_number_2": party(TWO, "12025550181"),
        },
    }


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    message = good_message()
    change(message)
    return json.dumps(message).encode()


def answering(body: bytes) -> Any:
    return SimpleNamespace(post=lambda *_: (200, "application/json", body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"status": {"code": 27',
        b'{"status": null}',
        b'{"status": {"code": "2700"}}',
        b'{"status": {"code": 2799}}',
        b'{"status": {"code": []}}',
        changed(lambda m: m.pop("session_data")),
        changed(lambda m: m.pop("reference_id")),
        changed(lambda m: m["session_data"].pop("session_end_on")),
        changed(lambda m: m["session_data"].update(session_end_on="soon")),
        changed(lambda m: m["session_data"].update(session_end_on="0001-01-01 00:00:00+05:30")),
        changed(lambda m: m.update(reference_id=None)),
        changed(lambda m: m.update(reference_id="\x1b[2J")),
        changed(lambda m: m["session_data"]["phone_number_1"].update(masked_id=None)),
        changed(lambda m: m["session_data"]["phone_number_1"].update(masked_id="x")),
        changed(lambda m: m["session_data"]["phone_number_1"].update(masked_id=TWO)),
        changed(lambda m: m["session_data"]["phone_number_2"].update(masked_id=TWO)),
        changed(lambda m: m["session_data"]["phone_number_1"].update(complete_phone_number=TWO)),
    ],
)
def test_a_malformed_answer_is_not_taken_for_a_session(body: bytes) -> None:
    with session_server(answering(body)) as url:
        message = refusal(url)
    assert message.startswith("wanted a session or a known refusal, got HTTP 200 with ")
    assert_may_exist(message)


def change_harmlessly(message: dict[str, Any]) -> None:
    message["session_data"]["session_end_on"] = "2026-01-31 18:00:00+05:30"
    message["session_data"]["phone_number_1"]["complete_phone_number"] = f"+{ONE}"


def test_other_valid_forms_of_an_answer_are_read() -> None:
    with session_server(answering(changed(change_harmlessly))) as url:
        made = ask(url)
    assert [route.caller for route in made.routes] == [ONE, TWO]
    assert made.routes[1].expires == datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
