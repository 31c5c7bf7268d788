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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.memory import ESTIMATES
from trimtab_envs.merit import TINY, spill
from trimtab_envs.minutes import Bools, Floats
from trimtab_sim.profile import Profiles
from trimtab_sim.rows import blend, by_row, each, of_row, part, total, where

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

_LOG_HEADROOMS, _LOG_LEANS, _LOG_TILTS = np.log(HEADROOMS), np.log(LEANS), np.log(TILTS)

# estimate, headroom, hold, lean (share of the capacity), tilt (share of the route), wait.
ACTION_DIMS = (
    len(ESTIMATES), len(HEADROOMS), len(HOLD_SECONDS), len(LEANS), len(TILTS), len(WAITS),
)  # fmt: skip
ENDS: Ints = np.cumsum(ACTION_DIMS)
STARTS: Ints = ENDS - np.array(ACTION_DIMS)
CHOICES = int(ENDS[-1])
_, _HEADROOM, _HOLD, _LEAN, _TILT, _WAIT = STARTS.tolist()
NEUTRAL = (2, 4, 2, 2, 2, 0)
# Part of the way that a setting goes towards the choice at every decision.
GLIDE = 0.3
# Below this part of a replica a scale-down is not worth the churn.
DEADBAND = 0.25


@part
def base_headroom(miss_price: Any) -> Any:
    """Headroom that a sober engineer would take at this price of a miss; actions multiply it."""
    return 1.3 + 0.2 * np.log(np.maximum(miss_price, 1.0) / 10.0)


def one_hot(action: Ints) -> Floats:
    """Indices ``[..., 6]`` as certain choices ``[..., CHOICES]``."""
    places = (action + STARTS).reshape(-1, len(STARTS))
    places += CHOICES * np.arange(len(places))[:, None]
    choice = np.zeros(CHOICES * len(places))
    choice[places] = 1.0
    return choice.reshape(*action.shape[:-1], CHOICES)


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
    plain = np.empty((len(ACTION_DIMS) - 1, *startup_s.shape))
    _decode(*plain, choice, miss_price, startup_s)
    return Setting(choice[..., : len(ESTIMATES)], *plain)


@by_row
def _decode(
    headroom: Floats,
    hold_s: Floats,
    lean: Floats,
    tilt: Floats,
    wait: Floats,
    choice: Floats,
    miss_price: Floats,
    startup_s: Floats,
) -> None:
    for at in each(startup_s):
        usual = base_headroom(of_row(miss_price, at))
        headroom[at] = np.exp(_mean(choice, at, _HEADROOM, _LOG_HEADROOMS)) * usual
        log_s = 0.0 * startup_s[at]
        for n in range(len(HOLD_SECONDS)):
            one_s = HOLD_SECONDS[n] + HOLD_STARTUPS[n] * startup_s[at]
            log_s = log_s + choice[..., _HOLD + n][at] * np.log(one_s)
        hold_s[at] = np.exp(log_s)
        lean[at] = np.exp(_mean(choice, at, _LEAN, _LOG_LEANS))
        tilt[at] = np.exp(_mean(choice, at, _TILT, _LOG_TILTS))
        wait[at] = _mean(choice, at, _WAIT, WAITS)


@part
def _mean(choice: Floats, at: Any, first: int, values: Floats) -> Any:
    """Of ``values``, weighed by what is chosen from place ``first`` on."""
    mean = choice[..., first][at] * values[0]
    for n in range(1, len(values)):
        mean = mean + choice[..., first + n][at] * values[n]
    return mean


class Rule:
    """Turns a setting and demand estimates into replicas and weights, tick by tick.

    Remembers only ``held``, the capacity in replicas that it is letting go of.
    """

    def __init__(self, profiles: Profiles, tick_s: float) -> None:
        self._tick_s = tick_s
        self.held = np.zeros(profiles.shape)
        # For what a tick computes on the way, ``[B, K]`` each.
        self._between = tuple(np.empty((8, *profiles.shape)))
        self.reset(np.ones(profiles.shape[0], dtype=np.bool_), profiles)

    def reset(self, rows: Bools, profiles: Profiles) -> None:
        """Forget the masked services ``[B]``."""
        self.profiles, self._replica_rps = profiles, profiles.replica_rps
        self.held[rows] = 0.0

    def replicas(
        self,
        setting: Setting,
        share: Floats,
        soon: Floats,
        estimates: Floats,
        present: Floats,
        ahead: Floats,
        in_flight: Floats,
        wanted: Floats,
        ready: Floats,
        known: Bools,
    ) -> tuple[Floats, Floats]:
        """Whole replicas ``[B, K]`` and the demand in rps ``[B, K]`` that they are sized for.

        ``share`` ``[B, K]`` of the load that each backend is built for, and ``soon`` the replicas
        that it can have before long: what it lacks then, others build as well; ``estimates``
        ``[E, B, K]`` and ``present`` ``[B, K]`` of the whole service's load;
        ``ahead`` ``[B, K]`` whether it may jump before new replicas serve; ``in_flight`` ``[B, K]``
        requests, of which those waiting are work; ``wanted`` what is asked for at present, which
        stays while the load is not ``known`` ``[B, 1]``; ``ready`` what serves, which stays until
        others serve instead.
        """
        profiles = self.profiles
        demand, replicas = mixed(estimates, setting), np.empty(profiles.shape)
        demand *= share
        _size(
            replicas, *self._between, self.held, demand, share, soon, present, ahead,
            in_flight, wanted, ready, known[:, 0],
            setting.headroom, setting.hold_s, setting.wait,
            self._replica_rps, profiles.concurrency, profiles.startup_mean_s,
            profiles.min_replicas, profiles.max_replicas, self._tick_s,
        )  # fmt: skip
        return replicas, demand


