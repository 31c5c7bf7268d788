"""What the old side was like so far: it says where to look next, never what is to be seen there.

All thresholds and expectations come from looks that are over, so that the next one cannot have
chosen them. Older looks count less, for load moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import isfinite

import numpy as np

from trimtab_agents.canary.reading import Side
from trimtab_sim.profile import Floats

# A look counts for half after 30 more.
FADING = 0.5 ** (1.0 / 30.0)
# So many answers lie beyond a threshold, before it is used.
LEAST_BEYOND = 5.0
# An old side that never failed may yet: a tenth of an error in a hundred answers.
FIRST_ERRORS, FIRST_ANSWERS = 0.1, 100.0


@dataclass(frozen=True, slots=True)
class Past:
    """Fading sums: answers by the upper edge of their bin, all, errors; looks, inside a replica."""

    latency: Mapping[float, float] = field(default_factory=dict)
    answers: float = 0.0
    errors: float = 0.0
    looks: float = 0.0
    inside: float = 0.0

    def after(self, old: Side) -> Past:
        """One look later."""
        latency = {edge: FADING * weight for edge, weight in self.latency.items()}
        for edge, count in zip(old.latency.edges_s[1:], old.latency.counts, strict=True):
            if count:
                latency[edge] = latency.get(edge, 0.0) + count
        return Past(
            latency,
            FADING * self.answers + old.answers,
            FADING * self.errors + old.errors,
            FADING * self.looks + 1.0,
            FADING * self.inside + old.saturation,
        )

    @property
    def error_share(self) -> float:
        """What part of the old side's answers are errors."""
        return (self.errors + FIRST_ERRORS) / (self.answers + FIRST_ANSWERS)

    @property
    def latency_s(self) -> float:
        """Mean latency, of answers whose bin has an end; 0 at first."""
        ended = {edge: weight for edge, weight in self.latency.items() if isfinite(edge)}
        seconds = sum(edge * weight for edge, weight in ended.items())
        return seconds / sum(ended.values()) if ended else 0.0

    @property
    def saturation(self) -> float:
        """How many requests were inside a replica; NaN at first."""
        return self.inside / self.looks if self.looks else np.nan

    def thresholds(self, quantiles: Sequence[float]) -> tuple[Floats, Floats]:
        """Seconds, infinite where too few took longer to tell; and the share of those that did."""
        edges = sorted(self.latency)
        below = np.array(list(accumulate(self.latency[edge] for edge in edges)))
        total = below[-1] if edges else 0.0
        cuts = np.full(len(quantiles), np.inf)
        shares = np.zeros(len(quantiles))
        for row, quantile in enumerate(quantiles):
            place = int(np.searchsorted(below, quantile * total))
            if place < len(edges) and isfinite(edges[place]):
                beyond = total - below[place]
                if beyond >= LEAST_BEYOND:
                    cuts[row], shares[row] = edges[place], beyond / total
        return cuts, shares
