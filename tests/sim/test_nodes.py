"""Replicas on shared nodes: who may start, who waits, and which nodes come and go."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab_sim.nodes import NodePools, Nodes

Floats = NDArray[np.float64]
TICK_S = 10.0


def pools(
    replica_cpu: list[float],
    clusters: int = 1,
    node_cpu: float = 4.0,
    min_nodes: int = 1,
    max_nodes: int = 3,
    provision_s: float = 30.0,
    provision_cv: float = 0.0,
    idle_s: float = 60.0,
) -> NodePools:
    numbers = (node_cpu, min_nodes, max_nodes, provision_s, provision_cv, idle_s)
    columns = (np.full(clusters, float(number)) for number in numbers)
    return NodePools(*columns, replica_cpu=np.tile(replica_cpu, (clusters, 1)))


def start(pools: NodePools, replicas: list[float], seed: int = 0) -> Nodes:
    nodes = Nodes(pools, TICK_S, np.random.default_rng(seed))
    clusters = len(pools.node_cpu)
    nodes.restart(np.ones(clusters, dtype=np.bool_), np.tile(replicas, (clusters, 1)), pools)
    return nodes


def grant(nodes: Nodes, wanted: list[float], draining: float = 0.0) -> list[float]:
    given = nodes.grant(np.array([wanted]), np.full((1, len(wanted)), draining))
    return given[0].tolist()


def test_what_does_not_fit_waits_for_a_new_node() -> None:
    nodes = start(pools([1.0, 1.0]), [2.0, 1.0])
    granted = [grant(nodes, [5.0, 1.0]) for _ in range(4)]
    assert granted == [[3.0, 1.0]] * 3 + [[5.0, 1.0]]


def test_no_more_nodes_are_ordered_than_are_needed_and_allowed() -> None:
    nodes = start(pools([1.0]), [4.0])
    ordered = []
    for _ in range(5):
        grant(nodes, [9.0])
        ordered.append((nodes.ready[0], nodes.provisioning[0]))
    assert ordered == [(1, 2)] * 3 + [(3, 0)] * 2
    assert grant(nodes, [99.0]) == [12.0]
    assert nodes.provisioning[0] == 0


def test_one_services_scale_up_makes_anothers_replicas_wait() -> None:
    nodes = start(pools([1.0, 1.0], max_nodes=1), [1.0, 1.0])
    assert grant(nodes, [3.0, 1.0]) == [3.0, 1.0]
    assert grant(nodes, [3.0, 3.0]) == [3.0, 1.0]
    grant(nodes, [1.0, 3.0])
    # Room is free one tick after it was given up, and later where a replica still drains.
    assert grant(nodes, [1.0, 3.0]) == [1.0, 3.0]


def test_draining_replicas_keep_their_room() -> None:
    nodes = start(pools([1.0, 1.0], max_nodes=1), [3.0, 1.0])
    grant(nodes, [1.0, 3.0])
    assert nodes.grant(np.array([[1.0, 3.0]]), np.array([[2.0, 0.0]])).tolist() == [[1.0, 1.0]]
    assert nodes.grant(np.array([[1.0, 3.0]]), np.array([[1.0, 0.0]])).tolist() == [[1.0, 2.0]]
    assert nodes.grant(np.array([[1.0, 3.0]]), np.array([[0.0, 0.0]])).tolist() == [[1.0, 3.0]]


def test_who_has_waited_longest_goes_first() -> None:
    nodes = start(pools([1.0, 1.0, 1.0], max_nodes=1), [2.0, 1.0, 1.0])
    grant(nodes, [2.0, 1.0, 2.0])
    grant(nodes, [2.0, 2.0, 2.0])
    grant(nodes, [1.0, 2.0, 2.0])
    assert grant(nodes, [1.0, 2.0, 2.0]) == [1.0, 1.0, 2.0]


def test_a_large_replica_needs_a_node_of_its_own_and_small_ones_fill_the_gaps() -> None:
    nodes = start(pools([3.0, 0.5], max_nodes=2), [1.0, 0.0])
    assert grant(nodes, [2.0, 3.0]) == [1.0, 2.0]
    for _ in range(2):
        grant(nodes, [2.0, 3.0])
    assert grant(nodes, [2.0, 3.0]) == [2.0, 3.0]


def test_empty_nodes_are_given_back_in_time_and_a_few_are_kept() -> None:
    nodes = start(pools([1.0], min_nodes=2, idle_s=60.0), [12.0])
    for _ in range(20):
        grant(nodes, [1.0])
    assert nodes.ready[0] == 2
    assert grant(nodes, [8.0]) == [8.0]
    assert grant(nodes, [9.0]) == [8.0]


def test_provisioning_times_are_lognormal() -> None:
    clusters = 4000
    lots = pools([1.0], clusters, max_nodes=2, provision_s=300.0, provision_cv=0.4)
    nodes = start(lots, [4.0])
    waited = np.zeros(clusters)
    for _ in range(200):
        granted = nodes.grant(np.full((clusters, 1), 5.0), np.zeros((clusters, 1)))
        waited += TICK_S * (granted[:, 0] < 5.0)
    assert waited.mean() == pytest.approx(300.0, rel=0.03)
    assert waited.std() / waited.mean() == pytest.approx(0.4, rel=0.06)


def test_many_clusters_are_what_each_is_alone_and_no_promise_is_broken() -> None:
    rng = np.random.default_rng(1)
    cpu, steps, clusters = np.array([1.0, 0.7, 2.5]), 300, 6
    wanted = rng.integers(0, 9, (steps, clusters, 3)).astype(float)
    wanted = wanted[np.arange(steps) // 7]
    draining = rng.integers(0, 2, (steps, clusters, 3)).astype(float)
    together = start(pools(cpu.tolist(), clusters, max_nodes=5), [0.0, 1.0, 1.0])
    granted = [together.grant(w, d) for w, d in zip(wanted, draining, strict=True)]
    for cluster in range(clusters):
        alone = start(pools(cpu.tolist(), max_nodes=5), [0.0, 1.0, 1.0])
        before = np.array([[0.0, 1.0, 1.0]])
        for step in range(steps):
            want = wanted[step, cluster, None]
            given = alone.grant(want, draining[step, cluster, None])
            np.testing.assert_array_equal(given[0], granted[step][cluster])
            assert (given <= want).all()
            # Nobody is stopped for somebody else.
            assert (given >= np.minimum(before, want)).all()
            assert (given @ cpu <= 4.0 * alone.ready).all()
            assert alone.ready[0] + alone.provisioning[0] <= 5
            before = given


def test_a_restarted_cluster_has_its_new_pool_and_others_run_on() -> None:
    nodes = start(pools([1.0], clusters=2, max_nodes=1), [4.0])
    bigger = pools([1.0], clusters=2, max_nodes=6)
    nodes.restart(np.array([False, True]), np.full((2, 1), 9.0), bigger)
    assert nodes.ready.tolist() == [1.0, 3.0]
    assert nodes.grant(np.full((2, 1), 12.0), np.zeros((2, 1))).tolist() == [[4.0], [12.0]]


def test_at_the_start_every_kind_has_its_part() -> None:
    nodes = start(pools([1.0, 1.0], max_nodes=3), [12.0, 8.0])
    assert nodes.granted.tolist() == [[8.0, 4.0]]
    assert grant(nodes, [5.0, 7.0]) == [5.0, 4.0]
    assert grant(nodes, [5.0, 7.0]) == [5.0, 7.0]


def test_what_can_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match="at most all of a node's cpu"):
        pools([4.5])
    with pytest.raises(ValueError, match="at most all of a node's cpu"):
        pools([0.0])
