"""Which windows of a recording show a service at rest, and those put together in segments.

They are chosen by load and replicas only, never by how long anything waited: that would
flatter the service.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab_agents.fit.latency import Segments
from trimtab_agents.fit.recording import Recording
from trimtab_sim.profile import Floats

Rows = NDArray[np.bool_]

# Above, a queue takes longer to come to rest than loads stay as they are.
REST_UTILISATION = 0.9
# A segment ends after so many requests or seconds: its load is known, and it is one load.
SEGMENT_REQUESTS, SEGMENT_S = 400.0, 60.0
_LEAST_REPLICAS = 0.5


@dataclass(frozen=True, slots=True)
class Load:
    """A recording's windows with the replicas of ``lag`` windows before: the ones that served.

    replicas: mean over each window, ``[N]``; rate_rps, answers: as in the recording.
    """

    step_s: float
    replicas: Floats
    rate_rps: Floats
    bounds_s: Floats
    answers: Floats

    @classmethod
    def of(cls, recording: Recording, lag: int = 0) -> Load:
        """Without the first windows, whose replicas are not in the recording."""
        ready = recording.ready
        mean = 0.5 * (ready[1:] + ready[:-1])
        first = lag + 1
        return cls(
            step_s=recording.step_s,
            replicas=mean[: len(mean) - lag],
            rate_rps=recording.rate_rps[first:],
            bounds_s=recording.bounds_s,
            answers=recording.answers[first:],
        )

    def unchanged(self, before: int, after: int = 0) -> Rows:
        """Windows with the same replicas in so many windows before and after it, and any."""
        same = self.replicas > _LEAST_REPLICAS
        for shift in (*range(1, before + 1), *range(-after, 0)):
            same &= np.roll(self.replicas, shift) == self.replicas
        same[:before] = same[len(same) - after :] = False
        return np.asarray(same)

    def at_rest(self, replica_rps: float, utilisation: float = REST_UTILISATION) -> Rows:
        """Windows without a backlog, if a replica carries so much, up to this utilisation."""
        return at_rest(self.rate_rps, self.replicas * replica_rps, self.step_s, utilisation)

    def segments(self, chosen: Rows) -> Segments:
        """The chosen windows, neighbours with the same replicas put together.

        Those without an answer say nothing: rows that lack, or a machine that stood still.
        """
        rows = np.flatnonzero(chosen & (self.answers.sum(1) > 0.0))
        if not len(rows):
            return Segments(np.zeros(0), np.zeros(0), self.bounds_s, self.answers[:0])
        begins: list[int] = []
        requests, begun_s = np.inf, 0.0
        for place, row in enumerate(rows):
            full = requests >= SEGMENT_REQUESTS or place * self.step_s >= SEGMENT_S + begun_s
            if full or row != rows[place - 1] + 1 or self.replicas[row] != self.replicas[row - 1]:
                begins.append(place)
                requests, begun_s = 0.0, place * self.step_s
            requests += self.rate_rps[row] * self.step_s
        starts = np.array(begins, dtype=np.intp)
        windows = np.diff(starts, append=len(rows))
        return Segments(
            replicas=self.replicas[rows[starts]],
            rate_rps=np.add.reduceat(self.rate_rps[rows], starts) / windows,
            bounds_s=self.bounds_s,
            answers=np.add.reduceat(self.answers[rows], starts),
        )


def at_rest(
    rate_rps: Floats,
    capacity_rps: Floats,
    step_s: float,
    utilisation: float = REST_UTILISATION,
) -> Rows:
    """Windows in which neither load nor what an overload left behind is near the capacity."""
    level_rps = utilisation * capacity_rps
    backlog, rest = 0.0, np.zeros(len(rate_rps), dtype=np.bool_)
    for window, spare_rps in enumerate(level_rps - rate_rps):
        rest[window] = backlog == 0.0 and spare_rps > 0.0
        backlog = max(0.0, backlog - spare_rps * step_s)
    return rest
