import numpy as np
import pytest

from trimtab_agents.canary.clumps import EXPECTED, Clumps

LOOKS, RUNS = 300, 400


@pytest.mark.parametrize("drift", [0.0, 0.4], ids=["equal", "worse"])
@pytest.mark.parametrize("clump", [1.0, 6.0])
@pytest.mark.parametrize("carried", [0.0, 0.5], ids=["each look by itself", "carried over"])
def test_clumps_are_found(clump: float, carried: float, drift: float) -> None:
    """A difference that lasts is none; what looks share with their neighbours is part of it."""
    rng = np.random.default_rng(6)
    clumps, before = Clumps.none(RUNS), rng.normal(size=RUNS)
    for _ in range(LOOKS):
        variance = rng.uniform(5.0, 10.0, RUNS)
        noise = rng.normal(size=RUNS)
        score = drift * variance + np.sqrt(clump * variance) * (noise + carried * before)
        clumps, before = clumps.after(score, variance), noise
    # Neighbours by two thirds, of what a look shares with both of them.
    truth = clump * (1.0 + carried**2 + 2.0 * carried * 2.0 / 3.0)
    assert clumps.size.mean() == pytest.approx(truth, rel=0.1, abs=0.15)


def test_one_expects_large_clumps_until_many_looks_say_otherwise() -> None:
    rng, clumps, sizes = np.random.default_rng(7), Clumps.none(500), []
    for _ in range(60):
        sizes.append(clumps.size.mean())
        clumps = clumps.after(rng.normal(size=500), np.ones(500))
    assert sizes[0] == EXPECTED
    assert sizes[3] > 3.0
    assert 1.0 <= sizes[-1] < 1.7


def test_clumps_are_never_smaller_than_an_answer() -> None:
    clumps = Clumps.none(1)
    for sign in [1.0, -1.0] * 100:
        clumps = clumps.after(np.array([sign]), np.array([4.0]))
    assert clumps.size[0] == 1.0
