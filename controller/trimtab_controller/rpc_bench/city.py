"""Thousands of simulated services, as a stage and a sensor of each show them.

All of them live in one simulator; what a service's stage and sensor tell of a moment is made before
the tick that reads it, because a real daemon is told by watches and pushes as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab_controller.config import BackendSpec, ServiceConfig, ServiceSpec, StageSpec
from trimtab_controller.protocols import (
    BackendReport,
    Intent,
    Signal,
    StageMovedError,
    StageReport,
)
from trimtab_guard.authority import NO_EPOCH, Epoch
from trimtab_guard.limits import Limits
from trimtab_guard.model import Reading
from trimtab_guard.modes import Mode
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.profile_file import SloSpec
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator
from trimtab_sim.workloads import random_workloads

TICK_S = 5.0
START_S = 1_800_000_000.0
MISS_PRICE = 50.0
# Loads are drawn for so many services, and shared by the rest at other heights.
LOADS = 64
TRACE_TICKS = 720
# Replicas that the smallest and the largest service need for their mean load.
SIZES = 1.0, 40.0


@dataclass(slots=True)
class Clock:
    """A clock that stands still within a tick."""

    now_s: float = START_S

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now_s


def configured(services: int, backends: int, tick_s: float = TICK_S) -> list[ServiceConfig]:
    """So many services that may be steered on their own, with the guard's default limits."""
    return [_service(f"service-{number}", backends, tick_s) for number in range(services)]


def _service(name: str, backends: int, tick_s: float) -> ServiceConfig:
    spec = ServiceSpec(
        name=name,
        stage=StageSpec("/nowhere"),
        ceiling=Mode.GUARDED,
        slo=SloSpec(0.3, 0.99),
        miss_price=MISS_PRICE,
        backends=tuple(
            BackendSpec(f"zone-{number}", 4, 0.05, 45.0, min_replicas=1, max_replicas=200)
            for number in range(backends)
        ),
    )
    limits = tuple(backend.limits for backend in spec.backends)
    return ServiceConfig(spec, spec.profile, Limits(name, limits, interval_s=tick_s))


class City:
    """``services`` side by side; ``pass_tick`` moves the clock and everything that it shows."""

    def __init__(
        self, services: Sequence[ServiceConfig], clock: Clock, rng: np.random.Generator
    ) -> None:
        self._clock = clock
        profiles = Profiles.stack([service.profile for service in services])
        self._simulator = Simulator(profiles, TICK_S, rng)
        self._loads = _loads(profiles, rng)
        self._tick = 0
        self._share = np.full(profiles.shape, 1.0 / profiles.shape[1])
        replicas = np.ceil(1.5 * self._loads[0][:, None] * self._share / profiles.replica_rps)
        self.homes = [Home(service, replicas[row]) for row, service in enumerate(services)]
        self._show(self._simulator.reset(replicas, self._share))

    def pass_tick(self) -> None:
        """Let `TICK_S` pass with the floors and shares that were written."""
        self._tick += 1
        self._clock.now_s += TICK_S
        wanted = np.array([home.floors for home in self.homes])
        weight = np.array([home.shares for home in self.homes])
        load = self._loads[self._tick % len(self._loads)]
        self._show(self._simulator.step(load, wanted, weight).sensed)

    def _show(self, sensed: Sensed) -> None:
        for row, home in enumerate(self.homes):
            home.see(self._clock.now_s, sensed, row)


class Home:
    """One service's stage and sensor in one: what was written, and what is there to see."""

    def __init__(self, service: ServiceConfig, replicas: Floats) -> None:
        self._backends = service.backends
        self.floors = [int(count) for count in replicas]
        self.shares = [1.0 / len(replicas)] * len(replicas)
        self._epoch: Epoch = NO_EPOCH
        self._version = 1
        self._writer = ""

    def see(self, now_s: float, sensed: Sensed, row: int) -> None:
        """Hold what `status` and `read` will tell."""
        rows = zip(
            self._backends,
            sensed.wanted[row].astype(int).tolist(),
            sensed.starting[row].astype(int).tolist(),
            sensed.ready[row].astype(int).tolist(),
            sensed.draining[row].astype(int).tolist(),
            self.floors,
            sensed.weight[row].tolist(),
            strict=True,
        )
        self._reports = tuple(BackendReport(*values) for values in rows)
        self._time_s = now_s
        measured_s = now_s - float(sensed.age_s[row])
        values = {
            ("miss_share", ""): float(sensed.miss_share[row]),
            **self._signals("rate_rps", sensed.rate_rps[row]),
            **self._signals("in_flight", sensed.in_flight[row]),
        }
        self._readings = {
            signal: Reading(value, measured_s)
            for signal, value in values.items()
            if np.isfinite(value)
        }

    def _signals(self, name: str, values: Floats) -> dict[Signal, float]:
        return {(name, b): v for b, v in zip(self._backends, values.tolist(), strict=True)}

    def status(self) -> StageReport:
        """What is, now."""
        version = str(self._version)
        return StageReport(self._time_s, version, self._writer, self._reports, "", self._epoch)

    def read(self, _report: StageReport) -> Mapping[Signal, Reading]:
        """What was measured last."""
        return self._readings

    def apply(self, intent: Intent) -> str:
        """Write floors and shares; `StageMovedError` when it was decided on another version."""
        if intent.version != str(self._version):
            raise StageMovedError(f"version {self._version} is there, not {intent.version}")
        for number, backend in enumerate(self._backends):
            for ask in intent.asks:
                if ask.backend == backend:
                    self.floors[number] = self.floors[number] if ask.floor is None else ask.floor
                    self.shares[number] = self.shares[number] if ask.weight is None else ask.weight
        self._version += 1
        self._writer, self._epoch = "trimtab", intent.epoch
        return str(self._version)


def _loads(profiles: Profiles, rng: np.random.Generator) -> Floats:
    """Requests per second, ``[TRACE_TICKS, B]``."""
    services = profiles.shape[0]
    shapes = random_workloads(rng, LOADS, TRACE_TICKS, TICK_S)
    shapes = shapes / np.maximum(shapes.mean(axis=1, keepdims=True), 1e-9)
    low, high = np.log(SIZES)
    heights = np.exp(rng.uniform(low, high, services)) * profiles.replica_rps[:, 0]
    return np.asarray(shapes[rng.integers(LOADS, size=services)].T * heights)
