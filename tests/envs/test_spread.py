"""Quantiles of a load's minutes are those of a plain sort, compiled and under NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_envs.minutes import BIN_S, BINS, BLOCK, Minutes
from trimtab_envs.spread import MIN_BINS, RANKS, Spread
from trimtab_sim import rows
from trimtab_sim.compiled import compile_rows

ROWS = BLOCK + 6


def by_hand(values: np.ndarray) -> list[float]:
    """The least value that a part of ``RANKS`` of all is at or below."""
    ordered = sorted(values)
    return [ordered[int(np.ceil(rank * len(ordered))) - 1] if ordered else 1.0 for rank in RANKS]


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("minutes", [2, 3, 50, BINS, BINS + 77])
def test_as_a_sort_finds_them(
    minutes: int, is_compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_rows()
    if not is_compiled:
        for loop in rows.LOOPS:
            monkeypatch.setattr(loop, "run", loop.plain)
    rng = np.random.default_rng(minutes)
    # Of some all is alike, and one was not seen from the start.
    loads = np.ceil(5.0 * rng.random((minutes, ROWS))) / np.arange(1, ROWS + 1)
    levels = rng.random((minutes, ROWS))
    memory, spread = Minutes(ROWS), Spread(ROWS)
    for number, (load, level) in enumerate(zip(loads, levels, strict=True)):
        seen = np.ones(ROWS, dtype=np.bool_)
        seen[0] = number >= 1
        memory.update(load, level, seen, BIN_S)
    steps = rng.integers(0, 60, ROWS)
    spread.measure(memory, BIN_S * steps)
    for row, ahead in enumerate(steps):
        past = loads[max(minutes - BINS, 1 if row == 0 else 0) :, row]
        assert spread.known[row] == (len(past) >= MIN_BINS)
        if spread.known[row]:
            before = levels[-len(past) :, row][: max(len(past) - ahead, 0)]
            surges = past[ahead:] / np.maximum(before, 1e-6 + 1e-3 * past.mean())
            assert spread.loads[:, row].tolist() == by_hand(past)
            np.testing.assert_allclose(spread.surges[:, row], by_hand(surges), rtol=1e-12)
            assert spread.highest[row] == past.max()
            assert spread.mean[row] == pytest.approx(past.mean(), rel=1e-12)
