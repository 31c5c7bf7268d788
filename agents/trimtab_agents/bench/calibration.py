"""The rules at full strength: the best setting per service and lambda, found on the train split.

A grid, then a finer one around each best, judged by the very score. The result ships as
``calibrated.json``, so that everyone is compared with the same opponents.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trimtab_agents.bench.cells import Cell, Grid, make_cells
from trimtab_agents.bench.play import MAX_ROWS, Batch, batches, play
from trimtab_agents.policy import Policy
from trimtab_agents.rules.hpa import HpaRule
from trimtab_agents.rules.target import TargetRule
from trimtab_envs.memory import ESTIMATES
from trimtab_sim.profile import Floats
from trimtab_sim.traces import Trace

PATH = Path(str(files("trimtab_agents") / "calibrated.json"))
COMMAND = "trimtab bench calibrate"

# Rows are settings: the target utilisation; or estimate, headroom and hold.
Settings = Floats
HPA_SETTINGS: Settings = np.arange(0.20, 0.96, 0.025)[:, None]
HEADROOMS = (0.6, 0.8, 0.95, 1.1, 1.25, 1.45, 1.7, 2.0, 2.5, 3.2, 4.2, 6.0)
HOLDS_S = (0.0, 60.0, 180.0, 600.0, 1800.0, 7200.0)
RULE_SETTINGS: Settings = np.array(list(product(range(len(ESTIMATES)), HEADROOMS, HOLDS_S)))
FINER: Settings = np.array(
    list(product([1.0], [0.88, 0.94, 1.0, 1.06, 1.12], [0.5, 0.7, 1.0, 1.4, 2.0]))
)


def hpa(settings: Settings) -> Policy:
    """HPA with one setting per service."""
    return HpaRule(settings[:, 0])


def rule(settings: Settings) -> Policy:
    """The rule with one setting per service."""
    return TargetRule(settings[:, 0], settings[:, 1], settings[:, 2])


class Key(NamedTuple):
    """What a setting is calibrated for: the service's profile, and lambda."""

    startup_s: float
    size: float
    lag_s: float
    miss_price: float


Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The best settings of the rules, and the J that they reached on the train split."""

    entries: dict[Key, Entry]

    @classmethod
    def read(cls, path: Path = PATH) -> Calibrated:
        """Read what ``write`` wrote; nothing is calibrated while there is no file."""
        entries = json.loads(path.read_text())["entries"] if path.exists() else []
        return cls({Key(*(entry.pop(name) for name in Key._fields)): entry for entry in entries})

    def write(self, path: Path = PATH) -> None:
        """Write as JSON, one entry a line."""
        entries = [json.dumps(key._asdict() | self.entries[key]) for key in sorted(self.entries)]
        lines = ",\n    ".join(entries)
        path.write_text(f'{{\n  "command": "{COMMAND}",\n  "entries": [\n    {lines}\n  ]\n}}\n')

    def hpa(self, cells: Sequence[Cell]) -> Policy:
        """HPA as calibrated for each cell; ``ValueError`` where it is not."""
        return hpa(np.array([[self._entry(cell)["hpa"]["target"]] for cell in cells]))

    def rule(self, cells: Sequence[Cell]) -> Policy:
        """The rule as calibrated for each cell; ``ValueError`` where it is not."""
        found = [self._entry(cell)["rule"] for cell in cells]
        settings = [(ESTIMATES.index(r["estimate"]), r["headroom"], r["hold_s"]) for r in found]
        return rule(np.array(settings, dtype=np.float64))

    def _entry(self, cell: Cell) -> Entry:
        key = Key(cell.startup_s, cell.size, cell.lag_s, cell.miss_price)
        if key not in self.entries:
            raise ValueError(f"the rules are not calibrated for {key}; run `{COMMAND}`")
        return self.entries[key]


def calibrate(traces: Mapping[str, Trace], grid: Grid) -> Iterator[tuple[Key, Entry]]:
    """Entries for every profile and lambda of the grid; ``traces`` is the train split."""
    for profile in product(grid.startups_s, grid.sizes, grid.lags_s):
        startups_s, sizes, lags_s = zip(profile, strict=True)
        # The rules know no lambda and one seed decides, so a single run serves all of them.
        cells = make_cells(traces, Grid(grid.windows, startups_s, sizes, lags_s, (0.0,), 1))
        search = Search(cells, traces, np.array(grid.miss_prices))
        hpa_best = search.best(hpa, HPA_SETTINGS)
        coarse = search.best(rule, RULE_SETTINGS)
        rule_best = search.best(rule, np.concatenate([_around(found) for found, _ in coarse]))
        for row, miss_price in enumerate(grid.miss_prices):
            yield Key(*profile, miss_price), _entry(*hpa_best[row], *rule_best[row])


def _around(setting: Floats) -> Settings:
    """A rule's setting and its neighbours: the same estimate, finer headrooms and holds."""
    return np.asarray(setting * FINER)


def _entry(hpa_setting: Floats, hpa_score: float, rule_setting: Floats, rule_score: float) -> Entry:
    estimate, headroom, hold_s = rule_setting.tolist()
    return {
        "hpa": {"target": round(float(hpa_setting[0]), 3), "J": round(hpa_score, 3)},
        "rule": {
            "estimate": ESTIMATES[int(estimate)],
            "headroom": round(headroom, 3),
            "hold_s": round(hold_s, 1),
            "J": round(rule_score, 3),
        },
    }


@dataclass(frozen=True, slots=True)
class Search:
    """Looks for the setting with the least mean J over cells, once for each lambda."""

    cells: Sequence[Cell]
    traces: Mapping[str, Trace]
    miss_prices: Floats

    def best(
        self, make: Callable[[Settings], Policy], settings: Settings
    ) -> list[tuple[Floats, float]]:
        """Best setting and its J for each lambda; every trace counts the same."""
        scores = sum(
            self._scores(batch, make, settings) for batch in batches(self.cells, self.traces)
        )
        return [(settings[row.argmin()], float(row.min())) for row in np.asarray(scores)]

    def _scores(
        self, batch: Batch, make: Callable[[Settings], Policy], settings: Settings
    ) -> Floats:
        """The batch's part of the mean J, ``[lambdas, settings]``."""
        at_once = max(1, MAX_ROWS // len(batch.cells))
        parts = [settings[first : first + at_once] for first in range(0, len(settings), at_once)]
        return np.concatenate([self._part(batch, make, part) for part in parts], axis=1)

    def _part(self, batch: Batch, make: Callable[[Settings], Policy], settings: Settings) -> Floats:
        windows = Counter(cell.trace for cell in self.cells)
        weight = np.array([1.0 / windows[cell.trace] for cell in batch.cells]) / len(windows)
        policy = make(np.repeat(settings, len(batch.cells), axis=0))
        outcome = play(batch.tiled(len(settings)), policy)
        scores = [outcome.score(price).reshape(len(settings), -1) for price in self.miss_prices]
        return np.stack(scores) @ weight
