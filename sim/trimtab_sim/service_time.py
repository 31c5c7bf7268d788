"""How likely a request is late, given how long it waits: tables of the service time's tail.

Service times are gamma distributed with the profile's mean and squared coefficient of
variation. A request that waits ``w`` is late when ``w + S > SLO``; the simulator needs that
share averaged over a wait that moves along a line (a backlog) or is exponential (random
queueing). Both are tabulated once per profile, because gamma functions per tick are slow.
"""

from __future__ import annotations

from math import lgamma

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CELLS = 64
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_SERIES_TERMS = 60
_RATE_SCALE = 4.0
# Beyond, cells are wider than the service time's density, which no longer matters there.
_MOST_SERVICES = 40.0
# Steadier service times are taken as this steady.
LEAST_SCV = 0.05
_log_gamma = np.vectorize(lgamma, otypes=[float])


def _first_cell(shape: Floats, x: Floats) -> Floats:
    """Gamma CDF at ``x`` by its series, which copes with the pole of the density at 0."""
    term = np.ones_like(x)
    total = np.ones_like(x)
    for n in range(1, _SERIES_TERMS):
        term = term * x / (shape + n)
        total += term
    logs = shape * np.log(x) - x - _log_gamma(shape + 1.0)
    return np.asarray(np.minimum(np.exp(logs) * total, 1.0))


def gamma_cells(slo_over_mean: Floats, scv: Floats) -> Floats:
    """Probability that the service time lies in each of ``CELLS`` equal cells of [0, SLO].

    Arguments ``[R]``; returns ``[R, CELLS]``.
    """
    shape = 1.0 / scv
    end = slo_over_mean * shape
    edges = (np.arange(CELLS)[:, None] + (_NODES + 1.0) / 2.0) / CELLS
    x = end[:, None, None] * edges
    log_norm = _log_gamma(shape)[:, None, None]
    density = np.exp((shape - 1.0)[:, None, None] * np.log(x) - x - log_norm)
    mass = (density * _WEIGHTS).sum(axis=2) * (end / (2 * CELLS))[:, None]
    mass[:, 0] = _first_cell(shape, end / CELLS)
    return np.asarray(mass)


def _exponential_kernel() -> Floats:
    """Mean over each cell of P(exponential wait ends past the SLO), per node of its rate.

    Nodes are v = 1 / (1 + rate · SLO / 4), from 0 to 1, which keeps the table smooth.
    """
    rate = _RATE_SCALE * (CELLS / np.arange(1, CELLS) - 1.0)
    edges = np.exp((np.arange(CELLS + 1)[:, None] / CELLS - 1.0) * rate)
    inner = np.diff(edges, axis=0) * CELLS / rate
    return np.hstack([np.zeros((CELLS, 1)), inner, np.ones((CELLS, 1))])


_EXPONENTIAL_KERNEL = _exponential_kernel()


class LateShare:
    """Tables for ``shape`` backends, updated one by one when their profile changes."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._first = np.arange(np.prod(shape)).reshape(shape) * (CELLS + 1)
        # Per node of the wait, 0 to 1 SLO: P(late).
        self._tail = np.ones(self._first.size * (CELLS + 1))
        # The same per cell, together because they are looked up together: P(late) at both ends,
        # and the integral up to it.
        self._cells = np.ones((self._first.size * (CELLS + 1), 3))
        # Per node of v: P(late | exponential wait) - P(late | no wait).
        self._exponential = np.zeros_like(self._tail)

    def fill(self, rows: NDArray[np.intp], slo_over_mean: Floats, scv: Floats) -> None:
        """Tabulate the backends at flat index ``rows``; other arguments have its length."""
        mass = gamma_cells(np.minimum(slo_over_mean, _MOST_SERVICES), np.maximum(scv, LEAST_SCV))
        below = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(mass, axis=1)], axis=1)
        tail = np.maximum(1.0 - below[:, ::-1], 0.0)
        steps = (tail[:, 1:] + tail[:, :-1]) / (2 * CELLS)
        self._tail.reshape(-1, CELLS + 1)[rows] = tail
        cells = self._cells.reshape(-1, CELLS + 1, 3)
        cells[rows, :-1, 0], cells[rows, :-1, 1] = tail[:, :-1], tail[:, 1:]
        cells[rows, 0, 2], cells[rows, 1:, 2] = 0.0, np.cumsum(steps, axis=1)
        self._exponential.reshape(-1, CELLS + 1)[rows] = mass @ _EXPONENTIAL_KERNEL

    def along(self, start: Floats, end: Floats, rows: NDArray[np.intp]) -> Floats:
        """Share late of arrivals whose waits spread evenly from ``start`` to ``end`` >= start.

        Waits in units of the SLO, for the backends at flat index ``rows``.
        """
        travel = np.maximum(end - start, 1e-4)
        first = self._first.ravel()[rows]
        until_end = self._until(start + travel, first)
        return np.asarray((until_end - self._until(start, first)) / travel)

    def _until(self, wait: Floats, first: NDArray[np.intp]) -> Floats:
        """Integral of P(late) over waits from 0, quadratic within a cell."""
        inside = np.minimum(wait, 1.0)
        position = inside * CELLS
        cell = np.minimum(position.astype(np.intp), CELLS - 1)
        part = position - cell
        index = first + cell
        low, high, before = self._cells.take(index, axis=0).T
        area = (low + 0.5 * part * (high - low)) * part / CELLS
        return np.asarray(before + area + (wait - inside))

    def when_exponential(
        self, chance: Floats, rate: Floats, rows: NDArray[np.intp] | None = None
    ) -> Floats:
        """Share late when with ``chance`` a request waits an exponential time of ``rate`` per SLO.

        Others do not wait. Of all backends, or those at flat index ``rows``.
        """
        first = self._first if rows is None else self._first.ravel()[rows]
        position = CELLS / (1.0 + rate / _RATE_SCALE)
        cell = np.minimum(position.astype(np.intp), CELLS - 1)
        index = first + cell
        low, high = self._exponential.take(index), self._exponential.take(index + 1)
        longer = low + (position - cell) * (high - low)
        return np.asarray(self._tail.take(first) + chance * longer)
