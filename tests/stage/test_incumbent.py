"""The HPA sees replicas as Kubernetes shows pods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from trimtab_sim.profile import BackendProfile
from trimtab_stage.fleet import Phase, Replica
from trimtab_stage.incumbent import Incumbent, metric_window_s, pod

PROFILE = BackendProfile("spot", concurrency=4, max_replicas=12)
NOW_S = 1000.0


def replica(phase: Phase, busy_share: float | None = None, ready_s: float = 900.0) -> Replica:
    """One that kept this share of its slots busy over the last second (None: not yet measured)."""
    made = Replica(Path("spot.sock"), started_s=ready_s - 5, phase=phase, ready_s=ready_s)
    if busy_share is not None:
        busy_s = busy_share * PROFILE.concurrency
        made.samples = [(NOW_S - 1, 50.0), (NOW_S - 0.5, 50.0), (NOW_S, 50.0 + busy_s)]
    return made


FULL, HALF = replica(Phase.READY, 1.0), replica(Phase.READY, 0.5)
LEAVING, STARTING = replica(Phase.DRAINING, 1.0), replica(Phase.STARTING, ready_s=NOW_S)
UNMEASURED = replica(Phase.READY, ready_s=NOW_S - 0.1)


@pytest.mark.parametrize(
    ("replicas", "floor", "wanted"),
    [
        ([FULL], 1, 2),
        ([FULL, FULL], 1, 4),
        ([FULL, LEAVING], 1, 2),
        ([FULL, STARTING], 1, 2),
        ([FULL, UNMEASURED], 1, 2),
        ([HALF], 1, 1),
        ([HALF], 5, 5),
    ],
    ids=["full", "two-full", "draining", "starting", "unmeasured", "on-target", "floor"],
)
def test_wanted(replicas: Sequence[Replica], floor: int, wanted: int) -> None:
    present = sum(r.phase is not Phase.DRAINING for r in replicas)
    incumbent = Incumbent(PROFILE, target=0.5, speed=60.0)
    pods = [pod(each, PROFILE.concurrency) for each in replicas]
    assert incumbent.decide(NOW_S, pods, present, floor) == wanted


@pytest.mark.parametrize(("speed", "window_s"), [(1.0, 15.0), (5.0, 3.0), (60.0, 1.0)])
def test_the_metric_window_shrinks_with_the_trace_but_not_into_noise(
    speed: float, window_s: float
) -> None:
    assert metric_window_s(speed) == window_s
