"""Crashes, slow replicas, balancers and retries against the request-level event model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab_agents.bench.fidelity import changes
from trimtab_agents.bench.fidelity.cases import FAILURES
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.simulator import Simulator, Tick

Floats = NDArray[np.float64]
BACKEND = BackendProfile("a", startup_mean_s=10.0, startup_cv=0.0)


class Limits(NamedTuple):
    """How far off a case may be: miss share over all, in multiples of the aim (5 % or half a
    point); points of it in the worst 5 s; and the number in the system, relative to its peak.
    """

    total: float = 1.0
    worst: float = 0.01
    inside: float = 0.1


LIMITS = {
    # Which of the lost had been counted as late is only known on average.
    "crash in a queue": Limits(worst=0.025),
    # So few are in the system that 40 looks of the reference at it scatter.
    "crash, one slot": Limits(inside=0.15),
    # Requests that time out leave the simulator's count too early.
    "storm": Limits(inside=0.4),
    # A second before the bucket's end there are a quarter fewer of them.
    "storm passes": Limits(inside=0.2),
    "storm, scaled": Limits(worst=0.03, inside=0.25),
    "errors": Limits(worst=0.03),
    # While the slow alone have a queue, how it scatters is not followed.
    "slow, round robin": Limits(worst=0.05),
}
# Where patience is shorter than a tick, how a storm begins and ends is followed on average only.
LIMITS_5S = LIMITS | {
    "storm": Limits(worst=0.08),
    "storm passes": Limits(worst=0.4),
    "storm, scaled": Limits(worst=0.2),
}


@pytest.mark.parametrize("tick_s", [1.0, 5.0])
@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_lived_through_as_in_the_event_model(name: str, tick_s: float) -> None:
    expected, found = changes.referenced()[name], changes.simulated(FAILURES[name], tick_s)
    limits = (LIMITS if tick_s == 1.0 else LIMITS_5S).get(name, Limits())
    total = expected.total.value
    aim = max(0.05 * total, 0.005)
    assert found.total.value == pytest.approx(total, abs=limits.total * aim)
    worst = np.abs(found.late - expected.late) - expected.half_width
    assert worst.max() < limits.worst
    assert found.sent.sum() == pytest.approx(expected.sent.sum(), rel=0.05)
    if tick_s == 1.0:
        # The reference counts at the bucket's end, the simulator over the tick before it.
        off = np.abs(found.inside - expected.inside) / expected.inside.max()
        assert off.max() < limits.inside, (np.round(found.inside), expected.inside)


def start(batch: int = 1, slo_s: float = 0.3, **changes: float) -> Simulator:
    given: dict[str, Any] = changes
    backends = replace(BACKEND, **given), BACKEND
    profile = Profile("api", backends, slo_latency_s=slo_s, timeout_s=60.0)
    simulator = Simulator(Profiles.stack([profile] * batch), 1.0, np.random.default_rng(0))
    simulator.reset(np.full((batch, 2), 4.0), np.ones((batch, 2)))
    return simulator


def step(simulator: Simulator, rate: float = 0.0, wanted: float = 4.0, batch: int = 1) -> Tick:
    shape = (batch, 2)
    return simulator.step(np.full(batch, rate), np.full(shape, wanted), np.ones(shape))


FIRST = np.array([[1.0, 0.0]])


def test_a_crashed_replica_starts_afresh() -> None:
    simulator = start()
    simulator.failures.crash(3.0 * FIRST)
    seen = [step(simulator).sensed for _ in range(12)]
    assert [each.ready[0].tolist() for each in seen] == [[1.0, 4.0]] * 10 + [[4.0, 4.0]] * 2
    assert seen[0].starting[0].tolist() == [3.0, 0.0]


def test_more_crashes_than_replicas_take_all() -> None:
    simulator = start()
    simulator.failures.crash(99.0 * FIRST)
    tick = step(simulator, 100.0)
    assert tick.sensed.ready[0].tolist() == [0.0, 4.0]
    assert tick.misses[0] == pytest.approx(tick.requests[0] / 2, rel=0.3)


def test_what_was_late_before_is_not_missed_again_when_its_replica_crashes() -> None:
    """Queues of 8 s: all that wait have been counted."""
    simulator = start()
    for _ in range(8):
        step(simulator, 1280.0)
    simulator.failures.crash(4.0 * FIRST)
    tick = step(simulator)
    assert tick.misses[0] < 1.0


@pytest.mark.parametrize(("rate", "share"), [(500.0, 1.0), (0.0, 0.0)])
def test_a_crash_fails_the_requests_in_service(rate: float, share: float) -> None:
    """500 rps of 50 ms: half of the 25 that are served are on the first backend."""
    simulator = start(200)
    for _ in range(5):
        before = step(simulator, rate, batch=200)
    simulator.failures.crash(np.tile(4.0 * FIRST, (200, 1)))
    tick = step(simulator, 0.0, batch=200)
    held = before.sensed.in_flight[:, 0].mean()
    assert tick.misses.mean() == pytest.approx(share * held, rel=0.05)


@pytest.mark.parametrize("kind", ["crash_per_h", "preempt_per_h"])
def test_rates_are_per_hour_of_a_ready_replica(kind: str) -> None:
    simulator = start(200, startup_mean_s=0.0, **{kind: 2.0})
    replaced = sum(step(simulator, batch=200).started.sum(axis=0) for _ in range(600))
    hours = 200 * 4 * 600 / 3600
    assert replaced[0] == pytest.approx(2.0 * hours, rel=0.15)
    assert replaced[1] == 0.0


def test_a_lost_zone_is_gone_for_its_time_and_starts_again() -> None:
    simulator = start()
    step(simulator, wanted=6.0)
    simulator.failures.lose_zone(20.0 * FIRST)
    ticks = [step(simulator, 200.0, 6.0) for _ in range(40)]
    ready = [tick.sensed.ready[0, 0] for tick in ticks]
    assert ready == [0.0] * 29 + [6.0] * 11
    assert [tick.billed_s[0, 0] for tick in ticks] == [0.0] * 19 + [6.0] * 21
    assert all(tick.sensed.wanted[0, 0] == 6.0 for tick in ticks)
    assert [tick.sensed.ready[0, 1] for tick in ticks][-1] == 6.0
    missed = [tick.misses[0] / tick.requests[0] for tick in ticks]
    assert np.mean(missed[:29]) == pytest.approx(0.5, abs=0.02)
    assert np.mean(missed[30:]) < 0.01


def test_zones_are_lost_at_their_rate_and_for_their_time() -> None:
    simulator = start(400, startup_mean_s=0.0, zone_loss_per_h=6.0, zone_loss_mean_s=100.0)
    ready = np.array([step(simulator, batch=400).sensed.ready for _ in range(1500)])
    lost = (ready[600:, :, 0] == 0.0).mean()
    assert lost == pytest.approx(1.0 - np.exp(-6.0 * 100.0 / 3600.0), rel=0.15)
    assert ready[:, :, 1].min() == 4.0


@pytest.mark.parametrize(("notice_s", "unfinished"), [(0.0, 1.0), (3.0, 5 / 8), (30.0, 0.0)])
def test_a_preempted_replica_loses_what_its_notice_does_not_suffice_for(
    notice_s: float, unfinished: float
) -> None:
    """Replicas with 8 s of queue each, none of which is late yet."""
    simulator = start(preempt_notice_s=notice_s, slo_s=20.0)
    for _ in range(8):
        step(simulator, 1280.0)
    queue = simulator.in_flight[0, 0]
    simulator.failures.preempt(4.0 * FIRST)
    ticks = [step(simulator) for _ in range(40)]
    assert sum(tick.misses[0] for tick in ticks) == pytest.approx(unfinished * queue, rel=0.1)
    drained_s = sum(tick.billed_s[0, 0] for tick in ticks) - 4.0 * 40
    assert drained_s == pytest.approx(4.0 * min(notice_s, 8.0), abs=2.0)
    assert [tick.sensed.ready[0, 0] for tick in ticks] == [0.0] * 10 + [4.0] * 30


def test_a_service_that_starts_again_has_its_zone_back() -> None:
    simulator = start(2)
    simulator.failures.lose_zone(np.array([[50.0, 0.0], [50.0, 0.0]]))
    four = np.full((2, 2), 4.0)
    simulator.reset(four, np.ones((2, 2)), rows=np.array([True, False]))
    ready = [step(simulator, batch=2, wanted=5.0).sensed.ready for _ in range(12)][-1]
    assert ready.tolist() == [[5.0, 5.0], [0.0, 5.0]]
