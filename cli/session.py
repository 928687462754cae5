"""The `session` command: creates a masked session at TeleSign, prints it and adds it to the list.

A session may cost money. So everything that could fail on this machine is tried before TeleSign is
asked, and once there is a session, it is printed before anything else is done.
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

_INTERRUPTED = 130


def run(settings: Settings, own_numbers: Container[str], options: argparse.Namespace) -> int:
    """Create a masked session, print who dials what and sees what, and add it to the list.

    Returns the exit status: 0 success, 1 failure, 2 no key, 130 Ctrl-C.
    """
    if not settings.api_keys:
        return _failed(f"wanted {CUSTOMER_ID} and {API_KEY}, got neither; set both", status=2)
    try:
        people = _people(options, own_numbers)
        if options.append:
            editor.check(Path(settings.allow_list))
    except (phone.PhoneError, editor.AppendError) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return _failed("stopped; TeleSign was not asked", status=_INTERRUPTED)
    try:
        session = _create(settings, people, options.validity)
    except SessionError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return _failed(f"stopped; {telesign_api.MAY_EXIST}", status=_INTERRUPTED)
    return _print_and_append(settings, session, append=options.append)


def _failed(message: str, *, status: int = 1) -> int:
    print(f"session: {message}", file=sys.stderr)
    return status


def _people(
    options: argparse.Namespace, own_numbers: Container[str]
) -> tuple[PhoneNumber, PhoneNumber]:
    """Return the two numbers. Raises `PhoneError`, also for one that the list could not take."""
    people = _person("A", options.number_1), _person("B", options.number_2)
    for number in people if options.append else ():
        if number in own_numbers:
            ours = "a masking ID or virtual number of the list"
            raise phone.PhoneError(f"wanted a person's number, got {number}, which is {ours}")
    return people


def _person(name: str, text: str) -> PhoneNumber:
    """Return the number of person A or B.

    Ten digits without a + are refused where they are a North American number that lacks its 1: the
    session would be created for somebody in another country.
    """
    got = f"got {phone.mask_digits(text)!r}"
    try:
        number = phone.parse(text)
    except phone.PhoneError as error:
        raise phone.PhoneError(f"{name}: {error}, {got}") from None
    if phone.lacks_north_american_1(number) and not text.strip().startswith("+"):
        raise phone.PhoneError(
            f"{name}: wanted a number with its country code, {got}; put 1 in front if it is North"
            " American, or + if it is another country's number"
        )
    return number


def _create(
    settings: Settings, people: tuple[PhoneNumber, PhoneNumber], validity: int
) -> MaskedSession:
    credentials = Credentials(settings.customer_id, settings.api_keys[0])
    return telesign_api.create_session(settings.api_url, credentials, *people, validity)


def _print_and_append(settings: Settings, session: MaskedSession, *, append: bool) -> int:
    """Print a session that exists and, if asked to, add it to the list; return the exit status."""
    routes = [
        Route(
            session.mask_2, session.number_1, Dial(session.number_2, session.mask_1), session.ends
        ),
        Route(
            session.mask_1, session.number_2, Dial(session.number_1, session.mask_2), session.ends
        ),
    ]
    _print(_in_words(session, routes))
    if not append:
        return 0
    try:
        fault = _append(settings, routes, session.reference_id)
    except KeyboardInterrupt:
        print(f"stopped; check whether {settings.allow_list} has its two rows", file=sys.stderr)
        return _INTERRUPTED
    if fault:
        print(f"the session exists, but its routes were not added:\n  {fault}", file=sys.stderr)
        return 1
    _print(f"{settings.allow_list}: both routes were added")
    return 0


def _print(text: str) -> None:
    """Print to standard output or, if that fails, to standard error: nothing may be lost."""
    try:
        print(text, file=sys.stdout or sys.stderr, flush=True)  # `None` if closed
    except OSError:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        print(text, flush=True)


def _in_words(session: MaskedSession, routes: Sequence[Route]) -> str:
    ends = f"{session.ends:%Y-%m-%d %H:%M:%S}"
    lines = [
        f"session {session.reference_id}, until {ends} (TeleSign names no zone: taken for UTC)"
    ]
    lines += [
        f"{route.caller} dials {route.dialled} and reaches {route.destination},"
        f" who sees {route.masking_id}"
        for route in routes
    ]
    if session.warning:
        lines.append(f"warning: {session.warning}")
    if session.ends <= now().utc:
        lines.append(
            "warning: it has already ended; check the unit of --validity, and the time zone"
        )
    return "\n".join(lines)


def _append(settings: Settings, routes: list[Route], reference_id: str) -> str:
    """Add the routes to the allow-list; return the fault that prevents it, if any."""
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
