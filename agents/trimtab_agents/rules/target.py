"""The calibrated rule: one fixed setting of the very rule whose parameters PPO chooses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trimtab_envs.action import Setting
from trimtab_envs.codec import Codec
from trimtab_envs.memory import ESTIMATES
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted


class TargetRule:
    """Replicas for ``estimate x headroom``, let go of over ``hold_s``.

    ``estimate`` is an index into ``ESTIMATES``; headroom and ``hold_s`` (seconds) are plain
    numbers. Each is one value for all services or one per service ``[B]``.
    """

    def __init__(self, estimate: ArrayLike, headroom: ArrayLike, hold_s: ArrayLike) -> None:
        self._estimate, self._headroom, self._hold_s = map(np.asarray, (estimate, headroom, hold_s))
        if (self._estimate < 0).any() or (self._estimate >= len(ESTIMATES)).any():
            raise ValueError(
                f"estimate must be 0 to {len(ESTIMATES) - 1}, got {self._estimate.tolist()}"
            )
        self.name = "rule"

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        """Forget everything and prepare for B new services."""
        self._codec = Codec(profiles, miss_price, tick_s)

        def wide(values: Floats) -> Floats:
            return np.broadcast_to(values.reshape(-1, 1), profiles.shape)

        self._codec.setting = Setting(
            mixture=np.eye(len(ESTIMATES))[wide(self._estimate).astype(np.int64)],
            headroom=wide(self._headroom),
            hold_s=wide(self._hold_s),
            lean=np.ones(profiles.shape),
            tilt=np.ones(profiles.shape),
            wait=np.zeros(profiles.shape),
        )

    def act(self, sensed: Sensed) -> Wanted:
        """Decide for one tick."""
        self._codec.sense(sensed)
        return self._codec.want()
