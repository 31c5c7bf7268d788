"""Allowed windows and freezes, where clocks jump too."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_guard.schedule import ALWAYS, LAST_S, Day, Freeze, Schedule, Window

WEEKDAYS = (Day.MON, Day.TUE, Day.WED, Day.THU, Day.FRI)
OFFICE = Window("09:00", "17:00", WEEKDAYS)
NIGHT = Window("22:00", "06:00", (Day.FRI,))
HALF_PAST = Window("02:30", "03:30")


def at(moment: str) -> float:
    """Event time of ``2026-07-01T12:00:00+02:00``."""
    return datetime.fromisoformat(moment).timestamp()


def berlin(*windows: Window, freezes: tuple[Freeze, ...] = ()) -> Schedule:
    return Schedule("Europe/Berlin", windows, freezes)


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        pytest.param(OFFICE, "2026-07-01T08:59:59+02:00", False, id="a second early"),
        pytest.param(OFFICE, "2026-07-01T09:00:00+02:00", True, id="the first second"),
        pytest.param(OFFICE, "2026-07-01T16:59:59+02:00", True, id="the last second"),
        pytest.param(OFFICE, "2026-07-01T17:00:00+02:00", False, id="the end is not in it"),
        pytest.param(OFFICE, "2026-07-01T07:00:00+00:00", True, id="09:00 in the zone, summer"),
        pytest.param(OFFICE, "2026-01-07T07:59:59+00:00", False, id="08:59 in the zone, winter"),
        pytest.param(OFFICE, "2026-01-07T08:00:00+00:00", True, id="09:00 in the zone, winter"),
        pytest.param(OFFICE, "2026-07-04T12:00:00+02:00", False, id="saturday"),
        pytest.param(NIGHT, "2026-07-03T21:59:59+02:00", False, id="night: not yet"),
        pytest.param(NIGHT, "2026-07-03T22:00:00+02:00", True, id="night: friday"),
        pytest.param(NIGHT, "2026-07-04T05:59:59+02:00", True, id="night: into saturday"),
        pytest.param(NIGHT, "2026-07-04T06:00:00+02:00", False, id="night: over"),
        pytest.param(NIGHT, "2026-07-03T05:00:00+02:00", False, id="night: thursday's is none"),
        pytest.param(NIGHT, "2026-07-04T23:00:00+02:00", False, id="night: saturday's is none"),
        pytest.param(Window("00:00", "24:00"), "2026-07-01T23:59:59+02:00", True, id="all day"),
        pytest.param(
            Window("08:00", "08:00", (Day.MON,)), "2026-06-30T07:59:00+02:00", True, id="24 hours"
        ),
        # 2026-03-29: from 02:00 straight to 03:00.
        pytest.param(HALF_PAST, "2026-03-29T00:59:59+00:00", False, id="spring: 01:59"),
        pytest.param(HALF_PAST, "2026-03-29T01:00:00+00:00", True, id="spring: 03:00 is inside"),
        pytest.param(HALF_PAST, "2026-03-29T01:30:00+00:00", False, id="spring: 03:30"),
        # 2026-10-25: from 03:00 back to 02:00.
        pytest.param(HALF_PAST, "2026-10-25T00:30:00+00:00", True, id="autumn: the first 02:30"),
        pytest.param(HALF_PAST, "2026-10-25T01:00:00+00:00", False, id="autumn: 02:00 once more"),
        pytest.param(HALF_PAST, "2026-10-25T01:30:00+00:00", True, id="autumn: the second 02:30"),
        pytest.param(HALF_PAST, "2026-10-25T02:30:00+00:00", False, id="autumn: 03:30"),
    ],
)
def test_a_window_is_read_off_the_wall_clock(window: Window, moment: str, is_open: bool) -> None:
    assert berlin(window).is_open(at(moment)) == is_open
    closed = Window("00:00", "00:01", (Day.MON,))
    assert berlin(closed, window).is_open(at(moment)) == is_open


@given(st.integers(0, 4_000_000_000))
def test_without_windows_always_and_every_minute_is_in_a_window_or_its_rest(now_s: int) -> None:
    assert ALWAYS.is_open(now_s)
    halves = [berlin(Window("06:00", "22:00")), berlin(Window("22:00", "06:00"))]
    assert [schedule.is_open(now_s) for schedule in halves].count(True) == 1


@pytest.mark.parametrize(
    ("start", "end", "moment", "frozen"),
    [
        ("2026-11-27T00:00", "2026-11-30T00:00", "2026-11-26T23:59:59+01:00", False),
        ("2026-11-27T00:00", "2026-11-30T00:00", "2026-11-27T00:00:00+01:00", True),
        ("2026-11-27T00:00", "2026-11-30T00:00", "2026-11-29T23:59:59+01:00", True),
        ("2026-11-27T00:00", "2026-11-30T00:00", "2026-11-30T00:00:00+01:00", False),
        # Ends that the clock shows twice, or never: the longer reading counts.
        ("2026-10-25T02:30", "2026-10-25T12:00", "2026-10-25T00:30:00+00:00", True),
        ("2026-10-24T12:00", "2026-10-25T02:30", "2026-10-25T01:29:59+00:00", True),
        ("2026-10-24T12:00", "2026-10-25T02:30", "2026-10-25T01:30:00+00:00", False),
        ("2026-03-29T02:30", "2026-03-29T12:00", "2026-03-29T00:30:00+00:00", True),
        ("2026-03-28T12:00", "2026-03-29T02:30", "2026-03-29T01:29:59+00:00", True),
        ("2026-03-28T12:00", "2026-03-29T02:30", "2026-03-29T01:30:00+00:00", False),
    ],
)
def test_a_freeze_is_never_shorter_than_any_reading(
    start: str, end: str, moment: str, frozen: bool
) -> None:
    freeze = Freeze(start, end, "sale")
    schedule = berlin(freezes=(Freeze("2020-01-01T00:00", "2020-01-02T00:00"), freeze))
    assert schedule.freeze(at(moment)) == (freeze if frozen else None)


def test_a_day_of_a_window_is_the_zone_s_day() -> None:
    sunday_evening_in_utc = datetime(2026, 7, 5, 23, 0, tzinfo=ZoneInfo("UTC"))
    for zone, is_open in (("UTC", False), ("Europe/Berlin", True), ("Pacific/Kiritimati", True)):
        mondays = Schedule(zone, (Window(days=(Day.MON,)),))
        assert mondays.is_open(sunday_evening_in_utc.timestamp()) == is_open
        later = sunday_evening_in_utc + timedelta(days=2)
        assert not mondays.is_open(later.timestamp())


def test_the_last_moment_is_two_days_before_the_year_10000() -> None:
    assert datetime(9999, 12, 30, tzinfo=ZoneInfo("UTC")).timestamp() == LAST_S


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Window("24:01"), "'24:01' is no time of day; write it as 07:30"),
        (lambda: Window("07:60"), "'07:60' is no time of day"),
        (lambda: Window(end="7:30"), "'7:30' is no time of day"),
        (lambda: Window(end="07:30:00"), "'07:30:00' is no time of day"),
        (lambda: Window(days=()), "a window has no days, so it never opens; list some"),
        (lambda: Freeze("tomorrow", "2026-11-30T00:00"), "'tomorrow' is no date and time; write"),
        (
            lambda: Freeze("2026-11-27T00:00+01:00", "2026-11-30T00:00"),
            "names a time zone; leave it out",
        ),
        (
            lambda: Freeze("2026-11-30T00:00", "2026-11-30T00:00"),
            "a freeze starts at 2026-11-30T00:00 and ends at 2026-11-30T00:00; swap or correct",
        ),
        (lambda: Schedule("Europe/Berlim"), "zone is 'Europe/Berlim', which this machine does not"),
        (lambda: Schedule("../etc/passwd"), "zone is '../etc/passwd', which this machine does not"),
        (lambda: Schedule(""), "zone is '', which this machine does not know"),
    ],
)
def test_what_makes_no_sense_is_refused(build: type, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is compared below
        build()
    assert message in str(caught.value)
