"""Turns what is sensed into observations, and actions into what is wanted.

One codec serves training and the daemon: the simulator emits ``Sensed`` arrays, ``pack``
makes the same arrays of real ``State``, and everything after that is this one path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.action import GLIDE, NEUTRAL, Rule, Setting, decode, one_hot, waiting
from trimtab_envs.memory import Memory
from trimtab_envs.merit import Merit
from trimtab_envs.minutes import Bools, Floats
from trimtab_envs.observation import FEATURES, Scene, encode
from trimtab_envs.scarcity import Scarcity
from trimtab_guard.model import Reading, State
from trimtab_guard.senses import LARGEST, WHOLE_SHARE
from trimtab_sim.profile import Profiles
from trimtab_sim.rows import by_row, each, of_column, of_row, total, where
from trimtab_sim.signals import Sensed, Wanted

# Time constants of the remembered miss share, seconds.
MISS_SCALES_S = np.array([60.0, 900.0])
DECISION_S = 30.0
# A reading from another year is no reading.
LONGEST_AGE_S = 365 * 86_400.0


class Codec:
    """Memory, observation and action of B services with K backends.

    ``miss_price`` is lambda of the score, ``[B]``. Every tick: ``sense``, then (on a
    decision) ``observe`` and ``choose``, then ``want``.
    """

    feature_count = len(FEATURES)

    def __init__(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        self.tick_s = tick_s
        self.decision_ticks = max(1, round(DECISION_S / tick_s))
        self.profiles = profiles
        self.miss_price = miss_price.copy()
        self.memory = Memory(profiles.startup_mean_s.ravel(), self._row_lag(profiles), tick_s)
        self.merit = Merit(profiles, miss_price, tick_s)
        self.scarcity = Scarcity(profiles, tick_s)
        self.rule = Rule(profiles, tick_s)
        self.choice = np.tile(one_hot(np.array(NEUTRAL)), (*profiles.shape, 1))
        self._misses = np.zeros((len(MISS_SCALES_S), profiles.shape[0]))
        self._miss_gain = -np.expm1(-tick_s / MISS_SCALES_S)
        self._sensed: Sensed | None = None
        self.setting: Setting = self._decoded()

    @staticmethod
    def _row_lag(profiles: Profiles) -> Floats:
        return np.repeat(profiles.metric_lag_s, profiles.shape[1])

    def _decoded(self) -> Setting:
        return decode(self.choice, self.miss_price, self.profiles.startup_mean_s)

    def reset(self, services: Bools, profiles: Profiles, miss_price: Floats) -> None:
        """Forget the masked services ``[B]``; ``profiles`` replaces those of all."""
        self.profiles = profiles
        self.miss_price[services] = miss_price[services]
        rows = np.repeat(services, profiles.shape[1])
        self.memory.reset(rows, profiles.startup_mean_s.ravel(), self._row_lag(profiles))
        self.merit.reset(services, profiles, self.miss_price)
        self.scarcity.reset(services, profiles)
        self.rule.reset(services, profiles)
        self._misses[:, services] = 0.0
        self.choice[services] = one_hot(np.array(NEUTRAL))
        self.setting = self._decoded()

    def sense(self, sensed: Sensed) -> None:
        """Take in one tick. NaN rates and misses are missing readings."""
        rate_rps, known_rps, measured_s = np.empty((3, *self.profiles.shape))
        _read(
            rate_rps, known_rps, measured_s, sensed.rate_rps, self.profiles.present,
            sensed.time_s, sensed.age_s,
        )  # fmt: skip
        self.memory.update(rate_rps.ravel(), measured_s.ravel())
        _remember(self._misses, sensed.miss_share, self._miss_gain)
        self.merit.update(sensed)
        self.scarcity.update(sensed)
        self._sensed = sensed

    def observe(self) -> NDArray[np.float32]:
        """The present observation, ``[B, K, F]`` float32."""
        return encode(
            Scene(
                profiles=self.profiles,
                miss_price=self.miss_price,
                tick_s=self.tick_s,
                sensed=self._seen(),
                memory=self.memory,
                merit=self.merit,
                setting=self.setting,
                held=self.rule.held,
                misses=self._misses,
            )
        )

    def choose(self, choice: Floats) -> None:
        """Glide towards a choice ``[B, K, CHOICES]``; called once per decision."""
        self.choice += GLIDE * (choice - self.choice)
        self.setting = self.scarcity.tempered(self._decoded(), self.miss_price)

    def want(self, share: Floats | None = None) -> Wanted:
        """What the present setting wants this tick.

        Built for ``share`` ``[B, K]`` of the load, or for what each backend merits.
        """
        sensed, profiles = self._seen(), self.profiles
        estimates = self.memory.estimates().reshape(-1, *profiles.shape)
        present = self.memory.present.reshape(profiles.shape)
        ahead = self.memory.jump_ahead.reshape(profiles.shape)
        known = self.memory.age_s.reshape(profiles.shape)[:, :1] > 0.0
        share = self.merit.built(self.setting.lean) if share is None else share
        replicas, demand = self.rule.replicas(
            self.setting,
            share,
            self.merit.soon,
            estimates,
            present,
            ahead,
            sensed.in_flight,
            sensed.wanted,
            sensed.ready,
            known,
        )
        self.scarcity.ask(replicas)
        load_rps = present.max(1, keepdims=True)
        weight = self.merit.routed(self.setting.tilt, sensed.ready, load_rps, sensed.weight)
        return Wanted(replicas=replicas, weight=weight, demand_rps=demand)

    @property
    def backlog(self) -> Floats:
        """Requests that wait, ``[B, K]``."""
        sensed = self._seen()
        return np.asarray(waiting(sensed.in_flight, sensed.ready, self.profiles.concurrency))

    @property
    def wanted(self) -> Floats:
        """Replicas wanted at present, ``[B, K]``."""
        return self._seen().wanted

    def _seen(self) -> Sensed:
        if self._sensed is None:
            raise RuntimeError("Codec.sense() must be called before observe() and want()")
        return self._sensed


@by_row
def _read(
    rate_rps: Floats,
    known_rps: Floats,
    measured_s: Floats,
    seen_rps: Floats,
    present: Bools,
    time_s: Floats,
    age_s: Floats,
) -> None:
    """Each service's rate, and when it was measured, for each of its backends."""
    for at in each(known_rps):
        known_rps[at] = where(present[at], seen_rps[at], 0.0)
    for at in each(known_rps):
        rate_rps[at] = total(known_rps, at)
        measured_s[at] = of_row(time_s, at) - of_row(age_s, at)


