"""kill -9 at every point of a tick: nothing happens twice, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_controller.memory import Outcome, OutcomeRecord
from trimtab_controller.protocols import Ask, Intent, StageError
from trimtab_guard.model import Want
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here


class Crash(BaseException):
    """Nothing in the loop may catch it."""


def crash(*_: object) -> None:
    raise Crash


def crash_around(world: World, kind: str, *, written: bool) -> None:
    """Have the journal die at the first record of ``kind``, before or after it is durable."""
    way = "append_text" if kind == "tick" else "append"
    append = getattr(world.journal, way)

    def dying(record: str, *rest: Any) -> int:
        if record == kind and not written:
            crash()
        number: int = append(record, *rest)
        if record == kind:
            crash()
        return number

    setattr(world.journal, way, dying)


POINTS: dict[str, Callable[[World], None]] = {
    "before the decision is remembered": lambda world: crash_around(world, "tick", written=False),
    "between memory and write": lambda world: crash_around(world, "tick", written=True),
    "while the write is on its way": lambda world: setattr(world.stage, "before", crash),
    "before the reply": lambda world: setattr(world.stage, "after", crash),
    "before the outcome is remembered": lambda world: crash_around(world, "outcome", written=False),
    "after the outcome is remembered": lambda world: crash_around(world, "outcome", written=True),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("away_s", [0.5, 30.0])
def test_no_action_happens_twice_or_is_lost(world: World, point: str, away_s: float) -> None:
    world.want(a=4)
    POINTS[point](world)
    with pytest.raises(Crash):
        world.tick()
    world.stage.before = world.stage.after = lambda: None
    world.restart(away_s)
    status = world.tick(6)
    assert world.floors == (4, 1)
    assert (world.stage.writes, status.tick.actions) == (1, 1)
    assert world.memory.intent is None
    assert status.tick.error == ""


def test_the_memory_after_a_restart_is_the_memory_before_it(world: World) -> None:
    for number in range(20):
        world.want(a=1 + number % 4, b=2, share_a=0.5 - 0.05 * (number % 2))
        world.stage.down = number % 7 == 3
        world.tick()
    before = world.memory
    world.restart(after_s=0.0)
    assert world.memory == before
    assert before.actions > 5


def test_a_write_sent_at_its_deadline_may_arrive_after_the_restart(world: World) -> None:
    """Sent as late as is allowed and killed: for a while nobody can know that it is lost."""

    def hold_up(*_: object) -> None:
        world.clock.now_s += world.config.services[0].limits.stale_s

    late: list[Any] = []
    append, apply = world.journal.append_text, world.stage.apply
    world.journal.append_text = lambda *entry: (append(*entry), hold_up())[0]
    world.stage.apply = lambda intent: (late.append(intent), crash())
    world.want(a=4)
    with pytest.raises(Crash):
        world.tick()
    world.stage.apply = apply
    world.restart(after_s=0.5)
    world.tick()
    apply(late[0])
    status = world.tick(4)
    assert world.floors == (4, 1)
    assert (world.stage.writes, status.tick.actions) == (1, 1)
    assert status.tick.error == ""


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_reply_is_settled_before_anything_new(world: World, arrived: bool) -> None:
    def lose() -> None:
        raise StageError("DEADLINE_EXCEEDED")

    setattr(world.stage, "after" if arrived else "before", lose)
    world.want(a=4)
    assert world.tick().tick.outcome is Outcome.FAILED
    assert world.tick().tick.mode is Mode.GUARDED  # our own write is no foreign one
    world.stage.before = world.stage.after = lambda: None
    world.policy.wants = (Want("a", 4, 0.5), Want("b", 2, 0.5))
    following = world.tick()
    assert following.tick.outcome is (Outcome.APPLIED if arrived else Outcome.HELD)
    assert following.tick.error == ("" if arrived else "waiting for a write that was not answered")
    world.tick(6)
    assert world.floors == (4, 2)
    assert world.stage.writes == 1 + arrived


def test_only_a_raise_counts_before_it_is_seen(world: World) -> None:
    asks = (Ask("a", wanted=1, floor=5, weight=None), Ask("b", wanted=3, floor=2, weight=None))
    world.memory.intent = Intent("id", "web", world.clock(), "1", asks)
    world.memory.after_outcome(OutcomeRecord("web", world.clock(), "id", True, "2"))
    replicas = world.memory.history.replicas
    assert [replicas[name].levels(world.clock())[-1] for name in "ab"] == [5, 1]
