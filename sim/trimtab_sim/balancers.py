"""How requests are spread over replicas, and what spreading them blindly costs.

Under random choice every replica is an M/G/c queue of its own. Under round robin its arrivals
are Erlang distributed, n phases for n replicas: the exact root of GI/M/c gives how long those
wait who do, and the M/M/c chance of a wait is corrected by that of GI/M/1.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Balancer(IntEnum):
    """Envoy's balancers; least request chooses the less loaded of two."""

    LEAST_REQUEST = 0
    ROUND_ROBIN = 1
    RANDOM = 2


def _erlang_root(replicas: Floats, utilisation: Floats) -> Floats:
    """The root of GI/M/c below 1 for Erlang arrivals of so many phases."""
    load = replicas * utilisation
    low = np.zeros(np.broadcast_shapes(replicas.shape, utilisation.shape))
    high = low + (1.0 - 1e-9)
    for _ in range(50):
        root = 0.5 * (low + high)
        above = root > (1.0 + (1.0 - root) / load) ** -replicas
        low, high = np.where(above, low, root), np.where(above, root, high)
    return root


def blind_wait(
    balancer: Balancer, busy: Floats, replicas: Floats, utilisation: Floats, scv: float
) -> tuple[Floats, Floats]:
    """P(wait), and the mean wait in service times / slots, for each of ``replicas`` ``[N, 1]``.

    busy: P(all busy) of one replica's slots ``[U]`` at each ``utilisation`` ``[U]``.
    """
    # Squared coefficient of variation of the time between a replica's arrivals.
    arrivals_scv = np.ones_like(replicas) if balancer is Balancer.RANDOM else 1.0 / replicas
    root = utilisation + np.zeros_like(replicas)
    if balancer is Balancer.ROUND_ROBIN:
        root = _erlang_root(replicas, utilisation)
    wait = busy * root / utilisation
    return wait, wait / (1.0 - root) * (arrivals_scv + scv) / (arrivals_scv + 1.0)
