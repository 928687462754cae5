"""Changes a list that a server may be serving: nothing is left behind that it would refuse.

Whether the server serves real numbers is asked before anything is written. Once it is written, the
server is asked until it serves the change; what it refuses is taken back. Without a server the list
is changed all the same. What is in the way is a `CommandError`.
"""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import phone
from allow_list import reader
from config import API_KEY, CUSTOMER_ID, Settings
from routing import AllowList
from tools import console, live_list
from tools.list_editor import editor, pairs
from tools.list_editor.changes import Edit
from tools.list_editor.editor import Parse
from tools.list_editor.turns import Patience
from tools.live_list import ServedList
from tools.outcome import CommandError, Status

_IN_THE_WAY: dict[type[Exception], tuple[str, Status]] = {
    phone.PhoneError: ("bad_number", Status.FAULTS),
    pairs.NoneFreeError: ("no_number_free", Status.NONE_FREE),
    pairs.PairError: ("no_pair", Status.IN_THE_WAY),
    editor.NoListError: ("faults", Status.FAULTS),
    editor.ListBusyError: ("list_busy", Status.IN_THE_WAY),
    editor.ChangeError: ("list_not_writable", Status.NOT_WRITABLE),
}


@contextlib.contextmanager
def in_the_way() -> Iterator[None]:
    """Raise `CommandError` for what keeps people from being paired or a list from being changed."""
    try:
        yield
    except tuple(_IN_THE_WAY) as error:
        word, status = next(found for kind, found in _IN_THE_WAY.items() if isinstance(error, kind))
        raise CommandError(word, str(error), status) from None


def patience_of(command: str) -> Patience:
    """Return for how long a command waits for others: it says on stderr for whom."""
    return Patience(lambda text: console.say(f"{command}: {text}"), time.monotonic, time.sleep)


def change(settings: Settings, edit: Edit, patience: Patience, *, adds: bool = False) -> ServedList:
    """Change the list at once or not at all; return whether the server serves it.

    `edit` is called again if another program changes the file meanwhile. What `adds` rows is taken
    back if the server refuses it. What only ends or removes them never is: of a list that the
    server refuses, they have not been the cause.
    """
    path, parse = Path(settings.allow_list), _parse_of(settings)
    accept = _parse_of_server(settings) if adds else parse
    changed = editor.change(path, edit, parse, patience, accept=accept)
    found = live_list.wait_until_live(settings, changed.modified_ns)
    if not (adds and found.is_refused):
        return found
    text = f"the server on {live_list.address(settings)} refuses the new list: {found.cause}"
    try:
        editor.take_back(path, changed, parse, patience)
    except editor.ChangeError as error:
        text += f"; the list holds the change, as it could not be taken back: {error}"
    else:
        text += "; it was taken back, so nothing has changed; the server's lines say more"
    raise CommandError("server_refuses", text, Status.SERVER_REFUSES)


def _parse_of(settings: Settings) -> Parse:
    """Return what reads a list from its lines, by every rule."""
    return partial(reader.parse, settings=settings, only_fictional=False)


def _parse_of_server(settings: Settings) -> Parse:
    """Return what reads a list by every rule, and refuses one that the server would refuse.

    The server is asked once, now.
    """
    health = live_list.ask(settings)
    parse = _parse_of(settings)
    if not health or health["real_numbers"]:
        return parse

    def accept(lines: list[str]) -> AllowList:
        allow_list = parse(lines)
        for _, number in filter(None, map(reader.real_number, allow_list)):
            raise real_number_error(settings, phone.redact(number))
        return allow_list

    return accept


def real_number_error(settings: Settings, got: str) -> CommandError:
    """Return what is in the way of real numbers, if the server has no key."""
    message = (
        f"the server on {live_list.address(settings)} has no key, so it refuses a list with real"
        f" numbers, got {got}; nothing has changed; set {CUSTOMER_ID} and {API_KEY} for the server,"
        " and start it again"
    )
    return CommandError("server_refuses", message, Status.SERVER_REFUSES)


def status_of(served: ServedList) -> Status:
    """Return the exit status of a change that was done."""
    return Status.NOT_LIVE if served.is_live is False else Status.DONE
