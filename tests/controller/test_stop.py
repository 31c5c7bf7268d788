"""Stop: by call, signal or file, before the next write, through restarts, until a human resumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_controller import loop
from trimtab_controller.mandate import Refusal
from trimtab_controller.memory import Outcome
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here


def stop(world: World, way: str) -> None:
    if way == "call":
        world.mandate.stop("tester", "enough", world.clock())
    elif way == "signal":
        world.mandate.halt()
    else:
        (world.folder / "stop").touch()


@pytest.mark.parametrize("way", ["call", "signal", "file"])
def test_stop_holds_through_restarts_until_resumed(world: World, way: str) -> None:
    stop(world, way)
    world.want(a=4)
    assert world.tick(2).tick.outcome is Outcome.STOPPED
    (world.folder / "stop").unlink(missing_ok=True)
    world.restart()
    status = world.tick(2)
    assert (status.tick.outcome, status.stopped, world.stage.calls) == (Outcome.STOPPED, True, 0)
    with pytest.raises(Refusal, match="trimtab resume"):
        world.mandate.set_mode("web", Mode.GUARDED, "tester", world.clock())
    world.mandate.resume("tester", world.clock())
    status = world.tick()
    assert (status.tick.mode, status.stopped, world.stage.calls) == (Mode.SHADOW, False, 0)
    world.mandate.set_mode("web", Mode.GUARDED, "tester", world.clock())
    assert world.tick().tick.outcome is Outcome.APPLIED


@pytest.mark.parametrize("way", ["signal", "file"])
def test_a_stop_after_gating_still_comes_before_the_write(
    world: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remember_then_stop(*arguments: Any) -> None:
        write_ticks(*arguments)
        stop(world, way)

    write_ticks = loop.write_ticks
    monkeypatch.setattr(loop, "write_ticks", remember_then_stop)
    world.want(a=4)
    assert world.tick().tick.outcome is Outcome.STOPPED
    assert (world.stage.calls, world.memory.intent) == (0, None)


def test_a_stop_file_that_is_still_there_forbids_to_resume(world: World) -> None:
    stop(world, "file")
    with pytest.raises(Refusal, match=r"remove .*stop"):
        world.mandate.resume("tester", world.clock())


def test_the_lower_of_ceiling_and_journal_wins(world: World) -> None:
    world.mandate.set_mode("web", Mode.ASSIST, "tester", world.clock())
    world.restart()
    assert world.mandate.mode("web", world.clock()) is Mode.ASSIST
    world.reload("ceiling: guarded", "ceiling: approve")
    assert world.mandate.mode("web", world.clock()) is Mode.APPROVE
    with pytest.raises(Refusal, match="above the ceiling"):
        world.mandate.set_mode("web", Mode.ASSIST, "tester", world.clock())


def test_while_stopped_nobody_is_asked(new_world: Callable[..., World]) -> None:
    world = new_world(Mode.APPROVE)
    stop(world, "call")
    world.want(a=4)
    status = world.tick()
    assert (status.tick.outcome, status.pending) == (Outcome.STOPPED, 0)
