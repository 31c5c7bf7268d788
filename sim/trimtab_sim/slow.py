"""Replicas that are slow for as long as they live: how much they get, and what it costs.

Least request shields them in part: it sends them only what hits them twice, or finds the other
no better. The mean field of least-of-two with two kinds of replica says how much that is; a
blind balancer sends them as much as any. What they get in vain gathers in a queue of their own.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.compiled import compiled, record
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.service_time import LateShare, late_along, late_when_exponential
from trimtab_sim.waiting import cells

# Nodes are even in the root of the share, of which small ones are the usual.
_SHARES = np.maximum(np.linspace(0.0, 1.0, 7) ** 2, 1e-3)
_LEAST_UTILISATION, _MOST_UTILISATION = 0.02, 0.98
_UTILISATION = np.linspace(_LEAST_UTILISATION, _MOST_UTILISATION, 17)
_LONGEST_QUEUE = 50
_STEPS = 300
# Columns of the tables: arrivals relative to the mean replica's, P(wait), and wait if any.
_COLUMNS = 3
_BACKEND = record("factor", "blind", "fast_rps", "slots", "service_s", "slo_s", "timeout_s")
# What waits for the slow of a backend, and of the tables' columns the last two.
_SLOW = record("backlog", "p_wait", "wait")


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
        # Whether any replica is or may become slow.
        self.possible = False
        self.count = np.zeros(profiles.shape)
        self._ready = np.zeros(profiles.shape)
        self._backends = np.zeros(profiles.present.size, _BACKEND)
        self._slow = np.zeros(profiles.present.size, _SLOW)
        self._late = LateShare(profiles.present.size)
        self._tables: dict[tuple[int, float], int] = {}
        self._cells = np.zeros((0, 4 * _COLUMNS))
        self._table = np.zeros(profiles.present.size, dtype=np.intp)
        self.adopt(profiles, np.ones(profiles.shape[0], dtype=np.bool_))

    def adopt(self, profiles: Profiles, rows: NDArray[np.bool_]) -> None:
        """Take over the service times, SLOs and shares of ``rows``."""
        self._profiles = profiles
        self.possible = bool(profiles.slow_share.any() or self.count.any())
        factor = profiles.slow_factor
        columns = {
            "factor": factor,
            "blind": profiles.balancer,
            "fast_rps": profiles.replica_rps,
            "slots": profiles.concurrency,
            "service_s": profiles.service_time_s * factor,
            "slo_s": profiles.slo_latency_s[:, None],
            "timeout_s": profiles.timeout_s[:, None],
        }
        for name, column in columns.items():
            self._backends[name].reshape(profiles.shape)[:] = column
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
            own = self._backends[flat]
            self._late.fill(flat, own["slo_s"] / own["service_s"], scv)
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
        self._ready[rows], self.count[rows] = ready[rows], 0.0
        self._slow["backlog"][np.repeat(rows, ready.shape[1])] = 0.0
        self._draw(np.where(rows[:, None], ready, 0.0))

    def follow(self, before: Floats, landed: Floats) -> None:
        """``landed`` replicas join the ``before`` that are left of those of the last tick."""
        if self.possible:
            stay = np.minimum(before / np.maximum(self._ready, 1.0), 1.0)
            self.count *= stay
            self._slow["backlog"] *= stay.ravel()
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
        self.possible = True
        self._describe(np.flatnonzero(count))

    def share(self, rate_rps: Floats, ready: Floats, waiting: Floats) -> Floats:
        """Part of the arrivals that the slow get, ``[B, K]``; ``waiting`` for the others."""
        share = np.zeros_like(ready)
        _share(
            self._slow,
            self._backends,
            self._table,
            self._cells,
            self.count.ravel(),
            rate_rps.ravel(),
            ready.ravel(),
            waiting.ravel(),
            share.ravel(),
        )
        return share

    def tick(self, arrived: Floats, rate_rps: Floats) -> tuple[Floats, Floats]:
        """Let one tick of what the slow get pass: late requests, and the mean number in them."""
        late, inside = np.zeros((2, *arrived.shape))
        _tick(
            self._slow,
            self._backends,
            self._late.tail,
            self._late.exponential,
            self.count.ravel(),
            arrived.ravel(),
            rate_rps.ravel(),
            self._tick_s,
            late.ravel(),
            inside.ravel(),
        )
        return late, inside


@compiled
def _share(
    slow: Any,
    backends: Any,
    table: NDArray[np.intp],
    cells: Floats,
    count: Floats,
    rate_rps: Floats,
    ready: Floats,
    waiting: Floats,
    part: Floats,
) -> None:
    for i in range(len(slow)):
        if count[i] > 0.0:
            backend, rate, all_ready = backends[i], rate_rps[i], max(ready[i], 1.0)
            share = min(count[i] / all_ready, 1.0)
            capacity = all_ready * (1.0 - share + share / backend.factor) * backend.fast_rps
            mine, slow[i].p_wait, slow[i].wait = _fate(
                cells, table[i], share, rate / max(capacity, 1e-9)
            )
            chosen = share * mine
            if rate > capacity:
                # Beyond all capacity, the queues of slow and fast ones grow alike.
                grows = count[i] * backend.fast_rps / backend.factor + share * (rate - capacity)
                chosen = grows / max(rate, 1e-9)
            if slow[i].backlog > count[i] * (1.0 + waiting[i] / max(all_ready - count[i], 1.0)):
                chosen = share * share
            part[i] = min(max(share if backend.blind > 0.0 else chosen, 0.0), 1.0)


@compiled
def _fate(
    cells: Floats, first: int, share: float, utilisation: float
) -> tuple[float, float, float]:
    """Columns of a table, linear between the nodes."""
    across = math.sqrt(share) * (len(_SHARES) - 1)
    inside = min(max(utilisation, _LEAST_UTILISATION), _MOST_UTILISATION) - _LEAST_UTILISATION
    along = inside / (_MOST_UTILISATION - _LEAST_UTILISATION) * (len(_UTILISATION) - 1)
    level = min(int(across), len(_SHARES) - 2)
    column = min(int(along), len(_UTILISATION) - 2)
    cell = first + level * (len(_UTILISATION) - 1) + column
    down, right = across - level, along - column

    def value(k: int) -> float:
        corner = cells[cell, k] + down * cells[cell, k + 6]
        return float(corner + right * (cells[cell, k + 3] + down * cells[cell, k + 9]))

    return value(0), value(1), value(2)


@compiled
def _tick(
    slow: Any,
    backends: Any,
    late_tail: Floats,
    late_exponential: Floats,
    count: Floats,
    arrived: Floats,
    rate_rps: Floats,
    tick_s: float,
    late: Floats,
    inside: Floats,
) -> None:
    for i in range(len(slow)):
        if count[i] > 0.0:
            backend, fate, rate = backends[i], slow[i], rate_rps[i]
            slots = count[i] * backend.slots
            pace_rps = slots / backend.service_s
            before, most = fate.backlog, pace_rps * backend.timeout_s
            after = min(max(before + arrived[i] - pace_rps * tick_s, 0.0), most)
            fate.backlog = after
            wait_s = max(fate.wait, 1e-9) * backend.service_s
            share = late_when_exponential(
                late_tail, late_exponential, i, fate.p_wait, backend.slo_s / wait_s
            )
            if before + after > 0.0:
                slo_load = pace_rps * backend.slo_s
                low, high = min(before, after) / slo_load, max(before, after) / slo_load
                share = max(share, late_along(late_tail, i, low, high))
            late[i] = arrived[i] * share
            held = min(rate * backend.service_s, slots) + rate * fate.p_wait * wait_s
            inside[i] = held + 0.5 * (before + after)
