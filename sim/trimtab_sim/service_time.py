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
# Exponential waits are tabulated over v = 1 / (1 + rate · SLO / 4), which keeps the table smooth.
_RATE_SCALE = 4.0
_log_gamma = np.vectorize(lgamma, otypes=[float])


def _first_cell(shape: Floats, x: Floats) -> Floats:
    """Gamma CDF at ``x`` by its series, which copes with the pole of the density at 0."""
    term = np.ones_like(x)
    total = np.ones_like(x)
    for n in range(1, _SERIES_TERMS):
        term = term * x / (shape + n)
        total += term
    logs = shape * np.log(x) - x - _log_gamma(shape + 1.0)
    return np.minimum(np.exp(logs) * total, 1.0)


def gamma_cells(slo_over_mean: Floats, scv: Floats) -> tuple[Floats, Floats]:
    """Probability and mean position of the service time in equal cells of [0, SLO].

    Arguments ``[R]``; returns ``[R, CELLS]`` each, positions in units of the SLO.
    """
    shape = 1.0 / scv
    end = slo_over_mean * shape
    edges = (np.arange(CELLS)[:, None] + (_NODES + 1.0) / 2.0) / CELLS
    x = end[:, None, None] * edges
    log_norm = _log_gamma(shape)[:, None, None]
    density = np.exp((shape - 1.0)[:, None, None] * np.log(x) - x - log_norm)
    weight = density * (_WEIGHTS / 2.0) * (end / CELLS)[:, None, None]
    mass = weight.sum(axis=2)
    mass[:, 0] = _first_cell(shape, end / CELLS)
    middle = (weight * edges).sum(axis=2) / np.maximum(weight.sum(axis=2), 1e-300)
    return mass, middle


class LateShare:
    """Tables for R backends, updated row by row when their profile changes."""

    def __init__(self, rows: int) -> None:
        # Nodes 0..CELLS of the wait in units of the SLO.
        self.tail = np.ones((rows, CELLS + 1))
        self.integral = np.zeros((rows, CELLS + 1))
        self.exponential = np.zeros((rows, CELLS + 1))
        self.floor = np.zeros(rows)
        self._first = np.arange(rows) * (CELLS + 1)

    def fill(self, rows: NDArray[np.intp], slo_over_mean: Floats, scv: Floats) -> None:
        """Tabulate ``rows``; arguments have their length. ``scv`` 0 is taken as 0.01."""
        mass, middle = gamma_cells(slo_over_mean, np.maximum(scv, 0.01))
        below = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(mass, axis=1)], axis=1)
        tail = np.maximum(1.0 - below[:, ::-1], 0.0)
        steps = (tail[:, 1:] + tail[:, :-1]) / (2 * CELLS)
        self.tail[rows] = tail
        self.integral[rows, 1:] = np.cumsum(steps, axis=1)
        self.floor[rows] = tail[:, 0]
        grid = np.arange(1, CELLS + 1) / CELLS
        rate = _RATE_SCALE * (1.0 / grid - 1.0)
        for column, each in enumerate(rate, start=1):
            self.exponential[rows, column] = (mass * np.exp(each * (middle - 1.0))).sum(axis=1)

    def along(self, start: Floats, end: Floats) -> Floats:
        """Share late of arrivals whose wait moves evenly from ``start`` to ``end``, ``[R]``.

        Waits in units of the SLO.
        """
        travel = end - start
        still = np.abs(travel) < 1e-4
        end = np.where(still, start + 1e-4, end)
        return (self._integral_to(end) - self._integral_to(start)) / np.where(still, 1e-4, travel)

    def _integral_to(self, wait: Floats) -> Floats:
        inside = np.minimum(wait, 1.0)
        position = inside * CELLS
        cell = np.minimum(position.astype(np.intp), CELLS - 1)
        part = position - cell
        index = self._first + cell
        low = self.tail.ravel().take(index)
        high = self.tail.ravel().take(index + 1)
        area = (low + 0.5 * part * (high - low)) * part / CELLS
        return self.integral.ravel().take(index) + area + (wait - inside)

    def when_exponential(self, rate: Floats) -> Floats:
        """P(wait + S > SLO) − P(S > SLO) for an exponential wait of ``rate`` per SLO, ``[R]``."""
        position = CELLS / (1.0 + rate / _RATE_SCALE)
        cell = np.minimum(position.astype(np.intp), CELLS - 1)
        part = position - cell
        index = self._first + cell
        low = self.exponential.ravel().take(index)
        return low + part * (self.exponential.ravel().take(index + 1) - low)
