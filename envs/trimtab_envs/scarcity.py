"""Where replicas are scarce, one service's reserve is another's miss.

Nodes, a budget or a guard may refuse replicas that were asked for. What was let go then has to
be queued for again, and what is kept for a rainy day others lack now. So a service that was
refused some keeps for longer what it has, and asks for no more than a sober rule would.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trimtab_envs.action import Setting
from trimtab_envs.memory import ESTIMATES
from trimtab_envs.minutes import Bools, Floats
from trimtab_sim.profile import Profiles
from trimtab_sim.rows import by_row, each, row_total, where
from trimtab_sim.signals import Sensed

# A refusal is news once it has outlasted the guard's rate limits; then it is, for an hour.
REFUSED_S, MEMORY_S = 90.0, 3600.0
# The sober rule: its demand estimate, headroom, and hold at a price; dearer misses hold longer.
ESTIMATE = np.eye(len(ESTIMATES))[ESTIMATES.index("noise")]
HEADROOM = 1.5
HOLD_S, HOLD_PRICE, HOLD_POWER = 600.0, 50.0, 0.25


class Scarcity:
    """Whether each of B services was refused replicas lately, ``felt`` ``[B]``.

    A service is, while all its backends that could grow are. One whose wishes nobody has
    followed yet, as in shadow, is refused nothing.
    """

    def __init__(self, profiles: Profiles, tick_s: float) -> None:
        self._tick_s = tick_s
        self._most = profiles.max_replicas
        self._asked, self._wanted = np.zeros((2, *profiles.shape))
        self._followed = np.zeros(len(self._most), dtype=np.bool_)
        self._refused_s = np.zeros(len(self._most))
        self._since_s = np.full(len(self._most), np.inf)
        # For what a tick computes on the way, ``[B, K]`` each.
        self._between = tuple(np.empty((3, *profiles.shape)))

    @property
    def felt(self) -> Bools:
        """Whether replicas are scarce, ``[B]``."""
        return np.asarray(self._since_s < MEMORY_S)

    def reset(self, services: Bools, profiles: Profiles) -> None:
        """Forget the masked services ``[B]``; ``profiles`` replaces those of all."""
        self._most = profiles.max_replicas
        self._asked[services] = self._wanted[services] = 0.0
        self._followed[services] = False
        self._refused_s[services] = 0.0
        self._since_s[services] = np.inf

    def ask(self, replicas: Floats) -> None:
        """Remember what is asked for, ``[B, K]``."""
        self._asked = replicas.copy()

    def update(self, sensed: Sensed) -> None:
        """Compare what there is with what was asked for a tick ago."""
        _compare(
            *self._between, self._asked, self._wanted, self._followed, self._refused_s,
            self._since_s, sensed.wanted, sensed.starting, sensed.ready, self._most, self._tick_s,
        )  # fmt: skip

    def tempered(self, setting: Setting, miss_price: Floats) -> Setting:
        """The setting, sober where replicas are scarce; ``miss_price`` is ``[B]``."""
        felt = self.felt[:, None]
        if not felt.any():
            return setting
        hold_s = HOLD_S * (miss_price[:, None] / HOLD_PRICE) ** HOLD_POWER
        return replace(
            setting,
            mixture=np.where(felt[..., None], ESTIMATE, setting.mixture),
            headroom=np.where(felt, np.minimum(setting.headroom, HEADROOM), setting.headroom),
            hold_s=np.where(felt, np.maximum(setting.hold_s, hold_s), setting.hold_s),
            wait=np.where(felt, 0.0, setting.wait),
        )


@by_row
def _compare(
    grown: Floats,
    short: Floats,
    free: Floats,
    asked: Floats,
    before: Floats,
    followed: Bools,
    refused_s: Floats,
    since_s: Floats,
    wanted: Floats,
    starting: Floats,
    ready: Floats,
    most: Floats,
    tick_s: float,
) -> None:
    for at in each(asked):
        grown[at] = (wanted[at] > before[at]) & (wanted[at] <= asked[at])
        few = (wanted[at] < asked[at]) | (starting[at] + ready[at] < wanted[at])
        short[at] = few
        free[at] = np.logical_not(few | (wanted[at] >= most[at]))
        before[at] = wanted[at]
    for row in each(since_s):
        followed[row] = followed[row] | (row_total(grown, row) > 0.0)
        stuck = (row_total(short, row) > 0.0) & (row_total(free, row) == 0.0)
        refused = stuck & followed[row]
        refused_s[row] = where(refused, refused_s[row] + tick_s, 0.0)
        since_s[row] = where(refused_s[row] > REFUSED_S, 0.0, since_s[row] + tick_s)
