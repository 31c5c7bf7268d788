"""What a policy remembers of a load: levels, noise, trend, peaks, season and spread.

One row per backend; every time constant is in units of that backend's start-up delay or
in absolute minutes, so one policy serves slow and fast services alike.
"""

from __future__ import annotations

import numpy as np

from trimtab_envs.beat import Beat
from trimtab_envs.bursts import BURST_RANKS, Bursts
from trimtab_envs.minutes import Bools, Floats, Minutes
from trimtab_envs.season import Season
from trimtab_envs.spread import RANKS, Spread

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
        self._var = np.zeros((2, rows))
        self._peak = np.zeros((PEAK_SCALES, rows))
        self._levels = np.zeros((LEVELS, rows))
        self._last = np.zeros(rows)
        self.age_s = np.zeros(rows)
        self.minutes = Minutes(rows)
        self.season = Season(rows)
        self.spread = Spread(rows)
        self.bursts = Bursts(rows)
        self.beat = Beat(rows, tick_s)
        self.time_s = np.zeros(rows)
        self._tau_s = np.empty((LEVELS, rows))
        self._peak_decay = np.empty((PEAK_SCALES, rows))
        self._alpha = np.empty((LEVELS, rows))
        self.startup_s = startup_s.copy()
        self.horizon_s = np.empty(rows)
        self._a_period_ago = np.zeros(rows)
        # What a tick is asked for several times, and only then computed.
        self._estimates: Floats | None = None
        self._jump_ahead: Floats | None = None
        self._set_scales(np.ones(rows, dtype=np.bool_), startup_s, lag_s)

    def _set_scales(self, rows: Bools, startup_s: Floats, lag_s: Floats) -> None:
        self.startup_s[rows] = startup_s[rows]
        # What is decided now serves after the start-up, and was seen a lag ago.
        self.horizon_s[rows] = (startup_s + lag_s + self._tick_s)[rows]
        tau = np.empty_like(self._tau_s)
        tau[: len(STARTUP_SCALES)] = np.multiply.outer(STARTUP_SCALES, startup_s)
        tau[len(STARTUP_SCALES) :] = 60.0 * np.array(MINUTE_SCALES)[:, None]
        self._tau_s[:, rows] = np.maximum(tau, self._tick_s)[:, rows]
        self._alpha[:, rows] = -np.expm1(-self._tick_s / self._tau_s[:, rows])
        self._peak_decay[:, rows] = np.exp(-self._tick_s / self._tau_s[[2, 4]])[:, rows]

    def reset(self, rows: Bools, startup_s: Floats, lag_s: Floats) -> None:
        """Forget the masked rows and give them new profiles (all arrays ``[R]``)."""
        for array in (self._sum, self._mass, self._levels, self._var, self._peak):
            array[:, rows] = 0.0
        self._last[rows] = 0.0
        self.age_s[rows] = 0.0
        for part in (self.minutes, self.season, self.spread, self.bursts, self.beat):
            part.reset(rows)
        self._set_scales(rows, startup_s, lag_s)
        self._a_period_ago = self.season.ahead(self.minutes, self.horizon_s)
        self._estimates = self._jump_ahead = None

    def update(self, rate: Floats, time_s: Floats) -> None:
        """Add one tick's rate ``[R]`` that was measured at ``time_s`` ``[R]``.

        NaN is a missing reading and leaves no trace.
        """
        seen = np.isfinite(rate)
        rate = np.where(seen, rate, self._last)
        self.time_s = np.where(seen, time_s, self.time_s)
        known = self.age_s > 0
        self._count_jump(rate, seen & known)
        self.bursts.update(rate, self.level(1), seen & known)
        gain = self._alpha * seen
        self._sum += gain * (rate - self._sum)
        self._mass += gain * (1.0 - self._mass)
        self._levels = self._sum / np.maximum(self._mass, 1e-12)
        jump = np.where(known, rate - self._last, 0.0)
        spread = np.where(known, rate - self.level(1), 0.0)
        self._var[0] += gain[2] * (0.5 * jump * jump - self._var[0])
        self._var[1] += gain[3] * (spread * spread - self._var[1])
        np.maximum(self._peak * self._peak_decay, rate, out=self._peak)
        self._last = rate
        self.age_s += self._tick_s * seen
        if self.minutes.update(rate, self.level(LEVEL_SCALE), seen, self._tick_s):
            self._reflect()
        self._estimates = self._jump_ahead = None

    def _count_jump(self, rate: Floats, seen: Bools) -> None:
        floor = IDLE * self.level(LEVEL_SCALE) + 1e-9
        self.beat.update(np.log((rate + floor) / (self._last + floor)), self.time_s, seen)

    @property
    def present(self) -> Floats:
        """The load as it is, on the safe side: smoothed or as last read, ``[R]`` rps."""
        return np.maximum(self.level(0), self._last)

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
        return np.asarray(self._levels[scale])

    @property
    def slope(self) -> Floats:
        """Change of the load in rps per second over about two start-ups, ``[R]``."""
        # An EWMA lags a ramp by its time constant, so two of them tell its slope.
        gap_s = np.maximum(self._tau_s[1] - self._tau_s[0], 1e-9)
        warm = np.minimum(self.age_s / (2.0 * self._tau_s[1]), 1.0)
        return np.asarray(warm * (self.level(0) - self.level(1)) / gap_s)

    @property
    def noise(self) -> Floats:
        """Standard deviation from tick to tick, and around the level, ``[2, R]`` in rps."""
        return np.sqrt(self._var)

    @property
    def peaks(self) -> Floats:
        """Decaying maxima over about eight start-ups and one hour, ``[2, R]`` in rps."""
        return self._peak

    def seasonal(self, horizon_s: Floats) -> Floats:
        """Forecast from one period ago, leaning on it as far as the period is clear, ``[R]``."""
        return self._leaning_on(self.season.ahead(self.minutes, horizon_s))

    def _leaning_on(self, past: Floats) -> Floats:
        now = self.level(0)
        trust = np.where(past > 0.0, self.season.strength, 0.0)
        return np.asarray(now + trust * (past - now))

    def estimates(self) -> Floats:
        """The demand to size for, in requests per second, one row per ``ESTIMATES``, ``[E, R]``."""
        if self._estimates is None:
            self._estimates = self._estimate()
        return self._estimates

    def _estimate(self) -> Floats:
        now = self.level(0)
        reach_s = np.minimum(self._tau_s[0], self.age_s) + self.horizon_s
        trend = np.minimum(np.maximum(now + self.slope * reach_s, 0.3 * now), 3.0 * now)
        noise = self.level(1) + 1.5 * self.noise[1]
        spread = self.spread.estimates(self.level(LEVEL_SCALE), noise)
        # What is here now is served, whatever was to be expected.
        high = np.concatenate((spread, self._peak, self.bursts.ratios * self.level(1)))
        return np.concatenate(
            ((now, trend, noise, self._leaning_on(self._a_period_ago)), np.maximum(high, now))
        )
