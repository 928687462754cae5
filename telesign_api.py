"""Calls TeleSign's REST API: prepares masked sessions in the Number Masking API.

A session may cost money and takes a number from the pool, so a request is made once: nothing that
may have happened is tried again. Every refusal of TeleSign's is an error of its own that says what
to do. The key is used as bytes and never shown.

Sources: TeleSign, "Engage API (Number Masking)" v1.0 (developer.telesign.com/enterprise), and
"Authentication" for both ways to sign; the order of what is signed: TeleSign/python_telesign.
"""

import base64
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import requests
import urllib3
from requests.exceptions import InvalidURL, ProxyError, SSLError

import phone
import signature
from phone import PhoneNumber

SESSION_PATH = "/v1/anonymous/session/sms_voice"

_JSON = "application/json"
_AUTH_METHOD = "HMAC-SHA256"
_TIMEOUT_S = 10.0
_DATE_AND_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}"
_CREATED = {2700, 2701}
_COUNTRY_DIFFERS = 2701


class SessionError(Exception):
    """There is no session, or nobody knows; the message says what happened and what to do."""


class SessionUnknownError(SessionError):
    """No clear answer came: the session may exist at TeleSign all the same."""


class NotAuthorizedError(SessionError):
    """TeleSign does not accept the customer id and key."""


class TooManyRequestsError(SessionError):
    """Too many requests: wait before the next one."""


class NoMaskAvailableError(SessionError):
    """2702: no masking ID is free; ask TeleSign's support for more numbers for SMS and voice."""


class InvalidSessionTypeError(SessionError):
    """2703: the account has no sessions of this type; ask TeleSign's support to enable them."""


class TeleSignFailedError(SessionError):
    """2704: TeleSign failed; whether a session exists is not documented, so look before asking."""


class InvalidValidityError(SessionError):
    """2705: the validity must be above 0 and at most 720 hours, in the unit of the account."""


class BlockedByTeleSignError(SessionError):
    """2706: TeleSign blocks one of the numbers."""


class BlockedByCustomerError(SessionError):
    """2707: your own account blocks one of the numbers."""


class SameNumbersError(SessionError):
    """2708: the two numbers are the same."""


REFUSALS: dict[int, type[SessionError]] = {
    2702: NoMaskAvailableError,
    2703: InvalidSessionTypeError,
    2704: TeleSignFailedError,
    2705: InvalidValidityError,
    2706: BlockedByTeleSignError,
    2707: BlockedByCustomerError,
    2708: SameNumbersError,
}
"""Every refusal that TeleSign documents, by its code. Source: Engage API (Number Masking)."""


