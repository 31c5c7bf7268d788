"""A write that makes things worse is undone, once, and trust goes down by a rung."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_controller.approvals import Answer
from trimtab_controller.memory import Outcome
from trimtab_guard.modes import Mode
from trimtab_stage.spec import Ask

World = Any  # the class in conftest.py, which cannot be imported from here

CALM, BAD = 0.002, 0.3
WINDOW_S = 5  # 300 s, sixty times faster
COOL_S = 10


def missing(world: World, share: float) -> None:
    world.sensor.values["miss_share", ""] = share


@pytest.fixture
def routed(world: World) -> World:
    """A world in which trimtab, after a calm time, moved 5 points of the route to b."""
    missing(world, CALM)
    world.want(a=3, b=3)
    world.tick(20)
    world.want(a=3, b=3, share_a=0.45)
    assert world.tick().tick.outcome is Outcome.APPLIED
    assert world.stage.spec.weights["a"] == 0.45
    return world


def test_shares_come_back_and_one_rung_of_trust_is_gone(routed: World) -> None:
    missing(routed, BAD)
    seen = [routed.tick() for _ in range(3)]
    (back,) = [status for status in seen if "rolled back" in status.tick.error][:1]
    assert back.tick.outcome is Outcome.APPLIED
    assert routed.stage.spec.weights["a"] == 0.5
    assert "cooling down" in "; ".join(c.why for c in back.standing.reasons)
    missing(routed, CALM)
    assert routed.tick(COOL_S - 4).tick.mode is Mode.APPROVE
    assert routed.tick(4).tick.mode is Mode.ASSIST  # guarded again only by a human
    assert routed.stage.spec.weights["a"] == 0.5


def test_there_is_one_rollback_however_long_it_stays_bad(routed: World) -> None:
    missing(routed, BAD)
    routed.tick(8)
    writes = routed.stage.writes
    demotions = [e.body["mode"] for e in routed.journal.entries(kinds=("mode",))][1:]
    routed.tick(30)
    assert (routed.stage.writes, demotions) == (writes, ["assist"])
    modes = [e.body["mode"] for e in routed.journal.entries(kinds=("mode",))][1:]
    assert modes == ["assist"]


def test_replicas_that_were_let_go_come_back_and_no_other_goes(world: World) -> None:
    missing(world, CALM)
    world.want(a=3, b=3)
    world.tick(20)
    world.want(a=3, b=2)
    while world.floors == (3, 3):
        world.tick()
    world.want(a=4, b=2)
    world.tick()
    assert world.floors == (4, 2)
    missing(world, BAD)
    world.tick(3)
    assert world.floors == (4, 3)


def test_what_does_not_get_worse_stays(routed: World) -> None:
    missing(routed, CALM + 0.01)
    assert routed.tick(2 * WINDOW_S).tick.mode is Mode.GUARDED
    assert routed.stage.spec.weights["a"] == 0.45


def test_what_comes_long_after_a_write_is_not_its_fault(routed: World) -> None:
    routed.tick(WINDOW_S + 2)
    missing(routed, BAD)
    assert routed.tick(5).tick.mode is Mode.GUARDED
    assert routed.stage.spec.weights["a"] == 0.45


def test_who_would_have_been_overloaded_anyway_has_no_write_to_blame(routed: World) -> None:
    missing(routed, 0.6)
    for name in "ab":
        routed.sensor.values["rate_rps", name] = 700.0
    assert routed.tick(5).tick.mode is Mode.GUARDED
    for name in "ab":  # and what waits since then is not the write's fault either
        routed.sensor.values["rate_rps", name] = 50.0
    assert routed.tick(5).tick.mode is Mode.GUARDED


def test_it_does_not_wait_for_an_approval(new_world: Callable[[Mode], World]) -> None:
    world = new_world(Mode.APPROVE)
    missing(world, CALM)
    world.want(share_a=0.45)
    world.tick()
    for envelope in world.approvals.pending(world.clock()):
        world.approvals.answer(envelope.id, Answer.GRANTED, "ann", "", world.clock())
    world.want(a=3, share_a=0.45)
    status = world.tick()
    assert (status.pending, world.stage.spec.weights["a"]) == (1, 0.45)
    missing(world, BAD)
    world.tick(3)
    assert world.stage.spec.weights["a"] == 0.5
    assert world.mandate.mode("web", world.clock()) is Mode.SHADOW


@pytest.mark.parametrize("what", ["stopped", "in shadow", "another's"])
def test_what_is_not_ours_to_undo_stays(routed: World, what: str) -> None:
    if what == "stopped":
        routed.mandate.stop("ann", "", routed.clock())
    elif what == "in shadow":
        routed.mandate.set_mode("web", Mode.SHADOW, "ann", routed.clock())
    else:
        routed.stage.write("kubectl", Ask("b", 3))
    missing(routed, BAD)
    spec = routed.stage.spec
    routed.tick(10)
    assert routed.stage.spec == spec


def test_a_restart_goes_on_watching_and_forgets_no_cool_down(routed: World) -> None:
    routed.restart()
    missing(routed, CALM)
    routed.tick()
    missing(routed, BAD)
    routed.tick(3)
    assert routed.stage.spec.weights["a"] == 0.5
    routed.restart()
    assert routed.tick().tick.mode is Mode.APPROVE
    assert routed.tick(COOL_S).tick.mode is Mode.ASSIST
    before = routed.memory
    routed.restart(after_s=0.0)
    assert routed.memory == before


def test_a_rollback_whose_answer_was_lost_happens_once(routed: World) -> None:
    class Crash(BaseException):
        pass

    def crash() -> None:
        raise Crash

    missing(routed, BAD)
    routed.stage.after = crash
    with pytest.raises(Crash):
        routed.tick(3)
    routed.stage.after = lambda: None
    writes = routed.stage.writes + 1  # the one that arrived
    missing(routed, CALM)
    routed.restart()
    routed.tick(8)
    assert routed.stage.spec.weights["a"] == 0.5
    assert routed.stage.writes <= writes
