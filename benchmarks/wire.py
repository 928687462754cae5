"""The bytes that are sent to every server alike: signed `incoming_call` events of the sample.

Each event has a `reference_id` of its own, so that no server can take one for a repeat of another.
Key and customer id are made up and open to everybody.
"""

import json
from collections.abc import Iterator
from itertools import count

import signature

CUSTOMER_ID = "BENCHMARK"
API_KEY = "bm90aGluZyBvZiB3b3J0aCBpcyBrZXB0IGJ5IGl0"
KEYS = {"TELESIGN_CUSTOMER_ID": CUSTOMER_ID, "TELESIGN_API_KEY": API_KEY}
DIALLED, CALLER, DESTINATION, MASKING_ID = (
    "12025550100",
    "12025550123",
    "12025550111",
    "12025550199",
)

_KEY = signature.decode_key(API_KEY)


def bodies(name: str) -> Iterator[bytes]:
    """Yield one event after the other, without end; another name gives other events."""
    for number in count():
        event = {
            "event": "incoming_call",
            "reference_id": f"{name}-{number:08X}",
            "data": {"to": DIALLED, "from": CALLER},
        }
        yield json.dumps(event).encode("ascii")


def headers(body: bytes) -> dict[str, str]:
    """Return the headers of a body, as TeleSign sends them."""
    bare = signature.sign(body, key=_KEY)
    return {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Authorization": f"TSA {CUSTOMER_ID}:{bare}",
        "X-TS-Authorization": bare,
    }


def http(body: bytes) -> bytes:
    """Return the whole request over HTTP."""
    lines = ["POST / HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers(body).items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def is_right(answer: bytes) -> bool:
    """Return whether a whole HTTP answer is the one that connects the call."""
    head, _, body = answer.partition(b"\r\n\r\n")
    is_ok = head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 "))
    return is_ok and b'"dial"' in body and DESTINATION.encode() in body
