"""Requests that are refused, each with its status and word, and good ones beside them."""

import base64
import hmac
import http.client
import json
from dataclasses import dataclass, field

import facts
from helpers import payload, signed
from processes import ServerProcess

import signature

CALL = payload("incoming_call")


KEY = signature.decode_key(facts.API_KEY)


BARE = signature.sign(CALL, key=KEY)


TSA = f"TSA {facts.CUSTOMER_ID}:"


JSON = {"Content-Type": "application/json"}


UTF16 = CALL.decode().encode("utf-16")


@dataclass
class Bad:
    """A request as it goes over the wire, and the answer that it gets."""

    name: str
    status: int
    word: str
    body: bytes = CALL
    headers: dict[str, str] | None = None
    method: str = "POST"
    path: str = "/"
    more: dict[str, str] = field(default_factory=dict)
    chunked: bool = False

    def all_headers(self) -> dict[str, str]:
        return (signed(self.body) if self.headers is None else self.headers) | self.more


def other(word: str) -> dict[str, str]:
    return JSON | {"X-TS-Authorization": word}


def hashed(digest: bytes) -> dict[str, str]:
    return other(base64.b64encode(digest).decode())


def message(**members: object) -> bytes:
    whole = {"event": "incoming_call", "reference_id": "r", "data": json.loads(CALL)["data"]}
    return json.dumps(whole | members).encode()


def call(text: str) -> bytes:
    return CALL.replace(b'"data"', text.encode() + b', "data"')


