"""What a policy remembers of a load: levels, noise, trend, peaks, season and spread.

One row per backend; every time constant is in units of that backend's start-up delay or
in absolute minutes, so one policy serves slow and fast services alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab_envs.beat import Beat
from trimtab_envs.bursts import BURST_RANKS, Bursts
from trimtab_envs.minutes import Bools, Floats, Minutes
from trimtab_envs.season import Season
from trimtab_envs.spread import RANKS, SURGE_LIMIT, Spread
from trimtab_sim.rows import by_row, each, of_column, part, where

STARTUP_SCALES = (0.5, 2.0, 8.0)
MINUTE_SCALES = (10.0, 60.0)
LEVELS = len(STARTUP_SCALES) + len(MINUTE_SCALES)
PEAK_SCALES = 2
# The level that surges are measured against: ten minutes.
LEVEL_SCALE = 3
RANK_NAMES = [f"{100 * rank:.0f}" for rank in RANKS]
ESTIMATES = (
    "now", "trend", "noise", "season",
    *(f"load{name}" for name in RANK_NAMES), *(f"surge{name}" for name in RANK_NAMES),
    "peak", "peak_hour", *(f"burst{100 * rank:g}" for rank in BURST_RANKS),
)  # fmt: skip
# Rows of the estimates that are not below the first.
LOADS, SURGES, PEAKS, BURSTS = slice(4, 7), slice(7, 10), slice(10, 12), slice(12, 15)
# Loads below this part of their level are alike: idle.
IDLE = 0.05
# Start-ups take up to this part longer than their mean.
LATE = 0.3
SPREAD_EVERY_BINS = 2
SEASON_EVERY_BINS = 8


class Memory:
    """History of R loads in requests per second; ``startup_s`` and ``lag_s`` are ``[R]``."""

    def __init__(self, startup_s: Floats, lag_s: Floats, tick_s: float) -> None:
        rows = len(startup_s)
        self._tick_s = tick_s
        self._sum = np.zeros((LEVELS, rows))
        self._mass = np.zeros((LEVELS, rows))
        self.var = np.zeros((2, rows))
        self.peaks = np.zeros((PEAK_SCALES, rows))
        self.levels = np.zeros((LEVELS, rows))
        self.present = np.zeros(rows)
        """The load as it is, on the safe side: smoothed or as last read, ``[R]`` rps."""
        self._last = np.zeros(rows)
        self.age_s = np.zeros(rows)
        self.minutes = Minutes(rows)
        self.season = Season(rows)
        self.spread = Spread(rows)
        self.bursts = Bursts(rows)
        self.beat = Beat(rows, tick_s)
        self.time_s = np.zeros(rows)
        self.tau_s = np.empty((LEVELS, rows))
        self._peak_decay = np.empty((PEAK_SCALES, rows))
        self._alpha = np.empty((LEVELS, rows))
        self.startup_s = startup_s.copy()
        self.horizon_s = np.empty(rows)
        self._a_period_ago = np.zeros(rows)
        # What is known of a tick on the way: load, jump, whether it was seen and whether it counts.
        self._tick = (np.empty(rows), np.empty(rows), *np.empty((2, rows), dtype=np.bool_))
        # What a tick is asked for several times, and only then computed.
        self._estimates: Floats | None = None
        self._jump_ahead: Floats | None = None
        self._set_scales(np.ones(rows, dtype=np.bool_), startup_s, lag_s)

    def _set_scales(self, rows: Bools, startup_s: Floats, lag_s: Floats) -> None:
        self.startup_s[rows] = startup_s[rows]
        # What is decided now serves after the start-up, and was seen a lag ago.
        self.horizon_s[rows] = (startup_s + lag_s + self._tick_s)[rows]
        tau = np.empty_like(self.tau_s)
        tau[: len(STARTUP_SCALES)] = np.multiply.outer(STARTUP_SCALES, startup_s)
        tau[len(STARTUP_SCALES) :] = 60.0 * np.array(MINUTE_SCALES)[:, None]
        self.tau_s[:, rows] = np.maximum(tau, self._tick_s)[:, rows]
        self._alpha[:, rows] = -np.expm1(-self._tick_s / self.tau_s[:, rows])
        self._peak_decay[:, rows] = np.exp(-self._tick_s / self.tau_s[[2, 4]])[:, rows]

    def reset(self, rows: Bools, startup_s: Floats, lag_s: Floats) -> None:
        """Forget the masked rows and give them new profiles (all arrays ``[R]``)."""
        for array in (self._sum, self._mass, self.levels, self.var, self.peaks):
            array[:, rows] = 0.0
        self._last[rows] = self.present[rows] = 0.0
        self.age_s[rows] = 0.0
        for kept in (self.minutes, self.season, self.spread, self.bursts, self.beat):
            kept.reset(rows)
        self._set_scales(rows, startup_s, lag_s)
        self._a_period_ago = self.season.ahead(self.minutes, self.horizon_s)
        self._estimates = self._jump_ahead = None

    def update(self, rate: Floats, time_s: Floats) -> None:
        """Add one tick's rate ``[R]`` that was measured at ``time_s`` ``[R]``.

        NaN is a missing reading and leaves no trace.
        """
        load, jump, seen, counted = self._tick
        _read(
            load, jump, seen, counted, rate, time_s, self._last, self.age_s, self.time_s,
            self.levels,
        )  # fmt: skip
        self.beat.update(jump, self.time_s, counted)
        self.bursts.update(load, self.level(1), counted)
        self.present = np.empty(len(rate))
        _follow(
            self.present, load, seen, counted, self._last, self.age_s, self._sum, self._mass,
            self.levels, self.var, self.peaks, self._alpha, self._peak_decay, self._tick_s,
        )  # fmt: skip
        if self.minutes.update(load, self.level(LEVEL_SCALE), seen, self._tick_s):
            self._reflect()
        self._estimates = self._jump_ahead = None

    @property
    def jump_ahead(self) -> Floats:
        """Whether the load may jump before what is decided now can serve: 0 to 1, ``[R]``."""
        if self._jump_ahead is None:
            late_s = LATE * self.startup_s + self._tick_s
            self._jump_ahead = self.beat.ahead(self.time_s, self.horizon_s + late_s)
        return self._jump_ahead

    def _reflect(self) -> None:
        """Look at the long memory once in a few minutes: it is dear, and changes slowly."""
        if self.minutes.closed % SPREAD_EVERY_BINS == 0:
            self.spread.measure(self.minutes, self.horizon_s)
        if self.minutes.closed % SEASON_EVERY_BINS == 0:
            self.season.search(self.minutes)
        self._a_period_ago = self.season.ahead(self.minutes, self.horizon_s)

    def level(self, scale: int) -> Floats:
        """Exponentially weighted mean at one scale, unbiased from the first reading on, ``[R]``."""
        return np.asarray(self.levels[scale])

    def seasonal(self, horizon_s: Floats) -> Floats:
        """Forecast from one period ago, leaning on it as far as the period is clear, ``[R]``."""
        past = self.season.ahead(self.minutes, horizon_s)
        return np.asarray(leaning(self.level(0), past, self.season.strength))

    def estimates(self) -> Floats:
        """The demand to size for, in requests per second, one row per ``ESTIMATES``, ``[E, R]``."""
        if self._estimates is None:
            self._estimates = np.empty((len(ESTIMATES), len(self._last)))
            _estimate(
                self._estimates, self.levels, self.var, self.peaks, self.bursts.ratios,
                self.tau_s, self.age_s, self.horizon_s, self._a_period_ago, self.season.strength,
                self.spread.known, self.spread.loads, self.spread.surges, self.spread.highest,
            )  # fmt: skip
        return self._estimates


@by_row
def _read(
    load: Floats,
    jump: Floats,
    seen: Bools,
    counted: Bools,
    rate: Floats,
    measured_s: Floats,
    last: Floats,
    age_s: Floats,
    time_s: Floats,
    levels: Floats,
) -> None:
    """Put what was read last where a reading is missing, and measure how far the load jumped."""
    for at in each(rate):
        seen[at] = np.isfinite(rate[at])
        # A first reading is no jump.
        counted[at] = seen[at] & (age_s[at] > 0.0)
        load[at] = where(seen[at], rate[at], last[at])
        time_s[at] = where(seen[at], measured_s[at], time_s[at])
        floor = IDLE * levels[LEVEL_SCALE, at] + 1e-9
        jump[at] = np.log((load[at] + floor) / (last[at] + floor))


@by_row
def _follow(
    present: Floats,
    rate: Floats,
    seen: Bools,
    counted: Bools,
    last: Floats,
    age_s: Floats,
    sums: Floats,
    mass: Floats,
    levels: Floats,
    var: Floats,
    peak: Floats,
    alpha: Floats,
    peak_decay: Floats,
    tick_s: float,
) -> None:
    """Levels, noise and peaks, one tick on."""
    for at in each(levels):
        gain = alpha[at] * of_column(seen, at)
        sums[at] += gain * (of_column(rate, at) - sums[at])
        mass[at] += gain * (1.0 - mass[at])
        levels[at] = sums[at] / np.maximum(mass[at], 1e-12)
    for at in each(peak):
        peak[at] = np.maximum(peak[at] * peak_decay[at], of_column(rate, at))
    for row in each(rate):
        jump = where(counted[row], rate[row] - last[row], 0.0)
        around = where(counted[row], rate[row] - levels[1, row], 0.0)
        var[0, row] += alpha[2, row] * seen[row] * (0.5 * jump * jump - var[0, row])
        var[1, row] += alpha[3, row] * seen[row] * (around * around - var[1, row])
        last[row] = rate[row]
        present[row] = np.maximum(levels[0, row], last[row])
        age_s[row] += tick_s * seen[row]


@part
def slope(fast: Any, slow: Any, fast_s: Any, slow_s: Any, age_s: Any) -> Any:
    """Change of a load in rps per second, of two levels with such time constants."""
    # An EWMA lags a ramp by its time constant, so two of them tell its slope.
    warm = np.minimum(age_s / (2.0 * slow_s), 1.0)
    return warm * (fast - slow) / np.maximum(slow_s - fast_s, 1e-9)


@part
def leaning(now: Any, past: Any, strength: Any) -> Any:
    """From the present load to the ``past`` one, as far as it is known and trusted."""
    return now + where(past > 0.0, strength, 0.0) * (past - now)


@by_row
def _estimate(
    estimates: Floats,
    levels: Floats,
    var: Floats,
    peak: Floats,
    ratios: Floats,
    tau_s: Floats,
    age_s: Floats,
    horizon_s: Floats,
    a_period_ago: Floats,
    strength: Floats,
    known: Bools,
    loads: Floats,
    surges: Floats,
    highest: Floats,
) -> None:
    """The rows of ``ESTIMATES``, in their order."""
    for row in each(age_s):
        now, level = levels[0, row], levels[1, row]
        rising = slope(now, level, tau_s[0, row], tau_s[1, row], age_s[row])
        trend = now + rising * (np.minimum(tau_s[0, row], age_s[row]) + horizon_s[row])
        estimates[0, row] = now
        estimates[1, row] = np.minimum(np.maximum(trend, 0.3 * now), 3.0 * now)
        estimates[2, row] = level + 1.5 * np.sqrt(var[1, row])
        estimates[3, row] = leaning(now, a_period_ago[row], strength[row])
    # Of the rest none is below what is here now: that is served, whatever was to be expected.
    for at in each(loads):
        now, noise = of_column(levels[0], at), of_column(estimates[2], at)
        level, top = of_column(levels[LEVEL_SCALE], at), of_column(highest, at)
        is_known = of_column(known, at)
        surge = np.minimum(surges[at] * level, SURGE_LIMIT * np.maximum(top, level))
        estimates[LOADS][at] = np.maximum(where(is_known, loads[at], noise), now)
        estimates[SURGES][at] = np.maximum(where(is_known, surge, noise), now)
        estimates[BURSTS][at] = np.maximum(ratios[at] * of_column(levels[1], at), now)
    for at in each(peak):
        estimates[PEAKS][at] = np.maximum(peak[at], of_column(levels[0], at))
