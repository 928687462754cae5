"""The client of TeleSign's session endpoint, at the simulated one and at ones that answer badly."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
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
from telesign.rest import RestClient

import signature
from cli import telesign_api
from cli.telesign_api import Credentials, MaskedSession, SessionError, create_session
from phone import PhoneNumber
from simulation.session_endpoint import ANSWERS, PATH, UNITS, Endpoint, endpoint_server

ONE, TWO = PhoneNumber(facts.RIDER), PhoneNumber(facts.DRIVER)
KEY = signature.decode_key(facts.API_KEY)
CREDENTIALS = Credentials(facts.CUSTOMER_ID, KEY)
ASKED = {"phone_number_1": ONE, "phone_number_2": TWO, "validity_period": 1}


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


def test_a_session_is_created_once(serve: Serve) -> None:
    account = endpoint(unit_s=UNITS["minutes"])
    made = create_session(serve(account), CREDENTIALS, ONE, TWO, 90)
    assert account.asked == 1
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
    assert made.warning == "a masking ID is from a different country than the number it masks"


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


@pytest.mark.parametrize(
    ("customer_id", "key"),
    [(facts.CUSTOMER_ID, signature.decode_key(facts.OTHER_API_KEY)), ("another", KEY)],
)
def test_a_wrong_key_or_id_is_refused(customer_id: str, key: bytes, serve: Serve) -> None:
    account = endpoint()
    with pytest.raises(telesign_api.NotAuthorizedError, match="check both"):
        create_session(serve(account), Credentials(customer_id, key), ONE, TWO, 1)
    assert account.sessions == []


def test_after_too_many_requests_the_message_says_to_wait(serve: Serve) -> None:
    with pytest.raises(telesign_api.TooManyRequestsError, match="wait a while"):
        create_session(serve(endpoint("429")), CREDENTIALS, ONE, TWO, 1)


@pytest.mark.parametrize("answer", ["500", "broken"])
def test_after_an_unclear_answer_the_session_may_exist(answer: str, serve: Serve) -> None:
    with pytest.raises(telesign_api.SessionUnknownError, match="the session may exist"):
        create_session(serve(endpoint(answer)), CREDENTIALS, ONE, TWO, 1)


def test_after_a_slow_answer_the_session_may_exist_and_is_not_requested_again(serve: Serve) -> None:
    account = endpoint("slow", slow_s=1.0)
    url = serve(account)
    with pytest.raises(
        telesign_api.SessionUnknownError,
        match=f"^{url} did not answer in time; the session may exist",
    ):
        create_session(url, CREDENTIALS, ONE, TWO, 1, timeout_s=0.2)
    time.sleep(1.0)
    assert account.asked == 1


# What came of it: only a request that never had a connection has done nothing


def ask_badly(url: str, timeout_s: float = 10) -> SessionError:
    with pytest.raises(SessionError) as caught:
        create_session(url, CREDENTIALS, ONE, TWO, 1, timeout_s=timeout_s)
    assert facts.API_KEY not in str(caught.value)
    return caught.value


def nothing_was_sent(error: SessionError) -> bool:
    known = "so nothing was sent: " in str(error) and "may exist" not in str(error)
    assert known is (type(error) is SessionError)
    return known


def may_exist(error: SessionError) -> bool:
    assert "nothing was sent" not in str(error)
    return (
        type(error) is telesign_api.SessionUnknownError
        and "the session may exist, so check at TeleSign before you ask again" in str(error)
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if OPENSSL is None:
        pytest.skip("no openssl here")
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9",
        "https://127.0.0.1:9",
        "https://no-such-name.invalid",
        "https://a..b",
        "https://127.0.0.1:99999",
    ],
)
def test_no_connection_means_nothing_was_sent(url: str) -> None:
    assert nothing_was_sent(ask_badly(url))


@pytest.mark.parametrize("play", [hang_up, say_nothing])
def test_no_tls_means_nothing_was_sent(play: Play) -> None:
    with raw_server(play) as server:
        assert nothing_was_sent(ask_badly(f"https://localhost:{server.port}", timeout_s=0.5))
        assert server.connections == 1


def test_an_untrusted_certificate_means_nothing_was_sent(certificate: Path) -> None:
    with raw_server(over_tls(certificate, saying(b""))) as server:
        error = ask_badly(f"https://localhost:{server.port}")
    assert nothing_was_sent(error)
    assert "the certificate of localhost is not trusted (self-signed certificate); " in str(error)
    assert server.got == []


def test_a_proxy_that_refuses_means_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(saying(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        assert nothing_was_sent(ask_badly("https://calls.example"))
    (got,) = proxy.got
    assert got.startswith(b"CONNECT calls.example:443 HTTP/1.")
    assert b"Authorization" not in got


def test_an_invalid_header_means_nothing_was_sent() -> None:
    credentials = Credentials("no\r\nid", KEY)
    with pytest.raises(SessionError, match="nothing was sent"):
        create_session("http://127.0.0.1:9", credentials, ONE, TWO, 1)


@pytest.mark.parametrize(
    "play",
    [
        hang_up,
        saying(b""),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense"),
        saying(b"nonsense"),
    ],
    ids=["at once", "after the request", "half an answer", "broken chunks", "nonsense"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_after_a_broken_connection_the_session_may_exist(
    scheme: str, play: Play, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    wrapped = over_tls(certificate, play) if scheme == "https" else play
    with raw_server(wrapped) as server:
        assert may_exist(ask_badly(f"{scheme}://localhost:{server.port}"))
    assert server.connections == 1
    assert len(server.got) == (play is not hang_up)


def test_when_tls_breaks_after_the_request_the_session_may_exist(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with raw_server(breaking_tls(certificate)) as server:
        assert may_exist(ask_badly(f"https://localhost:{server.port}"))
    assert json.loads(server.got[0].partition(b"\r\n\r\n")[2]) == ASKED


# What is sent


def test_a_redirect_is_not_followed_and_the_session_may_exist() -> None:
    with raw_server(saying(b"")) as elsewhere:
        there = f"http://127.0.0.1:{elsewhere.port}/"
        answer = f"HTTP/1.1 307 Go\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
        with raw_server(saying(answer.encode())) as server:
            error = ask_badly(f"http://127.0.0.1:{server.port}")
    assert may_exist(error)
    assert "got HTTP 307" in str(error)
    assert elsewhere.connections == 0


@pytest.mark.parametrize("jump_s", [0.0, 1e6], ids=["", "the clock jumps"])
def test_a_netrc_file_does_not_replace_the_signature(
    jump_s: float, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK takes an HTTP session of its own, without our rules, when the old one seems old."""
    times = iter([0.0])
    monkeypatch.setattr("telesign.rest.time", SimpleNamespace(time=lambda: next(times, jump_s)))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert create_session(serve(endpoint()), CREDENTIALS, ONE, TWO, 1).mask_1


