"""The web app of the inspector: whom it answers, and how. What the pages show is in `pages.py`.

It answers the one who has started it. A request needs the token of the printed address, or the
cookie that this is exchanged for. It has to name this machine, as another site's name may lead here
too, and it may only ask.
"""

import hmac
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

from bottle import Bottle, HTTPError, HTTPResponse, request, response, static_file

from call_log.store import StoreError
from tools.inspector.pages import NO_CALL, Pages, redirect
from tools.inspector.questions import is_missing

_STATIC = str(Path(__file__).parent / "static")
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_ELSEWHERE = "Open the address that `python app.py inspect` has printed."
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'self'; form-action 'self';"
    " frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(pages: Pages, token: str) -> Bottle:
    """Return the Bottle app, a WSGI callable, which answers those who have the token."""
    app = Bottle()
    app.default_error_handler = lambda error: _error(error, pages)
    app.add_hook("before_request", lambda: _admit(token))
    app.add_hook("after_request", lambda: response.headers.update(_HEADERS))
    shown = {"/": pages.calls, "/call/": pages.call, "/routes": pages.routes}
    for path, page in (shown | {"/report": pages.report}).items():
        app.route(path, "GET", partial(_answer, page, pages))
    app.route("/static/<name>", "GET", lambda name: static_file(name, _STATIC))
    return app


def _admit(token: str) -> None:
    """Let a request pass that has the cookie; exchange the token of an address for it."""
    port = request.environ["SERVER_PORT"]
    hosts = {f"{host}:{port}" for host in _HOSTS} | set(_HOSTS if port == "80" else ())
    if request.environ.get("HTTP_HOST", "").lower() not in hosts:
        raise HTTPError(403, _ELSEWHERE)
    if request.method not in ("GET", "HEAD"):
        raise HTTPError(405, "These pages can only be read.", Allow="GET, HEAD")
    cookie = f"inspector_{port}"  # a browser sends it to every port of this machine
    query = _query()
    if _is_same(query.pop("token", ""), token):
        answer = redirect(request.path, query)
        answer.set_cookie(cookie, token, path="/", httponly=True, samesite="strict")
        raise answer
    if not any(_is_same(text, token) for text in _cookies(cookie)):
        raise HTTPError(403, _ELSEWHERE)
    request.environ["inspector.is_admitted"] = True


def _cookies(name: str) -> list[str]:
    """Return the values of a cookie; other programs on this machine set cookies of any form."""
    # Python's parser raises for the names of some, and leaves out what stands behind others.
    pairs = request.environ.get("HTTP_COOKIE", "").split(";")
    found = (each.strip().partition("=") for each in pairs)
    return [text for each, _, text in found if each == name]


def _query() -> dict[str, str]:
    text = request.query_string.replace("%00", "")  # PostgreSQL takes no NUL
    return dict(parse_qsl(text, keep_blank_values=True, errors="replace"))


def _is_same(text: str, token: str) -> bool:
    return hmac.compare_digest(text.encode(errors="replace"), token.encode())


def _answer(page: Callable[[Mapping[str, str]], str], pages: Pages) -> str:
    """Return a page, or what is wrong in plain words."""
    try:
        return page(_query())
    except HTTPResponse:
        raise
    except StoreError as error:
        if is_missing(error):
            return pages.message("There are no calls yet", f"{error}.")
        response.status = 503
        return pages.message("The call log cannot be read", f"{error}.")
    except Exception as error:  # noqa: BLE001 - the next page may be fine
        sys.stderr.write(f"inspect: {type(error).__name__} while making {request.path}\n")
        raise HTTPError(500, "This page has a fault. Another may have none.") from None


def _error(error: HTTPError, pages: Pages) -> str:
    if "inspector.is_admitted" in request.environ:
        is_ours = error.status_code != 404 or error.body == NO_CALL  # Bottle's own name the path
        text = error.body if is_ours else "There is no such page."
        return pages.message(error.status_line, text)
    response.content_type = "text/plain; charset=UTF-8"
    return f"{error.body}\n"
