"""The frozen cells of the benchmark: what is simulated, decided here and nowhere else.

A cell is one service under one window of one trace. Cells are data: the quick grid and the
full one differ in numbers only.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from trimtab_agents.training.config import TRAIN_TRACES
from trimtab_sim.profile import BackendProfile, Floats, Profile
from trimtab_sim.traces import Trace, read_trace, shipped_traces

TICK_S = 5.0
WINDOW_S = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that are crossed with the traces; ``size`` is the mean load in full replicas."""

    windows: int
    startups_s: tuple[float, ...]
    sizes: tuple[float, ...]
    lags_s: tuple[float, ...]
    miss_prices: tuple[float, ...]
    seeds: int


FULL = Grid(3, (10.0, 45.0, 120.0), (4.0, 20.0), (0.0, 15.0), (10.0, 50.0, 250.0), 3)
QUICK = Grid(1, (10.0, 120.0), (10.0,), (15.0,), (10.0, 50.0, 250.0), 1)


@dataclass(frozen=True, slots=True)
class Cell:
    """One service under the load from ``start_s`` of a trace on; ``miss_price`` is lambda."""

    trace: str
    window: int
    start_s: float
    startup_s: float
    size: float
    lag_s: float
    miss_price: float
    seed: int

    @property
    def family(self) -> str:
        """Where the trace comes from: the first word of its name."""
        return self.trace.split("_")[0]

    @property
    def is_train(self) -> bool:
        """Whether rules were calibrated and policies trained on this trace."""
        return self.trace in TRAIN_TRACES

    @property
    def profile(self) -> Profile:
        """The frozen service, with what the cell varies."""
        backend = BackendProfile("replicas", startup_mean_s=self.startup_s)
        return Profile(self.trace, (backend,), metric_lag_s=self.lag_s)

    def ticks(self, trace: Trace) -> int:
        """Length of the window."""
        return int(min(WINDOW_S, trace.duration_s - self.start_s) / TICK_S)

    def load(self, trace: Trace) -> Floats:
        """Rate of every tick of the window, ``[T]``, scaled to the cell's size.

        ``ValueError`` when there is no load to scale.
        """
        rate_rps = trace.rates(TICK_S, self.start_s, self.ticks(trace))
        if not rate_rps.any():
            raise ValueError(f"{self.trace}: no load from {self.start_s:g} s on, nothing to scale")
        backend = self.profile.backends[0]
        replica_rps = backend.concurrency / backend.service_time_s
        return np.asarray(rate_rps * (self.size * replica_rps / rate_rps.mean()))


def read_traces(folder: Path | None) -> dict[str, Trace]:
    """Every CSV of a folder by name, or the shipped traces; ``ValueError`` when there is none."""
    paths: Iterable[Path] = (
        shipped_traces().values() if folder is None else sorted(folder.glob("*.csv"))
    )
    traces = {path.stem: read_trace(path) for path in paths}
    if not traces:
        raise ValueError(f"{folder}: holds no .csv trace")
    return traces


def make_cells(traces: Mapping[str, Trace], grid: Grid) -> list[Cell]:
    """Every combination of trace, window and the grid's values."""
    windows = [
        (name, index, start_s)
        for name, trace in traces.items()
        for index, start_s in enumerate(window_starts(trace, grid.windows))
    ]
    services = product(grid.startups_s, grid.sizes, grid.lags_s, grid.miss_prices)
    return [
        Cell(*window, *service, seed)
        for window, service, seed in product(windows, services, range(grid.seeds))
    ]


def window_starts(trace: Trace, count: int, longest_s: float = WINDOW_S) -> list[float]:
    """Starts in seconds: around the peak, then drawn ones that overlap none before them.

    As many as fit, ``count`` at most; drawn by the trace's name, so always the same.
    """
    length_s = min(longest_s, trace.duration_s)
    free_s = np.arange(0.0, trace.duration_s - length_s + 0.5 * trace.step_s, trace.step_s)
    peak_s = float(trace.rate_rps.argmax()) * trace.step_s
    starts = [float(np.clip(peak_s - length_s / 2, 0.0, free_s[-1]))]
    rng = np.random.default_rng(zlib.crc32(trace.name.encode()))
    while len(starts) < count:
        free_s = free_s[np.abs(free_s - starts[-1]) >= length_s]
        if not len(free_s):
            break
        starts.append(float(rng.choice(free_s)))
    return starts
