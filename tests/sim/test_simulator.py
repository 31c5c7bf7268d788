"""The simulator's bookkeeping: start-ups, drains, bills, routes, metrics, resets."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.simulator import Simulator, Tick

Floats = NDArray[np.float64]
BACKEND = BackendProfile("on-demand", startup_mean_s=10.0, startup_cv=0.0)


def start(
    backends: tuple[BackendProfile, ...] = (BACKEND,),
    replicas: float = 4.0,
    batch: int = 1,
    tick_s: float = 1.0,
    metric_lag_s: float = 0.0,
    seed: int = 0,
) -> Simulator:
    profile = Profile("api", backends, metric_lag_s=metric_lag_s)
    simulator = Simulator(Profiles.stack([profile] * batch), tick_s, np.random.default_rng(seed))
    shape = (batch, len(backends))
    simulator.reset(np.full(shape, replicas), np.ones(shape))
    return simulator


def step(simulator: Simulator, rate: float, wanted: Floats | list[list[float]]) -> Tick:
    wanted = np.array(wanted)
    return simulator.step(np.full(len(wanted), rate), wanted, np.ones_like(wanted))


def test_startup_takes_its_time_and_is_billed() -> None:
    simulator = start()
    ticks = [step(simulator, 0.0, [[6.0]]) for _ in range(12)]
    assert [tick.sensed.ready[0, 0] for tick in ticks] == [4.0] * 10 + [6.0] * 2
    assert [tick.sensed.starting[0, 0] for tick in ticks] == [2.0] * 10 + [0.0] * 2
    assert all(tick.billed_s[0, 0] == 6.0 for tick in ticks)
    assert [tick.started[0, 0] for tick in ticks] == [2.0] + [0.0] * 11


@pytest.mark.parametrize(("mean_s", "cv"), [(10.0, 0.2), (45.0, 0.2), (30.0, 0.8)])
def test_startup_times_are_lognormal(mean_s: float, cv: float) -> None:
    simulator = start((replace(BACKEND, startup_mean_s=mean_s, startup_cv=cv),), 0.0, 200)
    ready = [step(simulator, 0.0, np.full((200, 1), 101.0)).sensed.ready for _ in range(600)]
    landed = np.diff([each.sum() for each in ready], prepend=0.0)
    at_s = np.arange(600) + 0.5
    mean = (landed * at_s).sum() / landed.sum()
    deviation = np.sqrt((landed * (at_s - mean) ** 2).sum() / landed.sum())
    assert landed.sum() == 200 * 101
    assert mean == pytest.approx(mean_s, rel=0.03)
    assert deviation / mean == pytest.approx(cv, rel=0.05)


def test_a_replica_that_lands_within_a_tick_serves_the_rest_of_it() -> None:
    """Landing at 12 s in 10 s ticks: 80 % of the second tick is served, 20 % gets a 503."""
    simulator = start((replace(BACKEND, startup_mean_s=12.0, min_replicas=0),), 0.0, 100, 10.0)
    first, second = (step(simulator, 50.0, np.ones((100, 1))) for _ in range(2))
    assert first.misses.sum() == first.requests.sum()
    assert second.misses.sum() / second.requests.sum() == pytest.approx(0.2, abs=0.01)


def test_scale_down_cancels_the_latest_start_first_then_drains() -> None:
    simulator = start()
    step(simulator, 0.0, [[5.0]])
    step(simulator, 0.0, [[7.0]])
    cancelled = step(simulator, 0.0, [[5.0]])
    assert (cancelled.sensed.starting[0, 0], cancelled.stopped[0, 0]) == (1.0, 2.0)
    ready = [step(simulator, 0.0, [[5.0]]).sensed.ready[0, 0] for _ in range(9)]
    assert ready == [4.0] * 7 + [5.0] * 2
    drained = step(simulator, 0.0, [[2.0]])
    assert (drained.sensed.ready[0, 0], drained.stopped[0, 0]) == (2.0, 3.0)
    assert 2.0 < drained.billed_s[0, 0] < 2.5


def test_drained_replicas_are_billed_until_their_queue_is_done() -> None:
    """Five replicas with 8 s of queue each: 40 replica-seconds after they left the route."""
    simulator = start((replace(BACKEND, min_replicas=0),), 5.0)
    for _ in range(8):
        step(simulator, 800.0, [[5.0]])
    billed, draining = [], []
    for _ in range(20):
        tick = step(simulator, 0.0, [[0.0]])
        billed.append(tick.billed_s[0, 0])
        draining.append(tick.sensed.draining[0, 0])
    assert sum(billed) == pytest.approx(40.0, abs=3.0)
    assert draining[0] == 5.0
    assert draining[-1] == billed[-1] == 0.0


def test_replicas_without_a_queue_leave_first() -> None:
    """New replicas are idle beside old ones with a queue: taking them away bills no queue."""
    simulator = start((replace(BACKEND, startup_mean_s=0.0),), 5.0)
    for _ in range(5):
        step(simulator, 800.0, [[5.0]])
    step(simulator, 0.0, [[10.0]])
    idle, busy = step(simulator, 0.0, [[5.0]]), step(simulator, 0.0, [[2.0]])
    assert idle.sensed.draining[0, 0] == 0.0
    assert busy.sensed.draining[0, 0] == 3.0


@pytest.mark.parametrize(
    ("wanted", "given"), [(0.0, 1.0), (2.4, 2.0), (2.6, 3.0), (999.0, 400.0), (-5.0, 1.0)]
)
def test_wanted_is_rounded_and_clipped(wanted: float, given: float) -> None:
    assert step(start(), 0.0, [[wanted]]).sensed.wanted[0, 0] == given


def test_requests_follow_rate_and_weight_as_poisson_counts() -> None:
    simulator = start((BACKEND, BACKEND), 40.0, 2000)
    rate, wanted = np.full(2000, 40.0), np.full((2000, 2), 40.0)
    tick = simulator.step(rate, wanted, np.tile([3.0, 1.0], (2000, 1)))
    counts = tick.sensed.rate_rps
    np.testing.assert_allclose(counts.mean(axis=0), [30.0, 10.0], rtol=0.02)
    np.testing.assert_allclose(counts.var(axis=0), [30.0, 10.0], rtol=0.1)
    np.testing.assert_allclose(tick.requests, counts.sum(axis=1))
    large = simulator.step(np.full(2000, 4000.0), wanted, np.tile([1.0, 0.0], (2000, 1)))
    assert large.requests.mean() == pytest.approx(4000.0, rel=0.002)
    assert large.requests.var() == pytest.approx(4000.0, rel=0.1)


def test_a_backend_without_replicas_fails_its_share() -> None:
    empty = replace(BACKEND, name="empty", min_replicas=0)
    simulator = start((BACKEND, empty), 50.0, 200)
    tick = simulator.step(np.full(200, 100.0), np.tile([50.0, 0.0], (200, 1)), np.ones((200, 2)))
    assert tick.misses.sum() / tick.requests.sum() == pytest.approx(0.5, abs=0.02)
    none = simulator.step(
        np.full(200, 100.0), np.tile([1.0, 0.0], (200, 1)), np.tile([0, 1.0], (200, 1))
    )
    assert none.misses.sum() == none.requests.sum()


def test_weights_that_sum_to_zero_leave_the_route_as_it_was() -> None:
    simulator = start((BACKEND, BACKEND))
    wanted = np.full((1, 2), 4.0)
    simulator.step(np.zeros(1), wanted, np.array([[1.0, 3.0]]))
    tick = simulator.step(np.zeros(1), wanted, np.zeros((1, 2)))
    np.testing.assert_allclose(tick.sensed.weight, [[0.25, 0.75]])


def test_what_is_left_out_is_off_for_every_service_and_backend() -> None:
    stacked = Profiles.stack([Profile("two", (BACKEND, BACKEND)), Profile("also", (BACKEND,) * 2)])
    needed = [field.name for field in fields(Profiles) if field.default is MISSING]
    bare = Profiles(**{name: getattr(stacked, name) for name in needed})
    assert len(needed) < len(fields(Profiles))
    for field in fields(Profiles):
        np.testing.assert_array_equal(getattr(bare, field.name), getattr(stacked, field.name))


def test_absent_backends_stay_empty() -> None:
    profiles = Profiles.stack([Profile("one", (BACKEND,)), Profile("two", (BACKEND, BACKEND))])
    simulator = Simulator(profiles, 1.0, np.random.default_rng(0))
    simulator.reset(np.full((2, 2), 3.0), np.ones((2, 2)))
    tick = simulator.step(np.full(2, 50.0), np.full((2, 2), 9.0), np.ones((2, 2)))
    seen = tick.sensed
    columns = (seen.rate_rps, seen.in_flight, seen.wanted, seen.starting, seen.ready, seen.weight)
    assert all(abs(column[0, 1]) < 1e-12 for column in (*columns, tick.billed_s))
    assert tick.misses[0] < tick.requests[0]


@pytest.mark.parametrize("lag", [0, 1, 4])
def test_metrics_are_late_and_counts_are_not(lag: int) -> None:
    late, now = start(metric_lag_s=5.0 * lag, tick_s=5.0), start(tick_s=5.0)
    rates = [100.0, 0.0, 200.0, 50.0, 300.0, 10.0, 150.0, 80.0]
    seen = [step(late, rate, [[i + 4.0]]).sensed for i, rate in enumerate(rates)]
    true = [step(now, rate, [[i + 4.0]]).sensed for i, rate in enumerate(rates)]
    for i, each in enumerate(seen):
        assert each.age_s[0] == 5.0 * lag
        assert each.time_s[0] == 5.0 * (i + 1)
        np.testing.assert_array_equal(each.starting, true[i].starting)
        np.testing.assert_array_equal(each.wanted, true[i].wanted)
        past = true[i - lag] if i >= lag else None
        for name in ("rate_rps", "in_flight", "miss_share"):
            expected = getattr(past, name) if past else np.full_like(getattr(each, name), np.nan)
            np.testing.assert_array_equal(getattr(each, name), expected)


def rollout(simulator: Simulator, ticks: int = 60) -> Floats:
    rng = np.random.default_rng(9)
    shape = simulator.reset(np.full((3, 2), 4.0), np.ones((3, 2))).ready.shape
    rows = []
    for _ in range(ticks):
        wanted, weight = rng.integers(1, 12, shape).astype(float), rng.random(shape)
        tick = simulator.step(rng.uniform(0, 900, 3), wanted, weight)
        rows.append(
            [tick.requests, tick.misses, tick.billed_s.sum(1), tick.sensed.in_flight.sum(1)]
        )
    return np.array(rows)


def test_same_seed_same_rollout() -> None:
    backends = (replace(BACKEND, startup_cv=0.3), replace(BACKEND, startup_cv=0.3))
    first, again, other = (rollout(start(backends, batch=3, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.isfinite(first).all()
    assert (first >= 0.0).all()
    assert (first[:, 1] <= first[:, 0]).all()


NEVER = 1e-12


def test_what_never_happens_changes_nothing() -> None:
    """Every failure, retry and fault of the metrics switched on, but at rates that never strike."""
    hazards = {"crash_per_h": NEVER, "preempt_per_h": NEVER, "zone_loss_per_h": NEVER}
    backends = (replace(BACKEND, startup_cv=0.3),) * 2
    spared = tuple(
        replace(each, **hazards, error_share=1e-15, slow_share=NEVER) for each in backends
    )
    plain = Profile("api", backends, timeout_s=1e6)
    faults = {"dropout_share": NEVER, "stall_per_h": NEVER, "freeze_per_h": NEVER}
    clients = {"retries": 3, "patience_s": 1e6}
    given: dict[str, Any] = faults | clients
    rollouts = [
        rollout(Simulator(Profiles.stack([profile] * 3), 1.0, np.random.default_rng(1)))
        for profile in (plain, replace(plain, backends=spared, **given))
    ]
    np.testing.assert_allclose(*rollouts, rtol=1e-9)


def test_a_reset_row_starts_afresh_with_its_new_profile_and_others_run_on() -> None:
    profile = Profile("api", (BACKEND,))
    simulator = Simulator(Profiles.stack([profile] * 2), 1.0, np.random.default_rng(0))
    simulator.reset(np.full((2, 1), 2.0), np.ones((2, 1)))
    for _ in range(5):
        before = step(simulator, 500.0, [[3.0], [3.0]])
    slower = replace(BACKEND, startup_mean_s=60.0, concurrency=9)
    changed = Profiles.stack([replace(profile, backends=(slower,), metric_lag_s=3.0)] * 2)
    seen = simulator.reset(np.full((2, 1), 7.0), np.ones((2, 1)), np.array([True, False]), changed)
    np.testing.assert_array_equal(seen.ready, [[7.0], [2.0]])
    np.testing.assert_array_equal(seen.starting, [[0.0], [1.0]])
    np.testing.assert_array_equal(seen.in_flight, [[np.nan], before.sensed.in_flight[1]])
    np.testing.assert_array_equal(seen.time_s, [0.0, 5.0])
    np.testing.assert_array_equal(seen.age_s, [3.0, 0.0])
    ticks = [step(simulator, 0.0, [[8.0], [3.0]]).sensed.ready.ravel() for _ in range(61)]
    assert [
        int(np.argmax([tick[row] for tick in ticks] >= np.float64(last)))
        for row, last in enumerate((8.0, 3.0))
    ] == [60, 5]


def test_profiles_of_another_shape_are_refused() -> None:
    other = Profiles.stack([Profile("api", (BACKEND, BACKEND))])
    with pytest.raises(ValueError, match=r"profiles are \(1, 2\), expected \(1, 1\)"):
        start().reset(np.ones((1, 1)), np.ones((1, 1)), profiles=other)


def test_a_tick_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="tick_s must be above 0"):
        Simulator(Profiles.stack([Profile("api", (BACKEND,))]), 0.0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crash_per_h": -1.0}, "crash_per_h is -1; it must be from 0 to inf"),
        ({"preempt_per_h": float("nan")}, "preempt_per_h is nan; it must be from 0 to inf"),
        ({"error_share": 1.5}, "error_share is 1.5; it must be from 0 to 1"),
        ({"concurrency": 0}, "concurrency is 0; it must be above 0"),
        ({"service_time_s": 0.0}, "service_time_s is 0; it must be above 0"),
    ],
)
def test_a_profile_that_means_nothing_is_refused(wrong: dict[str, float], message: str) -> None:
    backend = BackendProfile("a", **wrong)  # type: ignore[arg-type]  # numbers by field name
    profiles = Profiles.stack([Profile("web", (backend,))])
    with pytest.raises(ValueError, match=message):
        Simulator(profiles, 5.0, np.random.default_rng(0))


@pytest.mark.parametrize(("rate", "wanted"), [(np.nan, 1.0), (1.0, np.nan)])
def test_what_is_no_number_is_refused(rate: float, wanted: float) -> None:
    with pytest.raises(ValueError, match="rate_rps and wanted must be numbers"):
        start().step(np.array([rate]), np.array([[wanted]]), np.ones((1, 1)))


@pytest.mark.parametrize(
    ("rate", "wanted", "weight", "message"),
    [
        ((2,), (1, 1), (1, 1), "rate_rps is"),
        ((1,), (2, 1), (1, 1), "rate_rps is"),
        ((1,), (1, 1), (1, 2), "weight is"),
    ],
)
def test_what_is_for_other_services_is_refused(
    rate: tuple[int], wanted: tuple[int, int], weight: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start().step(np.ones(rate), np.ones(wanted), np.ones(weight))