@dataclass(frozen=True, slots=True)
class MaskedSession:
    """Two people who reach each other through masking IDs of TeleSign's choice.

    Each person's mask is what the other sees and dials; both may have the same. `ends` is
    TeleSign's `session_end_on`, which names no zone: it is taken for UTC, because TeleSign's own
    example fits UTC (500 hours after its creation, to two minutes). `warning` is empty unless a
    mask is of another country than its number (2701).
    """

    reference_id: str
    number_1: PhoneNumber
    mask_1: PhoneNumber
    number_2: PhoneNumber
    mask_2: PhoneNumber
    ends: datetime
    warning: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Who asks: `key` is the decoded API key. With `signed`, requests carry a TSA signature."""

    customer_id: str
    key: bytes
    signed: bool = False

    def headers(self, body: bytes, *, now: datetime, nonce: str) -> dict[str, str]:
        """Return the headers that authorize a POST of a session."""
        if not self.signed:
            return {"Authorization": basic(self.customer_id, base64.b64encode(self.key).decode())}
        date = format_datetime(now, usegmt=True)
        return {
            "Authorization": tsa(
                self.customer_id,
                self.key,
                f"POST\n{_JSON}\n{date}\nx-ts-auth-method:{_AUTH_METHOD}\nx-ts-nonce:{nonce}\n",
                body,
                SESSION_PATH,
            ),
            "Date": date,
            "x-ts-auth-method": _AUTH_METHOD,
            "x-ts-nonce": nonce,
        }


def basic(customer_id: str, api_key: str) -> str:
    """Return the Authorization header with the key itself. Source: Authentication, Basic."""
    return "Basic " + base64.b64encode(f"{customer_id}:{api_key}".encode()).decode("ascii")


def tsa(customer_id: str, key: bytes, head: str, body: bytes, path: str) -> str:
    """Return the Authorization header with a signature of the request.

    `head` are the signed lines before the body: method, content type, date, auth method and nonce,
    each ended by a line break. Source: Authentication, Digest.
    """
    lines = head.encode() + (body + b"\n" if body else b"") + path.encode()
    return f"TSA {customer_id}:{signature.sign(lines, key=key)}"


def create_session(
    base_url: str,
    credentials: Credentials,
    number_1: PhoneNumber,
    number_2: PhoneNumber,
    validity: int,
    *,
    timeout_s: float = _TIMEOUT_S,
) -> MaskedSession:
    """Create a session for two people, once.

    `validity` is in the unit that TeleSign has set for the account (seconds, minutes, hours or
    days); at most 720 hours, whatever the unit. Raises a `SessionError`, one class for each cause.
    """
    body = json.dumps(
        {"phone_number_1": number_1, "phone_number_2": number_2, "validity_period": validity}
    ).encode()
    headers = credentials.headers(body, now=datetime.now(UTC), nonce=str(uuid.uuid4()))
    try:
        with requests.Session() as session:
            session.auth = lambda request: request  # or requests would ask .netrc
            answer = session.post(
                base_url + SESSION_PATH,
                body,
                headers={"Content-Type": _JSON, "Accept": _JSON} | headers,
                timeout=timeout_s,
                allow_redirects=False,
            )
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        if _nothing_was_sent(error):
            raise SessionError(f"no connection to {base_url}; nothing was asked") from error
        raise SessionUnknownError(
            f"no answer from {base_url} ({type(error).__name__}); the session may exist, so look at"
            " TeleSign before you ask again"
        ) from error
    return _read(answer, number_1, number_2)


def _nothing_was_sent(error: Exception) -> bool:
    """Tell whether there was no connection; a refused one is a ConnectTimeoutError as well."""
    if isinstance(
        error, SSLError | ProxyError | InvalidURL | urllib3.exceptions.LocationParseError
    ):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, urllib3.exceptions.ConnectTimeoutError)


def _read(answer: requests.Response, number_1: PhoneNumber, number_2: PhoneNumber) -> MaskedSession:
    if answer.status_code == 401:
        raise NotAuthorizedError("TeleSign refuses the customer id and key; check both")
    if answer.status_code == 429:
        raise TooManyRequestsError("too many requests; wait a while, nothing was created")
    try:
        message = answer.json()
        code = message["status"]["code"]
        if code in REFUSALS:
            error = REFUSALS[code]
            raise error(str(error.__doc__))
        if code in _CREATED:
            return _session(message, number_1, number_2)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        code = "none"
    raise SessionUnknownError(
        f"wanted a session or a known refusal, got HTTP {answer.status_code} with status code"
        f" {code!r:.40}; the session may exist, so look at TeleSign before you ask again"
    )


def _session(message: Any, number_1: PhoneNumber, number_2: PhoneNumber) -> MaskedSession:
    """Return the session of an answer. Raises `ValueError`, `KeyError` or `TypeError`."""
    data = message["session_data"]
    masks = []
    for name, number in ("phone_number_1", number_1), ("phone_number_2", number_2):
        if phone.parse(data[name]["complete_phone_number"]) != number:
            raise ValueError("wanted the numbers that were sent")
        masks.append(phone.parse(data[name]["masked_id"]))
    if {number_1, number_2} & set(masks):
        raise ValueError("wanted masks that are nobody's own number")
    reference_id, ends = message["reference_id"], data["session_end_on"]
    if not re.fullmatch("[!-~]{1,128}", reference_id) or not re.match(_DATE_AND_TIME, ends):
        raise ValueError("wanted a reference id, and an end with date and time")
    moment = datetime.fromisoformat(ends)
    differs = message["status"]["code"] == _COUNTRY_DIFFERS
    return MaskedSession(
        reference_id=reference_id,
        number_1=number_1,
        mask_1=masks[0],
        number_2=number_2,
        mask_2=masks[1],
        ends=moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC),
        warning="a mask is of another country than its number" if differs else "",
    )
