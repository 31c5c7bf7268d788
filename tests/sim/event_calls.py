"""A request-level model on SimPy of services that call each other: the reference for ``calls``.

It shares no code with ``trimtab_sim``. A request picks the less loaded of two replicas of its
service, waits there for a slot, is served, sends all its calls at once, and keeps its slot until
the last of them has answered.

``python tests/sim/event_calls.py > tests/sim/calls.csv`` makes the committed table again, in a
minute of one core.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BUCKET_S = 5.0
RUNS = 12
_BLOCK = 1 << 12


class Service(NamedTuple):
    """Replicas with slots, a mean service time of its own, an SLO, and mean calls by callee."""

    replicas: int
    service_s: float
    slo_s: float
    calls: dict[int, float] = {}  # noqa: RUF012 - never changed
    slots: int = 4
    scv: float = 1.0


class Phase(NamedTuple):
    """So many seconds of so many requests per second for the first service.

    It begins by adding replicas (or taking them, the least loaded first) to service ``at``.
    """

    seconds: float
    rate_rps: float
    added: int = 0
    at: int = 0


class Case(NamedTuple):
    """Services, the first of which requests enter, living through phases."""

    services: tuple[Service, ...]
    phases: tuple[Phase, ...]


FRONT, BACK = Service(10, 0.02, 0.3, {1: 1.0}), Service(6, 0.05, 0.2)
FAN = (
    Service(12, 0.02, 0.4, {1: 1.0, 2: 1.0}),
    Service(6, 0.05, 0.2),
    Service(10, 0.08, 0.3, scv=0.5),
)
CHAIN = (
    Service(12, 0.02, 0.6, {1: 1.0}),
    Service(10, 0.03, 0.4, {2: 1.5}),
    Service(8, 0.04, 0.2),
)
CASES = {
    "calm": Case((FRONT, BACK), (Phase(60, 240),)),
    "busy callee": Case((FRONT, BACK), (Phase(60, 400),)),
    "busy caller": Case((FRONT._replace(replicas=6), BACK), (Phase(60, 270),)),
    "fan": Case(FAN, (Phase(60, 350),)),
    "chain": Case(CHAIN, (Phase(60, 350),)),
    "half of them": Case((FRONT._replace(calls={1: 0.5}), BACK), (Phase(60, 500),)),
    "callee overloaded": Case((FRONT, BACK), (Phase(20, 300), Phase(20, 560), Phase(40, 300))),
    "callee shrinks": Case(
        (FRONT, BACK), (Phase(20, 300), Phase(20, 300, -3, 1), Phase(40, 300, 5, 1))
    ),
    "end of chain": Case(CHAIN, (Phase(20, 300), Phase(20, 620), Phase(40, 300))),
    "one slot": Case(
        (FRONT._replace(replicas=24, slots=1), BACK._replace(replicas=16, slots=1)),
        (Phase(20, 200), Phase(20, 400), Phase(40, 200)),
    ),
    "sixteen slots": Case(
        (FRONT._replace(replicas=4, slots=16), BACK._replace(replicas=2, slots=16)),
        (Phase(20, 450), Phase(20, 800), Phase(40, 450)),
    ),
}


@dataclass(slots=True)
class Replica:
    """Free slots and requests that wait for one; ``active`` is what the balancer sees."""

    free: int
    queue: deque[Callable[[], None]] = field(default_factory=deque)
    active: int = 0


class World:
    """One run; per bucket and service it counts arrivals, late ones, and who is in at its end."""

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.env = simpy.Environment()
        self._rng, self._case = rng, case
        self._replicas = [[Replica(s.slots) for _ in range(s.replicas)] for s in case.services]
        self._uniform, self._gap = self._blocks(rng.random), self._blocks(rng.standard_exponential)
        self._times = [
            self._blocks(partial(rng.gamma, 1.0 / s.scv, s.scv * s.service_s))
            for s in case.services
        ]
        buckets = round(sum(phase.seconds for phase in case.phases) / BUCKET_S)
        self.arrived, self.late = np.zeros((2, buckets + 1, len(case.services)))
        self.in_system = np.zeros((buckets, len(case.services)))
        self._inside = np.zeros(len(case.services))
        self.env.process(self._traffic())
        self.env.process(self._watch(buckets))

    @staticmethod
    def _blocks(draw: Callable[..., Floats]) -> Generator[float, None, None]:
        while True:
            yield from draw(size=_BLOCK).tolist()

    def _traffic(self) -> Generator[simpy.Event, None, None]:
        for phase in self._case.phases:
            self._scale(phase)
            end_s = self.env.now + phase.seconds
            while (gap_s := next(self._gap) / phase.rate_rps) <= end_s - self.env.now:
                yield self.env.timeout(gap_s)
                self._receive(0, lambda: None)
            yield self.env.timeout(max(end_s - self.env.now, 0.0))

    def _scale(self, phase: Phase) -> None:
        pool, slots = self._replicas[phase.at], self._case.services[phase.at].slots
        pool.sort(key=lambda replica: -replica.active)
        pool.extend(Replica(slots) for _ in range(phase.added))
        del pool[len(pool) + min(phase.added, 0) :]

    def _receive(self, service: int, answer: Callable[[], None]) -> None:
        pool = self._replicas[service]
        first, second = (pool[int(next(self._uniform) * len(pool))] for _ in range(2))
        chosen = second if second.active < first.active else first
        chosen.active += 1
        self._inside[service] += 1
        begin = partial(self._serve, service, chosen, self.env.now, answer)
        if chosen.free:
            chosen.free -= 1
            begin()
        else:
            chosen.queue.append(begin)

    def _serve(
        self, service: int, replica: Replica, arrived_s: float, answer: Callable[[], None]
    ) -> None:
        end = self.env.timeout(next(self._times[service]))
        end.callbacks.append(lambda _: self._call(service, replica, arrived_s, answer))

    def _call(
        self, service: int, replica: Replica, arrived_s: float, answer: Callable[[], None]
    ) -> None:
        """Send the calls; the last of them to answer ends the request."""
        callees = [
            callee
            for callee, mean in self._case.services[service].calls.items()
            for _ in range(self._count(mean))
        ]
        done = partial(self._finish, service, replica, arrived_s, answer)
        if not callees:
            done()
            return
        left = [len(callees)]

        def answered() -> None:
            left[0] -= 1
            if not left[0]:
                done()

        for callee in callees:
            self._receive(callee, answered)

    def _count(self, mean: float) -> int:
        """The whole part, and one more with the chance of the rest."""
        return int(mean) + (next(self._uniform) < mean % 1.0)

    def _finish(
        self, service: int, replica: Replica, arrived_s: float, answer: Callable[[], None]
    ) -> None:
        bucket = min(int(arrived_s / BUCKET_S), len(self.arrived) - 1)
        self.arrived[bucket, service] += 1
        self.late[bucket, service] += self.env.now - arrived_s > self._case.services[service].slo_s
        self._inside[service] -= 1
        replica.active -= 1
        if replica.queue:
            replica.queue.popleft()()
        else:
            replica.free += 1
        answer()

    def _watch(self, buckets: int) -> Generator[simpy.Event, None, None]:
        for bucket in range(buckets):
            yield self.env.timeout(BUCKET_S)
            self.in_system[bucket] = self._inside


def run(case: Case, seed: int) -> World:
    """Simulate the phases, then let what is left finish."""
    world = World(case, np.random.default_rng(seed))
    world.env.run()
    return world


def rows(cases: Iterable[str] = CASES, runs: Sequence[int] = range(RUNS)) -> Iterable[str]:
    """Per case, bucket and service: arrivals, share late with its half-width, who is in."""
    yield "case,bucket,service,arrived,late,late_half_width,in_system"
    for name in cases:
        worlds = [run(CASES[name], seed) for seed in runs]
        arrived = np.array([world.arrived[:-1] for world in worlds])
        late = np.array([world.late[:-1] for world in worlds]) / arrived
        inside = np.mean([world.in_system for world in worlds], axis=0)
        for bucket, service in np.ndindex(*inside.shape):
            here = late[:, bucket, service]
            half_width = 1.96 * here.std(ddof=1) / len(worlds) ** 0.5
            yield (
                f"{name},{bucket},{service},{arrived[:, bucket, service].mean():.1f},"
                f"{here.mean():.5f},{half_width:.5f},{inside[bucket, service]:.1f}"
            )


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)  # noqa: T201 - the table is this command's output
