"""The cluster behind the stage's API: what is asked for, what is, and how one becomes the other."""

from __future__ import annotations

import asyncio
import os
from asyncio import TaskGroup
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

from trimtab_guard.authority import Epoch
from trimtab_stage.ads import Ads, NackError
from trimtab_stage.config import StageConfig
from trimtab_stage.fleet import Host, Phase, ReplicaSet
from trimtab_stage.incumbent import Incumbent, metric_window_s, pod
from trimtab_stage.mirrors import Mirrors, Variant, checked_settings
from trimtab_stage.spec import Ask, InvalidAskError, Spec
from trimtab_stage.xds import RDS, Snapshot, resources, route_weights, steps

TICK_S = 0.05
SLOWEST = 1000.0
MOST_MB_PER_MINUTE = 10_000.0
MIB = 1 << 20


class Cluster:
    """The backends of one service: floors, weights, replicas, and the HPA over them."""

    def __init__(self, config: StageConfig, directory: Path, ads: Ads, tasks: TaskGroup) -> None:
        self.profile = config.profile
        self.spec = Spec.initial(config.profile)
        # What Envoy has acknowledged; None until it has anything.
        self.acked: Snapshot | None = None
        self._ads = ads
        self._tasks = tasks
        self.memory_limit_bytes = int(config.memory_limit_mib * MIB)
        self._publishing = asyncio.Lock()
        # Held open by us alone: replicas see their end close when we are gone.
        lifeline, self._lifeline_held = os.pipe()
        host = Host(
            directory=directory,
            tasks=tasks,
            lifeline=lifeline,
            publish=self.publish,
            grace_s=self.profile.timeout_s + 1.0,
            window_s=metric_window_s(config.speed),
            memory_limit_bytes=self.memory_limit_bytes,
        )
        self.backends = {
            backend.name: ReplicaSet(backend, host, Random(config.seed + number))
            for number, backend in enumerate(self.profile.backends)
        }
        self.mirrors = Mirrors(self.profile, host, Random(config.seed - 1))
        self._incumbents = {
            backend.name: Incumbent(backend, config.hpa_target, config.speed)
            for backend in self.profile.backends
        }
        self.wanted = {
            b.name: min(max(config.initial_replicas, b.min_replicas), b.max_replicas)
            for b in self.profile.backends
        }

    def start(self) -> None:
        """Start the first replicas, without a delay: the story begins with a warm service."""
        self._tasks.create_task(self.publish())
        for name, backend in self.backends.items():
            backend.scale(self.wanted[name], startup_s=0.0)

    @property
    def serves(self) -> bool:
        """Whether Envoy routes to a ready replica in every backend that has a weight."""
        acked = self.acked
        return acked is not None and all(
            acked.endpoints[name] for name, parts in acked.weights.items() if parts
        )

    def apply(self, asks: Iterable[Ask], writer: str, epoch: Epoch) -> None:
        """Write floors and weights, all or nothing; `InvalidAskError` when they are refused."""
        asks = list(asks)
        ready = {name: backend.count(Phase.READY) for name, backend in self.backends.items()}
        self.spec = self.spec.written(asks, writer, self.profile, ready, epoch)
        for name, floor in self.spec.floors.items():
            self.wanted[name] = max(self.wanted[name], floor)
        for ask in asks:
            self.backends[ask.backend].version += ask.restart
        self._tasks.create_task(self.publish())

    def slow(self, name: str, factor: float) -> None:
        """Multiply the service time of a backend's replicas; `InvalidAskError`."""
        backend = self._known(name)
        if not 1 <= factor <= SLOWEST:
            raise InvalidAskError(f"factor {factor:g} is out of bounds: give 1 to {SLOWEST:g}")
        backend.slowness = factor

    def leak(self, name: str, mb_per_minute: float) -> None:
        """Have each of a backend's replicas take memory and keep it; `InvalidAskError`."""
        backend = self._known(name)
        if not 0 <= mb_per_minute <= MOST_MB_PER_MINUTE:
            raise InvalidAskError(
                f"{mb_per_minute:g} MB a minute is out of bounds: give 0 to {MOST_MB_PER_MINUTE:g}"
            )
        backend.leak_bps = mb_per_minute * 1e6 / 60.0

    def roll(self, name: str, settings: Mapping[str, float]) -> None:
        """Have a backend's replicas replaced by such with ``settings``; `InvalidAskError`."""
        backend = self._known(name)
        backend.settings = checked_settings(settings)
        backend.version += 1

    def mirror(self, variants: Sequence[Variant], share: float, lease_s: float) -> None:
        """Run just these variants on copies of a share of the requests; `InvalidAskError`."""
        if self.mirrors.show(variants, share, lease_s):
            self._tasks.create_task(self.publish())

    def _known(self, name: str) -> ReplicaSet:
        if name not in self.backends:
            known = ", ".join(self.backends)
            raise InvalidAskError(f"unknown backend {name!r}: the stage has {known}")
        return self.backends[name]

    async def run(self) -> None:
        """Work towards what is wanted, for ever."""
        clock = asyncio.get_running_loop().time
        while True:
            self._tick(clock())
            await asyncio.sleep(TICK_S)

    def _tick(self, now_s: float) -> None:
        for name, backend in self.backends.items():
            pods = [pod(replica, backend.profile.concurrency) for replica in backend.replicas]
            self.wanted[name] = self._incumbents[name].decide(
                now_s, pods, self.wanted[name], self.spec.floors[name]
            )
            backend.scale(self.wanted[name])
        if self.mirrors.keep(now_s):
            self._tasks.create_task(self.publish())

    async def publish(self) -> None:
        """Make Envoy know what is now, in steps that lose no request; returns at its last ACK.

        What it refuses, with all that should have followed, is offered again at the next change.
        """
        async with self._publishing:
            with suppress(NackError):
                for step in steps(self.acked, self._snapshot()):
                    await self._push(step)

    def _snapshot(self) -> Snapshot:
        endpoints = {name: backend.sockets for name, backend in self.backends.items()}
        serving = [name for name, sockets in endpoints.items() if sockets]
        weights = route_weights(self.spec.weights, serving)
        return Snapshot(endpoints | self.mirrors.endpoints, weights, self.mirrors.parts)

    async def _push(self, snapshot: Snapshot) -> None:
        present = resources(self.acked, self.profile) if self.acked else {}
        wanted = resources(snapshot, self.profile)
        changed = [kind for kind in wanted if present.get(kind) != wanted[kind]]
        # Together, for Envoy acknowledges a new cluster only once it knows its endpoints.
        clusters = [self._ads.offer(kind, wanted[kind]) for kind in changed if kind != RDS]
        await asyncio.gather(*clusters)
        if RDS in changed:
            await self._ads.offer(RDS, wanted[RDS])
        self.acked = snapshot
