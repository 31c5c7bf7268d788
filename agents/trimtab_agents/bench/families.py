"""The kinds of rules that a policy has to beat, and the settings in which each is tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from trimtab_agents.policy import Policy
from trimtab_agents.rules.hpa import HpaRule, Rate
from trimtab_agents.rules.kpa import KpaRule
from trimtab_agents.rules.predictive import PredictiveRule
from trimtab_agents.rules.static import StaticRule
from trimtab_agents.rules.target import TargetRule
from trimtab_envs.memory import ESTIMATES
from trimtab_sim.profile import Floats

# Rows are settings, columns the dials of a family.
Settings = Floats
Values = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of rule. ``make`` takes a column of values, one per service, for every dial.

    ``grid`` is crossed; ``finer`` are factors by which the best of it is varied then.
    """

    make: Callable[..., Policy]
    grid: Values
    finer: Values = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The whole grid."""
        return np.array(list(product(*self.grid.values())), dtype=np.float64)

    def around(self, setting: Floats) -> Settings:
        """A setting and its neighbours."""
        factors = product(*(self.finer.get(dial, (1.0,)) for dial in self.grid))
        return np.asarray(setting * np.array(list(factors)))

    def policy(self, settings: Settings) -> Policy:
        """The rule with one setting per service."""
        return self.make(*settings.T)

    def written(self, setting: Floats) -> dict[str, Any]:
        """A setting by the names of its dials, as people read it."""
        values = zip(self.grid, setting.tolist(), strict=True)
        return {
            dial: ESTIMATES[int(value)] if dial == "estimate" else round(value, 4)
            for dial, value in values
        }

    def read(self, entry: Mapping[str, Any]) -> list[float]:
        """The inverse of ``written``."""
        return [
            float(ESTIMATES.index(entry[dial]) if dial == "estimate" else entry[dial])
            for dial in self.grid
        ]


def _steps(low: float, high: float, count: int) -> tuple[float, ...]:
    """From ``low`` to ``high`` in equal ratios."""
    return tuple(np.geomspace(low, high, count).round(3).tolist())


CLOSE = (0.94, 0.97, 1.0, 1.03, 1.06)
WINDOWS_S = (0.0, 60.0, 300.0, 900.0, 3600.0)
SIZES = tuple(np.unique(np.geomspace(1.0, 400.0, 80).round()).tolist())

FAMILIES: Mapping[str, Family] = {
    "hpa": Family(
        HpaRule,
        {"target": _steps(0.15, 0.95, 24), "down_s": WINDOWS_S},
        {"target": CLOSE, "down_s": (0.5, 0.7, 1.0)},
    ),
    "keda": Family(
        lambda target, down_s: HpaRule(target, down_s, Rate()),
        {"target": _steps(0.1, 1.2, 24), "down_s": WINDOWS_S},
        {"target": CLOSE, "down_s": (0.5, 0.7, 1.0)},
    ),
    "kpa": Family(
        KpaRule,
        {
            "target": _steps(0.1, 1.2, 14),
            "stable_s": (30.0, 60.0, 180.0, 600.0),
            "panic_threshold": (1.2, 2.0),
            "delay_s": (0.0, 300.0, 900.0, 3600.0),
        },
        {"target": (0.91, *CLOSE, 1.09), "delay_s": (0.5, 1.0)},
    ),
    "predictive": Family(
        PredictiveRule,
        {
            "quantile": (0.5, 0.8, 0.9, 0.95, 0.99, 1.0),
            "headroom": _steps(0.7, 4.0, 10),
            "hold_s": (0.0, 60.0, 300.0, 1200.0, 5400.0),
        },
        {"headroom": (0.91, *CLOSE, 1.09), "hold_s": (0.5, 0.7, 1.0, 1.4, 2.0)},
    ),
    "static": Family(StaticRule, {"replicas": SIZES}),
    "target": Family(
        TargetRule,
        {
            "estimate": tuple(map(float, range(len(ESTIMATES)))),
            "headroom": (0.6, 0.8, 0.95, 1.1, 1.25, 1.45, 1.7, 2.0, 2.5, 3.2, 4.2, 6.0),
            "hold_s": (0.0, 60.0, 180.0, 600.0, 1800.0, 7200.0),
        },
        {"headroom": (0.88, 0.94, 1.0, 1.06, 1.12), "hold_s": (0.5, 0.7, 1.0, 1.4, 2.0)},
    ),
}
