"""Turns what is sensed into observations, and actions into what is wanted.

One codec serves training and the daemon: the simulator emits ``Sensed`` arrays, ``pack``
makes the same arrays of real ``State``, and everything after that is this one path.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.action import GLIDE, NEUTRAL, Rule, Setting, decode, one_hot, waiting
from trimtab_envs.memory import Memory
from trimtab_envs.merit import Merit
from trimtab_envs.minutes import Bools, Floats
from trimtab_envs.observation import FEATURES, Scene, encode
from trimtab_envs.scarcity import Scarcity
from trimtab_guard.model import BackendState, Reading, State
from trimtab_guard.senses import LARGEST, WHOLE_SHARE
from trimtab_sim.profile import Profiles
from trimtab_sim.rows import by_row, each, of_column, of_row, row_most, total, where
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
        # For what a tick computes on the way, ``[B, K]`` each.
        self._between = tuple(np.empty((3, *profiles.shape)))
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
        rate_rps, known_rps, measured_s = self._between
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
        load_rps = np.empty(len(present))
        _most(load_rps, present)
        weight = self.merit.routed(
            self.setting.tilt, sensed.ready, replicas, load_rps[:, None], sensed.weight
        )
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
def _most(highest: Floats, present: Floats) -> None:
    for row in each(highest):
        highest[row] = row_most(present, row)


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
    of_state = _columns(State._fields, states)
    of_backend = _columns(BackendState._fields, chain.from_iterable(of_state["backends"]))
    counts = np.array([len(backends) for backends in of_state["backends"]])
    present = np.arange(width) < counts[:, None]
    time_s = np.array(of_state["time_s"])
    backend_time_s = np.repeat(time_s, counts)

    def spread(values: Sequence[float] | Floats, elsewhere: float = 0.0) -> Floats:
        array = np.full(present.shape, elsewhere)
        array[present] = values
        return array

    def readings(name: str, most: float = LARGEST) -> Floats:
        return spread(_believed(_numbers(of_backend[name]), backend_time_s, most))

    measured_s = spread(_numbers(of_backend["rate_rps"])[:, 1], math.inf)
    return Sensed(
        time_s=time_s,
        age_s=time_s - measured_s.min(1),
        miss_share=_believed(_numbers(of_state["miss_share"]), time_s, WHOLE_SHARE),
        rate_rps=readings("rate_rps"),
        in_flight=readings("in_flight"),
        error_share=readings("error_share", WHOLE_SHARE),
        wanted=spread(of_backend["wanted"]),
        starting=spread(of_backend["starting"]),
        ready=spread(of_backend["ready"]),
        draining=spread(of_backend["draining"]),
        weight=spread(of_backend["weight"]),
    )


def _columns(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """The fields of named tuples, each of all of them."""
    return dict.fromkeys(names, ()) | dict(zip(names, zip(*rows, strict=True), strict=False))


def _numbers(readings: Sequence[Reading]) -> Floats:
    """Values and times, ``[N, 2]``."""
    return np.fromiter(chain.from_iterable(readings), np.float64).reshape(-1, 2)


def _believed(readings: Floats, now_s: Floats, most: float) -> Floats:
    """The values of readings ``[N, 2]``, or NaN; comparing with NaN is false."""
    values, time_s = readings.T
    believed = (np.abs(now_s - time_s) <= LONGEST_AGE_S) & (values >= 0.0) & (values <= most)
    return np.where(believed, values, math.nan)
