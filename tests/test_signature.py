"""TeleSign's callback signature, against values that were computed by other programs."""

import base64
import hashlib
import hmac

import facts
import pytest

import signature
from signature import KeyFormError, SignatureError

# TeleSign's SDK tests: this key holds four dashes, which only a lenient decoder drops.
SDK_KEY = base64.b64decode(
    "EXAMPLE----TE8sTgg45yusumoN6BYsBVkh+yRJ5czgsnCehZaOYldPJdmFh6NeX8kunZ2zU1YWaUw/0wV6xfw=="
)
SDK_BODY = b"{'test': 123}"
SDK_SIGNATURE = "B97g3N9lPdVaptvifxRau7bzVAC5hhRBZ6HKXABN744="

KEY = signature.decode_key(facts.API_KEY)
OTHER_KEY = signature.decode_key(facts.OTHER_API_KEY)
BODY = (
    b'{"event":"incoming_call","reference_id":"534e1848-235f-482d-983d-e3e11a04f58a",'
    b'"data":{"to":"15558675309","from":"15555551212"}}'
)
SIGNATURE = "sCUxv5gN0n90xgpTpaMPWyR0ODoSF21i07r2ChE+HaU="
EMPTY_SIGNATURE = "W0asG61f+zKIfGXhFwQhku4YQUG1wZLM0BGOwdYVDlc="
TSA = f"TSA {facts.CUSTOMER_ID}:"


def verify(
    authorization: str | None = None,
    x_ts_authorization: str | None = None,
    *,
    body: bytes = BODY,
    keys: tuple[bytes, ...] = (KEY,),
) -> None:
    signature.verify(
        body,
        authorization=authorization,
        x_ts_authorization=x_ts_authorization,
        customer_id=facts.CUSTOMER_ID,
        keys=keys,
    )


@pytest.mark.parametrize(
    ("key", "body", "known"),
    [
        (SDK_KEY, SDK_BODY, SDK_SIGNATURE),
        (KEY, BODY, SIGNATURE),
        (KEY, b"", EMPTY_SIGNATURE),
    ],
)
def test_known_signatures_are_made_and_verified(key: bytes, body: bytes, known: str) -> None:
    assert signature.sign(body, key=key) == known
    verify(x_ts_authorization=known, body=body, keys=(key,))


def test_the_keys_are_as_long_as_their_issuer_says() -> None:
    assert (len(SDK_KEY), len(KEY)) == (61, 55)


@pytest.mark.parametrize(
    ("authorization", "x_ts_authorization"),
    [
        (TSA + SIGNATURE, None),
        (None, SIGNATURE),
        (None, TSA + SIGNATURE),
        (TSA + SIGNATURE, SIGNATURE),
        (TSA + SIGNATURE, TSA + SIGNATURE),
        ("Basic dXNlcjpwYXNz", SIGNATURE),
    ],
)
def test_either_header_and_both_verify(
    authorization: str | None, x_ts_authorization: str | None
) -> None:
    verify(authorization, x_ts_authorization)


@pytest.mark.parametrize("keys", [(KEY, OTHER_KEY), (OTHER_KEY, KEY), (OTHER_KEY, OTHER_KEY, KEY)])
def test_a_signature_by_any_of_several_keys_verifies(keys: tuple[bytes, ...]) -> None:
    verify(TSA + SIGNATURE, SIGNATURE, keys=keys)


WRONG = "wrong signature: another key, another account, or a proxy that re-encodes the body"


@pytest.mark.parametrize(
    ("authorization", "x_ts_authorization", "cause"),
    [
        (None, None, "unsigned"),
        ("Basic dXNlcjpwYXNz", None, "unsigned"),
        ("Bearer " + SIGNATURE, None, "unsigned"),
        (SIGNATURE, None, "unsigned"),
        (f"tsa {facts.CUSTOMER_ID}:{SIGNATURE}", None, "unsigned"),
        ("", None, "unsigned"),
        ("TSA", None, "unsigned"),
        ("TSA ", None, "wrong customer id"),
        ("TSA :" + SIGNATURE, None, "wrong customer id"),
        ("TSA other:" + SIGNATURE, None, "wrong customer id"),
        ("TSA " + SIGNATURE, None, "wrong customer id"),
        (f"TSA {facts.CUSTOMER_ID.lower()}:{SIGNATURE}", None, "wrong customer id"),
        (f"TSA  {facts.CUSTOMER_ID}:{SIGNATURE}", None, "wrong customer id"),
        ("TSA other:" + SIGNATURE, SIGNATURE, "wrong customer id"),
        (None, "TSA other:" + SIGNATURE, "wrong customer id"),
        (TSA, None, WRONG),
        (TSA + " " + SIGNATURE, None, WRONG),
        (TSA + SIGNATURE + ":" + SIGNATURE, None, WRONG),
        (TSA + SIGNATURE, "", WRONG),
        (TSA + SIGNATURE, EMPTY_SIGNATURE, WRONG),
        (TSA + EMPTY_SIGNATURE, SIGNATURE, WRONG),
        (None, EMPTY_SIGNATURE, WRONG),
        (None, "", WRONG),
        (None, SIGNATURE.rstrip("="), WRONG),
        (None, SIGNATURE.replace("+", "-"), WRONG),
        (None, SIGNATURE.swapcase(), WRONG),
        (None, SIGNATURE + "\n", WRONG),
        (None, "-" + SIGNATURE, WRONG),
        (None, SIGNATURE[:10] + "-" + SIGNATURE[10:], WRONG),
        (None, "\u00e9" + SIGNATURE, WRONG),
        (None, SIGNATURE[:-1] + "\u20ac", WRONG),
        (None, SIGNATURE[:-1] + "\udc80", WRONG),
        (None, base64.b64decode(SIGNATURE).hex(), WRONG),
    ],
)
def test_everything_else_is_refused_with_its_cause(
    authorization: str | None, x_ts_authorization: str | None, cause: str
) -> None:
    with pytest.raises(SignatureError) as caught:
        verify(authorization, x_ts_authorization)
    assert (caught.value.cause, caught.value.word) == (cause, "unauthorized")
    assert str(caught.value) == cause


