"""Requests that come again: how many, how often they are missed, and storms that stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.simulator import Simulator, Tick

BATCH = 100
BACKEND = BackendProfile("a", startup_mean_s=0.0, startup_cv=0.0, min_replicas=0)


def run(
    rates: list[float], tick_s: float = 1.0, error_share: float = 0.0, **client: float
) -> list[Tick]:
    """Ten replicas, which carry 800 rps, at one rate after the other."""
    given: dict[str, Any] = client
    profile = Profile("api", (replace(BACKEND, error_share=error_share),), **given)
    profiles = Profiles.stack([profile] * BATCH)
    simulator = Simulator(profiles, tick_s, np.random.default_rng(0))
    ten = np.full((BATCH, 1), 10.0)
    simulator.reset(ten, np.ones_like(ten))
    return [simulator.step(np.full(BATCH, rate), ten, np.ones_like(ten)) for rate in rates]


def missed(ticks: list[Tick]) -> float:
    return float(sum(t.misses.sum() for t in ticks) / sum(t.requests.sum() for t in ticks))


def attempted(ticks: list[Tick], tick_s: float = 1.0) -> float:
    """Attempts per request, as the metrics show them."""
    sent = sum(tick.sensed.rate_rps.sum() for tick in ticks) * tick_s
    return float(sent / sum(tick.requests.sum() for tick in ticks))


BURST = [560.0] * 20 + [1200.0] * 10 + [560.0] * 120


@pytest.mark.parametrize("tick_s", [0.5, 1.0, 5.0])
@pytest.mark.parametrize(("retries", "stays"), [(0, False), (3, True)])
def test_a_storm_outlives_its_cause(retries: int, stays: bool, tick_s: float) -> None:
    rates = np.repeat(BURST, 2) if tick_s == 0.5 else BURST[:: int(tick_s)]
    ticks = run(list(rates), tick_s, retries=retries)
    after = ticks[-len(ticks) // 8 :]
    assert missed(after) == pytest.approx(1.0 if stays else 0.0, abs=0.01)
    assert attempted(after, tick_s) == pytest.approx(4.0 if stays else 1.0, rel=0.01)


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
@pytest.mark.parametrize("error_share", [0.1, 0.5, 1.0])
def test_what_fails_comes_again_until_it_succeeds_or_has_no_try_left(
    retries: int, error_share: float
) -> None:
    ticks = run([100.0] * 60, error_share=error_share, retries=retries)
    assert missed(ticks) == pytest.approx(error_share ** (retries + 1), abs=0.003)
    expected = sum(error_share**attempt for attempt in range(retries + 1))
    assert attempted(ticks) == pytest.approx(expected, rel=1e-9)


def test_sensed_misses_are_of_attempts() -> None:
    """A proxy counts every error that it passes on; the user sees only the last."""
    ticks = run([400.0] * 20, error_share=0.2, retries=3)
    seen = np.mean([tick.sensed.miss_share.mean() for tick in ticks])
    assert seen == pytest.approx(0.2, abs=0.01)
    assert missed(ticks) < 0.01


def test_no_request_is_missed_twice() -> None:
    ticks = run(BURST, retries=3, error_share=0.1)
    assert all((tick.misses <= tick.requests + 1e-9).all() for tick in ticks)


def test_attempts_are_bounded_by_the_retries_whatever_the_patience() -> None:
    for patience_s in (0.1, 0.9, 2.5, 7.0):
        ticks = run([2000.0] * 60, retries=2, patience_s=patience_s)
        assert 1.5 < attempted(ticks) <= 3.0, patience_s


def test_a_service_that_starts_again_has_no_storm() -> None:
    profile = Profile("api", (BACKEND,), retries=3)
    simulator = Simulator(Profiles.stack([profile] * 2), 1.0, np.random.default_rng(0))
    ten = np.full((2, 1), 10.0)
    simulator.reset(ten, np.ones_like(ten))
    for _ in range(20):
        simulator.step(np.full(2, 2000.0), ten, np.ones_like(ten))
    simulator.reset(ten, np.ones_like(ten), rows=np.array([True, False]))
    tick = simulator.step(np.full(2, 100.0), ten, np.ones_like(ten))
    assert tick.sensed.rate_rps[0, 0] == tick.requests[0]
    assert tick.sensed.rate_rps[1, 0] > 1000.0


def test_services_without_retries_are_as_if_no_other_had_any() -> None:
    """Beside one whose clients try again, a service with errors misses what it always did."""
    alone, beside = (
        Profiles.stack(
            [
                Profile("one", (replace(BACKEND, error_share=0.1),)),
                Profile("two", (BACKEND,), retries=retries),
            ]
        )
        for retries in (0, 3)
    )
    misses = []
    for profiles in (alone, beside):
        simulator = Simulator(profiles, 1.0, np.random.default_rng(4))
        ten = np.full((2, 1), 10.0)
        simulator.reset(ten, np.ones_like(ten))
        ticks = [simulator.step(np.array([500.0, 100.0]), ten, np.ones_like(ten)) for _ in range(9)]
        misses.append([tick.misses for tick in ticks])
    np.testing.assert_allclose(misses[0], misses[1])
