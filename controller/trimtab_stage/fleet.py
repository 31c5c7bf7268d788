"""Replicas as processes: they start, become ready, serve, drain and end, and are billed for it.

Plays the part of Kubernetes' ReplicaSet and kubelet. Nobody waits for anybody here: `scale` only
says how many there should be, and each replica lives its own life in `_live`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from asyncio import Event, TaskGroup
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from random import Random

from trimtab_sim.profile import BackendProfile
from trimtab_stage.process import PYTHON, end, resident_bytes, spawn

log = logging.getLogger(__name__)

PROBE_S = 0.05  # while starting: how late readiness may be noticed
SCRAPE_S = 0.25  # once ready: how often busy time is read
ANSWER_S = 1.0
# Envoy has acknowledged that the replica is out, but its worker may still hold the old list.
DRAIN_S = 0.1
# One that cannot even start keeps its place this long, so that it is not started in a frenzy.
CRASH_BACKOFF_S = 1.0


class Phase(Enum):
    """A replica is billed in all three."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True, eq=False)
class Replica:
    """One replica; times are the event loop's, ``samples`` are (time, slot-seconds worked).

    ``handicap`` multiplies its service time on top of its backend's ``slowness``;
    ``memory_bytes`` is what it holds.
    """

    socket: Path
    started_s: float
    phase: Phase = Phase.STARTING
    ready_s: float = math.inf
    slowness: float = 1.0
    handicap: float = 1.0
    leak_bps: float = 0.0
    memory_bytes: int = 0
    version: int = 0
    process: Process | None = None
    samples: list[tuple[float, float]] = field(default_factory=list)
    leave: Event = field(default_factory=Event)


@dataclass(frozen=True, slots=True)
class Host:
    """What all replicas share.

    ``lifeline`` is a descriptor that reads as closed when the stage is gone. ``publish`` makes
    Envoy know the present sockets and returns at its ACK. Draining may take ``grace_s``;
    ``window_s`` of samples are kept. Who holds more than ``memory_limit_bytes`` is killed.
    """

    directory: Path
    tasks: TaskGroup
    lifeline: int
    publish: Callable[[], Awaitable[None]]
    grace_s: float
    window_s: float
    memory_limit_bytes: float = math.inf


