"""Requests in the replicas' queues: how many wait, and how many will be late.

Where all replicas of a backend share the queue evenly, see ``pool``. Queues live in the replicas,
so those that land later do not relieve it: see ``stuck``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.compiled import compiled, record
from trimtab_sim.pool import tick_pool
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.service_time import LateShare
from trimtab_sim.stuck import merge, stays, stuck_level, tick_stuck
from trimtab_sim.waiting import Waiting

_EMPTY = -1e9
_BACKEND = record(
    "slots", "service_s", "replica_rps", "scv", "half", "slo_s", "timeout_s", "patient",
    "residual_s", "blind",
)  # fmt: skip
# Waiting, where all replicas share them (below 0: idle slots); those that will time out, still in
# the queue and never served; see ``stuck``; and of the last tick those waiting before it, arrivals,
# those late, slots busy, and waiting from imbalance.
_QUEUE = record("level", "doomed", "stuck", "old", "before", "arrived", "late", "busy", "apart")


class Queues:
    """Waiting requests ``[B, K]`` and the share of arrivals that they make late."""

    def __init__(self, profiles: Profiles, tick_s: float, rng: np.random.Generator) -> None:
        self._shape = profiles.shape
        self._tick_s = tick_s
        self._rng = rng
        self._late = LateShare(profiles.present.size)
        self._wait = Waiting(profiles.present.size)
        self.backends = np.zeros(profiles.present.size, _BACKEND)
        self.queues = np.zeros(profiles.present.size, _QUEUE)
        self.queues["level"] = _EMPTY
        self.adopt(profiles, np.ones(profiles.shape[0], dtype=np.bool_))

    def adopt(self, profiles: Profiles, rows: NDArray[np.bool_]) -> None:
        """Take over the service times and SLOs of ``rows``."""
        slots, service_s = profiles.concurrency, profiles.service_time_s
        half = (1.0 + profiles.service_scv) / 2.0
        patience_s = np.minimum(profiles.patience_s, profiles.timeout_s)[:, None]
        columns = {
            "slots": slots,
            "service_s": service_s,
            "replica_rps": profiles.replica_rps,
            "scv": profiles.service_scv,
            "half": half,
            "slo_s": profiles.slo_latency_s[:, None],
            "timeout_s": profiles.timeout_s[:, None],
            # What a replica works off while a client waits for it.
            "patient": profiles.replica_rps * np.maximum(patience_s - service_s, 0.0),
            # Mean time until the last of a replica's slots is done, were all of them busy;
            # log1p(e^gamma · k) is the k-th harmonic number to 2 %.
            "residual_s": service_s * half * np.log1p(1.781 * slots),
            "blind": profiles.balancer,
        }
        for name, column in columns.items():
            self.backends[name].reshape(self._shape)[:] = column
        flat = np.flatnonzero(np.repeat(rows, self._shape[1]))
        own = self.backends[flat]
        self._late.fill(flat, own["slo_s"] / own["service_s"], own["scv"])
        self._wait.fill(flat, own["slots"], own["service_s"], own["scv"], own["blind"])

    def restart(self, rows: NDArray[np.bool_]) -> None:
        """Empty every queue of ``rows``."""
        flat = np.repeat(rows, self._shape[1])
        self.queues[flat] = 0.0
        self.queues["level"][flat] = _EMPTY

    def residual_s(self, rows: NDArray[np.intp]) -> Floats:
        """Mean time until a replica in ``rows`` that takes no more is done."""
        return np.asarray(self.backends["residual_s"][rows])

    @property
    def waiting(self) -> Floats:
        """Requests that wait in queues that all replicas share, ``[B, K]``."""
        return np.asarray(np.maximum(self.queues["level"], 0.0)).reshape(self._shape)

    def release(self, rows: NDArray[np.intp], ready: Floats, leaving: Floats) -> Floats:
        """Hand the queue of ``leaving`` replicas to them, those with the least queue first.

        Returns the mean time for which each of them still works, seconds. All are flat.
        """
        hold_s = self.residual_s(rows)
        _release(self.queues, self.backends, rows, ready, leaving, hold_s)
        return hold_s

    def withdraw(
        self, rows: NDArray[np.intp], ready: Floats, gone: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Take out ``gone`` of the ``ready`` replicas in ``rows``, whichever they are.

        Returns the requests that wait in them, those that they serve, and the share of both
        that has not been counted as late. All arguments and results are flat.
        """
        waiting, served, fresh = np.empty((3, len(rows)))
        _withdraw(self.queues, rows, gone / ready, waiting, served, fresh)
        return waiting, served, fresh

    def join(self, before: Floats, landed: Floats) -> None:
        """``landed`` replicas become ready beside ``before`` ones, which keep their queue."""
        _join(self.queues, before.ravel(), landed.ravel())

    def tick(self, arrived: Floats, rate_rps: Floats, ready: Floats) -> tuple[Floats, Floats]:
        """Let one tick pass; returns late requests and the mean number in the system.

        arrived: requests that came; rate_rps: the rate they were drawn from; ready: replicas,
        averaged over the tick. All ``[B, K]``.
        """
        late, inside = np.empty(self._shape), np.empty(self._shape)
        _tick(
            self.queues,
            self.backends,
            self._wait.backends,
            self._wait.cells,
            self._late.tail,
            self._late.exponential,
            arrived.ravel(),
            rate_rps.ravel(),
            ready.ravel(),
            self._rng.standard_normal(arrived.size),
            self._rng.standard_exponential(arrived.size),
            self._tick_s,
            late.ravel(),
            inside.ravel(),
        )
        return late, inside


