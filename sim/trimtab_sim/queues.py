"""Requests in the replicas' queues: how many wait, and how many will be late.

Each backend is one reflected Brownian motion: the number waiting moves with what arrived and
what could be served in the tick, and is pushed back at a level below zero, the cushion of
idle slots. Its drift and variance are those of the queue, and the cushion is chosen so that
the stationary probability of waiting is the Sakasegawa/Allen-Cunneen one. So the same three
lines give the steady state, overload, and the way back, and they are exact for any tick: the
end of a Brownian path and its minimum are drawn from their joint law.

Queues live in the replicas. When replicas become ready while others hold a queue, the old
ones are ``stuck`` with it: Envoy's least-of-two sends them a request only when both draws
hit them, the share (old / all)^2, and what they hold does not move.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.service_time import LateShare
from trimtab_sim.waiting import Waiting

_EMPTY = -1e9
_NO_CAPACITY_RPS = 1e-9
# Past this the stationary state is never reached within a tick, and its weight is 0.
_MAX_UTILISATION = 1.0 - 1e-6


class Queues:
    """Waiting requests ``[B, K]`` and the share of arrivals that they make late."""

    def __init__(self, profiles: Profiles, tick_s: float, rng: np.random.Generator) -> None:
        self._tick_s = tick_s
        self._rng = rng
        self._late = LateShare(profiles.shape)
        self._wait = Waiting(profiles.shape)
        self.level = np.full(profiles.shape, _EMPTY)
        self.stuck = np.zeros(profiles.shape)
        self.stuck_replicas = np.zeros(profiles.shape)
        self.doomed = np.zeros(profiles.shape)
        self.adopt(profiles, np.ones(profiles.shape[0], dtype=np.bool_))

    def adopt(self, profiles: Profiles, rows: NDArray[np.bool_]) -> None:
        """Take over the service times and SLOs of ``rows``."""
        self._slots = profiles.concurrency
        self._service_s = profiles.service_time_s
        self._replica_rps = profiles.replica_rps
        self._scv = profiles.service_scv
        self._half = (1.0 + profiles.service_scv) / 2.0
        self._slo_s = np.broadcast_to(profiles.slo_latency_s[:, None], profiles.shape)
        self._timeout_s = profiles.timeout_s[:, None]
        flat = np.flatnonzero(np.repeat(rows, profiles.shape[1]))
        slo_over_mean = (self._slo_s / self._service_s).ravel()[flat]
        slots, service_s, scv = (
            column.ravel()[flat] for column in (self._slots, self._service_s, self._scv)
        )
        self._late.fill(flat, slo_over_mean, scv)
        self._wait.fill(flat, slots, service_s, scv)

    def restart(self, rows: NDArray[np.bool_]) -> None:
        """Empty every queue of ``rows``."""
        self.level[rows] = _EMPTY
        self.stuck[rows] = self.stuck_replicas[rows] = self.doomed[rows] = 0.0

    @property
    def waiting(self) -> Floats:
        """Requests waiting in replicas that are not stuck."""
        return np.asarray(np.maximum(self.level, 0.0))

    def release(self, ready: Floats, leaving: Floats) -> Floats:
        """Hand the queue of ``leaving`` replicas to them, those with the least queue first.

        Returns the mean time for which each of them still works, seconds.
        """
        free = np.maximum(ready - self.stuck_replicas, 0.0)
        from_free = np.minimum(leaving, free)
        from_stuck = leaving - from_free
        taken = self.waiting * from_free / np.maximum(free, 1.0)
        taken_stuck = self.stuck * from_stuck / np.maximum(self.stuck_replicas, 1.0)
        self.level = np.where(taken > 0.0, self.level - taken, self.level)
        self.stuck -= taken_stuck
        self.stuck_replicas -= from_stuck
        queue_s = (taken + taken_stuck) / (np.maximum(leaving, 1.0) * self._replica_rps)
        return queue_s + self._residual_s()

    def _residual_s(self) -> Floats:
        """Mean time until the last of a replica's slots is done, were all of them busy."""
        # log1p(e^gamma · k) is the k-th harmonic number to 2 %.
        return self._service_s * self._half * np.log1p(1.781 * self._slots)

    def join(self, before: Floats, landed: Floats) -> None:
        """``landed`` replicas become ready beside ``before`` ones that may hold a queue."""
        waiting = self.waiting
        free = np.maximum(before - self.stuck_replicas, 1.0)
        deep = (landed > 0.0) & (waiting > free)
        level = waiting / free >= 0.5 * self.stuck / np.maximum(self.stuck_replicas, 1.0)
        grown = deep & level
        self.stuck = np.where(grown, self.stuck + waiting, self.stuck)
        self.stuck_replicas = np.where(grown, before, self.stuck_replicas)
        self.level = np.where(grown, _EMPTY, self.level)

    def tick(self, arrived: Floats, rate_rps: Floats, ready: Floats) -> tuple[Floats, Floats]:
        """Let one tick pass; returns late requests and the mean number in the system.

        arrived: requests that came; rate_rps: the rate they were drawn from; ready: replicas,
        averaged over the tick. All ``[B, K]``.
        """
        late, held = np.zeros_like(arrived), np.zeros_like(arrived)
        busy = np.minimum(arrived / self._tick_s * self._service_s, ready * self._slots)
        if self.stuck_replicas.any():
            share, late, held = self._tick_stuck(arrived, rate_rps, ready)
            arrived, rate_rps = arrived * (1.0 - share), rate_rps * (1.0 - share)
            ready = ready - self.stuck_replicas
        late_free, waiting = self._tick_free(arrived, rate_rps, ready)
        if self.stuck_replicas.any():
            self._merge(ready)
        return late + late_free, busy + waiting + held + self.doomed

    def _tick_free(self, arrived: Floats, rate: Floats, ready: Floats) -> tuple[Floats, Floats]:
        tick_s = self._tick_s
        capacity = np.maximum(ready * self._replica_rps, _NO_CAPACITY_RPS)
        rho = np.minimum(rate / capacity, _MAX_UTILISATION)
        rho = np.maximum(rho, 1e-9)
        log_rho = np.log(rho)
        # Waiting requests are exponential with this mean, given that there are any.
        mean_if_any = rho / (1.0 - rho) * self._half
        exponent, p_wait, imbalance_s = self._wait.at(ready, rho)
        cushion = -exponent * log_rho * mean_if_any
        carried = rho * capacity
        start = np.maximum(self.level, -cushion)
        end = self._brownian_end(start + cushion, arrived, carried, capacity) - cushion
        limit = capacity * self._timeout_s
        self._drop(np.maximum(end - limit, 0.0))
        self.level = np.minimum(end, limit)

        x0, x1 = np.maximum(start, 0.0), np.maximum(self.level, 0.0)
        steady = np.exp(exponent * log_rho) * mean_if_any
        apart = imbalance_s * carried
        spare = np.maximum(capacity - rate, 1e-6 * capacity)
        # How much of the tick is a transient; the rest of it is the steady state.
        backlog = np.maximum(x0 - 3.0 * mean_if_any, 0.0)
        relax_s = 2.0 * self._half * carried / (spare * spare) + backlog / spare
        transient = np.minimum(relax_s / tick_s, 1.0)

        per_slo = 1.0 / (self._slo_s * capacity)
        at_rest = self._late.when_exponential(p_wait, p_wait * rho / ((steady + apart) * per_slo))
        w0, w1 = (x0 + self._half * (x0 > 0.0)) * per_slo, (x1 + self._half * (x1 > 0.0)) * per_slo
        spread = 2.0 * apart * per_slo
        moving = self._late.along(np.minimum(w0, w1), np.maximum(w0, w1) + spread)
        late = arrived * (at_rest + transient * (moving - at_rest))
        waiting = steady + transient * (0.5 * (x0 + x1) - steady) + apart
        return late, waiting

    def _brownian_end(
        self, start: Floats, arrived: Floats, carried: Floats, capacity: Floats
    ) -> Floats:
        """End of a path from ``start`` >= 0, reflected at 0, whose net input is known."""
        noise = self._rng.standard_normal(start.shape)
        served = capacity * self._tick_s + np.sqrt(self._scv * carried * self._tick_s) * noise
        net = arrived - served
        variance = 2.0 * self._half * carried * self._tick_s
        draw = self._rng.standard_exponential(start.shape)
        above_minimum = 0.5 * (net + np.sqrt(net * net + 2.0 * variance * draw))
        return np.maximum(start + net, above_minimum)

    def _drop(self, count: Floats) -> None:
        """Requests that will time out stay in the queue, unserved, until they do."""
        self.doomed += count
        self.doomed -= self.doomed * np.minimum(self._tick_s / self._timeout_s, 1.0)

    def _tick_stuck(
        self, arrived: Floats, rate: Floats, ready: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """The old replicas' part: their share of arrivals, the late ones, the mean queue."""
        old = self.stuck_replicas
        fraction = old / np.maximum(ready, 1e-9)
        new = np.maximum(ready - old, 1e-3)
        share = fraction * fraction
        down = self._replica_rps - rate * share / np.maximum(old, 1.0)
        up = np.maximum(rate * (1.0 - share) / new - self._replica_rps, 0.0)
        gap = self.stuck / np.maximum(old, 1.0) - self.waiting / new
        level_s = gap / np.maximum(down + up, 1e-9)
        apart = np.clip(level_s / self._tick_s, 0.0, 1.0)
        share = fraction + apart * (share - fraction)
        capacity = np.maximum(old * self._replica_rps, _NO_CAPACITY_RPS)
        inflow = arrived * share
        end = np.maximum(self.stuck + inflow - capacity * self._tick_s, 0.0)
        slo_load = capacity * self._slo_s
        late = self._late.along(
            np.minimum(self.stuck, end) / slo_load, np.maximum(self.stuck, end) / slo_load
        )
        held = 0.5 * (self.stuck + end)
        self.stuck = np.minimum(end, capacity * self._timeout_s) * (old > 0.0)
        return share, inflow * late, held

    def _merge(self, new: Floats) -> None:
        """Old and new replicas are one group again once their queues are level."""
        old = self.stuck_replicas
        waiting = self.waiting
        level = (self.stuck <= old) | (self.stuck * new <= waiting * old)
        both = waiting + self.stuck
        self.level = np.where(level & (both > 0.0), both, self.level)
        self.stuck = np.where(level, 0.0, self.stuck)
        self.stuck_replicas = np.where(level, 0.0, old)
