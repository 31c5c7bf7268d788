"""What each version answered since the last look, from Envoy's counters of its backend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from trimtab_agents.canary import Histogram, Side
from trimtab_controller.protocols import Clock, SensorError, StageReport
from trimtab_controller.sensors.envoy import READS, Bin, Stats, fetch_stats


class Sides(NamedTuple):
    """Both versions since the last look; ``None`` where that could not be measured."""

    old: Side | None
    new: Side | None


NOT_READ = Sides(None, None)


class Sees(Protocol):
    """Whoever reads two backends, look by look."""

    def read(self, report: StageReport) -> Sides:
        """What was counted since the last call; nothing the first time, or in an old answer."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What Envoy counted of one backend since it began."""

    bins: Mapping[Bin, int]
    answers: int
    errors: int
    active: int

    @classmethod
    def of(cls, stats: Stats, backend: str) -> Totals:
        """Pick them out of an answer; `SensorError` when the backend is not counted."""
        cluster = f"cluster.{backend}"
        return cls(
            # Envoy begins to count a class of answers, and times, with the first one.
            bins=stats.bins.get(f"{cluster}.upstream_rq_time", {}),
            # Also what Envoy answered itself, after a time-out: that has no time in the bins.
            answers=stats.values.get(f"{cluster}.upstream_rq_completed", 0),
            errors=stats.values.get(f"{cluster}.upstream_rq_5xx", 0),
            active=stats.value(f"{cluster}.upstream_rq_active"),
        )

    def since(self, before: Totals, ready: int, time_s: float) -> Side | None:
        """What was counted after ``before``; ``None`` when a counter went back."""
        counts = {
            (lower / 1e3, width / 1e3): count - before.bins.get((lower, width), 0)
            for (lower, width), count in self.bins.items()
        }
        answers, errors = self.answers - before.answers, self.errors - before.errors
        try:
            return Side(Histogram.of(counts), answers, errors, self.active, ready, time_s)
        except ValueError:
            return None


class Reader:
    """Reads two backends, look by look."""

    def __init__(self, old: str, new: str, clock: Clock) -> None:
        self._names = old, new
        self._clock = clock
        names = "|".join(map(re.escape, self._names))
        self._filter = (
            rf"^cluster\.({names})\.upstream_rq_(5xx|active|completed|time)$|^{re.escape(READS)}$"
        )
        self._before: tuple[int, list[Totals]] | None = None

    def read(self, report: StageReport) -> Sides:
        """As `Sees.read`."""
        before, self._before = self._before, None
        try:
            stats = fetch_stats(report.metrics, self._filter)
            now = [Totals.of(stats, name) for name in self._names]
            reads = stats.value(READS)
        except SensorError:
            return NOT_READ
        self._before = reads, now
        if before is None or reads <= before[0]:
            return NOT_READ
        ready, time_s = {each.name: each.ready for each in report.backends}, self._clock()
        rows = zip(self._names, now, before[1], strict=True)
        return Sides(*(totals.since(was, ready[name], time_s) for name, totals, was in rows))
