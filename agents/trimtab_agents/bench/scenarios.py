"""Scenarios in which routing decides: the loads, and what is played on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from trimtab_agents.bench import play
from trimtab_agents.bench.cells import TICK_S, window_starts
from trimtab_agents.policy import Policy
from trimtab_envs.arbiter import Arbiter
from trimtab_sim.cluster import Cluster, Shared
from trimtab_sim.nodes import NodePools
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator, Tick
from trimtab_sim.traces import Trace

MISS_PRICES = (10.0, 50.0, 250.0)
HOURS, WINDOWS, SIZE, LAG_S = 2.0, 3, 10.0, 15.0
OPENING_TICKS = 12

PLAIN = BackendProfile("plain", startup_mean_s=45.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Backends, and what befalls them in the middle third of the time, which nobody is told.

    ``slower``: how many times longer each takes; ``errors``: the part of its answers that are
    errors; ``lost``: it has no replicas. ``services`` like this share nodes and a budget: each
    ten minutes new replicas at the price of as many as ``budget`` times their mean load needs.
    """

    backends: tuple[BackendProfile, ...]
    slower: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    lost: tuple[bool, ...] = ()
    services: int = 1
    budget: float = 2.0


SPOT = replace(PLAIN, price=0.5)

SCENARIOS: Mapping[str, Scenario] = {
    "one_slower": Scenario((PLAIN, replace(PLAIN, service_time_s=0.1))),
    "one_dearer": Scenario((PLAIN, replace(PLAIN, price=2.0))),
    "one_small": Scenario((replace(SPOT, max_replicas=5), PLAIN)),
    "three_zones": Scenario((PLAIN, replace(PLAIN, price=0.7, max_replicas=8), PLAIN)),
    "brown_out": Scenario((PLAIN, PLAIN), slower=(3.0, 1.0)),
    "crawling": Scenario((PLAIN, PLAIN), slower=(12.0, 1.0)),
    "bad_version": Scenario((PLAIN, PLAIN), errors=(0.3, 0.0)),
    "spot_lost": Scenario((SPOT, PLAIN), lost=(True, False)),
    "cluster": Scenario((replace(SPOT, max_replicas=5), PLAIN), services=3),
    "poor_cluster": Scenario((replace(SPOT, max_replicas=5), PLAIN), services=3, budget=0.7),
}
ALONE = tuple(name for name, scenario in SCENARIOS.items() if scenario.services == 1)
TOGETHER = tuple(name for name in SCENARIOS if name not in ALONE)

# A cluster's nodes carry so many times what its services need for their mean load.
NODE_REPLICAS, SPARE = 8.0, 2.5
PROVISION_S, IDLE_S = 60.0, 600.0
# Services of a cluster that may change within the guard's window.
AT_ONCE = 2.0


class Row(NamedTuple):
    """A scenario on a window of the loads, at a lambda; more services take the next windows."""

    scenario: Scenario
    window: int
    miss_price: float


def played(policy: Policy, rows: Sequence[Row], loads: Floats) -> tuple[Floats, Floats]:
    """Fleet and miss share of every row, each ``[B]``; ``loads`` ``[T, windows]`` have mean 1.

    All scenarios have as many services; the policy plays row by row their services.
    """
    each = rows[0].scenario.services
    known = Profiles.stack([_profile(row) for row in rows for _ in range(each)])
    places = np.array([[row.window + nth for nth in range(each)] for row in rows]) % loads.shape[1]
    size_rps = SIZE * PLAIN.concurrency / PLAIN.service_time_s
    fleet, miss = _played(policy, rows, known, loads[:, places.ravel()] * size_rps)
    return fleet.reshape(-1, each).mean(1), miss.reshape(-1, each).mean(1)


def _profile(row: Row) -> Profile:
    return Profile("routed", row.scenario.backends, metric_lag_s=LAG_S)


