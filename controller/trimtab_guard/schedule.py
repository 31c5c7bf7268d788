"""When autonomy is allowed: weekly windows, and freezes that win over them.

Everything is read off the wall clock of one time zone. Where that clock jumps, a window is as
long as the clock shows it, and a freeze is never shorter than any way to read it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

LAST_S = 253_402_128_000.0
"""The last moment that every calendar knows: two days before the year 10,000."""

DAY_MIN = 24 * 60


class Day(StrEnum):
    """Days of the week, as Python numbers them."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


@dataclass(frozen=True, slots=True)
class Window:
    """Open from ``start`` until before ``end`` on ``days``; ``ValueError`` names what is wrong.

    An ``end`` that is not after ``start`` is on the next day, so a window belongs to the day
    on which it opens.
    """

    start: str = "00:00"
    end: str = "24:00"
    days: tuple[Day, ...] = tuple(Day)

    def __post_init__(self) -> None:
        _minutes(self.start)
        _minutes(self.end)
        if not self.days:
            raise ValueError("a window has no days, so it never opens; list some or remove it")

    def is_open(self, local: datetime) -> bool:
        """Whether it is open at this time of its own time zone."""
        start, end = _minutes(self.start), _minutes(self.end)
        minute = local.hour * 60 + local.minute
        if start < end:
            return self._has(local) and start <= minute < end
        opened_today = self._has(local) and minute >= start
        opened_yesterday = self._has(local - timedelta(days=1)) and minute < end
        return opened_today or opened_yesterday

    def _has(self, local: datetime) -> bool:
        return list(Day)[local.weekday()] in self.days


@dataclass(frozen=True, slots=True)
class Freeze:
    """No autonomy from ``start`` until before ``end``, such as ``2026-11-27T00:00``, and why."""

    start: str
    end: str
    why: str = ""

    def __post_init__(self) -> None:
        if not _local(self.start) < _local(self.end):
            raise ValueError(
                f"a freeze starts at {self.start} and ends at {self.end}; swap or correct them"
            )

    def covers(self, now_s: float, zone: ZoneInfo) -> bool:
        """Whether ``now_s`` is in it, by any reading of a time that the clock shows twice."""
        starts, ends = _moments(self.start, zone), _moments(self.end, zone)
        return min(starts) <= now_s < max(ends)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a service may be steered without asking; without ``windows``, always but in a freeze."""

    zone: str = "UTC"
    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"zone is {self.zone!r}, which this machine does not know; "
                "name one of the IANA data base, such as Europe/Berlin, or install tzdata"
            ) from error

    def is_open(self, now_s: float) -> bool:
        """Whether an allowed window is open; freezes aside."""
        if not self.windows:
            return True
        local = datetime.fromtimestamp(now_s, ZoneInfo(self.zone))
        return any(window.is_open(local) for window in self.windows)

    def freeze(self, now_s: float) -> Freeze | None:
        """The freeze that ``now_s`` is in, if any."""
        if not self.freezes:
            return None
        zone = ZoneInfo(self.zone)
        return next((freeze for freeze in self.freezes if freeze.covers(now_s, zone)), None)


ALWAYS = Schedule()


def _minutes(clock: str) -> int:
    """Minutes since midnight of ``07:30``; the end of the day is ``24:00``."""
    digits = re.fullmatch(r"([0-9]{2}):([0-5][0-9])", clock)
    minutes = int(digits[1]) * 60 + int(digits[2]) if digits else DAY_MIN + 1
    if minutes > DAY_MIN:
        raise ValueError(f"{clock!r} is no time of day; write it as 07:30, from 00:00 to 24:00")
    return minutes


def _local(moment: str) -> datetime:
    try:
        local = datetime.fromisoformat(moment)
    except ValueError as error:
        raise ValueError(f"{moment!r} is no date and time; write it as 2026-11-27T00:00") from error
    if local.tzinfo:
        raise ValueError(f"{moment!r} names a time zone; leave it out, the schedule has one")
    return local


def _moments(moment: str, zone: ZoneInfo) -> tuple[float, float]:
    """What a local time can mean: two different moments where the clock is set back or ahead."""
    local = _local(moment).replace(tzinfo=zone)
    return local.timestamp(), local.replace(fold=1).timestamp()
