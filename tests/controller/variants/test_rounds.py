"""A round in the loop, with a clock that the test moves: measured and gone, or ended at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from trimtab_controller.canary.plan import Plan as Trial
from trimtab_controller.canary.sides import Totals
from trimtab_controller.experiments import admit
from trimtab_controller.mandate import Refusal, UnknownError
from trimtab_controller.protocols import StageError, StageRefusedError, StageReport
from trimtab_controller.variants.mirror import Running, Wanted
from trimtab_controller.variants.plan import Plan, Setting, Variant
from trimtab_controller.variants.round import Round, Step
from trimtab_controller.variants.rounds import MEASURED, Rounds
from trimtab_controller.variants.sight import Look
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here

PLAN = Plan(
    "web",
    "a",
    "threads",
    (Variant("few", 1, (Setting("threads", 2.0),)), Variant("many", 2, (Setting("threads", 8.0),))),
    rate_rps=20.0,
    requests=100,
    seconds=60.0,
    settle_s=3.0,
    who="ann",
)
SLOW, QUICK = (400.0, 10.0), (40.0, 1.0)
MOST = 12


@dataclass
class MemoryMirror:
    """What a stage promises: variants are ready after two calls; ``few`` misses every tenth."""

    wanted: Wanted | None = None
    calls: int = 0
    error: StageError | None = None
    service_rps: float = 100.0
    reads: int = 0
    counted: dict[str, Totals] = field(default_factory=dict)
    requests: int = 0
    lets_go_s: float = 15.0

    def mirror(self, wanted: Wanted) -> Sequence[Running]:
        if self.error:
            raise self.error
        self.calls = self.calls + 1 if wanted.variants else 0
        self.wanted = wanted
        ready = self.calls > 2
        return [
            Running(name, f"copy-{name}", variant.replicas * ready, 0)
            for name, variant in wanted.variants.items()
        ]

    def looks(self, report: StageReport, clusters: Sequence[str], now_s: float) -> Look:
        """A second later: everybody answers what came, every tenth request of a first one late."""
        self.reads += 1
        self.requests += round(self.service_rps)
        for backend in report.backends:
            self._answer(backend.name, round(self.service_rps * backend.weight), late=0)
        for cluster in clusters:
            copies = round(self.service_rps * (self.wanted.share if self.wanted else 0.0))
            self._answer(cluster, copies, late=copies // 10 if cluster.endswith("-0") else 0)
        return Look(now_s, self.reads, self.requests, dict(self.counted))

    def _answer(self, name: str, requests: int, late: int) -> None:
        was = self.counted.get(name, Totals({SLOW: 0, QUICK: 0}, 0, 0, 0))
        bins = {SLOW: was.bins[SLOW] + late, QUICK: was.bins[QUICK] + requests - late}
        self.counted[name] = Totals(bins, was.answers + requests, 0, 0)


@pytest.fixture
def mirror() -> MemoryMirror:
    return MemoryMirror()


@pytest.fixture
def world(new_world: Callable[[Mode], World], mirror: MemoryMirror) -> World:
    world = new_world(Mode.GUARDED)
    world.want(a=2, b=2)
    equip(world, mirror)
    world.tick(3)
    return world


def equip(world: World, mirror: MemoryMirror) -> None:
    world.board.rounds = Rounds(world.journal, world.clock, {"web": mirror}, mirror.looks)


def begin(world: World, plan: Plan = PLAN) -> Round:
    begun: Round = world.board.rounds.begin(plan, 0.3, MOST, world.clock())
    return begun


def round_of(world: World) -> Round:
    found: Round = world.board.rounds.rounds["web"]
    return found


def gone(mirror: MemoryMirror) -> bool:
    return mirror.wanted is not None and not mirror.wanted.variants and mirror.wanted.share == 0.0


def test_variants_are_measured_on_the_same_load_and_go(world: World, mirror: MemoryMirror) -> None:
    begin(world)
    shares = []
    for _ in range(20):
        world.tick()
        shares.append(mirror.wanted.share if mirror.wanted else 0.0)
        mirror.service_rps *= 1.02
        if round_of(world).over:
            break
    assert round_of(world).why == MEASURED
    assert gone(mirror)
    live, few, many = round_of(world).results
    assert (few.step, many.step) == (Step.MEASURED, Step.MEASURED)
    assert few.requests == many.requests >= 100
    assert few.requests / few.seconds == pytest.approx(20.0, rel=0.15)  # whatever the load did
    assert few.miss_share == pytest.approx(0.1, abs=0.02)
    assert many.misses == live.misses == 0
    assert (many.replicas, live.replicas) == (2, 2)
    assert few.p95_ms > 300 > many.p95_ms
    told = [entry.body["event"] for entry in world.journal.entries(kinds=("round",))]
    assert told == [
        "a round of threads runs, 2 of 2 variants of a on copies of the traffic",
        "a round of threads is over: measured",
    ]
    assert shares[0] == 0.0  # nothing is copied before all are ready
    assert world.board.rounds.idle("web")


def aborts(world: World) -> None:
    world.mandate.abort("ann", "", world.clock())


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        pytest.param(lambda w: w.mandate.halt("ann"), "stop", id="a halt"),
        pytest.param(lambda w: (w.folder / "stop").touch(), "stop", id="a stop file"),
        pytest.param(aborts, "undone", id="an abort"),
        pytest.param(
            lambda w: w.mandate.set_mode("web", Mode.APPROVE, "ann", w.clock()),
            "web is in approve",
            id="another mode",
        ),
        pytest.param(
            lambda w: w.board.give_back("web", "misses rose", w.clock()), "misses rose", id="misses"
        ),
        pytest.param(
            lambda w: w.board.rounds.end("web", "bob", "enough", w.clock()),
            "ended by bob: enough",
            id="a human",
        ),
        pytest.param(
            lambda w: w.stage.hpa.update(a=10), "wants 10 replicas itself", id="the service itself"
        ),
        pytest.param(
            lambda w: setattr(w.clock, "now_s", w.clock() + 61.0), "its time is over", id="time"
        ),
        pytest.param(
            lambda w: setattr(w, "not_leading", "another one leads"), "leads", id="another daemon"
        ),
    ],
)
def test_what_ends_it_ends_it_within_a_tick(
    world: World, mirror: MemoryMirror, cause: Callable[[World], object], why: str
) -> None:
    begin(world)
    world.tick(6)
    assert mirror.wanted
    assert mirror.wanted.share > 0
    cause(world)
    world.tick()
    assert round_of(world).over
    assert why in round_of(world).why
    assert round_of(world).again is ("itself" in why)
    assert gone(mirror)


def test_a_daemon_that_comes_back_takes_it_away(world: World, mirror: MemoryMirror) -> None:
    begin(world)
    world.tick(6)
    world.restart()
    equip(world, mirror)
    assert "a round of threads runs" in world.board.busy("web")
    world.tick()
    assert "started again" in round_of(world).why
    assert gone(mirror)
    assert not world.board.busy("web")
    world.restart()  # what was over stays so, and the stage is told once more
    equip(world, mirror)
    world.tick()
    assert gone(mirror)


def test_what_the_stage_was_not_told_it_is_told_later(world: World, mirror: MemoryMirror) -> None:
    begin(world)
    world.tick(6)
    mirror.error = StageError("stage at /nowhere: UNAVAILABLE")
    world.board.rounds.end("web", "ann", "", world.clock())
    world.tick(3)
    assert not gone(mirror)
    mirror.error = None
    world.tick()
    assert gone(mirror)


def test_a_stage_that_stays_away_has_let_go_by_itself(world: World, mirror: MemoryMirror) -> None:
    begin(world)
    world.tick(6)
    mirror.error = StageError("stage at /nowhere: UNAVAILABLE")
    world.board.rounds.end("web", "ann", "", world.clock())
    world.tick()
    assert not world.board.rounds.idle("web")
    world.tick(20)
    assert world.board.rounds.idle("web")


def test_what_never_lets_go_by_itself_is_told_until_it_hears(
    world: World, mirror: MemoryMirror
) -> None:
    mirror.lets_go_s = math.inf
    begin(world)
    world.tick(6)
    mirror.error = StageError("Unreachable")
    world.board.rounds.end("web", "ann", "", world.clock())
    world.tick(100)
    mirror.error = None
    world.tick()
    assert gone(mirror)
    assert world.board.rounds.idle("web")


def test_what_the_stage_refuses_is_over(world: World, mirror: MemoryMirror) -> None:
    mirror.error = StageRefusedError("unknown setting 'colour'")
    begin(world)
    world.tick()
    assert round_of(world).over
    assert "colour" in round_of(world).why


def test_a_loser_ends_before_the_others(world: World, mirror: MemoryMirror) -> None:
    begin(world)
    world.tick(10)
    world.board.rounds.end("web", "ann", "cannot win", world.clock(), ("few",))
    few = world.board.rounds.results("web")[1]
    assert few.step is Step.ENDED
    assert 0 < few.requests < PLAN.requests
    world.tick()
    assert mirror.wanted
    assert [v.name for v in mirror.wanted.variants.values()] == ["many"]
    world.tick(10)
    assert round_of(world).why == MEASURED
    assert round_of(world).results[1] == few
    with pytest.raises(UnknownError, match="round of"):
        world.board.rounds.end("web", "ann", "", world.clock())


def test_envoy_begins_anew_and_so_does_the_measuring(world: World, mirror: MemoryMirror) -> None:
    begin(world)
    world.tick(10)
    assert world.board.rounds.results("web")[1].requests > 0
    mirror.counted, mirror.requests, mirror.reads = {}, 0, 0
    world.tick()
    assert world.board.rounds.results("web")[1].requests == 0
    world.tick(10)
    assert round_of(world).why == MEASURED


def test_of_all_experiments_a_service_has_one(world: World) -> None:
    begin(world)
    with pytest.raises(Refusal, match="a round of threads runs, 2 of 2 variants of a"):
        admit(world.board, "web", world.clock())
    world.board.rounds.end("web", "ann", "", world.clock())
    world.board.canaries.begin(Trial("web", old="a", new="b", who="ann"), world.clock())
    with pytest.raises(Refusal, match="b on trial"):
        admit(world.board, "web", world.clock())