def _played(
    policy: Policy, rows: Sequence[Row], known: Profiles, rate_rps: Floats
) -> tuple[Floats, Floats]:
    """The same for every service."""
    world = _world(rows, known)
    sensed = _opened(world, known, rate_rps[0])
    prices = np.repeat([row.miss_price for row in rows], len(known.present) // len(rows))
    policy.reset(known, prices, TICK_S)
    billed, misses, requests = np.zeros((3, len(prices)))
    for tick, rates in enumerate(rate_rps):
        world.befall(tick / len(rate_rps))
        wanted = policy.act(sensed)
        seen = world.step(rates, wanted.replicas, wanted.weight)
        sensed = seen.sensed
        billed += (seen.billed_s * known.price).sum(1)
        misses += seen.misses
        requests += seen.requests
    return billed / (requests * known.least_price), misses / requests


def _opened(world: World, known: Profiles, rate_rps: Floats) -> Sensed:
    """What is seen after a minute of the first load, on capacity to spare."""
    share = known.present / known.present.sum(1, keepdims=True)
    replicas = np.ceil(1.4 * rate_rps[:, None] * share / known.replica_rps)
    replicas = replicas.clip(known.min_replicas, known.max_replicas)
    sensed = world.reset(replicas, share)
    for _ in range(OPENING_TICKS):
        sensed = world.step(rate_rps, replicas, share).sensed
    return sensed


class World(play.World, Protocol):
    """What scenarios are played in."""

    def befall(self, part: float) -> None:
        """Let happen what happens after this part of the time."""


def _world(rows: Sequence[Row], known: Profiles) -> World:
    if rows[0].scenario.services > 1:
        return Rationed([row.scenario.budget for row in rows], known)
    return Troubled([row.scenario for row in rows], known)


class Troubled:
    """A service for each scenario, with its trouble."""

    def __init__(self, scenarios: Sequence[Scenario], known: Profiles) -> None:
        self._simulator = Simulator(known, TICK_S, np.random.default_rng(0))
        self.reset, self.step = self._simulator.reset, self._simulator.step
        self._known = known

        def table(name: str, usual: float) -> Floats:
            values = np.full(known.shape, usual)
            for row, scenario in enumerate(scenarios):
                found = getattr(scenario, name)
                values[row, : len(found)] = found
            return values

        self._hurt = replace(
            known,
            service_time_s=known.service_time_s * table("slower", 1.0),
            error_share=table("errors", 0.0),
        )
        self._lost = table("lost", 0.0)
        self._is_hurt = False

    def befall(self, part: float) -> None:
        """The middle third is bad."""
        hurts = 1 / 3 <= part < 2 / 3
        if hurts != self._is_hurt:
            self._simulator.adopt(self._hurt if hurts else self._known)
        if hurts:
            # For one more tick, again and again.
            self._simulator.failures.lose_zone(self._lost * 2.0 * TICK_S)
        self._is_hurt = hurts


class Rationed:
    """Clusters whose services share nodes and what the guard lets them begin."""

    def __init__(self, budgets: Sequence[float], known: Profiles) -> None:
        clusters = len(budgets)
        self._shape = (clusters, len(known.present) // clusters)
        kinds = self._shape[1] * known.shape[1]
        needed = SPARE * self._shape[1] * SIZE

        def each(value: float) -> Floats:
            return np.full(clusters, value)

        pools = NodePools(
            node_cpu=each(NODE_REPLICAS),
            min_nodes=each(1.0),
            max_nodes=each(np.ceil(needed / NODE_REPLICAS)),
            provision_mean_s=each(PROVISION_S),
            provision_cv=each(0.3),
            idle_s=each(IDLE_S),
            replica_cpu=np.ones((clusters, kinds)),
        )
        shared = Shared(pools, np.zeros((clusters, *self._shape[1:] * 2)))
        self._cluster = Cluster(known, shared, TICK_S, np.random.default_rng(0))
        price = self._by_cluster(known.price)
        budget = np.array(budgets) * self._shape[1] * SIZE
        self._arbiter = Arbiter(budget, each(AT_ONCE), price, TICK_S)

    def _by_cluster(self, values: Floats) -> Floats:
        return values.reshape(*self._shape, -1)

    def reset(self, replicas: Floats, weight: Floats) -> Sensed:
        """Begin with ``replicas`` ready, as far as the nodes can hold them."""
        self._seen = self._cluster.reset(replicas, weight)
        return self._seen

    def befall(self, part: float) -> None:
        """Nothing but the neighbours."""

    def step(self, rate_rps: Floats, wanted: Floats, weight: Floats) -> Tick:
        """Let one tick pass with what the arbiter allows."""
        asked = wanted, weight, self._seen.wanted, self._seen.weight
        allowed = self._arbiter.allow(*map(self._by_cluster, asked))
        replicas, routes = (values.reshape(wanted.shape) for values in allowed)
        tick = self._cluster.step(rate_rps, replicas, routes)
        self._seen = tick.sensed
        return tick


def windows(traces: Mapping[str, Trace]) -> Floats:
    """Some hours around the peak of each trace and some others, at mean load 1, ``[T, windows]``.

    Of traces that are long enough: there may be none.
    """
    length_s = HOURS * 3600.0
    found = [
        trace.rates(TICK_S, start_s, round(length_s / TICK_S))
        for trace in traces.values()
        if trace.duration_s >= length_s
        for start_s in window_starts(trace, WINDOWS, length_s)
    ]
    loads = np.array([load / load.mean() for load in found if load.any()])
    return loads.reshape(-1, round(length_s / TICK_S)).T
