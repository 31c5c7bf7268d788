"""Sliding windows over many services at once, each with a length of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats

Ticks = NDArray[np.int64]


def ticks(seconds: Floats, tick_s: float) -> Ticks:
    """How many ticks make up so many seconds, rounded up, one at least."""
    return np.maximum(np.ceil(seconds / tick_s - 1e-9), 1.0).astype(np.int64)


class Highest:
    """The highest of the last ``window`` ``[B]`` values, for every row and backend ``[B, K]``."""

    def __init__(self, window: Ticks, backends: int) -> None:
        self._window = window
        self._rows = np.arange(len(window))
        self._kept = np.full((int(window.max()), len(window), backends), -np.inf)
        self._added = 0

    def add(self, values: Floats) -> Floats:
        """The highest value with these, ``[B, K]``."""
        # What leaves a window is erased, so that rows with short ones need no mask.
        self._kept[(self._added - self._window) % len(self._kept), self._rows] = -np.inf
        self._kept[self._added % len(self._kept)] = values
        self._added += 1
        return np.asarray(self._kept.max(0))


class Average:
    """The mean of the last ticks, over windows of up to ``longest`` ticks; NaN is no reading."""

    def __init__(self, longest: int, shape: tuple[int, int]) -> None:
        self._rows = np.arange(shape[0])
        # Running sums of values and of how many there were; the difference of two is a window's.
        self._sums = np.zeros((longest + 1, 2, *shape))
        self._added = 0

    def add(self, values: Floats) -> None:
        """Take in one tick's values ``[B, K]``."""
        now = self._sums[self._added % len(self._sums)]
        seen = np.isfinite(values)
        self._added += 1
        self._sums[self._added % len(self._sums)] = now + np.stack(
            [np.where(seen, values, 0.0), seen]
        )

    def over(self, window: Ticks) -> Floats:
        """Mean over the last ``window`` ``[B]`` ticks, ``[B, K]``; NaN without any reading."""
        back = np.minimum(window, self._added)
        now = self._sums[self._added % len(self._sums)].swapaxes(0, 1)
        then = self._sums[(self._added - back) % len(self._sums), :, self._rows]
        total, count = np.moveaxis(now - then, 1, 0)
        return np.where(count > 0.0, total / np.maximum(count, 1.0), np.nan)
