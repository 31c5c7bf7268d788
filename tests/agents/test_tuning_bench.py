"""The full measurement, and searches replayed from it."""

from __future__ import annotations

from itertools import product
from statistics import median

import pytest

from trimtab_agents.bench.tuning import SEEDS, Played, Scores, Table, measured, random_gap, replayed
from trimtab_agents.tune_postgres.settings import Settings, space, usual
from trimtab_agents.tune_postgres.trial import TRIAL_S


@pytest.fixture(scope="module")
def table() -> Table:
    return measured()


def every() -> set[Settings]:
    dials = space().dials
    values = product(*(dial.values for dial in dials.values()))
    return {Settings.of(dict(zip(dials, each, strict=True))) for each in values}


def test_every_choice_was_measured_to_its_end(table: Table) -> None:
    assert table.keys() == every()
    for scores in table.values():
        assert len(scores) == TRIAL_S
        assert scores[-1] > 0.0


def test_a_twentieth_of_the_choices_comes_nearer_to_the_best_than_chance(table: Table) -> None:
    trials, seeds = len(table) // 20, range(3)
    found = [Played.of(table, seed, trials, stop=True) for seed in seeds]
    assert median(each.gap for each in found) < median(
        random_gap(table, seed, trials) for seed in range(SEEDS)
    )
    assert all(each.seconds < trials * TRIAL_S for each in found), "no loser was stopped"


def test_the_same_seed_plays_the_same_and_nothing_is_spared_unasked(table: Table) -> None:
    one, other = (Played.of(table, 5, 8, stop=False) for _ in range(2))
    assert one == other
    assert one.seconds == 8 * TRIAL_S


def plain(best: float) -> dict[Settings, Scores]:
    """All alike but for one that is better: as far from a new server's as can be."""
    scores = dict.fromkeys(every(), (2.0,) * TRIAL_S)
    return scores | {Settings(0.25, 256, 2, 40, 32, 1.1, "plain"): (best,) * TRIAL_S}


def test_gaps_are_shares_of_the_best() -> None:
    flat = plain(2.0)
    assert Played.of(flat, 0, 3, stop=True).gap == 0.0
    assert random_gap(flat, 0, 3) == 0.0
    needle = plain(1.0)
    assert random_gap(needle, 0, 2) == pytest.approx(1.0)
    assert random_gap(needle, 0, len(needle)) == 0.0


def test_what_the_bench_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab_agents.bench.tuning.SEEDS", 2)
    monkeypatch.setattr("trimtab_agents.bench.tuning.TRIED_SHARE", 0.01)
    told: list[None] = []
    result = replayed(plain(1.6), lambda: told.append(None))
    assert len(told) == 4
    assert result["tuning_gap_usual"] == pytest.approx(0.25)
    assert result["tuning_trials"] == 4
    assert 0.0 <= result["tuning_gap_median"] <= result["tuning_gap_worst"] <= 0.25
    assert usual(space()) == Settings()
