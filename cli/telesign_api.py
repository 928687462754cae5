"""Calls TeleSign's REST API: creates masked sessions in the Number Masking API.

A session may cost money and takes a number from the pool, so a request is made once and never
repeated. Every refusal of TeleSign's is an error of its own that says what to do. TeleSign's own
SDK makes and signs the request, so the key itself is never sent; `http_client` sends it.

Source: TeleSign, "Engage API (Number Masking)" v1.0 (developer.telesign.com/enterprise).
"""

import base64
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from requests.exceptions import Timeout
from telesign.rest import RestClient

import phone
from cli import http_client
from phone import PhoneNumber

SESSION_PATH = "/v1/anonymous/session/sms_voice"

_TIMEOUT_S = 10.0
_DATE_AND_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}"
_CREATED = {2700, 2701}
_COUNTRY_DIFFERS = 2701

MAY_EXIST = "the session may exist, so check at TeleSign before you ask again"


class SessionError(Exception):
    """There is no session, or it is unknown; the message says what happened and what to do."""


class SessionUnknownError(SessionError):
    """There was no clear answer: the session may exist."""


class NotAuthorizedError(SessionError):
    """TeleSign does not accept the customer id and key."""


class TooManyRequestsError(SessionError):
    """Too many requests: wait before the next one."""


class NoMaskAvailableError(SessionError):
    """2702: no masking ID is free; ask TeleSign's support for more numbers for SMS and voice."""


class InvalidSessionTypeError(SessionError):
    """2703: the account has no sessions of this type; ask TeleSign's support to enable them."""


class TeleSignFailedError(SessionError):
    """2704: TeleSign failed; the session may exist, so check at TeleSign before you ask again."""


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
    """Who asks: `key` is the decoded API key, with which requests are signed."""

    customer_id: str
    key: bytes


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
    fields = {"phone_number_1": number_1, "phone_number_2": number_2, "validity_period": validity}
    with http_client.Session() as http:
        try:
            answer = _client(base_url, credentials, http, timeout_s).post(
                SESSION_PATH, json_fields=fields
            )
        except http_client.FAILURES as error:
            raise _unanswered(error, base_url, connected=http.connected) from error
    return _read(answer, number_1, number_2)


def _client(
    base_url: str, credentials: Credentials, http: http_client.Session, timeout_s: float
) -> RestClient:
    """Return TeleSign's client, which makes its requests in our HTTP session.

    Its own session would let .netrc replace the signature, and would follow redirects. The client
    makes a new session of its own after `pool_recycle` seconds: never, here.
    """
    client = RestClient(
        credentials.customer_id,
        base64.b64encode(credentials.key).decode(),
        rest_endpoint=base_url,
        timeout=timeout_s,
        pool_recycle=math.inf,
    )
    client.session = http
    return client


def _unanswered(error: BaseException, base_url: str, *, connected: bool) -> SessionError:
    """Return the error of a request without an answer; it was sent unless never `connected`."""
    what, remedy = http_client.cause(error, base_url)
    if not connected:
        return SessionError(f"no connection to {base_url}, so nothing was sent: {what}; {remedy}")
    if isinstance(error, Timeout):
        return SessionUnknownError(f"{base_url} did not answer in time; {MAY_EXIST}")
    return SessionUnknownError(f"no answer from {base_url}: {what}; {MAY_EXIST}")


def _read(
    answer: RestClient.Response, number_1: PhoneNumber, number_2: PhoneNumber
) -> MaskedSession:
    if answer.status_code == 401:
        raise NotAuthorizedError("TeleSign refuses the customer id and key; check both")
    if answer.status_code == 429:
        raise TooManyRequestsError("too many requests; nothing was created; wait a while")
    message, code = answer.json, None
    try:
        code = message["status"]["code"]
        if code in REFUSALS:
            error = REFUSALS[code]
            raise error(str(error.__doc__))
        if code in _CREATED:
            return _session(message, number_1, number_2)
    except (ValueError, KeyError, TypeError, OverflowError):
        pass  # not what TeleSign documents
    status = (
        "without a status code of TeleSign's" if code is None else f"with status code {code!r:.40}"
    )
    raise SessionUnknownError(
        f"wanted a session or a known refusal, got HTTP {answer.status_code} {status}; {MAY_EXIST}"
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
        raise ValueError("wanted masks that are neither person's own number")
    reference_id, ends = message["reference_id"], data["session_end_on"]
    if not re.fullmatch("[!-~]{1,128}", reference_id) or not re.match(_DATE_AND_TIME, ends):
        raise ValueError("wanted a reference id, and an end with date and time")
    end = datetime.fromisoformat(ends)
    differs = message["status"]["code"] == _COUNTRY_DIFFERS
    return MaskedSession(
        reference_id=reference_id,
        number_1=number_1,
        mask_1=masks[0],
        number_2=number_2,
        mask_2=masks[1],
        ends=end.replace(tzinfo=UTC) if end.tzinfo is None else end.astimezone(UTC),
        warning="a masking ID is from a different country than the number it masks"
        if differs
        else "",
    )
