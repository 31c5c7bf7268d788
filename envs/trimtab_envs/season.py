"""Finds the period of a load and what it did one period ago.

A plain autocorrelation over a ring of minute bins: batch jobs, cron storms and days all show
as a peak in it, and it needs no model of their shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BIN_S = 60.0
BINS = 480
SEARCH_EVERY_BINS = 8
MIN_BINS = 24
SHORTEST_PERIOD_BINS = 3


class Season:
    """The last eight hours of R loads in minute bins, their periods and their quantiles."""

    def __init__(self, rows: int) -> None:
        self._ring = np.zeros((rows, BINS))
        self._sum = np.zeros(rows)
        self._count = np.zeros(rows)
        self._elapsed_s = 0.0
        self._bin = 0
        self.filled = np.zeros(rows, dtype=np.int64)
        self.period_bins = np.zeros(rows, dtype=np.int64)
        self.strength = np.zeros(rows)
        self.q90 = np.zeros(rows)
        self.mean = np.zeros(rows)

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        for array in (self._sum, self._count, self.strength, self.q90, self.mean):
            array[rows] = 0.0
        self.filled[rows] = 0
        self.period_bins[rows] = 0

    def update(self, rate: Floats, seen: Bools, dt_s: float) -> None:
        """Add one tick's ``rate`` ``[R]`` where ``seen``."""
        self._sum += np.where(seen, rate, 0.0)
        self._count += seen
        self._elapsed_s += dt_s
        if self._elapsed_s >= BIN_S - 1e-9:
            self._elapsed_s = 0.0
            self._close_bin()

    def _close_bin(self) -> None:
        previous = self._ring[:, (self._bin - 1) % BINS]
        seen = self._count > 0
        # A minute without any reading repeats the last one: never read as zero load.
        self._ring[:, self._bin % BINS] = np.where(
            seen, self._sum / np.maximum(self._count, 1.0), previous
        )
        self._sum[:] = 0.0
        self._count[:] = 0.0
        started = seen | (self.filled > 0)
        self.filled = np.minimum(self.filled + started, BINS)
        self._bin += 1
        if self._bin % SEARCH_EVERY_BINS == 0:
            self._search(np.flatnonzero(self.filled >= MIN_BINS))

    def _search(self, rows: NDArray[np.intp]) -> None:
        if not rows.size:
            return
        filled = self.filled[rows]
        series = np.roll(self._ring[rows], -(self._bin % BINS), axis=1)
        valid = np.arange(BINS) >= (BINS - filled)[:, None]
        mean = np.where(valid, series, 0.0).sum(1) / filled
        self.mean[rows] = mean
        self.q90[rows] = np.nanquantile(np.where(valid, series, np.nan), 0.9, axis=1)
        correlation = _autocorrelation(np.where(valid, series - mean[:, None], 0.0), filled)
        lags = np.arange(correlation.shape[1])
        # The first peak belongs to lag 0: only look beyond the first dip.
        dipped = np.maximum.accumulate(correlation < 0.2, axis=1)
        allowed = dipped & (lags >= SHORTEST_PERIOD_BINS) & (lags <= (filled // 2)[:, None])
        scored = np.where(allowed, correlation, -1.0)
        best = scored.argmax(1)
        strength = scored[np.arange(len(rows)), best]
        self.period_bins[rows] = np.where(strength > 0.0, best, 0)
        self.strength[rows] = np.clip(strength, 0.0, 1.0)

    def ahead(self, horizon_s: Floats, spread_bins: int = 1) -> Floats:
        """The highest bin, one period ago, within ``spread_bins`` of ``horizon_s`` ahead, ``[R]``.

        Zero where no period is known.
        """
        steps = np.ceil(horizon_s / BIN_S).astype(np.int64)
        # Whole periods back until the bin lies in the past.
        period = np.maximum(self.period_bins, 1)
        back = period * np.maximum(1, -(-(steps + spread_bins + 1) // period)) - steps
        rows = np.arange(len(steps))
        values = [
            self._ring[rows, (self._bin - 1 - np.minimum(back - offset, BINS - 1)) % BINS]
            for offset in range(-spread_bins, spread_bins + 1)
        ]
        known = (self.period_bins > 0) & (back + spread_bins < self.filled)
        return np.where(known, np.max(values, axis=0), 0.0)


def _autocorrelation(series: Floats, filled: NDArray[np.int64]) -> Floats:
    """Autocorrelation at lags 0 to BINS / 2 of zero-mean rows, unbiased for their overlap."""
    size = 2 * BINS
    spectrum = np.fft.rfft(series, size, axis=1)
    raw = np.fft.irfft(spectrum * spectrum.conj(), size, axis=1)[:, : BINS // 2 + 1]
    overlap = np.maximum(filled[:, None] - np.arange(BINS // 2 + 1), 1)
    variance = np.maximum(raw[:, :1] / filled[:, None], 1e-12)
    return np.asarray(raw / overlap / variance)
