"""Clusters of services that share nodes and call each other, one tick at a time.

Stepped like a ``Simulator`` of all their services, rows of one cluster after another, and built
around one: before its tick the nodes decide which of the wanted replicas may start (``nodes``),
and the calls what load and what service time each service has (``calls``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.calls import CallGraph, Flow, Stations
from trimtab_sim.nodes import NodePools, Nodes
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator, Tick

Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the S services of each of C clusters share: nodes, and ``calls`` ``[C, S, S]``.

    The pools' kinds of replica are service by service their K backends, so R = S · K.
    """

    pools: NodePools
    calls: Floats

    def replaced(self, rows: Rows, other: Shared) -> Shared:
        """This with the masked clusters ``[C]`` taken from ``other``."""
        calls = np.where(rows[:, None, None], other.calls, self.calls)
        return Shared(self.pools.replaced(rows, other.pools), calls)


class Cluster:
    """C clusters of S services; ``profiles`` are those of all C · S services, cluster by cluster.

    The profiles' service times are without the answers that a service waits for.
    """

    def __init__(
        self, profiles: Profiles, shared: Shared, tick_s: float, rng: np.random.Generator
    ) -> None:
        clusters, services = shared.calls.shape[:2]
        if profiles.shape[0] != clusters * services:
            raise ValueError(
                f"{profiles.shape[0]} profiles for {clusters} clusters of {services} services"
            )
        kinds = (clusters, services * profiles.shape[1])
        if shared.pools.replica_cpu.shape != kinds:
            found = shared.pools.replica_cpu.shape
            raise ValueError(f"pools are for replicas {found}; the profiles have {kinds}")
        physics, provisioning = rng.spawn(2)
        self._tick_s = tick_s
        self._profiles = profiles
        self._simulator = Simulator(_scalable(profiles), tick_s, physics)
        self._wanted = np.zeros(profiles.shape)
        self.nodes = Nodes(shared.pools, tick_s, provisioning)
        self._shared = shared
        self._graph = CallGraph(shared.calls)
        self._wait_s = np.zeros((clusters, services))
        self._in_flight = np.zeros((clusters, services))
        self._seen: Sensed | None = None

    def reset(
        self,
        replicas: Floats,
        weight: Floats,
        rows: Rows | None = None,
        profiles: Profiles | None = None,
        shared: Shared | None = None,
    ) -> Sensed:
        """As ``Simulator.reset``, for whole clusters: ``rows`` are their services' rows.

        ``shared`` replaces what the restarted clusters share. What their nodes cannot hold of
        ``replicas`` is pending.
        """
        rows = np.ones(len(self._profiles.present), dtype=np.bool_) if rows is None else rows
        by_cluster = rows.reshape(self._wait_s.shape)
        clusters = np.asarray(by_cluster.all(1))
        if (by_cluster.any(1) != clusters).any():
            raise ValueError("rows must be those of whole clusters")
        if shared is not None:
            self._shared = self._shared.replaced(clusters, shared)
            self._graph = CallGraph(self._shared.calls)
        if profiles is not None:
            self._profiles = self._profiles.replaced(rows, profiles)
        pools = self._shared.pools
        running = self.nodes.restart(clusters, self._by_cluster(replicas), pools)
        self._wait_s[clusters] = self._in_flight[clusters] = 0.0
        self._wanted = np.where(rows[:, None], replicas, self._wanted)
        running = running.reshape(self._wanted.shape)
        self._seen = self._simulator.reset(running, weight, rows, _scalable(self._profiles))
        return self._with_pending(self._seen)

    def step(self, rate_rps: Floats, wanted: Floats, weight: Floats) -> Tick:
        """As ``Simulator.step``; ``rate_rps`` ``[C · S]`` is what comes from outside.

        Pending replicas are wanted and counted as starting, as Kubernetes reports them; they
        are not billed. Requests of which a call failed are misses, which metrics do not show.
        """
        if self._seen is None:
            raise RuntimeError("call reset() before step()")
        profiles = self._profiles
        self._wanted = np.clip(np.rint(wanted), profiles.min_replicas, profiles.max_replicas)
        draining = self._by_cluster(self._seen.draining)
        granted = self.nodes.grant(self._by_cluster(self._wanted), draining)
        granted = granted.reshape(self._wanted.shape)
        # What will be taken away in this tick is known before it, what will land is not.
        ready = np.minimum(self._seen.ready, granted)
        flow = self._flow(rate_rps, self._seen._replace(ready=ready))
        tick = self._simulator.step(flow.rate_rps.ravel(), granted, weight)
        self._look(tick, flow)
        misses = tick.misses + flow.failing.ravel() * np.maximum(tick.requests - tick.misses, 0.0)
        return tick._replace(misses=misses, sensed=self._with_pending(tick.sensed))

    def _with_pending(self, sensed: Sensed) -> Sensed:
        pending = self._wanted - self.nodes.granted.reshape(self._wanted.shape)
        return sensed._replace(wanted=self._wanted, starting=sensed.starting + pending)

    def _by_cluster(self, replicas: Floats) -> Floats:
        return np.asarray(replicas, dtype=np.float64).reshape(len(self._wait_s), -1)

    def _flow(self, rate_rps: Floats, seen: Sensed) -> Flow:
        """Let calls set the rates, and the service times of those who wait for them."""
        entering = rate_rps.reshape(self._wait_s.shape)
        flow = self._graph.flow(entering, self._stations(seen), self._tick_s)
        calling = self._shared.calls.any(2).ravel()
        if calling.any():
            self._simulator.adopt(self._held(flow), calling)
        return flow

    def _stations(self, seen: Sensed) -> Stations:
        profiles, shape = self._profiles, self._wait_s.shape

        def mean(values: Floats) -> Floats:
            """Over backends, as requests are routed."""
            return np.asarray((seen.weight * values).sum(1).reshape(shape))

        service_s = profiles.service_time_s
        mean_s = mean(service_s)
        square = mean(service_s**2 * (1.0 + profiles.service_scv))
        return Stations(
            slots=(seen.ready * profiles.concurrency).sum(1).reshape(shape),
            replica_slots=mean(profiles.concurrency),
            service_s=mean_s,
            variance=square - mean_s**2,
            wait_s=self._wait_s,
            in_flight=self._in_flight,
            failing=mean(1.0 * (seen.ready == 0.0)),
        )

    def _held(self, flow: Flow) -> Profiles:
        """The profiles with the times for which requests hold a slot."""
        own_s = self._profiles.service_time_s
        answer_s, variance = (x.reshape(-1, 1) for x in (flow.answer_s, flow.variance))
        held_s = own_s + answer_s
        scv = (self._profiles.service_scv * own_s**2 + variance) / held_s**2
        return replace(_scalable(self._profiles), service_time_s=held_s, service_scv=scv)

    def _look(self, tick: Tick, flow: Flow) -> None:
        """Remember how long requests took that are not in service, by Little's law."""
        shape = self._wait_s.shape
        self._seen = tick.sensed
        self._in_flight = self._simulator.in_flight.sum(1).reshape(shape)
        served_rps = np.minimum(tick.requests.reshape(shape) / self._tick_s, flow.carried_rps)
        there_s = self._in_flight / np.maximum(served_rps, 1e-9)
        usual_s = self._stations(tick.sensed).service_s + flow.answer_s
        self._wait_s = np.where(served_rps > 0.0, np.maximum(there_s - usual_s, 0.0), 0.0)


def _scalable(profiles: Profiles) -> Profiles:
    """Without minima: what the nodes cannot hold does not run, whatever its least."""
    return replace(profiles, min_replicas=np.zeros(profiles.shape))
