"""The tracked quantiles are exceeded as often as their ranks say."""

from __future__ import annotations

import numpy as np

from trimtab_envs.bursts import BURST_RANKS, Bursts


def test_quantiles_are_exceeded_as_often_as_they_should() -> None:
    rng = np.random.default_rng(0)
    rows, ticks = 200, 6000
    bursts = Bursts(rows)
    above = np.zeros((len(BURST_RANKS), rows))
    for tick in range(ticks):
        rate = 100.0 * np.exp(rng.normal(0.0, 0.4, rows))
        if tick >= ticks // 2:
            above += rate > 100.0 * bursts.ratios
        bursts.update(rate, np.full(rows, 100.0), np.ones(rows, dtype=bool))
    np.testing.assert_allclose(above.mean(1) / (ticks / 2), 1.0 - BURST_RANKS, rtol=0.1)


def test_missing_readings_and_resets_leave_the_other_rows_alone() -> None:
    bursts = Bursts(3)
    start = bursts.ratios.copy()
    seen = np.array([True, False, True])
    for _ in range(50):
        bursts.update(np.full(3, 300.0), np.full(3, 100.0), seen)
    assert (bursts.ratios[:, 0] > start[:, 0]).all()
    np.testing.assert_array_equal(bursts.ratios[:, 1], start[:, 1])
    bursts.reset(np.array([True, False, False]))
    np.testing.assert_array_equal(bursts.ratios[:, 0], start[:, 0])
    assert (bursts.ratios[:, 2] > start[:, 2]).all()