@by_row
def _remember(misses: Floats, miss_share: Floats, gain: Floats) -> None:
    for at in each(misses):
        share = of_column(miss_share, at)
        known = where(np.isfinite(share), share, misses[at])
        misses[at] += of_row(gain, at) * (known - misses[at])


def pack(states: Sequence[State], width: int) -> Sensed:
    """Make arrays of real states, ``[len(states), width]`` where per backend.

    A service's readings are as old as its oldest rate. What no service can have measured is
    missing, NaN: a memory that it got into would never lose it again.
    """
    backends = [backend for state in states for backend in state.backends]
    counts = np.array([len(state.backends) for state in states])
    present = np.arange(width) < counts[:, None]
    time_s = np.array([state.time_s for state in states])
    backend_time_s = np.repeat(time_s, counts)

    def spread(values: Sequence[float] | Floats, elsewhere: float = 0.0) -> Floats:
        array = np.full(present.shape, elsewhere)
        array[present] = values
        return array

    def readings(of: Sequence[Reading], most: float = LARGEST) -> Floats:
        return spread(_believed(of, backend_time_s, most))

    measured_s = spread([backend.rate_rps.time_s for backend in backends], math.inf)
    return Sensed(
        time_s=time_s,
        age_s=time_s - measured_s.min(1),
        miss_share=_believed([state.miss_share for state in states], time_s, WHOLE_SHARE),
        rate_rps=readings([backend.rate_rps for backend in backends]),
        in_flight=readings([backend.in_flight for backend in backends]),
        error_share=readings([backend.error_share for backend in backends], WHOLE_SHARE),
        wanted=spread([backend.wanted for backend in backends]),
        starting=spread([backend.starting for backend in backends]),
        ready=spread([backend.ready for backend in backends]),
        draining=spread([backend.draining for backend in backends]),
        weight=spread([backend.weight for backend in backends]),
    )


def _believed(readings: Sequence[Reading], now_s: Floats, most: float) -> Floats:
    """The readings' values, or NaN; comparing with NaN is false."""
    values = np.array([reading.value for reading in readings], dtype=np.float64)
    age_s = np.abs(now_s - [reading.time_s for reading in readings])
    believed = (age_s <= LONGEST_AGE_S) & (values >= 0.0) & (values <= most)
    return np.where(believed, values, math.nan)