@compiled
def _release(
    queues: Any,
    backends: Any,
    rows: NDArray[np.intp],
    ready: Floats,
    leaving: Floats,
    hold_s: Floats,
) -> None:
    for number, i in enumerate(rows):
        queue, gone = queues[i], leaving[number]
        free = max(ready[number] - queue.old, 0.0)
        from_free = min(gone, free)
        taken = max(queue.level, 0.0) * from_free / max(free, 1.0)
        taken_stuck = stuck_level(queue) * (gone - from_free)
        queue.level -= taken
        queue.stuck -= taken_stuck
        queue.old -= gone - from_free
        hold_s[number] += (taken + taken_stuck) / (gone * backends[i].replica_rps)


@compiled
def _withdraw(
    queues: Any,
    rows: NDArray[np.intp],
    share: Floats,
    waiting: Floats,
    served: Floats,
    fresh: Floats,
) -> None:
    for number, i in enumerate(rows):
        queue, gone = queues[i], share[number]
        shared = max(queue.level, 0.0)
        waiting[number] = (shared + queue.stuck + queue.apart) * gone
        served[number] = queue.busy * gone
        fresh[number] = max(1.0 - queue.late / max(queue.arrived, 1e-9), 0.0)
        queue.level -= shared * gone
        queue.stuck *= 1.0 - gone
        queue.old *= 1.0 - gone
        queue.doomed *= 1.0 - gone


@compiled
def impatient(queue: Any, backend: Any, before: float, after: float, ready: float) -> float:
    """Share of a tick's arrivals that wait longer than their clients do.

    ``before`` and ``after`` it so many wait. Every service takes its mean time.
    """
    low, high = min(before, after), max(before, after)
    share = min(max((high - ready * backend.patient) / max(high - low, 1e-6), 0.0), 1.0)
    if queue.old > 0.0:
        old = min(queue.old / max(ready, 1.0), 1.0)
        waits = 1.0 if stuck_level(queue) > backend.patient else 0.0
        share += old * stays(backend, old) * (waits - share)
    return float(share)


@compiled
def _join(queues: Any, before: Floats, landed: Floats) -> None:
    for i in range(len(queues)):
        queue = queues[i]
        if landed[i] > 0.0:
            waiting = max(queue.level, 0.0)
            per_replica = waiting / max(before[i] - queue.old, 1.0)
            # Where newer replicas hold a queue too, but a shorter one, those landing join them.
            if per_replica > 1.0 and per_replica >= 0.5 * stuck_level(queue):
                queue.stuck += waiting
                queue.old = before[i]
                queue.level = _EMPTY


@compiled
def _tick(
    queues: Any,
    backends: Any,
    steady: Any,
    steady_cells: Floats,
    late_tail: Floats,
    late_exponential: Floats,
    arrived: Floats,
    rate_rps: Floats,
    ready: Floats,
    noise: Floats,
    draw: Floats,
    tick_s: float,
    late: Floats,
    inside: Floats,
) -> None:
    for i in range(len(queues)):
        queue, backend = queues[i], backends[i]
        came, rate, free = arrived[i], rate_rps[i], ready[i]
        queue.before = max(queue.level, 0.0)
        stuck, late_stuck, held = queue.old > 0.0, 0.0, 0.0
        if stuck:
            share, late_stuck, held = tick_stuck(
                queue, backend, late_tail, i, came, rate, free, tick_s
            )
            came, rate = came * (1.0 - share), rate * (1.0 - share)
            free = max(free - queue.old, 0.0)
        late_pool, waiting = tick_pool(
            queue,
            backend,
            (steady[i], steady_cells, late_tail, late_exponential, i),
            (came, rate, free),
            (noise[i], draw[i]),
            tick_s,
        )
        if stuck:
            merge(queue, free)
        queue.arrived, queue.late = arrived[i], late_pool + late_stuck
        queue.busy = min(arrived[i] * (backend.service_s / tick_s), ready[i] * backend.slots)
        late[i], inside[i] = queue.late, queue.busy + waiting + held + queue.doomed
