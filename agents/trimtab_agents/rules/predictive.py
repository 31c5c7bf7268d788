"""The predictive rule: a seasonal forecast with as much headroom as its own errors ask for.

Every minute the load is compared with what was forecast for it one start-up before. Sizing for
the forecast times a quantile of those ratios keeps the load below it as often as the quantile
says, however good the forecast is. Nothing is learned beyond these errors of the last hours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trimtab_envs.action import Rule, Setting
from trimtab_envs.memory import Memory
from trimtab_envs.minutes import BIN_S, Bools
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted

REMEMBERED = 240  # minutes of errors
FEWEST = 5  # errors before a quantile of them means anything
SORT_EVERY = 2  # minutes


class Errors:
    """Load over forecast for each of the last minutes, of R rows; and its ``quantile`` ``[R]``."""

    def __init__(self, quantile: Floats, horizon_s: Floats) -> None:
        rows = len(quantile)
        self._quantile, self._rows = quantile, np.arange(rows)
        self._ahead = np.ceil(horizon_s / BIN_S).astype(np.int64)
        self._forecasts = np.full((int(self._ahead.max()) + 1, rows), np.nan)
        self._ratios = np.full((REMEMBERED, rows), np.inf)
        self._minutes = np.zeros(rows, dtype=np.int64)
        self._minute = 0
        self.factor = np.ones(rows)

    def compare(self, load: Floats, forecast: Floats) -> None:
        """A minute is over: ``load`` was its mean, ``forecast`` is for one horizon ahead."""
        then = self._forecasts[(self._minute - self._ahead) % len(self._forecasts), self._rows]
        self._forecasts[self._minute % len(self._forecasts)] = forecast
        ratio = load / np.where(then > 0.0, then, np.nan)
        known = np.flatnonzero(np.isfinite(ratio))
        self._ratios[self._minutes[known] % REMEMBERED, known] = ratio[known]
        self._minutes[known] += 1
        if self._minute % SORT_EVERY == 0:
            self._measure()
        self._minute += 1

    def _measure(self) -> None:
        count = np.minimum(self._minutes, REMEMBERED)
        rank = np.clip(np.ceil(self._quantile * count).astype(np.int64) - 1, 0, REMEMBERED - 1)
        ordered = np.sort(self._ratios, axis=0)
        self.factor = np.where(count >= FEWEST, ordered[rank, self._rows], self.factor)


class PredictiveRule:
    """Replicas for ``forecast x quantile of its errors x headroom``, let go of over ``hold_s``.

    Each value is one number or one per service ``[B]``.
    """

    name = "predictive"

    def __init__(self, quantile: ArrayLike, headroom: ArrayLike, hold_s: ArrayLike) -> None:
        given = quantile, headroom, hold_s
        self._given = [np.asarray(value, dtype=np.float64).reshape(-1, 1) for value in given]

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:  # noqa: ARG002 # the protocol's: the quantile stands for the price
        """Forget everything and prepare for B new services."""
        self._profiles = profiles
        quantile, headroom, hold_s = (
            np.broadcast_to(value, profiles.shape) for value in self._given
        )
        lag_s = np.repeat(profiles.metric_lag_s, profiles.shape[1])
        self._memory = Memory(profiles.startup_mean_s.ravel(), lag_s, tick_s)
        self._errors = Errors(quantile.ravel(), self._memory.horizon_s)
        self._rule = Rule(profiles, tick_s)
        self._always = ones = np.ones(profiles.shape)
        self._setting = Setting(
            ones[..., None], headroom, hold_s, lean=ones, tilt=ones, wait=np.zeros(profiles.shape)
        )

    def act(self, sensed: Sensed) -> Wanted:
        """Decide for one tick."""
        profiles = self._profiles
        known, forecast = self._forecast(sensed)
        in_flight = np.nan_to_num(sensed.in_flight)
        backlog = np.maximum(in_flight - sensed.ready * profiles.concurrency, 0.0)
        replicas, demand = self._rule.replicas(
            self._setting, forecast, forecast[0], self._always, backlog, sensed.wanted, known
        )
        weight = self._rule.weights(self._setting, sensed.ready, sensed.weight)
        return Wanted(replicas=replicas, weight=weight, demand_rps=demand)

    def _forecast(self, sensed: Sensed) -> tuple[Bools, Floats]:
        """Which services have been seen ``[B, 1]``, and the load to size for ``[1, B, K]``."""
        memory, shape = self._memory, self._profiles.shape
        rate_rps = np.where(self._profiles.present, sensed.rate_rps, 0.0).sum(1)
        closed = memory.minutes.closed
        measured_s = sensed.time_s - sensed.age_s
        memory.update(np.repeat(rate_rps, shape[1]), np.repeat(measured_s, shape[1]))
        forecast = memory.seasonal(memory.horizon_s)
        if memory.minutes.closed > closed:
            self._errors.compare(memory.minutes.at(1), forecast)
        # What is here now is served, whatever was to be expected.
        demand = np.maximum(forecast * self._errors.factor, memory.level(0))
        known = memory.age_s.reshape(shape)[:, :1] > 0.0
        return known, np.asarray(demand.reshape(1, *shape))
