"""Clusters: a simulator whose services share nodes and wait for each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab_sim.cluster import Cluster, Shared
from trimtab_sim.nodes import NodePools
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.simulator import Simulator, Tick

Floats = NDArray[np.float64]
BACKEND = BackendProfile("a", startup_mean_s=10.0)
TICK_S = 5.0


def shared(
    clusters: int, services: int, max_nodes: int = 2, node_cpu: float = 4.0, calls: float = 0.0
) -> Shared:
    numbers = (node_cpu, 1.0, max_nodes, 30.0, 0.2, 60.0)
    pools = NodePools(*(np.full(clusters, x) for x in numbers), np.ones((clusters, services)))
    return Shared(pools, np.triu(np.full((clusters, services, services), calls), 1))


def build(clusters: int = 1, services: int = 2, seed: int = 0, **kinds: float) -> Cluster:
    profiles = Profiles.stack([Profile("s", (BACKEND,))] * clusters * services)
    common = shared(clusters, services, **kinds)
    cluster = Cluster(profiles, common, TICK_S, np.random.default_rng(seed))
    ones = np.ones((clusters * services, 1))
    cluster.reset(2.0 * ones, ones)
    return cluster


def step(cluster: Cluster, rate_rps: list[float], wanted: list[float]) -> Tick:
    column = np.array(wanted)[:, None]
    return cluster.step(np.array(rate_rps), column, np.ones_like(column))


def test_pending_replicas_are_seen_as_starting_and_not_billed() -> None:
    cluster = build()
    ticks = [step(cluster, [50.0, 50.0], [2.0, 6.0]) for _ in range(20)]
    assert (ticks[0].sensed.wanted[1, 0], ticks[0].sensed.starting[1, 0]) == (6.0, 4.0)
    assert ticks[0].billed_s[1, 0] == 2.0 * TICK_S
    assert ticks[0].started[1, 0] == 0.0
    assert (ticks[-1].sensed.ready[1, 0], ticks[-1].sensed.starting[1, 0]) == (6.0, 0.0)
    assert ticks[-1].billed_s[1, 0] == 6.0 * TICK_S


def test_with_room_for_all_and_no_calls_it_is_the_simulator() -> None:
    rng = np.random.default_rng(3)
    profiles = Profiles.stack([Profile("s", (BACKEND,))] * 4)
    cluster = Cluster(profiles, shared(2, 2, node_cpu=999.0), TICK_S, np.random.default_rng(7))
    alone = Simulator(profiles, TICK_S, np.random.default_rng(7).spawn(2)[0])
    ones = np.ones((4, 1))
    for world in (cluster, alone):
        world.reset(100.0 * ones, ones)
    for _ in range(50):
        rate_rps, wanted = rng.uniform(0, 900, 4), rng.integers(1, 12, (4, 1)).astype(float)
        ours, theirs = (world.step(rate_rps, wanted, ones) for world in (cluster, alone))
        for name in ("requests", "misses", "billed_s", "started", "stopped"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_array_equal(ours.sensed.starting, theirs.sensed.starting)


def rollout(seed: int) -> Floats:
    cluster, rng = build(3, 2, seed, calls=0.5), np.random.default_rng(1)
    ticks = (
        step(cluster, rng.uniform(0, 200, 6).tolist(), rng.integers(1, 7, 6).astype(float).tolist())
        for _ in range(80)
    )
    return np.array([[tick.requests, tick.misses, tick.billed_s[:, 0]] for tick in ticks])


def test_same_seed_same_rollout() -> None:
    first, again, other = rollout(1), rollout(1), rollout(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.isfinite(first).all()
    assert (first >= 0.0).all()
    assert (first[:, 1] <= first[:, 0]).all()


def test_a_slow_callee_makes_its_callers_late() -> None:
    cluster = build(calls=1.0)
    calm = [step(cluster, [50.0, 0.0], [2.0, 2.0]) for _ in range(10)][-1]
    slow = replace(BACKEND, service_time_s=0.2)
    profiles = Profiles.stack([Profile("s", (BACKEND,)), Profile("s", (slow,))])
    cluster.reset(2.0 * np.ones((2, 1)), np.ones((2, 1)), profiles=profiles)
    busy = [step(cluster, [50.0, 0.0], [2.0, 2.0]) for _ in range(10)][-1]
    assert calm.misses[0] < 0.1 * calm.requests[0]
    assert busy.misses[0] > 0.9 * busy.requests[0]
    # What the callee cannot take waits in front of its caller.
    assert busy.sensed.in_flight[0, 0] > 10.0 * busy.sensed.in_flight[1, 0]


def test_a_reset_cluster_starts_afresh_and_others_run_on() -> None:
    cluster = build(2)
    for _ in range(5):
        before = step(cluster, [50.0] * 4, [2.0, 2.0, 2.0, 6.0])
    rows = np.array([True, True, False, False])
    roomy = shared(2, 2, max_nodes=9)
    seen = cluster.reset(np.full((4, 1), 9.0), np.ones((4, 1)), rows, shared=roomy)
    np.testing.assert_array_equal(seen.ready[:2], [[9.0], [9.0]])
    for name in ("wanted", "starting", "ready", "time_s"):
        np.testing.assert_array_equal(getattr(seen, name)[2:], getattr(before.sensed, name)[2:])


def test_what_cannot_be_a_cluster_is_refused() -> None:
    profiles = Profiles.stack([Profile("s", (BACKEND,))] * 3)
    with pytest.raises(ValueError, match="3 profiles for 2 clusters of 2 services"):
        Cluster(profiles, shared(2, 2), TICK_S, np.random.default_rng(0))
    cluster = Cluster(profiles, shared(1, 3), TICK_S, np.random.default_rng(0))
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        step(cluster, [1.0] * 3, [1.0] * 3)
