"""When a growing measure meets its limit, or that nobody can say so.

A call is made only when the trend stands out of a noise that may add up, has not slowed down, and
has been watched for as long as it is to go on: nothing is foretold farther ahead than was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, nan

import numpy as np

from trimtab_agents.foresight.trend import Trend
from trimtab_sim.profile import Floats

# Windows in samples, the shortest first: the latest behaviour counts, where it is clear enough.
WINDOWS = (60, 240, 960, 3840)
# Fewer samples since the last reset say nothing.
LEAST = 24
# What a trend is fitted to.
BLOCKS = 30
# How sure it must be that there is a rise at all. Looked at again and again, over all windows.
SURE = 0.9995
# And that there is one in the next longer window.
LIKELY = 0.9
# Of the rise of the whole window, the part that the later half must have, or it slows down.
LASTING = 0.4
# The interval: the limit is met earlier, or later, in one of twenty cases each.
TAIL = 0.05
# The later end of an interval may be this far ahead, in windows.
FARTHEST = 4.0
# What falls to this share of what it was has begun anew: a restart.
FALLEN = 0.75
# A load is taken to vary by so much of itself, whatever was seen: most have their day.
LOAD_CV = 0.5
# Samples on either side of such a fall.
NEAR = 5


@dataclass(frozen=True, slots=True)
class Series:
    """One measure by time, oldest first; arrays of shape (n,).

    ``load`` is what it may rise and fall with; ``moves`` counts rollouts until then. ``falls``: a
    fall by a quarter is a restart, and not noise.
    """

    times_s: Floats
    values: Floats
    load: Floats
    moves: Floats
    falls: bool = True

    @classmethod
    def seen(
        cls, times_s: Floats, values: Floats, load: Floats, moving: Floats, *, falls: bool
    ) -> Series:
        """Without the samples in which something was not measured (NaN).

        ``moving`` is above 0 while replicas were being replaced.
        """
        moved = (moving > 0.0).astype(float)
        moves = np.cumsum(moved) - moved
        whole = np.isfinite(values) & np.isfinite(load)
        return cls(times_s[whole], values[whole], load[whole], moves[whole], falls)

    def until(self, end: int) -> Series:
        """The first ``end`` samples."""
        return self._cut(slice(0, end))

    @property
    def present(self) -> Series:
        """Since the last restart or rollout, load in units of its usual spread about its mean."""
        if not len(self):
            return self
        mean = float(self.load.mean())
        spread = max(float(self.load.std()), LOAD_CV * abs(mean)) or 1.0
        start = max(self.resets, default=0)
        return replace(self, load=(self.load - mean) / spread).since(start)

    def since(self, start: int) -> Series:
        """From sample ``start`` on."""
        return self._cut(slice(start, None))

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def resets(self) -> list[int]:
        """Where it began anew: behind each sample of a rollout, and at each fall."""
        moved = (np.flatnonzero(np.diff(self.moves)) + 1).tolist()
        return sorted(moved + self._falls()) if self.falls else moved

    def _falls(self) -> list[int]:
        """Where it is low after having been high, by medians of a few samples."""
        if len(self) < 2 * NEAR:
            return []
        views = np.lib.stride_tricks.sliding_window_view(self.values, NEAR)
        medians = np.median(views, axis=1)
        fallen = np.flatnonzero(medians[NEAR:] < FALLEN * medians[:-NEAR])
        return (fallen + NEAR).tolist()

    def _cut(self, part: slice) -> Series:
        times_s, values, load = self.times_s[part], self.values[part], self.load[part]
        return Series(times_s, values, load, self.moves[part], self.falls)


class Finding(StrEnum):
    """What can be said."""

    UNKNOWN = "no limit is known"
    TOO_LITTLE = "too little was seen"
    STEADY = "no trend"
    FAR = "the limit is farther ahead than can be foreseen"
    DUE = "the limit will be met"
    MET = "the limit is met"


@dataclass(frozen=True, slots=True)
class Forecast:
    """``low_s``, ``mid_s``, ``high_s``: seconds until the limit is met, 90 % between the outer two.

    Of `Finding.DUE` alone; ``pace_per_s`` is the rise at the same load, where there is one.
    ``seen_s`` is how long was watched for it.
    """

    finding: Finding
    level: float = nan
    limit: float = nan
    pace_per_s: float = 0.0
    seen_s: float = 0.0
    low_s: float = nan
    mid_s: float = nan
    high_s: float = nan


@dataclass(frozen=True, slots=True)
class Rise:
    """A trend that stands out, in blocks of ``block_s``, watched for ``seen_s``."""

    trend: Trend
    block_s: float
    seen_s: float

    def when(self, limit: float) -> tuple[float, float, float] | None:
        """Seconds until ``limit`` is met; ``None`` where that is too far ahead."""
        span = self.seen_s / self.block_s
        chances = self.trend.reached(limit, int(FARTHEST * span))
        low, mid, high = (_first(chances, level) for level in (TAIL, 0.5, 1.0 - TAIL))
        if mid > span or high == inf:
            return None
        return low * self.block_s, mid * self.block_s, high * self.block_s


def forecast(series: Series, limit: float) -> Forecast:
    """When ``series`` meets ``limit``."""
    series = series.present
    if len(series) < LEAST:
        return Forecast(Finding.TOO_LITTLE, limit=limit, seen_s=_span_s(series))
    level = float(np.median(series.values[-3:]))
    if not limit > 0.0:
        return Forecast(Finding.UNKNOWN, level, seen_s=_span_s(series))
    found = Forecast(Finding.STEADY, level, limit, seen_s=_span_s(series))
    if level >= limit:
        return replace(found, finding=Finding.MET)
    for rise in rises(series):
        pace_per_s = rise.trend.pace / rise.block_s
        if when := rise.when(limit):
            return Forecast(Finding.DUE, level, limit, pace_per_s, rise.seen_s, *when)
        found = Forecast(Finding.FAR, level, limit, pace_per_s, rise.seen_s)
    return found


def rises(series: Series) -> list[Rise]:
    """The trends of a `present` that stand out, of the shortest window first.

    What rises only as long as one looks no farther back is one of many ups and downs.
    """
    spans = sorted({min(window, len(series)) for window in WINDOWS})
    windows = [series.since(len(series) - span) for span in spans if span >= LEAST]
    trends = [_trend(window) for window in windows]
    wider = (*trends[1:], trends[-1]) if trends else ()
    return [
        Rise(trend, block_s, _span_s(window))
        for window, (trend, block_s), (longer, _) in zip(windows, trends, wider, strict=True)
        if trend.rising >= SURE and longer.rising >= LIKELY and not _slows(window)
    ]


def _trend(window: Series) -> tuple[Trend, float]:
    """The trend of a window, and how many seconds its blocks are apart.

    The highest of each block counts, for a limit is met at the top; single samples may be wrong.
    """
    size = max(2, len(window) // BLOCKS)
    times_s = _blocks(window.times_s, size)[:, -1]
    block_s = float(np.median(np.diff(times_s)))
    values = _blocks(_steadied(window.values), size).max(axis=1)
    load = _blocks(window.load, size).mean(axis=1)
    return Trend.fit(times_s / block_s, values, load), block_s


def _blocks(samples: Floats, size: int) -> Floats:
    """The latest samples, so many in each row."""
    count = len(samples) // size
    return samples[len(samples) - count * size :].reshape(count, size)


def _steadied(values: Floats) -> Floats:
    """Medians of three neighbours; the ends stay with theirs."""
    inner = np.median(np.lib.stride_tricks.sliding_window_view(values, 3), axis=1)
    return np.concatenate([inner[:1], inner, inner[-1:]])


def _slows(window: Series) -> bool:
    """Whether the later half rose far less than the earlier one: it may come to rest."""
    count = len(window)
    tenth = count // 10
    first, middle, last = (
        float(np.median(window.values[at : at + 2 * tenth]))
        for at in (0, count // 2 - tenth, count - 2 * tenth)
    )
    return last - middle < LASTING * (last - first)


def _first(chances: Floats, level: float) -> float:
    """After how many blocks the chance is ``level``, linear between them."""
    at = int(np.searchsorted(chances, level))
    if at == len(chances):
        return inf
    before = float(chances[at - 1]) if at else 0.0
    return at + (level - before) / float(chances[at] - before)


def _span_s(series: Series) -> float:
    return float(series.times_s[-1] - series.times_s[0]) if len(series) else 0.0
