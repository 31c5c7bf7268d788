"""The last eight hours of many loads in minute bins: the long memory that the rest reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.rows import by_row, each, unroll, where, whole

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

BIN_S = 60.0
BINS = 480
BLOCK = 24


class Minutes:
    """A ring of minute means of R loads, and of what their level was when a minute ended."""

    def __init__(self, rows: int) -> None:
        self._loads = np.zeros((rows, BINS))
        self._levels = np.zeros((rows, BINS))
        self._sum = np.zeros(rows)
        self._count = np.zeros(rows)
        self._elapsed_s = 0.0
        self.closed = 0
        self.filled: Ints = np.zeros(rows, dtype=np.int64)
        self._rows = np.arange(rows)
        self._first = BINS * self._rows

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        self._sum[rows] = 0.0
        self._count[rows] = 0.0
        self.filled[rows] = 0

    def update(self, load: Floats, level: Floats, seen: Bools, dt_s: float) -> bool:
        """Add one tick where ``seen``; true when it closed a minute.

        A tick longer than a minute counts as one.
        """
        _add(self._sum, self._count, load, seen)
        self._elapsed_s += dt_s
        if self._elapsed_s < BIN_S - 1e-9:
            return False
        self._elapsed_s = 0.0
        self._close(level)
        return True

    def _close(self, level: Floats) -> None:
        seen = self._count > 0
        # A minute without any reading repeats the last one: never read as zero load.
        mean = np.where(seen, self._sum / np.maximum(self._count, 1.0), self.at(1))
        self._loads[:, self.closed % BINS] = mean
        self._levels[:, self.closed % BINS] = level
        self._sum[:] = 0.0
        self._count[:] = 0.0
        self.filled = np.minimum(self.filled + (seen | (self.filled > 0)), BINS)
        self.closed += 1

    def at(self, back: Ints | int) -> Floats:
        """The load ``back`` minutes ago (1 is the newest), ``[..., R]``."""
        return np.asarray(self._loads[self._rows, (self.closed - np.minimum(back, BINS)) % BINS])

    def ahead(self, horizon_s: Floats, period: Ints) -> Floats:
        """The highest of three minutes around ``horizon_s`` ahead, whole periods ago, ``[R]``.

        Zero where no ``period`` (0) is known, or not for so long.
        """
        highest = np.empty(len(horizon_s))
        _look_back(
            highest, self._loads.ravel(), self._first, self.filled, horizon_s, period, self.closed
        )
        return highest

    def blocks(self, least: int) -> Iterator[NDArray[np.intp]]:
        """Rows with at least so many minutes, a few at a time.

        What is computed of these stays in the processor's cache; of all at once it would not.
        """
        rows = np.flatnonzero(self.filled >= least)
        return (rows[at : at + BLOCK] for at in range(0, len(rows), BLOCK))

    def loads(self, rows: NDArray[np.intp]) -> Floats:
        """Chosen rows, oldest minute first, ``[len(rows), BINS]``; the last ``filled`` count."""
        return np.roll(self._loads[rows], -(self.closed % BINS), axis=1)

    def unroll(self, rows: NDArray[np.intp], loads: Floats, levels: Floats) -> None:
        """Write chosen rows, and the levels that belong to them, oldest minute first."""
        head = self.closed % BINS
        _unroll(loads, self._loads, rows, head)
        _unroll(levels, self._levels, rows, head)


@by_row
def _add(total: Floats, count: Floats, load: Floats, seen: Bools) -> None:
    for row in each(total):
        total[row] += where(seen[row], load[row], 0.0)
        count[row] += seen[row]


@by_row
def _unroll(lines: Floats, rings: Floats, rows: NDArray[np.intp], head: int) -> None:
    unroll(lines, rings, rows, head)


@by_row
def _look_back(
    highest: Floats,
    loads: Floats,
    first: Ints,
    filled: Ints,
    horizon_s: Floats,
    period: Ints,
    closed: int,
) -> None:
    for row in each(highest):
        # Whole periods back until the minute, and the one after it, lie in the past.
        length = np.maximum(period[row], 1)
        steps = whole(np.ceil(horizon_s[row] / BIN_S))
        back = length * -(-(steps + 2) // length) - steps
        known = (period[row] > 0) & (back + 2 <= filled[row])
        highest[row] = 0.0
        for around in range(3):
            place = (closed - np.minimum(back + around, BINS)) % BINS
            load = where(known, loads[first[row] + place], 0.0)
            highest[row] = np.maximum(highest[row], load)
