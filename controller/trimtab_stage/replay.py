"""A trace turned into arrivals: where in it we are, and when the next request comes.

Pure: the generator draws arrivals from it and the stage reports its position from it, so the
two cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

import numpy as np

from trimtab_sim.traces import Trace

# A demonstration shows three minutes, with the peak two thirds into them.
SHOWN_S = 180.0
PEAK_AT_S = 130.0


@dataclass(frozen=True, slots=True)
class Replay:
    """``trace`` from ``start_s`` at ``speed`` trace seconds per second, rates times ``scale``.

    Starts again at its end. ``elapsed_s`` below is wall-clock seconds since the replay began.
    """

    trace: Trace
    speed: float
    start_s: float
    scale: float

    def trace_time_s(self, elapsed_s: float) -> float:
        """Position in the trace, seconds."""
        return (self.start_s + elapsed_s * self.speed) % self.trace.duration_s

    def rate_rps(self, elapsed_s: float) -> float:
        """Requests per second offered now."""
        step = int(self.trace_time_s(elapsed_s) / self.trace.step_s)
        return self.scale * float(self.trace.rate_rps[step % len(self.trace.rate_rps)])

    def arrivals(self, random: Random) -> Iterator[float]:
        """Poisson arrivals, in elapsed seconds, without end."""
        rates = (self.scale * self.trace.rate_rps).tolist()
        time_s, due = 0.0, random.expovariate(1.0)
        for step in count(int(self.start_s / self.trace.step_s)):
            rate = rates[step % len(rates)]
            end_s = ((step + 1) * self.trace.step_s - self.start_s) / self.speed
            while rate > 0 and rate * (end_s - time_s) >= due:
                time_s += due / rate
                yield time_s
                due = random.expovariate(1.0)
            due -= rate * (end_s - time_s)
            time_s = end_s


def plan(trace: Trace, speed: float, start_s: float | None, peak_rps: float) -> Replay:
    """Start before the peak unless told where, and scale what is shown to ``peak_rps``.

    ``ValueError`` when the trace holds no request at all.
    """
    if not trace.rate_rps.any():
        raise ValueError(f"trace {trace.name} holds no request: every rate in it is 0")
    if start_s is None:
        peak_s = float(np.argmax(trace.rate_rps)) * trace.step_s
        start_s = max(0.0, peak_s - PEAK_AT_S * speed)
    start_s %= trace.duration_s
    end_s = start_s + SHOWN_S * speed
    shown = np.arange(start_s // trace.step_s, math.ceil(end_s / trace.step_s), dtype=int)
    highest = trace.rate_rps[shown % len(trace.rate_rps)].max() or trace.rate_rps.max()
    return Replay(trace, speed, start_s, peak_rps / float(highest))
