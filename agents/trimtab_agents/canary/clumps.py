"""Requests that queue together are late together: how many of them count as one.

The design effect of survey sampling (Kish, 1965, "Survey Sampling"): the variance of a sum, over
what it would be were all answers independent. It is measured on the difference of both sides, so
that what comes over both alike (load) does not count, without its mean, so that a steady difference
does not either, and with what one look has in common with the next ones (Newey and West, 1987, "A
simple, positive semi-definite, heteroskedasticity and autocorrelation consistent covariance
matrix"). A log of evidence divided by it is what one answer of each clump would have said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_sim.profile import Floats

# So many looks in a row have something in common: 1 with itself, less with each one before.
ALIKE = 3
# What one expects before any is seen, and how many independent looks that is worth. Much: evidence
# that came too early cannot be taken back.
EXPECTED, WORTH = 8.0, 1.0
# A variance that is not 0.
LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Clumps:
    """Sums over looks, for each of K metrics: products of scores and of their variances.

    ``recent``: those of the last looks, ``[2, ALIKE - 1, K]``, newest first.
    """

    looks: int
    recent: Floats
    score: Floats
    variance: Floats
    scores: Floats
    mixed: Floats
    variances: Floats

    @classmethod
    def none(cls, metrics: int) -> Clumps:
        """Nothing was seen."""
        return cls(0, np.zeros((2, ALIKE - 1, metrics)), *np.zeros((5, metrics)))

    @property
    def size(self) -> Floats:
        """How many answers count as one, ``[K]``, 1 or more."""
        drift = self.score / np.maximum(self.variance, LEAST)
        square = self.scores - 2.0 * drift * self.mixed + drift**2 * self.variances
        seen = np.maximum(square / np.maximum(self.variance, LEAST), 0.0)
        # Overlapping blocks are worth half as many again as those that do not overlap.
        weight = max(1.5 * self.looks / ALIKE - 1.0, 0.0)
        return np.maximum((WORTH * EXPECTED + weight * seen) / (WORTH + weight), 1.0)

    def after(self, score: Floats, variance: Floats) -> Clumps:
        """One look later, of which these are the scores and their variances, ``[K]`` each."""
        # Each pair of looks counts twice, less the farther they are apart.
        weights = 2.0 * (1.0 - np.arange(1, ALIKE) / ALIKE)
        scores, variances = np.tensordot(weights, self.recent, (0, 1))
        now = np.stack([score, variance])
        return Clumps(
            self.looks + 1,
            np.concatenate([now[:, None], self.recent[:, :-1]], 1),
            self.score + score,
            self.variance + variance,
            self.scores + score * (score + scores),
            self.mixed + score * variance + (score * variances + variance * scores) / 2.0,
            self.variances + variance * (variance + variances),
        )
