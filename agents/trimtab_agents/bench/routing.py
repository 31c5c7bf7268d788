"""Who does how well in scenarios in which routing decides.

The routing rules stand on the strongest scaling there is: for every scenario and lambda the best
setting of a grid on the train split. The policy knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from trimtab_agents.bench.calibration import Calibrated, RouteKey
from trimtab_agents.bench.contest import Player
from trimtab_agents.bench.play import MAX_ROWS
from trimtab_agents.bench.scenarios import (
    ALONE,
    MISS_PRICES,
    SCENARIOS,
    TOGETHER,
    Row,
    played,
    windows,
)
from trimtab_agents.bench.verdict import LEARNER
from trimtab_agents.bench.work import Arrays, fingerprint
from trimtab_agents.policy import Policy
from trimtab_agents.rules.routing import ROUTED_BY, ROUTES, RoutedRule, fullness
from trimtab_agents.training.config import TRAIN_TRACES
from trimtab_sim.profile import Floats
from trimtab_sim.traces import Trace

HEADROOMS, HOLDS_S = (0.8, 0.95, 1.2, 1.5, 2.0, 3.0), (60.0, 300.0, 1200.0)


@dataclass(frozen=True, slots=True)
class Crossing:
    """One player on some scenarios, and all windows and lambdas, at once."""

    player: str
    scenarios: tuple[str, ...]  # with as many services
    loads: Floats  # [T, windows]
    learner: Player

    @property
    def identity(self) -> str:
        """Loads and player."""
        who = self.learner.identity([]) if self.player == LEARNER else self._settings().tolist()
        return f"routing {self.player} {who} {_drawn(self.scenarios)} {fingerprint(self.loads)}"

    @property
    def weight(self) -> float:
        """In ticks of the benchmark's own cells."""
        return float(len(self.loads))

    def run(self) -> Arrays:
        """Mean J over windows and lambdas of every scenario, ``[scenarios]``."""
        rows = [Row(SCENARIOS[name], window, price) for name, window, price in self._places()]
        prices = np.array([row.miss_price for row in rows])
        fleet, miss = played(self._policy(), rows, self.loads)
        score = (fleet + prices * miss).reshape(len(self.scenarios), -1)
        return {"score": score.mean(1)}

    def _places(self) -> Iterator[tuple[str, int, float]]:
        return product(self.scenarios, range(self.loads.shape[1]), MISS_PRICES)

    def _policy(self) -> Policy:
        if self.player == LEARNER:
            return self.learner.policy([])
        return RoutedRule(self.player, *self._settings().T)

    def _settings(self) -> Floats:
        """The rule's settings service by service, ``[B, dials]``; ``ValueError`` without any."""
        calibrated = Calibrated.read()
        keys = [RouteKey(self.player, name, price) for name, _, price in self._places()]
        settings = np.array([calibrated.route(key) for key in keys])
        return np.repeat(settings, SCENARIOS[self.scenarios[0]].services, axis=0)


@dataclass(frozen=True, slots=True)
class RouteCalibration:
    """The search for a routing rule's settings in every scenario, as a job."""

    route: str
    loads: Floats  # [T, windows], of the train split

    @property
    def identity(self) -> str:
        """Rule, scenarios and loads."""
        drawn = _drawn(SCENARIOS)
        return f"route calibration {self.route} {drawn} {fingerprint(self.loads)}"

    @property
    def weight(self) -> float:
        """In searches for the settings of one profile."""
        return 0.1

    @property
    def settings(self) -> Floats:
        """What is tried, ``[settings, dials]``."""
        return np.array(list(product(ROUTED_BY, HEADROOMS, HOLDS_S, fullness(self.route))))

    def run(self) -> Arrays:
        """The best settings, ``[scenarios, lambdas, dials]``; one has to serve all windows."""
        scores = [self._scores(scenario) for scenario in SCENARIOS]
        return {"settings": self.settings[np.argmin(scores, axis=2)]}

    def _scores(self, scenario: str) -> Floats:
        """Mean J over the windows, ``[lambdas, settings]``."""
        parts = list(self._played(scenario))
        fleet, miss = np.concatenate(parts, axis=1).mean(2)
        return np.stack([fleet + price * miss for price in MISS_PRICES])

    def _played(self, scenario: str) -> Iterator[Floats]:
        """Fleet and miss share under some of the settings, ``[2, settings, windows]``."""
        count = self.loads.shape[1]
        at_once = max(1, MAX_ROWS // count)
        for first in range(0, len(self.settings), at_once):
            some = self.settings[first : first + at_once]
            # The rules know no lambda: a single run serves all of them.
            rows = [Row(SCENARIOS[scenario], window, 0.0) for _ in some for window in range(count)]
            services = count * SCENARIOS[scenario].services
            policy = RoutedRule(self.route, *np.repeat(some, services, axis=0).T)
            yield np.stack(played(policy, rows, self.loads)).reshape(2, len(some), count)

    def entries(self, arrays: Arrays) -> dict[RouteKey, list[float]]:
        """What ``run`` found."""
        places = enumerate(SCENARIOS), enumerate(MISS_PRICES)
        return {
            RouteKey(self.route, scenario, price): arrays["settings"][row, column].tolist()
            for (row, scenario), (column, price) in product(*places)
        }


def route_calibrations(traces: Mapping[str, Trace]) -> list[RouteCalibration]:
    """A search for every rule, on the train split."""
    return [RouteCalibration(route, windows(traces)) for route in ROUTES]


def crossings(traces: Mapping[str, Trace], learner: Player | None) -> list[Crossing]:
    """Everyone on windows of the traces that are long enough; those held back, if there are any."""
    held_back = {name: trace for name, trace in traces.items() if name not in TRAIN_TRACES}
    loads = windows(held_back or traces)
    if not loads.shape[1]:
        return []
    names = [*ROUTES, *([LEARNER] if learner else [])]
    return [
        Crossing(name, scenarios, loads, learner or Player(LEARNER))
        for scenarios in (ALONE, TOGETHER)
        for name in names
    ]


def _drawn(scenarios: Iterable[str]) -> str:
    return str([(name, SCENARIOS[name]) for name in scenarios])


def scenario_scores(
    crossings: Sequence[Crossing], found: Sequence[Arrays]
) -> dict[str, dict[str, float]]:
    """J by scenario and policy."""
    scores: dict[str, dict[str, float]] = {}
    for crossing, arrays in zip(crossings, found, strict=True):
        for name, score in zip(crossing.scenarios, arrays["score"], strict=True):
            scores.setdefault(name, {})[crossing.player] = float(score)
    return scores
