"""Draws what an episode is about: a service profile, a price of misses, a load.

Drawn wide, because the policy has to serve services and loads that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.minutes import Bools
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.traces import Trace
from trimtab_sim.workloads import random_workloads

# Part of the drawn services that look like the benchmark's: 4 slots, 50 ms, 300 ms.
TYPICAL_SHARE = 0.5
TRACE_SHARE = 0.4
# Real loads keep to the clock's minutes; stretched ones do not.
UNSTRETCHED_SHARE = 0.6
# Of services with several backends: those in which one becomes slow, for part of the time.
BROWN_OUT_SHARE = 0.5
LEAST_SLOWER, MOST_SLOWER = 1.5, 15.0
# Of backends beside the first: those whose replicas are limited, to part of the load.
LIMITED_SHARE = 0.3
# Of backends beyond the second: those that are missing.
MISSING_SHARE = 0.5
# Of backends beside the first: those that are as fast.
ALIKE_SHARE = 0.5
LONGEST_S = 8 * 3600.0
SHORTEST_S = 1800.0


def _log_uniform(
    rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]
) -> Floats:
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), shape)))


def random_profiles(
    rng: np.random.Generator, services: int, backends: int, missing_share: float = 0.0
) -> Profiles:
    """Profiles of ``services`` x ``backends`` drawn over what is seen in the field.

    Backends of a service differ in start-up and price, half of them in speed; of those beyond
    the second, ``missing_share`` are missing.
    """
    one, all_ = (services, 1), (services, backends)
    typical = rng.random(one) < TYPICAL_SHARE
    place = np.arange(backends)
    present = (place < 2) | (rng.random(all_) >= missing_share)

    def same(value: float, drawn: Floats) -> Floats:
        return np.where(present, np.where(typical, value, drawn), 1.0)

    service_time = same(0.05, _log_uniform(rng, 0.01, 1.0, one))
    slo = np.where(typical[:, 0], 6.0, _log_uniform(rng, 3.0, 20.0, services)) * service_time[:, 0]
    alike = (place == 0) | (rng.random(all_) < ALIKE_SHARE) | ~present
    return Profiles(
        slo_latency_s=slo,
        slo_share=np.full(services, 0.99),
        timeout_s=np.maximum(10.0, 5.0 * slo),
        metric_lag_s=rng.choice([0.0, 5.0, 15.0, 30.0], services),
        concurrency=same(4.0, np.round(_log_uniform(rng, 1.0, 16.0, one))),
        service_time_s=service_time * np.where(alike, 1.0, _log_uniform(rng, 0.5, 2.5, all_)),
        service_scv=same(1.0, _log_uniform(rng, 0.25, 4.0, one)),
        startup_mean_s=_log_uniform(rng, 5.0, 300.0, all_),
        startup_cv=np.full(all_, 0.2),
        price=np.where((place == 0) | ~present, 1.0, rng.uniform(0.3, 1.2, all_)),
        min_replicas=np.where(present, 1.0, 0.0),
        max_replicas=np.where(present, 400.0, 0.0),
        present=present,
    )


@dataclass(frozen=True, slots=True)
class Episodes:
    """What a number of new episodes are about; rates are requests per second.

    ``row``, ``start`` point into the load pool, ``gain`` ``[B]`` scales it to ``mean_rps``
    over the ``ticks`` that the episode lasts. ``slower`` ``[B, K]`` is how many times longer each
    backend takes, unknown to anybody, from tick ``slow_from`` to ``slow_to``.
    """

    profiles: Profiles
    miss_price: Floats
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    ticks: NDArray[np.int64]
    gain: Floats
    mean_rps: Floats
    slower: Floats
    slow_from: NDArray[np.int64]
    slow_to: NDArray[np.int64]


class EpisodeSource:
    """A pool of loads, composed and real, from which episodes are cut at random."""

    missing_share = MISSING_SHARE

    def __init__(
        self, rng: np.random.Generator, tick_s: float, traces: Sequence[Trace] = (), pool: int = 512
    ) -> None:
        self._rng = rng
        self._length = int(LONGEST_S / tick_s)
        self._tick_s = tick_s
        self.pool = random_workloads(rng, pool, self._length, tick_s).astype(np.float32)
        for row in np.flatnonzero(rng.random(pool) < TRACE_SHARE) if traces else ():
            self.pool[row] = self._cut(traces[int(rng.integers(len(traces)))])

    def _cut(self, trace: Trace) -> Floats:
        """A piece of a real trace, stretched in time, repeated when it is short, mean 1."""
        stretch = float(_log_uniform(self._rng, 0.5, 2.0, 1)[0])
        if self._rng.random() < UNSTRETCHED_SHARE:
            stretch = 1.0
        rates = Trace(trace.name, trace.step_s * stretch, trace.rate_rps).rates(self._tick_s)
        start = self._rng.integers(max(1, len(rates) - self._length))
        piece = np.resize(rates[start:], self._length)
        return np.asarray(piece / max(float(piece.mean()), 1e-9))

    def draw(self, services: int, backends: int, needed: Bools | None = None) -> Episodes:
        """Draw ``services`` new episodes; every call consumes the same amount of randomness.

        Only where they are ``needed`` ``[services]`` have the loads their size: that is dear.
        """
        rng = self._rng
        profiles = random_profiles(rng, services, backends, self.missing_share)
        row = rng.integers(len(self.pool), size=services)
        ticks = (_log_uniform(rng, SHORTEST_S, LONGEST_S, services) / self._tick_s).astype(np.int64)
        start = (rng.random(services) * (self._length - ticks + 1)).astype(np.int64)
        mean = np.ones(services)
        for i in range(services) if needed is None else np.flatnonzero(needed):
            cut = self.pool[row[i], start[i] : start[i] + ticks[i]]
            mean[i] = max(float(cut.mean()), 0.1)
        replicas = _log_uniform(rng, 0.7, 60.0, services)
        mean_rps = replicas * profiles.replica_rps[:, 0]
        slow_from, slow_to = np.sort(rng.random((2, services)) * ticks, axis=0).astype(np.int64)
        return Episodes(
            profiles=_limited(rng, profiles, mean_rps),
            miss_price=_log_uniform(rng, 5.0, 500.0, services),
            row=row,
            start=start,
            ticks=ticks,
            gain=mean_rps / mean,
            mean_rps=mean_rps,
            slower=_slower(rng, services, backends),
            slow_from=slow_from,
            slow_to=slow_to,
        )


def _limited(rng: np.random.Generator, profiles: Profiles, mean_rps: Floats) -> Profiles:
    """The same, some backends beside the first unable to carry the mean load."""
    part = rng.uniform(0.1, 1.0, profiles.shape)
    limit = np.ceil(part * mean_rps[:, None] / profiles.replica_rps)
    limited = (rng.random(profiles.shape) < LIMITED_SHARE) & (np.arange(profiles.shape[1]) > 0)
    most = np.where(limited, np.minimum(limit, profiles.max_replicas), profiles.max_replicas)
    return replace(profiles, max_replicas=most)


def _slower(rng: np.random.Generator, services: int, backends: int) -> Floats:
    factor = _log_uniform(rng, LEAST_SLOWER, MOST_SLOWER, services)
    hit = (rng.random(services) < BROWN_OUT_SHARE) & (backends > 1)
    where = rng.integers(backends, size=services)[:, None] == np.arange(backends)
    return np.where(where & hit[:, None], factor[:, None], 1.0)
