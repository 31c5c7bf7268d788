"""Replicas that are slow for as long as they live: how much they get, and what it costs.

Least request shields them in part: it sends them only what hits them twice, or finds the other
no better. The mean field of least-of-two with two kinds of replica says how much that is; a
blind balancer sends them as much as any. What they get in vain gathers in a queue of their own.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.service_time import LateShare
from trimtab_sim.waiting import cells

# Nodes are even in the root of the share, of which small ones are the usual.
_SHARES = np.maximum(np.linspace(0.0, 1.0, 7) ** 2, 1e-3)
_UTILISATION = np.linspace(0.02, 0.98, 17)
_LONGEST_QUEUE = 50
_STEPS = 300
# Columns of the tables: arrivals relative to the mean replica's, P(wait), and wait if any.
_COLUMNS = 3


@lru_cache(maxsize=256)
def _mean_field(slots: int, factor: float) -> Floats:
    """How the slow fare, ``[shares, utilisation of all capacity, _COLUMNS]``.

    The wait is in service times of theirs.
    """
    share, loads = _SHARES[:, None, None], _UTILISATION[:, None]
    rate = loads * (1.0 - share + share / factor) * slots
    levels = np.arange(1, slots + _LONGEST_QUEUE + 1)
    busy = np.minimum(levels, slots)
    tail = np.minimum(loads, 1.0) ** np.arange(len(levels) + 1) + 0.0 * share
    for _ in range(_STEPS):
        # To a replica with k requests arrivals come at the rate of the two tails beside it.
        births = rate * (tail + np.append(tail[..., 1:], 0.0 * tail[..., :1], axis=-1))
        kinds = [_stationary(births[..., :-1] / busy * each) for each in (1.0, factor)]
        tails = [each[..., ::-1].cumsum(-1)[..., ::-1] for each in kinds]
        tail = 0.5 * tail + 0.5 * ((1.0 - share) * tails[0] + share * tails[1])
    met = kinds[1] * births
    waits = np.maximum(met[..., slots:].sum(-1), 1e-300)
    queue = (met[..., slots:] * np.arange(1, met.shape[-1] - slots + 1)).sum(-1)
    arrivals = met.sum(-1)
    columns = (arrivals / rate[..., 0], waits / arrivals, queue / waits / slots)
    return np.stack(columns, axis=-1)


def _stationary(ratio: Floats) -> Floats:
    """Of a birth-death process with these ratios of births to the deaths one level higher."""
    logs = np.cumsum(np.log(np.maximum(ratio, 1e-300)), axis=-1)
    logs = np.concatenate([0.0 * logs[..., :1], logs], axis=-1)
    weight = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


class Slow:
    """How many of the ready replicas are slow, ``[B, K]``, and what waits for these alone."""

    def __init__(self, profiles: Profiles, tick_s: float, rng: np.random.Generator) -> None:
        self._tick_s, self._rng = tick_s, rng
        self.count = np.zeros(profiles.shape)
        self._ready = np.zeros(profiles.shape)
        self._backlog = np.zeros(profiles.shape)
        # What the tables say of this tick, ``[backends with slow ones, _COLUMNS]``.
        self._fate = np.zeros((0, _COLUMNS))
        self._late = LateShare(profiles.shape)
        self._tables: dict[tuple[int, float], int] = {}
        self._cells = np.zeros((0, 4 * _COLUMNS))
        self._table = np.zeros(profiles.present.size, dtype=np.intp)
        self.adopt(profiles, np.ones(profiles.shape[0], dtype=np.bool_))

    def adopt(self, profiles: Profiles, rows: NDArray[np.bool_]) -> None:
        """Take over what the replicas of ``rows`` are like."""
        self._profiles = profiles
        self._service_s = profiles.service_time_s * profiles.slow_factor
        self._slo_s = np.repeat(profiles.slo_latency_s[:, None], profiles.shape[1], axis=1)
        self._timeout_s = np.repeat(profiles.timeout_s[:, None], profiles.shape[1], axis=1)
        may = (profiles.slow_share > 0.0) | (self.count > 0.0)
        self._describe(np.flatnonzero(may & rows[:, None]))

    def _describe(self, flat: NDArray[np.intp]) -> None:
        """Make the tables of the backends at index ``flat``, which have or may have slow ones."""
        profiles = self._profiles
        slots, factor, scv = (
            column.ravel()[flat]
            for column in (profiles.concurrency, profiles.slow_factor, profiles.service_scv)
        )
        if len(flat):
            self._late.fill(flat, (self._slo_s / self._service_s).ravel()[flat], scv)
        keys = zip(slots.astype(int).tolist(), np.round(factor, 1).tolist(), strict=True)
        self._table[flat] = [self._at(*key) for key in keys]

    def _at(self, slots: int, factor: float) -> int:
        """First cell of the table for such replicas, made when it is first asked for."""
        key = slots, factor
        if key not in self._tables:
            self._tables[key] = len(self._cells)
            self._cells = np.concatenate([self._cells, cells(_mean_field(slots, factor))])
        return self._tables[key]

    def restart(self, rows: NDArray[np.bool_], ready: Floats) -> None:
        """``ready`` replicas begin in ``rows``, some of which may be slow."""
        self._ready[rows], self._backlog[rows], self.count[rows] = ready[rows], 0.0, 0.0
        self._draw(np.where(rows[:, None], ready, 0.0))

    def follow(self, before: Floats, landed: Floats) -> None:
        """``landed`` replicas join the ``before`` that are left of those of the last tick."""
        if self.count.any():
            stay = np.minimum(before / np.maximum(self._ready, 1.0), 1.0)
            self.count *= stay
            self._backlog *= stay
        self._draw(landed)
        self._ready = before + landed

    def _draw(self, new: Floats) -> None:
        rows = np.flatnonzero(new * self._profiles.slow_share)
        if len(rows):
            share = self._profiles.slow_share.ravel()[rows]
            self.count.ravel()[rows] += self._rng.binomial(new.ravel()[rows].astype(int), share)

    def strike(self, count: Floats) -> None:
        """``count`` ``[B, K]`` more of the ready replicas become slow."""
        self.count = np.minimum(self.count + count, self._ready)
        self._describe(np.flatnonzero(count))

    def share(self, rate_rps: Floats, ready: Floats, waiting: Floats) -> Floats:
        """Part of the arrivals that the slow get, ``[B, K]``; ``waiting`` for the others."""
        part = np.zeros_like(ready)
        rows = np.flatnonzero(self.count)
        slow, ready = self.count.ravel()[rows], np.maximum(ready.ravel()[rows], 1.0)
        share = np.minimum(slow / ready, 1.0)
        factor = self._profiles.slow_factor.ravel()[rows]
        rate, replica_rps = rate_rps.ravel()[rows], self._profiles.replica_rps.ravel()[rows]
        capacity = ready * (1.0 - share + share / factor) * replica_rps
        self._fate = self._look_up(rows, share, rate / np.maximum(capacity, 1e-9))
        # Beyond all capacity, the queues of slow and fast ones grow alike.
        grows = (slow * replica_rps / factor + share * (rate - capacity)) / np.maximum(rate, 1e-9)
        chosen = np.where(rate > capacity, grows, share * self._fate[:, 0])
        even = 1.0 + waiting.ravel()[rows] / np.maximum(ready - slow, 1.0)
        chosen = np.where(self._backlog.ravel()[rows] > slow * even, share * share, chosen)
        blind = self._profiles.balancer.ravel()[rows] > 0.0
        part.ravel()[rows] = np.clip(np.where(blind, share, chosen), 0.0, 1.0)
        return part

    def _look_up(self, rows: NDArray[np.intp], share: Floats, utilisation: Floats) -> Floats:
        """Columns of the tables, ``[rows, _COLUMNS]``, linear between the nodes."""
        across = np.sqrt(share) * (len(_SHARES) - 1)
        span = _UTILISATION[-1] - _UTILISATION[0]
        along = (np.clip(utilisation, _UTILISATION[0], _UTILISATION[-1]) - _UTILISATION[0]) / span
        along *= len(_UTILISATION) - 1
        level = np.minimum(across.astype(np.intp), len(_SHARES) - 2)
        column = np.minimum(along.astype(np.intp), len(_UTILISATION) - 2)
        cell = self._table[rows] + level * (len(_UTILISATION) - 1) + column
        found = self._cells.take(cell, axis=0)
        half = 2 * _COLUMNS
        found = found[:, :half] + (across - level)[:, None] * found[:, half:]
        return np.asarray(found[:, :_COLUMNS] + (along - column)[:, None] * found[:, _COLUMNS:])

    def tick(self, arrived: Floats, rate_rps: Floats) -> tuple[Floats, Floats]:
        """Let one tick of what the slow get pass: late requests, and the mean number in them."""
        rows = np.flatnonzero(self.count)
        late, inside = np.zeros_like(arrived), np.zeros_like(arrived)
        came, rate = arrived.ravel()[rows], rate_rps.ravel()[rows]
        service_s, slo_s = self._service_s.ravel()[rows], self._slo_s.ravel()[rows]
        slots = self.count.ravel()[rows] * self._profiles.concurrency.ravel()[rows]
        pace_rps = slots / service_s
        before = self._backlog.ravel()[rows]
        most = pace_rps * self._timeout_s.ravel()[rows]
        after = np.clip(before + came - pace_rps * self._tick_s, 0.0, most)
        self._backlog.ravel()[rows] = after
        wait_s = np.maximum(self._fate[:, 2], 1e-9) * service_s
        share = self._late.when_exponential(self._fate[:, 1], slo_s / wait_s, rows)
        queued = np.flatnonzero(before + after)
        if len(queued):
            waits = np.stack([before[queued], after[queued]]) / (pace_rps * slo_s)[queued]
            some = self._late.along(waits.min(axis=0), waits.max(axis=0), rows[queued])
            share[queued] = np.maximum(share[queued], some)
        late.ravel()[rows] = came * share
        held = np.minimum(rate * service_s, slots) + rate * self._fate[:, 1] * wait_s
        inside.ravel()[rows] = held + 0.5 * (before + after)
        return late, inside
