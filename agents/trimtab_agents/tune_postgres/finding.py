"""Is what was found better than a new server? Both are measured again, in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, variance
from typing import Any

from trimtab_agents.tune_postgres.settings import Settings

# The best of many trials was lucky, too: its own score would flatter it.
AGAIN = 3
# Standard errors by which it must be better.
CLEAR = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Cents per million transactions of a new server and of the best found, measured afresh."""

    usual: Settings
    found: Settings
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def saving(self) -> tuple[float, float]:
        """The share of the cost that is saved, and its standard error."""
        if self.found == self.usual:
            return 0.0, 0.0
        error = sqrt((variance(self.before) + variance(self.after)) / len(self.before))
        return 1.0 - fmean(self.after) / fmean(self.before), error / fmean(self.before)

    @property
    def is_better(self) -> bool:
        """Whether the saving is more than chance."""
        saved, error = self.saving
        return saved > CLEAR * error

    @property
    def facts(self) -> dict[str, Any]:
        """For machines."""
        saved, error = self.saving
        return {
            "usual": {**self.usual.choice, "cents_per_million": self.before},
            "found": {**self.found.choice, "cents_per_million": self.after},
            "saving": saved,
            "standard_error": error,
            "better": self.is_better,
        }


def confirmed(usual: Settings, found: Settings, score: Callable[[Settings], float]) -> Finding:
    """Both in turn, so that a machine that drifts favours neither; not if they are the same."""
    if found == usual:
        return Finding(usual, found, (), ())
    pairs = [(score(usual), score(found)) for _ in range(AGAIN)]
    before, after = zip(*pairs, strict=True)
    return Finding(usual, found, before, after)
