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

from trimtab_sim.compiled import compiled
from trimtab_sim.profile import LEAST_SCV, Floats

CELLS = 64
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_SERIES_TERMS = 60
_RATE_SCALE = 4.0
# Beyond, cells are wider than the service time's density, which no longer matters there.
_MOST_SERVICES = 40.0
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
    """Tables for ``backends``, updated one by one when their profile changes."""

    def __init__(self, backends: int) -> None:
        # Per node of the wait, 0 to 1 SLO: P(late), and its integral from 0, together because they
        # are looked up together.
        self.tail = np.ones((backends, CELLS + 1, 2))
        # Per node of v: P(late | exponential wait) - P(late | no wait).
        self.exponential = np.ones((backends, CELLS + 1))

    def fill(self, rows: NDArray[np.intp], slo_over_mean: Floats, scv: Floats) -> None:
        """Tabulate the backends ``rows``; other arguments have its length."""
        mass = gamma_cells(np.minimum(slo_over_mean, _MOST_SERVICES), np.maximum(scv, LEAST_SCV))
        below = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(mass, axis=1)], axis=1)
        tail = np.maximum(1.0 - below[:, ::-1], 0.0)
        steps = (tail[:, 1:] + tail[:, :-1]) / (2 * CELLS)
        self.tail[rows, :, 0] = tail
        self.tail[rows, 0, 1], self.tail[rows, 1:, 1] = 0.0, np.cumsum(steps, axis=1)
        self.exponential[rows] = mass @ _EXPONENTIAL_KERNEL


@compiled
def late_along(tail: Floats, row: int, start: float, end: float) -> float:
    """Share late of arrivals whose waits spread evenly from ``start`` to ``end`` >= start.

    Waits in units of the SLO, for the backend ``row`` of ``tail``.
    """
    travel = max(end - start, 1e-4)
    return (_until(tail, row, start + travel) - _until(tail, row, start)) / travel


@compiled
def _until(tail: Floats, row: int, wait: float) -> float:
    """Integral of P(late) over waits from 0, quadratic within a cell."""
    inside = min(wait, 1.0)
    position = inside * CELLS
    cell = min(int(position), CELLS - 1)
    part = position - cell
    low, high, before = tail[row, cell, 0], tail[row, cell + 1, 0], tail[row, cell, 1]
    return float(before + (low + 0.5 * part * (high - low)) * part / CELLS + (wait - inside))


@compiled
def late_when_exponential(
    tail: Floats, exponential: Floats, row: int, chance: float, rate: float
) -> float:
    """Share late when with ``chance`` a request waits an exponential time of ``rate`` per SLO.

    Others do not wait. For the backend ``row`` of both tables.
    """
    position = CELLS / (1.0 + rate / _RATE_SCALE)
    cell = min(int(position), CELLS - 1)
    low, high = exponential[row, cell], exponential[row, cell + 1]
    return float(tail[row, 0, 0] + chance * (low + (position - cell) * (high - low)))
