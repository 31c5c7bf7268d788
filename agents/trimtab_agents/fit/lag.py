"""How far behind the replica counts the metrics are: which replicas explain them best.

When replicas are added, those that wait become fewer; where all are busy, more is answered.
For every lag the recording is compared with the replicas of then.
"""

from __future__ import annotations

import numpy as np

from trimtab_agents.fit.latency import STALLED, Fitted, Segments, Shape
from trimtab_agents.fit.recording import Recording
from trimtab_agents.fit.windows import at_rest
from trimtab_sim.profile import Floats

# So far back is looked, in seconds and in windows: further, other changes look like this one.
MOST_S, MOST_WINDOWS, LEAST_WINDOWS = 60.0, 24, 4
# Loads are smoothed over so many windows: a few requests more or less do not make a load.
_SMOOTH = 4
# With so many requests inside per slot no slot is free; then answers vary by this part besides.
_BUSY, _VARIES = 2.0, 0.02
_LEAST_REPLICAS = 0.5


def lags(step_s: float) -> int:
    """How many lags are looked at, in windows: 0 up to that number, which is not included."""
    return min(max(LEAST_WINDOWS, round(MOST_S / step_s)), MOST_WINDOWS) + 1


def deviances(recording: Recording, fitted: Fitted) -> Floats:
    """Of every lag and window, ``[lags, windows]``."""
    tried, step_s = lags(recording.step_s), recording.step_s
    mean = 0.5 * (recording.ready[1:] + recording.ready[:-1])
    rows = np.arange(tried, len(mean))
    replicas = np.maximum([mean[rows - lag] for lag in range(tried)], _LEAST_REPLICAS)
    rate_rps = recording.rate_rps[1:][rows]
    smooth_rps = np.convolve(recording.rate_rps[1:], np.ones(_SMOOTH) / _SMOOTH, "same")[rows]
    answers = recording.answers[1:][rows]

    replica_rps = fitted.slots / fitted.mean_s
    rest = at_rest(rate_rps, replicas.min(0) * replica_rps, step_s)
    busy = recording.in_flight[1:][rows] > _BUSY * fitted.slots * replicas.max(0)
    answered = answers[busy].sum(1)
    found = np.zeros(replicas.shape)
    for lag, count in enumerate(replicas):
        seen = Segments(count[rest], smooth_rps[rest], recording.bounds_s, answers[rest])
        found[lag, rest] = Shape(seen, fitted.slots).deviance(fitted.mean_s, fitted.scv)
        expected = count[busy] * replica_rps * step_s
        variance = (fitted.scv + _VARIES * expected) * expected
        found[lag, busy] = (answered - expected) ** 2 / variance + np.log(variance)
    usual = np.median(found[:, rest]) if rest.any() else 1.0
    # No lag explains a stall.
    return np.minimum(found, STALLED * max(usual, 1.0))
