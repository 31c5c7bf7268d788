"""A write that makes things worse is undone, once, and trust goes down by a rung."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.approvals import Answer
from trimtab_controller.memory import Outcome
from trimtab_controller.protocols import StageError
from trimtab_guard.modes import Mode
from trimtab_stage.spec import Ask

World = Any  # the class in conftest.py, which cannot be imported from here

CALM, BAD = 0.002, 0.3
WINDOW_S = 5  # 300 s, sixty times faster
COOL_S = 10


def missing(world: World, share: float) -> None:
    world.sensor.values["miss_share", ""] = share


def move(world: World) -> None:
    """After a calm time, trimtab moves 5 points of the route to b."""
    missing(world, CALM)
    world.want(a=3, b=3)
    world.tick(20)
    world.want(a=3, b=3, share_a=0.45)
    assert world.tick().tick.outcome is Outcome.APPLIED
    assert world.stage.spec.weights["a"] == 0.45


@pytest.fixture
def routed(world: World) -> World:
    """A world in which that has happened."""
    move(world)
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
    assert demotions(routed) == ["assist"]
    routed.tick(30)
    assert (routed.stage.writes, demotions(routed)) == (writes, ["assist"])


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


def test_harm_in_small_steps_is_measured_from_before_the_first(routed: World) -> None:
    for step in range(1, 6):
        missing(routed, 0.04 * step)
        routed.want(a=3, b=3, share_a=0.45 - 0.01 * step)
        if "rolled back" in routed.tick().tick.error:
            break
    assert routed.stage.spec.weights["a"] == 0.5


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
    grant(world)
    world.want(a=3, share_a=0.45)
    status = world.tick()
    assert (status.pending, world.stage.spec.weights["a"]) == (1, 0.45)
    missing(world, BAD)
    world.tick(3)
    assert world.stage.spec.weights["a"] == 0.5
    assert world.mandate.mode("web", world.clock()) is Mode.SHADOW


def test_what_piled_up_before_a_write_is_not_its_fault(world: World) -> None:
    missing(world, CALM)
    world.want(a=3, b=3)
    world.tick(20)
    for name in "ab":
        world.sensor.values["rate_rps", name] = 300.0
    world.tick()
    for name in "ab":
        world.sensor.values["rate_rps", name] = 50.0
    world.want(a=3, b=3, share_a=0.45)
    world.tick()
    missing(world, BAD)
    assert world.tick(3).tick.mode is Mode.GUARDED
    assert world.stage.spec.weights["a"] == 0.45


def test_a_stall_that_lets_requests_through_all_at_once_has_no_write_to_blame(
    routed: World,
) -> None:
    for name in "ab":
        routed.sensor.values["rate_rps", name] = 100.0
    missing(routed, 0.6)
    assert routed.tick().tick.mode is Mode.GUARDED
    for name in "ab":
        routed.sensor.values["rate_rps", name] = 50.0
    assert routed.tick(3).tick.mode is Mode.GUARDED
    assert routed.stage.spec.weights["a"] == 0.45


def test_a_load_that_was_not_measured_excuses_nothing(world: World) -> None:
    missing(world, CALM)
    world.want(a=3, b=3)
    world.tick(20)
    rate = world.sensor.values.pop(("rate_rps", "a"))
    world.tick()
    world.sensor.values["rate_rps", "a"] = rate
    world.want(a=3, b=3, share_a=0.45)
    world.tick()
    missing(world, BAD)
    world.tick(3)
    assert world.stage.spec.weights["a"] == 0.5


def test_a_rollback_that_has_nothing_to_undo_does_not_come_later(world: World) -> None:
    missing(world, CALM)
    world.want(a=3, b=3)
    world.tick(20)
    world.want(a=4, b=3)
    world.tick()
    missing(world, BAD)
    world.tick(3)
    assert (world.floors, demotions(world)) == ((4, 3), ["assist"])
    missing(world, CALM)
    world.restart()
    world.want(a=2, b=3)
    floors = [world.floors[0]]
    for _ in range(20):
        world.tick()
        grant(world)
        floors.append(world.floors[0])
    assert floors == sorted(floors, reverse=True)
    assert floors[-1] == 2


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


class Crash(BaseException):
    """The process is gone."""


def crash() -> None:
    raise Crash


def crash_at_record(world: World, number: int, *, written: bool) -> None:
    """End at a rollback's decision (0), tick (1) or outcome (2): before its record, or after."""
    kinds, seen = ("mode", "tick", "outcome"), list[str]()

    def dying(append: Callable[..., int]) -> Callable[..., int]:
        def dies(kind: str, *rest: Any) -> int:
            if kind == kinds[len(seen)]:
                seen.append(kind)
            is_last = len(seen) > number
            if is_last and not written:
                raise Crash
            done = append(kind, *rest)
            if is_last:
                raise Crash
            return done

        return dies

    world.journal.append = dying(world.journal.append)
    world.journal.append_text = dying(world.journal.append_text)


