"""A day of a service's vitals in memory, and the series that are foretold from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab_agents.foresight import Series
from trimtab_controller.foresight.vitals import MOVING, P95_MS, Column, place
from trimtab_sim.profile import Floats

# Rows of a minute: nothing is foretold farther ahead than it was watched.
KEPT = 1440


@dataclass(frozen=True, slots=True)
class Chart:
    """The latest rows of these ``backends``, oldest first; single precision will do."""

    backends: tuple[str, ...]
    times_s: Floats
    rows: NDArray[np.float32]

    @classmethod
    def empty(cls, backends: tuple[str, ...]) -> Chart:
        """Nothing was seen."""
        width = place(len(backends), Column.RATE_RPS)
        return cls(backends, np.zeros(0), np.zeros((0, width), np.float32))

    def with_row(self, time_s: float, row: Floats) -> Chart:
        """One row later; what is not after the last one, by a clock set back, begins anew."""
        known = self if not len(self.times_s) or time_s > self.times_s[-1] else self._none
        times_s = np.append(known.times_s[1 - KEPT :], time_s)
        rows = np.vstack([known.rows[1 - KEPT :], row.astype(np.float32)])
        return Chart(self.backends, times_s, rows)

    def memory(self, backend: int) -> Series:
        """Bytes of the replica that holds most."""
        return self._series(self._of(backend, Column.MEMORY_BYTES), self._load(backend))

    def memory_limit(self, backend: int) -> float:
        """In bytes, as it was last told; NaN when it never was."""
        return _last(self._of(backend, Column.MEMORY_LIMIT_BYTES))

    def connections(self, backend: int) -> Series:
        """Open connections per ready replica."""
        ready = np.maximum(self._of(backend, Column.READY), 1.0)
        return self._series(self._of(backend, Column.CONNECTIONS) / ready, self._load(backend))

    def latency(self) -> Series:
        """The service's 95th percentile, in milliseconds. It may fall without a restart."""
        columns = range(len(self.backends))
        rates = sum(self._of(backend, Column.RATE_RPS) for backend in columns)
        ready = sum(self._of(backend, Column.READY) for backend in columns)
        load = rates / np.maximum(ready, 1.0)
        return self._series(self.rows[:, P95_MS].astype(float), load, falls=False)

    @property
    def _none(self) -> Chart:
        return Chart.empty(self.backends)

    def _of(self, backend: int, column: Column) -> Floats:
        return self.rows[:, place(backend, column)].astype(float)

    def _load(self, backend: int) -> Floats:
        """Requests per second that each ready replica gets."""
        ready = np.maximum(self._of(backend, Column.READY), 1.0)
        load: Floats = self._of(backend, Column.RATE_RPS) / ready
        return load

    def _series(self, values: Floats, load: Floats, *, falls: bool = True) -> Series:
        moving = self.rows[:, MOVING].astype(float)
        return Series.seen(self.times_s, values, load, moving, falls=falls)


def _last(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else float("nan")
