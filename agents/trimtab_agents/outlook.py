"""The numbers behind a proposal, and the sentence that tells them to a human."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from math import isfinite
from typing import NamedTuple

# A load that changes by less than this share stays as it is.
ALIKE = 0.05


class Outlook(NamedTuple):
    """What one service's replicas are sized for; loads in requests per second.

    ``demand_rps`` is the load to be ready for by ``due_s``, when what is started now serves.
    ``ready`` replicas carry ``ready_rps`` at most; ``wanted`` were asked for before, and the
    ``replicas`` that are asked for now carry ``replicas_rps``.
    """

    load_rps: float
    demand_rps: float
    due_s: float
    ready: float
    ready_rps: float
    wanted: float
    replicas: float
    replicas_rps: float

    def sentence(self) -> str:
        """Where the load goes, what is there for it, and what is wanted."""
        return (
            f"{self._load()}, {self.ready:.0f} ready {_replicas(self.ready)} "
            f"{self.ready_rps:.0f}; {self._wish()}"
        )

    def _load(self) -> str:
        due = _clock(int(self.due_s))
        # A load that was not measured is not a load of zero.
        if not isfinite(self.load_rps):
            return f"load not measured, sized for {self.demand_rps:.0f} rps until {due}"
        if self.demand_rps > (1.0 + ALIKE) * self.load_rps:
            return f"load {self.load_rps:.0f} rps may rise to {self.demand_rps:.0f} by {due}"
        if self.demand_rps < (1.0 - ALIKE) * self.load_rps:
            return f"load {self.load_rps:.0f} rps falls to {self.demand_rps:.0f} by {due}"
        return f"load stays near {self.load_rps:.0f} rps until {due}"

    def _wish(self) -> str:
        more = self.replicas - self.wanted
        if not more:
            return f"keep {self.replicas:.0f}"
        change = f"{more:.0f} more" if more > 0 else f"{-more:.0f} fewer"
        return f"{change}: {self.replicas:.0f} carry {self.replicas_rps:.0f}"


@lru_cache(64)
def _clock(time_s: int) -> str:
    """Time of day: made once for the thousands of services that share it."""
    return f"{datetime.fromtimestamp(time_s):%H:%M:%S}"


def _replicas(count: float) -> str:
    return "replica carries" if count == 1.0 else "replicas carry"
