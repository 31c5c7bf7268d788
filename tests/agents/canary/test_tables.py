from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_agents.canary.tables import Tables

SHARES = st.floats(0.0, 1.0)


def expectation(
    sizes: tuple[int, int], truth: tuple[float, float], expected: float, shift: float, odds: float
) -> float:
    """The mean of the capital over every table that there can be, weighted by its probability."""
    n_new, n_old = sizes
    y_new, y_old = np.array([*product(range(n_new + 1), range(n_old + 1))], float).T
    chance = np.outer(_binomial(n_new, truth[0]), _binomial(n_old, truth[1])).ravel()
    tables = Tables(y_new, np.full_like(y_new, n_new), y_old, np.full_like(y_old, n_old))
    capital = np.exp(tables.log_capital(np.float64(expected), np.float64(shift), np.float64(odds)))
    return float(chance @ capital)


def _binomial(n: int, share: float) -> np.ndarray:
    return np.array([comb(n, y) * share**y * (1.0 - share) ** (n - y) for y in range(n + 1)])


@settings(deadline=None)
@given(
    sizes=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    old=SHARES,
    below=SHARES,
    expected=SHARES,
    shift=st.floats(-0.3, 0.3),
    odds=st.floats(1.01, 50.0),
)
def test_capital_cannot_be_expected_to_grow_while_the_claim_holds(
    sizes: tuple[int, int], old: float, below: float, expected: float, shift: float, odds: float
) -> None:
    most = min(old + shift, 1.0)
    if most >= 0.0:
        assert expectation(sizes, (most * below, old), expected, shift, odds) <= 1.0 + 1e-9
    least = max(old + shift, 0.0)
    if least <= 1.0:
        new = least + (1.0 - least) * below
        assert expectation(sizes, (new, old), expected, shift, 1.0 / odds) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("truth", "shift", "odds"),
    [
        pytest.param((0.3, 0.1), 0.0, 3.0, id="worse"),
        pytest.param((0.1, 0.3), 0.0, 1 / 3.0, id="better"),
        pytest.param((0.3, 0.1), 0.05, 2.0, id="worse by more than may be"),
        pytest.param((0.1, 0.1), 0.2, 1 / 4.0, id="not worse by so much"),
    ],
)
def test_capital_grows_where_the_claim_is_wrong(
    truth: tuple[float, float], shift: float, odds: float
) -> None:
    assert expectation((20, 30), truth, truth[1], shift, odds) > 1.5


def test_without_a_shift_it_is_the_ratio_of_likelihoods_of_turner_ly_and_gruenwald() -> None:
    old, odds, sizes, seen = 0.1, 2.0, (10, 40), (3, 4)
    new = odds * old / (1.0 - old + odds * old)
    fair = (10 * new + 40 * old) / 50

    def likelihood(shares: tuple[float, float]) -> float:
        share, late, all_of = np.array(shares), np.array(seen), np.array(sizes)
        return float((share**late * (1.0 - share) ** (all_of - late)).prod())

    (y_new, y_old), (n_new, n_old) = (map(np.float64, pair) for pair in (seen, sizes))
    log = Tables(y_new, n_new, y_old, n_old).log_capital(old, np.float64(0.0), np.float64(odds))
    assert np.exp(log) == pytest.approx(likelihood((new, old)) / likelihood((fair, fair)))


def test_one_answer_more_that_is_late_is_evidence_for_worse_and_against_fine() -> None:
    late = np.arange(0.0, 21.0)
    tables = Tables(late, np.full(21, 20.0), np.full(21, 10.0), np.full(21, 50.0))
    for odds, sign in ((2.0, 1.0), (0.5, -1.0)):
        log = tables.log_capital(np.float64(0.2), np.float64(0.0), np.float64(odds))
        assert (sign * np.diff(log) > 0.0).all()
