"""What passed between the parties of a call, as far as the log shows it: for a drawing. No I/O."""

from collections.abc import Iterable, Iterator
from typing import Any

import events
from commands import is_dial
from records import CallRecord, Disposition, StoredEvent
from tools.console import CALLED, CALLER, SERVER, TELESIGN, Arrow
from tools.history.fields import View


def describe_end(record: CallRecord, view: View) -> str:
    """Return what became of a call in a few words, such as `failed: rejected`."""
    match record.disposition:
        case Disposition.REFUSED:
            return f"refused: {record.reason}" if record.reason else record.disposition
        case Disposition.FAILED:
            status = str(view.cell("status", record.status))
            is_said = status.lower() == record.disposition
            return record.disposition if is_said else f"{record.disposition}: {status}"
        case Disposition.UNKNOWN | Disposition.IN_PROGRESS:
            state = (
                "in progress" if record.disposition is Disposition.IN_PROGRESS else "end unknown"
            )
            return f"{state}, refused: {record.reason}" if record.reason else state
        case _:
            return record.disposition


def arrows(stored: Iterable[StoredEvent], view: View) -> Iterator[Arrow]:
    """Yield each message, and what happened to the phones."""
    for kept in stored:
        yield from _arrows_before(kept, view)
        again = f" ({kept.deliveries} times, last {view.at(kept.last_seen):%H:%M:%S})"
        name = view.cell("event", kept.event.name)
        label = f"{view.at(kept.first_seen):%H:%M:%S} {name}{again if kept.deliveries > 1 else ''}"
        yield Arrow(TELESIGN, SERVER, label)
        yield from _arrows_of_reply(kept, view)


def _arrows_before(kept: StoredEvent, view: View) -> Iterator[Arrow]:
    """Yield what happened to the phones, so that TeleSign sent the event."""
    event = kept.event
    if isinstance(event, events.IncomingCall):
        caller, dialled = (view.cell(name, getattr(event, name)) for name in ("caller", "dialled"))
        yield Arrow(CALLER, TELESIGN, f"{caller} dials {dialled}")
    if isinstance(event, events.DialCompleted) and event.status is not None:
        yield Arrow(CALLED, TELESIGN, view.cell("status", event.status))


def _arrows_of_reply(kept: StoredEvent, view: View) -> Iterator[Arrow]:
    reply: dict[str, Any] = kept.reply
    reason = f" ({view.cell('reason', kept.reason)})" if kept.reason else ""
    yield Arrow(SERVER, TELESIGN, f"{reply.get('method', 'no action')}{reason}")
    params = reply.get("params")
    if is_dial(reply) and isinstance(params, dict):  # a purged call keeps none
        destination = view.cell("destination", params["to"])
        yield Arrow(TELESIGN, CALLED, f"rings {destination}, showing {params['caller_id_number']}")
