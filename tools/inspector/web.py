"""The web app of the inspector: whom it answers, and how. What the pages show is in `pages.py`.

It answers the one who has started it: every address begins with the token of the printed one. A
browser would send a cookie to each port of this machine, to programs of other users too. A request
has to name this machine, as another site's name may lead here, but by any port, as a tunnel has its
own; and it may only ask: nothing is changed here. What a form asks for is posted, so that a number
stands in no address, and only by a page of ours. All links are relative, so that no page needs to
know the token.
"""

import hmac
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

from bottle import Bottle, HTTPError, HTTPResponse, request, response, static_file

from tools.history.stored import LogError, is_missing
from tools.inspector.pages import Pages, redirect, without_log

_STATIC = str(Path(__file__).parent / "static")
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_FORMS = ("/", "/routes")
_MAX_FORM_BYTES = 16_384
_ELSEWHERE = "Open the address that `python app.py inspect` has printed."
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'self'; form-action 'self';"
    " frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all a form would not say where it comes from
}


def create_app(pages: Pages, token: str) -> Bottle:
    """Return the Bottle app, a WSGI callable, which answers those who have the token."""
    app = Bottle()
    app.default_error_handler = _error
    app.add_hook("before_request", lambda: _admit(token))
    app.add_hook("after_request", lambda: response.headers.update(_HEADERS))
    shown = {"/": pages.calls, "/call": pages.call, "/routes": pages.routes}
    for path, page in (shown | {"/report": pages.report, "/state": pages.state}).items():
        app.route(path, "GET", partial(_answer, page, pages, _query))
    for path, ask in zip(_FORMS, (pages.search, pages.explain), strict=True):
        app.route(path, "POST", partial(_answer, ask, pages, _form))
    app.route("/static/<name>", "GET", lambda name: static_file(name, _STATIC))
    return app


def _admit(token: str) -> None:
    """Let a request pass whose path begins with the token; the rest is the path of a page."""
    environ = request.environ
    name, slash, path = environ["PATH_INFO"][1:].partition("/")
    has_token = hmac.compare_digest(name.encode(errors="replace"), token.encode())
    if not (has_token and _HOST.fullmatch(environ.get("HTTP_HOST", ""))):
        raise HTTPError(403, _ELSEWHERE)
    methods = ("GET", "HEAD", "POST") if f"/{path}" in _FORMS and slash else ("GET", "HEAD")
    if request.method not in methods:
        raise HTTPError(405, "These pages can only be read.", Allow=", ".join(methods))
    if request.method == "POST" and not _is_from_here(environ):
        raise HTTPError(403, _ELSEWHERE)
    if not slash:
        raise redirect(f"{name}/", {})
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = f"/{name}", f"/{path}"


def _is_from_here(environ: Mapping[str, str]) -> bool:
    """Whether a form stands on a page of this origin, by what a browser says, if one does."""
    host, site = environ["HTTP_HOST"], environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
    origin = environ.get("HTTP_ORIGIN")
    return site == "same-origin" and origin in (None, f"http://{host}", f"https://{host}")


def _query() -> dict[str, str]:
    return _parse(request.query_string)


def _form() -> dict[str, str]:
    """Return what a form was sent with. Raises a 413 for more than it can hold."""
    text = request.environ["wsgi.input"].read(_MAX_FORM_BYTES + 1)
    if len(text) > _MAX_FORM_BYTES:
        raise HTTPError(413, "The form holds too much.")
    return _parse(text.decode("ascii", "replace"))


def _parse(text: str) -> dict[str, str]:
    text = text.replace("%00", "")  # PostgreSQL takes no NUL
    return dict(parse_qsl(text, keep_blank_values=True, errors="replace"))


def _answer(
    page: Callable[[Mapping[str, str]], str], pages: Pages, read: Callable[[], dict[str, str]]
) -> str:
    """Return a page, or what is wrong in plain words."""
    try:
        return page(read())
    except HTTPError as error:
        return _message(pages, error.status_code, error.status_line, error.body)
    except HTTPResponse:
        raise
    except LogError as error:
        if is_missing(error):
            return pages.message("No calls", without_log(error))
        return _message(pages, 503, "The call log cannot be read", f"{error}.")
    except Exception as error:  # noqa: BLE001 - the next page may be fine
        sys.stderr.write(f"inspect: {type(error).__name__} while making {request.path}\n")
        text = "This page has a fault. Another may have none."
        return _message(pages, 500, "500 Internal Server Error", text)


def _message(pages: Pages, status: int, title: str, text: str) -> str:
    response.status = status
    return pages.message(title, text)


def _error(error: HTTPError) -> str:
    """Return what is wrong with an address: in text alone, as links lead nowhere from there."""
    response.content_type = "text/plain; charset=UTF-8"
    text = "There is no such page." if error.status_code == 404 else error.body  # Bottle's own
    return f"{text}\n"  # names the path
