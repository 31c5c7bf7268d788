"""What a backend merits: how slow it is, what is built there, and what is sent there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trimtab_envs.merit import FULL, Merit, spill, tail
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.simulator import Simulator

TICK_S, LOAD_RPS = 5.0, 240.0
PLAIN = BackendProfile("plain")
ONES = np.ones((1, 2))


def profiles(*backends: BackendProfile) -> Profiles:
    return Profiles.stack([Profile("service", backends, metric_lag_s=15.0)])


def steered(
    known: Profiles,
    slower: tuple[float, float] = (1.0, 1.0),
    errors: tuple[float, float] = (0.0, 0.0),
    ticks: int = 60,
) -> tuple[Merit, Simulator, np.ndarray]:
    """Routed by merit over five ready replicas each, which are slower than they should be."""
    merit = Merit(known, np.array([50.0]), TICK_S)
    simulator = Simulator(known, TICK_S, np.random.default_rng(0))
    replicas = np.full((1, 2), 5.0)
    sensed = simulator.reset(replicas, ONES)
    service_s = known.service_time_s * np.array([slower])
    simulator.adopt(replace(known, service_time_s=service_s, error_share=np.array([errors])))
    for _ in range(ticks):
        merit.update(sensed)
        weight = merit.routed(
            ONES, sensed.ready, sensed.ready, np.full((1, 1), LOAD_RPS), sensed.weight
        )
        sensed = simulator.step(np.full(1, LOAD_RPS), replicas, weight).sensed
    return merit, simulator, weight


def test_a_backend_as_fast_as_told_is_no_news() -> None:
    merit, _, weight = steered(profiles(PLAIN, PLAIN))
    assert merit.slowness.tolist() == [[1.0, 1.0]]
    assert weight[0].tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("factor", [3.0, 12.0])
def test_a_slow_backend_is_found_out_and_left(factor: float) -> None:
    merit, simulator, weight = steered(profiles(PLAIN, PLAIN), (factor, 1.0))
    assert factor / 3.0 < merit.slowness[0, 0] < 1.2 * factor
    assert merit.slowness[0, 1] < 1.2
    assert weight[0, 0] < 0.1
    assert merit.built(ONES)[0, 0] < 0.05
    # Well again, it is tried again: what is sent there still tells.
    simulator.adopt(profiles(PLAIN, PLAIN))
    sensed = simulator.step(np.full(1, LOAD_RPS), np.full((1, 2), 5.0), weight).sensed
    for _ in range(60):
        merit.update(sensed)
        weight = merit.routed(
            ONES, sensed.ready, sensed.ready, np.full((1, 1), LOAD_RPS), sensed.weight
        )
        sensed = simulator.step(np.full(1, LOAD_RPS), np.full((1, 2), 5.0), weight).sensed
    assert weight[0, 0] > 0.4


def test_a_version_that_answers_errors_is_left_however_fast_it_is() -> None:
    merit, _, weight = steered(profiles(PLAIN, PLAIN), errors=(0.4, 0.0))
    assert merit.late_share[0, 0] > 0.2
    assert merit.slowness.tolist() == [[1.0, 1.0]]
    assert weight[0, 0] < 0.05
    assert merit.built(ONES)[0, 0] < 0.01


def test_missing_readings_leave_no_trace() -> None:
    known = profiles(PLAIN, PLAIN)
    merit, simulator, _ = steered(known, (3.0, 1.0), ticks=30)
    before = merit.slowness.copy()
    sensed = simulator.step(np.full(1, LOAD_RPS), np.full((1, 2), 5.0), ONES).sensed
    merit.update(sensed._replace(rate_rps=np.full((1, 2), np.nan)))
    assert merit.slowness.tolist() == before.tolist()
    merit.reset(np.ones(1, dtype=np.bool_), known, np.array([50.0]))
    assert merit.slowness.tolist() == [[1.0, 1.0]]


def test_replicas_that_are_lost_are_not_counted_on_until_they_are_back() -> None:
    merit, simulator, _ = steered(profiles(PLAIN, PLAIN), ticks=5)
    replicas, load = np.full((1, 2), 5.0), np.full(1, LOAD_RPS)
    simulator.failures.crash(np.array([[2.0, 0.0]]))
    merit.update(simulator.step(load, replicas, ONES).sensed)
    assert merit.soon.tolist() == [[3.0, np.inf]]
    for _ in range(20):
        merit.update(simulator.step(load, replicas, ONES).sensed)
    assert np.isinf(merit.soon).all()


def test_a_new_service_has_lost_nothing() -> None:
    known = profiles(PLAIN, PLAIN)
    merit, simulator, _ = steered(known, ticks=5)
    merit.reset(np.ones(1, dtype=np.bool_), known, np.array([50.0]))
    opened = simulator.reset(np.full((1, 2), 2.0), ONES)
    merit.update(opened._replace(wanted=np.full((1, 2), 4.0), starting=np.full((1, 2), 2.0)))
    assert np.isinf(merit.soon).all()


def test_replicas_that_were_taken_away_are_not_lost() -> None:
    merit, simulator, _ = steered(profiles(PLAIN, PLAIN), ticks=5)
    fewer = np.array([[2.0, 5.0]])
    merit.update(simulator.step(np.full(1, LOAD_RPS), fewer, ONES).sensed)
    assert np.isinf(merit.soon).all()


@pytest.mark.parametrize(
    ("startup_s", "starting", "late"),
    [
        pytest.param(10.0, 2.0, True, id="never come"),
        pytest.param(60.0, 2.0, False, id="may still come"),
        pytest.param(60.0, 0.0, True, id="never start"),
    ],
)
def test_replicas_that_do_not_come_are_not_counted_on(
    startup_s: float, starting: float, late: bool
) -> None:
    known = profiles(replace(PLAIN, startup_mean_s=startup_s), PLAIN)
    merit = Merit(known, np.array([50.0]), TICK_S)
    seen = Simulator(known, TICK_S, np.random.default_rng(0)).reset(np.full((1, 2), 2.0), ONES)
    waiting = seen._replace(wanted=np.array([[4.0, 2.0]]), starting=np.array([[starting, 0.0]]))
    for _ in range(20):
        merit.update(waiting)
    assert merit.soon.tolist() == [[2.0 if late else np.inf, np.inf]]
    merit.update(waiting._replace(ready=np.array([[3.0, 2.0]]), starting=np.array([[1.0, 0.0]])))
    assert np.isinf(merit.soon).all()


@pytest.mark.parametrize(
    ("backends", "expected"),
    [
        pytest.param((PLAIN, PLAIN), 0.5, id="alike"),
        pytest.param((replace(PLAIN, price=2.0), PLAIN), 0.0, id="the dear one is not built on"),
        pytest.param((replace(PLAIN, service_time_s=0.1), PLAIN), 0.0, id="nor is the slow one"),
        pytest.param((replace(PLAIN, price=0.9), PLAIN), 0.6, id="a little cheaper, a little more"),
    ],
)
def test_capacity_is_built_where_it_is_cheap(
    backends: tuple[BackendProfile, ...], expected: float
) -> None:
    share = Merit(profiles(*backends), np.array([10.0]), TICK_S).built(ONES)
    assert share.sum() == pytest.approx(1.0)
    assert share[0, 0] == pytest.approx(expected, abs=0.05)


def test_what_is_leant_on_gets_more() -> None:
    merit = Merit(profiles(PLAIN, PLAIN), np.array([10.0]), TICK_S)
    assert merit.built(np.array([[4.0, 1.0]]))[0].tolist() == pytest.approx([0.8, 0.2])


SLOW = replace(PLAIN, service_time_s=0.1)


@pytest.mark.parametrize(
    ("backends", "ready", "load_rps", "tilt", "expected"),
    [
        pytest.param((PLAIN, PLAIN), (1, 3), 100, (1, 1), 0.25, id="by-ready-capacity"),
        pytest.param((PLAIN, PLAIN), (2, 2), 100, (1, 3), 0.25, id="tilted"),
        pytest.param((PLAIN, PLAIN), (0, 2), 100, (2.5, 1), 0.0, id="nothing-ready-gets-nothing"),
        pytest.param((PLAIN, PLAIN), (0, 0), 100, (1, 1), 0.6, id="nobody-ready-unchanged"),
        pytest.param((PLAIN, PLAIN), (29, 21), 100, (1, 1), 0.6, id="about-right-unchanged"),
        pytest.param((PLAIN, PLAIN), (28, 22), 100, (1, 1), 0.56, id="not-right-moved"),
        pytest.param((SLOW, PLAIN), (4, 2), 50, (1, 1), 0.285, id="in-time-first"),
        pytest.param((SLOW, PLAIN), (4, 2), 240, (1, 1), 1 - 2 * 80 * FULL / 240, id="up-to-full"),
        pytest.param((SLOW, PLAIN), (4, 2), 1000, (1, 1), 0.5, id="beyond-it-all-share"),
    ],
)
def test_routes(
    backends: tuple[BackendProfile, ...],
    ready: tuple[int, int],
    load_rps: float,
    tilt: tuple[float, float],
    expected: float,
) -> None:
    assert routed(backends, ready, ready, load_rps, tilt) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("ready", "stay", "load_rps", "expected"),
    [
        pytest.param((3, 3), (1, 3), 100, 1 / 4, id="its-share-leaves-first"),
        pytest.param((3, 3), (5, 3), 100, 1 / 2, id="what-is-to-come-does-not-count"),
        pytest.param((3, 3), (1, 3), 320, 1 - 3 * 80 * FULL / 320, id="but-for-what-has-no-room"),
        pytest.param((3, 3), (0, 0), 100, 1 / 2, id="nobody-stays"),
        pytest.param((3, 0), (0, 3), 100, 1, id="who-stays-is-not-ready"),
    ],
)
def test_a_share_leaves_before_its_replicas(
    ready: tuple[int, int], stay: tuple[int, int], load_rps: float, expected: float
) -> None:
    found = routed((PLAIN, PLAIN), ready, stay, load_rps, (1, 1))
    assert found == pytest.approx(expected, abs=0.01)


def routed(
    backends: tuple[BackendProfile, ...],
    ready: tuple[int, int],
    stay: tuple[int, int],
    load_rps: float,
    tilt: tuple[float, float],
) -> float:
    """The first one's share, after 0.6."""
    merit = Merit(profiles(*backends), np.array([10.0]), TICK_S)
    weight = merit.routed(
        np.array([tilt], float),
        np.array([ready], float),
        np.array([stay], float),
        np.array([[float(load_rps)]]),
        np.array([[0.6, 0.4]]),
    )
    assert weight.sum() == pytest.approx(1.0)
    return float(weight[0, 0])


@pytest.mark.parametrize("scv", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("times_mean", [1.0, 3.0, 6.0])
def test_tail_is_the_gammas(times_mean: float, scv: float) -> None:
    draws = np.random.default_rng(0).gamma(1.0 / scv, scv, 400_000)
    found = tail(np.array(times_mean), np.array(scv))
    assert found == pytest.approx((draws > times_mean).mean(), rel=0.15, abs=0.003)


rooms = arrays(np.float64, (1, 3), elements=st.just(0.0) | st.floats(1e-3, 100.0))


@settings(max_examples=300)
@given(load=rooms, room=rooms)
def test_what_spills_is_neither_lost_nor_sent_where_it_does_not_fit(
    load: np.ndarray, room: np.ndarray
) -> None:
    found, over, spare = np.empty((3, *load.shape))
    spill(found, load, room, over, spare)
    assert found.sum() == pytest.approx(load.sum(), abs=1e-6)
    if load.sum() <= room.sum():
        assert (found <= room + 1e-6).all()
    elif room.sum() > 0.0:
        assert (found >= np.minimum(load, room) - 1e-6).all()
