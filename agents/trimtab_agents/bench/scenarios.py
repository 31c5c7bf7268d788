"""Scenarios in which routing decides: the loads, and what is played on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from trimtab_agents.bench.cells import TICK_S, window_starts
from trimtab_agents.policy import Policy
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator
from trimtab_sim.traces import Trace

MISS_PRICES = (10.0, 50.0, 250.0)
HOURS, WINDOWS, SIZE, LAG_S = 2.0, 3, 10.0, 15.0
OPENING_TICKS = 12

PLAIN = BackendProfile("plain", startup_mean_s=45.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Backends, and how many times slower each serves in the middle third of the time."""

    backends: tuple[BackendProfile, ...]
    slower: tuple[float, ...] = ()


SCENARIOS: Mapping[str, Scenario] = {
    "one_slower": Scenario((PLAIN, replace(PLAIN, service_time_s=0.1))),
    "one_dearer": Scenario((PLAIN, replace(PLAIN, price=2.0))),
    "one_small": Scenario((replace(PLAIN, price=0.5, max_replicas=5), PLAIN)),
    "three_zones": Scenario((PLAIN, replace(PLAIN, price=0.7, max_replicas=8), PLAIN)),
    "brown_out": Scenario((PLAIN, PLAIN), slower=(3.0, 1.0)),
    "bad_version": Scenario((PLAIN, PLAIN), slower=(12.0, 1.0)),
}


class Row(NamedTuple):
    """A scenario on a window of the loads, at a lambda."""

    scenario: Scenario
    window: int
    miss_price: float


def played(policy: Policy, rows: Sequence[Row], loads: Floats) -> tuple[Floats, Floats]:
    """Fleet and miss share of every row, each ``[B]``; ``loads`` ``[T, windows]`` have mean 1."""
    known = Profiles.stack(
        [Profile("r", row.scenario.backends, metric_lag_s=LAG_S) for row in rows]
    )
    slower = _slower(known, [row.scenario for row in rows])
    size_rps = SIZE * PLAIN.concurrency / PLAIN.service_time_s
    rate_rps = loads[:, [row.window for row in rows]] * size_rps
    simulator = Simulator(known, TICK_S, np.random.default_rng(0))
    sensed = _opened(simulator, known, rate_rps[0])
    policy.reset(known, np.array([row.miss_price for row in rows]), TICK_S)
    billed, misses, requests = np.zeros((3, len(rows)))
    for tick, rates in enumerate(rate_rps):
        if tick in (len(rate_rps) // 3, 2 * len(rate_rps) // 3):
            simulator.adopt(slower if tick < len(rate_rps) / 2 else known)
        wanted = policy.act(sensed)
        seen = simulator.step(rates, wanted.replicas, wanted.weight)
        sensed = seen.sensed
        billed += (seen.billed_s * known.price).sum(1)
        misses += seen.misses
        requests += seen.requests
    least = np.where(known.present, known.price / known.replica_rps, np.inf).min(1)
    return billed / (requests * least), misses / requests


def _opened(simulator: Simulator, known: Profiles, rate_rps: Floats) -> Sensed:
    """What is seen after a minute of the first load, on capacity to spare."""
    share = known.present / known.present.sum(1, keepdims=True)
    replicas = np.ceil(1.4 * rate_rps[:, None] * share / known.replica_rps)
    replicas = replicas.clip(known.min_replicas, known.max_replicas)
    sensed = simulator.reset(replicas, share)
    for _ in range(OPENING_TICKS):
        sensed = simulator.step(rate_rps, replicas, share).sensed
    return sensed


def _slower(known: Profiles, scenarios: Sequence[Scenario]) -> Profiles:
    """What the services are like while their backends are slower than anybody was told."""
    factor = np.ones(known.shape)
    for row, scenario in enumerate(scenarios):
        factor[row, : len(scenario.slower)] = scenario.slower
    return replace(known, service_time_s=known.service_time_s * factor)


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
