"""Tries policies on a stretch of one service's load: who is better, and is it chance?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_agents.bench.cells import TICK_S
from trimtab_agents.policy import Policy
from trimtab_agents.training.history import History, Service
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.simulator import Simulator

# The standard error comes from the means of so many equal parts (the method of batch means):
# neighbouring ticks tell the same story.
BATCHES = 12
OPENING_UTILISATION = 0.7
# What a policy has lived through when it is judged; a memory of a day knows the time of day.
LIVED_S = 24 * 3600.0
# A gain must be so many standard errors above nothing.
CLEAR = 2.0


@dataclass(frozen=True, slots=True)
class Score:
    """Fleet and miss share of each batch and row, ``[BATCHES, rows]``."""

    fleet: Floats
    miss: Floats
    miss_price: float

    @property
    def j(self) -> Floats:
        """The score J."""
        return self.fleet + self.miss_price * self.miss

    @property
    def summary(self) -> dict[str, float]:
        """The means over batches and rows."""
        parts = {"J": self.j, "fleet": self.fleet, "miss": self.miss}
        return {name: round(float(part.mean()), 5) for name, part in parts.items()}

    def gain_over(self, other: Score) -> tuple[float, float]:
        """How much lower J is on the same load and seeds, and the standard error of that."""
        return mean_and_error(other.j - self.j)

    def clearly_beats(self, other: Score) -> bool:
        """Whether J is lower by more than chance."""
        gain, error = self.gain_over(other)
        return gain > CLEAR * error


def mean_and_error(values: Floats) -> tuple[float, float]:
    """The mean of ``[BATCHES, rows]``, and its standard error."""
    means = values.mean(1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Loads of a service, ``rate_rps`` ``[T, W]``; the first ``lived`` ticks do not count."""

    service: Service
    rate_rps: Floats
    lived: int

    def play(self, policy: Policy, copies: int) -> Score:
        """Every load ``copies`` times; the row of copy c of load w is ``c x W + w``."""
        rates = np.tile(self.rate_rps, copies)
        profiles = Profiles.stack([self.service.profile] * rates.shape[1])
        simulator = Simulator(profiles, TICK_S, np.random.default_rng(0))
        sensed = simulator.reset(*_opening(profiles, rates[0]))
        policy.reset(profiles, np.full(rates.shape[1], self.service.miss_price), TICK_S)
        cost, misses = np.zeros((2, BATCHES, rates.shape[1]))
        counted = len(rates) - self.lived
        for tick, rate_rps in enumerate(rates):
            wanted = policy.act(sensed)
            seen = simulator.step(rate_rps, wanted.replicas, wanted.weight)
            sensed = seen.sensed
            if tick >= self.lived:
                batch = (tick - self.lived) * BATCHES // counted
                cost[batch] += (seen.billed_s * profiles.price).sum(1)
                misses[batch] += seen.misses
        # Without any request the least that could have done the work is nothing.
        requests = np.maximum(rates[self.lived :].sum(0) * TICK_S, 1.0) / BATCHES
        least = np.min(profiles.price / profiles.replica_rps, axis=1)
        return Score(cost / (requests * least), misses / requests, self.service.miss_price)


def _opening(profiles: Profiles, rate_rps: Floats) -> tuple[Floats, Floats]:
    """Replicas and weights for the first load, shared equally."""
    weight = profiles.present / profiles.present.sum(1, keepdims=True)
    load = rate_rps[:, None] * weight / (OPENING_UTILISATION * profiles.replica_rps)
    return np.clip(np.ceil(load), profiles.min_replicas, profiles.max_replicas), weight


def held_back(service: Service, history: History) -> Stretch:
    """The end of the history, after what lies before it was lived through."""
    lived = min(round(LIVED_S / TICK_S), len(history.past_rps))
    rates = np.concatenate([history.past_rps[-lived:], history.held_back_rps])
    return Stretch(service, rates[:, None], lived)
