"""The rules at full strength: the best setting per service and lambda, found on the train split.

For each family a grid, then a finer one around its best, judged by the very score. "The rule"
that a policy is measured against is the family that did best there. The result ships as
``calibrated.json``, so that everyone is compared with the same opponents.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trimtab_agents.bench.cells import Cell, Grid, make_cells
from trimtab_agents.bench.families import FAMILIES, Family, Settings
from trimtab_agents.bench.play import MAX_ROWS, Batch, batches, play
from trimtab_agents.bench.work import Arrays, fingerprint
from trimtab_agents.policy import Policy
from trimtab_sim.profile import Floats
from trimtab_sim.traces import Trace

PATH = Path(str(files("trimtab_agents") / "calibrated.json"))
COMMAND = "trimtab bench calibrate"


class Key(NamedTuple):
    """What a setting is calibrated for: the service's profile, and lambda."""

    startup_s: float
    size: float
    lag_s: float
    miss_price: float


class RouteKey(NamedTuple):
    """What a routing rule is calibrated for."""

    route: str
    scenario: str
    miss_price: float


Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The best setting of every family, and the J that it reached on the train split.

    And those of the routing rules, in the order of `RoutedRule`'s arguments.
    """

    entries: dict[Key, Entry]
    routes: dict[RouteKey, list[float]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = PATH) -> Calibrated:
        """Read what ``write`` wrote; nothing is calibrated while there is no file."""
        found = json.loads(path.read_text()) if path.exists() else {"entries": [], "routes": []}
        return cls(
            {Key(*(entry.pop(name) for name in Key._fields)): entry for entry in found["entries"]},
            {RouteKey(*key): setting for *key, setting in found["routes"]},
        )

    def write(self, path: Path = PATH) -> None:
        """Write as JSON, one entry a line."""
        entries = [json.dumps(key._asdict() | self.entries[key]) for key in sorted(self.entries)]
        routes = [json.dumps([*key, self.routes[key]]) for key in sorted(self.routes)]
        path.write_text(
            f'{{\n  "command": "{COMMAND}",\n'
            f'  "entries": {_lines(entries)},\n  "routes": {_lines(routes)}\n}}\n'
        )

    def policy(self, family: str, cells: Sequence[Cell]) -> Policy:
        """A family as calibrated for each cell; ``ValueError`` where it is not."""
        return FAMILIES[family].policy(np.array(self.settings(family, cells)))

    def settings(self, family: str, cells: Sequence[Cell]) -> list[list[float]]:
        """The family's setting for each cell; ``ValueError`` where there is none."""
        return [FAMILIES[family].read(self._entry(cell)[family]) for cell in cells]

    def best(self, cell: Cell) -> str:
        """The family that did best on the train split; ``ValueError`` where none was tried."""
        entry = self._entry(cell)
        return min(FAMILIES, key=lambda family: float(entry[family]["J"]))

    def route(self, key: RouteKey) -> list[float]:
        """A routing rule's setting; ``ValueError`` where there is none."""
        if key not in self.routes:
            raise ValueError(f"no routing rule is calibrated for {key}; run `{COMMAND} --quick`")
        return self.routes[key]

    def _entry(self, cell: Cell) -> Entry:
        key = Key(cell.startup_s, cell.size, cell.lag_s, cell.miss_price)
        if key not in self.entries:
            raise ValueError(
                f"the rules are not calibrated for {key}: take --quick, or run `{COMMAND}` first"
            )
        return self.entries[key]


def _lines(items: Sequence[str]) -> str:
    """A JSON list with one item a line."""
    return "[\n    " + ",\n    ".join(items) + "\n  ]"


def profiles(grid: Grid) -> list[tuple[float, float, float]]:
    """Start-up, size and lag of every service that is calibrated for by itself."""
    return list(product(grid.startups_s, grid.sizes, grid.lags_s))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The search for one profile's settings, as a job; ``traces`` is the train split."""

    traces: Mapping[str, Trace]
    grid: Grid
    profile: tuple[float, float, float]

    @property
    def identity(self) -> str:
        """Profile, lambdas and loads."""
        loads = {name: fingerprint(trace.rate_rps) for name, trace in self.traces.items()}
        return f"calibration {self.grid} {self.profile} {loads}"

    @property
    def weight(self) -> float:
        """All profiles take about as long."""
        return 1.0

    def run(self) -> Arrays:
        """For each family the best settings, ``[lambdas, dials and J]``."""
        startups_s, sizes, lags_s = zip(self.profile, strict=True)
        # The rules know no lambda and one seed decides, so a single run serves all of them.
        grid = Grid(self.grid.windows, startups_s, sizes, lags_s, (0.0,), 1)
        cells = make_cells(self.traces, grid)
        search = Search(cells, self.traces, np.array(self.grid.miss_prices))
        return {
            name: np.array([[*setting, score] for setting, score in search.refined(family)])
            for name, family in FAMILIES.items()
        }

    def entries(self, arrays: Arrays) -> dict[Key, Entry]:
        """What ``run`` found, by lambda."""
        return {
            Key(*self.profile, price): {
                name: family.written(arrays[name][row, :-1])
                | {"J": round(float(arrays[name][row, -1]), 3)}
                for name, family in FAMILIES.items()
            }
            for row, price in enumerate(self.grid.miss_prices)
        }


@dataclass(frozen=True, slots=True)
class Search:
    """Looks for the setting with the least mean J over cells, once for each lambda."""

    cells: Sequence[Cell]
    traces: Mapping[str, Trace]
    miss_prices: Floats

    def refined(self, family: Family) -> list[tuple[Floats, float]]:
        """Best setting and its J for each lambda, from the grid and then around its best.

        The grid is tried on the peak windows only, what is around its best on all.
        """
        peaks = [cell for cell in self.cells if cell.window == 0]
        coarse = replace(self, cells=peaks).best(family, family.settings)
        return self.best(family, np.concatenate([family.around(found) for found, _ in coarse]))

    def best(self, family: Family, settings: Settings) -> list[tuple[Floats, float]]:
        """Best of some settings and its J for each lambda; every trace counts the same."""
        parts = batches(self.cells, self.traces)
        scores = sum(self._scores(batch, family, settings) for batch in parts)
        return [(settings[row.argmin()], float(row.min())) for row in np.asarray(scores)]

    def _scores(self, batch: Batch, family: Family, settings: Settings) -> Floats:
        """The batch's part of the mean J, ``[lambdas, settings]``."""
        at_once = max(1, MAX_ROWS // len(batch.cells))
        parts = [settings[first : first + at_once] for first in range(0, len(settings), at_once)]
        return np.concatenate([self._part(batch, family, part) for part in parts], axis=1)

    def _part(self, batch: Batch, family: Family, settings: Settings) -> Floats:
        windows = Counter(cell.trace for cell in self.cells)
        weight = np.array([1.0 / windows[cell.trace] for cell in batch.cells]) / len(windows)
        policy = family.policy(np.repeat(settings, len(batch.cells), axis=0))
        outcome = play(batch.tiled(len(settings)), policy)
        scores = [outcome.score(price).reshape(len(settings), -1) for price in self.miss_prices]
        return np.stack(scores) @ weight
