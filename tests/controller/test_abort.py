"""Abort: what was just changed comes back, then nothing is written any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_controller import loop
from trimtab_controller.approvals import Answer
from trimtab_controller.mandate import ABORT_S, Refusal
from trimtab_controller.memory import RUNNING_S, Outcome
from trimtab_controller.protocols import Intent, StageError, StageReport
from trimtab_controller.undo import replaced
from trimtab_guard.model import Want
from trimtab_guard.modes import Mode
from trimtab_stage.spec import Ask

World = Any  # the class in conftest.py, which cannot be imported from here


def abort(world: World) -> None:
    world.mandate.abort("ann", "it smells", world.clock())


@pytest.fixture
def changed(world: World) -> World:
    """A world that has just taken a down from 3 to 2, b up to 4, and moved 5 points to b."""
    world.want(a=3, b=2)
    world.tick(70)
    assert world.floors == (3, 2)
    world.want(a=2, b=4, share_a=0.45)
    world.tick(7)
    assert (world.floors, world.stage.spec.weights["a"]) == ((2, 4), 0.45)
    return world


def test_replicas_come_back_to_the_higher_and_shares_to_what_they_were(changed: World) -> None:
    abort(changed)
    status = changed.tick()
    assert (status.tick.outcome, status.stopped) == (Outcome.APPLIED, True)
    assert (changed.floors, changed.stage.spec.weights) == ((3, 4), {"a": 0.5, "b": 0.5})
    assert changed.mandate.not_undone == ""
    assert changed.journal.last("stop").body == {"who": "ann", "why": "it smells"}
    assert changed.tick().tick.outcome is Outcome.STOPPED


@pytest.mark.parametrize("mode", Mode)
def test_a_human_s_abort_counts_in_every_mode(changed: World, mode: Mode) -> None:
    changed.mandate.set_mode("web", mode, "ann", changed.clock())
    abort(changed)
    assert changed.tick().stopped
    assert changed.floors == (3, 4)


def test_what_is_long_past_is_not_undone(changed: World) -> None:
    changed.tick(int(RUNNING_S))
    abort(changed)
    assert changed.tick().tick.outcome is Outcome.UNCHANGED
    assert (changed.floors, changed.mandate.stopped) == ((2, 4), True)


def test_what_somebody_else_wrote_since_is_theirs(changed: World) -> None:
    changed.stage.write("kubectl", Ask("a", 1))
    abort(changed)
    assert changed.tick().stopped
    assert changed.floors == (1, 4)


def test_an_abort_goes_on_after_a_crash_but_not_much_later(changed: World) -> None:
    abort(changed)
    changed.restart()
    assert changed.tick().stopped
    assert changed.floors == (3, 4)


def test_an_abort_that_was_forgotten_only_stops(changed: World) -> None:
    abort(changed)
    changed.restart(after_s=ABORT_S + 1.0)
    assert changed.tick().tick.outcome is Outcome.STOPPED
    assert (changed.floors, changed.mandate.not_undone) == ((2, 4), "too late")


def test_a_stage_that_is_away_is_waited_for_a_while(changed: World) -> None:
    changed.stage.down = True
    abort(changed)
    assert not changed.tick(3).stopped
    assert "UNAVAILABLE" in changed.mandate.not_undone
    changed.stage.down = False
    assert changed.tick().stopped
    assert (changed.floors, changed.mandate.not_undone) == ((3, 4), "")


def test_a_stage_that_stays_away_does_not_keep_it_from_stopping(changed: World) -> None:
    changed.stage.down = True
    abort(changed)
    assert changed.tick(int(ABORT_S) + 1).stopped
    assert "UNAVAILABLE" in changed.mandate.not_undone
    changed.stage.down = False
    changed.tick(5)
    assert changed.floors == (2, 4)


def test_a_write_without_an_answer_is_settled_first(changed: World) -> None:
    def lose() -> None:
        raise StageError("DEADLINE_EXCEEDED")

    changed.want(a=2, b=5, share_a=0.45)
    changed.stage.after = lose
    changed.tick()
    changed.stage.after = lambda: None
    abort(changed)
    assert changed.tick().stopped
    assert (changed.floors, changed.stage.spec.weights["a"]) == ((3, 5), 0.5)


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.GUARDED])
def test_a_stop_comes_before_the_write_that_undoes(
    changed: World, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remember_then_halt(*arguments: Any) -> None:
        write_ticks(*arguments)
        changed.mandate.halt()

    write_ticks = loop.write_ticks
    changed.mandate.set_mode("web", mode, "ann", changed.clock())
    abort(changed)
    monkeypatch.setattr(loop, "write_ticks", remember_then_halt)
    assert changed.tick().tick.outcome is Outcome.STOPPED
    assert changed.floors == (2, 4)


def test_no_abort_while_stopped(world: World) -> None:
    world.mandate.stop("ann", "", world.clock())
    with pytest.raises(Refusal, match="trimtab resume"):
        abort(world)


def test_a_share_does_not_go_back_to_who_cannot_serve(changed: World) -> None:
    ready = changed.stage.status

    def broken() -> StageReport:
        report = ready()
        a, b = report.backends
        return report._replace(backends=(a._replace(ready=0), b))

    changed.stage.status = broken
    abort(changed)
    assert changed.tick().stopped
    assert (changed.floors, changed.stage.spec.weights["a"]) == ((3, 4), 0.0)


@pytest.mark.parametrize(
    ("befores", "expected"),
    [
        ([], []),
        ([[(3, 0.5), (2, 0.5)]], [(3, 0.5), (2, 0.5)]),
        ([[(3, 0.5), (2, 0.5)], [(5, 0.45), (1, 0.55)]], [(5, 0.5), (2, 0.5)]),
    ],
    ids=["nothing", "one change", "two changes"],
)
def test_what_changes_replaced(
    befores: list[list[tuple[int, float]]], expected: list[tuple[int, float]]
) -> None:
    def wants(rows: list[tuple[int, float]]) -> tuple[Want, ...]:
        return tuple(Want(name, *row) for name, row in zip("ab", rows, strict=False))

    changes = [Intent("", "web", 0.0, "", (), wants(before)) for before in befores]
    assert replaced(changes) == wants(expected)


def fault(world: World, name: str) -> None:
    world.stage.down = name == "stage away"
    world.sensor.error = "Envoy is gone" if name == "blind" else ""
    world.tick(3)


def lost_reply(world: World, side: str) -> None:
    def lose() -> None:
        setattr(world.stage, side, lambda: None)
        raise StageError("DEADLINE_EXCEEDED")

    setattr(world.stage, side, lose)
    world.want(a=4)
    world.tick()


def granted(world: World) -> None:
    world.mandate.set_mode("web", Mode.APPROVE, "ann", world.clock())
    world.want(a=4)
    world.tick()
    world.board.approvals.answer("1", Answer.GRANTED, "ann", "", world.clock())


STATES: dict[str, Callable[[World], None]] = {
    "calm": lambda world: world.tick(),
    "just written": lambda world: (world.want(a=4), world.tick()),
    "slowed down": lambda world: (world.want(a=12), world.tick()),
    "on the way down": lambda world: (world.want(a=4), world.tick(9), world.want(), world.tick(7)),
    "granted, not used": granted,
    "lost before": lambda world: lost_reply(world, "before"),
    "lost after": lambda world: lost_reply(world, "after"),
    "stage away": lambda world: fault(world, "stage away"),
    "blind": lambda world: fault(world, "blind"),
    "just restarted": lambda world: world.restart(),
    "aborting": abort,
}
WAYS: dict[str, Callable[[World], None]] = {
    "call": lambda world: world.mandate.stop("ann", "", world.clock()),
    "signal": lambda world: world.mandate.halt(),
    "file": lambda world: (world.folder / "stop").touch(),
    "abort": lambda world: (
        world.mandate.aborting or abort(world),
        world.tick(int(ABORT_S) + 1),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", STATES)
def test_no_write_leaves_after_it_from_any_state(world: World, state: str, way: str) -> None:
    STATES[state](world)
    WAYS[way](world)
    assert world.mandate.stopped
    spec = world.stage.spec
    fault(world, "none")
    for wish in (9, 1, 5):
        world.want(a=wish, b=wish, share_a=0.3)
        assert world.tick(7).tick.outcome is not Outcome.APPLIED
    (world.folder / "stop").unlink(missing_ok=True)
    world.restart(after_s=20.0)
    assert world.tick(9).stopped
    world.mandate.resume("ann", world.clock())
    assert world.tick(9).tick.mode is Mode.SHADOW
    assert world.stage.spec == spec
