"""The `session` command: creates a masked session at TeleSign, prints it and adds it to the list.

A session may cost money and takes a number from a pool. So everything that could fail on this
machine is tried before TeleSign is asked, the request is made once and never repeated, and once
there is a session, it is printed before anything else is done. TeleSign's own SDK signs the
request, so the key itself is never sent; `http_client` sends it.

Source: TeleSign, "Engage API (Number Masking)" v1.0 (developer.telesign.com/enterprise).
"""

import argparse
import base64
import json
import os
import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from telesign.rest import RestClient

import phone
from commands import Dial
from config import API_KEY, CUSTOMER_ID, ConfigError, Settings
from routing import AllowListError, Route
from serving.sources import load
from tools import console, http_client, list_change, live_list
from tools.history.fields import View
from tools.list_editor import editor, pairs
from tools.list_editor.pairs import People
from tools.outcome import CommandError, Status, report, wrap

_PATH = "/v1/anonymous/session/sms_voice"
_NAMES = ("phone_number_1", "phone_number_2")
_TIMEOUT_S = 10.0
_CREATED, _COUNTRY_DIFFERS = 2700, 2701

MAY_EXIST = "the session may exist, so check at TeleSign before you ask again"
REFUSALS = {
    401: "TeleSign refuses the customer id and key; check both",
    429: "too many requests; nothing was created; wait a while",
    2702: "2702: no masking ID is free; ask TeleSign's support for more numbers for SMS and voice",
    2703: "2703: the account has no sessions of this type; ask TeleSign's support to enable them",
    2704: f"2704: TeleSign failed; {MAY_EXIST}",
    2705: "2705: the validity must be above 0 and at most 720 hours, in the unit of the account",
    2706: "2706: TeleSign blocks one of the numbers",
    2707: "2707: your own account blocks one of the numbers",
    2708: "2708: the two numbers are the same",
}
"""What each refusal means, by its HTTP status or by TeleSign's code, all of which are here."""


class SessionError(CommandError):
    """There is no session, or it is unknown; the message says what happened and what to do."""

    def __init__(self, message: str) -> None:
        may_exist = MAY_EXIST in message
        word = "session_may_exist" if may_exist else "no_session"
        super().__init__(word, message, Status.MAY_EXIST if may_exist else Status.IN_THE_WAY)


@dataclass(frozen=True, slots=True)
class MaskedSession:
    """Two people who reach each other through masking IDs of TeleSign's choice: a route each way.

    Each person's mask is what the other dials and sees. The routes expire at `session_end_on`,
    which names no zone: it is taken for UTC, because TeleSign's own example fits UTC (500 hours
    after its creation, to two minutes).
    """

    reference_id: str
    routes: list[Route]
    country_differs: bool


def run(options: argparse.Namespace, now: datetime) -> int:
    """Create a masked session, print who dials what and sees what, and add it to the list.

    Returns the exit status; raises what is in the way before there is a session, or if nobody knows
    whether there is one.
    """
    settings, live = load(options.config, os.environ)
    if not settings.api_keys:
        raise ConfigError([f"wanted {CUSTOMER_ID} and {API_KEY}, got neither; set both"])
    with list_change.in_the_way():
        people = pairs.read_people(options.one, options.other, settings.home_country_code)
        if options.append:
            _check_can_append(settings, people, live.current.own_numbers)
    session = create_session(settings, people, options.validity)
    if options.json:
        text = json.dumps(_plain(session, full=options.full))
    else:
        text = wrap(*_in_words(session, full=options.full))
    status = report("session", text)
    if options.append:
        return _append(settings, session, options, now, status)
    return status


def _check_can_append(settings: Settings, people: People, own_numbers: Container[str]) -> None:
    """Raise what is in the way of routes of these people in the list, and on the server."""
    try:
        pairs.check_people(people, own_numbers)
    except pairs.PairError as error:
        raise phone.PhoneError(str(error)) from None
    editor.check(Path(settings.allow_list), list_change.patience_of("session"))
    health = live_list.ask(settings)
    if health and not health["real_numbers"] and not all(map(phone.is_fictional, people)):
        raise list_change.real_number_error(settings, "those of these two people")


def create_session(
    settings: Settings, people: People, validity: int, *, timeout_s: float = _TIMEOUT_S
) -> MaskedSession:
    """Ask TeleSign, once, for a session of two people; `validity` is in the account's unit.

    Raises `SessionError`; its message says that the session may exist, unless it surely does not.
    """
    fields = dict(zip(_NAMES, people, strict=True)) | {"validity_period": validity}
    body, key = json.dumps(fields), base64.b64encode(settings.api_keys[0]).decode()
    headers = RestClient.generate_telesign_headers(
        settings.customer_id, key, "POST", _PATH, body, content_type="application/json"
    )
    url = settings.api_url
    try:
        with http_client.Session() as http:
            answer = http.post(url + _PATH, body, headers=headers, timeout=timeout_s)
    except KeyboardInterrupt:
        raise SessionError(f"stopped; {MAY_EXIST}") from None
    except http_client.FAILURES as error:
        cause = http_client.cause(error, url)
        if http_client.was_never_connected(error):
            message = f"no connection to {url}, so nothing was sent: {cause}"
        else:
            message = f"no answer from {url}: {cause}; {MAY_EXIST}"
        raise SessionError(message) from error
    return _read(answer, people)


