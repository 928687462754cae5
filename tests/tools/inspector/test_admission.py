"""Whom the inspector answers: the one who has its token, on this machine, and who only asks."""

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import facts
import pytest
from helpers import Clock, settings_of, web
from inspecting import SERVED, TOKEN, admitted, inspector_of

from tools.inspector import pages
from tools.inspector.web import create_app

ADDRESSES = [
    *("/", "/?reason=expired", "/call?id=x", "/routes", "/report", "/state"),
    *("/static/style.css", "/nowhere"),
]
ELSEWHERE = "Open the address that `python app.py inspect` has printed.\n"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'self'; form-action 'self';"
    " frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


@pytest.fixture
def make_inspector(tmp_path: Path, clock: Clock) -> Callable[[], Any]:
    """Return a function that makes the app; nobody has been admitted to it yet."""
    allow_list = tmp_path / "allowlist.csv"
    allow_list.write_text(facts.ALLOW_LIST)
    return lambda: inspector_of(f"sqlite:///{tmp_path}/calls.db", allow_list, clock)


@pytest.fixture
def inspector(make_inspector: Callable[[], Any]) -> Any:
    return admitted(make_inspector())


def refused(answer: Any) -> bool:
    is_plain = answer.content_type == "text/plain"
    return bool(answer.status_int == 403 and is_plain and answer.text == ELSEWHERE)


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_the_token_every_address_gives_the_same_nothing(
    make_inspector: Any, address: str
) -> None:
    app = make_inspector()
    for before in "", "/wrong", f"/{TOKEN[:-1]}", f"/{TOKEN}x", "/caf%C3%A9", "/%FF", f"/x/{TOKEN}":
        assert refused(app.get(before + address, status="*"))
    for way in "token", "inspector_80":
        assert refused(app.get(address, headers={"Cookie": f"{way}={TOKEN}"}, status="*"))
        assert refused(app.get(f"/?{way}={TOKEN}", status="*"))


def test_the_token_begins_the_path_of_every_page_and_no_cookie_is_set(make_inspector: Any) -> None:
    app = make_inspector()
    for address in ADDRESSES[:-1]:
        answer = app.get(f"/{TOKEN}{address}", status=200)
        assert "Set-Cookie" not in answer.headers


def test_the_address_without_its_last_slash_leads_to_the_page(make_inspector: Any) -> None:
    answer = make_inspector().get(f"/{TOKEN}", status=303)
    assert answer.headers["Location"] == f"{TOKEN}/"
    assert answer.follow().status_int == 200


def test_no_page_and_no_error_holds_the_token(
    make_inspector: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages.Pages, "report", fail)
    app = make_inspector()
    for address in [*ADDRESSES, "/a/b", "/static/nowhere", "/static/a/b", "/routes/"]:
        answer = app.get(f"/{TOKEN}{address}", status="*")
        assert TOKEN not in answer.text
        assert TOKEN not in str(answer.headers)
    assert TOKEN not in "".join(capsys.readouterr())


def test_behind_a_prefix_every_link_stays_under_it(inspector: Any) -> None:
    for address in "./", "call?id=x", "routes", "report":
        page = inspector.get(address, status="*").html
        links = [
            tag[name] for name in ("href", "src", "action") for tag in page.find_all(**{name: True})
        ]
        assert len(links) > 5
        at = f"http://127.0.0.1:9000/a/prefix/{TOKEN}/{address}"
        under = f"http://127.0.0.1:9000/a/prefix/{TOKEN}/"
        assert [link for link in links if not urljoin(at, link).startswith(under)] == []


