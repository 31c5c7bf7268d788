"""Queues that old replicas are stuck with while new ones are already serving.

Envoy never moves a request that it has sent, and its least-of-two sends another one to the
old replicas only when both draws hit them: the share (old / all)^2. So a backlog drains at
the old replicas' pace, whatever is added, until it is level with the new ones' queue. A balancer
that does not look at the queues sends the old ones as much as any.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats
from trimtab_sim.service_time import LateShare

Rows = NDArray[np.intp]


class Stuck:
    """Requests and replicas, flat over all backends; both 0 where nothing is stuck."""

    def __init__(self, backends: int, tick_s: float, late: LateShare) -> None:
        self.requests = np.zeros(backends)
        self.replicas = np.zeros(backends)
        # Whether the balancer sends requests without a look at the queues.
        self.blind = np.zeros(backends, dtype=np.bool_)
        self._tick_s = tick_s
        self._late = late

    def level(self, rows: Rows) -> Floats:
        """Requests per replica."""
        return np.asarray(self.requests[rows] / np.maximum(self.replicas[rows], 1.0))

    def again(self, rows: Rows, share: Floats) -> Floats:
        """Chance that a request bound for the old ones, this ``share`` of all, stays with them."""
        return np.where(self.blind[rows], 1.0, share)

    def tick(
        self,
        rows: Rows,
        arrived: Floats,
        rate_rps: Floats,
        ready: Floats,
        waiting: Floats,
        replica_rps: Floats,
        slo_s: Floats,
    ) -> tuple[Floats, Floats, Floats]:
        """Let one tick pass in ``rows``, where replicas are stuck.

        ``ready`` counts all replicas, ``waiting`` the queue of those that are not stuck.
        Returns the share of arrivals that went to the old ones, how many of those will be
        late, and the mean queue.
        """
        old, before = self.replicas[rows], self.requests[rows]
        fair = np.minimum(old / ready, 1.0)
        new = np.maximum(ready - old, 1e-3)
        again = self.again(rows, fair)
        falls = replica_rps - rate_rps * fair * again / old
        rises = np.maximum(rate_rps * (1.0 - fair * again) / new - replica_rps, 0.0)
        level_s = (before / old - waiting / new) / np.maximum(falls + rises, 1e-9)
        # Part of the tick until both queues are level; after it, the old get their fair share.
        apart = np.clip(level_s / self._tick_s, 0.0, 1.0)
        inflow, later = arrived * apart * fair * again, arrived * (1.0 - apart) * fair
        capacity = old * replica_rps
        after = np.maximum(before + inflow - capacity * self._tick_s * apart, 0.0)
        w0, w1 = before / (capacity * slo_s), after / (capacity * slo_s)
        late = inflow * self._late.along(np.minimum(w0, w1), np.maximum(w0, w1), rows)
        late += later * self._late.along(w1, w1, rows)
        mean = after + 0.5 * apart * (before - after)
        self.requests[rows] = np.maximum(after + later - capacity * self._tick_s * (1 - apart), 0.0)
        return fair + apart * (fair * again - fair), late, mean
