"""How far single ticks rise above the level that was known before them.

Minutes hide bursts of seconds, and those are what queues are made of. A tick-long memory would
be too large, so each quantile of the ratio is tracked: up a good way when a tick exceeds it, down
a little when not, in the proportion that makes it the quantile.
"""

from __future__ import annotations

import numpy as np

from trimtab_envs.minutes import Bools, Floats
from trimtab_sim.rows import by_row, each, of_column, of_row

BURST_RANKS = np.array([0.9, 0.98, 0.998])
# Steps in the logarithm: large at first, then small enough that rare ticks do not swing it.
FIRST_STEP, LAST_STEP = 0.4, 0.1
START = np.log([1.1, 1.3, 1.5])
LOWEST, HIGHEST = float(np.log(0.5)), float(np.log(20.0))


class Bursts:
    """Quantiles at ``BURST_RANKS`` of tick over level of R loads."""

    def __init__(self, rows: int) -> None:
        self._log = np.repeat(START[:, None], rows, axis=1)
        self._count = np.zeros(rows)
        self.ratios = np.exp(self._log)
        """The quantiles as ratios, ``[len(BURST_RANKS), R]``."""

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        self._log[:, rows] = START[:, None]
        self.ratios = np.exp(self._log)
        self._count[rows] = 0.0

    def update(self, rate: Floats, level: Floats, seen: Bools) -> None:
        """Add one tick's ``rate`` ``[R]`` against the ``level`` known before it, where ``seen``."""
        _track(self._log, self.ratios, self._count, rate, level, seen)


@by_row
def _track(
    log: Floats, ratios: Floats, count: Floats, rate: Floats, level: Floats, seen: Bools
) -> None:
    for at in each(log):
        usable = of_column(seen, at) & (of_column(level, at) > 0.0)
        step = np.maximum(FIRST_STEP / np.sqrt(1.0 + of_column(count, at)), LAST_STEP) * usable
        above = of_column(rate, at) > of_column(level, at) * ratios[at]
        moved = log[at] + step * (of_row(BURST_RANKS, at) - 1.0 + above)
        log[at] = np.minimum(np.maximum(moved, LOWEST), HIGHEST)
        ratios[at] = np.exp(log[at])
    for row in each(count):
        count[row] += seen[row] & (level[row] > 0.0)
