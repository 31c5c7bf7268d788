"""What clusters are drawn: loads that fit their calls, nodes that hold them, a budget."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_envs.clusters import MOST_NODES, MOST_REPLICAS, ClusterSource, with_answers
from trimtab_sim.calls import CallGraph
from trimtab_sim.profile import BackendProfile, Profile, Profiles

CLUSTERS, SERVICES, BACKENDS = 200, 4, 2
SHAPE = (CLUSTERS, SERVICES)


@pytest.fixture(scope="module")
def source() -> ClusterSource:
    return ClusterSource(np.random.default_rng(6), 60.0, SERVICES, pool=32)


def test_the_mean_load_counts_calls_over_the_time_that_an_episode_lasts(
    source: ClusterSource,
) -> None:
    drawn = source.draw(CLUSTERS * SERVICES, BACKENDS)
    assert (np.ptp(drawn.ticks.reshape(SHAPE), axis=1) == 0).all()
    spans = zip(drawn.row, drawn.start, drawn.ticks, drawn.gain, strict=True)
    entering = np.array([gain * source.pool[r, s : s + t].mean() for r, s, t, gain in spans])
    total = CallGraph(drawn.shared.calls).total(entering.reshape(SHAPE)).ravel()
    np.testing.assert_allclose(drawn.mean_rps, total, rtol=1e-5)


def test_clusters_are_as_large_as_they_should_be(source: ClusterSource) -> None:
    drawn = source.draw(CLUSTERS * SERVICES, BACKENDS)
    pools, calls = drawn.shared.pools, drawn.shared.calls
    replicas = drawn.mean_rps / drawn.profiles.replica_rps.mean(1)
    assert replicas.max() <= MOST_REPLICAS * (1.0 + 1e-9)
    load = np.repeat(replicas.reshape(SHAPE), BACKENDS, axis=1) / BACKENDS
    room = pools.max_nodes * pools.node_cpu / (load * pools.replica_cpu).sum(1)
    assert room.min() >= 1.5
    assert pools.max_nodes.max() <= MOST_NODES + 2.0
    assert 0.3 < calls.any((1, 2)).mean() < 0.8
    # Any replica can be bought.
    assert (drawn.budget >= drawn.profiles.price.max()).all()
    assert set(drawn.at_once) == {1.0, 2.0, 3.0, 4.0}


def test_masked_clusters_are_replaced_whole(source: ClusterSource) -> None:
    old, new = (source.draw(3 * SERVICES, BACKENDS) for _ in range(2))
    mixed = old.replaced(np.array([False, True, False]), new)
    rows = np.repeat([False, True, False], SERVICES)
    for name in ("mean_rps", "gain", "ticks", "miss_price"):
        expected = np.where(rows, getattr(new, name), getattr(old, name))
        np.testing.assert_array_equal(getattr(mixed, name), expected)
    for part in ("own", "profiles"):
        times = [getattr(each, part).service_time_s for each in (old, new, mixed)]
        np.testing.assert_array_equal(times[2], np.where(rows[:, None], times[1], times[0]))
    np.testing.assert_array_equal(mixed.shared.calls[1], new.shared.calls[1])
    np.testing.assert_array_equal(
        mixed.shared.pools.node_cpu[[0, 2]], old.shared.pools.node_cpu[::2]
    )
    assert mixed.budget[1] == new.budget[1]


def test_a_caller_is_known_with_the_answers_that_it_waits_for() -> None:
    front, back = BackendProfile("f", service_time_s=0.02), BackendProfile("b", service_time_s=0.06)
    own = Profiles.stack([Profile("f", (front,), 0.2), Profile("b", (back,), 0.3)])
    known = with_answers(own, np.array([[[0.0, 1.0], [0.0, 0.0]]]))
    np.testing.assert_allclose(known.service_time_s, [[0.08], [0.06]], rtol=0.001)
    # Two exponential times in a row.
    scv = (0.02**2 + 0.06**2) / 0.08**2
    np.testing.assert_allclose(known.service_scv, [[scv], [1.0]], rtol=0.01)
    np.testing.assert_allclose(known.slo_latency_s, [0.8, 0.3], rtol=0.001)
