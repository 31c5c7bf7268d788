"""Two versions of a service request by request, of which the truth is known.

Every replica has some slots and one queue, first come first served. Both sides' replicas meet the
same load, which moves; more and more of them are of the new version, as a canary goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, log, log1p, pi, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trimtab_agents.canary import Histogram, Side
from trimtab_sim.profile import Floats

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

REPLICAS = 20
# Requests of a side, at most.
MOST_REQUESTS = 20_000
# Replicas of the new version, one step after the other; at each but the last it is looked twice,
# once what was inside when the weights moved is gone: after so many mean service times.
STEPS, LOOKS_OF_STEP, SETTLED = (1, 4, 10), 2, 5.0
LEAST_LOAD, MIDDLE_LOAD, MOST_LOAD = 0.3, 0.55, 0.8
MOST_LOOKS = 300
ERROR_SHARE = 0.001
WORSE_P95 = 1.2
# So many times as many replicas tell what the p95 is in truth.
TRUTH = 4
# As Envoy counts: whole milliseconds, in bins that are two digits wide.
EDGES_MS = np.array([digits * 10.0**power for power in range(6) for digits in range(10, 100)])
EDGES_MS = np.concatenate([np.arange(10.0), EDGES_MS, [1e7]])


@dataclass(frozen=True, slots=True)
class World:
    """A service: ``slots`` of a replica, ``service_s`` on the mean, ``load`` of each look."""

    slots: int
    service_s: float
    scv: float
    is_gamma: bool
    look_s: float
    load: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator, among: Sequence[int]) -> World:
        """Any of many, ``among`` whose slots; about 150 to 400 answers of each side in a look."""
        slots = int(rng.choice(among))
        service_s = float(np.exp(rng.uniform(log(0.02), log(0.5))))
        load = _load(rng)
        # At half of the replicas, that many in a look.
        look_s = float(rng.uniform(150.0, 400.0)) * service_s / (REPLICAS / 2 * slots * MIDDLE_LOAD)
        world = cls(
            slots, service_s, float(rng.uniform(0.5, 2.0)), bool(rng.integers(2)), look_s, load
        )
        old = REPLICAS - world.new_replicas
        expected = np.cumsum(old * load) * slots * look_s / service_s
        return replace(world, load=load[expected < MOST_REQUESTS])

    @property
    def settling(self) -> int:
        """Looks that are not taken after the weights moved."""
        return ceil(SETTLED * self.service_s / self.look_s)

    @property
    def new_replicas(self) -> Ints:
        """Of the new version, by look."""
        step = np.arange(len(self.load)) // (self.settling + LOOKS_OF_STEP)
        return np.array(STEPS)[np.minimum(step, len(STEPS) - 1)]

    def slower(self, factor: float) -> World:
        """The same with longer service times, at the same arrivals."""
        return replace(self, service_s=self.service_s * factor, load=self.load * factor)

    def requests(self, active: Bools, rng: np.random.Generator) -> Requests:
        """What replicas do in the looks in which they are ``active``, ``[replicas, looks]``."""
        rate = self.load * self.slots / self.service_s * self.look_s
        counts = rng.poisson(rate, active.shape) * active
        look = np.tile(np.arange(len(rate)), len(active)).repeat(counts.ravel())
        replica = np.arange(len(active)).repeat(counts.sum(1))
        arrived = (look + rng.random(len(look))) * self.look_s
        # By replica as they are; by arrival within each.
        arrived = arrived[np.lexsort((arrived, replica))]
        busy_s = self.service_s * self._unit(rng, len(look))
        return Requests(arrived, departures(replica, arrived, busy_s, self.slots))

    def _unit(self, rng: np.random.Generator, count: int) -> Floats:
        """Service times with a mean of 1."""
        if self.is_gamma:
            return rng.standard_gamma(1.0 / self.scv, count) * self.scv
        log_var = log1p(self.scv)
        return rng.lognormal(-0.5 * log_var, sqrt(log_var), count)


@dataclass(frozen=True, slots=True)
class Requests:
    """When they arrived and ended, seconds."""

    arrived: Floats
    ended: Floats

    @property
    def p95_s(self) -> float:
        """Latency that one in twenty exceeds."""
        return float(np.quantile(self.ended - self.arrived, 0.95))

    def sides(self, look_s: float, ready: Ints, rng: np.random.Generator) -> Iterator[Side]:
        """What a proxy counts at the end of each look; ``ready`` replicas by look."""
        ends = look_s * np.arange(1, len(ready) + 1)
        order = np.argsort(self.ended)
        ended, latency_ms = self.ended[order], np.floor(1e3 * (self.ended - self.arrived)[order])
        answered = np.searchsorted(ended, ends)
        inside = np.searchsorted(np.sort(self.arrived), ends) - answered
        start = 0
        for look, end in enumerate(answered):
            bins = np.searchsorted(EDGES_MS, latency_ms[start:end], side="right") - 1
            yield Side(
                _histogram(bins),
                int(end - start),
                int(rng.binomial(end - start, ERROR_SHARE)),
                float(inside[look]),
                int(ready[look]),
                float(ends[look]),
            )
            start = end


def _histogram(bins: Ints) -> Histogram:
    if not len(bins):
        return Histogram((), ())
    low = int(bins.min())
    counts = np.bincount(bins - low)
    edges_s = EDGES_MS[low : low + len(counts) + 1] / 1e3
    return Histogram(tuple(edges_s.tolist()), tuple(counts.tolist()))


def on_grid(histogram: Histogram) -> Floats:
    """Its counts, by the bins of `EDGES_MS`."""
    counts = np.zeros(len(EDGES_MS))
    if histogram.counts:
        start = int(np.searchsorted(EDGES_MS / 1e3, histogram.edges_s[0]))
        counts[start : start + len(histogram.counts)] = histogram.counts
    return counts


def canary(world: World, factor: float, rng: np.random.Generator) -> Iterator[tuple[Side, Side]]:
    """Old and new side at each look at a canary whose service times are longer by ``factor``."""
    new = world.new_replicas
    place = np.arange(REPLICAS)[:, None]
    old_sides = world.requests(place < REPLICAS - new, rng).sides(world.look_s, REPLICAS - new, rng)
    slower = world.slower(factor)
    new_sides = slower.requests(place < new, rng).sides(world.look_s, new, rng)
    unsettled = 0
    for moved, *sides in zip(np.diff(new, prepend=0) > 0, old_sides, new_sides, strict=True):
        unsettled = world.settling if moved else unsettled - 1
        if unsettled <= 0:
            yield sides[0], sides[1]


def worse(world: World, rng: np.random.Generator) -> float:
    """By what service times must grow for the new side's p95 to be a fifth higher than it was."""
    place = np.arange(TRUTH * REPLICAS)[:, None]
    active = place < TRUTH * world.new_replicas
    seed = rng.integers(1 << 32)

    def p95_s(factor: float) -> float:
        return world.slower(factor).requests(active, np.random.default_rng(seed)).p95_s

    goal_s, low, high = WORSE_P95 * p95_s(1.0), 1.0, WORSE_P95
    for _ in range(7):
        middle = (low + high) / 2.0
        low, high = (middle, high) if p95_s(middle) < goal_s else (low, middle)
    return high


