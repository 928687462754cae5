"""The `session` command: has TeleSign make a masked session, prints it and adds it to the list.

A session may cost money, so everything that can be in the way is found before TeleSign is asked;
and once there is one, what TeleSign answered is printed before anything else is done.
"""

import argparse
import os
import sys
from collections.abc import Container, Sequence
from pathlib import Path

import phone
from allow_list import editor, reader
from app import now, row_defaults
from cli import telesign_api
from cli.telesign_api import Credentials, MaskedSession, SessionError
from commands import Dial
from config import API_KEY, CUSTOMER_ID, Settings
from phone import PhoneNumber
from routing import AllowList, AllowListError, Route

_STOPPED = 130


def run(settings: Settings, own_numbers: Container[str], options: argparse.Namespace) -> int:
    """Create a masked session, print who dials what and sees what, and add it to the list.

    Returns the exit status: 0 well, 1 something is in the way, 2 no key, 130 Ctrl-C.
    """
    if not settings.api_keys:
        return _failed(f"wanted {CUSTOMER_ID} and {API_KEY}, got neither", status=2)
    try:
        people = _people(options, own_numbers)
        if options.append:
            editor.check(Path(settings.allow_list))
    except (phone.PhoneError, editor.AppendError) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return _failed("stopped; nothing was asked", status=_STOPPED)
    try:
        made = _create(settings, people, options.validity)
    except SessionError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return _failed("stopped; the session may exist, so look at TeleSign", status=_STOPPED)
    return _conclude(settings, made, append=options.append)


def _failed(message: str, *, status: int = 1) -> int:
    print(f"session: {message}", file=sys.stderr)
    return status


def _people(
    options: argparse.Namespace, own_numbers: Container[str]
) -> tuple[PhoneNumber, PhoneNumber]:
    """Return the two numbers. Raises `PhoneError`, also if one could not be added to the list."""
    people = phone.parse(options.number_1), phone.parse(options.number_2)
    for number in people if options.append else ():
        if number in own_numbers:
            raise phone.PhoneError(f"wanted a person's number, got {number}, a number of the list")
    return people


def _create(
    settings: Settings, people: tuple[PhoneNumber, PhoneNumber], validity: int
) -> MaskedSession:
    credentials = Credentials(settings.customer_id, settings.api_keys[0])
    return telesign_api.create_session(settings.api_url, credentials, *people, validity)


def _conclude(settings: Settings, made: MaskedSession, *, append: bool) -> int:
    """Print a session that exists, and add it to the list if asked to."""
    routes = [
        Route(made.mask_2, made.number_1, Dial(made.number_2, made.mask_1), made.ends),
        Route(made.mask_1, made.number_2, Dial(made.number_1, made.mask_2), made.ends),
    ]
    _say(_in_words(made, routes))
    if not append:
        return 0
    try:
        fault = _append(settings, routes, made.reference_id)
    except KeyboardInterrupt:
        print(f"stopped; see whether {settings.allow_list} has its two rows", file=sys.stderr)
        return _STOPPED
    if fault:
        print(f"the session exists, but is not in the list:\n  {fault}", file=sys.stderr)
        return 1
    _say(f"{settings.allow_list}: both routes are added")
    return 0


def _say(text: str) -> None:
    """Print to standard output; where that takes nothing, to standard error: nothing is lost."""
    try:
        print(text, file=sys.stdout or sys.stderr, flush=True)  # none of the first if it is closed
    except OSError:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        print(text, flush=True)


def _in_words(made: MaskedSession, routes: Sequence[Route]) -> str:
    ends = f"{made.ends:%Y-%m-%d %H:%M:%S}"
    lines = [f"session {made.reference_id}, until {ends} (TeleSign names no zone: taken for UTC)"]
    lines += [
        f"{route.caller} dials {route.dialled} and reaches {route.destination},"
        f" who sees {route.masking_id}"
        for route in routes
    ]
    if made.warning:
        lines.append(f"warning: {made.warning}")
    if made.ends <= now().utc:
        lines.append("warning: it has ended already: the unit or the zone is not what you think")
    return "\n".join(lines)


def _append(settings: Settings, routes: list[Route], reference_id: str) -> str:
    """Add the routes to the allow-list; return what is in the way, if anything is."""
    path = Path(settings.allow_list)

    def parse(lines: list[str]) -> AllowList:
        defaults = row_defaults(settings)
        return reader.parse(lines, defaults, only_fictional=settings.only_fictional)

    try:
        editor.append(path, routes, parse, now=now().utc, note=f"session {reference_id}")
    except AllowListError as error:
        return "\n  ".join(fault.at(path) for fault in error.faults)
    except editor.AppendError as error:
        return str(error)
    return ""
