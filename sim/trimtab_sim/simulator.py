"""The cluster model: B services at once, each with K backends, one tick at a time.

A tick scales, splits Poisson arrivals over the backends by weight, lets the queues move and
shows what a metrics pipeline would show of it. ``replicas`` and ``queues`` hold the two halves
of the physics, ``failures`` what befalls them, ``sensing`` the pipeline; this module is the order
in which they meet.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.compiled import compiled
from trimtab_sim.failures import Failures
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.queues import Queues
from trimtab_sim.replicas import Replicas
from trimtab_sim.retries import Retries
from trimtab_sim.sensing import Metrics
from trimtab_sim.signals import Sensed
from trimtab_sim.slow import Slow

Rows = NDArray[np.bool_]
# Means that a normal distribution stands for, and so few draws that they are made one by one.
_MANY = 256.0
_A_FEW = 8


class Tick(NamedTuple):
    """What happened in one tick, and what can be seen after it.

    requests, misses: ``[B]``, misses being expected numbers (not whole); those that fail with
    their replica count when they fail, so that there may be more misses than requests;
    billed_s: replica-seconds starting, ready and draining, ``[B, K]``;
    started, stopped: replicas that the tick's scaling started, and cancelled or drained.
    """

    requests: Floats
    misses: Floats
    billed_s: Floats
    started: Floats
    stopped: Floats
    sensed: Sensed


class Simulator:
    """B services of ``profiles``, advanced by ticks of ``tick_s`` seconds.

    Everything random is drawn from ``rng``: the same seed gives the same rollout.
    """

    def __init__(self, profiles: Profiles, tick_s: float, rng: np.random.Generator) -> None:
        if not tick_s > 0.0:
            raise ValueError(f"tick_s must be above 0, got {tick_s}")
        profiles.check()
        # Own copies, because rows are replaced when a service restarts with another profile.
        self._profiles = _copy(profiles)
        self._tick_s = tick_s
        # Streams of their own, so that policies compared on one seed meet the same arrivals.
        self._rng, startups, services = rng.spawn(3)
        self._replicas = Replicas(self._profiles, tick_s, startups)
        self._queues = Queues(self._profiles, tick_s, services)
        self._retries = Retries(self._profiles, tick_s)
        # Spawned from one of these, so that what the caller spawns next stays the same.
        sensing, failures, slow = self._rng.spawn(3)
        self._metrics = Metrics(self._profiles, tick_s, sensing)
        # Both also for those who make things happen at a moment of their choice, between ticks.
        self.slow = Slow(self._profiles, tick_s, slow)
        self.failures = Failures(self._profiles, tick_s, self._replicas, self._queues, failures)
        self._ticks = np.zeros(profiles.shape[0])
        self._weight = np.zeros(profiles.shape)
        # Requests in service and waiting, mean of the last tick, as they are.
        self.in_flight = np.zeros(profiles.shape)
        # For what a tick computes on the way, ``[B, K]`` each.
        self._between = tuple(np.empty((6, *profiles.shape)))
        # Sums over backends as a product: NumPy is slow to sum a short last axis.
        self._ones = np.ones(profiles.shape[1])

    def reset(
        self,
        replicas: Floats,
        weight: Floats,
        rows: Rows | None = None,
        profiles: Profiles | None = None,
    ) -> Sensed:
        """Start services with ``replicas`` ready ``[B, K]`` and empty queues.

        ``rows`` ``[B]`` restarts only these; ``profiles``, of the same shape, replaces the
        profiles of the restarted rows. Rows that do not restart ignore all arguments.
        Metrics are NaN until the first sample has been taken, and is as old as the lag.
        """
        rows = np.ones(len(self._ticks), dtype=np.bool_) if rows is None else rows
        if profiles is not None:
            profiles.check()
            self._adopt(profiles, rows)
        self._replicas.restart(rows, np.asarray(replicas, dtype=np.float64))
        self._queues.restart(rows)
        self.slow.restart(rows, self._replicas.ready)
        self._retries.restart(rows)
        self._metrics.restart(rows)
        self.failures.restart(rows)
        self._ticks[rows] = 0.0
        self._weight[rows] = self._share(np.asarray(weight, dtype=np.float64))[rows]
        return self._sense()

    def _adopt(self, profiles: Profiles, rows: Rows) -> None:
        if profiles.shape != self._profiles.shape:
            raise ValueError(f"profiles are {profiles.shape}, expected {self._profiles.shape}")
        for field in fields(Profiles):
            getattr(self._profiles, field.name)[rows] = getattr(profiles, field.name)[rows]
        self._replicas.adopt(self._profiles)
        self._queues.adopt(self._profiles, rows)
        self.slow.adopt(self._profiles, rows)
        self._retries.adopt(self._profiles)
        self._metrics.adopt(self._profiles)
        self.failures.adopt(self._profiles)

    def adopt(self, profiles: Profiles, rows: Rows | None = None) -> None:
        """Services change under way, as when a zone browns out: what runs and waits stays.

        ``rows`` ``[B]`` are those that change; by default all.
        """
        self._adopt(profiles, np.ones(len(self._ticks), dtype=np.bool_) if rows is None else rows)

    def step(self, rate_rps: Floats, wanted: Floats, weight: Floats) -> Tick:
        """Let one tick pass.

        rate_rps: offered load over this tick ``[B]``; wanted: replicas ``[B, K]``, rounded and
        clipped to the profile's limits; weight: route weights ``[B, K]``, normalised.
        ``ValueError`` for a rate or a number of replicas that is NaN, or for other shapes.
        """
        wanted = np.asarray(wanted, dtype=np.float64)
        if (rate_rps.shape, wanted.shape) != (self._ticks.shape, self._weight.shape):
            raise ValueError(
                f"rate_rps is {rate_rps.shape} and wanted {wanted.shape}; "
                f"they must be {self._ticks.shape} and {self._weight.shape}"
            )
        if not _known(rate_rps, wanted):
            raise ValueError("rate_rps and wanted must be numbers, and hold NaN")
        self.failures.tick()
        started, stopped = self._scale(wanted)
        ready, billed_s = self._land()
        self._weight = self._share(weight)
        requests, misses = self._serve(rate_rps, ready)
        self._ticks += 1.0
        return Tick(requests, misses, billed_s, started, stopped, self._sense())

    def _scale(self, wanted: Floats) -> tuple[Floats, Floats]:
        """Start, cancel and drain replicas; how many start, and how many stop."""
        replicas = self._replicas
        starts, stops, leaving = replicas.scale(wanted)
        if leaving is not None:
            rows = np.flatnonzero(leaving)
            gone = leaving.ravel()[rows]
            hold_s = self._queues.release(rows, replicas.ready.ravel()[rows], gone)
            replicas.drain(rows, gone, hold_s)
        return starts, stops

    def _land(self) -> tuple[Floats, Floats]:
        """Mean number of ready replicas over this tick, and seconds billed."""
        old = self._replicas.ready.copy()
        landed, ready, billed_s, any_landed = self._replicas.tick()
        if any_landed:
            self._queues.join(old, landed)
        self.slow.follow(old, landed)
        return ready, billed_s

    def _serve(self, rate_rps: Floats, ready: Floats) -> tuple[Floats, Floats]:
        """Let a tick's requests come to ``ready`` replicas; how many came, and how many missed."""
        offered, mean, answered = self._between[:3]
        _offer(
            rate_rps, self._weight, ready, self._profiles.error_share, self._tick_s,
            offered, mean, answered,
        )  # fmt: skip
        arrived = _poisson(self._rng, mean)
        lost = self.failures.settle()
        if not self._retries.active:
            return self._queue(arrived, offered, answered, ready, lost)[:2]
        requests = arrived @ self._ones
        retries, queues, sent = self._retries, self._queues, self._weight * answered
        again = retries.come(requests, lost, sent, ready, queues)[:, None] * self._weight
        arrived, offered = arrived + again, offered + again / self._tick_s
        *_, late = self._queue(arrived, offered, answered, ready, lost)
        return requests, retries.settle(late, lost, sent, ready, queues)

    def _queue(
        self, arrived: Floats, offered: Floats, answered: Floats, ready: Floats, lost: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """All requests, those missed, ``lost`` ones with them, and share late of the answered."""
        served, failed, rate_rps = self._between[3:]
        _answer(arrived, offered, answered, served, failed, rate_rps)
        late, self.in_flight = self._tick_queues(served, rate_rps, ready)
        requests, missed, share = np.empty(len(lost)), np.empty(len(lost)), np.empty(len(lost))
        _miss(arrived, failed, served, late, lost, requests, missed, share)
        self._metrics.record(arrived, failed, self.in_flight, missed)
        return requests, missed, share

    def _tick_queues(
        self, served: Floats, rate_rps: Floats, ready: Floats
    ) -> tuple[Floats, Floats]:
        """Late requests and the mean number in the system, ``[B, K]``."""
        queues, slow = self._queues, self.slow
        if not slow.possible:
            return queues.tick(served, rate_rps, ready)
        share = slow.share(rate_rps, ready, queues.waiting)
        fast = np.maximum(ready - slow.count, 0.0)
        late, inside = queues.tick(served * (1.0 - share), rate_rps * (1.0 - share), fast)
        late_slow, inside_slow = slow.tick(served * share, rate_rps * share)
        return late + late_slow, inside + inside_slow

    def _share(self, weight: Floats) -> Floats:
        """Weights that sum to 1; a route whose weights sum to 0 is refused, as Envoy does."""
        if weight.shape != self._weight.shape:
            raise ValueError(f"weight is {weight.shape}; it must be {self._weight.shape}")
        share = self._weight.copy()
        _normalise(weight, self._profiles.present, share)
        return share

    def _sense(self) -> Sensed:
        replicas = self._replicas
        rate_rps, in_flight, error_share, miss_share, age_s = self._metrics.read()
        return Sensed(
            time_s=self._ticks * self._tick_s,
            age_s=age_s,
            miss_share=miss_share,
            rate_rps=rate_rps,
            in_flight=in_flight,
            error_share=error_share,
            wanted=replicas.wanted.copy(),
            starting=replicas.starting.copy(),
            ready=replicas.ready.copy(),
            draining=replicas.draining.copy(),
            weight=self._weight.copy(),
        )


def _copy(profiles: Profiles) -> Profiles:
    return Profiles(**{f.name: getattr(profiles, f.name).copy() for f in fields(Profiles)})


@compiled
def _known(rate_rps: Floats, wanted: Floats) -> bool:
    """Whether all are numbers."""
    return not math.isnan(rate_rps.sum() + wanted.sum())


@compiled
def _normalise(weight: Floats, present: Rows, share: Floats) -> None:
    for b in range(len(weight)):
        total = 0.0
        for k in range(weight.shape[1]):
            total += weight[b, k] * present[b, k]
        if total > 0.0:
            for k in range(weight.shape[1]):
                share[b, k] = weight[b, k] * present[b, k] / total


@compiled
def _offer(
    rate_rps: Floats,
    weight: Floats,
    ready: Floats,
    error_share: Floats,
    tick_s: float,
    offered: Floats,
    mean: Floats,
    answered: Floats,
) -> None:
    """Rates and mean requests of a tick, and the share of them that is not failed at once."""
    for b in range(len(rate_rps)):
        for k in range(weight.shape[1]):
            offered[b, k] = rate_rps[b] * weight[b, k]
            mean[b, k] = offered[b, k] * tick_s
            # A backend without a ready replica answers 503; errors take no time either.
            answered[b, k] = min(ready[b, k], 1.0) * (1.0 - error_share[b, k])


@compiled
def _answer(
    arrived: Floats,
    offered: Floats,
    answered: Floats,
    served: Floats,
    failed: Floats,
    rate_rps: Floats,
) -> None:
    """How many requests are served and how many fail at once, and the rate of the former."""
    for b in range(arrived.shape[0]):
        for k in range(arrived.shape[1]):
            served[b, k] = arrived[b, k] * answered[b, k]
            failed[b, k] = arrived[b, k] - served[b, k]
            rate_rps[b, k] = offered[b, k] * answered[b, k]


@compiled
def _miss(
    arrived: Floats,
    failed: Floats,
    served: Floats,
    late: Floats,
    lost: Floats,
    requests: Floats,
    missed: Floats,
    share: Floats,
) -> None:
    """All ``requests``, those ``missed``, and the ``share`` of those served that are late."""
    for b in range(len(lost)):
        all_late = all_missed = all_served = all_arrived = 0.0
        for k in range(late.shape[1]):
            all_late += late[b, k]
            all_missed += late[b, k] + failed[b, k]
            all_served += served[b, k]
            all_arrived += arrived[b, k]
        requests[b] = all_arrived
        missed[b] = min(all_missed, all_arrived) + lost[b]
        share[b] = all_late / max(all_served, 1e-9)


def _poisson(rng: np.random.Generator, mean: Floats) -> Floats:
    """Poisson counts; from ``_MANY`` on by the normal distribution, ten times as fast there."""
    counts, few = np.empty(mean.shape), np.empty(mean.size, dtype=np.intp)
    noise = rng.standard_normal(mean.shape)
    number = _round(mean.ravel(), noise.ravel(), counts.ravel(), few)
    if number:
        rows = few[:number]
        low = mean.ravel()[rows]
        # NumPy takes longer to look at an array than to draw for one mean.
        drawn = rng.poisson(low) if number > _A_FEW else list(map(rng.poisson, low.tolist()))
        counts.ravel()[rows] = drawn
    return counts


@compiled
def _round(mean: Floats, noise: Floats, counts: Floats, few: NDArray[np.intp]) -> int:
    """Normal counts, and how many means are too small for these, and which."""
    number = 0
    for i in range(len(mean)):
        counts[i] = max(np.rint(mean[i] + math.sqrt(mean[i]) * noise[i]), 0.0)
        if mean[i] < _MANY:
            few[number] = i
            number += 1
    return number
