"""Service time, its scv and the slots of a replica, from how latencies spread at known loads.

The simulator's own steady state says how likely each bucket of the latency histogram is, given
load and replicas: without waiting it is the service time's own shape, and how waiting sets in
as the load per replica grows tells the slots. The likelihood of what was counted is maximised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab_sim.balancers import Balancer
from trimtab_sim.compiled import compiled
from trimtab_sim.profile import Floats
from trimtab_sim.service_time import LateShare, late_when_exponential
from trimtab_sim.waiting import FEW_GAIN, Waiting, waiting_at

# Nearer to full utilisation nothing comes to rest within a recording's window.
MOST_UTILISATION = 0.98
SLOTS = (*range(1, 17), 18, 20, 22, 24, 28, 32, 40, 48, 64)
# Mean in seconds and scv; the simulator's tables end there.
_BOUNDS = ((1e-5, 0.05), (1e4, 20.0))
_LEAST_CHANCE = 1e-9
# How much more often than in the mean field both replicas drawn are busy, where few are. Of the
# event model with 2 to 5 replicas of 1 to 8 slots, half to 0.85 busy, scv 0.4 to 3.
_PAIRED = 0.3
# No nearer in mean, squared: where no two waits would do, those that come close.
_APART = 0.01
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

    @property
    def error(self) -> float:
        """Standard error of the log mean, as the segments scatter."""
        return float(np.sqrt((self.influence[:, 0] ** 2).sum()))


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
            scv,
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
    scv: float,
    bounds_s: Floats,
    above: Floats,
) -> None:
    """P(latency above each bound) in every segment; ``pooled_s``: the mean wait, were all busy."""
    for g in range(len(replicas)):
        log_busy, p_wait, imbalance_s = waiting_at(steady[g], cells, replicas[g], utilisation[g])
        p_busy = math.exp(log_busy)
        p_wait = max(_waits_really(p_wait, replicas[g]), p_busy)
        rate = p_wait / (p_busy * pooled_s[g] + imbalance_s)
        chances, rates = _waits(p_wait, rate, utilisation[g], scv)
        for j in range(len(bounds_s)):
            above[g, j] = -tail[j, 0, 0]
            for chance, each in zip(chances, rates):  # noqa: B905 (Numba)
                above[g, j] += late_when_exponential(
                    tail, exponential, j, chance, each * bounds_s[j]
                )


@compiled
def _waits_really(p_wait: float, replicas: float) -> float:
    """P(wait) without what the simulator adds where there are few replicas.

    It adds as much to P(wait) as to the wait, so that the wait of those who wait stays the same.
    Their mean is right then, but fewer wait for longer: one slot, two replicas, 0.7 of them busy,
    62 % wait, not 77 %.
    """
    if replicas < 1.5:
        return p_wait
    p_field = p_wait / (1.0 + FEW_GAIN / replicas)
    return p_field * (1.0 + _PAIRED * (1.0 - p_field) ** 2)


@compiled
def _waits(
    p_wait: float, rate: float, utilisation: float, scv: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Chances and rates of two exponential waits, in place of one with the same mean.

    One would do for scv 1. Else who waits meets services that end sooner or later than that: the
    two have the second moment and the density at zero that M/G/1 gives waits behind gamma services.
    """
    spare = 1.0 - utilisation
    middle = 0.5 + spare / 6.0
    apart = math.sqrt(max(middle**2 - 2.0 * spare / (3.0 * (1.0 + scv)), _APART))
    longer = p_wait * (1.0 - middle + apart) / (2.0 * apart)
    return (longer, p_wait - longer), (rate / (middle + apart), rate / (middle - apart))


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


def refitted(segments: Segments, fits: Sequence[Fitted]) -> list[Fitted]:
    """Fits with the same slots in the same order, of other segments."""
    first = Shape(segments, fits[0].slots).fit(fits[0].mean_s, fits[0].scv)
    cap = STALLED * float(np.median(first.deviance))
    return [Shape(segments, fit.slots, cap).fit(fit.mean_s, fit.scv) for fit in fits]
