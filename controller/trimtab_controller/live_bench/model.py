"""The local stage as a model: the simulator for replicas and queues, the stage's own rules around.

HPA, floors and weights are the very code that the stage runs, and the daemon steers this one as
it steers that one: through `Stage` and `Sensor`. So what differs is the cluster alone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from math import inf

import numpy as np

from trimtab_agents.hpa import Pod
from trimtab_controller.live_bench.books import Books
from trimtab_controller.protocols import (
    WRITER,
    BackendReport,
    Intent,
    Signal,
    StageRefusedError,
    StageReport,
)
from trimtab_guard.model import Reading
from trimtab_sim.profile import BackendProfile, Floats, Profiles
from trimtab_sim.simulator import Simulator
from trimtab_stage.config import StageConfig
from trimtab_stage.incumbent import Incumbent, metric_window_s
from trimtab_stage.replay import Replay
from trimtab_stage.spec import Ask, InvalidAskError, Spec

# How often the stage reads how busy its replicas are.
TICK_S = 0.25
# No clock starts at 0: the daemon takes that for "never".
EPOCH_S = 1_000_000_000.0


class Pods:
    """The replicas of one backend one by one, as the HPA sees them; the simulator only counts."""

    def __init__(
        self, profile: BackendProfile, replicas: int, window_s: float, rng: np.random.Generator
    ) -> None:
        self._profile = profile
        self._rng = rng
        self._pods = [Pod(-inf, ready=True, ready_changed_s=-inf) for _ in range(replicas)]
        window = round(window_s / TICK_S)
        # Idle, as the stage is before the first arrival.
        self._usages = deque([0.0] * window, maxlen=window)

    def follow(self, now_s: float, starting: int, ready: int, requests: float, held: float) -> None:
        """Take in a tick that ended now, its requests, and how many were in the replicas."""
        pods = self._pods
        # The stage ends what is not ready first, and the younger before the older.
        pods.sort(key=lambda pod: (not pod.ready, pod.started_s))
        del pods[starting + ready :]
        pods += [_started(now_s - TICK_S)] * (starting + ready - len(pods))
        for index, pod in enumerate(pods[:ready]):
            if not pod.ready:
                pods[index] = replace(pod, ready=True, ready_changed_s=now_s)
        slots = max(1, ready * self._profile.concurrency)
        busy = slots if held >= slots else self._work_s(requests) / TICK_S
        self._usages.append(min(1.0, busy / slots))

    def seen(self, now_s: float) -> list[Pod]:
        """As the metrics API shows them; a replica has no sample in its first moment."""
        return [self._sampled(pod, now_s) if pod.ready else pod for pod in self._pods]

    def _sampled(self, pod: Pod, now_s: float) -> Pod:
        ticks = min(len(self._usages), (now_s - pod.ready_changed_s) / TICK_S)
        if ticks < 1:
            return pod
        recent = list(self._usages)[-int(ticks) :]
        return replace(pod, usage=sum(recent) / len(recent), sample_s=now_s)

    def _work_s(self, requests: float) -> float:
        """Slot-seconds that so many requests take: service times differ."""
        mean_s, scv = self._profile.service_time_s, self._profile.service_scv
        if scv == 0.0:
            return requests * mean_s
        return float(self._rng.standard_gamma(requests / scv)) * mean_s * scv


def _started(now_s: float) -> Pod:
    return Pod(now_s, ready=False, ready_changed_s=now_s, usage=0.0, sample_s=-inf)


class ModelStage:
    """The stage of ``config`` under the load of ``replay``; `advance` moves its clock."""

    def __init__(self, config: StageConfig, replay: Replay, ticks: int, seed: int) -> None:
        profile = self.profile = config.profile
        self.books = Books()
        self._prices = np.array([backend.price for backend in profile.backends])
        self._rates_rps = offered(replay, ticks)
        self._ticks = 0
        self._spec = Spec.initial(profile)
        self._wanted = dict.fromkeys(self._spec.floors, config.initial_replicas)
        self._incumbents = [Incumbent(b, config.hpa_target, config.speed) for b in profile.backends]
        window_s = metric_window_s(config.speed)
        rng = np.random.default_rng(seed)
        self._pods = [
            Pods(b, config.initial_replicas, window_s, each)
            for b, each in zip(profile.backends, rng.spawn(len(profile.backends)), strict=True)
        ]
        self._simulator = Simulator(Profiles.stack([profile]), TICK_S, rng)
        self.sensed = self._simulator.reset(self._row(self._wanted), self._row(self._spec.weights))
        # So far: what came to each backend, what it cost, and how many of the requests missed.
        self.arrived = np.zeros(len(profile.backends))
        self.misses = self._billed = 0.0

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return EPOCH_S + self._ticks * TICK_S

    def advance(self) -> None:
        """Let one tick pass: the HPA decides, then the cluster moves."""
        now_s = self.now_s()
        for backend, pods, hpa in zip(
            self.profile.backends, self._pods, self._incumbents, strict=True
        ):
            name = backend.name
            wanted, floor = self._wanted[name], self._spec.floors[name]
            self._wanted[name] = hpa.decide(now_s, pods.seen(now_s), wanted, floor)
        rate_rps = self._rates_rps[self._ticks : self._ticks + 1]
        tick = self._simulator.step(
            rate_rps, self._row(self._wanted), self._row(self._spec.weights)
        )
        self._ticks += 1
        self.sensed = seen = tick.sensed
        arrived = seen.rate_rps[0] * TICK_S
        for k, pods in enumerate(self._pods):
            starting, ready = int(seen.starting[0, k]), int(seen.ready[0, k])
            pods.follow(self.now_s(), starting, ready, arrived[k], seen.in_flight[0, k])
        self.arrived = self.arrived + arrived
        self.misses += float(tick.misses[0])
        self._billed += float(tick.billed_s[0] @ self._prices)
        self._record()

    def status(self) -> StageReport:
        """What is, now."""
        backends = tuple(
            BackendReport(
                name=backend.name,
                wanted=self._wanted[backend.name],
                starting=int(self.sensed.starting[0, k]),
                ready=int(self.sensed.ready[0, k]),
                draining=int(self.sensed.draining[0, k]),
                floor=self._spec.floors[backend.name],
                weight=self._spec.weights[backend.name],
            )
            for k, backend in enumerate(self.profile.backends)
        )
        spec = self._spec
        return StageReport(
            self.now_s(), str(spec.version), spec.writer, backends, "", epoch=spec.epoch
        )

    def apply(self, intent: Intent) -> str:
        """Write all or nothing; returns the new version."""
        asks = [Ask(ask.backend, ask.floor, ask.weight) for ask in intent.asks]
        ready = {b.name: int(self.sensed.ready[0, k]) for k, b in enumerate(self.profile.backends)}
        try:
            self._spec = self._spec.written(asks, WRITER, self.profile, ready, intent.epoch)
        except InvalidAskError as error:
            raise StageRefusedError(str(error)) from error
        for name, floor in self._spec.floors.items():
            self._wanted[name] = max(self._wanted[name], floor)
        return str(self._spec.version)

    def _record(self) -> None:
        time_s = self._ticks * TICK_S
        self.books.billed.read(time_s, self._billed)
        self.books.requests.read(time_s, float(self.arrived.sum()))
        self.books.misses.read(time_s, self.misses)

    def _row(self, of: Mapping[str, float]) -> Floats:
        return np.array([[float(of[backend.name]) for backend in self.profile.backends]])


class ModelSensor:
    """Sees what came since the last look, as the sensor that reads Envoy's counters does."""

    def __init__(self, stage: ModelStage) -> None:
        self._stage = stage
        self._before: tuple[float, Floats, float] | None = None

    def read(self, report: StageReport) -> dict[Signal, Reading]:
        """Rates and requests in flight per backend, misses of the service; nothing at first."""
        stage, before = self._stage, self._before
        now_s = stage.now_s()
        self._before = now_s, stage.arrived, stage.misses
        if before is None or now_s <= before[0]:
            return {}
        requests, misses = stage.arrived - before[1], stage.misses - before[2]
        values: dict[Signal, float] = {}
        for k, backend in enumerate(report.backends):
            values["rate_rps", backend.name] = float(requests[k]) / (now_s - before[0])
            values["in_flight", backend.name] = float(stage.sensed.in_flight[0, k])
        if requests.any():
            values["miss_share", ""] = min(1.0, misses / float(requests.sum()))
        return {signal: Reading(value, now_s) for signal, value in values.items()}


def offered(replay: Replay, ticks: int) -> Floats:
    """Mean requests per second in each of the first ticks of a replay, ``[ticks]``."""
    trace, tick_s = replay.trace, TICK_S * replay.speed
    times = math.ceil((replay.start_s + ticks * tick_s) / trace.duration_s)
    endless = replace(trace, rate_rps=np.tile(trace.rate_rps, times))
    return replay.scale * endless.rates(tick_s, replay.start_s, ticks)
