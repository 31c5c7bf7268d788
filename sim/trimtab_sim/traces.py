"""Real load traces: reading them strictly, and resampling them to the simulator's ticks.

The format is that of ``traces/SOURCES.md``: a header ``seconds,requests_per_second``, then
rows of uniform step, each rate the mean over ``[seconds, seconds + step)``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HEADER = ["seconds", "requests_per_second"]


class TraceError(ValueError):
    """A trace file that cannot be used; the message names the file, the line and the fault."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Rates ``rate_rps`` ``[N]``, each constant over ``step_s`` seconds."""

    name: str
    step_s: float
    rate_rps: Floats

    @property
    def duration_s(self) -> float:
        """Length of the trace, seconds."""
        return self.step_s * len(self.rate_rps)

    def scaled(self, load: float = 1.0, time: float = 1.0) -> Trace:
        """``load`` times the requests per second, in ``time`` times as long.

        ``ValueError`` unless load is finite and not below 0, and time finite and above 0.
        """
        if not (isfinite(load) and isfinite(time) and load >= 0.0 and time > 0.0):
            raise ValueError(f"cannot scale {self.name} by {load:g} in load and {time:g} in time")
        return Trace(self.name, self.step_s * time, self.rate_rps * load)

    def rates(self, tick_s: float, start_s: float = 0.0, ticks: int | None = None) -> Floats:
        """Mean rate over each tick from ``start_s`` on, ``[ticks]``; by default to the end.

        ``ValueError`` when the trace does not cover the ticks asked for.
        """
        left_s = self.duration_s - start_s
        ticks = int(left_s / tick_s + 1e-9) if ticks is None else ticks
        if start_s < 0.0 or ticks * tick_s > left_s + 1e-6 * self.step_s:
            raise ValueError(
                f"{self.name} lasts {self.duration_s:g} s, "
                f"cannot give {ticks} ticks of {tick_s:g} s from {start_s:g} s"
            )
        requests = np.concatenate([[0.0], np.cumsum(self.rate_rps) * self.step_s])
        edges_s = start_s + tick_s * np.arange(ticks + 1)
        steps_s = self.step_s * np.arange(len(requests))
        # Differences of cumulated requests can round to just below 0.
        counted = np.diff(np.interp(edges_s, steps_s, requests))
        return np.asarray(np.maximum(counted, 0.0) / tick_s)


def shipped_traces() -> dict[str, Path]:
    """The traces in this package, by name."""
    folder = Path(str(files("trimtab_sim") / "traces"))
    return {path.stem: path for path in sorted(folder.glob("*.csv"))}


def read_trace(path: Path | str) -> Trace:
    """Read a trace; ``TraceError`` with file and line when it is not a usable one."""
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: cannot be read: {error}") from error
    if not lines:
        raise TraceError(f"{path}:1: is empty; expected the header {','.join(HEADER)}")
    if [cell.strip() for cell in lines[0]] != HEADER:
        raise TraceError(f"{path}:1: header is {','.join(lines[0])!r}, not {','.join(HEADER)!r}")
    rows = [_read_row(path, number, cells) for number, cells in enumerate(lines[1:], start=2)]
    if len(rows) < 2:
        raise TraceError(f"{path}:{len(lines)}: needs two rows of data at least")
    step_s = rows[1][0] - rows[0][0]
    _check_times(path, [time_s for time_s, _ in rows], step_s)
    return Trace(path.stem, step_s, np.array([rate for _, rate in rows]))


def _read_row(path: Path, line: int, cells: list[str]) -> tuple[float, float]:
    try:
        time_s, rate_rps = (float(cell) for cell in cells)
    except ValueError:
        raise TraceError(f"{path}:{line}: expected two numbers, got {','.join(cells)!r}") from None
    if not isfinite(time_s) or not isfinite(rate_rps):
        raise TraceError(f"{path}:{line}: {','.join(cells)!r} is not finite")
    if rate_rps < 0.0:
        raise TraceError(f"{path}:{line}: the rate {rate_rps:g} is negative")
    return time_s, rate_rps


def _check_times(path: Path, times_s: list[float], step_s: float) -> None:
    if step_s <= 0.0:
        raise TraceError(f"{path}:3: time does not increase ({times_s[0]:g} to {times_s[1]:g} s)")
    for line, (time_s, before_s) in enumerate(zip(times_s[1:], times_s, strict=False), start=3):
        if abs(time_s - before_s - step_s) > 1e-6 * step_s:
            raise TraceError(
                f"{path}:{line}: time goes from {before_s:g} to {time_s:g} s, "
                f"the step of the lines above is {step_s:g} s"
            )
