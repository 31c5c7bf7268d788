"""How often such calls have been right on what was recorded of the service itself.

The record is lived again: at one moment after the other the same forecast is made of what was
known then. Where a rise stands out, it calls when the level will be met that the rise was on
course to in half the time it was watched, and what was recorded afterwards judges it. A real limit
is met too seldom to learn from; such levels are met all the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from trimtab_agents.foresight.calls import LEAST, Series, rises

# How far ahead a replayed call looks, of the time it was watched.
AHEAD = 0.5
# Samples between two moments at which nothing is called.
STRIDE = 12
# A level is met when the median of so many samples is there: one of them may be wrong.
TOGETHER = 3
# So many judged calls, of which less than so much were right, are not to be acted on.
ENOUGH, GOOD = 3, 0.5


@dataclass(frozen=True, slots=True)
class Record:
    """Judged ``calls``: so many were ``right``, the others met too ``early``, or late if ever."""

    calls: int = 0
    right: int = 0
    early: int = 0

    @property
    def bad(self) -> bool:
        """Whether calls on this series were wrong too often to be acted on."""
        return self.calls >= ENOUGH and self.right < GOOD * self.calls


@dataclass(frozen=True, slots=True)
class Call:
    """That ``level`` will be met between ``low_s`` and ``high_s``, on the series' clock."""

    level: float
    low_s: float
    high_s: float


def record(series: Series) -> Record:
    """Judge the calls that would have been made, each begun when the last one was decided."""
    verdicts = list(_verdicts(series))
    return Record(len(verdicts), verdicts.count(0), verdicts.count(-1))


def _verdicts(series: Series) -> Iterator[int]:
    """-1, 0, 1 of each call that can be judged: met before its interval, within it, or not by then.

    What was restarted or has not ended yet decides nothing.
    """
    now = LEAST
    while now < len(series):
        call = _called(series.until(now))
        if call is None:
            now += STRIDE
            continue
        met_s, until_s = _met(series.since(now), call)
        if met_s < call.low_s:
            yield -1
        elif met_s <= call.high_s:
            yield 0
        elif until_s > call.high_s:
            yield 1
        ended_s = min(met_s, until_s, call.high_s)
        now = max(int(np.searchsorted(series.times_s, ended_s)), now + STRIDE)


def _called(past: Series) -> Call | None:
    now_s = past.times_s[-1]
    for rise in rises(past.present):
        level = rise.trend.level(AHEAD * rise.seen_s / rise.block_s)
        if when := rise.when(level):
            return Call(level, now_s + when[0], now_s + when[2])
    return None


def _met(later: Series, call: Call) -> tuple[float, float]:
    """When the level was met, or infinity; and until when it could have been."""
    whole = later.until(min(later.resets, default=len(later)))
    if len(whole) < TOGETHER:
        return inf, -inf
    views = np.lib.stride_tricks.sliding_window_view(whole.values, TOGETHER)
    met = np.flatnonzero(np.median(views, axis=1) >= call.level)
    met_s = float(whole.times_s[met[0] + TOGETHER // 2]) if len(met) else inf
    return met_s, float(whole.times_s[-1])
