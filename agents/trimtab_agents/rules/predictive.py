"""The predictive rule: a seasonal forecast with as much headroom as its own errors ask for.

Every minute the load is compared with what was forecast for it one start-up before. Sizing for
the forecast times a quantile of those ratios keeps the load below it as often as the quantile
says, however good the forecast is. Nothing is learned beyond these errors of the last hours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from trimtab_agents.rules.target import TargetRule
from trimtab_envs.memory import ESTIMATES
from trimtab_envs.minutes import BIN_S
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


class PredictiveRule(TargetRule):
    """Replicas for ``forecast x quantile of its errors x headroom``, let go of over ``hold_s``.

    Each value is one number or one per service ``[B]``.
    """

    def __init__(self, quantile: ArrayLike, headroom: ArrayLike, hold_s: ArrayLike) -> None:
        super().__init__(ESTIMATES.index("now"), headroom, hold_s)
        self.name = "predictive"
        self._quantile = np.asarray(quantile, dtype=np.float64).reshape(-1, 1)

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        """Forget everything and prepare for B new services."""
        super().reset(profiles, miss_price, tick_s)
        quantile = np.broadcast_to(self._quantile, profiles.shape)
        self._errors = Errors(quantile.ravel(), self._codec.memory.horizon_s)
        self._margin = self._codec.setting.headroom

    def act(self, sensed: Sensed) -> Wanted:
        """Decide for one tick."""
        memory = self._codec.memory
        closed = memory.minutes.closed
        self._codec.sense(sensed)
        now, forecast = memory.level(0), memory.seasonal(memory.horizon_s)
        if memory.minutes.closed > closed:
            self._errors.compare(memory.minutes.at(1), forecast)
        # What is here now is served, whatever was to be expected.
        growth = np.maximum(forecast * self._errors.factor / np.maximum(now, 1e-9), 1.0)
        growth = growth.reshape(self._margin.shape)
        self._codec.setting = replace(self._codec.setting, headroom=self._margin * growth)
        wanted = self._codec.want()
        return wanted._replace(demand_rps=wanted.demand_rps * growth)