class ReplicaSet:
    """The replicas of one backend.

    ``slowness``, and the bytes that each leaks in a second, reach every one, before it is ready or
    soon. While some have an older
    ``version``, `scale` replaces them one by one. Those that start get the ``settings``
    (`replica.Settings`).
    """

    def __init__(
        self,
        profile: BackendProfile,
        host: Host,
        random: Random,
        settings: Mapping[str, float] | None = None,
    ) -> None:
        self.profile = profile
        self.replicas: list[Replica] = []
        self.started = self.stopped = self.crashed = 0
        self.slowness = 1.0
        self.leak_bps = 0.0
        self.version = 0
        self.settings = dict(settings or {})
        self._host = host
        self._random = random
        self._ended_billed_s = 0.0
        self._numbers = count(1)
        self._clock = asyncio.get_running_loop().time

    def count(self, phase: Phase) -> int:
        """Return how many replicas are in this phase."""
        return sum(replica.phase is phase for replica in self.replicas)

    @property
    def sockets(self) -> tuple[str, ...]:
        """The sockets of the replicas that take traffic."""
        return tuple(str(r.socket) for r in self.replicas if r.phase is Phase.READY)

    @property
    def memory_bytes(self) -> int:
        """What the ready replica holds that holds most."""
        ready = (r.memory_bytes for r in self.replicas if r.phase is Phase.READY)
        return max(ready, default=0)

    def billed_s(self) -> float:
        """Replica-seconds billed so far."""
        now_s = self._clock()
        return self._ended_billed_s + sum(now_s - r.started_s for r in self.replicas)

    def scale(self, wanted: int, startup_s: float | None = None) -> None:
        """Start or drain replicas until ``wanted`` are starting or ready, all of this version.

        ``startup_s`` replaces the start-up delay that is otherwise drawn for each.
        """
        staying = [r for r in self.replicas if r.phase is not Phase.DRAINING]
        surge = bool(self.outdated)
        for _ in range(wanted + surge - len(staying)):
            self._start(self._draw_startup_s() if startup_s is None else startup_s)
        replaced = surge and self.count(Phase.READY) > wanted
        surplus = len(staying) - wanted - surge + replaced
        for replica in _leaving_first(staying)[: max(0, surplus)]:
            self._drain(replica)

    @property
    def outdated(self) -> int:
        """How many replicas a rollout has yet to replace."""
        staying = (r for r in self.replicas if r.phase is not Phase.DRAINING)
        return sum(r.version != self.version for r in staying)

    def _start(self, startup_s: float) -> None:
        name = f"{self.profile.name}-{next(self._numbers)}.sock"
        replica = Replica(self._host.directory / name, self._clock(), version=self.version)
        self.replicas.append(replica)
        self.started += 1
        self._host.tasks.create_task(self._live(replica, startup_s))

    def _drain(self, replica: Replica) -> None:
        self.stopped += 1
        replica.phase = Phase.DRAINING
        replica.leave.set()

    def _draw_startup_s(self) -> float:
        variance = math.log(1 + self.profile.startup_cv**2)
        mean = math.log(self.profile.startup_mean_s) - variance / 2
        return self._random.lognormvariate(mean, math.sqrt(variance))

    async def _live(self, replica: Replica, startup_s: float) -> None:
        """From the start of the process to its end, whoever ends it."""
        process = await spawn(*self._command(replica, startup_s), stdin=self._host.lifeline)
        replica.process = process
        chores = [
            asyncio.create_task(self._probe(replica)),
            asyncio.create_task(self._retire(replica, process)),
        ]
        try:
            code = await process.wait()
            if replica.phase is Phase.STARTING:
                await asyncio.sleep(CRASH_BACKOFF_S)
        finally:
            for chore in chores:
                chore.cancel()
            await end(process, grace_s=0.5)
            self._bury(replica)
        if replica.phase is not Phase.DRAINING:
            self.crashed += 1
            log.warning("replica %s (pid %d) ended with %d", replica.socket.stem, process.pid, code)
            await self._host.publish()

    def _command(self, replica: Replica, startup_s: float) -> tuple[str, ...]:
        profile = self.profile
        values = (profile.concurrency, profile.service_time_s, profile.service_scv, startup_s)
        script = Path(__file__).with_name("replica.py")
        seed = self._random.getrandbits(32)
        settings = (f"{name}={value!r}" for name, value in self.settings.items())
        return (*PYTHON, str(script), str(replica.socket), *map(str, values), str(seed), *settings)

    async def _probe(self, replica: Replica) -> None:
        """Ask for health until it is ready, then for the time it worked."""
        while True:
            busy_s = await probe(replica.socket)
            slowness = self.slowness * replica.handicap
            if busy_s is not None and replica.slowness != slowness:
                await self._slow(replica, slowness)
            if busy_s is not None and replica.leak_bps != self.leak_bps:
                await self._leak(replica, self.leak_bps)
            self._weigh(replica)
            now_s = self._clock()
            if busy_s is not None and replica.phase is Phase.STARTING:
                replica.phase, replica.ready_s = Phase.READY, now_s
                await self._host.publish()
            if busy_s is not None:
                self._sample(replica, now_s, busy_s)
            await asyncio.sleep(PROBE_S if replica.phase is Phase.STARTING else SCRAPE_S)

    async def _slow(self, replica: Replica, slowness: float) -> None:
        if await ask(replica.socket, f"PUT /slowness/{slowness!r}") is not None:
            replica.slowness = slowness

    async def _leak(self, replica: Replica, leak_bps: float) -> None:
        if await ask(replica.socket, f"PUT /leak/{leak_bps!r}") is not None:
            replica.leak_bps = leak_bps

    def _weigh(self, replica: Replica) -> None:
        """Kill what holds more than it may, as a kernel kills a container."""
        if replica.process is None:
            return
        replica.memory_bytes = resident_bytes(replica.process)
        if replica.memory_bytes > self._host.memory_limit_bytes:
            log.warning("replica %s is out of memory", replica.socket.stem)
            replica.process.kill()

    def _sample(self, replica: Replica, now_s: float, busy_s: float) -> None:
        """Keep what is needed to see one window back, and no more."""
        samples = replica.samples
        samples.append((now_s, busy_s))
        while len(samples) > 2 and samples[1][0] <= now_s - self._host.window_s:
            del samples[0]

    async def _retire(self, replica: Replica, process: Process) -> None:
        """Out of the route first, then SIGTERM: the other way round loses requests."""
        await replica.leave.wait()
        if replica.ready_s < math.inf:
            await self._host.publish()
            await asyncio.sleep(DRAIN_S)
        await end(process, self._host.grace_s)

    def _bury(self, replica: Replica) -> None:
        self.replicas.remove(replica)
        self._ended_billed_s += self._clock() - replica.started_s
        replica.socket.unlink(missing_ok=True)


def _leaving_first(replicas: list[Replica]) -> list[Replica]:
    """Old versions first; then as Kubernetes: not ready before ready, younger before older."""
    return sorted(replicas, key=lambda r: (r.version, r.phase is Phase.READY, -r.started_s))


async def probe(socket: Path) -> float | None:
    """GET /healthz: slot-seconds worked so far, or None when it is not ready (or not there)."""
    busy_s = await ask(socket, "GET /healthz")
    return None if busy_s is None else float(busy_s)


async def ask(socket: Path, request: str) -> bytes | None:
    """What a replica says to a request, or None when it refuses or is not there."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(os.fspath(socket))
            try:
                writer.write(f"{request} HTTP/1.1\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                return await reader.readline() if b" 200 " in head else None
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None
