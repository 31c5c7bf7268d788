"""The HPA's stabilisation and scaling policies, over many services at once.

As `trimtab_agents.hpa.Hpa` has them; a test holds the two together. All services share the
policies and the window on the way up; the window on the way down is each one's own.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from trimtab_agents.hpa import HpaConfig, ScalingPolicy, Unit
from trimtab_agents.rules.windows import Highest, ticks
from trimtab_sim.profile import Floats


class Stabilization:
    """Up only to the lowest, down only to the highest recommendation of a window."""

    def __init__(self, up_s: float, down_s: Floats, sync_s: float, backends: int) -> None:
        self._highest = Highest(ticks(down_s, sync_s), backends)
        # The lowest is the highest of what is turned round.
        self._lowest = Highest(ticks(np.full(len(down_s), up_s), sync_s), backends)
        self._is_first, self._waits = True, up_s > 0.0

    def stable(self, recommendation: Floats, wanted: Floats) -> Floats:
        """What is left of a sync's recommendations ``[B, K]``, of which NaN counts for nothing."""
        high = np.nan_to_num(recommendation, nan=-np.inf)
        low = np.nan_to_num(recommendation, nan=np.inf)
        if self._is_first:  # upstream: what is wanted at first is the first recommendation
            high = np.maximum(high, wanted)
            low = np.minimum(low, wanted) if self._waits else low
            self._is_first = False
        highest, lowest = self._highest.add(high), -self._lowest.add(-low)
        return np.minimum(np.maximum(wanted, lowest), highest)


class Pace:
    """How far counts may go in one sync: the loosest of the policies of each direction."""

    def __init__(self, config: HpaConfig, sync_s: float) -> None:
        self._up = [(policy, _syncs(policy, sync_s)) for policy in config.up]
        self._down = [(policy, _syncs(policy, sync_s)) for policy in config.down]
        longest = max(syncs for _, syncs in (*self._up, *self._down))
        self._counts: deque[Floats] = deque(maxlen=longest)  # of the last syncs, the newest last

    def limited(self, replicas: Floats, wanted: Floats) -> Floats:
        """As near to ``replicas`` as may be, from those ``wanted``; called once a sync."""
        self._counts.append(wanted)
        most = np.maximum.reduce([_ceiling(policy, self._ago(n)) for policy, n in self._up])
        least = np.minimum.reduce([_floor(policy, self._ago(n)) for policy, n in self._down])
        return np.clip(replicas, np.minimum(least, wanted), np.maximum(most, wanted))

    def _ago(self, syncs: int) -> Floats:
        """Counts at the start of a period of so many syncs, this one included."""
        return self._counts[-min(syncs, len(self._counts))]


def _syncs(policy: ScalingPolicy, sync_s: float) -> int:
    return int(ticks(np.array([policy.period_s]), sync_s)[0])


def _ceiling(policy: ScalingPolicy, before: Floats) -> Floats:
    if policy.unit is Unit.PODS:
        return before + policy.value
    return np.asarray(np.ceil(before * (1.0 + policy.value / 100.0)))


def _floor(policy: ScalingPolicy, before: Floats) -> Floats:
    if policy.unit is Unit.PODS:
        return before - policy.value
    return np.asarray(np.floor(before * (1.0 - policy.value / 100.0)))
