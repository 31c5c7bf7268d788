"""The rule that people have already: Kubernetes' HPA, one per backend, with a relaxed target.

It stays underneath whatever steers the floor. In a replayed world everything runs faster, so its
windows shrink with the trace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from trimtab_agents.hpa import Hpa, HpaConfig, Pod
from trimtab_sim.profile import BackendProfile
from trimtab_stage.fleet import Phase, Replica

# Service times do not shrink with the trace: over less than this, utilisation is mostly noise.
LEAST_WINDOW_S = 1.0


def metric_window_s(speed: float) -> float:
    """How long utilisation is averaged: metrics-server's 15 s, at this speed."""
    return max(LEAST_WINDOW_S, 15.0 / speed)


class Incumbent:
    """The HPA of one backend. ``target`` is the utilisation (busy slots / slots) to hold."""

    def __init__(self, profile: BackendProfile, target: float, speed: float) -> None:
        config = HpaConfig(target=target, max_replicas=profile.max_replicas)
        self._hpa = Hpa(config.scaled(speed))

    def decide(self, now_s: float, pods: Sequence[Pod], wanted: int, floor: int) -> int:
        """Replicas to want from now on: the HPA's wish, its minReplicas being ``floor``."""
        self._hpa.config = replace(self._hpa.config, min_replicas=floor)
        return self._hpa.decide(now_s, pods, wanted)


def pod(replica: Replica, slots: int) -> Pod:
    """A replica as the metrics API shows it; idle, with an early sample, until measured."""
    ready = replica.phase is Phase.READY
    measured = ready and len(replica.samples) > 1
    return Pod(
        started_s=replica.started_s,
        ready=ready,
        ready_changed_s=replica.ready_s if ready else replica.started_s,
        usage=_usage(replica, slots) if measured else 0.0,
        sample_s=replica.samples[0][0] if measured else -math.inf,
        gone=replica.phase is Phase.DRAINING,
    )


def _usage(replica: Replica, slots: int) -> float:
    (start_s, start_busy_s), (end_s, end_busy_s) = replica.samples[0], replica.samples[-1]
    return (end_busy_s - start_busy_s) / (end_s - start_s) / slots
