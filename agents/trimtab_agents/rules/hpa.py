"""The Kubernetes HPA over many simulated services at once.

The same algorithm as ``trimtab_agents.hpa`` with its default behaviour, in arrays; a test holds
the two together. CPU saturates: a replica is never seen busier than all its slots.
"""

from __future__ import annotations

import math

import numpy as np

from trimtab_agents.hpa import HpaConfig
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted

UPSTREAM = HpaConfig(target=1.0)


class HpaRule:
    """HPA per backend; ``target`` utilisation is one number or one per service ``[B]``."""

    name = "hpa"

    def __init__(self, target: float | Floats) -> None:
        self._target = np.asarray(target, dtype=np.float64).reshape(-1, 1)

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:  # noqa: ARG002 # the protocol's: HPA knows no price of a miss
        """Forget recommendations and samples."""
        self._profiles = profiles
        self._tick_s = tick_s
        self._tick = 0
        self._sync_ticks = math.ceil(UPSTREAM.sync_s / tick_s)
        window = math.ceil(UPSTREAM.down_stabilization_s / (self._sync_ticks * tick_s))
        # One row per sync of the scale-down window; 0 where none was made.
        self._recommended = np.zeros((window, *profiles.shape))
        lag_ticks = math.ceil(float(profiles.metric_lag_s.max()) / tick_s)
        self._ready = np.zeros((lag_ticks + 1, *profiles.shape))

    def act(self, sensed: Sensed) -> Wanted:
        """Sync when it is time, else want what is wanted already."""
        self._remember(sensed)
        replicas = sensed.wanted
        if self._tick % self._sync_ticks == 0:
            replicas = self._sync(sensed)
        self._tick += 1
        return Wanted(replicas=replicas, weight=sensed.weight, demand_rps=sensed.rate_rps)

    def _remember(self, sensed: Sensed) -> None:
        """Row i is what was ready i ticks ago; before the first tick, what was ready then."""
        self._ready = np.roll(self._ready, 1, axis=0)
        self._ready[0 if self._tick else slice(None)] = sensed.ready

    def _sync(self, sensed: Sensed) -> Floats:
        wanted, recommendation = sensed.wanted, self._recommend(sensed)
        known = np.isfinite(recommendation)
        record = np.where(known, recommendation, 0.0)
        if self._tick == 0:  # upstream: what is wanted at first is the first recommendation
            record = np.maximum(record, wanted)
        self._recommended[self._tick // self._sync_ticks % len(self._recommended)] = record
        stable = np.minimum(np.maximum(wanted, recommendation), self._recommended.max(0))
        # Both policies look back one sync, in which nothing changed: the count is the start's.
        replicas = np.minimum(stable, np.maximum(2.0 * wanted, wanted + 4.0))
        replicas = np.where(known, replicas, wanted)
        return np.clip(replicas, self._profiles.min_replicas, self._profiles.max_replicas)

    def _recommend(self, sensed: Sensed) -> Floats:
        """Replicas that the CPU metric asks for ``[B, K]``, NaN where no pod has a sample."""
        usage, sampled = self._usage(sensed)
        ratio = usage / self._target
        ignored = sensed.starting + sensed.ready - sampled
        idle = np.where(ratio > 1.0, ignored, 0.0)
        counted = sampled + idle
        recomputed = usage * sampled / np.maximum(counted, 1.0) / self._target
        replicas = np.ceil(np.where(idle > 0.0, recomputed, ratio) * counted)
        flips = (idle > 0.0) & (recomputed < 1.0)
        backwards = (idle > 0.0) & (recomputed > 1.0) & (replicas < sensed.wanted)
        low, high = 1.0 - UPSTREAM.tolerance, 1.0 + UPSTREAM.tolerance
        tolerable = (recomputed >= low) & (recomputed <= high)
        return np.where(flips | backwards | tolerable, sensed.wanted, replicas)

    def _usage(self, sensed: Sensed) -> tuple[Floats, Floats]:
        """Mean usage of the pods sampled, and how many they are, ``[B, K]``.

        A pod that became ready after the (late) sample was taken has none that counts.
        """
        ago = np.round(sensed.age_s / self._tick_s).astype(int)
        ready_then = self._ready[np.clip(ago, 0, len(self._ready) - 1), np.arange(len(ago))]
        sampled = np.minimum(ready_then, sensed.ready)
        slots = ready_then * self._profiles.concurrency
        usage = np.minimum(sensed.in_flight / np.maximum(slots, 1.0), 1.0)
        return np.where(sampled > 0.0, usage, np.nan), sampled
