"""A service's metrics as they were recorded: one file, one row per moment and backend.

The columns of the CSV, in any order:

``time_s``
    when the row was written, seconds; the rows of a backend come at an even pace, some may lack
``backend``
    its name; without this column all rows are of one backend, which is named as the file
``wanted``, ``ready``
    replicas that were asked for, and that take traffic, at that time
``rate_rps``, ``in_flight``
    requests per second, and mean or momentary number of requests inside, since the row before
``le_0.1``, …, ``le_inf``
    how many requests were answered since the row before, in so many seconds or less
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import IO

import numpy as np

from trimtab_sim.profile import Floats

NUMBERS = ("time_s", "wanted", "ready", "rate_rps", "in_flight")
BACKEND, BUCKET = "backend", "le_"
LEAST_ROWS = 10
# In steps. What is missing for longer says too little of what came after.
LONGEST_HOLE = 100


class RecordingError(ValueError):
    """A recording that cannot be used; the message names file, line, fault and way out."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One backend at N moments, each the end of a window as long as the step between them.

    time_s, wanted, ready, rate_rps, in_flight: ``[N]``; bounds_s: ``[J]``, increasing;
    answers: requests by latency, ``[N, J + 1]``: up to each bound, and above the last.
    """

    backend: str
    time_s: Floats
    wanted: Floats
    ready: Floats
    rate_rps: Floats
    in_flight: Floats
    bounds_s: Floats
    answers: Floats

    @property
    def step_s(self) -> float:
        """Length of a window, seconds."""
        return float(np.median(np.diff(self.time_s)))


def write_header(out: IO[str], bounds_s: Sequence[float]) -> None:
    """The first line of a recording."""
    buckets = [f"{BUCKET}{bound_s:g}" for bound_s in (*bounds_s, inf)]
    csv.writer(out, lineterminator="\n").writerow((NUMBERS[0], BACKEND, *NUMBERS[1:], *buckets))


def write_row(out: IO[str], backend: str, numbers: Sequence[float], answers: Floats) -> None:
    """One line: ``numbers`` as in `NUMBERS`, ``answers`` of the window per bucket."""
    counts = np.cumsum(answers)
    first, *others = (f"{number:.13g}" for number in (*numbers, *counts))
    csv.writer(out, lineterminator="\n").writerow((first, backend, *others))


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings with the same bounds to a new file."""
    recordings = list(recordings)
    with path.open("x", encoding="utf-8") as out:
        write_header(out, recordings[0].bounds_s.tolist())
        for one in recordings:
            columns = np.stack([getattr(one, name) for name in NUMBERS], axis=1)
            for numbers, answers in zip(columns, one.answers, strict=True):
                write_row(out, one.backend, numbers, answers)


