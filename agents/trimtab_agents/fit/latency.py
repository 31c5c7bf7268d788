"""Service time, its scv and the slots of a replica, from how latencies spread at known loads.

The simulator's own steady state says how likely each bucket of the latency histogram is, given
load and replicas: without waiting it is the service time's own shape, and how waiting sets in
as the load per replica grows tells the slots. The likelihood of what was counted is maximised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_sim.profile import Floats
from trimtab_sim.service_time import LateShare
from trimtab_sim.waiting import Waiting

# Nearer to full utilisation nothing comes to rest within a recording's window.
MOST_UTILISATION = 0.98
SLOTS = (*range(1, 17), 18, 20, 22, 24, 28, 32, 40, 48, 64)
# Mean in seconds and scv; the simulator's tables end there.
_BOUNDS = ((1e-5, 0.05), (1e4, 20.0))
_LEAST_CHANCE = 1e-9
# Scoring: rounds, step of the slopes, longest and shortest move, and what keeps it regular.
_ROUNDS, _STEP, _LEAP, _NEAR, _CERTAIN = 30, 1e-3, 0.7, 1e-5, 1e-9
# Of log likelihood; how likelihood scatters between segments is the bootstrap's to tell.
_FAR = 50.0


@dataclass(frozen=True, slots=True)
class Segments:
    """G stretches of time at rest: replicas, load and answers by latency.

    replicas, rate_rps: ``[G]``; bounds_s: ``[J]``; answers: ``[G, J + 1]``.
    """

    replicas: Floats
    rate_rps: Floats
    bounds_s: Floats
    answers: Floats


@dataclass(frozen=True, slots=True)
class Fitted:
    """The likeliest service time and scv for a number of slots.

    log_likelihood: ``[G]``; influence: what each segment adds to log mean and log scv, ``[G, 2]``.
    """

    slots: int
    mean_s: float
    scv: float
    log_likelihood: Floats
    influence: Floats

    @property
    def total(self) -> float:
        """Log likelihood of all segments."""
        return float(self.log_likelihood.sum())


class Shape:
    """The steady state of segments for one number of slots."""

    def __init__(self, segments: Segments, slots: int) -> None:
        self._segments = segments
        self._slots = slots
        self._waiting = Waiting(segments.replicas.shape)
        self._late = LateShare(segments.bounds_s.shape)

    def buckets(self, log_mean_s: float, log_scv: float) -> Floats:
        """P(latency in each bucket) of every segment, ``[G, J + 1]``."""
        seen, ones = self._segments, np.ones(len(self._segments.replicas))
        mean_s, scv = float(np.exp(log_mean_s)), float(np.exp(log_scv))
        bounds = len(seen.bounds_s)
        self._late.fill(np.arange(bounds), seen.bounds_s / mean_s, np.full(bounds, scv))
        self._waiting.fill(np.arange(len(ones)), self._slots * ones, mean_s * ones, scv * ones)
        capacity = seen.replicas * self._slots / mean_s
        carried = capacity * np.clip(seen.rate_rps / capacity, 1e-6, MOST_UTILISATION)
        log_busy, p_wait, imbalance_s = self._waiting.at(seen.replicas, carried / capacity)
        p_wait = np.maximum(p_wait, np.exp(log_busy))
        pooled_s = np.exp(log_busy) * (1.0 + scv) / 2.0 / (capacity - carried)
        rate = p_wait / (pooled_s + imbalance_s)
        above = self._late.when_exponential(p_wait[:, None], rate[:, None] * seen.bounds_s)
        edges = np.concatenate([np.ones((len(ones), 1)), above, np.zeros((len(ones), 1))], axis=1)
        return np.maximum(-np.diff(edges, axis=1), _LEAST_CHANCE)

    def log_likelihood(self, mean_s: float, scv: float) -> Floats:
        """Of every segment, ``[G]``."""
        chances = self.buckets(np.log(mean_s), np.log(scv))
        return np.asarray((self._segments.answers * np.log(chances)).sum(1))

    def fit(self, mean_s: float, scv: float) -> Fitted:
        """Fisher's scoring from a first guess."""
        answers = self._segments.answers
        totals = answers.sum(1, keepdims=True)
        place = np.log([mean_s, scv])
        here = self.buckets(*place)
        for _ in range(_ROUNDS):
            slope = np.stack([self.buckets(*(place + step)) - here for step in _STEP * np.eye(2)])
            slope /= _STEP
            score = (slope * (answers / here)).sum(2).T
            information = np.einsum("agj,bgj,gj->ab", slope, slope, totals / here)
            information += np.diag(_CERTAIN + 1e-9 * np.diag(information))
            move = np.linalg.solve(information, score.sum(0))
            nearer = self._nearer(place, here, move * min(1.0, _LEAP / np.abs(move).max()))
            if nearer is None:
                break
            place, here = nearer
        likelihood = (answers * np.log(here)).sum(1)
        influence = np.linalg.solve(information, score.T).T
        mean_s, scv = np.exp(place).tolist()
        return Fitted(self._slots, mean_s, scv, likelihood, influence)

    def _nearer(self, place: Floats, here: Floats, move: Floats) -> tuple[Floats, Floats] | None:
        """The place after a move that raises the likelihood, cut until it does, and its buckets."""
        answers = self._segments.answers
        while np.abs(move).max() > _NEAR:
            there = np.clip(place + move, *np.log(_BOUNDS))
            chances = self.buckets(*there)
            if (answers * np.log(chances / here)).sum() > 0.0:
                return there, chances
            move = move * 0.4
        return None


def fit_slots(segments: Segments, slots: int, mean_s: float, scv: float) -> list[Fitted]:
    """The likeliest fit first, then those of other numbers of slots that are not far from it.

    Goes from ``slots`` and a first guess both ways while the likelihood does not fall too deep.
    """
    start = int(np.abs(np.array(SLOTS) - slots).argmin())
    fits = [Shape(segments, SLOTS[start]).fit(mean_s, scv)]
    for ladder in (SLOTS[start + 1 :], SLOTS[:start][::-1]):
        near = fits[0]
        for each in ladder:
            near = Shape(segments, each).fit(near.mean_s, near.scv)
            fits.append(near)
            if near.total < max(fit.total for fit in fits) - _FAR:
                break
    return sorted(fits, key=lambda fit: -fit.total)
