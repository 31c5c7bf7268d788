"""B services stepped together: loads, simulator, codec and score.

The Gymnasium environment and the batch that PPO trains on both stand on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.codec import Codec
from trimtab_envs.episodes import Episodes, EpisodeSource
from trimtab_envs.minutes import Bools, Floats
from trimtab_sim.compiled import compile_rows, compiled
from trimtab_sim.profile import Profiles, merged
from trimtab_sim.signals import Sensed, Wanted
from trimtab_sim.simulator import Simulator, Tick

# The codec's loops; see ``trimtab_sim.rows``.
compile_rows()


_NEVER = -1


@dataclass(frozen=True, slots=True)
class Step:
    """What one decision led to, per service ``[B]``; ``fleet + lambda x miss`` is its score.

    ``fleet`` and ``miss`` are relative to the episode's mean load, so that their mean over an
    episode is the episode's own score. ``done`` marks episodes that reached their end.
    """

    fleet: Floats
    miss: Floats
    score: Floats
    done: Bools


class World:
    """``services`` services of ``backends`` backends, sensed every ``tick_s``, one episode each."""

    def __init__(
        self,
        source: EpisodeSource,
        services: int,
        backends: int,
        tick_s: float,
        rng: np.random.Generator,
    ) -> None:
        self.source = source
        self.services, self.backends, self.tick_s = services, backends, tick_s
        self.episodes = source.draw(services, backends)
        self._elapsed = np.zeros(services, dtype=np.int64)
        self.codec = Codec(self.episodes.profiles, self.episodes.miss_price, tick_s)
        self.ticks: Sequence[Tick] = ()
        self._build(rng)
        self._start(np.ones(services, dtype=np.bool_))

    def _build(self, rng: np.random.Generator) -> None:
        self.simulator = Simulator(self.episodes.profiles, self.tick_s, rng)

    @property
    def environments(self) -> int:
        """Separate environments: as many as services, or as clusters."""
        return self.services

    @property
    def profiles(self) -> Profiles:
        """The profiles of the episodes now under way."""
        return self.episodes.profiles

    def reset(self, ended: Bools) -> None:
        """Begin new episodes for the masked environments."""
        if ended.any():
            fresh = self.source.draw(self.services, self.backends, ended)
            self.episodes = renewed(self.episodes, ended, fresh)
            self._start(ended)

    def _start(self, services: Bools) -> None:
        episodes, profiles = self.episodes, self.episodes.profiles
        self._elapsed[services] = 0
        turns = np.stack([episodes.slow_from, episodes.slow_to])
        self._turns = np.where(episodes.slower.max(1) > 1.0, turns, _NEVER)
        self._least_price = profiles.least_price
        self.codec.reset(services, profiles, episodes.miss_price)
        # Enough for the first minute, as an operator would leave it: capacity by cheapness.
        share = profiles.present / profiles.price
        share = share / share.sum(1, keepdims=True)
        load = 1.3 * self.rate_rps()[:, None] * share / profiles.replica_rps
        replicas = np.clip(np.ceil(load), profiles.min_replicas, profiles.max_replicas)
        capacity = replicas * profiles.replica_rps
        weight = capacity / capacity.sum(1, keepdims=True)
        self.codec.sense(self._open(services, replicas, weight))

    def _open(self, services: Bools, replicas: Floats, weight: Floats) -> Sensed:
        return self.simulator.reset(replicas, weight, services, self.profiles)

    def rate_rps(self) -> Floats:
        """The rate offered in the coming tick, ``[B]``."""
        e, rate_rps = self.episodes, np.empty(self.services)
        _offer(rate_rps, self.source.pool, e.row, e.start, self._elapsed, e.gain)
        return rate_rps

    def observe(self) -> NDArray[np.float32]:
        """Observations ``[B, K, F]`` float32."""
        return self.codec.observe()

    def step(self, choice: Floats) -> Step:
        """Go towards ``choice`` ``[B, K, CHOICES]`` for one decision and say what it led to."""
        self.codec.choose(choice)
        self.ticks = [self.tick() for _ in range(self.codec.decision_ticks)]
        return self.score(self.ticks)

    def tick(self) -> Tick:
        """Let one tick pass under the present setting."""
        self._brown_out()
        tick = self._live(self.codec.want())
        self.codec.sense(tick.sensed)
        self._elapsed += 1
        return tick

    @property
    def slower(self) -> Floats:
        """How many times longer than in its profile each backend takes now, ``[B, K]``."""
        e = self.episodes
        slow = (e.slow_from <= self._elapsed) & (self._elapsed < e.slow_to)
        return np.where(slow[:, None], e.slower, 1.0)

    def _brown_out(self) -> None:
        """Backends become slow, or well again."""
        if _any_turn(self._turns, self._elapsed):
            turns = (self._turns == self._elapsed).any(0)
            e = self.episodes
            now = replace(e.profiles, service_time_s=e.profiles.service_time_s * self.slower)
            self.simulator.adopt(now, turns)

    def _live(self, want: Wanted) -> Tick:
        return self.simulator.step(self.rate_rps(), want.replicas, want.weight)

    def info(self, step: Step) -> dict[str, Floats]:
        """The terms of the score, one row per environment."""
        return {"fleet": step.fleet, "miss": step.miss, "miss_price": self.episodes.miss_price}

    def score(self, ticks: Sequence[Tick]) -> Step:
        """What a decision's ticks led to."""
        episodes = self.episodes
        fleet, miss = np.zeros((2, self.services))
        for tick in ticks:
            _bill(fleet, miss, tick.billed_s, self.profiles.price, tick.misses)
        requests = episodes.mean_rps * (self.tick_s * len(ticks))
        fleet /= requests * self._least_price
        miss /= requests
        return Step(
            fleet=fleet,
            miss=miss,
            score=fleet + episodes.miss_price * miss,
            done=self._elapsed >= episodes.ticks,
        )


@compiled
def _offer(
    rate_rps: Floats,
    pool: NDArray[np.float32],
    row: NDArray[np.int64],
    start: NDArray[np.int64],
    elapsed: NDArray[np.int64],
    gain: Floats,
) -> None:
    for b in range(len(rate_rps)):
        at = min(start[b] + elapsed[b], pool.shape[1] - 1)
        rate_rps[b] = pool[row[b], at] * gain[b]


@compiled
def _any_turn(turns: NDArray[np.int64], elapsed: NDArray[np.int64]) -> bool:
    """Whether any service's next tick is one of its two ``turns`` ``[2, B]``."""
    turn = False
    for b in range(len(elapsed)):
        turn |= turns[0, b] == elapsed[b] or turns[1, b] == elapsed[b]
    return turn


@compiled
def _bill(fleet: Floats, miss: Floats, billed_s: Floats, price: Floats, misses: Floats) -> None:
    """Add a tick's costs and misses to those of a decision."""
    for b in range(len(fleet)):
        for k in range(price.shape[1]):
            fleet[b] += billed_s[b, k] * price[b, k]
        miss[b] += misses[b]


def renewed(old: Episodes, services: Bools, new: Episodes) -> Episodes:
    """``old`` with the masked services ``[B]`` taken from ``new``."""
    values = merged(old, services, new, fields(Episodes)[1:])
    return Episodes(profiles=old.profiles.replaced(services, new.profiles), **values)