def decided(world: World, written: bool) -> None:
    crash_at_record(world, 0, written=written)


def recorded(world: World, written: bool) -> None:
    crash_at_record(world, 1, written=written)


def concluded(world: World, written: bool) -> None:
    crash_at_record(world, 2, written=written)


def sent(world: World, written: bool) -> None:
    if written:
        world.stage.after = crash
    else:
        world.stage.before = crash


def demotions(world: World) -> list[str]:
    return [e.body["mode"] for e in world.journal.entries(kinds=("mode",))][1:]


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [decided, recorded, sent, concluded])
def test_a_crash_at_any_step_leaves_one_rollback_and_costs_one_rung(
    routed: World, step: Callable[[World, bool], None], written: bool
) -> None:
    missing(routed, BAD)
    writes = routed.stage.writes
    step(routed, written)
    with pytest.raises(Crash):
        routed.tick(3)
    routed.stage.before = routed.stage.after = lambda: None
    routed.restart()
    routed.tick(8)  # also long enough to know that a write never arrived
    assert routed.stage.spec.weights["a"] == 0.5
    assert (routed.stage.writes, demotions(routed)) == (writes + 1, ["assist"])
    routed.restart()
    routed.tick(8)
    assert (routed.stage.writes, demotions(routed)) == (writes + 1, ["assist"])


def test_a_write_that_is_lost_is_taken_back_later(routed: World) -> None:
    lost = iter([True])

    def lose() -> None:
        if next(lost, False):
            raise StageError("no answer")

    routed.stage.before = lose
    missing(routed, BAD)
    routed.tick(3)
    assert (routed.stage.spec.weights["a"], demotions(routed)) == (0.45, ["assist"])
    routed.tick(8)
    assert (routed.stage.spec.weights["a"], demotions(routed)) == (0.5, ["assist"])


def test_a_human_who_sets_a_mode_before_it_is_undone_has_taken_over(routed: World) -> None:
    missing(routed, BAD)
    decided(routed, written=True)
    with pytest.raises(Crash):
        routed.tick(3)
    routed.restart()
    routed.mandate.set_mode("web", Mode.GUARDED, "ann", routed.clock())
    routed.tick(3)
    assert routed.stage.spec.weights["a"] == 0.45


def until_rolled_back(world: World, each: Callable[[], None]) -> int:
    """How many ticks it takes; ``each`` comes after every one."""
    missing(world, 0.2)
    for number in range(1, 10):
        world.tick()
        if demotions(world):
            return number
        each()
    return 0


def test_restarts_neither_forget_evidence_nor_count_it_twice(routed: World, tmp_path: Path) -> None:
    (tmp_path / "restarted").mkdir()
    other = type(routed)(tmp_path / "restarted", Mode.GUARDED)
    other.tick(9)
    move(other)
    alone = until_rolled_back(routed, lambda: None)
    assert alone > 1
    assert until_rolled_back(other, lambda: other.restart(after_s=0.0)) == alone
    other.journal.close()


def grant(world: World) -> None:
    for envelope in world.approvals.pending(world.clock()):
        world.approvals.answer(envelope.id, Answer.GRANTED, "ann", "", world.clock())


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_in_the_cool_down_a_human_is_asked_again_and_obeyed(
    new_world: Callable[[Mode], World], restarted: bool
) -> None:
    world = new_world(Mode.ASSIST)
    missing(world, CALM)
    world.want(share_a=0.45)
    world.tick(12)
    grant(world)
    world.tick()
    assert world.stage.spec.weights["a"] == 0.45
    missing(world, BAD)
    world.tick(3)
    assert world.stage.spec.weights["a"] == 0.5
    missing(world, CALM)
    if restarted:
        world.restart()
    status = world.tick(2)
    assert world.stage.spec.weights["a"] == 0.5  # what was granted before does not bring it back
    assert (status.pending, world.approvals.standing(world.clock())) == (2, [])
    grant(world)
    world.tick()
    missing(world, BAD)
    world.tick(5)
    assert world.stage.spec.weights["a"] == 0.45  # and what is granted now is not taken back
    assert demotions(world) == ["approve"]
