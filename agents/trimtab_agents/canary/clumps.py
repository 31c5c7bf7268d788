"""Requests that queue together are late together: how many of them count as one.

The design effect of survey sampling (Kish, 1965, "Survey Sampling"): the variance of a sum, over
what it would be were all answers independent. It is measured on the difference of both sides, in
blocks of some looks, so that what comes over both of them alike (load) does not count, what lasts
for longer than a look does, and a steady difference does not either. A log of evidence divided by
it is what one answer of each clump would have said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_sim.profile import Floats

# Looks per block. What one expects before any is seen, and how many blocks it is worth.
BLOCK_LOOKS = 5
EXPECTED, WORTH = 3.0, 4.0


@dataclass(frozen=True, slots=True)
class Clumps:
    """Sums for each of K metrics: of the block under way, and of ``blocks`` finished ones."""

    looks: int
    blocks: int
    score: Floats
    variance: Floats
    square: Floats
    total_score: Floats
    total_variance: Floats

    @classmethod
    def none(cls, metrics: int) -> Clumps:
        """Nothing was seen."""
        return cls(0, 0, *(np.zeros(metrics) for _ in range(5)))

    @property
    def size(self) -> Floats:
        """How many answers count as one, ``[K]``, 1 or more."""
        steady = self.total_score**2 / np.maximum(self.total_variance, 1e-12)
        seen = np.maximum(self.square - steady, 0.0)
        return np.maximum((EXPECTED * WORTH + seen) / (WORTH + max(self.blocks - 1, 0)), 1.0)

    def after(self, score: Floats, variance: Floats) -> Clumps:
        """One look later, of which these are the scores and their variances, ``[K]`` each."""
        score, variance = self.score + score, self.variance + variance
        if self.looks + 1 < BLOCK_LOOKS:
            totals = (self.square, self.total_score, self.total_variance)
            return Clumps(self.looks + 1, self.blocks, score, variance, *totals)
        return Clumps(
            0,
            self.blocks + 1,
            np.zeros_like(score),
            np.zeros_like(score),
            self.square + score**2 / np.maximum(variance, 1e-12),
            self.total_score + score,
            self.total_variance + variance,
        )
