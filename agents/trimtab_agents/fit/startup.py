"""How long replicas take to start, from when more were wanted and when more were ready.

Nobody says which replica became ready. So the number that land in a window is compared with
the number expected there, given when those on their way were started: a Poisson likelihood,
which also knows what the ones that have not landed yet, or were cancelled, tell. It is laid
over a grid of mean and coefficient of variation, each equally likely before on a log scale.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trimtab_agents.fit.recording import Recording
from trimtab_sim.profile import Floats

CVS = np.geomspace(0.02, 1.5, 32)
# Means are looked for around that of the start-ups matched in order.
AROUND = np.geomspace(1.0 / 3.0, 3.0, 96)
# What is known to its window only may have begun in so many moments of it: the same one for all,
# because whoever scales does so by a clock, as whoever records.
PARTS = 5
_Z = np.linspace(-8.0, 8.0, 4001)
_NORMAL_CDF = np.array([NormalDist().cdf(z) for z in _Z])
_LEAST_CHANCE = 1e-12
_BEFORE = -1


@dataclass(frozen=True, slots=True)
class Starts:
    """S start-ups in N windows of ``step_s``.

    begun: the window of each; cancelled: in which it was, or infinity, ``[S]``; landed: how many
    became ready per window, ``[N]``; waits: windows that those took, matched in order.
    """

    step_s: float
    begun: Floats
    cancelled: Floats
    landed: Floats
    waits: Floats


def starts(recording: Recording) -> Starts:
    """Who was started, landed or was cancelled; the youngest are cancelled first.

    What was missing when the recording began is left out: nobody knows since when.
    """
    ready, missing = recording.ready, np.maximum(recording.wanted - recording.ready, 0.0)
    pending = deque([_BEFORE] * int(missing[0]))
    over: list[tuple[int, float]] = []
    landed = np.zeros(len(ready))
    waits: list[int] = []
    for now in range(1, len(ready)):
        grown = max(int(ready[now] - ready[now - 1]), 0)
        change = int(missing[now]) + grown - len(pending)
        pending.extend([now] * change)
        for _ in range(grown):
            begun = pending.popleft()
            over.append((begun, np.inf))
            if begun != _BEFORE:
                landed[now] += 1
                waits.append(now - begun)
        over.extend((pending.pop(), now) for _ in range(-change))
    over.extend((begun, np.inf) for begun in pending)
    known = [one for one in over if one[0] != _BEFORE]
    begun_at, cancelled = np.array(known, dtype=np.float64).reshape(-1, 2).T
    return Starts(recording.step_s, begun_at, cancelled, landed, np.array(waits, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Startup:
    """What is likely: ``weight`` sums to 1 over ``mean_s`` ``[M]`` and `CVS`, ``[M, CVS]``."""

    mean_s: Floats
    weight: Floats

    @classmethod
    def of(cls, found: Starts) -> Startup:
        """Given at least one start-up that landed."""
        mean_s = max(float(found.waits.mean()), 0.5) * found.step_s * AROUND
        parts = (np.arange(PARTS) + 0.5) / PARTS
        log_weight = np.stack([_log_likelihood(found, mean_s, part) for part in parts])
        weight = np.exp(log_weight - log_weight.max()).sum(0)
        return cls(mean_s, weight / weight.sum())


def _log_likelihood(found: Starts, mean_s: Floats, part: float) -> Floats:
    """Over the grid ``[M, CVS]``, if start-ups begin so large a part before their window's end."""
    when = np.flatnonzero(found.landed)
    ages = when[:, None] - found.begun
    alive = (ages >= 0) & (when[:, None] < found.cancelled)
    last = np.minimum(found.cancelled, len(found.landed)) - 1 - found.begun
    # P(landed) is needed at few ages only; `at` says where each one is among them.
    needed, at = np.unique(np.concatenate([ages - 1, ages, last[None]]), return_inverse=True)
    landed = _landed(found.step_s * (needed + part), mean_s)
    before, after, end = np.split(at.reshape(-1, len(last)), [len(when), 2 * len(when)])
    log_likelihood = -landed[end[0]].sum(0)
    for window, on in enumerate(alive):
        chance = (landed[after[window, on]] - landed[before[window, on]]).sum(0)
        log_likelihood += found.landed[when[window]] * np.log(chance + _LEAST_CHANCE)
    return np.asarray(log_likelihood)


def _landed(age_s: Floats, mean_s: Floats) -> Floats:
    """P(landed at an age), ``[A, M, CVS]``, of log-normal start-ups; ages ``[A]``."""
    sigma = np.sqrt(np.log1p(CVS**2))
    middle = np.log(mean_s)[:, None] - 0.5 * sigma**2
    z = (np.log(np.maximum(age_s, 1e-9))[:, None, None] - middle) / sigma
    return np.asarray(np.interp(z, _Z, _NORMAL_CDF))


def quantiles(values: Floats, weight: Floats, shares: Floats) -> Floats:
    """Values below which so large a share of the weight lies."""
    below = np.cumsum(weight) - 0.5 * weight
    return np.asarray(np.interp(shares, below, values))
