"""Prints calls as a table, a line each."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rich.console import Console

from records import CallRecord
from tools import console
from tools.history import times
from tools.history.fields import View
from tools.history.steps import describe_end

_SHOWN_ENDING = 8
_MAX_WITHOUT_YEAR = timedelta(days=300)
_HEADERS = ("id ends", "caller", "dialled", "wait", "talk", "what became of it")


def print_table(
    out: Console,
    records: Sequence[CallRecord],
    view: View,
    now: datetime,
    counts: Mapping[str, int] | None = None,
) -> None:
    """Print a line a call, those that began last first; how often, of missed calls, for the talk.

    `counts` has one for each reference id.
    """
    began = [view.at(record.began) for record in records]
    day = "%m-%d" if now - min(began) < _MAX_WITHOUT_YEAR else "%Y-%m-%d"
    headers = (view.zone_at(began), *_HEADERS)
    rows = [headers, *(_row(record, f"{day} %H:%M", view) for record in records)]
    if counts is not None:
        column = ["times", *(f"{counts[record.reference_id]:,}" for record in records)]
        rows = [(*row[:-2], count, row[-1]) for row, count in zip(rows, column, strict=True)]
    console.print_table(out, rows[0], rows[1:])
    if any(record.is_simulated for record in records):
        console.print_wrapped(out, "* simulated")


def _row(record: CallRecord, when: str, view: View) -> tuple[str, ...]:
    end = describe_end(record, view)
    if record.destination is not None:
        end += f": {view.cell('destination', record.destination)}"
        end += f" saw {record.masking_id}" if record.masking_id else ""
    end += f", {record.external_id}" if record.external_id else ""
    return (
        view.at(record.began).strftime(when),
        console.printable(record.reference_id[-_SHOWN_ENDING:]) + "*" * record.is_simulated,
        view.cell("caller", record.caller) or "",
        view.cell("dialled", record.dialled) or "",
        times.in_minutes(record.wait_s),
        times.in_minutes(record.talk_s),
        console.printable(end),
    )
