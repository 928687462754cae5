"""Proves who sent the bytes: TeleSign's callback signature, made and verified.

The signature is base64(HMAC-SHA256(key, body)), with the key decoded from its base64 form and the
body exactly as it came. Only the body is signed: no time, no path, no nonce. This file knows
nothing of JSON, of phone numbers or of the web framework; it sees bytes and header values.

Source: TeleSign, "Authenticate callbacks" (developer.telesign.com/enterprise/docs).
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

_SCHEME = "TSA "
_MIN_KEY_BYTES = 16


class SignatureError(Exception):
    """The bytes are not proven to come from TeleSign. `cause` is fit for the operator's log."""

    word = "unauthorized"

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class KeyFormError(ValueError):
    """An API key cannot be used; the message never holds the key."""


def decode_key(text: str) -> bytes:
    """Decode an API key as TeleSign issues it: strict base64 of at least 16 bytes.

    Raises `KeyFormError`. A lenient decoder would drop the characters it does not know and so
    accept a mistyped key as another, weaker one.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:  # also of a text that is not ASCII
        raise KeyFormError("wanted the key in base64, as TeleSign shows it") from None
    if len(key) < _MIN_KEY_BYTES:
        raise KeyFormError(f"wanted at least {_MIN_KEY_BYTES} bytes of key, got {len(key)}")
    return key


def sign(body: bytes, *, key: bytes) -> str:
    """Return the signature that TeleSign puts on this body."""
    return _signature(body, key).decode()


def _signature(body: bytes, key: bytes) -> bytes:
    digest = _keyed(key).copy()
    digest.update(body)
    return base64.b64encode(digest.digest())


@lru_cache(maxsize=8)
def _keyed(key: bytes) -> hmac.HMAC:
    """Return the beginning of every signature; `hmac.digest` would let other threads in."""
    return hmac.new(key, digestmod=hashlib.sha256)


def verify(
    body: bytes,
    *,
    authorization: str | None,
    x_ts_authorization: str | None,
    customer_id: str,
    keys: Sequence[bytes],
) -> None:
    """Raise `SignatureError` unless every signature that the request carries is a right one.

    `authorization` and `x_ts_authorization` are the values of the headers of that name, `None` when
    absent. An `Authorization` of another scheme, left by a proxy, is no signature. One key out of
    `keys` has to fit; all are tried, in constant time each.
    """
    signatures = []
    if authorization is not None and authorization.startswith(_SCHEME):
        signatures.append(_signature_in(authorization, customer_id))
    if x_ts_authorization is not None:
        signatures.append(_signature_in(x_ts_authorization, customer_id))
    if not signatures:
        raise SignatureError("unsigned")
    expected = [_signature(body, key) for key in keys]
    for given in signatures:
        fits = False
        for own in expected:  # all of them, whichever one fits
            fits |= hmac.compare_digest(given, own)
        if not fits:
            raise SignatureError("wrong signature")


def _signature_in(candidate: str, customer_id: str) -> bytes:
    """Return the bare signature of a header value; a character that is not ASCII can never fit."""
    if candidate.startswith(_SCHEME):
        sender, _, candidate = candidate.removeprefix(_SCHEME).partition(":")
        if sender != customer_id:
            raise SignatureError("wrong customer id")
    return candidate.encode(errors="replace")
