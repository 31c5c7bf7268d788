"""The opponent of a tuned policy: the best rule for one service, found on the same past."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from trimtab_agents.bench.cells import TICK_S, WINDOW_S, window_starts
from trimtab_agents.bench.families import FAMILIES, Family, Settings
from trimtab_agents.policy import Policy
from trimtab_agents.rules.routing import ROUTED_BY, ROUTES, RoutedRule, fullness
from trimtab_agents.training.history import History, Service
from trimtab_agents.training.trial import Stretch
from trimtab_sim.profile import Floats

# A stretch has so many windows, each so often that no setting wins by luck, and each begins with
# so much that does not count.
WINDOWS, REPEATS, LIVED_S = 4, 4, 1800.0
# Settings that are tried at once.
MAX_SETTINGS = 512


@dataclass(frozen=True, slots=True)
class TunedRule:
    """The best rule that was found for a stretch, and its setting."""

    name: str
    family: Family
    setting: Floats
    j: float

    @property
    def described(self) -> dict[str, Any]:
        """For people and cards."""
        return {"family": self.name} | self.family.written(self.setting)

    def policy(self, rows: int) -> Policy:
        """The rule itself for so many services."""
        return self.family.policy(np.tile(self.setting, (rows, 1)))


def rule_stretch(
    service: Service, history: History, windows: int = WINDOWS, repeats: int = REPEATS
) -> Stretch:
    """What rules are tuned on: the hours around the peak of the past, then others of it."""
    past = history.past
    length = round(min(WINDOW_S, past.duration_s) / TICK_S)
    loads = [past.rates(TICK_S, at_s, length) for at_s in window_starts(past, windows)]
    rate_rps = np.stack([load for load in loads if load.any()], axis=1)
    return Stretch(service, np.tile(rate_rps, repeats), round(LIVED_S / TICK_S))


def families(backends: int) -> Mapping[str, Family]:
    """The rules for services with so many backends: with several, the route decides as well."""
    if backends == 1:
        return FAMILIES
    target = FAMILIES["target"]
    grids = {
        route: {**target.grid, "estimate": ROUTED_BY, "full": fullness(route)} for route in ROUTES
    }
    return {
        route: Family(partial(RoutedRule, route), grid, target.finer)
        for route, grid in grids.items()
    }


def tuned_rule(stretch: Stretch, every: int, advance: Callable[[], None]) -> TunedRule:
    """The best setting of the best family; ``advance`` is called after each family.

    As in `trimtab bench calibrate`, the grid is tried on the peak, what is around its best on all
    windows; of both only one setting in ``every``.
    """
    peak = replace(stretch, rate_rps=stretch.rate_rps[:, :1])
    found = []
    for name, family in families(len(stretch.service.profile.backends)).items():
        coarse, _ = _best(peak, family, family.settings[::every])
        setting, j = _best(stretch, family, family.around(coarse)[::every])
        found.append(TunedRule(name, family, setting, j))
        advance()
    return min(found, key=lambda rule: rule.j)


def _best(stretch: Stretch, family: Family, settings: Settings) -> tuple[Floats, float]:
    """The setting with the least J, and that."""
    parts = np.array_split(settings, -(-len(settings) // MAX_SETTINGS))
    scores = np.concatenate([_scores(stretch, family, part) for part in parts])
    return settings[scores.argmin()], float(scores.min())


def _scores(stretch: Stretch, family: Family, settings: Settings) -> Floats:
    """Mean J of each setting over the windows."""
    windows = stretch.rate_rps.shape[1]
    score = stretch.play(family.policy(np.repeat(settings, windows, axis=0)), len(settings))
    return np.asarray(score.j.mean(0).reshape(len(settings), windows).mean(1))
