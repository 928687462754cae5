"""Spans and points in time as people write them on the command line, and read them.

The time is passed in. What cannot be read raises `argparse.ArgumentTypeError`, which says what was
wanted and what was got.
"""

import argparse
import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from phone import mask_digits

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile("[1-9][0-9]{0,3}[mhd]", re.ASCII)
_CLOCK = re.compile("[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?", re.ASCII)
_DAYS_AGO = {"today": 0, "yesterday": 1}


class TimeError(Exception):
    """Times that cannot be read; `faults` hold each, after the name of its option."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def span(text: str) -> timedelta:
    """Read a span such as `90m`, `2h` or `7d`: a whole number of minutes, hours or days."""
    if not _SPAN.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"wanted 1 to 9999 minutes, hours or days such as 90m, 2h or 7d, got {text!r}"
        )
    return length(text)


def length(span: str) -> timedelta:
    """Return the length of a span that has been checked, as a setting is; `0m` is none."""
    return timedelta(**{_UNITS[span[-1]]: int(span[:-1])})


def instant(text: str, now: datetime, *, zone: tzinfo | None = UTC) -> datetime:
    """Read a point in time, and return it in UTC.

    It is `today` or `yesterday` (their first moment), a span such as `2h` (so long before `now`), a
    time of today such as `18:00`, or a date (its first moment), or with a time. What names no zone
    is in `zone`, or with `None` in that of this machine; what occurs twice is the first of both.
    """
    try:
        moment = _moment(text, now.astimezone(zone))
        if moment.tzinfo is None and zone is not None:
            moment = moment.replace(tzinfo=zone)
        if moment.tzinfo is None:
            # In the machine's zone. Where clocks are put on at midnight a day begins at 01:00, and
            # of a midnight that there is not `astimezone` makes 23:00 of the day before.
            return datetime.fromtimestamp(moment.timestamp(), UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            "wanted today, yesterday, a span before now such as 2h, or a date or time such as"
            f" 2026-11-23T18:00, got {_mask(text)!r}"
        ) from None


def _mask(text: str) -> str:
    """Return what was typed; unless it begins as a date does, it may be somebody's number."""
    is_date = re.match(r"[0-9]{4}-[0-9]{1,2}(-[0-9]{1,2})?([T ]|$)", text)
    return text if is_date else mask_digits(text)


def _moment(text: str, now: datetime) -> datetime:
    if _SPAN.fullmatch(text):
        return now - span(text)
    if text in _DAYS_AGO:
        return datetime.combine(now.date() - timedelta(days=_DAYS_AGO[text]), time())
    if _CLOCK.fullmatch(text):
        return datetime.combine(now.date(), time.fromisoformat(text))
    return datetime.fromisoformat(text)


def zone_of(options: argparse.Namespace) -> tzinfo | None:
    """Return the zone in which times are read and shown; `None` is that of this machine."""
    return None if options.local else UTC


def bounds(options: argparse.Namespace, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the times of `--since` and `--until`. Raises `TimeError` for what is none."""
    found, faults = [], []
    for name in ("since", "until"):
        text = getattr(options, name)
        try:
            found.append(None if text is None else instant(text, now, zone=zone_of(options)))
        except argparse.ArgumentTypeError as error:
            faults.append(f"--{name}: {error}")
    if faults:
        raise TimeError(faults)
    since, until = found
    if since and until and since >= until:
        got = f"got {options.since!r} and {options.until!r}"
        raise TimeError([f"--since: wanted a time before --until, {got}"])
    return since, until


def in_minutes(seconds: float | None) -> str:
    """Return how long people waited or talked, such as `2:10`."""
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def in_two_units(seconds: float) -> str:
    """Return how long something takes, in its largest unit and the next: `3 d 4 h`."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s"
