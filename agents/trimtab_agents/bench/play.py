"""Plays policies on cells: many cells in one simulator, the same arrivals for every policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np

from trimtab_agents.bench.cells import TICK_S, Cell
from trimtab_agents.bound import lower_bound
from trimtab_agents.policy import Policy
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator, Tick
from trimtab_sim.traces import Trace

# Before the first counted tick: the first minute's load on the replicas an operator would leave.
OPENING_S = 60.0
OPENING_UTILISATION = 0.7
# Arrays of more rows than this fall out of the processor's cache.
MAX_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """C cells of equal length and seed, and the rate offered in every tick, ``[T, C]``."""

    cells: tuple[Cell, ...]
    profiles: Profiles
    rate_rps: Floats

    @property
    def miss_price(self) -> Floats:
        """Lambda of every cell, ``[C]``."""
        return np.array([cell.miss_price for cell in self.cells])

    @property
    def opening_rps(self) -> Floats:
        """The load before the first counted tick, ``[C]``."""
        return np.asarray(self.rate_rps[: round(OPENING_S / TICK_S)].mean(0))

    @property
    def opening(self) -> Floats:
        """Replicas before the first counted tick, ``[C, 1]``, alike for every policy."""
        carried_rps = OPENING_UTILISATION * self.profiles.replica_rps
        replicas = np.ceil(self.opening_rps[:, None] / carried_rps)
        return np.clip(replicas, self.profiles.min_replicas, self.profiles.max_replicas)

    def tiled(self, times: int) -> Batch:
        """The same cells ``times`` times over."""
        profiles = Profiles.stack([cell.profile for cell in self.cells] * times)
        return Batch(self.cells * times, profiles, np.tile(self.rate_rps, (1, times)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one policy did on C cells: the score's terms ``[C]``, and what happened ``[T, C]``.

    ``replicas`` are the ready ones at the end of each tick.
    """

    cells: tuple[Cell, ...]
    fleet: Floats
    miss: Floats
    events_per_hour: Floats
    requests: Floats
    misses: Floats
    replicas: Floats

    def score(self, miss_price: Floats | None = None) -> Floats:
        """J of every cell, ``[C]``, at its own lambda or at another."""
        own = np.array([cell.miss_price for cell in self.cells])
        return self.fleet + (own if miss_price is None else miss_price) * self.miss


def batches(cells: Iterable[Cell], traces: Mapping[str, Trace]) -> Iterator[Batch]:
    """Cells grouped by length and seed, at most ``MAX_ROWS`` together."""

    def key(cell: Cell) -> tuple[int, int]:
        return cell.seed, cell.ticks(traces[cell.trace])

    for _, group in groupby(sorted(cells, key=key), key):
        members = tuple(group)
        for first in range(0, len(members), MAX_ROWS):
            rows = members[first : first + MAX_ROWS]
            loads = [cell.load(traces[cell.trace]) for cell in rows]
            yield Batch(rows, Profiles.stack([c.profile for c in rows]), np.stack(loads, axis=1))


class World(Protocol):
    """What a policy can be played in: the simulator, or the event model."""

    def reset(self, replicas: Floats, weight: Floats) -> Sensed:
        """Begin with ``replicas`` ready ``[C, 1]``."""

    def step(self, rate_rps: Floats, wanted: Floats, weight: Floats) -> Tick:
        """Let one tick pass."""


MakeWorld = Callable[[Profiles, float, np.random.Generator], World]


def play(batch: Batch, policy: Policy, make_world: MakeWorld = Simulator) -> Outcome:
    """Run a policy over a batch."""
    simulator = make_world(batch.profiles, TICK_S, np.random.default_rng(batch.cells[0].seed))
    opening, whole = batch.opening, np.ones(batch.opening.shape)
    sensed = simulator.reset(opening, whole)
    for _ in range(round(OPENING_S / TICK_S)):
        sensed = simulator.step(batch.opening_rps, opening, whole).sensed

    policy.reset(batch.profiles, batch.miss_price, TICK_S)
    requests, misses, replicas = np.zeros((3, *batch.rate_rps.shape), dtype=np.float32)
    billed_s, events = np.zeros_like(opening), np.zeros_like(opening)
    for tick, rate_rps in enumerate(batch.rate_rps):
        wanted = policy.act(sensed)
        seen = simulator.step(rate_rps, wanted.replicas, wanted.weight)
        events += seen.sensed.wanted != sensed.wanted
        billed_s += seen.billed_s
        sensed = seen.sensed
        requests[tick], misses[tick] = seen.requests, seen.misses
        replicas[tick] = sensed.ready[:, 0]
    return _outcome(batch, requests, misses, replicas, billed_s[:, 0], events[:, 0])


def play_bound(batch: Batch, requests: Floats) -> Outcome:
    """The clairvoyant's outcome for the arrivals that a policy met."""
    arrived = requests.astype(np.float64)
    opening = batch.opening
    bound = lower_bound(arrived, batch.profiles, batch.miss_price, opening[:, 0], TICK_S)
    events = (np.diff(bound.replicas, axis=0, prepend=opening.T) != 0.0).sum(0)
    return _outcome(batch, requests, bound.misses, bound.replicas, bound.billed_s, events)


def _outcome(
    batch: Batch,
    requests: Floats,
    misses: Floats,
    replicas: Floats,
    billed_s: Floats,
    events: Floats,
) -> Outcome:
    total = requests.sum(0, dtype=np.float64)
    hours = len(requests) * TICK_S / 3600.0
    return Outcome(
        cells=batch.cells,
        fleet=billed_s * batch.profiles.replica_rps[:, 0] / total,
        miss=misses.sum(0, dtype=np.float64) / total,
        events_per_hour=events / hours,
        requests=requests,
        misses=misses,
        replicas=replicas,
    )
