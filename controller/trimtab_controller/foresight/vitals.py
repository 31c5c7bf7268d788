"""What is watched of a service's health: one tick of it, and a minute of ticks as one row.

A row is numbers only, NaN where nothing was measured: first two of the service (`MOVING`,
`P95_MS`), then every `Column` of each backend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from trimtab_controller.protocols import StageReport
from trimtab_controller.sense import Sight
from trimtab_sim.profile import Floats

# 1 while replicas were being replaced; 95 % of the requests were faster.
MOVING, P95_MS = 0, 1
SERVICE_COLUMNS = 2


class Column(IntEnum):
    """Of a backend; memory is that of the replica which holds most, connections of all together."""

    RATE_RPS = 0
    READY = 1
    MEMORY_BYTES = 2
    MEMORY_LIMIT_BYTES = 3
    CONNECTIONS = 4


def place(backend: int, column: Column) -> int:
    """Where in a row a backend's number is."""
    return SERVICE_COLUMNS + backend * len(Column) + column


def vitals(sight: Sight, report: StageReport) -> list[float]:
    """One tick, in which the stage was seen. Every service has one in every tick: it is quick."""
    state, measured = sight.state, sight.measured
    row = [float(state.rollout), state.p95_ms.value]
    for backend, told in zip(state.backends, report.backends, strict=True):
        name = backend.name
        row += (  # in the order of `Column`
            backend.rate_rps.value,
            backend.ready,
            measured.get(("memory_bytes", name), (told.memory_bytes,))[0],
            measured.get(("memory_limit_bytes", name), (told.memory_limit_bytes,))[0],
            measured.get(("connections", name), (math.nan,))[0],
        )
    return row


def gathered(ticks: Sequence[Sequence[float]]) -> Floats:
    """Several ticks as one: the highest memory, whether anything moved, the mean of all else."""
    table = np.array(ticks)
    known = np.isfinite(table)
    count = known.sum(axis=0)
    total = np.where(known, table, 0.0).sum(axis=0)
    row = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    backends = (table.shape[1] - SERVICE_COLUMNS) // len(Column)
    for top in (MOVING, *(place(backend, Column.MEMORY_BYTES) for backend in range(backends))):
        if count[top]:
            row[top] = table[known[:, top], top].max()
    return row
