"""What a few measured choices say of the others: a Gaussian process on the logarithm of scores.

Its length scales and noise are not fitted, which twenty trials are too few for: many are drawn from
a prior, and each counts by how well it explains what was measured (Snoek et al. 2012, "Practical
Bayesian optimization of machine learning algorithms"). Ratios count, so scores are positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np

from trimtab_agents.search.space import Space
from trimtab_sim.profile import Floats

DRAWS, KEPT = 512, 32
# Medians, and factors of one standard deviation, of what is drawn: a dial's length scale (1 is
# from its first setting to its last) and the noise as a share of the scores' variance.
LENGTH, LENGTH_SPREAD = 2.0, 3.0
NOISE, NOISE_SPREAD = 0.003, 4.0


@dataclass(frozen=True, slots=True)
class Belief:
    """Of each candidate's logarithmic score, under several explanations with their weights.

    mean, deviation: shape [explanation, candidate]; weight: shape [explanation].
    """

    mean: Floats
    deviation: Floats
    weight: Floats

    def saving(self, best: float) -> Floats:
        """The share of the score ``best`` that each candidate should save, shape [candidate].

        Of a log-normal score S: E max(0, 1 - S / best).
        """
        z = (np.log(best) - self.mean) / self.deviation
        kept = np.exp(self.mean + self.deviation**2 / 2.0 - np.log(best))
        saved: Floats = self.weight @ (_below(z) - kept * _below(z - self.deviation))
        return saved


_erf = np.vectorize(erf, otypes=[np.float64])


def _below(z: Floats) -> Floats:
    """The standard normal distribution."""
    below: Floats = 0.5 + 0.5 * _erf(z / sqrt(2.0))
    return below


def believed(
    space: Space, tried: Floats, scores: Floats, candidates: Floats, rng: np.random.Generator
) -> Belief:
    """Learn from choices (places, shape [trial, dial]) and their scores; infinite is the worst.

    candidates: places, shape [candidate, dial].
    """
    logs = np.log(np.minimum(scores, scores[np.isfinite(scores)].max()))
    scale = max(float(logs.std()), 1e-6)
    standard = (logs - logs.mean()) / scale
    inverse, noise = _drawn(len(space.dials), rng)
    covariance = _matern(space.apart(tried, tried), inverse)
    covariance += noise[:, None, None] * np.eye(len(tried))
    solved = np.linalg.inv(covariance)
    level = (solved.sum(1) @ standard) / solved.sum((1, 2))
    off = standard - level[:, None]
    weights = np.einsum("kij,kj->ki", solved, off)
    variance = np.einsum("ki,ki->k", off, weights) / len(tried) + 1e-12
    evidence = -0.5 * (len(tried) * np.log(variance) + np.linalg.slogdet(covariance)[1])
    keep = np.argsort(evidence)[-KEPT:]
    share = np.exp(evidence[keep] - evidence[keep].max())
    cross = _matern(space.apart(candidates, tried), inverse[keep])
    mean = level[keep, None] + np.einsum("kcj,kj->kc", cross, weights[keep])
    explained = np.einsum("kci,kij,kcj->kc", cross, solved[keep], cross, optimize=True)
    deviation = np.sqrt(variance[keep, None] * np.maximum(1.0 - explained, 1e-9))
    return Belief(logs.mean() + scale * mean, scale * deviation, share / share.sum())


def _drawn(dials: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Inverse squared length scales, shape [draw, dial], and noise variances."""
    lengths = LENGTH * LENGTH_SPREAD ** rng.standard_normal((DRAWS, dials))
    return lengths**-2.0, NOISE * NOISE_SPREAD ** rng.standard_normal(DRAWS)


def _matern(apart: Floats, inverse: Floats) -> Floats:
    """Matern's covariance (5/2) for each draw: shape [draw, one, other]."""
    squared = np.tensordot(inverse, apart**2, axes=1)
    root = sqrt(5.0) * np.sqrt(squared)
    kernel: Floats = (1.0 + root + 5.0 * squared / 3.0) * np.exp(-root)
    return kernel