BAD = [
    Bad("GET", 405, "method_not_allowed", method="GET"),
    Bad("PUT", 405, "method_not_allowed", method="PUT"),
    Bad("DELETE", 405, "method_not_allowed", method="DELETE"),
    Bad("OPTIONS", 405, "method_not_allowed", method="OPTIONS"),
    Bad("a method of no standard", 405, "method_not_allowed", method="DIAL"),
    Bad("POST to health", 405, "method_not_allowed", path="/health"),
    Bad("another path", 404, "not_found", path="/events"),
    Bad("a path below", 404, "not_found", path="/x/"),
    Bad("two slashes", 404, "not_found", path="//"),
    Bad("invalid UTF-8 in the path", 404, "not_found", path="/%ff"),
    Bad("a slash in escapes", 404, "not_found", path="/%2f"),
    Bad("two slashes in an absolute form", 404, "not_found", path="http://127.0.0.1//"),
    Bad("a dot", 404, "not_found", path="/."),
    Bad("a dot in escapes", 404, "not_found", path="/%2e"),
    Bad("NUL in the path", 404, "not_found", path="/%00"),
    Bad("a path with parameters", 404, "not_found", path="/;a=b"),
    Bad("health in capitals", 404, "not_found", path="/HEALTH", method="GET"),
    Bad("health in escapes", 404, "not_found", path="/%68ealth", method="GET"),
    Bad("a body of a byte too many", 413, "too_large", CALL.ljust(65_537)),
    Bad("a body far too large", 413, "too_large", b" " * 120_000),
    Bad("too large comes before unsigned", 413, "too_large", b" " * 65_537, {}),
    Bad("a chunked body too large", 413, "too_large", CALL.ljust(65_537), chunked=True),
    Bad("no signature", 401, "unauthorized", headers=JSON),
    Bad("no signature, no type", 401, "unauthorized", headers={}),
    Bad("no signature, no body", 401, "unauthorized", b"", headers={}),
    Bad("no signature, no JSON", 401, "unauthorized", b"{", headers=JSON),
    Bad("no signature, chunked", 401, "unauthorized", headers=JSON, chunked=True),
    Bad("Basic alone", 401, "unauthorized", headers=JSON | {"Authorization": "Basic eDp5"}),
    Bad(
        "a bare signature in Authorization",
        401,
        "unauthorized",
        headers=JSON | {"Authorization": BARE},
    ),
    Bad("another customer", 401, "unauthorized", headers=JSON | {"Authorization": f"TSA x:{BARE}"}),
    Bad("no customer", 401, "unauthorized", headers=JSON | {"Authorization": f"TSA {BARE}"}),
    Bad("one header right, one wrong", 401, "unauthorized", more={"X-TS-Authorization": "x" * 44}),
    Bad(
        "one header right, one of another customer",
        401,
        "unauthorized",
        more={"Authorization": f"TSA x:{BARE}"},
    ),
    Bad("one header right, one empty", 401, "unauthorized", more={"X-TS-Authorization": ""}),
    Bad("a byte changed", 401, "unauthorized", CALL.replace(b"0100", b"0101"), signed(CALL)),
    Bad("re-serialised", 401, "unauthorized", json.dumps(json.loads(CALL)).encode(), signed(CALL)),
    Bad("a newline more", 401, "unauthorized", CALL + b"\n", signed(CALL)),
    Bad("cut short", 401, "unauthorized", CALL[:-1], signed(CALL)),
    Bad("signed with another key", 401, "unauthorized", headers=signed(CALL, facts.OTHER_API_KEY)),
    Bad(
        "signed with the key not decoded",
        401,
        "unauthorized",
        headers=hashed(hmac.digest(facts.API_KEY.encode(), CALL, "sha256")),
    ),
    Bad(
        "signed with an empty key",
        401,
        "unauthorized",
        headers=hashed(hmac.digest(b"", CALL, "sha256")),
    ),
    Bad("SHA-1", 401, "unauthorized", headers=hashed(hmac.digest(KEY, CALL, "sha1"))),
    Bad("hex", 401, "unauthorized", headers=other(hmac.digest(KEY, CALL, "sha256").hex())),
    Bad("base64 without its end", 401, "unauthorized", headers=other(BARE.rstrip("="))),
    Bad(
        "base64 with junk that a lenient decoder skips",
        401,
        "unauthorized",
        headers=other("-" + BARE),
    ),
    Bad("base64 broken in two", 401, "unauthorized", headers=other(f"{BARE[:20]} {BARE[20:]}")),
    Bad("a header that is not ASCII", 401, "unauthorized", headers=other("\u00e9" + BARE[1:])),
    Bad("no type", 415, "unsupported_media_type", headers={"X-TS-Authorization": BARE}),
    Bad("text", 415, "unsupported_media_type", more={"Content-Type": "text/plain"}),
    Bad(
        "a form",
        415,
        "unsupported_media_type",
        more={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    Bad("almost JSON", 415, "unsupported_media_type", more={"Content-Type": "application/jsonp"}),
    Bad(
        "JSON as a parameter",
        415,
        "unsupported_media_type",
        more={"Content-Type": "text/plain; application/json"},
    ),
    Bad("gzip", 415, "unsupported_media_type", more={"Content-Encoding": "gzip"}),
    Bad("gzip twice", 415, "unsupported_media_type", more={"Content-Encoding": "identity, gzip"}),
    Bad("no type and no JSON", 415, "unsupported_media_type", b"{", more={"Content-Type": "x"}),
    Bad("no body", 400, "bad_json", b""),
    Bad("spaces", 400, "bad_json", b"   "),
    Bad("no JSON", 400, "bad_json", b"event=incoming_call"),
    Bad("JSON cut short", 400, "bad_json", CALL[:-3]),
    Bad("JSON twice", 400, "bad_json", CALL * 2),
    Bad("single quotes", 400, "bad_json", CALL.replace(b'"', b"'")),
    Bad("a comment", 400, "bad_json", CALL + b"// hello"),
    Bad("a key twice", 400, "bad_json", call('"event": "incoming_call"')),
    Bad("a number twice in data", 400, "bad_json", CALL.replace(b'"to"', b'"to": "1", "to"')),
    Bad("NaN", 400, "bad_json", call('"a": NaN')),
    Bad("Infinity", 400, "bad_json", call('"a": Infinity')),
    Bad("a number that is infinite", 400, "bad_json", call('"a": 1e400')),
    Bad("a number of thousands of digits", 400, "bad_json", call('"a": 1' + "0" * 9000)),
    Bad("a nesting bomb of lists", 400, "bad_json", b"[" * 60_000),
    Bad("a closed nesting bomb", 400, "bad_json", call('"a": ' + "[" * 30_000 + "]" * 30_000)),
    Bad("a nesting bomb of objects", 400, "bad_json", b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    Bad("a byte order mark", 400, "bad_json", b"\xef\xbb\xbf" + CALL),
    Bad("UTF-16", 400, "bad_json", UTF16),
    Bad("Latin-1", 400, "bad_json", call('"a": "\u00e9"').decode().encode("latin-1")),
    Bad("a lone surrogate", 400, "bad_text", CALL.replace(b'"1202', b'"\\ud8001202')),
    Bad("an encoded surrogate", 400, "bad_json", CALL.replace(b"incoming", b"\xed\xa0\x80")),
    Bad("NUL in a number", 400, "bad_text", CALL.replace(b'"1202', b'"\\u00001202')),
    Bad("a list", 400, "bad_event", b"[" + CALL + b"]"),
    Bad("a text", 400, "bad_event", b'"incoming_call"'),
    Bad("null", 400, "bad_event", b"null"),
    Bad("no event", 400, "bad_event", payload("sms_session_callback")),
    Bad("an event that is a number", 400, "bad_event", message(event=1)),
    Bad("an event that is empty", 400, "bad_event", message(event="")),
    Bad("an event too long", 400, "bad_event", message(event="x" * 65)),
    Bad("an event with a line break", 400, "bad_event", message(event="incoming_call\n")),
    Bad("no reference id", 400, "bad_event", message(reference_id=None)),
    Bad("a reference id too long", 400, "bad_event", message(reference_id="x" * 129)),
    Bad("a reference id that is not ASCII", 400, "bad_event", message(reference_id="\u00e9")),
]


ALLOWED = {"/": "POST", "/health": "GET"}


def ask(server: ServerProcess, bad: Bad) -> tuple[http.client.HTTPResponse, bytes]:
    return ask_over(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10), bad)


def ask_over(
    connection: http.client.HTTPConnection, bad: Bad
) -> tuple[http.client.HTTPResponse, bytes]:
    body = iter([bad.body[:50], bad.body[50:]]) if bad.chunked else bad.body
    headers = {k: v.encode("utf-8") for k, v in bad.all_headers().items()}
    connection.request(
        bad.method,
        bad.path,
        body,
        headers,
        encode_chunked=bad.chunked,
    )
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response, answer


Answer = tuple[int, dict[str, str], bytes]


def whole(answered: tuple[http.client.HTTPResponse, bytes]) -> Answer:
    """Return status, headers and body, without the headers that each server sets by itself."""
    response, body = answered
    headers = {name.lower(): value for name, value in response.getheaders()}
    for name in ("date", "connection", "server"):
        headers.pop(name, None)
    return response.status, headers, body


GOOD = [
    Bad("both headers", 200, ""),
    Bad("chunked", 200, "", chunked=True),
    Bad(
        "a type in capitals with parameters",
        200,
        "",
        more={"Content-Type": "Application/JSON; charset=utf-8"},
    ),
    Bad("not compressed", 200, "", more={"Content-Encoding": "Identity"}),
    Bad("an empty encoding", 200, "", more={"Content-Encoding": ""}),
    Bad("a name that cannot be kept", 200, "", body=call('"name": "\\u0000 \\ud800"')),
    Bad("a query", 200, "", path="/?from=proxy"),
    Bad("an absolute form", 200, "", path="http://127.0.0.1/"),
    Bad("Authorization alone", 200, "", headers=JSON | {"Authorization": TSA + BARE}),
    Bad("X-TS-Authorization alone", 200, "", headers=other(BARE)),
    Bad("X-TS-Authorization in full", 200, "", headers=other(TSA + BARE)),
    Bad(
        "Basic of a proxy beside it", 200, "", headers=other(BARE) | {"Authorization": "Basic eA=="}
    ),
    Bad("a body of the most that is taken", 200, "", body=CALL.ljust(65_536)),
    Bad("the most that is taken, chunked", 200, "", body=CALL.ljust(65_536), chunked=True),
]
