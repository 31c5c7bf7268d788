"""The Kubernetes HorizontalPodAutoscaler for one CPU metric, as upstream computes it.

It is the incumbent that everything here is compared with, so it must be neither kinder nor
meaner than the original: ``replica_calculator.go`` (which pods count, and for how much) and
``horizontal.go`` (stabilise, limit the rate, clamp), with the defaults of autoscaling/v2.
Pure but for its memory of recommendations and scale events; time is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple


class Unit(Enum):
    """What the value of a scaling policy counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class ScalingPolicy(NamedTuple):
    """At most ``value`` pods or percent of change within ``period_s``; the loosest one wins."""

    unit: Unit
    value: float
    period_s: float


@dataclass(frozen=True, slots=True)
class HpaConfig:
    """Target utilisation (share of the request), bounds, and upstream's default windows."""

    target: float
    min_replicas: int = 1
    max_replicas: int = 400
    sync_s: float = 15.0
    tolerance: float = 0.1
    cpu_initialization_s: float = 300.0
    initial_readiness_s: float = 30.0
    up_stabilization_s: float = 0.0
    down_stabilization_s: float = 300.0
    up: tuple[ScalingPolicy, ...] = (
        ScalingPolicy(Unit.PERCENT, 100, 15.0),
        ScalingPolicy(Unit.PODS, 4, 15.0),
    )
    down: tuple[ScalingPolicy, ...] = (ScalingPolicy(Unit.PERCENT, 100, 15.0),)

    def scaled(self, speed: float) -> HpaConfig:
        """The same rule for a world that runs ``speed`` times faster: every window shrinks."""
        return replace(
            self,
            sync_s=self.sync_s / speed,
            cpu_initialization_s=self.cpu_initialization_s / speed,
            initial_readiness_s=self.initial_readiness_s / speed,
            up_stabilization_s=self.up_stabilization_s / speed,
            down_stabilization_s=self.down_stabilization_s / speed,
            up=tuple(policy._replace(period_s=policy.period_s / speed) for policy in self.up),
            down=tuple(policy._replace(period_s=policy.period_s / speed) for policy in self.down),
        )


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod as the API server and the metrics API show it.

    ``usage`` is the share of the requested CPU, None where there is no sample;
    ``sample_s`` is when that sample was taken. ``ready_changed_s`` is when readiness last
    changed: the start itself for a pod that has not been ready yet. ``pending`` means not
    running yet (no node, pulling its image); ``gone`` failed or being deleted.
    """

    started_s: float
    ready: bool
    ready_changed_s: float
    usage: float | None = None
    sample_s: float = math.inf
    pending: bool = False
    gone: bool = False


@dataclass(slots=True)
class Census:
    """How the pods count: samples of the ready ones, and how many are missing or ignored."""

    usages: list[float] = field(default_factory=list)
    missing: int = 0
    ignored: int = 0


def census(now_s: float, pods: Iterable[Pod], config: HpaConfig) -> Census:
    """Sort pods into those whose sample counts, those without one, and those ignored."""
    found = Census()
    for pod in pods:
        if pod.gone:
            continue
        if pod.pending:
            found.ignored += 1
        elif pod.usage is None:
            found.missing += 1
        elif _ignored(now_s, pod, config):
            found.ignored += 1
        else:
            found.usages.append(pod.usage)
    return found


def _ignored(now_s: float, pod: Pod, config: HpaConfig) -> bool:
    if now_s < pod.started_s + config.cpu_initialization_s:
        return not pod.ready or pod.sample_s < pod.ready_changed_s
    # Readiness that changed only in the first moments is the initial "not ready": never ready.
    return not pod.ready and pod.ready_changed_s < pod.started_s + config.initial_readiness_s


def recommend(now_s: float, pods: Iterable[Pod], wanted: int, config: HpaConfig) -> int | None:
    """Replicas that the CPU metric asks for, or None when no pod has a sample that counts."""
    pod_counts = census(now_s, pods, config)
    usages = pod_counts.usages
    if not usages:
        return None
    ratio = sum(usages) / len(usages) / config.target
    idle = pod_counts.ignored if ratio > 1 else 0
    if not idle and not pod_counts.missing:
        return wanted if _tolerable(ratio, config) else math.ceil(ratio * len(usages))

    counted = len(usages) + idle
    total = sum(usages)
    if ratio != 1:
        counted += pod_counts.missing
        total += pod_counts.missing * (max(1.0, config.target) if ratio < 1 else 0.0)
    return _cautious(ratio, total / counted / config.target, counted, wanted, config)


def _cautious(ratio: float, recomputed: float, counted: int, wanted: int, config: HpaConfig) -> int:
    """Keep what is wanted unless both ratios and the resulting count agree on a direction."""
    flips = (ratio - 1) * (recomputed - 1) < 0
    replicas = math.ceil(recomputed * counted)
    backwards = (recomputed - 1) * (replicas - wanted) < 0
    return wanted if _tolerable(recomputed, config) or flips or backwards else replicas


def _tolerable(ratio: float, config: HpaConfig) -> bool:
    return 1 - config.tolerance <= ratio <= 1 + config.tolerance


class Stamped(NamedTuple):
    """A count and its time: a recommendation, or a change of the replicas wanted."""

    time_s: float
    replicas: int


class Hpa:
    """The controller's memory around the pure recommendation.

    ``config`` may be replaced at any time (raising ``min_replicas`` is how a floor works).
    """

    def __init__(self, config: HpaConfig) -> None:
        self.config = config
        self._synced_s = -math.inf
        self._recommendations: list[Stamped] = []
        self._changes: list[Stamped] = []

    def decide(self, now_s: float, pods: Sequence[Pod], wanted: int) -> int:
        """Replicas to want from now on; between syncs that is what is wanted already."""
        if now_s - self._synced_s < self.config.sync_s:
            return wanted
        self._synced_s = now_s
        replicas = self._sync(now_s, pods, wanted)
        if replicas != wanted:
            self._changes.append(Stamped(now_s, replicas - wanted))
        return replicas

    def _sync(self, now_s: float, pods: Sequence[Pod], wanted: int) -> int:
        config = self.config
        if not self._recommendations:
            self._recommendations.append(Stamped(now_s, wanted))
        if wanted == 0 and config.min_replicas > 0:  # upstream: scaled to zero by hand is "off"
            return 0
        if not config.min_replicas <= wanted <= config.max_replicas:
            return min(max(wanted, config.min_replicas), config.max_replicas)
        recommendation = recommend(now_s, pods, wanted, config)
        if recommendation is None:
            return wanted
        return self._limit(now_s, self._stabilize(now_s, recommendation, wanted), wanted)

    def _stabilize(self, now_s: float, recommendation: int, wanted: int) -> int:
        """Up only to the lowest, down only to the highest recommendation of the window."""
        up_start_s = now_s - self.config.up_stabilization_s
        down_start_s = now_s - self.config.down_stabilization_s
        up = min([recommendation, *_since(self._recommendations, up_start_s)])
        down = max([recommendation, *_since(self._recommendations, down_start_s)])
        start_s = min(up_start_s, down_start_s)
        self._recommendations = _recent(self._recommendations, start_s)
        self._recommendations.append(Stamped(now_s, recommendation))
        return min(max(wanted, up), down)

    def _limit(self, now_s: float, replicas: int, wanted: int) -> int:
        """The loosest scaling policy's limit, counted from the start of its period; the bounds."""
        config = self.config
        periods = [policy.period_s for policy in (*config.up, *config.down)]
        self._changes = _recent(self._changes, now_s - max(periods))
        if replicas > wanted:
            limit = max(self._ceiling(now_s, policy, wanted) for policy in config.up)
            return min(replicas, max(limit, wanted), config.max_replicas)
        if replicas < wanted:
            limit = min(self._floor(now_s, policy, wanted) for policy in config.down)
            return max(replicas, min(limit, wanted), config.min_replicas)
        return wanted

    def _ceiling(self, now_s: float, policy: ScalingPolicy, wanted: int) -> int:
        before = wanted - sum(_since(self._changes, now_s - policy.period_s))
        if policy.unit is Unit.PODS:
            return before + int(policy.value)
        return math.ceil(before * (1 + policy.value / 100))

    def _floor(self, now_s: float, policy: ScalingPolicy, wanted: int) -> int:
        before = wanted - sum(_since(self._changes, now_s - policy.period_s))
        if policy.unit is Unit.PODS:
            return before - int(policy.value)
        return int(before * (1 - policy.value / 100))


def _recent(stamps: list[Stamped], start_s: float) -> list[Stamped]:
    return [stamp for stamp in stamps if stamp.time_s > start_s]


def _since(stamps: list[Stamped], start_s: float) -> list[int]:
    return [stamp.replicas for stamp in _recent(stamps, start_s)]
