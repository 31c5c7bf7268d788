"""Writes down what a stage and its Envoy tell, for `trimtab fit`.

Envoy's totals only grow, so a row needs two reads. Its latency bins are two digits wide, and
so are our bounds: no bin is ever cut in two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from trimtab_agents.fit.recording import write_header, write_row
from trimtab_controller.sensors.envoy import Bin, fetch_stats
from trimtab_proto.v1 import stage_pb2
from trimtab_sim.profile import Floats

# The E12 series from 1 ms to 10 s.
_SERIES = (1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2)
BOUNDS_MS = np.array([*(round(step * 10**n, 1) for n in range(4) for step in _SERIES), 10_000.0])


@dataclass(frozen=True, slots=True)
class Totals:
    """Envoy's counters of one cluster: requests so far, those inside now, answers per bin."""

    requests: int
    active: int
    latency_ms: Mapping[Bin, int]

    def answers(self, before: Totals) -> Floats:
        """What was answered since, up to each of `BOUNDS_MS` and above the last."""
        counts = Counter(self.latency_ms)
        counts.subtract(before.latency_ms)
        found = np.zeros(len(BOUNDS_MS) + 1)
        for (lower, width), count in counts.items():
            # Bounds of bins come as text with rounding errors.
            found[np.searchsorted(BOUNDS_MS, lower + width - 1e-6)] += count
        return found


@dataclass(frozen=True, slots=True)
class Look:
    """What the stage says at one moment, and its Envoy of each backend."""

    status: stage_pb2.StageStatus
    totals: Mapping[str, Totals]

    @classmethod
    def at(cls, status: stage_pb2.StageStatus) -> Look:
        """Ask Envoy as well; `SensorError` when it does not answer."""
        names = [backend.name for backend in status.backends]
        return cls(status, totals(status.envoy_admin_socket, names))


class Recorder:
    """Appends rows of every backend since ``first`` to ``out``, which gets its header at once."""

    def __init__(self, out: IO[str], first: Look) -> None:
        self._out = out
        self._before = first
        write_header(out, (BOUNDS_MS / 1e3).tolist())

    def see(self, now: Look) -> None:
        """Write what happened since the last look; nothing when Envoy was started anew."""
        step_s = now.status.time_s - self._before.status.time_s
        if step_s > 0.0:
            self._write(now, self._before, step_s)
        self._before = now

    def _write(self, now: Look, before: Look, step_s: float) -> None:
        for backend in now.status.backends:
            after, earlier = now.totals[backend.name], before.totals[backend.name]
            answers = after.answers(earlier)
            if after.requests < earlier.requests or answers.min() < 0.0:
                continue
            rate_rps = (after.requests - earlier.requests) / step_s
            numbers = (now.status.time_s, backend.wanted, backend.ready, rate_rps, after.active)
            write_row(self._out, backend.name, numbers, answers)
        self._out.flush()


def totals(admin_socket: str, clusters: Sequence[str]) -> dict[str, Totals]:
    """Of each cluster, from Envoy's admin socket; `SensorError`."""
    names = "|".join(map(re.escape, clusters))
    stats = fetch_stats(admin_socket, rf"^cluster\.({names})\.upstream_rq_(total|active|time)$")
    return {
        name: Totals(
            stats.value(f"cluster.{name}.upstream_rq_total"),
            stats.value(f"cluster.{name}.upstream_rq_active"),
            stats.bins.get(f"cluster.{name}.upstream_rq_time", {}),
        )
        for name in clusters
    }
