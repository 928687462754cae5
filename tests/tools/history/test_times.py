"""Spans and points in time as people write them."""

import argparse
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zones import FIRST_MOMENTS, KATHMANDU, SANTIAGO, machine_in, needs_tzset

from tools.history import times

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
EARLIER = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1m", timedelta(minutes=1)),
        ("90m", timedelta(minutes=90)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("9999d", timedelta(days=9999)),
    ],
)
def test_a_span_is_minutes_hours_or_days(text: str, span: timedelta) -> None:
    assert times.span(text) == span


@pytest.mark.parametrize(
    ("text", "length"),
    [("0m", timedelta()), ("0d", timedelta()), ("2h", timedelta(hours=2))],
)
def test_the_span_of_a_setting_may_be_none(text: str, length: timedelta) -> None:
    assert times.length(text) == length


@pytest.mark.parametrize(
    "text", ["", "2", "h", "0h", "-2h", "2 h", "1.5h", "2H", "2h30m", "10000d"]
)
def test_what_is_no_span_is_told(text: str) -> None:
    message = f"wanted 1 to 9999 minutes, hours or days such as 90m, 2h or 7d, got '{text}'"
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        times.span(text)


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("today", UTC, "2026-11-23T00:00"),
        ("yesterday", UTC, "2026-11-22T00:00"),
        ("today", EARLIER, "2026-11-22T05:00"),
        ("yesterday", EARLIER, "2026-11-21T05:00"),
        ("90m", EARLIER, "2026-11-23T00:00"),
        ("2h", UTC, "2026-11-22T23:30"),
        ("7d", UTC, "2026-11-16T01:30"),
        ("18:00", UTC, "2026-11-23T18:00"),
        ("18:00:30", EARLIER, "2026-11-22T23:00:30"),
        ("2026-11-01", UTC, "2026-11-01T00:00"),
        ("2026-11-01", EARLIER, "2026-11-01T05:00"),
        ("2026-11-01T18:00", EARLIER, "2026-11-01T23:00"),
        ("2026-11-01 18:00", UTC, "2026-11-01T18:00"),
        ("2026-11-01T18:00Z", EARLIER, "2026-11-01T18:00"),
        ("2026-11-01T18:00+02:00", EARLIER, "2026-11-01T16:00"),
    ],
)
def test_an_instant_is_read_in_its_zone(text: str, zone: tzinfo, instant: str) -> None:
    assert times.instant(text, NOW, zone=zone) == datetime.fromisoformat(instant).replace(
        tzinfo=UTC
    )


def test_without_a_zone_an_instant_is_one_of_this_machine() -> None:
    read = times.instant("2026-06-01T12:00", NOW, zone=None)
    assert read.tzinfo is UTC
    assert read.astimezone().replace(tzinfo=None) == datetime(2026, 6, 1, 12)
    today = times.instant("today", NOW, zone=None).astimezone()
    assert (today.date(), today.hour) == (NOW.astimezone().date(), 0)


@needs_tzset
@pytest.mark.parametrize(("zone", "day", "first"), FIRST_MOMENTS)
def test_a_day_of_this_machine_begins_at_its_first_moment(zone: str, day: str, first: str) -> None:
    began = datetime.fromisoformat(first).replace(tzinfo=UTC)
    with machine_in(zone):
        assert times.instant(day, NOW, zone=None) == began
        assert times.instant("today", began, zone=None) == began
        assert times.instant("today", began + timedelta(hours=22), zone=None) == began
        assert times.instant("yesterday", began + timedelta(hours=26), zone=None) == began
        options = argparse.Namespace(since=day, until=day, local=True)
        for bound in "since", "until":
            setattr(options, bound, None)
            assert set(times.bounds(options, NOW)) == {began, None}
            setattr(options, bound, day)


# Of this machine, if it knows any by their names.
ZONES = sorted(available_timezones() - {"localtime"}) or [SANTIAGO, KATHMANDU]


@needs_tzset
@given(zone=st.sampled_from(ZONES), day=st.dates(date(2020, 1, 1), date(2037, 12, 31)))
def test_before_a_day_of_any_zone_it_is_another(zone: str, day: date) -> None:
    with machine_in(zone):
        first = times.instant(day.isoformat(), NOW, zone=None)
        second_before = first - timedelta(seconds=1)
        assert second_before.astimezone().date() < day == first.astimezone().date()


@pytest.mark.parametrize("text", ["", "now", "25:00", "2026-13-01", "0h", "9999-12-31T23:59-12:00"])
def test_what_is_no_instant_is_told(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"^wanted today, .* got '{text}'$"):
        times.instant(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (30.9, "0 min 30 s"),
        (3_599, "59 min 59 s"),
        (7_559, "2 h 5 min"),
        (259_200, "3 d 0 h"),
        (86_400_000, "1,000 d 0 h"),
    ],
)
def test_how_long_something_takes_is_shown_in_two_units(seconds: float, text: str) -> None:
    assert times.in_two_units(seconds) == text
