"""Service time, its scv and the slots of a replica, from how latencies spread at known loads.

The simulator's own steady state says how likely each bucket of the latency histogram is, given
load and replicas: without waiting it is the service time's own shape, and how waiting sets in
as the load per replica grows tells the slots. The likelihood of what was counted is maximised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab_sim.balancers import Balancer
from trimtab_sim.compiled import compiled
from trimtab_sim.profile import Floats
from trimtab_sim.service_time import LateShare, late_when_exponential
from trimtab_sim.waiting import Waiting, waiting_at

# Nearer to full utilisation nothing comes to rest within a recording's window.
MOST_UTILISATION = 0.98
SLOTS = (*range(1, 17), 18, 20, 22, 24, 28, 32, 40, 48, 64)
# Mean in seconds and scv; the simulator's tables end there.
_BOUNDS = ((1e-5, 0.05), (1e4, 20.0))
_LEAST_CHANCE = 1e-9
# Scoring: rounds, step of the slopes, longest and shortest move, and what keeps it regular.
_ROUNDS, _STEP, _LEAP, _NEAR, _CERTAIN = 30, 1e-3, 0.7, 1e-5, 1e-9
# Of deviance; how it scatters between segments is the bootstrap's to tell.
_FAR = 60.0
# A segment with so many times the usual deviance saw something that is not in the model.
STALLED = 5.0


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

    deviance: how far each segment is from the fit, ``[G]``, no further than ``cap``; influence:
    what each adds to log mean and log scv, ``[G, 2]``.
    """

    slots: int
    mean_s: float
    scv: float
    cap: float
    deviance: Floats
    influence: Floats

    @property
    def total(self) -> float:
        """Deviance of all segments."""
        return float(self.deviance.sum())


class Shape:
    """The steady state of segments for one number of slots.

    Machines stall, and then all wait for reasons of their own: a segment further than ``cap``
    from what is fitted counts as no further, and so draws nothing its way.
    """

    def __init__(self, segments: Segments, slots: int, cap: float = np.inf) -> None:
        self._segments = segments
        self._slots = slots
        self._cap = cap
        self._waiting = Waiting(len(segments.replicas))
        self._late = LateShare(len(segments.bounds_s))
        answers = segments.answers
        shares = np.maximum(answers, 1e-300) / np.maximum(answers.sum(1, keepdims=True), 1.0)
        self._best = (answers * np.log(shares)).sum(1)

    def buckets(self, log_mean_s: float, log_scv: float) -> Floats:
        """P(latency in each bucket) of every segment, ``[G, J + 1]``."""
        seen, ones = self._segments, np.ones(len(self._segments.replicas))
        mean_s, scv = float(np.exp(log_mean_s)), float(np.exp(log_scv))
        bounds = len(seen.bounds_s)
        self._late.fill(np.arange(bounds), seen.bounds_s / mean_s, np.full(bounds, scv))
        alike = (value * ones for value in (self._slots, mean_s, scv, Balancer.LEAST_REQUEST))
        self._waiting.fill(np.arange(len(ones)), *alike)
        capacity = seen.replicas * self._slots / mean_s
        carried = capacity * np.clip(seen.rate_rps / capacity, 1e-6, MOST_UTILISATION)
        above = np.empty((len(ones), bounds))
        _above(
            self._waiting.backends,
            self._waiting.cells,
            self._late.tail,
            self._late.exponential,
            seen.replicas,
            carried / capacity,
            (1.0 + scv) / 2.0 / (capacity - carried),
            seen.bounds_s,
            above,
        )
        edges = np.concatenate([np.ones((len(ones), 1)), above, np.zeros((len(ones), 1))], axis=1)
        return np.maximum(-np.diff(edges, axis=1), _LEAST_CHANCE)

    def deviance(self, mean_s: float, scv: float) -> Floats:
        """Of every segment from this service time and scv, ``[G]``."""
        return self._deviance(self.buckets(np.log(mean_s), np.log(scv)))

    def _deviance(self, chances: Floats) -> Floats:
        found = self._best - (self._segments.answers * np.log(chances)).sum(1)
        return np.asarray(np.minimum(2.0 * found, self._cap))

    def fit(self, mean_s: float, scv: float) -> Fitted:
        """Fisher's scoring from a first guess."""
        answers = self._segments.answers
        totals = answers.sum(1, keepdims=True)
        place = np.log([mean_s, scv])
        here = self.buckets(*place)
        for _ in range(_ROUNDS):
            near = (self._deviance(here) < self._cap)[:, None]
            slope = np.stack([self.buckets(*(place + step)) - here for step in _STEP * np.eye(2)])
            slope /= _STEP
            score = (slope * (near * answers / here)).sum(2).T
            information = np.einsum("agj,bgj,gj->ab", slope, slope, near * totals / here)
            information += np.diag(_CERTAIN + 1e-9 * np.diag(information))
            move = np.linalg.solve(information, score.sum(0))
            nearer = self._nearer(place, here, move / max(1.0, np.abs(move).max() / _LEAP))
            if nearer is None:
                break
            place, here = nearer
        influence = np.linalg.solve(information, score.T).T
        mean_s, scv = np.exp(place).tolist()
        return Fitted(self._slots, mean_s, scv, self._cap, self._deviance(here), influence)

    def _nearer(self, place: Floats, here: Floats, move: Floats) -> tuple[Floats, Floats] | None:
        """The place after a move that fits better, cut until it does, and its buckets."""
        deviance = self._deviance(here).sum()
        while np.abs(move).max() > _NEAR:
            there = np.clip(place + move, *np.log(_BOUNDS))
            chances = self.buckets(*there)
            if self._deviance(chances).sum() < deviance:
                return there, chances
            move = move * 0.4
        return None


@compiled
def _above(
    steady: Any,
    cells: Floats,
    tail: Floats,
    exponential: Floats,
    replicas: Floats,
    utilisation: Floats,
    pooled_s: Floats,
    bounds_s: Floats,
    above: Floats,
) -> None:
    """P(latency above each bound) in every segment; ``pooled_s``: the mean wait, were all busy."""
    for g in range(len(replicas)):
        log_busy, p_wait, imbalance_s = waiting_at(steady[g], cells, replicas[g], utilisation[g])
        p_busy = math.exp(log_busy)
        p_wait = max(p_wait, p_busy)
        rate = p_wait / (p_busy * pooled_s[g] + imbalance_s)
        for j in range(len(bounds_s)):
            above[g, j] = late_when_exponential(tail, exponential, j, p_wait, rate * bounds_s[j])


def fit_slots(segments: Segments, slots: int, mean_s: float, scv: float) -> list[Fitted]:
    """The best fit first, then those of other numbers of slots that are not far from it.

    Goes from ``slots`` and a first guess both ways while the fit does not become too bad.
    """
    start = int(np.abs(np.array(SLOTS) - slots).argmin())
    first = Shape(segments, SLOTS[start]).fit(mean_s, scv)
    cap = STALLED * float(np.median(first.deviance))
    fits = [Shape(segments, SLOTS[start], cap).fit(first.mean_s, first.scv)]
    for ladder in (SLOTS[start + 1 :], SLOTS[:start][::-1]):
        near = fits[0]
        for each in ladder:
            near = Shape(segments, each, cap).fit(near.mean_s, near.scv)
            fits.append(near)
            if near.total > min(fit.total for fit in fits) + _FAR:
                break
    return sorted(fits, key=lambda fit: fit.total)
