"""How high a load goes: quantiles of its minutes, and of its surges over its own level.

Capacity at the ``1 - 1/lambda`` quantile of the load is what a newsvendor would hold: one more
unit costs 1 and saves lambda as often as the load is above it. The plain quantile suits loads
without a trend, the surge (minute over the level known one horizon before) those with one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.minutes import BIN_S, BINS, Bools, Floats, Minutes

RANKS = np.array([0.8, 0.95, 0.99])
MIN_BINS = 3
# A level near zero makes any minute a huge surge; none is expected far above all that was seen.
SURGE_LIMIT = 1.5


class Spread:
    """Quantiles at ``RANKS``, ``[len(RANKS), R]``: of loads in rps, and of surges as ratios."""

    def __init__(self, rows: int) -> None:
        self.loads = np.zeros((len(RANKS), rows))
        self.surges = np.zeros((len(RANKS), rows))
        self.highest = np.zeros(rows)
        self.mean = np.zeros(rows)
        self.known = np.zeros(rows, dtype=np.bool_)

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        self.known[rows] = False

    def measure(self, minutes: Minutes, horizon_s: Floats) -> None:
        """Take the quantiles of everything that is remembered."""
        for rows in minutes.blocks(MIN_BINS):
            self._measure(rows, minutes, horizon_s)

    def _measure(self, rows: NDArray[np.intp], minutes: Minutes, horizon_s: Floats) -> None:
        filled = minutes.filled[rows]
        loads = minutes.loads(rows)
        valid = np.arange(BINS) >= (BINS - filled)[:, None]
        self.loads[:, rows] = _quantiles(loads, valid)
        self.highest[rows] = np.where(valid, loads, 0.0).max(1)
        self.mean[rows] = np.where(valid, loads, 0.0).sum(1) / filled
        steps = np.ceil(horizon_s[rows] / BIN_S).astype(np.int64)
        before = np.arange(BINS) - np.minimum(steps, BINS)[:, None]
        # As ``take_along_axis``, in half the time.
        place = np.maximum(before, 0) + BINS * np.arange(len(rows))[:, None]
        level = minutes.levels(rows).take(place)
        surges = loads / np.maximum(level, 1e-6 + 1e-3 * self.mean[rows, None])
        self.surges[:, rows] = _quantiles(surges, valid & (before >= (BINS - filled)[:, None]))
        self.known[rows] = True


def _quantiles(values: Floats, valid: Bools) -> Floats:
    """Quantiles at ``RANKS`` of each row's valid values, ``[len(RANKS), R]``; 1 where none is."""
    count = valid.sum(1)
    ordered = np.sort(np.where(valid, values, np.inf), axis=1)
    index = np.clip(np.ceil(RANKS[:, None] * count).astype(np.int64) - 1, 0, BINS - 1)
    found = ordered[np.arange(len(values)), index]
    return np.where(np.isfinite(found), found, 1.0)
