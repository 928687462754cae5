"""Makes and verifies TeleSign's callback signature, which proves who sent a body.

The signature is base64(HMAC-SHA256(key, body)), with the key decoded from its base64 form and the
body exactly as it arrived. Only the body is signed: no time, no path, no nonce. This file sees
bytes and header values, and knows nothing of JSON, phone numbers or the web framework.

Source: TeleSign, "Authenticate callbacks" (developer.telesign.com/enterprise/docs).
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from functools import cache

_SCHEME = "TSA "
_WRONG = "wrong signature: another key, another account, or a proxy that re-encodes the body"
_MIN_KEY_BYTES = 16


class SignatureError(Exception):
    """Nothing proves that the body comes from TeleSign. `cause` may go into the operator's log.

    `names_us` says whether the signature that does not match stands beside our own customer id.
    """

    word = "unauthorized"

    def __init__(self, cause: str, *, names_us: bool = False) -> None:
        super().__init__(cause)
        self.cause, self.names_us = cause, names_us


class KeyFormError(ValueError):
    """An API key cannot be used; the message never holds the key."""


def decode_key(text: str) -> bytes:
    """Decode an API key as TeleSign issues it: strict base64 of at least 16 bytes.

    Raises `KeyFormError`. A lenient decoder would skip unknown characters, and so turn a mistyped
    key into another, weaker one.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:  # also of a text that is not ASCII
        raise KeyFormError("wanted the key in base64, as TeleSign shows it") from None
    if len(key) < _MIN_KEY_BYTES:
        raise KeyFormError(f"wanted at least {_MIN_KEY_BYTES} bytes of key, got {len(key)}")
    return key


def sign(body: bytes, *, key: bytes) -> str:
    """Return the signature that TeleSign sends with this body."""
    digest = _start_hmac(key).copy()
    digest.update(body)
    return base64.b64encode(digest.digest()).decode()


@cache  # of ten keys at most
def _start_hmac(key: bytes) -> hmac.HMAC:
    """Return the HMAC of a key before any body: to copy it is faster than to make it anew.

    `hmac.digest` would also release the interpreter to other threads, and wait to get it back.
    """
    return hmac.new(key, digestmod=hashlib.sha256)


def verify(
    body: bytes,
    *,
    authorization: str | None,
    x_ts_authorization: str | None,
    customer_id: str,
    keys: Sequence[bytes],
) -> None:
    """Raise `SignatureError` unless the request carries a signature and every one of them is valid.

    `authorization` and `x_ts_authorization` are the values of the headers of that name, `None` if
    absent. An `Authorization` of another scheme, which a proxy may add, is not a signature. Each
    signature has to be that of one of the `keys`; all are compared, each in constant time.
    """
    if authorization is not None and not authorization.startswith(_SCHEME):
        authorization = None
    headers = [header for header in (authorization, x_ts_authorization) if header is not None]
    if not headers:
        raise SignatureError("unsigned")
    signatures = [_signature_in(header, customer_id) for header in headers]
    expected = [sign(body, key=key).encode() for key in keys]
    for signature in signatures:
        # A list, so that every key is compared: the time does not show which one matches.
        if not any([hmac.compare_digest(signature, valid) for valid in expected]):  # noqa: C419
            names_us = any(header.startswith(f"{_SCHEME}{customer_id}:") for header in headers)
            raise SignatureError(_WRONG, names_us=names_us)


def _signature_in(value: str, customer_id: str) -> bytes:
    """Return the bare signature in a header's value; one that is not ASCII never matches."""
    if value.startswith(_SCHEME):
        sender, _, value = value.removeprefix(_SCHEME).partition(":")
        if sender != customer_id:
            raise SignatureError("wrong customer id")
    return value.encode(errors="replace")
