"""Queues that old replicas are stuck with while new ones are already serving.

Envoy never moves a request that it has sent, and its least-of-two sends another one to the
old replicas only when both draws hit them: the share (old / all)^2. So a backlog drains at
the old replicas' pace, whatever is added, until it is level with the new ones' queue. A balancer
that does not look at the queues sends the old ones as much as any.

Of a queue's record, ``stuck`` counts the requests and ``old`` the replicas that hold them; both
are 0 where nothing is stuck.
"""

from __future__ import annotations

from typing import Any

from trimtab_sim.compiled import compiled
from trimtab_sim.profile import Floats
from trimtab_sim.service_time import late_along


@compiled
def stuck_level(queue: Any) -> float:
    """Requests per old replica."""
    return float(queue.stuck / max(queue.old, 1.0))


@compiled
def stays(backend: Any, share: float) -> float:
    """Chance that a request bound for the old ones, this ``share`` of all, stays with them."""
    return 1.0 if backend.blind > 0.0 else share


@compiled
def tick_stuck(
    queue: Any,
    backend: Any,
    late_tail: Floats,
    row: int,
    arrived: float,
    rate_rps: float,
    ready: float,
    tick_s: float,
) -> tuple[float, float, float]:
    """Let one tick pass for the old replicas among all that are ``ready``.

    Returns the share of arrivals that went to them, how many of those will be late, and their
    mean queue.
    """
    old, before, waiting = queue.old, queue.stuck, max(queue.level, 0.0)
    fair = min(old / ready, 1.0)
    new = max(ready - old, 1e-3)
    again = stays(backend, fair)
    falls = backend.replica_rps - rate_rps * fair * again / old
    rises = max(rate_rps * (1.0 - fair * again) / new - backend.replica_rps, 0.0)
    level_s = (before / old - waiting / new) / max(falls + rises, 1e-9)
    # Part of the tick until both queues are level; after it, the old get their fair share.
    apart = min(max(level_s / tick_s, 0.0), 1.0)
    inflow, later = arrived * apart * fair * again, arrived * (1.0 - apart) * fair
    capacity = old * backend.replica_rps
    after = max(before + inflow - capacity * tick_s * apart, 0.0)
    slo_load = capacity * backend.slo_s
    low, high = min(before, after) / slo_load, max(before, after) / slo_load
    late = inflow * late_along(late_tail, row, low, high)
    late += later * late_along(late_tail, row, after / slo_load, after / slo_load)
    queue.stuck = max(after + later - capacity * tick_s * (1.0 - apart), 0.0)
    return fair + apart * (fair * again - fair), late, after + 0.5 * apart * (before - after)


@compiled
def merge(queue: Any, new: float) -> None:
    """Old and ``new`` replicas are one group again once their queues are level."""
    waiting = max(queue.level, 0.0)
    if max(waiting / max(new, 1e-9), 1.0) >= stuck_level(queue):
        if queue.stuck > 0.0:
            queue.level = waiting + queue.stuck
        queue.stuck = queue.old = 0.0
