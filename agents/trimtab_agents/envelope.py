"""The training envelope: the range that each feature of an observation had in training.

Outside of it a network's answer is a guess. The policy says so, and the guard gives the word to
the plain rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.minutes import Bools
from trimtab_envs.observation import FEATURES
from trimtab_sim.profile import Floats

# No more than this share of the training's own decisions may be outside, in any feature.
OUTSIDE_SHARE = 1e-3
# A little beyond what was met is not foreign, as a share of the range; nor are rounding errors.
MARGIN, LEAST_MARGIN = 0.05, 1e-3
# The guard's own business: how old a reading may be, and how far it holds the policy back. In
# training none is older than the lag, and what is wanted is done.
GUARDS = ("age_excess_startups", "held_over_wanted")
JUDGED = np.array([name not in GUARDS for name in FEATURES])


class Stray(NamedTuple):
    """A feature that is outside, of which backend (by number), and its range in training."""

    backend: int
    feature: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Envelope:
    """``low`` and ``high`` of every feature in training, ``[F]``, in the order of ``FEATURES``."""

    low: Floats
    high: Floats

    @classmethod
    def of(cls, observations: NDArray[np.float32]) -> Envelope:
        """What ``[N, F]`` training observations span, but for the rarest."""
        rank = OUTSIDE_SHARE / (2 * observations.shape[-1])
        low = np.quantile(observations, rank, axis=0, method="lower")
        high = np.quantile(observations, 1.0 - rank, axis=0, method="higher")
        return cls(low.astype(np.float64), high.astype(np.float64))

    @classmethod
    def read(cls, ranges: Mapping[str, tuple[float, float]]) -> Envelope:
        """What `ranges` gave; ``ValueError`` or another of its kind when it is not that."""
        if ranges.keys() != set(FEATURES):
            raise ValueError("its features are not the schema's")
        bounds = np.array([ranges[name] for name in FEATURES], dtype=np.float64)
        low, high = bounds.reshape(len(FEATURES), 2).T
        if not (np.isfinite(bounds).all() and (low <= high).all()):
            raise ValueError("a range has no numbers, or is upside down")
        return cls(low, high)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """By feature, for the card; five digits."""
        pairs = zip(FEATURES, self.low, self.high, strict=True)
        return {name: (float(f"{low:.5g}"), float(f"{high:.5g}")) for name, low, high in pairs}

    def nearest(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """The nearest observation inside: a network is shown no number that it never met."""
        return np.clip(observation, self.low.astype(np.float32), self.high.astype(np.float32))

    def strays(self, observation: NDArray[np.float32], present: Bools) -> list[Stray | None]:
        """Per service the feature that is furthest outside, relative to its range, if any is.

        ``observation`` is ``[B, K, F]``; only the backends that are ``present`` ``[B, K]`` count.
        """
        margin = np.maximum(MARGIN * (self.high - self.low), LEAST_MARGIN)
        low, high = (self.low - margin).astype(np.float32), (self.high + margin).astype(np.float32)
        outside = ((observation < low) | (observation > high)) & present[..., None] & JUDGED
        found: list[Stray | None] = [None] * len(observation)
        for row in np.flatnonzero(outside.any((1, 2))):
            beyond = np.maximum(self.low - observation[row], observation[row] - self.high) / margin
            far = np.where(outside[row], beyond, -math.inf)
            found[row] = self._stray(observation[row], np.unravel_index(far.argmax(), far.shape))
        return found

    def _stray(self, rows: NDArray[np.float32], at: tuple[np.intp, ...]) -> Stray:
        backend, feature = map(int, at)
        bounds = float(self.low[feature]), float(self.high[feature])
        return Stray(backend, FEATURES[feature], float(rows[at]), *bounds)
