"""Finds the period of a load and what it did one period ago.

A plain autocorrelation over minute bins: batch jobs, cron storms and days all show as a peak
in it, and it needs no model of their shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.minutes import BINS, Bools, Floats, Ints, Minutes

MIN_BINS = 24
SHORTEST_PERIOD_BINS = 3
# Lag 0 always correlates: only beyond the first dip below this can a peak be a period.
DIP = 0.2


class Season:
    """Period in minutes (0: none known) and its strength from 0 to 1 of R loads."""

    def __init__(self, rows: int) -> None:
        self.period_bins: Ints = np.zeros(rows, dtype=np.int64)
        self.strength = np.zeros(rows)

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        self.period_bins[rows] = 0
        self.strength[rows] = 0.0

    def search(self, minutes: Minutes) -> None:
        """Look for periods in everything that is remembered."""
        for rows in minutes.blocks(MIN_BINS):
            self._search(rows, minutes)

    def _search(self, rows: NDArray[np.intp], minutes: Minutes) -> None:
        filled = minutes.filled[rows, None]
        series = minutes.loads(rows)
        valid = np.arange(BINS) >= BINS - filled
        mean = np.where(valid, series, 0.0).sum(1, keepdims=True) / filled
        correlation = _autocorrelation(np.where(valid, series - mean, 0.0), filled)
        lags = np.arange(correlation.shape[1])
        dipped = np.maximum.accumulate(correlation < DIP, axis=1)
        allowed = dipped & (lags >= SHORTEST_PERIOD_BINS) & (lags <= filled // 2)
        scored = np.where(allowed, correlation, 0.0)
        self.period_bins[rows] = scored.argmax(1)
        self.strength[rows] = np.clip(scored.max(1), 0.0, 1.0)

    def ahead(self, minutes: Minutes, horizon_s: Floats) -> Floats:
        """The highest of three minutes, one period ago, around ``horizon_s`` ahead, ``[R]``.

        Zero where no period is known.
        """
        return minutes.ahead(horizon_s, self.period_bins)


def _autocorrelation(series: Floats, filled: Ints) -> Floats:
    """Autocorrelation at lags 0 to BINS / 2 of zero-mean rows, unbiased for their overlap."""
    lags = BINS // 2 + 1
    spectrum = np.fft.rfft(series, 2 * BINS, axis=1)
    raw = np.fft.irfft(spectrum * spectrum.conj(), 2 * BINS, axis=1)[:, :lags]
    overlap = np.maximum(filled - np.arange(lags), 1)
    variance = np.maximum(raw[:, :1] / filled, 1e-12)
    return np.asarray(raw / overlap / variance)
