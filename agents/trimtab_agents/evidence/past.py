"""What was recorded of services: every tick's arrivals, replicas and misses, at an even pace."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Past:
    """B services with K backends over T ticks of ``tick_s``, the first beginning with a day.

    wanted, ready, billed, weight: as they were, ``[T, B, K]``, ``billed`` being those starting,
    ready and draining; rate_rps, in_flight ``[T, B, K]`` and miss_share ``[T, B]``: as metrics
    showed them in that tick, ``lag_ticks`` after they were so. Where nothing was seen all is as
    it was last, and ``known`` ``[T, B]`` is false.
    """

    tick_s: float
    day_ticks: int
    lag_ticks: int
    wanted: Floats
    ready: Floats
    billed: Floats
    weight: Floats
    rate_rps: Floats
    in_flight: Floats
    miss_share: Floats
    known: Bools

    @property
    def days(self) -> int:
        """How many days it touches."""
        return -(-len(self.known) // self.day_ticks)

    def by_day(self, values: Floats) -> Floats:
        """Sums over the known ticks of each day, ``[D, B]`` of ``[T, B]``."""
        starts = np.arange(0, len(values), self.day_ticks)
        return np.add.reduceat(np.where(self.known, values, 0.0), starts, axis=0)

    @property
    def fresh(self) -> Floats:
        """Share of each day that was seen, ``[D, B]``."""
        return self.by_day(np.ones(self.known.shape)) / self.day_ticks

    def moments(self, shift: NDArray[np.int64], tick: int) -> NDArray[np.int64]:
        """In which tick the metrics show ``tick``, if they are so many ticks late."""
        return np.clip(tick + shift, 0, len(self.known) - 1)

    def until(self, tick: int) -> Past:
        """Its first ticks."""
        parts = {
            field.name: getattr(self, field.name)[:tick]
            for field in fields(self)
            if field.name not in ("tick_s", "day_ticks", "lag_ticks")
        }
        return replace(self, **parts)
