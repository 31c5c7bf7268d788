"""Draws what an episode of a cluster is about: its services, who calls whom, nodes, a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from trimtab_envs.episodes import Episodes, EpisodeSource
from trimtab_envs.minutes import Bools, Floats
from trimtab_envs.world import renewed
from trimtab_sim.calls import CallGraph, Stations
from trimtab_sim.cluster import Shared
from trimtab_sim.nodes import NodePools
from trimtab_sim.profile import Profiles
from trimtab_sim.traces import Trace

# Part of the clusters in which services call each other, and of the pairs that do so there.
CALLING_SHARE, CALL_SHARE = 0.6, 0.4
# Part of those who are called that have load from outside as well.
ENTERED_SHARE = 0.3
MOST_CALLS = 2.0
# What the largest service of a cluster needs for its mean load, at most.
MOST_REPLICAS = 60.0
MOST_NODES = 40.0


@dataclass(frozen=True, slots=True)
class ClusterEpisodes(Episodes):
    """Episodes of C clusters of S services; ``mean_rps`` counts calls, ``gain`` does not.

    ``profiles`` have service times with the answers that a service waits for, when nobody is
    busy; ``own`` have them without. ``budget`` and ``at_once`` ``[C]`` are the arbiter's.
    """

    own: Profiles
    shared: Shared
    budget: Floats
    at_once: Floats

    def replaced(self, clusters: Bools, other: ClusterEpisodes) -> ClusterEpisodes:
        """These with the masked clusters ``[C]`` taken from ``other``."""
        rows = np.repeat(clusters, self.shared.calls.shape[1])
        return _with(
            renewed(self, rows, other),
            own=self.own.replaced(rows, other.own),
            shared=self.shared.replaced(clusters, other.shared),
            budget=np.where(clusters, other.budget, self.budget),
            at_once=np.where(clusters, other.at_once, self.at_once),
        )


def _with(episodes: Episodes, **more: Any) -> ClusterEpisodes:
    plain = {field.name: getattr(episodes, field.name) for field in fields(Episodes)}
    return ClusterEpisodes(**plain, **more)


class ClusterSource(EpisodeSource):
    """Draws clusters of ``services`` services, with one length and one price of misses each.

    Nothing browns out there, and no backend is missing.
    """

    missing_share = 0.0

    def __init__(
        self,
        rng: np.random.Generator,
        tick_s: float,
        services: int,
        traces: Sequence[Trace] = (),
        pool: int = 512,
    ) -> None:
        super().__init__(rng, tick_s, traces, pool)
        self.services = services

    def draw(self, services: int, backends: int, needed: Bools | None = None) -> ClusterEpisodes:
        """Draw whole clusters; ``services``, of all of them, is a multiple of one's."""
        drawn, shape = super().draw(services, backends, needed), (-1, self.services)
        ticks = drawn.ticks.reshape(shape).min(1).repeat(self.services)
        size_rps = self._mean_rps(drawn, ticks)
        calls, entering_rps = self._calls(size_rps.reshape(shape))
        known = with_answers(drawn.profiles, calls)
        total_rps = CallGraph(calls).total(entering_rps)
        replicas = total_rps / known.replica_rps.mean(1).reshape(shape)
        small = np.minimum(MOST_REPLICAS / replicas.max(1, keepdims=True), 1.0)
        load = np.repeat(small * replicas, backends, axis=1) / backends
        budget, at_once = self._ration(load * known.price.reshape(load.shape))
        own = drawn.profiles
        return _with(
            replace(
                drawn,
                profiles=known,
                miss_price=drawn.miss_price.reshape(shape)[:, 0].repeat(self.services),
                ticks=ticks,
                gain=drawn.gain * (small * entering_rps).ravel() / size_rps,
                mean_rps=(small * total_rps).ravel(),
                slower=np.ones_like(drawn.slower),
            ),
            own=replace(known, service_time_s=own.service_time_s, service_scv=own.service_scv),
            shared=Shared(self._pools(load, backends), calls),
            budget=budget,
            at_once=at_once,
        )

    def _mean_rps(self, drawn: Episodes, ticks: Floats) -> Floats:
        """Mean load over ``ticks``, which are fewer than were drawn, ``[B]``."""
        spans = zip(drawn.row, drawn.start, ticks, strict=True)
        means = [float(self.pool[row, start : start + count].mean()) for row, start, count in spans]
        return np.maximum(means, 1e-3) * drawn.gain

    def _calls(self, size_rps: Floats) -> tuple[Floats, Floats]:
        """Who calls whom how often ``[C, S, S]``, and what enters from outside ``[C, S]``.

        Each call brings its callee at most the load that it was drawn with.
        """
        rng, (clusters, services) = self._rng, size_rps.shape
        edges = np.triu(rng.random((clusters, services, services)) < CALL_SHARE, 1)
        edges &= rng.random((clusters, 1, 1)) < CALLING_SHARE
        part = np.exp(rng.uniform(np.log(0.2), 0.0, edges.shape))
        entered = ~edges.any(1) | (rng.random(size_rps.shape) < ENTERED_SHARE)
        entering, calls = size_rps * entered, np.zeros(edges.shape)
        for caller in range(services):
            rate = CallGraph(calls).total(entering)[:, caller, None]
            often = np.minimum(part[:, caller] * size_rps / rate, MOST_CALLS)
            calls[:, caller] = edges[:, caller] * often
        return calls, entering

    def _pools(self, load: Floats, backends: int) -> NodePools:
        """Nodes for 1.5 to 5 times the mean ``load`` ``[C, S · K]``, in replicas."""
        rng, (clusters, kinds) = self._rng, load.shape

        def between(low: float, high: float, columns: int = 1) -> Floats:
            return np.exp(rng.uniform(np.log(low), np.log(high), (clusters, columns)))

        cpu = np.repeat(between(0.25, 4.0, kinds // backends), backends, axis=1)
        needed = (load * cpu).sum(1, keepdims=True) * between(1.5, 5.0)
        node_cpu = np.maximum(cpu.max(1, keepdims=True) * between(1.5, 8.0), needed / MOST_NODES)
        return NodePools(
            node_cpu=node_cpu[:, 0],
            min_nodes=np.ones(clusters),
            max_nodes=np.ceil(needed / node_cpu)[:, 0] + 1.0,
            provision_mean_s=between(20.0, 300.0)[:, 0],
            provision_cv=np.full(clusters, 0.3),
            idle_s=np.full(clusters, 600.0),
            replica_cpu=cpu,
        )

    def _ration(self, bill: Floats) -> tuple[Floats, Floats]:
        """Budget and services at once; ``bill`` ``[C, S · K]`` is what the mean load costs."""
        rng, clusters = self._rng, len(bill)
        part = np.exp(rng.uniform(np.log(0.3), np.log(3.0), clusters))
        at_once = rng.integers(1, self.services + 1, clusters).astype(np.float64)
        return np.maximum(part * bill.sum(1), 2.0), at_once


def with_answers(own: Profiles, calls: Floats) -> Profiles:
    """``own`` profiles with the answers that services wait for in their service times.

    SLOs and time-outs are as many service times long as they were.
    """
    shape = calls.shape[:2]
    time_s, square = own.service_time_s, own.service_time_s**2 * (1.0 + own.service_scv)
    mean_s = time_s.mean(1).reshape(shape)
    variance = square.mean(1).reshape(shape) - mean_s**2
    none, some = np.zeros(shape), np.ones(shape)
    resting = Stations(some, some, mean_s, variance, none, none, none)
    answer_s, answer_variance = CallGraph(calls).answers(resting, none)
    longer = (1.0 + answer_s / mean_s).ravel()
    held_s = time_s + answer_s.reshape(-1, 1)
    spread = own.service_scv * time_s**2 + answer_variance.reshape(-1, 1)
    return replace(
        own,
        slo_latency_s=own.slo_latency_s * longer,
        timeout_s=own.timeout_s * longer,
        service_time_s=held_s,
        service_scv=spread / held_s**2,
    )
