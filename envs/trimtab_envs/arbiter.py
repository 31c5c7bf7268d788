"""Rations what the services of a cluster may do together, for many clusters at once.

These are the rules of the guard's ``Purse`` in arrays: the guard goes from service to service,
which is too slow for a batch of clusters. A test holds the two together.
"""

from __future__ import annotations

import numpy as np

from trimtab_envs.minutes import Bools, Floats
from trimtab_guard.limits import ClusterLimits
from trimtab_guard.modes import SAME_SHARE
from trimtab_guard.ration import CENT

WINDOWS = ClusterLimits()


class Arbiter:
    """A purse for each of C clusters of S services: ``budget`` and ``at_once`` are ``[C]``.

    Both count over the guard's default windows; ``price`` ``[C, S, K]`` is that of a replica.
    """

    def __init__(self, budget: Floats, at_once: Floats, price: Floats, tick_s: float) -> None:
        clusters, services, _ = price.shape
        self._budget, self._at_once, self._price = budget.copy(), at_once.copy(), price.copy()
        self._paid = np.zeros((_ticks(WINDOWS.budget_window_s, tick_s), clusters))
        self._changed = np.zeros(
            (_ticks(WINDOWS.change_window_s, tick_s), clusters, services), dtype=np.bool_
        )
        self._now = 0

    def reset(self, clusters: Bools, budget: Floats, at_once: Floats, price: Floats) -> None:
        """The masked clusters ``[C]`` begin with full purses; arrays as for all."""
        self._budget[clusters] = budget[clusters]
        self._at_once[clusters] = at_once[clusters]
        self._price[clusters] = price[clusters]
        self._paid[:, clusters] = 0.0
        self._changed[:, clusters] = False

    def allow(
        self, wanted: Floats, weight: Floats, present: Floats, present_weight: Floats
    ) -> tuple[Floats, Floats]:
        """What of ``wanted`` replicas and ``weight`` may be done now; all ``[C, S, K]``.

        Who is listed first is served first. New replicas cost, all else is free.
        """
        left = self._budget - self._paid.sum(0)
        busy = np.asarray(self._changed.any(0))
        replicas, routes = present.copy(), present_weight.copy()
        paid, changed = np.zeros_like(left), np.zeros_like(busy)
        for service in range(busy.shape[1]):
            now, routed = present[:, service], present_weight[:, service]
            crowd = ~busy[:, service] & (busy.sum(1) >= self._at_once)
            waits = crowd & _differs(wanted[:, service], now, weight[:, service], routed)
            want = np.where(waits[:, None], now, wanted[:, service])
            routes[:, service] = np.where(waits[:, None], routed, weight[:, service])
            for backend in range(want.shape[1]):
                price, growth = self._price[:, service, backend], (want - now)[:, backend]
                bought = np.clip(np.floor((left + CENT) / price), 0.0, np.maximum(growth, 0.0))
                replicas[:, service, backend] += np.where(growth > 0.0, bought, growth)
                left, paid = left - bought * price, paid + bought * price
            changed[:, service] = _differs(replicas[:, service], now, routes[:, service], routed)
            busy[:, service] |= changed[:, service]
        self._paid[self._now % len(self._paid)] = paid
        self._changed[self._now % len(self._changed)] = changed
        self._now += 1
        return replicas, routes


def _differs(wanted: Floats, present: Floats, weight: Floats, routed: Floats) -> Bools:
    """Whether that is a change, all ``[C, K]``; routes only tremble below ``SAME_SHARE``."""
    moved = np.abs(weight - routed) >= SAME_SHARE
    return np.asarray(((wanted != present) | moved).any(1))


def _ticks(window_s: float, tick_s: float) -> int:
    """Earlier ticks whose changes still count; the last one always does."""
    return max(1, int(window_s / tick_s + 1e-9))
