"""How long requests wait in steady state, tabulated per backend over replicas and utilisation.

A backend of ``n`` replicas with ``c`` slots each waits for two reasons. All of it is busy: a
pool of ``n c`` slots would make them wait too (Erlang C, for other than exponential service
times corrected after Cosmetatos and Allen-Cunneen). Or the replica they were sent to is busy
while others are not: the mean field of least-of-two, with two draws that hit the same replica
once in ``n``. The second shrinks where the first dominates; no theory gives by how much, so
four constants are fitted to request-level simulation (``tests/sim``).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.balancers import Balancer, blind_wait
from trimtab_sim.compiled import compiled
from trimtab_sim.profile import LEAST_SCV, Floats

REPLICA_NODES = 9
UTILISATION_NODES = 33
_REPLICAS = 2.0 ** np.arange(REPLICA_NODES)
_MOST_REPLICAS = float(_REPLICAS[-1])
# Both parts are taken as constant beyond, where queues never come to rest.
_UTILISATION = np.clip(np.linspace(0.0, 1.0, UTILISATION_NODES), 0.01, 0.999)
_MEAN_FIELD_UTILISATION = np.minimum(_UTILISATION, 0.985)

# Fitted for 1 to 16 replicas and slots, utilisation 0.3 to 0.95 and scv 0.25 to 4: how much of
# the imbalance the pool's own queue hides, how much more of it there is with many slots and with
# few replicas, and how much less than proportionally it grows with (1 + scv) / 2, per doubling
# of the replicas.
_HIDDEN = 0.65
_SLOTS_GAIN = 0.35
FEW_GAIN = 0.57
_SCV_LOSS = 0.042
_BACKEND = np.dtype(
    [("first", np.intp), *((name, float) for name in ("imbalance_s", "scv_slope", "scv_loss"))]
)


@lru_cache(maxsize=256)
def _erlang_c(slots: int) -> Floats:
    """P(all busy) for pools of ``n · slots``, ``[REPLICA_NODES, UTILISATION_NODES]``."""
    blocked = np.ones((REPLICA_NODES, UTILISATION_NODES))
    offered = slots * _REPLICAS[:, None] * _UTILISATION
    for node in range(REPLICA_NODES):
        erlang_b, load = blocked[node], offered[node]
        for k in range(1, slots * 2**node + 1):
            erlang_b = load * erlang_b / (k + load * erlang_b)
        blocked[node] = erlang_b
    return np.asarray(blocked / (1.0 - _UTILISATION * (1.0 - blocked)))


def _mean_field(slots: int) -> tuple[Floats, Floats]:
    """P(wait), and requests waiting per replica, of infinitely many under least-of-two.

    Share ``s_k`` of replicas with k or more requests: arrivals reach them at ``a(s_(k-1))``,
    the chance that the chosen one has k - 1 or more; flows balance at each k. From a guess of
    the share with all slots but one busy the others follow; bisection makes ``s_0`` be 1.
    """
    rho = np.broadcast_to(_MEAN_FIELD_UTILISATION, (REPLICA_NODES, UTILISATION_NODES))
    same = np.repeat(1.0 / _REPLICAS[:, None], UTILISATION_NODES, axis=1)

    def chosen(share: Floats) -> Floats:
        return np.asarray(same * share + (1.0 - same) * share * share)

    def share_of(chance: Floats) -> Floats:
        root = np.sqrt(same * same + 4.0 * (1.0 - same) * chance)
        return np.asarray(2.0 * chance / (same + root))

    low, high = np.zeros_like(same), np.ones_like(same)
    for _ in range(50):
        share = middle = 0.5 * (low + high)
        above = rho * chosen(share)
        for k in range(slots - 1, 0, -1):
            higher = share_of((k * share + above) / (slots * rho))
            above, share = above + share, higher
        low, high = np.where(share > 1.0, low, middle), np.where(share > 1.0, middle, high)
    share = rho * chosen(middle)
    wait = chosen(share)
    queue = np.zeros_like(share)
    while (share := rho * chosen(share)).max() > 1e-6:
        queue += share
    return wait, queue


def _scv_spread(slots: int) -> Floats:
    """Cosmetatos: how much more often requests of constant service time wait."""
    pool = slots * _REPLICAS[:, None]
    spread = (1.0 - _UTILISATION) * (pool - 1.0) * (np.sqrt(4.0 + 5.0 * pool) - 2.0)
    return np.asarray(np.minimum(spread / (16.0 * pool * _UTILISATION), 1.0))


@lru_cache(maxsize=256)
def _steady_state(slots: int) -> Floats:
    """Per node: P(all busy) as exponent of the utilisation, its spread with the scv, P(wait),
    and the mean wait from imbalance in service times / slots; ``[nodes, nodes, 4]``.
    """
    busy = _erlang_c(slots)
    wait, queue = _mean_field(slots)
    replicas = _REPLICAS[:, None]
    pool_wait = busy / (replicas * (1.0 - _UTILISATION))
    few = np.where(replicas > 1.0, 1.0 + FEW_GAIN / replicas, 1.0)
    gain = few * (1.0 + _SLOTS_GAIN * (1.0 - slots**-0.5))
    field = gain * queue / _MEAN_FIELD_UTILISATION
    others = np.maximum(1.0 - 1.0 / replicas, 1e-6)
    imbalance = field * field / (field + _HIDDEN * pool_wait / others**2)
    exponent = np.log(np.maximum(busy, 1e-300)) / np.log(_UTILISATION)
    wait = np.clip(few * wait, busy, 1.0)
    return np.stack([exponent, _scv_spread(slots), wait, imbalance], axis=-1)


@lru_cache(maxsize=256)
def _blind(slots: int, balancer: Balancer, scv: float) -> Floats:
    """As ``_steady_state``, where the balancer does not look at the replicas."""
    nodes = _steady_state(slots).copy()
    busy = _erlang_c(slots)
    replicas = np.asarray(_REPLICAS[:, None], dtype=np.float64)
    half = (1.0 + scv) / 2.0
    pool_wait = busy / (replicas * (1.0 - _UTILISATION))
    wait, mean = blind_wait(balancer, busy[0], replicas, _UTILISATION, scv)
    nodes[..., 2] = np.clip(wait, busy, 1.0)
    nodes[..., 3] = np.maximum(mean / half - pool_wait, 0.0)
    # Where all replicas have a queue, none is idle while requests wait for another.
    nodes[:, -1, 3] = 0.0
    return nodes


def cells(nodes: Floats) -> Floats:
    """Per cell between nodes: value, slope over utilisation, over replicas, and over both."""
    right = np.diff(nodes, axis=1)
    down, both = np.diff(nodes[:, :-1], axis=0), np.diff(right, axis=0)
    corner = [nodes[:-1, :-1], right[:-1], down, both]
    return np.concatenate(corner, axis=-1).reshape(-1, 4 * nodes.shape[-1])


class Waiting:
    """Steady states of ``count`` backends; those with equally many slots share a table."""

    def __init__(self, count: int) -> None:
        self._tables: dict[tuple[int, int, float], int] = {}
        self.cells = np.zeros((0, 16))
        # Each one's first cell, and what its service time does to the values there.
        self.backends = np.zeros(count, _BACKEND)

    def fill(
        self,
        rows: NDArray[np.intp],
        slots: Floats,
        service_s: Floats,
        scv: Floats,
        balancer: Floats,
    ) -> None:
        """Describe the backends ``rows``; other arguments have its length."""
        blind = balancer > 0.0
        # Those of least-of-two are for any scv; of others there are tables a tenth apart.
        tenths = np.rint(np.log(np.maximum(scv, LEAST_SCV)) / np.log(1.1))
        nearest = np.where(blind, 1.1**tenths, 1.0)
        keys = list(zip(slots.astype(int), balancer.astype(int), nearest, strict=True))
        half = (1.0 + scv) / 2.0
        self.backends["first"][rows] = [self._table(*key) for key in keys]
        self.backends["imbalance_s"][rows] = service_s / slots * half
        self.backends["scv_loss"][rows] = np.where(blind, 0.0, _SCV_LOSS * np.log(half))
        self.backends["scv_slope"][rows] = (1.0 - scv) / (1.0 + scv)

    def _table(self, slots: int, balancer: int, scv: float) -> int:
        """First cell of the table for such backends, made when it is first asked for."""
        key = slots, balancer, scv
        if key not in self._tables:
            self._tables[key] = len(self.cells)
            kind = Balancer(balancer)
            is_blind = kind is not Balancer.LEAST_REQUEST
            nodes = _blind(slots, kind, scv) if is_blind else _steady_state(slots)
            self.cells = np.concatenate([self.cells, cells(nodes)])
        return self._tables[key]


@compiled
def waiting_at(
    backend: Any, cells: Floats, replicas: float, utilisation: float
) -> tuple[float, float, float]:
    """Log of P(all busy), P(wait), and mean wait from imbalance in seconds, of one backend.

    Utilisation in (0, 1); linear between the nodes.
    """
    depth = math.log2(min(max(replicas, 1.0), _MOST_REPLICAS))
    level = min(int(depth), REPLICA_NODES - 2)
    place = utilisation * (UTILISATION_NODES - 1)
    column = min(int(place), UTILISATION_NODES - 2)
    cell = backend.first + level * (UTILISATION_NODES - 1) + column
    down, right = depth - level, place - column

    def value(k: int) -> float:
        corner = cells[cell, k] + down * cells[cell, k + 8]
        return float(corner + right * (cells[cell, k + 4] + down * cells[cell, k + 12]))

    log_busy = value(0) * math.log(utilisation)
    log_busy = min(log_busy + math.log1p(backend.scv_slope * value(1)), 0.0)
    scale_s = backend.imbalance_s * math.exp(-depth * backend.scv_loss)
    return log_busy, value(2), value(3) * scale_s
