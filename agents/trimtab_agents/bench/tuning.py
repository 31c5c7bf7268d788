"""Does the search find what is near the best among few trials? Replayed from a full measurement.

Every choice of `trimtab tune postgres` was measured once (`postgres.csv`, by `python -m
tools.measure_postgres`), second by second, so that a search can be played any number of times as
it would have gone, with losers stopped where they would have been.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from math import inf
from typing import Any

import numpy as np

from trimtab_agents.search import Search
from trimtab_agents.tune_postgres.cost import Price
from trimtab_agents.tune_postgres.settings import Settings, space, usual
from trimtab_agents.tune_postgres.trial import TRIAL_S
from trimtab_agents.tune_postgres.workload import Seen

SEEDS, TRIED_SHARE = 20, 0.05
# What is asked of the search.
MOST = {"tuning_gap_median": 0.05}
# Cents per million transactions after each second; the last is the score.
Scores = tuple[float, ...]
Table = Mapping[Settings, Scores]


def measured() -> Table:
    """Every choice, as it was measured for this package."""
    return read((files("trimtab_agents.bench") / "postgres.csv").read_text(encoding="utf-8"))


def read(text: str) -> Table:
    """The scores in a table of `tools.measure_postgres`; of a choice that failed, infinite ones."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(_scored(row) for row in csv.DictReader(lines))


def _scored(row: Mapping[str, str]) -> tuple[Settings, Scores]:
    usually = Settings().choice
    settings = Settings.of({name: type(value)(row[name]) for name, value in usually.items()})
    if row["error"]:
        return settings, (inf,) * TRIAL_S
    return settings, tuple(_score(settings, row, second) for second in range(TRIAL_S))


def _score(settings: Settings, row: Mapping[str, str], second: int) -> float:
    latency_s = float(row[f"latency_ms_{second}"]) / 1e3
    # Nothing was seen of answers in the first second of a very slow server.
    seen = Seen(latency_s, float(row[f"late_{second}"]), answers=int(latency_s > 0.0))
    return Price().cents_per_million(settings, seen)


@dataclass(frozen=True, slots=True)
class Played:
    """A search: how far the best tried is from the best of all, and how long it measured."""

    gap: float
    seconds: int

    @classmethod
    def of(cls, table: Table, seed: int, trials: int, *, stop: bool) -> Played:
        """So many trials, as the command makes them; stop: losers early."""
        search = Search.open(
            space(), "replay", ":memory:", seed=seed, first=[usual(space()).choice]
        )
        seconds = sum(_tried(search, table, stop=stop) for _ in range(trials))
        best = search.best.score if search.best else inf
        return cls(best / min(scores[-1] for scores in table.values()) - 1.0, seconds)


def _tried(search: Search, table: Table, *, stop: bool) -> int:
    """One trial; the seconds that it was measured for."""
    trying = search.ask()
    scores = table[Settings.of(trying.choice)]
    for second, score in enumerate(scores[:-1]):
        if stop and score < inf and trying.losing(second, score):
            search.tell(trying, score, stopped=True)
            return second + 1
    search.tell(trying, scores[-1])
    return len(scores)


def random_gap(table: Table, seed: int, trials: int) -> float:
    """How far the best of so many choices is, of a new server's settings and others at random."""
    scores = {settings: whole[-1] for settings, whole in table.items()}
    first = scores.pop(usual(space()))
    drawn = np.random.default_rng(seed).choice(list(scores.values()), trials - 1, replace=False)
    return float(min(first, drawn.min()) / min(first, *scores.values()) - 1.0)


def replayed(table: Table, advance: Callable[[], object]) -> dict[str, Any]:
    """Medians over seeds; ``advance`` is called after each of the searches, of which there are two
    a seed: with losers stopped, as the command does it, and without."""
    trials = int(TRIED_SHARE * len(table))
    played: dict[bool, list[Played]] = {True: [], False: []}
    for seed in range(SEEDS):
        for stop, found in played.items():
            found.append(Played.of(table, seed, trials, stop=stop))
            advance()
    gaps = {stop: np.array([each.gap for each in found]) for stop, found in played.items()}
    random = np.array([random_gap(table, seed, trials) for seed in range(SEEDS)])
    return {
        "tuning_gap_median": float(np.median(gaps[True])),
        "tuning_gap_random": float(np.median(random)),
        "tuning_gap_worst": float(gaps[True].max()),
        "tuning_gap_median_unstopped": float(np.median(gaps[False])),
        "tuning_seconds_spared": 1.0
        - sum(each.seconds for each in played[True]) / sum(each.seconds for each in played[False]),
        "tuning_gap_usual": table[usual(space())][-1] / min(t[-1] for t in table.values()) - 1.0,
        "tuning_choices": len(table),
        "tuning_trials": trials,
    }
