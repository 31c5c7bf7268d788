"""Joins a policy, which knows arrays, to the daemon, which knows services by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from trimtab_agents.envelope import Stray
from trimtab_agents.outlook import sentence
from trimtab_agents.policy import Policy
from trimtab_envs.codec import pack
from trimtab_guard.model import Proposal, State, Want
from trimtab_sim.profile import Profile, Profiles
from trimtab_sim.signals import Sensed, Wanted


class Learned(Policy, Protocol):
    """A policy that knows what it was trained on; ``strays`` is about the last decision."""

    strays: list[Stray | None]


class Proposer:
    """Proposes for a fixed list of services, in the order of ``profiles``.

    ``time_scale`` is the speed of a replay (1 in life): seconds are multiplied by it, so that
    a policy sees a day as a day when a trace runs faster than life.
    """

    def __init__(
        self,
        policy: Learned,
        profiles: Sequence[Profile],
        miss_prices: Sequence[float],
        tick_s: float,
        time_scale: float = 1.0,
    ) -> None:
        self.name = policy.name
        self._policy = policy
        self._time_scale = time_scale
        self._profiles = Profiles.stack(profiles)
        startup_s = np.where(self._profiles.present, self._profiles.startup_mean_s, 0.0)
        self._reach_s = startup_s.max(1) + tick_s
        scaled = replace(
            self._profiles,
            startup_mean_s=self._profiles.startup_mean_s * time_scale,
            metric_lag_s=self._profiles.metric_lag_s * time_scale,
        )
        policy.reset(scaled, np.asarray(miss_prices, dtype=np.float64), tick_s * time_scale)

    def propose(self, states: Sequence[State]) -> list[Proposal]:
        """One proposal per state; call once per tick with every service, in order."""
        sensed = pack(states, self._profiles.shape[1])
        scaled = sensed._replace(
            time_s=sensed.time_s * self._time_scale,
            age_s=sensed.age_s * self._time_scale,
        )
        wanted = self._policy.act(scaled)
        numbers = self._numbers(sensed, wanted)
        _, demand_rps, due_s, *_ = numbers
        replicas, weight = wanted.replicas.tolist(), wanted.weight.tolist()
        whys, strays = map(sentence, *numbers), self._policy.strays
        rows = zip(states, replicas, weight, whys, strays, demand_rps, due_s, strict=True)
        return [self._proposal(*row) for row in rows]

    def _proposal(
        self,
        state: State,
        replicas: list[float],
        weight: list[float],
        why: str,
        stray: Stray | None,
        demand_rps: float,
        due_s: float,
    ) -> Proposal:
        names = [backend.name for backend in state.backends]
        wants = tuple(map(Want, names, map(int, replicas), weight))  # without the padding
        return Proposal(
            state.service,
            self.name,
            state.time_s,
            wants,
            why + _told(stray, state) if stray else why,
            stray is None,
            demand_rps,
            due_s,
        )

    def _numbers(self, sensed: Sensed, wanted: Wanted) -> list[list[float]]:
        """What `sentence` tells, of each service, summed for all at once: they may be many."""
        replica_rps = self._profiles.replica_rps
        ready, replicas = sensed.ready, wanted.replicas
        counts = (ready, ready * replica_rps, sensed.wanted, replicas, replicas * replica_rps)
        columns = (
            sensed.rate_rps.sum(1),
            wanted.demand_rps.sum(1),
            sensed.time_s + self._reach_s,
            *(count.sum(1).round().astype(np.int64) for count in counts),
        )
        return [column.tolist() for column in columns]


def _told(stray: Stray, state: State) -> str:
    backend = state.backends[stray.backend].name
    return (
        f"; outside of its training: {stray.feature} of {backend} is {stray.value:.3g}, "
        f"was {stray.low:.3g} to {stray.high:.3g}"
    )
