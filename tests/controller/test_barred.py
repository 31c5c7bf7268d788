"""A stage says that another owns the replicas: nothing is written, everything is still watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_controller.memory import Outcome
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here
NewWorld = Callable[[Mode], World]

OWNER = "ScaledObject web owns Deployment a"


def tell(world: World, **words: str) -> None:
    """Have the stage say so from now on."""
    status = type(world.stage).status
    world.stage.status = lambda: status(world.stage)._replace(**words)


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        (Mode.SHADOW, Outcome.SHADOW),
        (Mode.APPROVE, Outcome.HELD),
        (Mode.ASSIST, Outcome.HELD),
        (Mode.GUARDED, Outcome.HELD),
    ],
)
def test_another_owner_bars_every_write(new_world: NewWorld, mode: Mode, outcome: Outcome) -> None:
    world = new_world(mode)
    tell(world, barred=OWNER)
    world.want(a=4)
    tick = world.tick().tick
    assert (tick.outcome, tick.error, tick.intent) == (outcome, OWNER, None)
    assert tick.verdict is not None
    assert (world.stage.calls, world.approvals.pending(world.clock())) == (0, [])
    tell(world, barred="")
    world.tick()
    assert world.stage.writes == (mode in (Mode.ASSIST, Mode.GUARDED))


def test_an_abort_cannot_undo_past_another_owner(world: World) -> None:
    world.want(a=4)
    world.tick()
    assert world.floors == (4, 1)
    tell(world, barred=OWNER)
    world.mandate.abort("ann", "it smells", world.clock())
    world.tick()
    assert world.floors == (4, 1)
    assert OWNER in world.mandate.not_undone


def test_a_warning_is_shown_and_changes_nothing(world: World) -> None:
    tell(world, warning="Unschedulable: a: 2 pods wait for a node")
    world.want(a=4)
    tick = world.tick().tick
    assert (tick.outcome, tick.error) == (
        Outcome.APPLIED,
        "Unschedulable: a: 2 pods wait for a node",
    )
    assert world.floors == (4, 1)


def test_what_a_disruption_budget_needs_is_a_floor(world: World) -> None:
    world.want(a=6)
    world.tick()
    status = type(world.stage).status

    def budgeted() -> Any:
        report = status(world.stage)
        first, *others = report.backends
        return report._replace(backends=(first._replace(disruption_min=5), *others))

    world.stage.status = budgeted
    world.want(a=1)
    world.tick(100)
    assert world.floors[0] == 5