def read_recordings(path: Path) -> list[Recording]:
    """The backends in a file, in the order in which they appear; `RecordingError`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{path}: cannot be read: {error}") from error
    if not lines:
        raise RecordingError(f"{path}:1: is empty: expected a header ({','.join(NUMBERS)}, …)")
    columns = _Columns.of(path, [cell.strip() for cell in lines[0]])
    groups: dict[str, list[tuple[int, list[float]]]] = {}
    for line, cells in enumerate(lines[1:], start=2):
        if cells:
            backend, numbers = columns.parsed(line, cells)
            groups.setdefault(backend, []).append((line, numbers))
    if not groups:
        raise RecordingError(f"{path}:{len(lines)}: has no rows")
    return [columns.recording(backend, rows) for backend, rows in groups.items()]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which column holds what: ``numbers`` as in `NUMBERS` and then the buckets by bound."""

    path: Path
    width: int
    backend: int | None
    numbers: tuple[int, ...]
    bounds_s: tuple[float, ...]

    @classmethod
    def of(cls, path: Path, names: list[str]) -> _Columns:
        bounds: dict[float, int] = {}
        for place, name in enumerate(names):
            if names.count(name) > 1:
                raise RecordingError(f"{path}:1: column {name!r} is there twice: remove one")
            if name.startswith(BUCKET):
                bounds[_bound_s(path, name)] = place
            elif name not in (*NUMBERS, BACKEND):
                raise RecordingError(
                    f"{path}:1: unknown column {name!r}: "
                    f"known are {', '.join((BACKEND, *NUMBERS))} and {BUCKET}SECONDS"
                )
        missing = [name for name in NUMBERS if name not in names]
        missing += [] if inf in bounds else [f"{BUCKET}inf"]
        if missing:
            raise RecordingError(f"{path}:1: lacks the column {missing[0]}: add it")
        if len(bounds) < 4:
            raise RecordingError(
                f"{path}:1: has {len(bounds) - 1} latency bounds: add columns {BUCKET}SECONDS, "
                "three at least, around the usual latencies"
            )
        places = tuple(names.index(name) for name in NUMBERS)
        places += tuple(bounds[bound] for bound in sorted(bounds))
        backend = names.index(BACKEND) if BACKEND in names else None
        return cls(path, len(names), backend, places, tuple(sorted(bounds)))

    def parsed(self, line: int, cells: list[str]) -> tuple[str, list[float]]:
        """One row: its backend, and its numbers in our order."""
        if len(cells) != self.width:
            raise self._error(line, f"has {len(cells)} cells, the header {self.width}")
        texts = [cells[place].strip() for place in self.numbers]
        try:
            numbers = [float(text) for text in texts]
        except ValueError as error:
            raise self._error(line, f"{error}: write a number, or leave the row out") from None
        for text, number in zip(texts, numbers, strict=True):
            if not isfinite(number) or number < 0.0:
                raise self._error(line, f"{text!r} must be 0 or more: leave the row out")
        if np.any(np.diff(numbers[len(NUMBERS) :]) < 0.0):
            raise self._error(line, f"{BUCKET}* must not decrease from left to right: they count "
                              "the answers up to each bound")  # fmt: skip
        name = self.path.stem if self.backend is None else cells[self.backend].strip()
        return name, numbers

    def recording(self, backend: str, rows: list[tuple[int, list[float]]]) -> Recording:
        """The rows of one backend, which must be in order, at an even pace."""
        lines, table = [line for line, _ in rows], np.array([numbers for _, numbers in rows])
        if len(rows) < LEAST_ROWS:
            raise self._error(
                lines[-1], f"{len(rows)} rows of backend {backend!r}: {LEAST_ROWS} at least"
            )
        gaps_s = np.diff(table[:, 0])
        for line, gap_s in zip(lines[1:], gaps_s, strict=True):
            if gap_s > LONGEST_HOLE * np.median(gaps_s) > 0.0:
                raise self._error(
                    line, f"comes {gap_s:g} s after the row before: fit what is before and after "
                    "such a hole on its own"
                )  # fmt: skip
            if gap_s <= 0.0:
                raise self._error(line, f"time goes back by {-gap_s:g} s: sort the rows by time")
        table = _even(table)
        time_s, wanted, ready, rate_rps, in_flight = table[:, : len(NUMBERS)].T
        answers = np.diff(table[:, len(NUMBERS) :], axis=1, prepend=0.0)
        return Recording(
            backend=backend,
            time_s=time_s,
            wanted=np.rint(wanted),
            ready=np.rint(ready),
            rate_rps=rate_rps,
            in_flight=in_flight,
            bounds_s=np.array(self.bounds_s[:-1]),
            answers=answers,
        )

    def _error(self, line: int, fault: str) -> RecordingError:
        return RecordingError(f"{self.path}:{line}: {fault}")


def _even(table: Floats) -> Floats:
    """Rows at an even pace: those in one step are put together, missing ones repeat the last.

    Repeated ones have no answers, so they say nothing of latencies.
    """
    time_s = table[:, 0]
    step_s = float(np.median(np.diff(time_s)))
    phase = np.angle(np.exp(2j * np.pi * (time_s - time_s[0]) / step_s).mean()) / (2 * np.pi)
    slots = np.rint((time_s - time_s[0]) / step_s - phase).astype(int)
    slots -= slots[0]
    # The last row of each slot, or of an earlier one.
    last = np.searchsorted(slots, np.arange(slots[-1] + 1), side="right") - 1
    even = table[last]
    even[:, 0] = time_s[0] + step_s * np.arange(len(even))
    even[:, len(NUMBERS) :] = 0.0
    np.add.at(even[:, len(NUMBERS) :], slots, table[:, len(NUMBERS) :])
    return np.asarray(even)


def _bound_s(path: Path, name: str) -> float:
    try:
        bound_s = float(name.removeprefix(BUCKET))
    except ValueError:
        bound_s = -1.0
    if not bound_s > 0.0:
        raise RecordingError(f"{path}:1: column {name!r}: write {BUCKET} and seconds, or inf")
    return bound_s
