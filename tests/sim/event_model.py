"""A request-level model of one backend on SimPy: the reference that the simulator must meet.

It shares no code with ``trimtab_sim``. Every request picks the less loaded of two replicas
drawn with replacement, as Envoy's least-request balancer does (or the next in turn, or any),
waits there first come first served for one of the replica's slots, and is late when its latency
exceeds the SLO. Replicas may crash, or be slow. Clients may lose patience: then they send the
request again, and no server learns that the old one is no longer waited for.

``python tests/sim/event_model.py steady|changes|failures`` prints the tables again that are
committed in ``agents/trimtab_agents/bench/fidelity``; hours of simulated traffic take minutes.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import simpy
from numpy.typing import NDArray

from trimtab_agents.bench.fidelity.cases import (
    BUCKET_S,
    CHANGES,
    FAILURES,
    SERVICE_S,
    SLO_S,
    TIMEOUT_S,
    Backend,
    Change,
    Phase,
)

Floats = NDArray[np.float64]

# Random numbers are drawn in blocks: one by one they cost more than the events.
_BLOCK = 1 << 14


@dataclass(slots=True, eq=False)
class Request:
    """What a client wants; late unless one of its attempts is answered in time."""

    arrived_s: float
    attempts: int = 0
    is_answered: bool = False


@dataclass(slots=True, eq=False)
class Attempt:
    """One try; over when it is answered or has failed, wherever its client is by then."""

    request: Request
    arrived_s: float
    is_over: bool = False


@dataclass(slots=True, eq=False)
class Replica:
    """Free slots, who waits, who is served; ``active`` is what the balancer sees."""

    free: int
    factor: float
    queue: deque[Attempt] = field(default_factory=deque)
    served: set[Attempt] = field(default_factory=set)
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
    """One run; per bucket of ``bucket_s`` it counts arrivals, late ones, waits, and who is in.

    A request counts when it arrived; ``sent`` counts every attempt, waits are those of first ones.
    """

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
        self._turn = 0
        self._add(replicas)
        self._bucket_s = bucket_s
        self._inside = 0
        buckets = round(seconds / bucket_s)
        self.arrived, self.late, self.wait_s, self.sent = np.zeros((4, buckets + 1))
        self.in_system = np.zeros(buckets)
        self.env.process(self._watch(buckets))

    def _add(self, count: int) -> None:
        backend = self._backend
        for _ in range(count):
            is_slow = len(self._replicas) < backend.slow
            factor = backend.slow_factor if is_slow else 1.0
            self._replicas.append(Replica(backend.slots, factor))

    def _drain(self, count: int) -> None:
        """The least loaded leave the balancer and finish what they hold."""
        self._replicas.sort(key=lambda replica: -replica.active)
        del self._replicas[len(self._replicas) - count :]

    def _crash(self, count: int) -> None:
        """Any of them are gone, with all requests that they hold."""
        for _ in range(count):
            replica = self._replicas.pop(int(next(self._draws.pick) * len(self._replicas)))
            self._inside -= replica.active
            for attempt in (*replica.queue, *replica.served):
                self._fail(attempt)
            replica.served.clear()

    def traffic(self, phases: Iterable[Phase]) -> Generator[simpy.Event, None, None]:
        """Poisson arrivals, phase after phase."""
        env, draws = self.env, self._draws
        for phase in phases:
            self._add(max(phase.added, 0))
            self._drain(max(-phase.added, 0))
            self._crash(phase.crashed)
            end_s = env.now + phase.seconds
            while True:
                gap_s = next(draws.gap) / phase.rate_rps
                if env.now + gap_s > end_s:
                    break
                yield env.timeout(gap_s)
                self._arrive(Request(env.now))
            yield env.timeout(max(end_s - env.now, 0.0))

    def _arrive(self, request: Request) -> None:
        bucket = self._bucket(request.arrived_s)
        self.arrived[bucket] += 1
        self.late[bucket] += 1
        self._send(request)

    def _send(self, request: Request) -> None:
        """Send a request (again) to the replica that the balancer chooses."""
        attempt = Attempt(request, self.env.now)
        request.attempts += 1
        self.sent[self._bucket(self.env.now)] += 1
        error_share = self._backend.error_share
        if error_share and next(self._draws.pick) < error_share:
            self._fail(attempt)
            return
        chosen = self._choose()
        chosen.active += 1
        self._inside += 1
        if request.attempts <= self._backend.retries:
            timer = self.env.timeout(self._backend.patience_s)
            timer.callbacks.append(lambda _: attempt.is_over or self._send(request))
        if chosen.free:
            chosen.free -= 1
            self._serve(chosen, attempt)
        else:
            chosen.queue.append(attempt)

    def _choose(self) -> Replica:
        replicas, pick = self._replicas, self._draws.pick
        if self._backend.balancer == "round_robin":
            self._turn = (self._turn + 1) % len(replicas)
            return replicas[self._turn]
        first = replicas[int(next(pick) * len(replicas))]
        if self._backend.balancer == "random":
            return first
        second = replicas[int(next(pick) * len(replicas))]
        return second if second.active < first.active else first

    def _serve(self, replica: Replica, attempt: Attempt) -> None:
        service_s = next(self._draws.service) * replica.factor
        self._count_wait(attempt, self.env.now - attempt.arrived_s)
        replica.served.add(attempt)
        self.env.timeout(service_s).callbacks.append(lambda _: self._finish(replica, attempt))

    def _finish(self, replica: Replica, attempt: Attempt) -> None:
        """Answer, and free the slot for the next in the queue who has not timed out."""
        if attempt not in replica.served:
            return  # lost in a crash
        replica.served.remove(attempt)
        self._answer(attempt)
        replica.active -= 1
        self._inside -= 1
        while replica.queue:
            attempt = replica.queue.popleft()
            if self.env.now - attempt.arrived_s <= TIMEOUT_S:
                self._serve(replica, attempt)
                return
            self._count_wait(attempt, TIMEOUT_S)
            replica.active -= 1
            self._inside -= 1
        replica.free += 1

    def _answer(self, attempt: Attempt) -> None:
        request, attempt.is_over = attempt.request, True
        if not request.is_answered and self.env.now - request.arrived_s <= SLO_S:
            self.late[self._bucket(request.arrived_s)] -= 1
        request.is_answered = True

    def _fail(self, attempt: Attempt) -> None:
        """The client learns of it and, unless it has lost patience before, tries again."""
        request, attempt.is_over = attempt.request, True
        is_waited_for = self.env.now - attempt.arrived_s < self._backend.patience_s
        if is_waited_for and request.attempts <= self._backend.retries:
            self._send(request)

    def _count_wait(self, attempt: Attempt, wait_s: float) -> None:
        if attempt.arrived_s == attempt.request.arrived_s:
            self.wait_s[self._bucket(attempt.arrived_s)] += wait_s

    def _bucket(self, at_s: float) -> int:
        return min(int(at_s / self._bucket_s), len(self.arrived) - 1)

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


CHANGE_RUNS = 40

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


def change_rows(changes: Mapping[str, Change]) -> Iterable[str]:
    """Per case and bucket: arrivals, share late, attempts, number in the system at its end."""
    yield "case,bucket,arrived,late,late_half_width,in_system,sent"
    for name, (backend, replicas, phases) in changes.items():
        worlds = [
            run(backend, replicas, phases, BUCKET_S, np.random.default_rng(seed))
            for seed in range(CHANGE_RUNS)
        ]
        arrived = np.array([world.arrived[:-1] for world in worlds])
        late = np.array([world.late[:-1] for world in worlds]) / arrived
        inside = np.mean([world.in_system for world in worlds], axis=0)
        sent = np.mean([world.sent[:-1] for world in worlds], axis=0)
        for bucket in range(arrived.shape[1]):
            yield (
                f'"{name}",{bucket},{arrived[:, bucket].mean():.1f},{late[:, bucket].mean():.5f},'
                f"{half_width(late[:, bucket]):.5f},{inside[bucket]:.1f},{sent[bucket]:.1f}"
            )


if __name__ == "__main__":
    tables = {
        "steady": steady_rows,
        "changes": lambda: change_rows(CHANGES),
        "failures": lambda: change_rows(FAILURES),
    }
    for row in tables[sys.argv[1]]():
        print(row, flush=True)  # noqa: T201 - the table is this command's output
