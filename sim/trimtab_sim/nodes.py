"""Nodes that services share: what is wanted may only start where there is room for it.

The nodes of a cluster stand in a row. Replicas go to the first that has room and leave from the
last, as a packing scheduler with a consolidating autoscaler would have it: so empty nodes are
found at the end of the row, and only those are given back. What fits nowhere is pending, waits
for room or for a new node, and is not billed. The service that has waited longest goes first.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats, merged

Rows = NDArray[np.bool_]
# A tenth of a CPU ten times over is one.
_CRUMB = 1e-9


@dataclass(frozen=True, slots=True)
class NodePools:
    """The nodes of C clusters, each field ``[C]``, and what their R kinds of replica take of them.

    ``node_cpu`` of a node is shared out in ``replica_cpu`` ``[C, R]``, in any one unit; a new
    node takes lognormal ``provision_mean_s`` and ``provision_cv``; one that has been empty for
    ``idle_s`` is given back, down to ``min_nodes``.
    """

    node_cpu: Floats
    min_nodes: Floats
    max_nodes: Floats
    provision_mean_s: Floats
    provision_cv: Floats
    idle_s: Floats
    replica_cpu: Floats

    def __post_init__(self) -> None:
        if not (self.replica_cpu > 0.0).all() or self.per_node.min() < 1.0:
            raise ValueError("every replica must take more than 0 and at most all of a node's cpu")

    @property
    def per_node(self) -> Floats:
        """How many replicas of each kind one empty node holds, ``[C, R]``."""
        return np.floor(self.node_cpu[:, None] / self.replica_cpu + _CRUMB)

    def replaced(self, rows: Rows, other: NodePools) -> NodePools:
        """These pools with the masked clusters ``[C]`` taken from ``other``."""
        return NodePools(**merged(self, rows, other, fields(NodePools)))


class Nodes:
    """Who runs where: replicas ``[C, N, R]`` on up to N nodes, and when the nodes are there."""

    def __init__(self, pools: NodePools, tick_s: float, rng: np.random.Generator) -> None:
        self._tick_s = tick_s
        self._rng = rng
        clusters, kinds = pools.replica_cpu.shape
        width = int(pools.max_nodes.max())
        self._cluster = np.arange(clusters)
        self._on = np.zeros((clusters, width, kinds))
        # Infinite where there is no node, 0 or less where it is ready.
        self._ready_in_s = np.full((clusters, width), np.inf)
        self._empty_s = np.zeros((clusters, width))
        self._waits_s = np.zeros((clusters, kinds))
        self.granted = np.zeros((clusters, kinds))
        self._pools = pools

    @property
    def ready(self) -> Floats:
        """Nodes that can take replicas, ``[C]``."""
        return np.asarray(self._is_ready.sum(1, dtype=np.float64))

    @property
    def provisioning(self) -> Floats:
        """Nodes on their way, ``[C]``."""
        coming = np.isfinite(self._ready_in_s) & ~self._is_ready
        return np.asarray(coming.sum(1, dtype=np.float64))

    @property
    def _is_ready(self) -> Rows:
        return np.asarray(self._ready_in_s < 0.5 * self._tick_s)

    def restart(self, rows: Rows, replicas: Floats, pools: NodePools) -> Floats:
        """Run ``replicas`` ``[C, R]`` on as few nodes as they need in the masked clusters ``[C]``.

        ``pools`` replaces those of the masked clusters. Returns how many run, of all; where not
        all have room, every kind has a part of what it should have before any has more.
        """
        self._pools = self._pools.replaced(rows, pools)
        self._widen(int(self._pools.max_nodes.max()))
        self._on[rows] = self._empty_s[rows] = self._waits_s[rows] = self.granted[rows] = 0.0
        node = np.arange(self._on.shape[1])
        allowed = node < self._pools.max_nodes[:, None]
        self._ready_in_s[rows] = np.where(allowed, 0.0, np.inf)[rows]
        for part in (0.01, 0.25, 0.5, 0.75, 1.0):
            more = np.ceil(part * replicas) - self.granted
            self.granted += self._place(np.where(rows[:, None], more, 0.0))
        spare = (self._on.sum(2) == 0.0) & (node >= self._pools.min_nodes[:, None])
        self._ready_in_s[rows[:, None] & spare] = np.inf
        return self.granted.copy()

    def _widen(self, width: int) -> None:
        more = width - self._on.shape[1]
        if more > 0:
            self._on = np.pad(self._on, ((0, 0), (0, more), (0, 0)))
            self._empty_s = np.pad(self._empty_s, ((0, 0), (0, more)))
            self._ready_in_s = np.pad(self._ready_in_s, ((0, 0), (0, more)), constant_values=np.inf)

    def grant(self, wanted: Floats, draining: Floats) -> Floats:
        """How many of the ``wanted`` replicas may run over this tick, ``[C, R]``, whole.

        ``draining`` replicas of the tick before keep their room, and so does for one tick what
        is wanted no longer.
        """
        self._release(self._on.sum(1) - self.granted - draining)
        self._age()
        self.granted = np.minimum(self.granted, wanted)
        pending = wanted - self.granted
        if pending.any():
            self.granted += self._place(pending)
            pending = wanted - self.granted
            self._provision(pending)
        self._waits_s = np.where(pending > 0.0, self._waits_s + self._tick_s, 0.0)
        return self.granted.copy()

    def _release(self, surplus: Floats) -> None:
        """Free the room of so many replicas, from the last node on."""
        if surplus.max() > 0.0:
            on = self._on[:, ::-1]
            later = np.cumsum(on, axis=1) - on
            on -= np.clip(surplus[:, None] - later, 0.0, on)

    def _age(self) -> None:
        """Nodes come nearer; those that have been empty for long go."""
        self._ready_in_s -= self._tick_s
        empty = self._is_ready & (self._on.sum(2) == 0.0)
        self._empty_s = np.where(empty, self._empty_s + self._tick_s, 0.0)
        spare = np.cumsum(np.isfinite(self._ready_in_s), axis=1) > self._pools.min_nodes[:, None]
        self._ready_in_s[(self._empty_s > self._pools.idle_s[:, None]) & spare] = np.inf

    def _place(self, pending: Floats) -> Floats:
        """Put what fits on the first nodes with room; returns how many that were, ``[C, R]``."""
        cpu, is_ready = self._pools.replica_cpu, self._is_ready
        free = self._pools.node_cpu[:, None] - np.einsum("cnr,cr->cn", self._on, cpu)
        placed = np.zeros_like(pending)
        for row in np.argsort(-self._waits_s, axis=1, kind="stable").T:
            each = cpu[self._cluster, row][:, None]
            room = np.maximum(np.floor(free / each + _CRUMB), 0.0) * is_ready
            before = np.cumsum(room, axis=1) - room
            put = np.clip(pending[self._cluster, row][:, None] - before, 0.0, room)
            self._on[self._cluster, :, row] += put
            free -= put * each
            placed[self._cluster, row] = put.sum(1)
        return placed

    def _provision(self, pending: Floats) -> None:
        """Order the nodes that pending replicas need beyond those on their way."""
        pools = self._pools
        need = np.ceil((pending / pools.per_node).sum(1) - _CRUMB) - self.provisioning
        absent = np.isinf(self._ready_in_s)
        absent &= np.arange(absent.shape[1]) < pools.max_nodes[:, None]
        ordered = absent & (np.cumsum(absent, axis=1) <= need[:, None])
        cluster, node = np.nonzero(ordered)
        log_var = np.log1p(pools.provision_cv[cluster] ** 2)
        noise = np.sqrt(log_var) * self._rng.standard_normal(len(cluster))
        self._ready_in_s[cluster, node] = pools.provision_mean_s[cluster] * np.exp(
            noise - 0.5 * log_var
        )
