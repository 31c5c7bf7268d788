"""The Knative pod autoscaler over many simulated services at once.

As ``pkg/autoscaler/scaling/autoscaler.go`` of knative/serving has it, with concurrency as its
metric: the mean over a stable window sizes the service, that over a tenth of it too once it
asks for a multiple of what is ready (panic), and then nothing shrinks until a stable window
has passed without. The sizes of the last ``delay_s`` hold scale-downs back. It decides every
tick (upstream every 2 s) and never goes to zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trimtab_agents.rules.windows import Average, Highest, ticks
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted

PANIC_WINDOW = 0.1
MAX_UP_RATE, MAX_DOWN_RATE = 1000.0, 2.0


class KpaRule:
    """``target`` is the share of a replica's slots; each value is one number or one per ``[B]``."""

    name = "kpa"

    def __init__(
        self,
        target: ArrayLike,
        stable_s: ArrayLike = 60.0,
        panic_threshold: ArrayLike = 2.0,
        delay_s: ArrayLike = 0.0,
    ) -> None:
        given = target, stable_s, panic_threshold, delay_s
        self._given = [np.asarray(value, dtype=np.float64).reshape(-1) for value in given]

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:  # noqa: ARG002 # the protocol's: KPA knows no price of a miss
        """Forget everything; like upstream after a restart, begin in panic."""
        batch, backends = profiles.shape
        target, stable_s, threshold, delay_s = (
            np.broadcast_to(value, batch) for value in self._given
        )
        self._profiles = profiles
        self._slots = target[:, None] * profiles.concurrency
        self._threshold = threshold[:, None]
        self._stable = ticks(stable_s, tick_s)
        self._panic = ticks(PANIC_WINDOW * stable_s, tick_s)
        self._delayed = Highest(ticks(delay_s, tick_s), backends)
        self._in_flight = Average(int(self._stable.max()), profiles.shape)
        self._tick = 0
        self._panicked = np.zeros(profiles.shape)  # the last tick over the threshold
        self._highest = np.zeros(profiles.shape)  # since the panic began

    def act(self, sensed: Sensed) -> Wanted:
        """Decide for one tick; without any reading, want what is wanted already."""
        self._in_flight.add(sensed.in_flight)
        ready = np.maximum(sensed.ready, 1.0)
        if self._tick == 0:
            self._highest = np.where(sensed.ready > 1.0, sensed.ready, 0.0)
            self._panicked = np.where(sensed.ready > 1.0, 0.0, -np.inf)
        needed = np.ceil(self._in_flight.over(self._panic) / self._slots)
        in_panic = self._in_panic(needed / ready)
        low, high = np.floor(ready / MAX_DOWN_RATE), np.ceil(ready * MAX_UP_RATE)
        stable = np.ceil(self._in_flight.over(self._stable) / self._slots).clip(low, high)
        size = np.where(in_panic, np.maximum(stable, needed.clip(low, high)), stable)
        self._highest = np.where(in_panic, np.fmax(self._highest, size), 0.0)
        size = np.where(in_panic, self._highest, size)
        self._tick += 1
        return self._wanted(sensed, size)

    def _in_panic(self, over_ready: Floats) -> Floats:
        """Whether the threshold was crossed within the last stable window, ``[B, K]``."""
        self._panicked = np.where(over_ready >= self._threshold, self._tick, self._panicked)
        return np.asarray(self._tick - self._panicked <= self._stable[:, None])

    def _wanted(self, sensed: Sensed, size: Floats) -> Wanted:
        known = np.isfinite(size)
        delayed = self._delayed.add(np.where(known, size, 0.0))
        limits = self._profiles
        replicas = delayed.clip(limits.min_replicas, limits.max_replicas)
        replicas = np.where(known, replicas, sensed.wanted)
        return Wanted(replicas=replicas, weight=sensed.weight, demand_rps=sensed.rate_rps)
