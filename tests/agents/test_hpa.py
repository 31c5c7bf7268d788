"""Every branch of the Kubernetes HPA algorithm, one table row each, then its memory over time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trimtab_agents.hpa import Hpa, HpaConfig, Pod, ScalingPolicy, Unit, recommend

NOW_S = 10_000.0
CONFIG = HpaConfig(target=0.5)


def ready(usage: float | None) -> Pod:
    return Pod(started_s=0.0, ready=True, ready_changed_s=100.0, usage=usage, sample_s=NOW_S)


GONE = Pod(started_s=0.0, ready=True, ready_changed_s=100.0, usage=9.0, gone=True)
PENDING = Pod(started_s=NOW_S, ready=False, ready_changed_s=NOW_S, pending=True)
MISSING = ready(None)
YOUNG_UNREADY = Pod(started_s=NOW_S - 299, ready=False, ready_changed_s=NOW_S - 299, usage=9.0)
YOUNG_EARLY_SAMPLE = Pod(
    NOW_S - 299, True, ready_changed_s=NOW_S - 5, usage=9.0, sample_s=NOW_S - 6
)
YOUNG_READY = Pod(NOW_S - 299, True, ready_changed_s=NOW_S - 5, usage=1.0, sample_s=NOW_S - 5)
NEVER_READY = Pod(started_s=NOW_S - 300, ready=False, ready_changed_s=NOW_S - 271, usage=9.0)
ONCE_READY = Pod(started_s=NOW_S - 300, ready=False, ready_changed_s=NOW_S - 270, usage=1.0)


@pytest.mark.parametrize(
    ("pods", "wanted", "expected"),
    [
        pytest.param([], 3, None, id="no-pod"),
        pytest.param([GONE, PENDING, MISSING], 3, None, id="no-sample-that-counts"),
        pytest.param([ready(0.5)] * 4, 4, 4, id="on-target"),
        pytest.param([ready(0.55)] * 4, 4, 4, id="upper-edge-of-tolerance"),
        pytest.param([ready(0.45)] * 4, 4, 4, id="lower-edge-of-tolerance"),
        pytest.param([ready(0.56)] * 4, 4, 5, id="above-tolerance-rounds-up"),
        pytest.param([ready(0.44)] * 10, 10, 9, id="below-tolerance-rounds-up"),
        pytest.param([ready(1.0)] * 3, 3, 6, id="doubles"),
        pytest.param([ready(0.0)] * 3, 3, 0, id="idle"),
        pytest.param([ready(1.0)] * 3, 9, 6, id="ready-pods-count-not-wanted"),
        pytest.param([ready(1.0)] * 3 + [GONE] * 3, 3, 6, id="gone-pods-are-dropped"),
        # Ignored pods count as idle when scaling up, and not at all when scaling down.
        pytest.param([ready(1.0)] * 3 + [PENDING], 4, 6, id="pending-dampens-growth"),
        pytest.param([ready(1.0)] * 3 + [PENDING] * 3, 6, 6, id="pending-keeps-within-tolerance"),
        pytest.param([ready(1.0)] * 2 + [PENDING] * 4, 6, 6, id="pending-would-flip-direction"),
        pytest.param([ready(0.2)] * 5 + [PENDING] * 5, 10, 2, id="pending-ignored-when-shrinking"),
        pytest.param([ready(0.5)] * 4 + [PENDING], 5, 5, id="pending-on-target"),
        pytest.param([ready(1.0)] * 3 + [YOUNG_UNREADY], 4, 6, id="young-unready-is-ignored"),
        pytest.param([ready(1.0)] * 3 + [YOUNG_EARLY_SAMPLE], 4, 6, id="sample-before-readiness"),
        pytest.param([ready(1.0)] * 3 + [YOUNG_READY], 4, 8, id="young-ready-counts"),
        pytest.param([ready(1.0)] * 3 + [NEVER_READY], 4, 6, id="old-never-ready-is-ignored"),
        pytest.param([ready(1.0)] * 3 + [ONCE_READY], 4, 8, id="old-once-ready-counts"),
        # Missing pods count against the direction of the change.
        pytest.param([ready(1.0)] * 3 + [MISSING], 4, 6, id="missing-is-idle-when-growing"),
        pytest.param([ready(0.1)] * 9 + [MISSING], 10, 4, id="missing-is-full-when-shrinking"),
        pytest.param([ready(0.3)] * 3 + [MISSING], 4, 4, id="missing-keeps-within-tolerance"),
        pytest.param([ready(0.3)] * 1 + [MISSING], 2, 2, id="missing-would-flip-direction"),
        pytest.param([ready(0.5)] * 3 + [MISSING], 4, 4, id="missing-on-target"),
        pytest.param([ready(1.0)] * 4 + [MISSING, PENDING], 6, 8, id="missing-and-pending"),
        # The count would move against the ratio.
        pytest.param([ready(1.0)] * 3 + [MISSING], 9, 9, id="growth-that-would-remove"),
        pytest.param([ready(0.1)] * 9 + [MISSING], 3, 3, id="shrinking-that-would-add"),
    ],
)
def test_recommendation(pods: list[Pod], wanted: int, expected: int | None) -> None:
    assert recommend(NOW_S, pods, wanted, CONFIG) == expected


def test_missing_counts_at_the_target_when_that_is_above_the_request() -> None:
    config = HpaConfig(target=2.0)
    assert recommend(NOW_S, [ready(0.5)] * 3 + [MISSING], 4, config) == 2  # ceil((1.5 + 2) / 2)


def run(config: HpaConfig, wanted: int, usages: list[float], step_s: float = 15.0) -> list[int]:
    """Decisions of one controller whose pods are all ready and equally busy, step by step."""
    hpa, counts = Hpa(config), []
    for step, usage in enumerate(usages):
        wanted = hpa.decide(NOW_S + step * step_s, [ready(usage)] * wanted, wanted)
        counts.append(wanted)
    return counts


PERCENT_50 = ScalingPolicy(Unit.PERCENT, 50, 15.0)
PODS_2 = ScalingPolicy(Unit.PODS, 2, 60.0)


@pytest.mark.parametrize(
    ("changes", "wanted", "usages", "expected"),
    [
        pytest.param({}, 1, [5.0] * 3, [5, 10, 20], id="up-4-pods-then-double"),
        pytest.param({"max_replicas": 8}, 4, [5.0], [8], id="up-to-max"),
        pytest.param({"min_replicas": 3}, 1, [0.5], [3], id="below-min-jumps-to-min"),
        pytest.param({"max_replicas": 3}, 9, [0.5], [3], id="above-max-jumps-to-max"),
        pytest.param({"min_replicas": 1}, 0, [5.0], [0], id="zero-by-hand-is-off"),
        pytest.param({"min_replicas": 0}, 2, [0.0] * 21, [2] * 20 + [0], id="down-to-zero"),
        pytest.param({}, 8, [0.1] * 21, [8] * 20 + [2], id="down-after-the-window"),
        pytest.param(
            {"down_stabilization_s": 30.0},
            8,
            [0.1, 0.3, 0.1, 0.1, 0.1],
            [8, 8, 5, 2, 1],
            id="down-only-to-the-highest-of-the-window",
        ),
        pytest.param(
            {"up_stabilization_s": 30.0},
            4,
            [1.0, 1.0, 1.0, 0.5, 1.0],
            [4, 4, 8, 8, 8],
            id="up-only-to-the-lowest-of-the-window",
        ),
        pytest.param({"up": (PODS_2,)}, 4, [1.0] * 5, [6, 6, 6, 6, 8], id="pods-per-longer-period"),
        pytest.param({"up": (PERCENT_50,)}, 3, [5.0] * 2, [5, 8], id="percent-up-rounds-up"),
        pytest.param(
            {"down": (PERCENT_50,), "down_stabilization_s": 0.0},
            7,
            [0.0] * 3,
            [3, 1, 1],
            id="percent-down-drops-the-fraction",
        ),
        pytest.param(
            {"down": (PODS_2, PERCENT_50), "down_stabilization_s": 0.0, "min_replicas": 0},
            6,
            [0.0] * 3,
            [3, 1, 0],
            id="loosest-of-two-policies",
        ),
        pytest.param(
            {"down": (PODS_2,), "down_stabilization_s": 0.0},
            4,
            [0.0, 5.0, 0.0],
            [2, 6, 2],
            id="net-change-of-the-period",
        ),
    ],
)
def test_limits_over_time(
    changes: dict[str, object], wanted: int, usages: list[float], expected: list[int]
) -> None:
    assert run(replace(CONFIG, **changes), wanted, usages) == expected  # type: ignore[arg-type] # a table row names any field


def test_syncs_no_more_often_than_configured() -> None:
    assert run(CONFIG, 1, [5.0] * 7, step_s=5.0) == [5, 5, 5, 10, 10, 10, 20]


def test_no_sample_keeps_the_count() -> None:
    assert Hpa(CONFIG).decide(NOW_S, [PENDING], 4) == 4


def test_limits_hold_when_replicas_change_by_another_hand() -> None:
    """A period's limit below what is wanted already must not turn growth into shrinking."""
    hpa = Hpa(replace(CONFIG, up=(PODS_2,), down=(PODS_2,), down_stabilization_s=0.0))
    assert hpa.decide(NOW_S, [ready(5.0)] * 4, 4) == 6
    assert hpa.decide(NOW_S + 15, [ready(5.0)] * 3, 3) == 3
    hpa = Hpa(replace(CONFIG, down=(PODS_2,), down_stabilization_s=0.0))
    assert hpa.decide(NOW_S, [ready(0.0)] * 6, 6) == 4
    assert hpa.decide(NOW_S + 15, [ready(0.0)] * 9, 9) == 9


def test_replacing_the_configuration_raises_the_floor() -> None:
    hpa = Hpa(CONFIG)
    assert hpa.decide(NOW_S, [ready(0.5)] * 2, 2) == 2
    hpa.config = replace(CONFIG, min_replicas=6)
    assert hpa.decide(NOW_S + 15, [ready(0.5)] * 2, 2) == 6


def test_scaled_shrinks_every_window_and_nothing_else() -> None:
    scaled = CONFIG.scaled(10.0)
    windows = (scaled.sync_s, scaled.cpu_initialization_s, scaled.initial_readiness_s)
    assert windows == (1.5, 30.0, 3.0)
    assert (scaled.up_stabilization_s, scaled.down_stabilization_s) == (0.0, 30.0)
    assert [policy.period_s for policy in scaled.up + scaled.down] == [1.5] * 3
    assert (scaled.target, scaled.tolerance, scaled.max_replicas) == (0.5, 0.1, 400)
    assert math.isclose(scaled.up[0].value, 100)
