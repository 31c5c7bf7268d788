"""Each cause is provoked in a world that reacts to it: among others, it ranks first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from trimtab_controller.explain.changes import Changes
from trimtab_controller.explain.steps import step
from trimtab_controller.protocols import StageReport
from trimtab_controller.recommend.subject import configured
from trimtab_controller.refusals import InvalidRequest
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_stage.spec import Ask

World = Any  # the class in conftest.py, which cannot be imported from here

SERVICE_S, SLOTS = 0.05, 4
REPLICA_RPS = SLOTS / SERVICE_S


@dataclass
class Plant:
    """The load and the replicas behind a world, and what they make of each other."""

    world: World
    load_rps: float = 600.0
    dead: dict[str, int] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    noise: Random = field(default_factory=lambda: Random(7))

    def __post_init__(self) -> None:
        self._seen = self.world.stage.status
        self.world.stage.status = self.status

    def status(self) -> StageReport:
        report = self._seen()
        backends = (b._replace(ready=b.ready - self.dead.get(b.name, 0)) for b in report.backends)
        return report._replace(backends=tuple(backends))

    def live(self, ticks: int = 1) -> None:
        for _ in range(ticks):
            self._measure()
            self.world.tick()

    def _measure(self) -> None:
        """Misses begin where a backend is used to 85 %."""
        missed, load = 0.0, self.load_rps * self.noise.uniform(0.95, 1.05)
        for backend in self.status().backends:
            rate, times = load * backend.weight, self.slow.get(backend.name, 1.0)
            used = rate * times / max(0.5, backend.ready) / REPLICA_RPS
            errors = self.errors.get(backend.name, 0.0)
            missed += backend.weight * min(1.0, errors + max(0.0, used - 0.85))
            waits = 1.0 + min(used, 0.99) ** 2 / SLOTS / (1.0 - min(used, 0.99))
            self.world.sensor.values |= {
                ("rate_rps", backend.name): rate,
                ("in_flight", backend.name): rate * SERVICE_S * times * waits,
                ("error_share", backend.name): errors,
            }
        self.world.sensor.values["miss_share", ""] = missed

    def found(self) -> pb.WhatChangedReply:
        world = self.world
        changes = Changes(world.journal, configured(world.config), world.clock)
        return changes.what_changed(pb.WhatChangedRequest(service="web"))


@pytest.fixture
def plant(new_world: Callable[[Mode], World]) -> Plant:
    """Twelve replicas at five eighths of what they carry, which trimtab has just raised."""
    world = new_world(Mode.GUARDED)
    plant = Plant(world, load_rps=100.0)
    world.want(a=6, b=6)
    plant.live(20)
    plant.load_rps = 600.0
    plant.live(60)
    world.mandate.renew("web", "ann", world.clock())
    return plant


def ours(plant: Plant) -> None:
    """Its profile is too good by a quarter: the guard lets it take a replica too many."""
    plant.slow = {"a": 1.25, "b": 1.25}
    plant.live(60)
    plant.world.want(a=5, b=6)
    plant.live(8)


def foreign(plant: Plant) -> None:
    plant.world.stage.write("ben", Ask("a", 3, None))


def foreign_route(plant: Plant) -> None:
    plant.world.stage.write("ben", Ask("a", None, 0.9), Ask("b", None, 0.1))


def rollout(plant: Plant) -> None:
    plant.world.stage.rolling = True
    plant.dead = {"a": 3}


def death(plant: Plant) -> None:
    plant.dead = {"b": 4}


def load(plant: Plant) -> None:
    plant.load_rps = 1200.0


def gap(plant: Plant) -> None:
    plant.world.sensor.error = "Prometheus does not answer"
    plant.live(8)
    plant.load_rps = 1200.0
    plant.world.sensor.error = ""


def slow(plant: Plant) -> None:
    plant.slow = {"a": 3.0}


def errors(plant: Plant) -> None:
    plant.errors = {"b": 0.3}


CAUSES = [
    pytest.param(ours, "ours", "trimtab scaled a down", id="ours"),
    pytest.param(foreign, "foreign write", "somebody else scaled a down", id="foreign write"),
    pytest.param(foreign_route, "foreign write", "somebody else moved a from 50", id="route"),
    pytest.param(rollout, "rollout", "a rollout took a from 6 to 3 ready replicas", id="rollout"),
    pytest.param(death, "replica death", "b went from 6 to 2 ready replicas", id="death"),
    pytest.param(load, "load shift", "the load rose from", id="load"),
    pytest.param(gap, "metric gap", "in which the load rose from", id="gap"),
    pytest.param(slow, "slower replicas", "times as long to serve a request", id="slow"),
    pytest.param(errors, "errors", "b answered 30 % with errors", id="errors"),
]


@pytest.mark.parametrize(("cause", "kind", "words"), CAUSES)
def test_the_true_cause_ranks_first(
    plant: Plant, cause: Callable[[Plant], None], kind: str, words: str
) -> None:
    before_s = plant.world.clock()
    cause(plant)
    plant.live(6)
    found = plant.found()
    assert found.risen
    assert before_s < found.since_s <= plant.world.clock()
    assert found.before < found.allowed < found.miss_share
    assert found.suspects[0].kind == kind
    assert words in found.suspects[0].words
    assert found.suspects[0].words in found.words
    weights = [suspect.weight for suspect in found.suspects]
    assert weights == sorted(weights, reverse=True)


def test_misses_that_have_not_risen_are_not_explained(plant: Plant) -> None:
    found = plant.found()
    assert (found.risen, list(found.suspects)) == (False, [])
    assert found.words.startswith("misses have not risen since")


def test_a_change_after_the_rise_is_no_cause(plant: Plant) -> None:
    plant.slow = {"a": 3.0}
    plant.live(10)
    plant.dead = {"b": 1}
    plant.live(10)
    found = plant.found()
    assert [suspect.kind for suspect in found.suspects if suspect.weight > 0.0] == [
        "slower replicas"
    ]


def test_what_humans_did_is_told_beside_it(plant: Plant) -> None:
    plant.live(2)
    plant.world.mandate.stop("ann", "it smells", plant.world.clock())
    load(plant)
    plant.live(6)
    assert any("ann stopped all writes: it smells" in line for line in plant.found().also)


def test_a_service_without_a_past_is_told_so(world: World) -> None:
    changes = Changes(world.journal, configured(world.config), world.clock)
    request = pb.WhatChangedRequest(service="web", since_s=1.0, until_s=2.0)
    assert changes.what_changed(request).words.startswith("nothing is known since")


@pytest.mark.parametrize("field", ["since_s", "until_s"])
@pytest.mark.parametrize("time_s", [-1.0, float("nan"), float("inf"), 2.6e11])
def test_a_time_without_a_date_is_refused(world: World, field: str, time_s: float) -> None:
    changes = Changes(world.journal, configured(world.config), world.clock)
    request = pb.WhatChangedRequest(service="web", **{field: time_s})
    with pytest.raises(InvalidRequest, match=f"{field}: must be seconds since the epoch"):
        changes.what_changed(request)


@pytest.mark.parametrize(
    ("values", "at_s", "levels"),
    [
        pytest.param([100.0] * 40 + [200.0] * 10, 40.0, (100.0, 200.0), id="at the rise"),
        pytest.param([100.0] * 35 + [200.0] * 15, 35.0, (100.0, 200.0), id="before it"),
        pytest.param([6.0] * 38 + [3.0] * 12, 38.0, (6.0, 3.0), id="down"),
        pytest.param([100.0] * 50, None, None, id="flat"),
        pytest.param([100.0] * 40 + [110.0] * 10, None, None, id="noise"),
        pytest.param([float("nan")] * 50, None, None, id="not measured"),
    ],
)
def test_a_step_is_found_where_it_was(
    values: list[float], at_s: float | None, levels: tuple[float, float] | None
) -> None:
    found = step([(float(index), value) for index, value in enumerate(values)], 40.0)
    assert (found and found.time_s) == at_s
    assert (found and (found.before, found.after)) == levels
