"""A trial from start to end in the loop: shares by its plan, and back at once when it is worse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from trimtab_agents.canary import Histogram, Side
from trimtab_controller.canary.canaries import Canaries
from trimtab_controller.canary.plan import Plan
from trimtab_controller.canary.sides import Sides
from trimtab_controller.canary.steer import steered
from trimtab_controller.canary.trial import PATIENCE_S, Phase, Trial
from trimtab_controller.mandate import Refusal, UnknownError
from trimtab_controller.protocols import Clock, StageReport
from trimtab_guard.model import UNREAD, BackendState, Proposal, State, Want
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here

PLAN = Plan("web", old="a", new="b", shares=(0.05, 0.2, 0.5), requests=2000, who="ann")
EDGES_S = tuple(0.001 * 1.05**step for step in range(160))


@dataclass
class Versions:
    """What both answer: latencies that are `slower` at b, and errors; ``None`` cannot be read."""

    slower: float = 1.0
    errors: float = 0.0
    answers: int = 400
    blind: bool = False
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    clock: Clock = lambda: 0.0

    def of(self, _old: str, _new: str, clock: Clock) -> Versions:
        self.clock = clock
        return self

    def read(self, _report: StageReport) -> Sides:
        if self.blind:
            return Sides(None, None)
        return Sides(self.side(1.0, 0), self.side(self.slower, round(self.errors * self.answers)))

    def side(self, slower: float, errors: int) -> Side:
        """Log-normal latencies, by chance, of 50 ms in the middle."""
        latencies_s = self.chance.lognormal(math.log(0.05 * slower), 0.5, self.answers)
        counts, _ = np.histogram(np.clip(latencies_s, EDGES_S[0], EDGES_S[-1]), EDGES_S)
        latency = Histogram(EDGES_S, tuple(map(int, counts)))
        return Side(latency, self.answers, errors, 4.0, 2, self.clock())


@pytest.fixture
def versions() -> Versions:
    return Versions()


@pytest.fixture
def world(new_world: Callable[[Mode], World], versions: Versions) -> World:
    """A guarded world, in which the trial begins; it has two replicas each."""
    world = new_world(Mode.GUARDED)
    world.want(a=2, b=2)
    world.board.canaries = Canaries(world.journal, world.clock, versions.of)
    world.tick(3)
    return world


def share(world: World) -> float:
    return float(world.stage.spec.weights["b"])


def trial(world: World) -> Any:
    return world.board.canaries.trials["web"]


def until(world: World, true: Callable[[], bool], ticks: int = 200) -> None:
    for _ in range(ticks):
        if true():
            return
        world.tick()
    raise AssertionError(f"not within {ticks} ticks: {trial(world)}, {trial(world).why}")


def test_a_version_that_is_no_worse_gets_the_route_step_by_step(world: World) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    shares = []
    for _ in range(400):
        world.tick()
        shares.append(round(share(world), 3))
        if trial(world).phase is Phase.ADOPTED and shares[-1] == 1.0:
            break
    assert trial(world).phase is Phase.ADOPTED, trial(world).why
    rising = shares[shares.index(0.05) :]  # from half, where it was, in the guard's steps as well
    assert {0.05, 0.2, 0.5, 1.0} <= set(rising)
    assert rising == sorted(rising)


def test_a_worse_one_loses_its_share_at_once_and_for_good(world: World, versions: Versions) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: trial(world).step == 1)
    versions.slower = 1.5
    until(world, lambda: not trial(world).runs)
    status = world.tick()
    assert share(world) == 0.0
    assert "b is worse" in trial(world).why
    assert not status.tick.error or "b is worse" in status.tick.error
    world.want(a=2, b=2, share_a=0.2)  # the policy may want what it wants
    world.tick(30)
    assert share(world) == 0.0


def test_it_goes_back_without_asking_where_less_than_guarded_holds(
    world: World, versions: Versions
) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: share(world) == pytest.approx(0.05))
    world.mandate.set_mode("web", Mode.APPROVE, "ann", world.clock())
    versions.slower = 2.0
    until(world, lambda: not trial(world).runs)
    world.tick(2)
    assert share(world) == 0.0


@pytest.mark.parametrize("how", ["stopped", "shadow"])
def test_nothing_is_written_while_nothing_may_be(
    world: World, versions: Versions, how: str
) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: share(world) == pytest.approx(0.05))
    if how == "stopped":
        world.mandate.stop("ann", "", world.clock())
    else:
        world.mandate.set_mode("web", Mode.SHADOW, "ann", world.clock())
    writes = world.stage.writes
    versions.slower = 2.0
    until(world, lambda: not trial(world).runs)
    world.tick(5)
    assert (world.stage.writes, share(world)) == (writes, 0.05)


def test_a_restart_goes_on_with_the_same_evidence(world: World, versions: Versions) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: trial(world).step == 1)
    world.tick(2)
    before = trial(world)
    again = Canaries(world.journal, world.clock, versions.of).trials["web"]
    assert (again.plan, again.step, again.phase) == (before.plan, before.step, before.phase)
    assert again.comparison.as_json() == before.comparison.as_json()


def test_what_cannot_be_read_is_waited_for_but_not_for_ever(
    world: World, versions: Versions
) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: share(world) == pytest.approx(0.05))
    versions.blind = True
    world.tick(60)
    assert (trial(world).phase, trial(world).why) == (Phase.TRIAL, "measurements are missing")
    world.clock.now_s += PATIENCE_S
    world.tick(2)
    assert "nothing was learnt for 900 s: measurements are missing" in trial(world).why
    assert share(world) == 0.0


def test_a_rollback_ends_it(world: World) -> None:
    world.sensor.values["miss_share", ""] = 0.002
    world.tick(20)
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: share(world) == pytest.approx(0.05))
    world.sensor.values["miss_share", ""] = 0.3
    until(world, lambda: not trial(world).runs, ticks=20)
    assert "rolled back" in trial(world).why
    world.sensor.values["miss_share", ""] = 0.002
    world.tick(3)
    assert share(world) == 0.0


def test_too_many_requests_without_a_verdict_end_it(world: World, versions: Versions) -> None:
    versions.slower, versions.answers = 1.08, 100  # more than nothing, less than would be sure
    plan = Plan("web", "a", "b", shares=(0.5,), requests=400, most_requests=4000)
    world.board.canaries.begin(plan, world.clock())
    until(world, lambda: not trial(world).runs)
    assert trial(world).phase is Phase.GIVEN_BACK
    assert "no verdict after" in trial(world).why


def test_there_is_one_at_a_time_and_a_human_ends_it(world: World) -> None:
    canaries = world.board.canaries
    with pytest.raises(UnknownError, match="canary 'web'"):
        canaries.end("web", "ann", "", world.clock())
    canaries.begin(PLAN, world.clock())
    with pytest.raises(Refusal, match="trimtab canary end web"):
        canaries.begin(PLAN, world.clock())
    until(world, lambda: share(world) == pytest.approx(0.05))
    assert canaries.end("web", "ann", "tired", world.clock()).why == "ended by ann: tired"
    until(world, lambda: share(world) == 0.0)
    canaries.end("web", "ann", "", world.clock())
    assert not canaries.trials
    until_free = world.tick(40).tick.outcome
    assert until_free
    assert share(world) > 0.0  # the policy's own half again, in the guard's steps


@pytest.mark.parametrize(
    ("step", "ready", "wants"),
    [
        pytest.param(0, (9, 1), (Want("a", 10, 0.95), Want("b", 1, 0.05)), id="a first share"),
        pytest.param(1, (5, 5), (Want("a", 5, 0.5), Want("b", 5, 0.5)), id="half each"),
        pytest.param(1, (0, 1), (Want("a", 5, 0.5), Want("b", 5, 0.5)), id="nothing else serves"),
        pytest.param(1, (11, 2), (Want("a", 5, 5 / 6), Want("b", 5, 1 / 6)), id="two so far"),
        pytest.param(0, (9, 0), (Want("a", 10, 1.0), Want("b", 1, 0.0)), id="none so far"),
    ],
)
def test_shares_come_with_the_replicas_for_them(
    step: int, ready: tuple[int, int], wants: tuple[Want, Want]
) -> None:
    proposed = Proposal("web", "ppo", 0.0, (Want("a", 6, 0.7), Want("b", 4, 0.3)))
    plan = Plan("web", "a", "b", shares=(0.05, 0.5))
    backends = tuple(
        BackendState(name, 0, 0, count, 0, 0.5, UNREAD, UNREAD)
        for name, count in zip("ab", ready, strict=True)
    )
    state = State("web", 0.0, 0.0, backends, UNREAD, UNREAD, UNREAD)
    found = steered(replace(Trial.begin(plan, 0.0), step=step), proposed, state).backends
    assert [(w.name, w.replicas, pytest.approx(w.weight)) for w in wants] == [
        (w.name, w.replicas, w.weight) for w in found
    ]


def test_evidence_of_another_version_begins_anew(world: World, versions: Versions) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: trial(world).step == 1)
    last = world.journal.last("canary")
    packed = last.body["trial"] | {"comparison": {"rules": "older"}}
    world.journal.append("canary", {"service": "web", "trial": packed}, world.clock())
    again = Canaries(world.journal, world.clock, versions.of).trials["web"]
    assert (again.step, again.comparison.looks) == (1, 0)


def test_a_look_that_leads_to_nothing_is_a_record_of_its_own(world: World) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: trial(world).step == 1)
    kinds = [entry.kind for entry in world.journal.entries(kinds=("canary", "look"))]
    assert kinds == ["canary", *["look"] * (len(kinds) - 2), "canary"]
    assert len(kinds) > 4


def test_a_backend_that_is_configured_no_more_ends_nothing_but_the_trial(world: World) -> None:
    plan = Plan("web", old="a", new="gone")
    world.board.canaries.begin(plan, world.clock())
    assert world.tick(3).tick.verdict
    world.clock.now_s += PATIENCE_S
    assert world.tick(2).tick.verdict
    assert "nothing was learnt" in trial(world).why


def test_a_reader_that_fails_in_any_way_ends_nothing(
    world: World, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: share(world) == pytest.approx(0.05))
    monkeypatch.setattr(versions, "side", lambda *_: 1 / 0)
    assert world.tick(30).tick.verdict
    assert trial(world).why == "measurements are missing"


def test_a_trial_reads_its_own_backends_and_not_those_of_the_one_before(world: World) -> None:
    readers: list[tuple[str, str]] = []

    def reader(old: str, new: str, clock: Clock) -> Versions:
        readers.append((old, new))
        return Versions().of(old, new, clock)

    canaries = world.board.canaries = Canaries(world.journal, world.clock, reader)
    canaries.begin(PLAN, world.clock())
    world.tick()
    canaries.end("web", "ann", "", world.clock())
    canaries.end("web", "ann", "", world.clock())
    canaries.begin(Plan("web", old="b", new="a"), world.clock())
    world.tick()
    assert readers == [("a", "b"), ("b", "a")]


@pytest.mark.parametrize("answers", [2_000, 50_000], ids=["some", "more in a look than in all"])
def test_a_busy_service_is_looked_at_as_often(
    world: World, versions: Versions, answers: int
) -> None:
    versions.answers = answers
    world.board.canaries.begin(PLAN, world.clock())
    until(world, lambda: not trial(world).runs)
    assert trial(world).phase is Phase.ADOPTED, trial(world).why