def test_a_request_to_this_machine_bypasses_the_proxy_of_the_environment(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(saying(b"")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert create_session(serve(endpoint()), CREDENTIALS, ONE, TWO, 1).mask_1
    assert proxy.connections == 0


# What is answered


def good_message() -> dict[str, Any]:
    body = json.dumps(ASKED).encode()
    message: dict[str, Any] = json.loads(endpoint().post(PATH, signed_headers(body), body)[2])
    return message


def signed_headers(body: bytes = b"{}") -> dict[str, str]:
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
def test_a_malformed_answer_is_not_taken_for_a_session(body: bytes, serve: Serve) -> None:
    class Lying:
        def post(self, *_: object) -> tuple[int, str, bytes]:
            return 200, "application/json", body

    with pytest.raises(
        telesign_api.SessionUnknownError, match=r"got HTTP 200 with(out a)? status code"
    ):
        create_session(serve(Lying()), CREDENTIALS, ONE, TWO, 1)  # type: ignore[arg-type]


def change_harmlessly(message: dict[str, Any]) -> None:
    message["session_data"]["session_end_on"] = "2026-01-31 18:00:00+05:30"
    message["session_data"]["phone_number_1"]["complete_phone_number"] = f"+{ONE}"


def test_other_valid_forms_of_an_answer_are_read(serve: Serve) -> None:
    body = broken(change_harmlessly)

    class Honest:
        def post(self, *_: object) -> tuple[int, str, bytes]:
            return 200, "application/json", body

    made = create_session(serve(Honest()), CREDENTIALS, ONE, TWO, 1)  # type: ignore[arg-type]
    assert made.mask_1
    assert made.ends == datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
