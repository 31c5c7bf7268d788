"""The Kubernetes HPA over many simulated services at once: by CPU, and by KEDA's rate.

The same algorithm as ``trimtab_agents.hpa``, in arrays; a test holds the two together. CPU
saturates: a replica is never seen busier than all its slots. A rate does not, which is why KEDA
hands one to the HPA; nor does it show what waits.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from trimtab_agents.hpa import HpaConfig
from trimtab_agents.rules.pace import Pace, Stabilization
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted

UPSTREAM = HpaConfig(target=1.0)


class Metric(Protocol):
    """What an HPA looks at; ``name`` is that of the whole rule."""

    name: str

    def reset(self, profiles: Profiles, target: Floats, tick_s: float) -> None:
        """Forget everything; ``target`` is a utilisation, ``[B, 1]``."""

    def recommend(self, sensed: Sensed, *, is_sync: bool) -> Floats:
        """Replicas that it asks for ``[B, K]``, NaN where nothing is known; called every tick."""


class HpaRule:
    """HPA per backend; ``target`` utilisation and ``down_s`` are single numbers or ``[B]``.

    ``down_s`` is the stabilisation window in which the highest recommendation counts. That on the
    way up and the scaling policies are ``config``'s, the bounds are the profiles'.
    """

    def __init__(
        self,
        target: ArrayLike,
        down_s: ArrayLike = UPSTREAM.down_stabilization_s,
        metric: Metric | None = None,
        config: HpaConfig = UPSTREAM,
    ) -> None:
        self._target = np.asarray(target, dtype=np.float64).reshape(-1)
        self._down_s = np.asarray(down_s, dtype=np.float64).reshape(-1)
        self._metric = metric or Cpu()
        self._config = config
        self.name = self._metric.name

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:  # noqa: ARG002 # the protocol's: HPA knows no price of a miss
        """Forget recommendations and samples."""
        self._profiles = profiles
        self._tick = 0
        self._sync_ticks = math.ceil(UPSTREAM.sync_s / tick_s)
        batch, backends = profiles.shape
        down_s = np.broadcast_to(self._down_s, batch)
        up_s, sync_s = self._config.up_stabilization_s, self._sync_ticks * tick_s
        self._stabilization = Stabilization(up_s, down_s, sync_s, backends)
        self._pace = Pace(self._config, sync_s)
        self._metric.reset(profiles, np.broadcast_to(self._target, batch)[:, None], tick_s)

    def act(self, sensed: Sensed) -> Wanted:
        """Sync when it is time, else want what is wanted already."""
        is_sync = self._tick % self._sync_ticks == 0
        recommendation = self._metric.recommend(sensed, is_sync=is_sync)
        replicas = self._sync(sensed.wanted, recommendation) if is_sync else sensed.wanted
        self._tick += 1
        return Wanted(replicas=replicas, weight=sensed.weight, demand_rps=sensed.rate_rps)

    def _sync(self, wanted: Floats, recommendation: Floats) -> Floats:
        stable = self._stabilization.stable(recommendation, wanted)
        replicas = self._pace.limited(stable, wanted)
        replicas = np.where(np.isfinite(recommendation), replicas, wanted)
        return np.clip(replicas, self._profiles.min_replicas, self._profiles.max_replicas)


class Rate:
    """Requests per second over ``target`` of what a replica carries (an AverageValue metric)."""

    name = "keda"

    def reset(self, profiles: Profiles, target: Floats, tick_s: float) -> None:  # noqa: ARG002 # the protocol's: a rate needs no memory
        """Take over the target."""
        self._replica_rps = target * profiles.replica_rps

    def recommend(self, sensed: Sensed, *, is_sync: bool) -> Floats:  # noqa: ARG002 # the protocol's
        """The present number within the tolerance, else as many as the rate takes."""
        needed = sensed.rate_rps / self._replica_rps
        keep = np.abs(needed / np.maximum(sensed.wanted, 1.0) - 1.0) <= UPSTREAM.tolerance
        return np.where(keep, sensed.wanted, np.ceil(needed))


class Cpu:
    """Mean busy slots of the pods that have a sample."""

    name = "hpa"

    def reset(self, profiles: Profiles, target: Floats, tick_s: float) -> None:
        """Forget what was ready."""
        self._profiles, self._target, self._tick_s = profiles, target, tick_s
        self._lag_ticks = math.ceil(float(profiles.metric_lag_s.max()) / tick_s)
        self._ready = np.zeros((0, *profiles.shape))

    def recommend(self, sensed: Sensed, *, is_sync: bool) -> Floats:
        """As upstream; see ``trimtab_agents.hpa``."""
        self._remember(sensed.ready)
        return self._recommend(sensed) if is_sync else sensed.wanted

    def _remember(self, ready: Floats) -> None:
        """Row i is what was ready i ticks ago; before the first tick, what was ready then."""
        past = self._ready[: self._lag_ticks] if len(self._ready) else [ready] * self._lag_ticks
        self._ready = np.stack([ready, *past])

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
