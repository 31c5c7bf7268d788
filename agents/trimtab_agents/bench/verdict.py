"""From outcomes to the verdict: which part of the regret of the calibrated rule is closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from trimtab_agents.bench.cells import Cell
from trimtab_sim.profile import Floats

BOOTSTRAP_DRAWS = 2000
RULE, LEARNER, BOUND, HINDSIGHT = "rule", "ppo", "bound", "hindsight"


@dataclass(frozen=True, slots=True)
class Scores:
    """One policy's terms of the score on C cells, each ``[C]``."""

    score: Floats
    fleet: Floats
    miss: Floats
    events_per_hour: Floats

    def of(self, rows: Sequence[int]) -> Scores:
        """The same for some of the cells."""
        index = np.asarray(rows, dtype=np.int64)
        return Scores(
            self.score[index], self.fleet[index], self.miss[index], self.events_per_hour[index]
        )

    @classmethod
    def chosen(cls, scores: Mapping[str, Scores], names: Sequence[str]) -> Scores:
        """On the i-th cell those of the i-th name."""
        columns = [
            np.array([getattr(scores[name], field.name)[row] for row, name in enumerate(names)])
            for field in fields(cls)
        ]
        return cls(*columns)


@dataclass(frozen=True, slots=True)
class Table:
    """Scores of every policy on the same cells."""

    cells: tuple[Cell, ...]
    scores: Mapping[str, Scores]

    def where(self, rows: Sequence[int]) -> Table:
        """The table of some of the cells."""
        some = {name: scores.of(rows) for name, scores in self.scores.items()}
        return Table(tuple(self.cells[row] for row in rows), some)

    def split(self, *, train: bool) -> Table:
        """The cells of the train traces, or of the others."""
        return self.where([i for i, cell in enumerate(self.cells) if cell.is_train == train])

    def policies(self) -> dict[str, dict[str, float]]:
        """Means over the cells, and the share of cells within the SLO."""
        allowed = np.array([1.0 - cell.profile.slo_share for cell in self.cells])
        return {
            name: {
                "J": float(scores.score.mean()),
                "fleet": float(scores.fleet.mean()),
                "miss": float(scores.miss.mean()),
                "events_per_hour": float(scores.events_per_hour.mean()),
                "slo_kept": float((scores.miss <= allowed).mean()),
            }
            for name, scores in self.scores.items()
        }

    def with_hindsight(self, names: Iterable[str]) -> Table:
        """With the one of these policies that turned out best on each cell, for scale."""
        scores = {name: self.scores[name].score for name in names}
        best = [min(scores, key=lambda name: scores[name][row]) for row in range(len(self.cells))]
        return replace(self, scores={**self.scores, HINDSIGHT: Scores.chosen(self.scores, best)})

    def closed(self, rule_name: str = RULE) -> dict[str, Any] | None:
        """The verdict with its intervals, or None when no learner was played.

        ``rule_name`` is the policy against which the learner is measured.
        """
        if LEARNER not in self.scores or not self.cells:
            return None
        rule, learner, bound = (self.scores[name].score for name in (rule_name, LEARNER, BOUND))
        return _closed(_regrets(self.cells, rule - learner, rule - bound))


@dataclass(frozen=True, slots=True)
class _Regret:
    """One trace: what the learner gained, what there was to gain, ``[windows, seeds, lambdas]``."""

    family: str
    miss_prices: tuple[float, ...]
    gain: Floats
    prize: Floats

    def closed(self) -> Floats:
        """Part of the regret that is closed, for each lambda."""
        return np.asarray(self.gain.sum((0, 1)) / self.prize.sum((0, 1)))

    def resampled(self, rng: np.random.Generator) -> _Regret:
        """Windows, then seeds, drawn with replacement."""
        windows, seeds = (rng.integers(n, size=n) for n in self.gain.shape[:2])
        draw = np.ix_(windows, seeds)
        return _Regret(self.family, self.miss_prices, self.gain[draw], self.prize[draw])


def _regrets(cells: Sequence[Cell], gain: Floats, prize: Floats) -> dict[str, _Regret]:
    """By trace; the services of a cell's window, seed and lambda are added up."""
    prices = tuple(sorted({cell.miss_price for cell in cells}))
    seeds = 1 + max(cell.seed for cell in cells)
    windows = {cell.trace: 0 for cell in cells}
    for cell in cells:
        windows[cell.trace] = max(windows[cell.trace], cell.window + 1)
    family = {cell.trace: cell.family for cell in cells}
    regrets = {}
    for trace, count in windows.items():
        zeros = np.zeros((2, count, seeds, len(prices)))
        regrets[trace] = _Regret(family[trace], prices, *zeros)
    for cell, gained, possible in zip(cells, gain, prize, strict=True):
        at = cell.window, cell.seed, prices.index(cell.miss_price)
        regrets[cell.trace].gain[at] += gained
        regrets[cell.trace].prize[at] += possible
    return regrets


def _closed(regrets: Mapping[str, _Regret]) -> dict[str, Any]:
    """Mean over traces, every lambda counting the same."""
    table = np.stack([regret.closed() for regret in regrets.values()])
    by_trace = dict(zip(regrets, table.mean(1).tolist(), strict=True))
    by_family: dict[str, list[float]] = defaultdict(list)
    for trace, regret in regrets.items():
        by_family[regret.family].append(by_trace[trace])
    prices = next(iter(regrets.values())).miss_prices
    low, high = np.quantile(_bootstrap(list(regrets.values())), [0.025, 0.975])
    return {
        "mean": float(table.mean()),
        "iqm": interquartile_mean(table.ravel()),
        "ci95": [float(low), float(high)],
        "by_trace": by_trace,
        "by_family": {family: float(np.mean(values)) for family, values in by_family.items()},
        "worst_trace": min(by_trace.values()),
        "by_lambda": {f"{p:g}": float(v) for p, v in zip(prices, table.mean(0), strict=True)},
        "by_trace_and_lambda": {
            trace: {f"{p:g}": float(v) for p, v in zip(prices, row, strict=True)}
            for trace, row in zip(regrets, table, strict=True)
        },
    }


def _bootstrap(regrets: Sequence[_Regret]) -> list[float]:
    """Means over families, then their traces, windows and seeds drawn with replacement."""
    rng = np.random.default_rng(0)
    families = [[r for r in regrets if r.family == name] for name in {r.family for r in regrets}]
    means = []
    for _ in range(BOOTSTRAP_DRAWS):
        drawn = [families[i] for i in rng.integers(len(families), size=len(families))]
        traces = [
            family[i] for family in drawn for i in rng.integers(len(family), size=len(family))
        ]
        means.append(float(np.mean([trace.resampled(rng).closed() for trace in traces])))
    return means


def interquartile_mean(values: Floats) -> float:
    """Mean without the lowest and the highest quarter (rounded down)."""
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())
