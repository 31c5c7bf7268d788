"""Requests in the replicas' queues: how many wait, and how many will be late.

Each backend is one reflected Brownian motion: the number waiting moves with what arrived and
what could be served in the tick, and is pushed back at a level below zero, the cushion of
idle slots. Its drift and variance are those of the queue, and the cushion is chosen so that
the stationary probability of a queue is that of ``waiting``. So the same three lines give the
steady state, overload, and the way back, for any length of tick: the end of a Brownian path
and its minimum are drawn from their joint law. Within a tick the queue is taken as steady,
but for the part in which it still is on its way from where it was.

Queues live in the replicas, so those that land later do not relieve it: see ``stuck``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.service_time import LateShare
from trimtab_sim.stuck import Stuck
from trimtab_sim.waiting import Waiting

_EMPTY = -1e9
_NO_CAPACITY_RPS = 1e-9
_MIN_UTILISATION = 1e-9
# Past this the steady state is never reached within a tick, and its weight is 0.
_MAX_UTILISATION = 1.0 - 1e-6
# A queue of more than this many times the mean one (5 % of them are) comes from a change.
_STEADY_QUEUES = 3.0
# An exponential distribution as two level pieces: from, to, and part of the mass. In units of
# which its mean is so many.
_SPREAD = ((0.0, 1.0, 0.632), (1.0, 3.0, 0.368))
_SHORT_WAIT = 1.0 / 1.052
# A transient shorter than this part of the tick is not worth its computing.
_NEGLIGIBLE = 0.01


class Queues:
    """Waiting requests ``[B, K]`` and the share of arrivals that they make late."""

    def __init__(self, profiles: Profiles, tick_s: float, rng: np.random.Generator) -> None:
        self._tick_s = tick_s
        self._rng = rng
        self._late = LateShare(profiles.shape)
        self._wait = Waiting(profiles.shape)
        self._stuck = Stuck(profiles.present.size, tick_s, self._late)
        self._level = np.full(profiles.shape, _EMPTY)
        # Requests that will time out: still in the queue, never served.
        self._doomed = np.zeros(profiles.shape)
        # Of the last tick: arrivals, those late, slots busy, and waiting from imbalance.
        self._arrived = self._late_count = self._busy = self._apart = np.zeros(profiles.shape)
        self.adopt(profiles, np.ones(profiles.shape[0], dtype=np.bool_))

    def adopt(self, profiles: Profiles, rows: NDArray[np.bool_]) -> None:
        """Take over the service times and SLOs of ``rows``."""
        self._slots = profiles.concurrency
        self._service_s = profiles.service_time_s
        self._replica_rps = profiles.replica_rps
        self._scv = profiles.service_scv
        self._half = (1.0 + profiles.service_scv) / 2.0
        # Mean time until the last of a replica's slots is done, were all of them busy;
        # log1p(e^gamma · k) is the k-th harmonic number to 2 %.
        self.residual_s = self._service_s * self._half * np.log1p(1.781 * self._slots)
        self._slo_s = np.repeat(profiles.slo_latency_s[:, None], profiles.shape[1], axis=1)
        self._timeout_s = profiles.timeout_s[:, None]
        # What a replica works off while a client waits for it.
        patience_s = np.minimum(profiles.patience_s[:, None], self._timeout_s)
        self._patient = self._replica_rps * np.maximum(patience_s - self._service_s, 0.0)
        flat = np.flatnonzero(np.repeat(rows, profiles.shape[1]))
        slots, service_s, scv, slo_s, balancer = (
            column.ravel()[flat]
            for column in (
                self._slots,
                self._service_s,
                self._scv,
                self._slo_s,
                profiles.balancer,
            )
        )
        self._late.fill(flat, slo_s / service_s, scv)
        self._wait.fill(flat, slots, service_s, scv, balancer)
        self._stuck.blind[flat] = balancer > 0.0

    def restart(self, rows: NDArray[np.bool_]) -> None:
        """Empty every queue of ``rows``."""
        self._level[rows] = _EMPTY
        self._doomed[rows] = self._busy[rows] = self._apart[rows] = 0.0
        flat = np.repeat(rows, self._level.shape[1])
        self._stuck.requests[flat] = self._stuck.replicas[flat] = 0.0

    def release(self, ready: Floats, leaving: Floats) -> Floats:
        """Hand the queue of ``leaving`` replicas to them, those with the least queue first.

        Returns the mean time for which each of them still works, seconds.
        """
        rows = np.flatnonzero(leaving)
        level, stuck = self._level.ravel(), self._stuck
        gone = leaving.ravel()[rows]
        free = np.maximum(ready.ravel()[rows] - stuck.replicas[rows], 0.0)
        from_free = np.minimum(gone, free)
        taken = np.maximum(level[rows], 0.0) * from_free / np.maximum(free, 1.0)
        taken_stuck = stuck.level(rows) * (gone - from_free)
        level[rows] -= taken
        stuck.requests[rows] -= taken_stuck
        stuck.replicas[rows] -= gone - from_free
        hold_s = self.residual_s.copy()
        hold_s.ravel()[rows] += (taken + taken_stuck) / (gone * self._replica_rps.ravel()[rows])
        return hold_s

    def withdraw(
        self, rows: NDArray[np.intp], ready: Floats, gone: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Take out ``gone`` of the ``ready`` replicas in ``rows``, whichever they are.

        Returns the requests that wait in them, those that they serve, and the share of both
        that has not been counted as late. All arguments and results are flat.
        """
        level, stuck, share = self._level.ravel(), self._stuck, gone / ready
        waiting = (np.maximum(level[rows], 0.0) + stuck.requests[rows]) * share
        level[rows] -= np.maximum(level[rows], 0.0) * share
        stuck.requests[rows] *= 1.0 - share
        stuck.replicas[rows] *= 1.0 - share
        self._doomed.ravel()[rows] *= 1.0 - share
        served = self._busy.ravel()[rows] * share
        waiting += self._apart.ravel()[rows] * share
        late = self._late_count.ravel()[rows] / np.maximum(self._arrived.ravel()[rows], 1e-9)
        return waiting, served, np.maximum(1.0 - late, 0.0)

    def impatient(self, before: Floats, after: Floats, ready: Floats) -> Floats:
        """Share of a tick's arrivals that wait longer than their clients do, ``[B, K]``.

        ``before`` and ``after`` it wait so many (``waiting``). Every service takes its mean time.
        """
        limit = ready * self._patient
        longest = np.maximum(before, after)
        share = np.zeros_like(limit)
        rows = np.flatnonzero(longest > limit)
        low, high = np.minimum(before, after).ravel()[rows], longest.ravel()[rows]
        over = (high - limit.ravel()[rows]) / np.maximum(high - low, 1e-6)
        share.ravel()[rows] = np.minimum(over, 1.0)
        rows = np.flatnonzero(self._stuck.replicas)
        if len(rows):
            old = np.minimum(self._stuck.replicas[rows] / np.maximum(ready.ravel()[rows], 1.0), 1.0)
            waits = self._stuck.level(rows) > self._patient.ravel()[rows]
            share.ravel()[rows] += (
                old * self._stuck.again(rows, old) * (waits - share.ravel()[rows])
            )
        return share

    @property
    def waiting(self) -> Floats:
        """Requests that wait in queues that all replicas share, ``[B, K]``."""
        return np.asarray(np.maximum(self._level, 0.0))

    def join(self, before: Floats, landed: Floats) -> None:
        """``landed`` replicas become ready beside ``before`` ones, which keep their queue."""
        rows = np.flatnonzero(landed)
        level, stuck = self._level.ravel(), self._stuck
        waiting = np.maximum(level[rows], 0.0)
        old = before.ravel()[rows]
        per_replica = waiting / np.maximum(old - stuck.replicas[rows], 1.0)
        # Where newer replicas hold a queue too, but a shorter one, those landing join them.
        alike = (per_replica > 1.0) & (per_replica >= 0.5 * stuck.level(rows))
        rows = rows[alike]
        stuck.requests[rows] += waiting[alike]
        stuck.replicas[rows] = old[alike]
        level[rows] = _EMPTY

    def tick(self, arrived: Floats, rate_rps: Floats, ready: Floats) -> tuple[Floats, Floats]:
        """Let one tick pass; returns late requests and the mean number in the system.

        arrived: requests that came; rate_rps: the rate they were drawn from; ready: replicas,
        averaged over the tick. All ``[B, K]``.
        """
        busy = np.minimum(arrived * (self._service_s / self._tick_s), ready * self._slots)
        stuck = np.flatnonzero(self._stuck.replicas)
        if not len(stuck):
            late, waiting = self._tick_free(arrived, rate_rps, ready)
        else:
            late, waiting = self._tick_both(stuck, arrived, rate_rps, ready)
        self._arrived, self._late_count, self._busy = arrived, late, busy
        return late, busy + waiting + self._doomed

    def _tick_both(
        self, stuck: NDArray[np.intp], arrived: Floats, rate_rps: Floats, ready: Floats
    ) -> tuple[Floats, Floats]:
        """A tick in which the backends ``stuck`` have old replicas beside new ones."""
        share, late_stuck, held = self._stuck.tick(
            stuck,
            arrived.ravel()[stuck],
            rate_rps.ravel()[stuck],
            ready.ravel()[stuck],
            np.maximum(self._level.ravel()[stuck], 0.0),
            self._replica_rps.ravel()[stuck],
            self._slo_s.ravel()[stuck],
        )
        arrived, rate_rps, ready = arrived.copy(), rate_rps.copy(), ready.copy()
        arrived.ravel()[stuck] *= 1.0 - share
        rate_rps.ravel()[stuck] *= 1.0 - share
        ready.ravel()[stuck] = np.maximum(ready.ravel()[stuck] - self._stuck.replicas[stuck], 0.0)
        late, waiting = self._tick_free(arrived, rate_rps, ready)
        late.ravel()[stuck] += late_stuck
        waiting.ravel()[stuck] += held
        self._merge(stuck, ready.ravel()[stuck])
        return late, waiting

    def _merge(self, rows: NDArray[np.intp], new: Floats) -> None:
        """Old and new replicas are one group again once their queues are level."""
        level, stuck = self._level.ravel(), self._stuck
        waiting = np.maximum(level[rows], 0.0)
        even = np.maximum(waiting / np.maximum(new, 1e-9), 1.0) >= stuck.level(rows)
        rows = rows[even]
        level[rows] = np.where(stuck.requests[rows] > 0.0, waiting[even], level[rows])
        level[rows] += stuck.requests[rows]
        stuck.requests[rows] = stuck.replicas[rows] = 0.0

    def _tick_free(self, arrived: Floats, rate: Floats, ready: Floats) -> tuple[Floats, Floats]:
        """A tick of replicas that share their queue evenly; late requests, mean waiting."""
        capacity = np.maximum(ready * self._replica_rps, _NO_CAPACITY_RPS)
        rho = np.clip(rate / capacity, _MIN_UTILISATION, _MAX_UTILISATION)
        carried = rho * capacity
        # Waiting requests are exponential with this mean, given that there are any.
        mean_if_any = carried / (capacity - carried) * self._half
        log_p_busy, p_wait, imbalance_s = self._wait.at(ready, rho)
        p_busy = np.exp(log_p_busy)
        p_wait = np.maximum(p_wait, p_busy)
        cushion = -log_p_busy * mean_if_any
        start = np.maximum(self._level, -cushion)
        end = self._brownian_end(start + cushion, arrived, carried, capacity) - cushion
        self._level = self._time_out(end, capacity * self._timeout_s)

        x0, x1 = np.maximum(start, 0.0), np.maximum(self._level, 0.0)
        pooled, apart = p_busy * mean_if_any, imbalance_s * carried
        slo_load = self._slo_s * carried
        late = self._late.when_exponential(p_wait, p_wait * slo_load / (pooled + apart))
        moving = self._transient(x0, rate, capacity, mean_if_any)
        rows = np.flatnonzero(moving > _NEGLIGIBLE)
        if len(rows):
            driven = (rate > capacity) | (x0 > _STEADY_QUEUES * mean_if_any)
            # Little's law gives the wait of a queue at rest; a backlog is left at full capacity.
            slo_load = np.where(driven, self._slo_s * capacity, slo_load)
            # A tick of many arrivals ends in a long queue, but few of them met it.
            usual = np.where(driven, 1.0, rate * self._tick_s / np.maximum(arrived, 1.0))
            late_rows = self._late_moving(rows, x0, x1, driven, usual, apart, slo_load)
            part, late_flat = moving.ravel()[rows], late.ravel()
            late_flat[rows] += part * (late_rows - late_flat[rows])
        self._apart = apart
        waiting = pooled + moving * (0.5 * (x0 + x1) - pooled) + apart
        return arrived * late, waiting

    def _brownian_end(
        self, start: Floats, arrived: Floats, carried: Floats, capacity: Floats
    ) -> Floats:
        """End of a path from ``start`` >= 0, reflected at 0, whose net input is known."""
        noise = self._rng.standard_normal(start.shape)
        draw = self._rng.standard_exponential(start.shape)
        work = carried * self._tick_s
        net = arrived - capacity * self._tick_s + np.sqrt(self._scv * work) * noise
        above_minimum = 0.5 * (net + np.sqrt(net * net + 4.0 * self._half * work * draw))
        return np.asarray(np.maximum(start + net, above_minimum))

    def _time_out(self, end: Floats, limit: Floats) -> Floats:
        """Cut queues at what can be served before the time-out; the rest waits in vain."""
        over = np.maximum(end - limit, 0.0)
        if over.max() > 0.0 or self._doomed.max() > 1e-3:
            self._doomed += over
            self._doomed *= 1.0 - np.minimum(self._tick_s / self._timeout_s, 1.0)
        return np.minimum(end, limit)

    def _transient(self, x0: Floats, rate: Floats, capacity: Floats, mean_if_any: Floats) -> Floats:
        """How much of the tick is a transient; the rest of it is the steady state."""
        spare = np.maximum(capacity - rate, _NO_CAPACITY_RPS)
        # Time to forget, and time to work off what no steady state would hold.
        backlog = np.maximum(x0 - _STEADY_QUEUES * mean_if_any, 0.0)
        relax_s = (self._half * rate / spare + backlog) / spare
        return np.minimum(relax_s / self._tick_s, 1.0)

    def _late_moving(
        self,
        rows: NDArray[np.intp],
        x0: Floats,
        x1: Floats,
        driven: NDArray[np.bool_],
        usual: Floats,
        apart: Floats,
        slo_load: Floats,
    ) -> Floats:
        """Share late in ``rows`` while the queue goes from ``x0`` to ``x1``.

        A ``driven`` queue goes there in a line; another one wanders, and its two ends stand for
        the way, the second with ``usual`` times the arrivals. Imbalance between replicas spreads
        the waits.
        """
        slo_load, start, end = (column.ravel()[rows] for column in (slo_load, x0, x1))
        middle = 0.5 * (start + end)
        short = _SHORT_WAIT * apart.ravel()[rows]
        late = np.zeros_like(start)
        for edge, weight in ((start, 0.5), (end, 0.5 * usual.ravel()[rows])):
            to = np.where(driven.ravel()[rows], middle, edge)
            low, high = np.minimum(edge, to), np.maximum(edge, to)
            for least, most, part in _SPREAD:
                first, last = low + least * short, high + most * short
                late += weight * part * self._late.along(first / slo_load, last / slo_load, rows)
        return late