@pytest.mark.parametrize(
    ("authorization", "x_ts_authorization", "names_us"),
    [
        (TSA + EMPTY_SIGNATURE, None, True),
        (TSA + EMPTY_SIGNATURE, EMPTY_SIGNATURE, True),
        (TSA + SIGNATURE, EMPTY_SIGNATURE, True),
        (None, TSA + EMPTY_SIGNATURE, True),
        ("Basic eDp5", TSA + EMPTY_SIGNATURE, True),
        (TSA, None, True),
        (None, EMPTY_SIGNATURE, False),
        ("Basic eDp5", EMPTY_SIGNATURE, False),
        (None, None, False),
        ("TSA other:" + SIGNATURE, None, False),
        ("TSA " + facts.CUSTOMER_ID, EMPTY_SIGNATURE, False),
        (facts.CUSTOMER_ID, EMPTY_SIGNATURE, False),
    ],
)
def test_a_refusal_says_whether_it_came_with_our_customer_id(
    authorization: str | None, x_ts_authorization: str | None, names_us: bool
) -> None:
    with pytest.raises(SignatureError) as caught:
        verify(authorization, x_ts_authorization)
    assert caught.value.names_us is names_us


def test_a_signature_that_matches_no_key_is_refused() -> None:
    with pytest.raises(SignatureError, match="wrong signature"):
        verify(x_ts_authorization=SIGNATURE, keys=(OTHER_KEY,))


def test_no_key_verifies_nothing() -> None:
    with pytest.raises(SignatureError, match="wrong signature"):
        verify(x_ts_authorization=SIGNATURE, keys=())


@pytest.mark.parametrize(
    "wrong",
    [
        hmac.digest(KEY, BODY, "sha1"),
        hmac.digest(KEY, BODY, "sha512"),
        hmac.digest(facts.API_KEY.encode(), BODY, "sha256"),
        hmac.digest(b"", BODY, "sha256"),
        hmac.digest(KEY, BODY + b"\n", "sha256"),
        hashlib.sha256(KEY + BODY).digest(),
    ],
    ids=["sha1", "sha512", "key not decoded", "empty key", "a newline more", "no hmac"],
)
def test_other_ways_to_sign_are_refused(wrong: bytes) -> None:
    with pytest.raises(SignatureError, match="wrong signature"):
        verify(x_ts_authorization=base64.b64encode(wrong).decode())


@pytest.mark.parametrize("position", range(0, len(BODY), 7))
def test_one_changed_byte_is_refused(position: int) -> None:
    changed = bytearray(BODY)
    changed[position] ^= 1
    with pytest.raises(SignatureError, match="wrong signature"):
        verify(TSA + SIGNATURE, body=bytes(changed))


def test_every_key_is_compared_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    verify(x_ts_authorization=SIGNATURE, keys=(KEY, OTHER_KEY, OTHER_KEY))
    assert len(compared) == 3


def test_a_key_may_be_as_short_as_sixteen_bytes() -> None:
    assert signature.decode_key(base64.b64encode(b"0123456789abcdef").decode()) == (
        b"0123456789abcdef"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wanted at least 16 bytes of key, got 0"),
        ("c2hvcnQ=", "wanted at least 16 bytes of key, got 5"),
        ("not base64!", "wanted the key in base64, as TeleSign shows it"),
        (facts.API_KEY[:-1], "wanted the key in base64, as TeleSign shows it"),
        (facts.API_KEY.replace("+", "-"), "wanted the key in base64, as TeleSign shows it"),
        (facts.API_KEY + "\n", "wanted the key in base64, as TeleSign shows it"),
        ("\u00e9" + facts.API_KEY, "wanted the key in base64, as TeleSign shows it"),
    ],
)
def test_an_unusable_key_is_refused_without_being_shown(text: str, message: str) -> None:
    with pytest.raises(KeyFormError) as caught:
        signature.decode_key(text)
    assert str(caught.value) == message
