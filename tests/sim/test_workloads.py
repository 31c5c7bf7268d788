"""Random loads: usable whatever is drawn, reproducible, and as varied as real ones."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_sim.traces import read_trace, shipped_traces
from trimtab_sim.workloads import GENERATORS, Generator, compose, random_workloads, sampled


@pytest.mark.parametrize("generate", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize(("ticks", "tick_s"), [(1, 5.0), (2, 1.0), (720, 5.0), (3000, 60.0)])
def test_every_shape_at_every_length(generate: Generator, ticks: int, tick_s: float) -> None:
    for seed in range(10):
        load = generate(np.random.default_rng(seed), ticks, tick_s)
        assert load.shape == (ticks,)
        assert np.isfinite(load).all()
        assert load.min() >= 0.0


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("diurnal", 1.1, 12),
        ("steps", 1.05, 60),
        ("flash_crowd", 1.1, 60),
        ("batch", 1.2, 60),
        ("idle_spikes", 2.0, 2000),
        ("plateau_dips", 1.0, 3.0),
        ("heavy_noise", 1.05, 60),
    ],
)
def test_peak_over_mean_is_what_the_shape_promises(name: str, low: float, high: float) -> None:
    rng = np.random.default_rng(3)
    loads = [GENERATORS[name](rng, 17_280, 5.0) for _ in range(30)]
    ratio = np.median([load.max() / load.mean() for load in loads])
    assert low < ratio < high


def test_rows_have_mean_one_and_are_reproducible() -> None:
    loads = random_workloads(np.random.default_rng(7), 64, 720, 5.0)
    assert loads.shape == (64, 720)
    np.testing.assert_allclose(loads.mean(axis=1), 1.0)
    np.testing.assert_array_equal(loads, random_workloads(np.random.default_rng(7), 64, 720, 5.0))
    assert not np.allclose(loads, random_workloads(np.random.default_rng(8), 64, 720, 5.0))


def test_sampling_keeps_the_mean_and_holds_its_value() -> None:
    rng = np.random.default_rng(1)
    metered = [sampled(rng, np.ones(6000), 1.0) for _ in range(200)]
    normal = [load / load.mean() for load in metered]
    assert np.mean([np.mean(np.diff(load) == 0.0) for load in normal]) > 0.8
    widest = max(load.std() for load in normal)
    narrowest = min(load.std() for load in normal)
    assert narrowest < 0.05 < 0.4 < widest


def test_real_traces_lie_within_what_is_drawn() -> None:
    """Peak over mean and minute-to-minute change of each trace are met among ours."""

    def character(load: np.ndarray) -> tuple[float, float]:
        return load.max() / load.mean(), np.abs(np.diff(load)).mean() / load.mean()

    drawn = np.array(
        [character(load) for load in random_workloads(np.random.default_rng(0), 2000, 480, 60.0)]
    )
    for path in shipped_traces().values():
        rates = read_trace(path).rates(60.0)[:480]
        real = np.array(character(rates))
        assert (real > drawn.min(0)).all(), path.stem
        assert (real < drawn.max(0)).all(), path.stem


def test_compositions_differ_from_one_another() -> None:
    rng = np.random.default_rng(5)
    loads = np.array([compose(rng, 720, 5.0) for _ in range(40)])
    alike = np.abs(np.corrcoef(loads + 1e-9 * rng.standard_normal(loads.shape)))
    assert np.median(alike[np.triu_indices(40, 1)]) < 0.3
