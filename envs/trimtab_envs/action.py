"""The action: the parameters of a rule, not a replica count.

Every tick the rule sizes each backend for ``estimate x headroom`` and lets go of capacity
over ``hold``; the policy chooses those parameters every few ticks. So "do what the best rule
does" is one of the choices.

Settings glide towards what is chosen instead of jumping. PPO explores by choosing at random at
every decision; without the glide a single odd choice ratchets capacity up or drops all of it,
and the policy learns to defend itself against its own noise. With it, what acts in training is
near the mean of the choices, and that mean is what a deployed policy chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.memory import ESTIMATES
from trimtab_envs.merit import TINY, spilled
from trimtab_envs.minutes import Bools, Floats
from trimtab_sim.profile import Profiles

Ints = NDArray[np.int64]

HEADROOMS = np.array([0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0])
# Time constants with which capacity is let go: at once, quickly, slowly, hardly. Loads have
# structure of minutes, and a mistake costs a start-up, so each has a part in either unit.
HOLD_SECONDS = np.array([15.0, 100.0, 500.0, 2500.0, 12500.0])
HOLD_STARTUPS = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
LEANS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
TILTS = np.array([0.25, 0.6, 1.0, 1.5, 2.5])
# Part of the reserve over the bare need that waits until a jump may be ahead.
WAITS = np.array([0.0, 0.5, 1.0])
# The bare need: what the present load takes while nothing jumps.
BARE = 1.15

# estimate, headroom, hold, lean (share of the capacity), tilt (share of the route), wait.
ACTION_DIMS = (
    len(ESTIMATES), len(HEADROOMS), len(HOLD_SECONDS), len(LEANS), len(TILTS), len(WAITS),
)  # fmt: skip
ENDS: Ints = np.cumsum(ACTION_DIMS)
STARTS: Ints = ENDS - np.array(ACTION_DIMS)
CHOICES = int(ENDS[-1])
NEUTRAL = (2, 4, 2, 2, 2, 0)
# Part of the way that a setting goes towards the choice at every decision.
GLIDE = 0.3
# Below this part of a replica a scale-down is not worth the churn.
DEADBAND = 0.25


def base_headroom(miss_price: Floats) -> Floats:
    """Headroom that a sober engineer would take at this price of a miss; actions multiply it."""
    return np.asarray(1.3 + 0.2 * np.log(np.maximum(miss_price, 1.0) / 10.0))


def one_hot(action: Ints) -> Floats:
    """Indices ``[..., 6]`` as certain choices ``[..., CHOICES]``."""
    choice = np.zeros((*action.shape[:-1], CHOICES))
    np.put_along_axis(choice, action + STARTS, 1.0, axis=-1)
    return choice


@dataclass(slots=True)
class Setting:
    """The rule's parameters in plain numbers, each ``[B, K]``.

    ``mixture`` ``[B, K, E]`` is the part that each demand estimate has; its sum is 1.
    """

    mixture: Floats
    headroom: Floats
    hold_s: Floats
    lean: Floats
    tilt: Floats
    wait: Floats


def decode(choice: Floats, miss_price: Floats, startup_s: Floats) -> Setting:
    """From choices ``[B, K, CHOICES]``, six distributions, to the setting that they mean.

    Ratios and times are averaged in the logarithm. ``miss_price`` is ``[B]``.
    """
    mixture, headroom, hold, lean, tilt, wait = np.split(choice, ENDS[:-1], axis=-1)
    holds_s = HOLD_SECONDS + HOLD_STARTUPS * startup_s[..., None]
    return Setting(
        mixture=mixture,
        headroom=np.exp(headroom @ np.log(HEADROOMS)) * base_headroom(miss_price)[:, None],
        hold_s=np.exp((hold * np.log(holds_s)).sum(-1)),
        lean=np.exp(lean @ np.log(LEANS)),
        tilt=np.exp(tilt @ np.log(TILTS)),
        wait=wait @ WAITS,
    )


class Rule:
    """Turns a setting and demand estimates into replicas and weights, tick by tick.

    Remembers only ``held``, the capacity in replicas that it is letting go of.
    """

    def __init__(self, profiles: Profiles, tick_s: float) -> None:
        self.profiles = profiles
        self._tick_s = tick_s
        self.held = np.zeros(profiles.shape)

    def reset(self, rows: Bools, profiles: Profiles) -> None:
        """Forget the masked services ``[B]``."""
        self.profiles = profiles
        self.held[rows] = 0.0

    def replicas(
        self,
        setting: Setting,
        share: Floats,
        soon: Floats,
        estimates: Floats,
        present: Floats,
        ahead: Floats,
        backlog: Floats,
        wanted: Floats,
        ready: Floats,
        known: Bools,
    ) -> tuple[Floats, Floats]:
        """Whole replicas ``[B, K]`` and the demand in rps ``[B, K]`` that they are sized for.

        ``share`` ``[B, K]`` of the load that each backend is built for, and ``soon`` the replicas
        that it can have before long: what it lacks then, others build as well; ``estimates``
        ``[E, B, K]`` and ``present`` ``[B, K]`` of the whole service's load;
        ``ahead`` ``[B, K]`` whether it may jump before new replicas serve; ``backlog`` ``[B, K]``
        requests waiting; ``wanted`` what is asked for at present, which stays while the load
        is not ``known`` ``[B, 1]``; ``ready`` what serves, which stays until others serve instead.
        """
        profiles = self.profiles
        demand = mixed(estimates, setting) * share
        # Waiting requests are work too; new replicas can help within about a start-up.
        work = demand * setting.headroom + backlog / np.maximum(profiles.startup_mean_s, 1.0)
        target = np.where(known, self._replicas(self._covered(work, share, soon)), wanted)
        keep = np.where(
            setting.hold_s > 0.0, np.exp(-self._tick_s / np.maximum(setting.hold_s, 1e-9)), 0.0
        )
        self.held = np.maximum(target, target + keep * (self.held - target))
        bare = self._replicas(self._covered(BARE * present * share, share, soon))
        part = 1.0 - setting.wait * (1.0 - ahead)
        need = np.where(self.held > bare, bare + part * (self.held - bare), self.held)
        need = self._relieved(need, ready, soon)
        up, down = np.ceil(need - 1e-9), np.ceil(need + DEADBAND)
        moved = np.where(up > wanted, up, np.minimum(wanted, down))
        replicas = np.where(known, moved, wanted)
        return np.clip(replicas, profiles.min_replicas, profiles.max_replicas), demand

    def _relieved(self, need: Floats, ready: Floats, soon: Floats) -> Floats:
        """What is needed, and what has to stay until replicas elsewhere have taken over."""
        replica_rps = self.profiles.replica_rps
        coming = np.maximum(np.minimum(need, soon) - ready, 0.0)
        lacking_rps = (coming * replica_rps).sum(1, keepdims=True)
        over_rps = np.maximum(ready - need, 0.0) * replica_rps
        stays = np.minimum(lacking_rps / np.maximum(over_rps.sum(1, keepdims=True), TINY), 1.0)
        return np.asarray(need + stays * over_rps / replica_rps)

    def _covered(self, work_rps: Floats, share: Floats, soon: Floats) -> Floats:
        """The work, and beside it with others what a backend cannot have the replicas for."""
        lacking_rps = np.maximum(work_rps - soon * self.profiles.replica_rps, 0.0)
        if not lacking_rps.any():
            return work_rps
        able = share * np.isinf(soon)
        part = able / np.maximum(able.sum(1, keepdims=True), TINY)
        return np.asarray(work_rps + part * lacking_rps.sum(1, keepdims=True))

    def _replicas(self, work_rps: Floats) -> Floats:
        """Replicas for so much work; what is beyond one backend's maximum goes to the others."""
        profiles = self.profiles
        room_rps = profiles.max_replicas * profiles.replica_rps
        if (work_rps > room_rps).any():
            work_rps = spilled(work_rps, room_rps)
        return np.asarray(np.minimum(work_rps / profiles.replica_rps, profiles.max_replicas))


def mixed(estimates: Floats, setting: Setting) -> Floats:
    """The demand estimate ``[B, K]`` that a setting believes in; ``estimates`` ``[E, B, K]``."""
    return np.asarray(np.einsum("ebk,bke->bk", estimates, setting.mixture))