def _read(answer: requests.Response, people: People) -> MaskedSession:
    code, refusal = None, REFUSALS.get(answer.status_code)
    try:
        message = answer.json()
        code = message["status"]["code"]
        if code in (_CREATED, _COUNTRY_DIFFERS):
            return _session(message, people)
        refusal = refusal or REFUSALS.get(code)
    except (ValueError, KeyError, TypeError, OverflowError):
        pass  # not what TeleSign documents
    raise SessionError(
        refusal
        or f"wanted a session or a known refusal, got HTTP {answer.status_code} with"
        f" {'no status code' if code is None else f'status code {code!r:.40}'}; {MAY_EXIST}"
    )


def _session(message: Any, people: People) -> MaskedSession:
    """Return the session of an answer. Raises `ValueError`, `KeyError` or `TypeError`."""
    data, reference_id = message["session_data"], message["reference_id"]
    numbers = tuple(phone.parse(str(data[name]["complete_phone_number"])) for name in _NAMES)
    masks = [phone.parse(str(data[name]["masked_id"])) for name in _NAMES]
    if numbers != people or set(people) & set(masks):
        raise ValueError("wanted the numbers that were sent, and masks that are neither of them")
    if not re.fullmatch("[!-~]{1,128}", reference_id):
        raise ValueError("wanted a reference id in printable ASCII")
    ends = datetime.fromisoformat(data["session_end_on"])
    ends = ends.replace(tzinfo=UTC) if ends.tzinfo is None else ends.astimezone(UTC)
    one, other = people
    routes = [
        Route(masks[1], one, Dial(other, masks[0]), ends),
        Route(masks[0], other, Dial(one, masks[1]), ends),
    ]
    return MaskedSession(reference_id, routes, message["status"]["code"] == _COUNTRY_DIFFERS)


def _in_words(session: MaskedSession, *, full: bool) -> list[str]:
    ends = session.routes[0].expires
    assert ends is not None  # noqa: S101 - that of a session is known
    until = f"{ends:%Y-%m-%d %H:%M:%S} (TeleSign names no zone: taken for UTC)"
    lines = [f"session {session.reference_id}, until {until}"]
    for row in _rows(session, full=full):
        reaches = f"dials {row['to']} and reaches {row['destination']}"
        lines.append(f"{row['from']} {reaches}, who sees {row['caller_id_number']}")
    if session.country_differs:
        lines.append("warning: a masking ID is from a different country than the number it masks")
    return lines


def _plain(session: MaskedSession, *, full: bool) -> dict[str, Any]:
    """Return a session as JSON takes it."""
    ends = session.routes[0].expires
    return {
        "reference_id": session.reference_id,
        "expires": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        "rows": _rows(session, full=full),
        "country_differs": session.country_differs,
    }


def _rows(session: MaskedSession, *, full: bool) -> list[dict[str, str]]:
    """Return who dials what, reaches whom and is seen as what, by the columns of the list."""
    view = View(full=full)
    return [
        {
            "from": view.cell("caller", route.caller),
            "to": route.dialled,
            "destination": view.cell("destination", route.destination),
            "caller_id_number": route.masking_id,
        }
        for route in session.routes
    ]


def _append(
    settings: Settings,
    session: MaskedSession,
    options: argparse.Namespace,
    now: datetime,
    status: int,
) -> int:
    """Add the routes of a session to the allow-list; return the exit status.

    `status` is that of the session's own report: if that went to stderr, this does too.
    """
    path, patience = Path(settings.allow_list), list_change.patience_of("session")
    edit = pairs.addition(session.routes, now=now, note=f"session {session.reference_id}")
    try:
        with list_change.in_the_way():
            served = list_change.change(settings, edit, patience, adds=True)
    except AllowListError as error:
        raise _append_error(*(fault.at(path) for fault in error.faults)) from None
    except CommandError as error:
        raise _append_error(error.message) from None
    text = wrap(f"{path}: both routes were added", served.text)
    if options.json:
        text = json.dumps({"added": True, **served.plain()})
    if status:
        console.say(text)
    return status or report("session", text) or list_change.status_of(served)


def _append_error(*faults: str) -> CommandError:
    message = "the session exists, but its routes were not added:"
    return CommandError("not_added", message, Status.NOT_ADDED, faults=faults)
