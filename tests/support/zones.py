"""Zones in which a day begins at another time than elsewhere, and a machine that is set to one.

They are given as rules: what a machine knows of zones by their names is not the same everywhere.
"""

import contextlib
import time
from collections.abc import Iterator

import pytest

SANTIAGO = "<-04>4<-03>,M9.1.0/0,M4.1.0/0"
KATHMANDU = "<+0545>-5:45"
# The zone, a day, and its first moment in UTC: summer time begins at midnight, which there is not.
FIRST_MOMENTS = [
    (SANTIAGO, "2026-09-06", "2026-09-06T04:00"),
    ("EET-2EEST,M4.5.5/0,M10.5.4/24", "2026-04-24", "2026-04-23T22:00"),  # Cairo
    ("EET-2EEST,M3.5.0/0,M10.5.0/0", "2026-03-29", "2026-03-28T22:00"),  # Beirut
    ("<-04>4<-03>,M10.1.0/0,M3.4.0/0", "2026-10-04", "2026-10-04T04:00"),  # Asuncion, until 2024
    ("CST5CDT,M3.2.0/0,M11.1.0/1", "2026-03-08", "2026-03-08T05:00"),  # Havana
    ("CST5CDT,M3.2.0/0,M11.1.0/1", "2026-11-01", "2026-11-01T04:00"),  # its midnight occurs twice
    (SANTIAGO, "2026-04-05", "2026-04-05T04:00"),  # the hour before midnight occurs twice
    (SANTIAGO, "2026-09-07", "2026-09-07T03:00"),
    ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29", "2026-03-28T23:00"),  # Berlin
    (KATHMANDU, "2026-01-01", "2025-12-31T18:15"),
]
needs_tzset = pytest.mark.skipif(
    not hasattr(time, "tzset"), reason="the zone of this machine cannot be set"
)


@contextlib.contextmanager
def machine_in(zone: str) -> Iterator[None]:
    """Put this machine in a zone, as far as this process sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()
