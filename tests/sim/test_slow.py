"""How many replicas are slow, and what least request and blind balancers make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trimtab_sim.balancers import Balancer
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.simulator import Simulator

BATCH = 200
BACKEND = BackendProfile("a", startup_mean_s=5.0, startup_cv=0.0, min_replicas=0)
TEN = np.full((BATCH, 1), 10.0)
ONES = np.ones_like(TEN)


def start(**changes: Any) -> Simulator:
    profile = Profile("api", (replace(BACKEND, **changes),))
    simulator = Simulator(Profiles.stack([profile] * BATCH), 1.0, np.random.default_rng(0))
    simulator.reset(TEN, ONES)
    return simulator


def missed(simulator: Simulator, rate: float, ticks: int = 60) -> float:
    steps = [simulator.step(np.full(BATCH, rate), TEN, ONES) for _ in range(ticks)]
    return float(sum(t.misses.sum() for t in steps) / sum(t.requests.sum() for t in steps))


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_share_of_those_that_are_ready_at_first_and_of_those_that_start(share: float) -> None:
    simulator = start(slow_share=share)
    assert simulator.slow.count.mean() == pytest.approx(10.0 * share, rel=0.1)
    for _ in range(10):
        simulator.step(np.full(BATCH, 100.0), 3.0 * TEN, ONES)
    assert simulator.slow.count.mean() == pytest.approx(30.0 * share, rel=0.1)
    assert (simulator.slow.count <= 30.0).all()


def test_they_leave_as_others_do() -> None:
    simulator = start(slow_share=0.5)
    simulator.failures.crash(0.5 * TEN)
    simulator.step(np.zeros(BATCH), 0.5 * TEN, ONES)
    assert simulator.slow.count.mean() == pytest.approx(2.5, rel=0.1)
    simulator.failures.lose_zone(99.0 * ONES)
    simulator.step(np.zeros(BATCH), TEN, ONES)
    assert simulator.slow.count.max() == 0.0


@pytest.mark.parametrize(("factor", "rate"), [(2.0, 240.0), (3.0, 160.0)])
def test_where_all_are_slow_the_backend_is(factor: float, rate: float) -> None:
    """Utilisation 0.6, of slow replicas or of a slow service."""
    alike = missed(start(service_time_s=0.05 * factor), rate)
    assert missed(start(slow_share=1.0, slow_factor=factor), rate) == pytest.approx(alike, abs=0.01)


def test_least_request_shields_from_them() -> None:
    """Two of ten take four times as long: they get a fifth of the requests only if blindly sent."""
    shares = {}
    for balancer in Balancer:
        simulator = start(balancer=balancer, slow_factor=4.0)
        simulator.slow.strike(2.0 * ONES)
        shares[balancer] = missed(simulator, 500.0)
    assert shares[Balancer.LEAST_REQUEST] < 0.05
    # A fifth of 500 rps is more than two slow replicas carry.
    assert shares[Balancer.ROUND_ROBIN] == pytest.approx(0.2, abs=0.03)
    assert shares[Balancer.RANDOM] == pytest.approx(0.2, abs=0.03)
