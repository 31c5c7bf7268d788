from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
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


def test_looked_at_all_the_time_equal_sides_seldom_ever_seem_worse() -> None:
    """Ville's inequality, under a load that moves: 4,000 comparisons of 200 looks each."""
    rng, alpha, runs = np.random.default_rng(3), 0.05, 4000
    log, late, seen = np.zeros((runs, 2)), np.zeros((2, runs)), np.zeros((2, runs))
    ever, naive = np.zeros(runs, bool), np.zeros(runs, bool)
    for _ in range(200):
        # What is common to both sides changes from look to look, as the sizes do.
        share = rng.beta(1.0, 9.0, runs)
        n_new, n_old = rng.integers(1, 60, (2, runs)).astype(float)
        y_new, y_old = rng.binomial([n_new, n_old], share).astype(float)
        tables = Tables(*(part[:, None] for part in (y_new, n_new, y_old, n_old)))
        log += tables.log_capital(np.float64(0.1), np.float64(0.0), np.array([1.4, 3.0]))
        ever |= np.exp(log).mean(1) >= 1.0 / alpha
        late, seen = np.add(late, [y_new, y_old]), np.add(seen, [n_new, n_old])
        pooled = late.sum(0) / seen.sum(0)
        spread = np.sqrt(pooled * (1.0 - pooled) * (1.0 / seen).sum(0))
        naive |= (late[0] / seen[0] - late[1] / seen[1]) > 1.645 * spread
    assert ever.mean() <= alpha
    assert ever.mean() > alpha / 50.0
    assert naive.mean() > 2.0 * alpha


@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_the_score_is_fair_and_its_variance_right(shift: float) -> None:
    rng = np.random.default_rng(4)
    n_new, n_old = np.full((2, 20000), [[30.0], [90.0]])
    y_new, y_old = rng.binomial(30, 0.2 + shift, 20000), rng.binomial(90, 0.2, 20000)
    tables = Tables(y_new, n_new, y_old, n_old)
    score = tables.score(np.float64(shift))
    assert abs(score.mean()) < 4.0 * score.std() / np.sqrt(len(score))
    assert tables.variance().mean() == pytest.approx(score.var(), rel=0.02 + 2.0 * shift)