def _load(rng: np.random.Generator) -> Floats:
    """Utilisation of each look: waves and noise, between the least and the most."""
    look = np.arange(MOST_LOOKS)
    wave = np.sin(2.0 * pi * (look / rng.uniform(20.0, 200.0) + rng.random()))
    noise = np.repeat(rng.normal(0.0, 0.3, MOST_LOOKS), rng.integers(1, 10))[:MOST_LOOKS]
    moves = rng.uniform(-0.5, 0.5) + rng.random() * wave + noise
    return np.asarray(np.clip(MIDDLE_LOAD + 0.25 * moves, LEAST_LOAD, MOST_LOAD))


@njit(cache=True)  # type: ignore[untyped-decorator]  # Numba ships no types
def departures(replica: Ints, arrived: Floats, busy_s: Floats, slots: int) -> Floats:
    """When requests end that wait for the first free slot: Kiefer and Wolfowitz (1955)."""
    ended = np.empty_like(arrived)
    free_s = np.zeros(slots)
    for at in range(len(arrived)):
        if at and replica[at] != replica[at - 1]:
            free_s[:] = 0.0
        first = np.argmin(free_s)
        free_s[first] = max(free_s[first], arrived[at]) + busy_s[at]
        ended[at] = free_s[first]
    return ended
