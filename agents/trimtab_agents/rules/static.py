"""A fixed number of replicas: what many services run on, and the floor for any autoscaler."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted


class StaticRule:
    """``replicas`` per backend at all times, one number or one per service ``[B]``."""

    name = "static"

    def __init__(self, replicas: ArrayLike) -> None:
        self._replicas = np.asarray(replicas, dtype=np.float64).reshape(-1, 1)

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:  # noqa: ARG002 # the protocol's: a fixed size needs neither price nor time
        """Take over the limits."""
        self._wanted = np.clip(self._replicas, profiles.min_replicas, profiles.max_replicas)

    def act(self, sensed: Sensed) -> Wanted:
        """The same every tick."""
        return Wanted(replicas=self._wanted, weight=sensed.weight, demand_rps=sensed.rate_rps)
