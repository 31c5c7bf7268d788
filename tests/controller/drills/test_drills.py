"""A drill from start to end in the loop: only when all is well, inside its radius, and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from trimtab_controller.drills.breaking import StageFault
from trimtab_controller.drills.course import Course, Phase
from trimtab_controller.drills.plan import Plan, parsed
from trimtab_controller.mandate import Refusal, UnknownError
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
NAN = "- {fault: nan-metrics, for_s: 40}"


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
        "steady again 3 s after the end of the last fault",
    ]


def test_nothing_is_broken_while_it_is_not_steady(world: World, saboteur: Saboteur) -> None:
    begin(world, KILL)
    miss(world, 0.06)
    world.tick(19)
    assert course(world).phase is Phase.NOT_BEGUN
    assert saboteur.killed == []
    assert not world.board.busy("web")


@pytest.mark.parametrize("unseen", [float("nan"), None], ids=["nan", "nothing"])
def test_what_is_not_seen_is_not_steady(
    world: World, saboteur: Saboteur, unseen: float | None
) -> None:
    begin(world, KILL)
    del world.sensor.values["miss_share", ""]
    if unseen is not None:
        miss(world, unseen)
    world.tick(19)
    assert (course(world).phase, saboteur.killed) == (Phase.NOT_BEGUN, [])


def test_what_does_not_come_back_in_time_was_not_withstood(world: World) -> None:
    begin(world, KILL)
    world.tick(4)
    assert course(world).phase is Phase.AFTER
    miss(world, 0.2)
    world.tick(10)
    assert course(world).phase is Phase.AFTER
    world.tick()
    assert course(world).phase is Phase.UNSTEADY
    assert course(world).why == "not steady again within 10 s of the last fault"


def test_a_killed_replica_counts_and_is_killed_once(world: World, saboteur: Saboteur) -> None:
    begin(world, KILL, "- {fault: slow, backend: b, at_s: 1, for_s: 2}")
    world.tick(8)
    assert len(saboteur.killed) == 1
    assert course(world).killed == 1
    assert saboteur.broken == {}


def in_force(world: World, *faults: str, ticks: int = 5) -> Course:
    """A drill amid its faults."""
    begin(world, *faults)
    world.tick(ticks)
    assert course(world).phase is Phase.FAULTS
    return course(world)


def stop(world: World) -> None:
    world.mandate.stop("ann", "", world.clock())


def close_the_window(world: World) -> None:
    freeze = "schedule: {freezes: [{start: 2020-01-01T00:00, end: 2099-01-01T00:00, why: fair}]}"
    world.reload("ceiling: guarded", f"ceiling: guarded\n    {freeze}")


def forbid(world: World) -> None:
    world.reload("    drills: {replicas_share: 0.5, proxy_s: 20}\n", "")


def lower(world: World) -> None:
    world.mandate.set_mode("web", Mode.ASSIST, "ann", world.clock())


def abort(world: World) -> None:
    world.mandate.abort("ann", "", world.clock())


def scale_down(world: World) -> None:
    world.stage.spec.floors["a"] = 1


def blind(world: World) -> None:
    world.sensor.error = "broken"


def lose(world: World) -> None:
    world.stage.down = True


def miss_all(world: World) -> None:
    miss(world, 1.0)


@pytest.mark.parametrize(
    ("happens", "ticks", "says"),
    [
        pytest.param(stop, 1, "trimtab is stopped", id="stop"),
        pytest.param(abort, 1, "what runs is being undone", id="abort"),
        pytest.param(close_the_window, 1, "frozen until 2099", id="freeze"),
        pytest.param(forbid, 1, "does not allow drills any more", id="configuration"),
        pytest.param(lower, 1, "web is in assist", id="mode"),
        pytest.param(scale_down, 1, "TOO_FEW: 0 ready replicas of a left", id="few replicas"),
        pytest.param(miss_all, 5, "BUDGET: misses worth 5.0 s", id="error budget"),
        pytest.param(blind, 4, "UNSEEN: nobody has seen how requests fare for 4.0 s", id="blind"),
        pytest.param(lose, 4, "UNSEEN: nobody has seen how requests fare for 4.0 s", id="no stage"),
    ],
)
def test_what_ends_it_undoes_everything_first(
    world: World,
    saboteur: Saboteur,
    happens: Callable[[World], None],
    ticks: int,
    says: str,
) -> None:
    in_force(world, "- {fault: partition, backend: a, for_s: 40}", NAN)
    assert saboteur.kinds == ["partition"]
    happens(world)
    for _ in range(ticks):
        assert course(world).phase is Phase.FAULTS
        world.tick()
    assert course(world).phase is Phase.ABORTED
    assert says in course(world).why
    assert saboteur.broken == {}
    assert world.services[0].stage.faults == ()
    assert not world.board.drills.busy("web")


def test_a_human_ends_it_at_once(world: World, saboteur: Saboteur) -> None:
    in_force(world, CUT)
    ended = world.board.drills.end("web", "bob", "enough", world.clock())
    assert (ended.phase, ended.why) == (Phase.ABORTED, "ended by bob: enough")
    assert saboteur.broken == {}
    with pytest.raises(UnknownError):
        world.board.drills.end("web", "bob", "", world.clock())


def test_a_regression_ends_it(world: World, saboteur: Saboteur) -> None:
    in_force(world, CUT)
    world.board.give_back("web", "misses rose after a write of web", world.clock())
    assert course(world).why == "misses rose after a write of web"
    assert saboteur.broken == {}


def test_a_killed_daemon_leaves_a_lease_and_the_next_one_ends_the_drill(
    world: World, saboteur: Saboteur
) -> None:
    in_force(world, CUT)
    assert saboteur.lease_s == 3.0
    world.restart()
    assert saboteur.kinds == ["partition"]  # nobody has asked again: the stage's lease runs out
    world.tick()
    assert course(world).phase is Phase.ABORTED
    assert course(world).why == "the daemon was restarted amid it"
    assert saboteur.broken == {}
    assert "hit: a-0" in world.board.drills.page(course(world))


def test_a_stage_that_does_not_answer_is_asked_until_all_is_whole(
    world: World, saboteur: Saboteur
) -> None:
    in_force(world, CUT)
    saboteur.away = True
    world.tick()
    assert course(world).phase is Phase.ABORTED
    assert "the stage would not: stage at /nowhere" in course(world).why
    assert "undoes it by itself" in course(world).why
    saboteur.away = False
    world.tick()
    assert saboteur.broken == {}


def test_a_fault_is_in_the_journal_before_the_stage_is_asked(
    world: World, saboteur: Saboteur
) -> None:
    begin(world, KILL)
    world.tick(3)
    saboteur.away = True
    world.tick()
    assert events(world)[-2:] == [
        "begins: kill 1 of a",
        "aborted: the stage would not: stage at /nowhere: UNAVAILABLE; the stage does not answer, "
        "and undoes it by itself",
    ]


def test_no_second_one_and_no_other_experiment_while_it_runs(world: World) -> None:
    begin(world, KILL)
    with pytest.raises(Refusal, match="`trimtab drill --end web` first"):
        begin(world, KILL)
    assert "trimtab drill --end web" in world.board.busy("web")


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        pytest.param(["- {fault: kill, backend: a, replicas: 4}"], "RADIUS: 4 replicas", id="many"),
        pytest.param(["- {fault: kill, backend: a, replicas: 3}"], "TOO_FEW: 0 ready", id="all"),
        pytest.param(["- {fault: stop-proxy, for_s: 11}"], "PROXY: the proxy", id="proxy"),
        pytest.param([CUT, "- {fault: no-metrics, at_s: 59, for_s: 2}"], "TIME: it", id="long"),
    ],
)
def test_what_goes_beyond_its_radius_does_not_begin(
    world: World, saboteur: Saboteur, faults: list[str], says: str
) -> None:
    with pytest.raises(Refusal, match=says):
        begin(world, *faults)
    assert not world.board.drills.courses


def test_what_goes_beyond_its_radius_only_then_ends_it_before_it_is_done(
    world: World, saboteur: Saboteur
) -> None:
    """Each alone would be allowed, of six replicas three."""
    begin(world, *["- {fault: kill, backend: a, replicas: 2}"] * 2)
    world.tick(4)
    assert course(world).phase is Phase.ABORTED
    assert "kill 2 of a: RADIUS: 4 replicas would be hit, the most is 3" in course(world).why
    assert len(saboteur.killed) == 1


def test_drills_are_off_unless_the_configuration_says_otherwise(world: World) -> None:
    forbid(world)
    with pytest.raises(Refusal, match="drills are off"):
        begin(world, KILL)


def test_they_begin_in_guarded_mode_only(world: World) -> None:
    lower(world)
    with pytest.raises(Refusal, match="web is in assist"):
        begin(world, KILL)


def test_a_stage_that_cannot_be_broken_lets_only_metrics_and_itself_be(world: World) -> None:
    del world.stage.have_broken
    with pytest.raises(Refusal, match="only the local stage can kill"):
        begin(world, KILL)
    in_force(world, "- {fault: cut-stage, for_s: 9}")
    world.tick()
    assert world.board.latest()[1][0].tick.error == "cut off from the stage by a drill"


def test_only_so_many_services_have_a_drill_at_once(world: World) -> None:
    world.reload("tick_s: 1", "tick_s: 1\ncluster: {drills_at_once: 1}")
    begin(world, KILL)
    world.board.drills.courses["api"] = world.board.drills.courses.pop("web")
    with pytest.raises(Refusal, match="enough drills run already"):
        begin(world, KILL)


MENU = (
    KILL,
    CUT,
    NAN,
    "- {fault: slow, backend: b, replicas: 2, at_s: 2, for_s: 5}",
    "- {fault: cut-stage, at_s: 1, for_s: 3}",
    "- {fault: stop-proxy, at_s: 3, for_s: 2}",
)


class Fate:
    """Whatever may happen around a drill, by chance."""

    def __init__(self, world: World, saboteur: Saboteur, seed: int) -> None:
        self.world, self.saboteur, self.chance = world, saboteur, Random(seed)

    def strike(self) -> None:
        often = [self.begin] * 4
        self.chance.choice([*often, self.end, self.stop, self.trust, self.restart, self.fail])()

    def begin(self) -> None:
        """Mostly where it may begin, and its steady state can hold."""
        if self.chance.random() < 0.8:
            self.trust()
            self.saboteur.away = self.world.stage.down = False
            self.world.sensor.error = ""
            miss(self.world, 0.0)
        with suppress(Refusal):
            begin(self.world, *self.chance.sample(MENU, self.chance.randint(1, 3)))

    def end(self) -> None:
        with suppress(UnknownError):
            self.world.board.drills.end("web", "bob", "", self.world.clock())

    def stop(self) -> None:
        self.world.mandate.stop("ann", "", self.world.clock())

    def trust(self) -> None:
        self.world.mandate.resume("ann", self.world.clock())
        self.world.mandate.set_mode("web", Mode.GUARDED, "ann", self.world.clock())

    def restart(self) -> None:
        self.world.restart()

    def fail(self) -> None:
        self.saboteur.away = self.chance.random() < 0.3
        self.world.stage.down = self.chance.random() < 0.3
        self.world.sensor.error = self.chance.choice(["", "", "broken"])
        miss(self.world, self.chance.choice([0.0, 0.3, float("nan")]))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_only_a_drill_amid_its_faults_has_broken_anything(
    world: World, saboteur: Saboteur, seed: int
) -> None:
    fate, phases = Fate(world, saboteur, seed), set()
    for _ in range(40):
        fate.strike()
        world.tick(fate.chance.randint(1, 7))
        if "web" in world.board.drills.courses:
            phases.add(course(world).phase)
        if course_of(world) is not Phase.FAULTS and not saboteur.away:
            assert saboteur.broken == {}
            assert world.services[0].stage.faults == ()
        on = [fault for fault in saboteur.broken.values() if fault.kind != "kill"]
        assert sum(fault.replicas for fault in on) <= 3
    assert {Phase.FAULTS, Phase.ABORTED} <= phases


def course_of(world: World) -> Phase | None:
    found = world.board.drills.courses.get("web")
    return found.phase if found else None