@by_row
def _size(
    replicas: Floats,
    work_rps: Floats,
    target: Floats,
    bare: Floats,
    fitted: Floats,
    over: Floats,
    spare: Floats,
    room_rps: Floats,
    able: Floats,
    held: Floats,
    demand_rps: Floats,
    share: Floats,
    soon: Floats,
    present: Floats,
    ahead: Floats,
    in_flight: Floats,
    wanted: Floats,
    ready: Floats,
    known: Bools,
    headroom: Floats,
    hold_s: Floats,
    wait: Floats,
    replica_rps: Floats,
    slots: Floats,
    startup_s: Floats,
    least: Floats,
    most: Floats,
    tick_s: float,
) -> None:
    """Write ``replicas`` and what is ``held``; the eight after the first are for the way there."""
    for at in each(replicas):
        able[at] = share[at] * np.isinf(soon[at])
        room_rps[at] = most[at] * replica_rps[at]
        # Waiting requests are work too; new replicas can help within about a start-up.
        backlog = waiting(in_flight[at], ready[at], slots[at])
        behind_rps = backlog / np.maximum(startup_s[at], 1.0)
        work_rps[at] = demand_rps[at] * headroom[at] + behind_rps
    between = fitted, over, spare
    _carry(target, work_rps, able, room_rps, soon, replica_rps, most, *between)
    for at in each(replicas):
        work_rps[at] = BARE * present[at] * share[at]
    _carry(bare, work_rps, able, room_rps, soon, replica_rps, most, *between)
    need, coming_rps, over_rps = target, spare, over
    for at in each(replicas):
        aim = where(of_row(known, at), target[at], wanted[at])
        held[at] = _let_go(held[at], aim, hold_s[at], tick_s)
        early = bare[at] + (1.0 - wait[at] * (1.0 - ahead[at])) * (held[at] - bare[at])
        need[at] = where(held[at] > bare[at], early, held[at])
        coming_rps[at] = np.maximum(np.minimum(need[at], soon[at]) - ready[at], 0.0)
        coming_rps[at] *= replica_rps[at]
        over_rps[at] = np.maximum(ready[at] - need[at], 0.0) * replica_rps[at]
    for at in each(replicas):
        # What has to stay until replicas elsewhere have taken over.
        stays = np.minimum(total(coming_rps, at) / np.maximum(total(over_rps, at), TINY), 1.0)
        needed = need[at] + stays * over_rps[at] / replica_rps[at]
        moved = where(of_row(known, at), _moved(needed, wanted[at]), wanted[at])
        replicas[at] = np.minimum(np.maximum(moved, least[at]), most[at])


@part
def waiting(in_flight: Any, ready: Any, slots: Any) -> Any:
    """Requests that no slot is free for; none where nothing is known."""
    return np.maximum(where(np.isnan(in_flight), 0.0, in_flight) - ready * slots, 0.0)


@part
def _let_go(held: Any, aim: Any, hold_s: Any, tick_s: float) -> Any:
    """What is held a tick later, at least what is aimed at."""
    keep = np.exp(-tick_s / np.maximum(hold_s, 1e-9)) * (hold_s > 0.0)
    return np.maximum(aim, aim + keep * (held - aim))


@part
def _moved(needed: Any, wanted: Any) -> Any:
    """Whole replicas: more as soon as they are needed, fewer only past the dead band."""
    up, down = np.ceil(needed - 1e-9), np.ceil(needed + DEADBAND)
    return where(up > wanted, up, np.minimum(wanted, down))


@part
def _carry(
    replicas: Floats,
    work_rps: Floats,
    able: Floats,
    room_rps: Floats,
    soon: Floats,
    replica_rps: Floats,
    most: Floats,
    fitted: Floats,
    over: Floats,
    spare: Floats,
) -> None:
    """Replicas for so much work; the last three, and the work itself, are written to.

    What one backend lacks the replicas for, those that are ``able`` to build carry by their share;
    what is beyond one's maximum goes to the others.
    """
    lacking_rps = over
    for at in each(work_rps):
        lacking_rps[at] = np.maximum(work_rps[at] - soon[at] * replica_rps[at], 0.0)
    if lacking_rps.any():
        for at in each(work_rps):
            takes = able[at] / np.maximum(total(able, at), TINY)
            work_rps[at] += takes * total(lacking_rps, at)
    spill(fitted, work_rps, room_rps, over, spare)
    for at in each(work_rps):
        replicas[at] = np.minimum(fitted[at] / replica_rps[at], most[at])


def mixed(estimates: Floats, setting: Setting) -> Floats:
    """The demand estimate ``[B, K]`` that a setting believes in; ``estimates`` ``[E, B, K]``."""
    demand = np.empty(estimates.shape[1:])
    _mix(demand, estimates, setting.mixture)
    return demand


@by_row
def _mix(demand: Floats, estimates: Floats, mixture: Floats) -> None:
    for at in each(demand):
        demand[at] = blend(estimates, mixture, at)
