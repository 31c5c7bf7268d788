"""A request-level model of one backend on SimPy: the reference that the simulator must meet.

It shares no code with ``trimtab_sim``. Every request picks the less loaded of two replicas
drawn with replacement, as Envoy's least-request balancer does, waits there first come first
served for one of the replica's slots, and is late when its latency exceeds the SLO.

``python tests/sim/event_model.py steady|changes > tests/sim/NAME.csv`` makes the committed
tables again; hours of simulated traffic take minutes.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SERVICE_S = 0.050
SLO_S = 0.300
TIMEOUT_S = 10.0
# Random numbers are drawn in blocks: one by one they cost more than the events.
_BLOCK = 1 << 14


class Phase(NamedTuple):
    """So many seconds of so many requests per second, begun by adding (or draining) replicas."""

    seconds: float
    rate_rps: float
    added: int = 0


@dataclass(frozen=True, slots=True)
class Backend:
    """What replicas are like."""

    slots: int = 4
    scv: float = 1.0


@dataclass(slots=True)
class Replica:
    """Free slots and a queue of arrival times; ``active`` is what the balancer sees."""

    free: int
    queue: deque[float]
    active: int = 0


class Draws:
    """Blocks of random numbers."""

    def __init__(self, rng: np.random.Generator, scv: float) -> None:
        self._rng, self._scv = rng, scv
        self.gap, self.service, self.pick = (self._blocks(kind) for kind in range(3))

    def _blocks(self, kind: int) -> Generator[float, None, None]:
        while True:
            if kind == 0:
                block = self._rng.standard_exponential(_BLOCK)
            elif kind == 1:
                block = self._rng.standard_gamma(1.0 / self._scv, _BLOCK) * self._scv * SERVICE_S
            else:
                block = self._rng.random(_BLOCK)
            yield from block.tolist()


class World:
    """One run; per bucket of ``bucket_s`` it counts arrivals, late ones, waits, and who is in."""

    def __init__(
        self,
        backend: Backend,
        replicas: int,
        seconds: float,
        bucket_s: float,
        rng: np.random.Generator,
    ) -> None:
        self.env = simpy.Environment()
        self._backend = backend
        self._draws = Draws(rng, backend.scv)
        self._replicas: list[Replica] = []
        self._add(replicas)
        self._bucket_s = bucket_s
        self._inside = 0
        buckets = round(seconds / bucket_s)
        self.arrived, self.late, self.wait_s = np.zeros((3, buckets + 1))
        self.in_system = np.zeros(buckets)
        self.env.process(self._watch(buckets))

    def _add(self, count: int) -> None:
        for _ in range(count):
            self._replicas.append(Replica(self._backend.slots, deque()))

    def _drain(self, count: int) -> None:
        """The least loaded leave the balancer and finish what they hold."""
        self._replicas.sort(key=lambda replica: -replica.active)
        del self._replicas[len(self._replicas) - count :]

    def traffic(self, phases: Iterable[Phase]) -> Generator[simpy.Event, None, None]:
        """Poisson arrivals, phase after phase."""
        env, draws = self.env, self._draws
        for phase in phases:
            self._add(max(phase.added, 0))
            self._drain(max(-phase.added, 0))
            end_s = env.now + phase.seconds
            while True:
                gap_s = next(draws.gap) / phase.rate_rps
                if env.now + gap_s > end_s:
                    break
                yield env.timeout(gap_s)
                self._receive()
            yield env.timeout(max(end_s - env.now, 0.0))

    def _receive(self) -> None:
        """Send one request to the less loaded of two."""
        replicas, pick = self._replicas, self._draws.pick
        first = replicas[int(next(pick) * len(replicas))]
        second = replicas[int(next(pick) * len(replicas))]
        chosen = second if second.active < first.active else first
        chosen.active += 1
        self._inside += 1
        if chosen.free:
            chosen.free -= 1
            self._serve(chosen, self.env.now)
        else:
            chosen.queue.append(self.env.now)

    def _serve(self, replica: Replica, arrived_s: float) -> None:
        now = self.env.now
        service_s = next(self._draws.service)
        self._count(arrived_s, now - arrived_s, now + service_s - arrived_s > SLO_S)
        self.env.timeout(service_s).callbacks.append(lambda _: self._finish(replica))

    def _finish(self, replica: Replica) -> None:
        """Free the slot for the next in the queue who has not timed out."""
        replica.active -= 1
        self._inside -= 1
        while replica.queue:
            arrived_s = replica.queue.popleft()
            if self.env.now - arrived_s <= TIMEOUT_S:
                self._serve(replica, arrived_s)
                return
            self._count(arrived_s, TIMEOUT_S, late=True)
            replica.active -= 1
            self._inside -= 1
        replica.free += 1

    def _count(self, arrived_s: float, wait_s: float, late: bool) -> None:
        bucket = min(int(arrived_s / self._bucket_s), len(self.arrived) - 1)
        self.arrived[bucket] += 1
        self.late[bucket] += late
        self.wait_s[bucket] += wait_s

    def _watch(self, buckets: int) -> Generator[simpy.Event, None, None]:
        for bucket in range(buckets):
            yield self.env.timeout(self._bucket_s)
            self.in_system[bucket] = self._inside


def run(
    backend: Backend,
    replicas: int,
    phases: Sequence[Phase],
    bucket_s: float,
    rng: np.random.Generator,
) -> World:
    """Simulate the phases, then let what is left in the queues finish."""
    world = World(backend, replicas, sum(phase.seconds for phase in phases), bucket_s, rng)
    world.env.process(world.traffic(phases))
    world.env.run()
    return world


class Change(NamedTuple):
    """A backend of so many replicas that lives through phases."""

    backend: Backend
    replicas: int
    phases: tuple[Phase, ...]


# Loads in requests per second; a replica of 4 slots carries 80 of them.
CHANGES = {
    "crowd, doubled": Change(Backend(), 10, (Phase(20, 480), Phase(15, 1040), Phase(25, 1040, 10))),
    "short burst": Change(Backend(), 10, (Phase(20, 480), Phase(5, 1200), Phase(35, 480))),
    "time-outs": Change(Backend(), 5, (Phase(20, 300), Phase(20, 800), Phase(20, 300))),
    "small, doubled": Change(Backend(), 2, (Phase(20, 100), Phase(15, 240), Phase(25, 240, 2))),
    "two more of ten": Change(Backend(), 10, (Phase(20, 600), Phase(15, 880), Phase(25, 880, 2))),
    "scaled down": Change(Backend(), 20, (Phase(20, 600), Phase(20, 600, -11), Phase(20, 600, 2))),
    "scv 4": Change(Backend(scv=4.0), 10, (Phase(20, 480), Phase(15, 1040), Phase(25, 1040, 10))),
    "one slot": Change(Backend(1), 16, (Phase(20, 160), Phase(15, 420), Phase(25, 420, 16))),
    "sixteen slots": Change(
        Backend(16, 0.25), 4, (Phase(20, 640), Phase(15, 1600), Phase(25, 1600, 4))
    ),
}
CHANGE_RUNS, BUCKET_S = 40, 5.0

UTILISATIONS = {0.3: 300_000, 0.6: 400_000, 0.8: 600_000, 0.9: 1_000_000, 0.95: 2_000_000}
SHAPES = [(c, 1.0) for c in (1, 4, 16)] + [(4, 0.25), (4, 4.0)]
BATCHES = 25


def half_width(samples: Floats) -> float:
    """Half of the 95 % confidence interval of the mean."""
    return float(1.96 * samples.std(ddof=1) / len(samples) ** 0.5)


def steady_rows() -> Iterable[str]:
    """Mean wait in service times and share late, each with its half-width, by batch means."""
    yield "slots,scv,replicas,utilisation,wait,wait_half_width,late,late_half_width"
    for (slots, scv), replicas in product(SHAPES, (1, 4, 16)):
        for utilisation, requests in UTILISATIONS.items():
            rate_rps = utilisation * replicas * slots / SERVICE_S
            phase = Phase(requests / rate_rps, rate_rps)
            world = run(
                Backend(slots, scv),
                replicas,
                [phase],
                phase.seconds / BATCHES,
                np.random.default_rng(slots * replicas),
            )
            arrived = world.arrived[1:-1]
            wait, late = world.wait_s[1:-1] / SERVICE_S / arrived, world.late[1:-1] / arrived
            yield (
                f"{slots},{scv:g},{replicas},{utilisation:g},{wait.mean():.5f},"
                f"{half_width(wait):.5f},{late.mean():.5f},{half_width(late):.5f}"
            )


def change_rows() -> Iterable[str]:
    """Per case and bucket: arrivals, share late, number in the system at the bucket's end."""
    yield "case,bucket,arrived,late,late_half_width,in_system"
    for name, (backend, replicas, phases) in CHANGES.items():
        worlds = [
            run(backend, replicas, phases, BUCKET_S, np.random.default_rng(seed))
            for seed in range(CHANGE_RUNS)
        ]
        arrived = np.array([world.arrived[:-1] for world in worlds])
        late = np.array([world.late[:-1] for world in worlds]) / arrived
        inside = np.mean([world.in_system for world in worlds], axis=0)
        for bucket in range(arrived.shape[1]):
            yield (
                f'"{name}",{bucket},{arrived[:, bucket].mean():.1f},{late[:, bucket].mean():.5f},'
                f"{half_width(late[:, bucket]):.5f},{inside[bucket]:.1f}"
            )


if __name__ == "__main__":
    rows = {"steady": steady_rows, "changes": change_rows}[sys.argv[1]]
    for row in rows():
        print(row, flush=True)  # noqa: T201 - the table is this command's output
