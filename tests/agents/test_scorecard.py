import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents import bench_command
from trimtab_agents.bench.scorecard_runs import LAGGED, RETRYING, SERVICE_TIME, Size, prove
from trimtab_agents.evidence.claims import Claims
from trimtab_agents.evidence.doubt import ends
from trimtab_agents.evidence.past import Past
from trimtab_agents.evidence.replay import Books, Cast, observed, replay
from trimtab_agents.evidence.sequence import looks
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.profile_file import Interval

RUNS, DAYS = 4000, 30


@pytest.mark.parametrize("alpha", [0.05, 0.025])
def test_an_interval_looked_at_daily_seldom_ever_loses_the_truth(alpha: float) -> None:
    days = np.random.default_rng(1).normal(3.0, 2.0, (DAYS, RUNS))
    low, high = looks(days, alpha)
    held = ((low <= 3.0) & (high >= 3.0)).all(0)
    assert held.mean() >= 1.0 - alpha
    # A test that looks daily without asking leave loses it far more often.
    count = np.arange(5, DAYS + 1)[:, None]
    spread = np.stack([days[:n].std(0, ddof=1) for n in range(5, DAYS + 1)])
    mean = np.cumsum(days, 0)[4:] / count
    naive = (np.abs(mean - 3.0) <= 2.0 * spread / np.sqrt(count)).all(0)
    assert naive.mean() < 1.0 - 2.0 * alpha


def test_an_interval_says_nothing_at_first_and_more_every_day() -> None:
    days = np.tile([[1.0], [3.0]], (10, 4))
    low, high = looks(days, 0.05)
    width = (high - low)[:, 0]
    assert np.isinf(width[:3]).all()
    assert (np.diff(width[4:]) < 0.0).all()
    assert width[-1] < 4.0


def test_an_interval_does_not_care_for_the_unit() -> None:
    days = np.random.default_rng(2).normal(1.0, 1.0, (12, 1))
    low, high = looks(days, 0.05)
    assert looks(1000.0 * days, 0.05)[0][-1] == pytest.approx(1000.0 * low[-1])
    assert high[-1] > 1.0 > low[-1]


FITTED = Interval("service_time_s", 0.048, 0.053, "web")
LAG = Interval("metric_lag_s", 0.0, 10.0)
SLOTS = Interval("concurrency", 3.0, 6.0, "web")


@pytest.mark.parametrize(
    ("doubt", "easier", "harder"),
    [
        pytest.param(FITTED, (0.046, 0.048), (0.053, 0.056), id="slower is harder"),
        pytest.param(LAG, (0.0, 0.0), (10.0, 15.0), id="later is harder"),
        pytest.param(SLOTS, (6, 8), (2, 3), id="fewer slots are harder"),
    ],
)
def test_ends_reach_beyond_the_intervals_of_a_fit(
    doubt: Interval, easier: tuple[float, float], harder: tuple[float, float]
) -> None:
    profile = Profile("web", (BackendProfile("web"),))
    for end, (low, high) in zip(ends(profile, [doubt]), (easier, harder), strict=True):
        owner = end.backends[0] if doubt.backend else end
        assert low <= getattr(owner, doubt.quantity) <= high


def test_a_profile_that_nobody_measured_is_doubted_all_the_same() -> None:
    profile = Profile("web", (BackendProfile("web"), BackendProfile("spot", startup_mean_s=9.0)))
    easier, harder = ends(profile, ())
    for one, worse in zip(easier.backends, harder.backends, strict=True):
        assert one.service_time_s < 0.05 < worse.service_time_s
        assert one.startup_mean_s < worse.startup_mean_s


def quiet(ticks: int, known: int) -> Past:
    """Ten requests per second on one replica; of some ticks nothing is known."""
    ones = np.ones((ticks, 1, 1))
    seen = (np.arange(ticks) < known)[:, None]
    return Past(15.0, 10, 0, ones, ones, ones, ones, 10.0 * ones, 0.5 * ones, 0.0 * seen, seen)


def test_what_nobody_saw_counts_nowhere() -> None:
    past = quiet(20, 13)
    cast = Cast.of(np.zeros(1, int), 0, Profiles.stack([Profile("web", (BackendProfile("web"),))]))
    for books in (observed(past, np.ones((1, 1))), replay(past, cast, None, 0)):
        assert books.cost[:, 0].tolist() == [150.0, 45.0]
    assert past.fresh[:, 0].tolist() == [1.0, pytest.approx(0.3)]


def test_claims_are_no_better_than_the_worst_profile_allows() -> None:
    rng = np.random.default_rng(3)

    def books(cost: np.ndarray) -> Books:
        nothing = np.zeros_like(cost)
        return Books(nothing + 100.0, nothing, cost, nothing, nothing, nothing)

    incumbent = books(rng.normal(10.0, 0.1, (14, 3)))
    policy = books(incumbent.cost * [0.9, 0.8, 0.95])
    saving = Claims.of(incumbent, policy, 3).saving.last()
    assert saving.value == pytest.approx(0.1)
    assert saving.low < 0.051
    assert saving.high > 0.199


def test_a_small_proof_finds_what_is_wrong_and_holds_the_truth() -> None:
    result = prove(Size(runs=12, days=5, day_ticks=720, certified=5), 0, lambda _: None)
    assert min(result["coverage"], result["coverage_daily"]) >= 0.9
    assert result["refused"][SERVICE_TIME] == 1.0
    assert min(result["refused"][RETRYING], result["refused"][LAGGED]) > 0.5
    assert result["passed_when_right"] > 0.5
    assert 0.05 < result["true_saving"] < 0.15
    assert replace(Size(1, 2, 3, 4), runs=9) == Size(1, 2, 3, 4).of(9)


def test_the_command_says_which_bar_is_not_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three days have no interval, so nothing can be found in them.
    monkeypatch.setattr(bench_command, "FORTNIGHT", Size(4, 3, 240, 3))
    file = tmp_path / "scorecard.json"
    found = CliRunner().invoke(
        bench_command.bench, ["scorecard", "--runs", "4", "--json", str(file)]
    )
    assert found.exit_code == 1
    assert "power_10pct_14d does not meet its bar, 0.8" in found.output
    assert json.loads(file.read_text())["coverage"] == 1.0
