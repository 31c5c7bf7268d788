"""Memories of a number over time, each as short as its purpose allows.

Points are ``(time_s, value)`` in order of time. Values are frozen; every change is a new one.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import NamedTuple

Point = tuple[float, float]


def _first(points: tuple[Point, ...], since_s: float) -> int:
    """Where the points at or after ``since_s`` begin."""
    return bisect_left(points, (since_s,))


def _by(points: tuple[Point, ...], now_s: float) -> tuple[Point, ...]:
    """The points, of which those of a later clock happened by ``now_s``."""
    if not points or points[-1][0] <= now_s:
        return points
    later = _first(points, now_s)
    return (*points[:later], *((now_s, value) for _, value in points[later:]))


def _above(points: tuple[Point, ...], value: float) -> tuple[Point, ...]:
    """Without what ``value`` reaches: a falling staircase has it at its end."""
    taller = len(points)
    while taller and not points[taller - 1][1] > value:
        taller -= 1
    return points[:taller]


class Peaks(NamedTuple):
    """The highest value of any recent span: only values that no later one has reached are kept.

    A falling staircase, so it stays short however often a value is added, and answers
    exactly for every window length.
    """

    points: tuple[Point, ...] = ()

    def with_value(self, time_s: float, value: float) -> Peaks:
        """``value`` was seen at ``time_s``, no earlier than the last point."""
        return Peaks((*_above(self.points, value), (time_s, value)))

    def above(self, value: float) -> Peaks:
        """Without the points that ``value`` reaches."""
        return Peaks(_above(self.points, value))

    @property
    def last_s(self) -> float:
        """When a value was last added, 0 when there is none."""
        return self.points[-1][0] if self.points else 0.0

    def highest(self, since_s: float, default: float = 0.0) -> float:
        """The highest value at or after ``since_s``, ``default`` when there is none."""
        first = _first(self.points, since_s)
        return self.points[first][1] if first < len(self.points) else default

    def between(self, oldest_s: float, now_s: float) -> Peaks:
        """Without points older than ``oldest_s``; those of a later clock happened by ``now_s``."""
        points = _by(self.points[_first(self.points, oldest_s) :], now_s)
        return self if points is self.points else Peaks(points)


class Band(NamedTuple):
    """Between which levels a number has been over any recent span, however often it moved.

    ``last_s`` is when ``level`` was last seen, 0 when it never was; ``highs`` are the higher
    levels that were left before, ``depths`` the negated lower ones.
    """

    level: float
    last_s: float = 0.0
    highs: Peaks = Peaks()
    depths: Peaks = Peaks()

    def with_level(self, time_s: float, level: float) -> Band:
        """``level`` from ``time_s`` on; the one before it was in force until then."""
        time_s, before = max(time_s, self.last_s), self.level
        if level == before:
            return Band(level, time_s, self.highs, self.depths)
        highs = self.highs.with_value(time_s, before).above(level)
        depths = self.depths.with_value(time_s, -before).above(-level)
        return Band(level, time_s, highs, depths)

    def lowest(self, since_s: float) -> float:
        """The lowest level in force at or after ``since_s``."""
        return -self.depths.highest(since_s, -self.level)

    def highest(self, since_s: float) -> float:
        """The highest level in force at or after ``since_s``."""
        return self.highs.highest(since_s, self.level)

    def span(self, since_s: float, level: float) -> tuple[float, float]:
        """Its lowest and highest level at or after ``since_s``, were it at ``level`` now."""
        levels = (level, self.level)
        return min(*levels, self.lowest(since_s)), max(*levels, self.highest(since_s))

    def between(self, oldest_s: float, now_s: float) -> Band:
        """As `Peaks.between`."""
        last_s = min(self.last_s, now_s) if self.last_s >= oldest_s else 0.0
        highs, depths = self.highs, self.depths
        return Band(
            self.level, last_s, highs.between(oldest_s, now_s), depths.between(oldest_s, now_s)
        )


class Steps(NamedTuple):
    """A step function, every move of it: each level is in force until the next one."""

    points: tuple[Point, ...] = ()

    def with_level(self, time_s: float, level: float) -> Steps:
        """``level`` is in force from ``time_s`` on; nothing new when it already was."""
        if not self.points:
            return Steps(((time_s, level),))
        last_s, last = self.points[-1]
        return self if level == last else Steps((*self.points, (max(time_s, last_s), level)))

    @property
    def last_s(self) -> float:
        """When the level last changed, 0 when there is none."""
        return self.points[-1][0] if self.points else 0.0

    def levels(self, since_s: float) -> tuple[float, ...]:
        """Every level that was in force at or after ``since_s``."""
        return tuple([level for _, level in self._in_force(since_s)])

    def churn(self, since_s: float) -> float:
        """The sum of all moves, up and down, at or after ``since_s``."""
        return sum(abs(after - before) for before, after in pairwise(self.levels(since_s)))

    def between(self, oldest_s: float, now_s: float) -> Steps:
        """What was in force from ``oldest_s`` on; a later clock's moves happened by ``now_s``."""
        points = _by(self._in_force(oldest_s), now_s)
        return self if points is self.points else Steps(points)

    def _in_force(self, since_s: float) -> tuple[Point, ...]:
        """The points at or after ``since_s``, and the one before them that still held then."""
        return self.points[max(0, _first(self.points, since_s) - 1) :]
