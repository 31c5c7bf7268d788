"""What a metrics pipeline makes of the truth: intervals, holes, stalls, and frozen values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator, Tick

Floats = NDArray[np.float64]
TICK_S, BATCH = 5.0, 300
PLAIN = Profile("api", (BackendProfile("a"), BackendProfile("b")), metric_lag_s=10.0)
# Every fault at once, often.
FAULTY = {"dropout_share": 0.1, "stall_per_h": 20.0, "freeze_per_h": 20.0}


def ticks(count: int, **sensing: float) -> Iterator[Tick]:
    """A changing load, the same whatever the pipeline makes of it."""
    changes: dict[str, Any] = sensing
    profiles = Profiles.stack([replace(PLAIN, **changes)] * BATCH)
    simulator = Simulator(profiles, TICK_S, np.random.default_rng(3))
    wanted = np.full(profiles.shape, 5.0)
    simulator.reset(wanted, np.ones_like(wanted))
    for number in range(count):
        rate = np.full(BATCH, 400.0 + 300.0 * np.sin(number / 7.0))
        yield simulator.step(rate, wanted, np.ones_like(wanted))


def column(rollout: list[Tick], name: str) -> Floats:
    """A column of ``Sensed``, the first axis being the tick."""
    return np.array([getattr(tick.sensed, name) for tick in rollout])


def test_samples_are_means_over_the_interval_and_age_until_the_next() -> None:
    now, seen = list(ticks(60, metric_lag_s=0.0)), list(ticks(60, sample_s=20.0))
    true, rate = column(now, "rate_rps"), column(seen, "rate_rps")
    ago = np.rint(column(seen, "age_s") / TICK_S).astype(int)
    assert set(np.unique(ago[10:])) == {2, 3, 4, 5}
    for row in range(5):
        for number in range(10, 60):
            taken = number - ago[number, row]
            expected = true[taken - 3 : taken + 1, row].mean(axis=0)
            np.testing.assert_allclose(rate[number, row], expected)
    phases = ago[30]
    assert np.bincount(phases)[2:].min() > BATCH / 8


@pytest.mark.parametrize(
    "sensing",
    [
        {"sample_s": 15.0, "metric_lag_s": 20.0},
        {"dropout_share": 0.2},
        {"stall_per_h": 60.0, "sample_s": 15.0},
        {"dropout_share": 0.2, "stall_per_h": 60.0, "metric_lag_s": 0.0},
    ],
    ids=str,
)
def test_without_frozen_values_a_reading_is_as_old_as_it_says(sensing: dict[str, float]) -> None:
    true = column(list(ticks(100, metric_lag_s=0.0)), "in_flight")
    seen = list(ticks(100, **sensing))
    gauge, age_s = column(seen, "in_flight"), column(seen, "age_s")
    shown = np.isfinite(gauge[:, :, 0])
    assert 0.3 < shown.mean() < 1.0
    number, row = np.nonzero(shown)
    taken = number - np.rint(age_s[shown] / TICK_S).astype(int)
    np.testing.assert_array_equal(gauge[shown], true[taken, row])


def test_no_request_is_lost_between_samples() -> None:
    """A counter's next sample covers the samples that were dropped."""
    seen = list(ticks(200, sample_s=10.0, dropout_share=0.3, metric_lag_s=0.0))
    rate, age_s = column(seen, "rate_rps"), column(seen, "age_s")
    arrived = np.array([tick.requests for tick in seen])
    for row in range(20):
        fresh = np.flatnonzero((age_s[:, row] == 0.0) & np.isfinite(rate[:, row, 0]))
        since = np.diff(fresh)
        counted = rate[fresh[1:], row].sum(axis=1) * since * TICK_S
        np.testing.assert_allclose(counted.sum(), arrived[fresh[0] + 1 : fresh[-1] + 1, row].sum())


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_share_of_samples_that_drop_out(share: float) -> None:
    missing = np.isnan(column(list(ticks(200, dropout_share=share))[2:], "rate_rps"))
    assert missing.mean() == pytest.approx(share, rel=0.1)
    np.testing.assert_array_equal(missing[:, :, 0], missing[:, :, 1])


@pytest.mark.parametrize("kind", ["stall_per_h", "freeze_per_h"])
def test_spans_without_a_new_sample(kind: str) -> None:
    """Twelve an hour of 60 s each; a stall says so by its age, a freeze only by its value."""
    spoilt = {kind: 12.0, "fault_mean_s": 60.0}
    rollout = list(ticks(400, **spoilt, metric_lag_s=0.0))[50:]
    gauge = column(rollout, "in_flight")[:, :, 0]
    repeats = (gauge[1:] == gauge[:-1]).mean()
    busy = 1.0 - np.exp(-12.0 * 60.0 / 3600.0)  # of an M/G/infinity of spans
    assert repeats == pytest.approx(busy, rel=0.15)
    old = (column(rollout, "age_s") > 0.0).mean()
    assert old == pytest.approx(repeats if kind == "stall_per_h" else 0.0, rel=0.02)


def test_the_pipeline_changes_nothing_but_what_is_seen() -> None:
    plain, spoilt = (
        np.array([[tick.requests, tick.misses, tick.billed_s.sum(1)] for tick in rollout])
        for rollout in (ticks(50), ticks(50, sample_s=20.0, **FAULTY))
    )
    np.testing.assert_array_equal(plain, spoilt)


def test_a_service_that_starts_again_has_not_been_measured() -> None:
    profiles = Profiles.stack([replace(PLAIN, sample_s=20.0, dropout_share=0.1)] * 2)
    simulator = Simulator(profiles, TICK_S, np.random.default_rng(0))
    two = np.full(profiles.shape, 5.0)
    simulator.reset(two, np.ones_like(two))
    for _ in range(20):
        before = simulator.step(np.full(2, 100.0), two, np.ones_like(two)).sensed
    seen: Sensed = simulator.reset(two, np.ones_like(two), rows=np.array([True, False]))
    assert np.isnan(seen.rate_rps[0]).all()
    assert seen.age_s[0] == 10.0
    np.testing.assert_array_equal(seen.rate_rps[1], before.rate_rps[1])
