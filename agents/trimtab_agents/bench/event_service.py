"""One service request by request, sharing nothing with the fast simulator.

Every request goes to the less loaded of two replicas drawn at random, waits there first come
first served for a slot, and is late when its latency exceeds the SLO; one that waited for the
time-out leaves. Replicas that are taken out finish what they hold, and all are billed until
they are gone.

A heap and a loop, because a library for processes takes ten times as long for each request.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np

from trimtab_sim.profile import Floats, Profiles

# Random numbers are drawn in blocks: one by one they cost more than the events.
BLOCK = 1 << 13


@dataclass(slots=True, eq=False)
class Replica:
    """Free slots, arrival times in its queue, and ``active``: what the balancer sees."""

    free: int
    queue: deque[float] = field(default_factory=deque)
    active: int = 0
    drained_s: float = math.inf  # since when it is out of the balancer


@dataclass(frozen=True, slots=True)
class Counts:
    """What one tick brought; ``in_flight`` is a mean over it, ``misses`` were noticed in it."""

    requests: int
    misses: int
    in_flight: float
    billed_s: float


def _blocks(draw: Callable[[], Floats]) -> Iterator[float]:
    while True:
        yield from draw().tolist()


class EventService:
    """The service in a row of ``profiles``, with ``replicas`` of its one backend ready at first."""

    def __init__(
        self, profiles: Profiles, row: int, replicas: int, rng: np.random.Generator
    ) -> None:
        self._slo_s = float(profiles.slo_latency_s[row])
        self._timeout_s = float(profiles.timeout_s[row])
        self._slots = int(profiles.concurrency[row, 0])
        self._startup = float(profiles.startup_mean_s[row, 0]), float(profiles.startup_cv[row, 0])
        self._rng = rng
        mean_s, scv = float(profiles.service_time_s[row, 0]), float(profiles.service_scv[row, 0])
        self._service_s = _blocks(lambda: rng.standard_gamma(1.0 / scv, BLOCK) * (mean_s * scv))
        self._picks = _blocks(lambda: rng.random(BLOCK))
        self._ready = [Replica(self._slots) for _ in range(replicas)]
        self._landing: list[float] = []
        self._draining: set[Replica] = set()
        # (when, serial number, where, when it had arrived) of every request being served.
        self._served: list[tuple[float, int, Replica, float]] = []
        self._serial = self._inside = self._misses = 0
        self._now_s = self._counted_s = self._area = self._billed_s = 0.0

    @property
    def starting(self) -> int:
        """Replicas on their way."""
        return len(self._landing)

    @property
    def ready(self) -> int:
        """Replicas in the balancer."""
        return len(self._ready)

    @property
    def draining(self) -> int:
        """Replicas that only finish what they hold."""
        return len(self._draining)

    def tick(self, rate_rps: float, wanted: int, tick_s: float) -> Counts:
        """Scale to ``wanted`` and let ``tick_s`` seconds of arrivals at ``rate_rps`` pass."""
        self._scale(wanted)
        end_s = self._now_s + tick_s
        self._misses, self._area = 0, 0.0
        self._billed_s = tick_s * (self.starting + self.ready)
        requests = int(self._rng.poisson(rate_rps * tick_s))
        arrivals = deque(np.sort(self._rng.uniform(self._now_s, end_s, requests)).tolist())
        while self._landing and self._landing[0] <= end_s:
            self._pass(arrivals, heappop(self._landing))
            self._ready.append(Replica(self._slots))
        self._pass(arrivals, end_s)
        return Counts(requests, self._misses, self._area / tick_s, self._billed_s)

    def _scale(self, wanted: int) -> None:
        surplus = self.ready + self.starting - wanted
        for _ in range(-surplus):
            heappush(self._landing, self._now_s + self._startup_s())
        cancelled = min(max(surplus, 0), self.starting)
        # A sorted list is a heap; the latest to land are cancelled first.
        self._landing = sorted(self._landing)[: self.starting - cancelled]
        self._drain(max(surplus, 0) - cancelled)

    def _startup_s(self) -> float:
        mean_s, cv = self._startup
        log_var = math.log1p(cv**2)
        return mean_s * float(self._rng.lognormal(-0.5 * log_var, math.sqrt(log_var)))

    def _drain(self, count: int) -> None:
        """The least loaded leave the balancer."""
        if not count:
            return
        self._ready.sort(key=lambda replica: -replica.active)
        for replica in self._ready[-count:]:
            replica.drained_s = self._now_s
            if replica.active:
                self._draining.add(replica)
        del self._ready[-count:]

    def _pass(self, arrivals: deque[float], until_s: float) -> None:
        """Everything that happens until then, in order."""
        served = self._served
        while arrivals and arrivals[0] <= until_s:
            now_s = arrivals.popleft()
            while served and served[0][0] <= now_s:
                self._finish(*heappop(served))
            self._receive(now_s)
        while served and served[0][0] <= until_s:
            self._finish(*heappop(served))
        self._count(until_s, 0)
        self._now_s = until_s

    def _receive(self, now_s: float) -> None:
        """To the less loaded of two; without a ready replica it fails."""
        ready, picks = self._ready, self._picks
        if not ready:
            self._misses += 1
            return
        chosen = ready[int(next(picks) * len(ready))]
        other = ready[int(next(picks) * len(ready))]
        if other.active < chosen.active:
            chosen = other
        chosen.active += 1
        self._count(now_s, 1)
        if chosen.free:
            chosen.free -= 1
            self._serve(chosen, now_s, now_s)
        else:
            chosen.queue.append(now_s)

    def _serve(self, replica: Replica, arrived_s: float, now_s: float) -> None:
        self._serial += 1
        heappush(self._served, (now_s + next(self._service_s), self._serial, replica, arrived_s))

    def _finish(self, now_s: float, _: int, replica: Replica, arrived_s: float) -> None:
        """Answer a request, and take the next in the queue who has not timed out."""
        self._misses += now_s - arrived_s > self._slo_s
        replica.active -= 1
        self._count(now_s, -1)
        queue = replica.queue
        while queue:
            waiting_s = queue.popleft()
            if now_s - waiting_s <= self._timeout_s:
                self._serve(replica, waiting_s, now_s)
                return
            self._misses += 1
            replica.active -= 1
            self._count(now_s, -1)
        replica.free += 1
        if replica in self._draining and not replica.active:
            self._draining.remove(replica)
            self._billed_s += now_s - replica.drained_s

    def _count(self, now_s: float, change: int) -> None:
        self._area += self._inside * (now_s - self._counted_s)
        self._counted_s = now_s
        self._inside += change
