"""The queue that all replicas of a backend share, over one tick.

It is one reflected Brownian motion: the number waiting moves with what arrived and
what could be served in the tick, and is pushed back at a level below zero, the cushion of
idle slots. Its drift and variance are those of the queue, and the cushion is chosen so that
the stationary probability of a queue is that of ``waiting``. So the same three lines give the
steady state, overload, and the way back, for any length of tick: the end of a Brownian path
and its minimum are drawn from their joint law. Within a tick the queue is taken as steady,
but for the part in which it still is on its way from where it was.
"""

from __future__ import annotations

import math
from typing import Any

from trimtab_sim.compiled import compiled
from trimtab_sim.profile import Floats
from trimtab_sim.service_time import late_along, late_when_exponential
from trimtab_sim.waiting import waiting_at

_NO_CAPACITY_RPS = 1e-9
_MIN_UTILISATION = 1e-9
# Past this the steady state is never reached within a tick, and its weight is 0.
_MAX_UTILISATION = 1.0 - 1e-6
# A queue of more than this many times the mean one (5 % of them are) comes from a change.
_STEADY_QUEUES = 3.0
# An exponential distribution as two level pieces, the second thrice as long in all: part of the
# mass that the first has. In units of which the mean is so many.
_FIRST_PIECE = 0.632
_SHORT_WAIT = 1.0 / 1.052
# A transient shorter than this part of the tick is not worth its computing.
_NEGLIGIBLE = 0.01


@compiled
def tick_pool(
    queue: Any, backend: Any, tables: Any, load: Any, random: Any, tick_s: float
) -> tuple[float, float]:
    """A tick of replicas that share their queue evenly; late requests, mean waiting."""
    steady, steady_cells, late_tail, late_exponential, row = tables
    arrived, rate, ready = load
    capacity = max(ready * backend.replica_rps, _NO_CAPACITY_RPS)
    rho = min(max(rate / capacity, _MIN_UTILISATION), _MAX_UTILISATION)
    carried = rho * capacity
    # Waiting requests are exponential with this mean, given that there are any.
    mean_if_any = carried / (capacity - carried) * backend.half
    log_p_busy, p_wait, imbalance_s = waiting_at(steady, steady_cells, ready, rho)
    p_busy = math.exp(log_p_busy)
    p_wait = max(p_wait, p_busy)
    pooled, queue.apart = p_busy * mean_if_any, imbalance_s * carried

    cushion = -log_p_busy * mean_if_any
    start = max(queue.level, -cushion)
    net = arrived - capacity * tick_s
    end = _brownian_end(start + cushion, net, carried * tick_s, backend, random) - cushion
    limit = capacity * backend.timeout_s
    # Queues are cut at what can be served before the time-out; the rest waits in vain.
    queue.doomed += max(end - limit, 0.0)
    queue.doomed *= 1.0 - min(tick_s / backend.timeout_s, 1.0)
    queue.level = min(end, limit)

    per_slo = p_wait * backend.slo_s * carried / (pooled + queue.apart)
    late = late_when_exponential(late_tail, late_exponential, row, p_wait, per_slo)
    x0, x1 = max(start, 0.0), max(queue.level, 0.0)
    moving = _transient(backend, x0, rate, capacity, mean_if_any) / tick_s
    if moving > _NEGLIGIBLE:
        moving = min(moving, 1.0)
        driven = rate > capacity or x0 > _STEADY_QUEUES * mean_if_any
        # Little's law gives the wait of a queue at rest; a backlog is left at full capacity.
        per_slo = 1.0 / (backend.slo_s * (capacity if driven else carried))
        # A tick of many arrivals ends in a long queue, but few of them met it.
        usual = 1.0 if driven else rate * tick_s / max(arrived, 1.0)
        waits = x0 * per_slo, x1 * per_slo, _SHORT_WAIT * queue.apart * per_slo
        late += moving * (_late_moving(late_tail, row, waits, driven, usual) - late)
    return arrived * late, pooled + moving * (0.5 * (x0 + x1) - pooled) + queue.apart


@compiled
def _brownian_end(start: float, drift: float, work: float, backend: Any, random: Any) -> float:
    """End of a path from ``start`` >= 0, reflected at 0, whose input is known."""
    noise, draw = random
    net = drift + math.sqrt(backend.scv * work) * noise
    above_minimum = 0.5 * (net + math.sqrt(net * net + 4.0 * backend.half * work * draw))
    return float(max(start + net, above_minimum))


@compiled
def _transient(backend: Any, x0: float, rate: float, capacity: float, mean_if_any: float) -> float:
    """Seconds until the queue is in its steady state."""
    spare = max(capacity - rate, _NO_CAPACITY_RPS)
    # Time to forget, and time to work off what no steady state would hold.
    backlog = max(x0 - _STEADY_QUEUES * mean_if_any, 0.0)
    return float((backend.half * rate / spare + backlog) / spare)


@compiled
def _late_moving(tail: Floats, row: int, waits: Any, driven: bool, usual: float) -> float:
    """Share late while the wait goes from one to another, in SLOs, spread by a ``short`` one.

    A ``driven`` queue goes there in a line; another one wanders, and its two ends stand for
    the way, the second with ``usual`` times the arrivals. What spreads it is the imbalance
    between replicas.
    """
    start, end, short = waits
    middle = 0.5 * (start + end)
    first = _late_spread(tail, row, start, middle if driven else start, short)
    second = _late_spread(tail, row, end, middle if driven else end, short)
    return 0.5 * (first + usual * second)


@compiled
def _late_spread(tail: Floats, row: int, start: float, end: float, short: float) -> float:
    """Share late of waits from one to the other, to which an exponential one is added."""
    low, high = min(start, end), max(start, end)
    least = late_along(tail, row, low, high + short)
    most = late_along(tail, row, low + short, high + 3.0 * short)
    return _FIRST_PIECE * least + (1.0 - _FIRST_PIECE) * most
