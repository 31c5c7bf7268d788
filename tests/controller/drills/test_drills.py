"""A drill from start to end in the loop: only when all is well, inside its radius, and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from trimtab_controller.drills.breaking import StageFault
from trimtab_controller.drills.course import Course, Phase
from trimtab_controller.drills.plan import Plan, parsed
from trimtab_controller.protocols import StageError
from trimtab_guard.authority import Epoch
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here

FILE = """\
drill: try
service: web
steady: {miss_share: 0.05, for_s: 3}
recover_s: 10
blast: {replicas_share: 0.5, error_budget_s: 5, lasts_s: 60, proxy_s: 10}
faults:
"""
KILL = "- {fault: kill, backend: a}"
CUT = "- {fault: partition, backend: a, for_s: 4}"


@dataclass
class Saboteur:
    """What a stage breaks, as it is told; it may not answer."""

    broken: dict[str, StageFault] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    lease_s: float = 0.0
    epochs: list[Epoch] = field(default_factory=list)
    away: bool = False

    def have_broken(
        self, faults: Sequence[StageFault], lease_s: float, epoch: Epoch
    ) -> Mapping[str, Sequence[str]]:
        if self.away:
            raise StageError("stage at /nowhere: UNAVAILABLE")
        self.broken, self.lease_s = {fault.id: fault for fault in faults}, lease_s
        self.epochs.append(epoch)
        self.killed += [f.id for f in faults if f.kind == "kill" and f.id not in self.killed]
        return {f.id: [f"{f.backend}-{n}" for n in range(f.replicas)] for f in faults}

    @property
    def kinds(self) -> list[str]:
        return [str(fault.kind) for fault in self.broken.values()]


@pytest.fixture
def saboteur() -> Saboteur:
    return Saboteur()


@pytest.fixture
def world(new_world: Callable[[Mode], World], saboteur: Saboteur) -> World:
    """A guarded world of twice three replicas, where a drill may be; half a per cent misses."""
    world = new_world(Mode.GUARDED)
    world.reload("miss_price: 50", "miss_price: 50\n    drills: {replicas_share: 0.5, proxy_s: 20}")
    world.want(a=3, b=3)
    world.sensor.values |= {("miss_share", ""): 0.005, ("p95_ms", ""): 80.0}
    world.stage.have_broken = saboteur.have_broken
    world.tick(10)
    return world


def plan(*faults: str, file: str = FILE) -> Plan:
    return parsed(file + "\n".join(faults))


def begin(world: World, *faults: str, file: str = FILE) -> Course:
    course: Course = world.board.drills.begin(
        world.board, plan(*faults, file=file), "ann", world.clock()
    )
    return course


def course(world: World) -> Course:
    found: Course = world.board.drills.courses["web"]
    return found


def events(world: World) -> list[str]:
    return [entry.body["event"] for entry in world.journal.entries(kinds=("drill",))]


def miss(world: World, share: float) -> None:
    world.sensor.values["miss_share", ""] = share


def test_it_waits_for_the_steady_state_breaks_and_sees_it_come_back(
    world: World, saboteur: Saboteur
) -> None:
    begin(world, CUT)
    miss(world, 0.2)
    world.tick(2)
    miss(world, 0.0)
    world.tick(3)
    assert (course(world).phase, saboteur.kinds) == (Phase.BEFORE, [])
    world.tick()
    assert (course(world).phase, saboteur.kinds) == (Phase.FAULTS, ["partition"])
    assert saboteur.epochs[-1] == world.mandate.epoch
    miss(world, 0.3)
    world.tick(3)
    assert (course(world).phase, saboteur.kinds) == (Phase.FAULTS, ["partition"])
    world.tick()
    assert (course(world).phase, saboteur.kinds) == (Phase.AFTER, [])
    world.tick(2)
    miss(world, 0.0)
    world.tick(3)
    assert course(world).phase is Phase.AFTER
    world.tick()
    assert course(world).phase is Phase.STEADY
    assert course(world).why == "steady again 3 s after the end of the last fault"
    assert course(world).missed_s == pytest.approx(0.3 * 6)
    assert events(world) == [
        "begun by ann",
        "the steady state holds: faults begin",
        "begins: partition 1 of a, for 4 s",
        "hit: a-0",
        "over: partition 1 of a, for 4 s",
        "all faults are over",
        "steady: steady again 3 s after the end of the last fault",
    ]
