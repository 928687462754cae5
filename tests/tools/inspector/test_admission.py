"""Whom the inspector answers: the one who has its token, on this machine, and who only asks."""

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import Clock, settings_of, web
from inspecting import TOKEN, admitted, inspector_of

from tools.inspector import pages
from tools.inspector.web import create_app

ADDRESSES = ["/", "/?part=1", "/call/?id=x", "/routes", "/report", "/static/style.css", "/nowhere"]
ELSEWHERE = "Open the address that `python app.py inspect` has printed.\n"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'self'; form-action 'self';"
    " frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
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
    assert refused(app.get(address, status="*"))
    wrong = f"{address}{'&' if '?' in address else '?'}token=wrong%FF"
    assert refused(app.get(wrong, status="*"))
    for cookie in "inspector_80=wrong", "inspector_80=\xe9", f"inspector_8090={TOKEN}", '"', "":
        assert refused(app.get(address, headers={"Cookie": cookie}, status="*"))


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(make_inspector: Any) -> None:
    app = make_inspector()
    answer = app.get("/?number=0123&token=" + TOKEN, status=303)
    assert answer.headers["Location"] == "/?number=0123"
    cookie = answer.headers["Set-Cookie"]
    assert cookie == f"inspector_80={TOKEN}; HttpOnly; Path=/; SameSite=strict"
    assert app.get("/static/style.css").content_type == "text/css"


def test_the_token_is_compared_in_constant_time(
    inspector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    inspector.get("/static/style.css")
    assert compared == [TOKEN.encode()] * 2


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("127.0.0.1:8090", "8090"),
        ("localhost:8090", "8090"),
        ("LOCALHOST:8090", "8090"),
        ("[::1]:8090", "8090"),
        ("127.0.0.1", "80"),  # a browser leaves out this one
        ("localhost:80", "80"),
    ],
)
def test_this_machine_has_these_names(inspector: Any, host: str, port: str) -> None:
    inspector.cookiejar.clear()
    cookie = {"Cookie": f"inspector_{port}={TOKEN}"}
    environ = {"HTTP_HOST": host, "SERVER_PORT": port}
    inspector.get("/static/style.css", headers=cookie, extra_environ=environ)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8090",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1.evil.example:8090",
    ],
)
def test_a_request_to_another_name_is_refused_though_it_has_the_cookie(
    inspector: Any, host: str
) -> None:
    environ = {"HTTP_HOST": host, "SERVER_PORT": "8090"}
    for headers, path in [({"Cookie": f"inspector_8090={TOKEN}"}, "/"), ({}, f"/?token={TOKEN}")]:
        assert refused(inspector.get(path, headers=headers, extra_environ=environ, status="*"))


@pytest.mark.parametrize(
    "others",
    ["a/b=c; ", 'seen={"a": 1}; ', 'x="open; ', "inspector_80=old; ", "caf\xe9; ", ";;= ;"],
)
def test_cookies_of_other_programs_on_this_machine_do_not_matter(
    inspector: Any, others: str
) -> None:
    inspector.cookiejar.clear()
    for cookies in f"{others}inspector_80={TOKEN}", f"inspector_80={TOKEN}; {others}":
        assert (
            inspector.get("/static/style.css", headers={"Cookie": cookies}, status="*").status_int
            == 200
        )
    assert refused(inspector.get("/", headers={"Cookie": others}, status="*"))


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/call/", "/call/"),
        ("//evil.example/", "/evil.example/"),
        ("/%5Cevil.example/", "/%5Cevil.example/"),
        ("/%0D%0AX-Evil:1", "/%0D%0AX-Evil%3A1"),
    ],
)
def test_the_token_leads_nowhere_else(make_inspector: Any, path: str, location: str) -> None:
    answer = make_inspector().get(f"{path}?token={TOKEN}", status=303)
    assert answer.headers["Location"] == location


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_the_pages_can_only_be_read(inspector: Any, method: str, address: str) -> None:
    answer = inspector.request(address, method=method, status=405)
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.text == "These pages can only be read.\n"


def test_a_head_is_answered_like_a_get_without_the_page(inspector: Any) -> None:
    answer = inspector.head("/routes")
    assert (answer.status_int, answer.body) == (200, b"")


def fail(*_: object) -> None:
    raise RuntimeError(f"{facts.CALLER} has a fault")


def test_every_answer_has_the_headers(inspector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.Pages, "report", fail)
    app = web(create_app(pages.Pages(settings_of(), lambda: None, fail, full=False), TOKEN))  # type: ignore[arg-type, return-value]
    answers = [
        inspector.get("/static/live.js", status=200),
        inspector.get("/routes", status=200),
        inspector.get("/?number=12025550123", status=303),
        inspector.get("/", {"token": TOKEN}, status=303),
        app.get("/", status=403),
        inspector.get("/nowhere", status=404),
        inspector.get("/static/nowhere", status=404),
        inspector.post("/", status=405),
        web(app.app).get("/report", {"token": TOKEN}, status=303).follow(status="*"),
    ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_a_fault_of_a_page_shows_no_number_and_no_traceback(
    make_inspector: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages.Pages, "report", fail)
    app = make_inspector()
    app.get("/", {"token": TOKEN})
    answer = app.get("/report", status=500)
    assert answer.html.find("main").get_text(" ", strip=True) == (
        "500 Internal Server Error This page has a fault. Another may have none."
    )
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert capsys.readouterr() == ("", "inspect: RuntimeError while making /report\n")


def test_a_page_takes_nothing_from_elsewhere_and_has_no_style_or_script_in_it(
    inspector: Any,
) -> None:
    for address in "/", "/routes", "/report", "/nowhere":
        page = inspector.get(address, status="*").html
        for tag in page.find_all(True):
            assert not {"style", "onclick", "onload"} & tag.attrs.keys()
            for name in "src", "href", "action":
                assert tag.attrs.get(name, "/").startswith(("/", "#"))
                assert not tag.attrs.get(name, "/").startswith("//")
        assert [script.string for script in page.find_all(["script", "style"])] == [None]
