"""How high a load goes: quantiles of its minutes, and of its surges over its own level.

Capacity at the ``1 - 1/lambda`` quantile of the load is what a newsvendor would hold: one more
unit costs 1 and saves lambda as often as the load is above it. The plain quantile suits loads
without a trend, the surge (minute over the level known one horizon before) those with one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.minutes import BIN_S, BINS, BLOCK, Bools, Floats, Ints, Minutes
from trimtab_sim.rows import (
    by_row,
    each,
    of_column,
    of_row,
    order,
    part,
    row_most,
    row_ranked,
    row_total,
    where,
    whole,
)

RANKS = np.array([0.8, 0.95, 0.99])
MIN_BINS = 3
# A level near zero makes any minute a huge surge; none is expected far above all that was seen.
SURGE_LIMIT = 1.5
_PLACES = np.arange(BINS)
_LINES = BINS * np.arange(BLOCK)


class Spread:
    """Quantiles at ``RANKS``, ``[len(RANKS), R]``: of loads in rps, and of surges as ratios."""

    def __init__(self, rows: int) -> None:
        self.loads = np.zeros((len(RANKS), rows))
        self.surges = np.zeros((len(RANKS), rows))
        self.highest = np.zeros(rows)
        self.mean = np.zeros(rows)
        self.known = np.zeros(rows, dtype=np.bool_)
        # For the minutes of a few rows: their loads, levels and surges.
        self._between = np.empty((3, min(rows, BLOCK), BINS))

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        self.known[rows] = False

    def measure(self, minutes: Minutes, horizon_s: Floats) -> None:
        """Take the quantiles of everything that is remembered."""
        for rows in minutes.blocks(MIN_BINS):
            loads, levels, surges = self._between[:, : len(rows)]
            minutes.unroll(rows, loads, levels)
            steps = np.minimum(np.ceil(horizon_s[rows] / BIN_S), BINS).astype(np.int64)
            _measure(
                self.loads, self.surges, self.highest, self.mean, self.known, rows,
                loads, levels.ravel(), _LINES[: len(rows)], surges, minutes.filled[rows], steps,
            )  # fmt: skip


@by_row
def _measure(
    load_quantiles: Floats,
    surge_quantiles: Floats,
    highest: Floats,
    mean: Floats,
    known: Bools,
    rows: NDArray[np.intp],
    loads: Floats,
    levels: Floats,
    lines: Ints,
    surges: Floats,
    filled: Ints,
    steps: Ints,
) -> None:
    """Of the minutes of ``rows``, ``[len(rows), BINS]``; ``levels`` flat, by ``lines``."""
    for at in each(loads):
        seen = of_column(_PLACES, at) >= BINS - of_row(filled, at)
        loads[at] = where(seen, loads[at], 0.0)
    for i in each(rows):
        highest[rows[i]] = row_most(loads, i)
        mean[rows[i]] = row_total(loads, i) / filled[i]
        known[rows[i]] = True
    for at in each(loads):
        place, first = of_column(_PLACES, at), BINS - of_row(filled, at)
        before = place - of_row(steps, at)
        level = levels[of_row(lines, at) + np.maximum(before, 0)]
        surge = loads[at] / np.maximum(level, 1e-6 + 1e-3 * mean[of_row(rows, at)])
        surges[at] = where(before >= first, surge, np.inf)
        loads[at] = where(place >= first, loads[at], np.inf)
    order(loads)
    order(surges)
    for i in each(rows):
        _quantiles(load_quantiles, rows[i], loads, i, filled[i])
        _quantiles(surge_quantiles, rows[i], surges, i, np.maximum(filled[i] - steps[i], 0))


@part
def _quantiles(quantiles: Floats, row: Any, values: Floats, i: Any, count: Any) -> None:
    """Of the ``count`` finite values in row ``i``; 1 where none is."""
    before = 0 * count
    for number in range(len(RANKS)):
        rank = np.maximum(whole(np.ceil(RANKS[number] * count)) - 1, 0)
        found = row_ranked(values, i, before, rank)
        quantiles[number, row] = where(np.isfinite(found), found, 1.0)
        before = rank