def test_the_token_is_compared_in_constant_time(
    make_inspector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    make_inspector().get("/wrong/static/style.css", status=403)
    assert compared == [(b"wrong", TOKEN.encode())]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8090",
        "127.0.0.1:9000",  # behind a tunnel
        "localhost:1",
        "LOCALHOST:8090",
        "[::1]:65535",
        "127.0.0.1",  # a browser leaves out port 80
        "localhost",
    ],
)
def test_this_machine_has_these_names_and_any_port(inspector: Any, host: str) -> None:
    inspector.get("/static/style.css", extra_environ={"HTTP_HOST": host}, status=200)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8090",
        "127.0.0.1.evil.example:8090",
        "localhost.evil.example",
        "127.0.0.1:8090@evil.example",
        "evil.example/127.0.0.1:8090",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:8090 ",
        "127.0.0.1\n",
        "192.0.2.1:8090",
    ],
)
def test_a_request_to_another_name_is_refused_though_it_has_the_token(
    inspector: Any, host: str
) -> None:
    assert refused(inspector.get("/", extra_environ={"HTTP_HOST": host}, status="*"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_the_pages_can_only_be_read_and_two_of_them_asked_by_a_form(
    inspector: Any, method: str, address: str
) -> None:
    has_form = address in ("/", "/?reason=expired", "/routes")
    answer = inspector.request(address, method=method, status="*")
    if has_form and method == "POST":
        assert answer.status_int == 303
        return
    assert answer.status_int == 405
    assert answer.headers["Allow"] == ("GET, HEAD, POST" if has_form else "GET, HEAD")
    assert answer.text == "These pages can only be read.\n"


@pytest.mark.parametrize("address", ["/", "/routes"])
@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://127.0.0.1:8090", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://127.0.0.1:8090"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://127.0.0.1:8090", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "http://127.0.0.1:9999"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_a_form_is_answered_only_if_it_stands_on_a_page_of_ours(
    inspector: Any, address: str, headers: dict[str, str], is_ours: bool
) -> None:
    environ = {"HTTP_HOST": "127.0.0.1:8090"}
    form = {"number": facts.CALLER, "from": facts.CALLER, "to": facts.DIALLED}
    answer = inspector.post(address, form, headers=headers, extra_environ=environ, status="*")
    assert answer.status_int == 303 if is_ours else refused(answer)


def test_a_form_without_the_token_is_refused_as_a_page_is(make_inspector: Any) -> None:
    for address in "/", "/routes", "/wrong/", "/wrong/routes":
        assert refused(make_inspector().post(address, {"number": facts.CALLER}, status="*"))


def test_a_form_that_holds_too_much_is_refused(inspector: Any) -> None:
    inspector.post("/", {"number": "1" * 16_000}, status=303)
    answer = inspector.post("/", {"number": "1" * 17_000}, status=413)
    assert "The form holds too much." in answer.text


def test_a_head_is_answered_like_a_get_without_the_page(inspector: Any) -> None:
    answer = inspector.head("/routes")
    assert (answer.status_int, answer.body) == (200, b"")


def fail(*_: object) -> None:
    raise RuntimeError(f"{facts.CALLER} has a fault")


def test_every_answer_has_the_headers(inspector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.Pages, "report", fail)
    broken: Any = fail
    made = pages.Pages(settings_of(), broken, broken, lambda: SERVED, full=False)
    app = web(create_app(made, TOKEN))
    answers = [
        inspector.get("/static/live.js", status=200),
        inspector.get("/routes", status=200),
        inspector.get("/?number=12025550123", status=303),
        app.get(f"/{TOKEN}", status=303),
        app.get("/", status=403),
        inspector.get("/nowhere", status=404),
        inspector.get("/static/nowhere", status=404),
        inspector.post("/", status=303),
        inspector.post("/report", status=405),
        app.get(f"/{TOKEN}/report", status=500),
    ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_a_fault_of_a_page_shows_no_number_and_no_traceback(
    make_inspector: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages.Pages, "report", fail)
    answer = make_inspector().get(f"/{TOKEN}/report", status=500)
    assert answer.html.find("main").get_text(" ", strip=True) == (
        "500 Internal Server Error This page has a fault. Another may have none."
    )
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert capsys.readouterr() == ("", "inspect: RuntimeError while making /report\n")


def test_a_page_takes_nothing_from_elsewhere_and_has_no_style_or_script_in_it(
    inspector: Any,
) -> None:
    for address in "/", "/routes", "/report", "/call?id=x":
        page = inspector.get(address, status="*").html
        for tag in page.find_all(True):
            assert not {"style", "onclick", "onload"} & tag.attrs.keys()
            for name in "src", "href", "action":
                assert ":" not in tag.attrs.get(name, "")
                assert not tag.attrs.get(name, "").startswith("/")
        assert [script.string for script in page.find_all(["script", "style"])] == [None]
