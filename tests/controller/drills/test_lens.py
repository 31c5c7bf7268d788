"""What the loop sees while metrics or the way to the stage are broken, and what really is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from trimtab_controller.drills.lens import Lens
from trimtab_controller.drills.plan import Fault, Injection
from trimtab_controller.protocols import Intent, SensorError, Signal, StageError, StageReport
from trimtab_guard.model import Reading

REPORT = StageReport(0.0, "1", "", (), "")
A, B, P95 = ("rate_rps", "a"), ("rate_rps", "b"), ("p95_ms", "")


@dataclass
class World:
    """A stage and a sensor whose every reading is the time."""

    now_s: float = 100.0
    written: list[str] = field(default_factory=list)

    def status(self) -> StageReport:
        return REPORT

    def apply(self, intent: Intent) -> str:
        self.written.append(intent.request_id)
        return "2"

    def read(self, _report: StageReport) -> Mapping[Signal, Reading]:
        return {signal: Reading(self.now_s, self.now_s) for signal in (A, B, P95)}


def shown(lens: Lens, world: World) -> Mapping[Signal, Reading]:
    """What the next tick sees."""
    world.now_s += 1.0
    return lens.read(lens.status())


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def lens(world: World) -> Lens:
    lens = Lens(world, world, lambda: world.now_s)
    shown(lens, world)  # at 101
    return lens


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(Fault.NAN_METRICS, lambda now_s: Reading(math.nan, now_s), id="nan"),
        pytest.param(Fault.FROZEN_METRICS, lambda now_s: Reading(101.0, now_s), id="frozen"),
        pytest.param(
            Fault.LATE_METRICS,
            lambda now_s: Reading(max(101.0, now_s - 3.0), max(101.0, now_s - 3.0)),
            id="late",
        ),
        pytest.param(Fault.NO_METRICS, lambda _: None, id="none"),
    ],
)
def test_one_backend_s_metrics_are_broken_and_the_truth_is_kept(
    lens: Lens, world: World, fault: Fault, expected: Callable[[float], Reading | None]
) -> None:
    lens.have([Injection(fault, for_s=9.0, backend="a", late_s=3.0)])
    for _ in range(6):
        seen, now_s = shown(lens, world), world.now_s
        assert str(seen.get(A)) == str(expected(now_s))  # as text, in which NaN is NaN
        assert seen[B] == seen[P95] == Reading(now_s, now_s)
        assert lens.readings[A] == Reading(now_s, now_s)
    lens.have([])
    assert shown(lens, world)[A] == Reading(world.now_s, world.now_s)


def test_without_any_metric_the_sensor_fails_and_the_truth_is_kept(
    lens: Lens, world: World
) -> None:
    lens.have([Injection(Fault.NO_METRICS, for_s=9.0)])
    with pytest.raises(SensorError, match="a drill"):
        shown(lens, world)
    assert lens.readings[P95].value == world.now_s


def test_cut_off_from_its_stage_it_sees_and_writes_nothing_and_the_truth_is_kept(
    lens: Lens, world: World
) -> None:
    intent = Intent("web-1", "web", 0.0, "1", ())
    lens.have([Injection(Fault.CUT_STAGE, for_s=9.0)])
    with pytest.raises(StageError, match="a drill"):
        shown(lens, world)
    with pytest.raises(StageError, match="a drill"):
        lens.apply(intent)
    assert (lens.report, lens.readings[A].value, world.written) == (REPORT, world.now_s, [])
    lens.have([])
    assert (lens.apply(intent), world.written) == ("2", ["web-1"])
