"""Chooses whom to call from the allow-list of this folder, so that people play their own list.

The list is read from its documentation, docs/allow-list.md and docs/rows.md, and not by the
server's code: what a row allows and says is read twice, and the two readings have to agree. Rows
that cannot be read are left out; the server names their faults.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import product
from pathlib import Path
from typing import NamedTuple

# The sample's rider, and two numbers that are not in the sample.
RIDER, STRANGER, UNLISTED = "12025550123", "12025550188", "12025550177"

_COLUMNS = ("to", "from", "destination", "caller_id_number")
_TEXTS = ("greeting", "language", "external_id", "send_dtmf")
_FICTIONAL = [f"12025550{number}" for number in range(100, 200)]
_SOON = timedelta(minutes=1)  # a row that expires during a call connects nobody

Numbers = tuple[str, str]
"""What is dialled, and who calls; an empty caller is a withheld one."""


class ListError(Exception):
    """The allow-list cannot be read; the text says why."""


class Need(Enum):
    """What a list has to hold for a scenario; the value is its name."""

    CONNECTED = "a row that connects somebody"
    BOTH_WAYS = "two people who reach each other by one number"
    NOT_LISTED = "a number that is not listed"
    OTHER_CALLERS = "a number that is listed for other callers only"
    WITHHELD = "a number whose rows all name a caller"
    EXPIRED = "a row that has expired"


class OwnRow(NamedTuple):
    """What a row says of the callers whom it is for; what it leaves open is an empty text."""

    destination: str
    expires: datetime | None
    greeting: str = ""
    language: str = ""
    external_id: str = ""
    send_dtmf: str = ""


@dataclass(frozen=True, slots=True)
class OwnList:
    """The rows of a list by `to` and `from`, where an empty `from` is for any caller.

    `own_numbers` are masking IDs and virtual numbers; `stranger` is a fictional number that the
    list does not hold, or empty if it holds them all.
    """

    path: Path
    rows: dict[Numbers, OwnRow]
    own_numbers: frozenset[str]
    listed: frozenset[str]
    stranger: str
    now: datetime

    def choose(
        self, need: Need, to: str | None = None, caller: str | None = None
    ) -> Numbers | None:
        """Return the first numbers of the list that fit; those that are given stay."""
        found = self._candidates(need, to, caller)
        return next((numbers for numbers in found if self._fits(need, *numbers)), None)

    def find(self, to: str, caller: str) -> OwnRow | None:
        """Return the row that counts: that of this very caller, else that for any caller."""
        return self.rows.get((to, caller)) or self.rows.get((to, ""))

    def _candidates(self, need: Need, to: str | None, caller: str | None) -> Iterator[Numbers]:
        keys: Iterable[Numbers] = self.rows
        if need is Need.NOT_LISTED:
            keys = product(self._or_stranger(UNLISTED) if to is None else (to,), ("",))
        for dialled, named in keys:
            if to in {None, dialled}:
                callers = self._callers(need, named) if caller is None else (caller,)
                yield from product((dialled,), callers)

    def _callers(self, need: Need, named: str) -> tuple[str, ...]:
        if need is Need.WITHHELD:
            return ("",)
        if need is Need.OTHER_CALLERS:
            return self._or_stranger(STRANGER)
        return (named,) if named else self._or_stranger(RIDER)

    def _or_stranger(self, number: str) -> tuple[str, ...]:
        """Return a number of the sample, and one that this list does not hold, if there is one."""
        return (number, self.stranger) if self.stranger else (number,)

    def _fits(self, need: Need, to: str, caller: str) -> bool:
        row = self.find(to, caller)
        match need:
            case Need.CONNECTED:
                return self._destination(to, caller) != ""
            case Need.BOTH_WAYS:
                other = self._destination(to, caller)
                return other != "" and self._destination(to, other) == caller
            case Need.EXPIRED:
                return row is not None and row.expires is not None and row.expires <= self.now
            case Need.NOT_LISTED:
                return to not in self.listed
        return row is None and to in self.listed

    def _destination(self, to: str, caller: str) -> str:
        """Return whom a caller reaches; an empty text if nobody."""
        row = self.find(to, caller)
        if row is None or caller == row.destination or caller in self.own_numbers:
            return ""
        is_valid = row.expires is None or row.expires > self.now + _SOON
        return row.destination if is_valid else ""


def read(path: Path, masking_id: str = "") -> OwnList:
    """Read a list; `masking_id` is that of the settings. Raises `ListError`."""
    masking_id = _digits(masking_id)
    rows, own_numbers, listed, held = {}, {masking_id}, set(), {masking_id}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cells in _cells(file):
                numbers = tuple(_digits(cells.get(column, "")) for column in _COLUMNS)
                to, caller, destination, mask = numbers
                with suppress(ValueError):
                    expires = _time(cells.get("expires", ""))
                    texts = (cells.get(column, "") for column in _TEXTS)
                    rows[to, caller] = OwnRow(destination or to, expires, *texts)
                own_numbers.add(mask)
                if destination not in {"", to}:
                    own_numbers.add(to)
                listed.add(to)
                held.update(numbers)
    except OSError as error:
        raise ListError(f"{path}: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise ListError(f"{path}: wanted CSV in UTF-8, got: {error}") from None
    stranger = next((number for number in _FICTIONAL if number not in held), "")
    own_numbers.discard("")  # a withheld caller has none of them
    now = datetime.now(UTC)
    return OwnList(path, rows, frozenset(own_numbers), frozenset(listed), stranger, now)


def _cells(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Yield the cells of each row by column; comments and empty rows are left out."""
    header: list[str] = []
    for row in csv.reader(line for line in lines if not line.startswith("#")):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if header:
            yield dict(zip(header, cells, strict=False))
        header = header or cells


def _digits(cell: str) -> str:
    return cell if cell.isdecimal() else re.sub(r"\D", "", cell)


def _time(text: str) -> datetime | None:
    """Return the time in a cell, if any. Raises `ValueError` if it has no zone."""
    time = datetime.fromisoformat(text) if text else None
    if time is not None and time.tzinfo is None:
        raise ValueError("wanted a zone")
    return time
