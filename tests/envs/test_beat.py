"""Loads that jump by the clock are known by it; all others may jump at any time."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_envs.beat import Beat

TICK_S = 5.0
HORIZON_S = 20.0


def stepped(rng: np.random.Generator, step_s: float, offset_s: float, ticks: int) -> np.ndarray:
    times_s = np.arange(ticks) * TICK_S + offset_s
    number = (times_s // step_s).astype(int)
    return np.exp(rng.normal(0.0, 0.4, number[-1] + 1))[number]


def watched(load: np.ndarray, rps: float, rng: np.random.Generator) -> np.ndarray:
    """What was expected after each tick of a load that Poisson arrivals make noisy."""
    beat, last, ahead = Beat(1, TICK_S), load[0], []
    for tick, level in enumerate(load):
        now = rng.poisson(level * rps * TICK_S) / (rps * TICK_S)
        time_s = np.array([(tick + 1) * TICK_S])
        beat.update(np.log([(now + 0.05) / (last + 0.05)]), time_s, np.array([True]))
        ahead.append(beat.ahead(time_s, np.array([HORIZON_S]))[0])
        last = now
    return np.array(ahead)


@pytest.mark.parametrize("step_s", [60.0, 300.0])
def test_a_load_that_keeps_to_the_clock_jumps_when_expected(step_s: float) -> None:
    rng = np.random.default_rng(0)
    ticks = 2400
    late = watched(stepped(rng, step_s, 0.0, ticks), 400.0, rng)[ticks // 2 :]
    after_s = (np.arange(ticks // 2, ticks) + 1) * TICK_S % step_s
    near = after_s >= step_s - HORIZON_S + TICK_S
    far = (after_s > 0.0) & (after_s < step_s - HORIZON_S - TICK_S)
    assert late[near].mean() > 0.9
    assert late[far].mean() < 0.2


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(lambda _: np.ones(2400), id="constant"),
        pytest.param(lambda rng: np.exp(rng.normal(0.0, 0.3, 2400)), id="noise"),
        pytest.param(lambda rng: stepped(rng, 185.0, 0.0, 2400), id="another period"),
    ],
)
def test_without_a_beat_a_jump_may_always_be_ahead(load) -> None:
    rng = np.random.default_rng(1)
    assert watched(load(rng), 400.0, rng).mean() > 0.95


def test_nothing_is_foretold_before_three_periods() -> None:
    rng = np.random.default_rng(2)
    early = watched(stepped(rng, 60.0, 0.0, 36), 400.0, rng)
    assert early.min() == 1.0


def test_a_reset_forgets_one_row_only() -> None:
    beat = Beat(2, TICK_S)
    for tick in range(600):
        jump = np.full(2, 0.5 if tick % 12 == 0 else 0.0)
        beat.update(jump, np.full(2, (tick + 1) * TICK_S), np.ones(2, dtype=bool))
    beat.reset(np.array([True, False]))
    ahead = beat.ahead(np.full(2, 3010.0), np.full(2, HORIZON_S))
    assert ahead[0] == 1.0
    assert ahead[1] < 0.3
