"""Any policy behind the guard, over many cells at once.

``trimtab_guard`` judges one service at a time and remembers an hour of it, which is too slow
for a benchmark of millions of ticks. These are its limits on the replicas of one backend in
arrays; a test holds the two together. What the guard does about readings is here as far as the
benchmark has such readings: they come every tick, and a frozen one holds the present.
"""

from __future__ import annotations

import numpy as np

from trimtab_agents.policy import Policy
from trimtab_agents.rules.windows import Highest
from trimtab_envs.minutes import Bools
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.senses import FROZEN_READINGS
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted

# A gauge of requests in flight shows no smaller change; floats decay for hours.
GAUGE_DECIMALS = 3


def default_limits(tick_s: float, max_replicas: int) -> Limits:
    """The shipped limits, for a service that is sensed every ``tick_s``."""
    backend = BackendLimits("replicas", max_replicas=max_replicas)
    return Limits("cell", (backend,), interval_s=tick_s)


class Guarded:
    """Lets through what the default limits allow of what ``policy`` wants."""

    def __init__(self, policy: Policy) -> None:
        self.name = policy.name
        self._policy = policy

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        """Forget everything; ``ValueError`` when there is more than one backend."""
        if profiles.shape[1] != 1:
            raise ValueError(f"one backend can be guarded here, not {profiles.shape[1]}")
        self._policy.reset(profiles, miss_price, tick_s)
        self._limits = limits = default_limits(tick_s, int(profiles.max_replicas.max()))
        self._profiles = profiles

        def ring(window_s: float) -> Highest:
            """Everything from ``window_s`` ago to now, both included."""
            return Highest(np.full(len(miss_price), round(window_s / tick_s) + 1), 1)

        self._proposed, self._loads = ring(limits.hold_s), ring(limits.drop_s)
        self._levels, self._depths = ring(limits.rate_window_s), ring(limits.rate_window_s)
        self._moves = np.zeros((round(limits.flap_window_s / tick_s), *profiles.shape))
        self._hold_ticks = round(limits.hold_s / tick_s)
        self._tick = 0
        self._dark = np.zeros(profiles.shape)  # the last tick without a trusted reading
        self._present = np.zeros(profiles.shape)
        self._last = np.full((2, *profiles.shape), np.nan)
        self._equal = np.zeros((2, *profiles.shape))

    def act(self, sensed: Sensed) -> Wanted:
        """Decide for one tick."""
        wanted = self._policy.act(sensed)
        frozen = self._frozen(sensed)
        self._dark = np.where(frozen, self._tick, self._dark)
        floor = self._floor(wanted.replicas, sensed)
        ceiling = self._ceiling(sensed.wanted)
        limits = self._profiles
        replicas = wanted.replicas.clip(limits.min_replicas, limits.max_replicas)
        replicas = np.where(frozen, sensed.wanted, replicas.clip(floor, ceiling))
        self._tick += 1
        return wanted._replace(replicas=replicas)

    def _frozen(self, sensed: Sensed) -> Bools:
        """Whether a rate has stood still for long while the requests in flight moved."""
        seen = np.stack([sensed.rate_rps, sensed.in_flight.round(GAUGE_DECIMALS)])
        self._equal = np.where(seen == self._last, self._equal + 1.0, 1.0)
        self._last = seen
        rate, in_flight = self._equal
        return np.asarray((rate >= FROZEN_READINGS) & (in_flight < FROZEN_READINGS))

    def _floor(self, want: Floats, sensed: Sensed) -> Floats:
        """How far down it may go: NO_HISTORY, DROP, HOLD, RATE_DOWN and FLAP, ``[B, 1]``."""
        limits, present = self._limits, sensed.wanted
        peak = self._proposed.add(want)
        load = _two_digits(sensed.rate_rps.sum(1, keepdims=True))
        dropped = load < limits.drop_share * self._loads.add(load)
        unknown = self._tick - self._dark <= self._hold_ticks
        highest = self._levels.add(present)
        step = np.maximum(highest * limits.down_percent // 100, limits.down_replicas)
        spare = (self._spare(present) // 2).clip(0.0)
        lowest = np.maximum(np.maximum(peak, highest - step), present - spare)
        return np.where(dropped | unknown, present, np.minimum(present, lowest))

    def _spare(self, present: Floats) -> Floats:
        """Moves left in the flap window's budget when all of the way back up is kept free."""
        moved = np.abs(present - self._present) if self._tick else 0.0
        self._moves[self._tick % len(self._moves)] = moved
        self._present = present
        top = np.maximum(present, self._profiles.max_replicas)
        budget = np.floor(self._limits.flap_budget * top)
        return np.asarray(budget - self._moves.sum(0) - (top - present))

    def _ceiling(self, present: Floats) -> Floats:
        """How far up it may go: RATE_UP, ``[B, 1]``."""
        limits = self._limits
        lowest = -self._depths.add(-present)
        step = np.maximum(lowest * limits.up_percent // 100, limits.up_replicas)
        return np.maximum(present, lowest + step)


def _two_digits(load_rps: Floats) -> Floats:
    """As the guard remembers loads."""
    scale = 10.0 ** (1.0 - np.floor(np.log10(np.maximum(load_rps, 1e-9))))
    return np.asarray(np.rint(load_rps * scale) / scale)
