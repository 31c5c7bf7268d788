"""Two daemons on one stage, each with a journal of its own: one leads, whoever may think what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.journal import read
from trimtab_controller.memory import Outcome
from trimtab_guard.authority import Epoch
from trimtab_guard.modes import Mode
from trimtab_guard.reasons import Code
from trimtab_stage.spec import Ask

World = Any  # the class in conftest.py, which cannot be imported from here
Beside = Callable[..., World]


@pytest.fixture
def beside(world: World, tmp_path: Path) -> Iterator[Beside]:
    """Start another daemon on the stage of ``world``."""
    started: list[World] = []

    def start(mode: Mode = Mode.GUARDED) -> World:
        folder = tmp_path / "newer"
        folder.mkdir()
        started.append(type(world)(folder, mode, beside=world))
        return started[-1]

    yield start
    for other in started:
        other.journal.close()


def raise_to(world: World, floor: int) -> Any:
    """One tick in which ``world`` wants to write."""
    world.want(a=floor)
    return world.tick().tick


def test_every_opening_of_a_journal_is_a_new_epoch(world: World) -> None:
    for number in (1, 2, 3):
        assert world.mandate.epoch.number == number
        assert raise_to(world, 3 + number).outcome is Outcome.APPLIED
        assert world.stage.spec.epoch == world.mandate.epoch
        world.restart()
    kept = [entry.body["epoch"] for entry in read(world.folder / "journal.db", kinds=("epoch",))]
    assert kept == [1, 2, 3, 4]


def test_the_older_one_is_deposed_by_the_first_write_of_the_newer(
    world: World, beside: Beside, caplog: pytest.LogCaptureFixture
) -> None:
    assert raise_to(world, 2).outcome is Outcome.APPLIED
    newer = beside()
    assert newer.mandate.epoch.number == 2
    assert raise_to(world, 3).outcome is Outcome.APPLIED  # until the newer one writes, it leads
    assert raise_to(newer, 3).mode is Mode.GUARDED  # an older leader is no foreign writer
    assert raise_to(newer, 4).outcome is Outcome.APPLIED
    for _ in range(3):
        lost = raise_to(world, 6)
        assert (lost.mode, lost.outcome) == (Mode.SHADOW, Outcome.SHADOW)
    assert world.floors[0] == 4
    assert lost.error == (
        "deposed: newer, life 1 leads under epoch 2, ours is 1; "
        "web is in shadow until a human sets a mode"
    )
    assert [r.levelname for r in caplog.records if "deposed" in r.getMessage()] == ["WARNING"]
    assert raise_to(newer, 5).outcome is Outcome.APPLIED


def test_a_deposed_daemon_leads_again_when_a_human_says_so(world: World, beside: Beside) -> None:
    newer = beside()
    raise_to(newer, 2)
    raise_to(world, 3)
    world.mandate.set_mode("web", Mode.SHADOW, "ann", world.clock())
    assert (raise_to(world, 3).error, world.mandate.epoch.number) == ("", 1)
    world.mandate.set_mode("web", Mode.GUARDED, "ann", world.clock())
    taken = raise_to(world, 3)
    assert (taken.outcome, taken.error) == (Outcome.APPLIED, "")
    assert "life 1 leads under epoch 2, ours is 1" in raise_to(newer, 4).error


def test_a_deposed_daemon_stays_so_through_a_restart(world: World, beside: Beside) -> None:
    raise_to(beside(), 2)
    raise_to(world, 3)
    world.restart()
    assert world.mandate.epoch.number > world.stage.spec.epoch.number
    assert (raise_to(world, 3).mode, world.floors[0]) == (Mode.SHADOW, 2)
    assert "deposed" in world.mandate.alarm("web")


def test_a_restart_does_not_take_the_lead_back(world: World, beside: Beside) -> None:
    """Both are at epoch 2 then, and it is the other's."""
    raise_to(world, 2)
    raise_to(beside(), 3)
    world.restart()
    assert world.mandate.epoch.number == world.stage.spec.epoch.number == 2
    lost = raise_to(world, 4)
    assert (lost.mode, world.floors[0]) == (Mode.SHADOW, 3)
    assert "newer, life 1 leads under epoch 2, ours is 2" in lost.error


def test_of_two_that_start_at_once_the_first_to_write_leads(world: World, beside: Beside) -> None:
    other = beside()
    assert other.mandate.epoch.number == world.mandate.epoch.number == 1
    assert raise_to(other, 2).outcome is Outcome.APPLIED
    assert raise_to(world, 3).mode is Mode.SHADOW
    assert world.floors[0] == 2


def test_what_was_decided_before_the_newer_one_wrote_does_not_arrive(
    world: World, beside: Beside
) -> None:
    newer = beside()

    def overtake() -> None:
        world.stage.before = lambda: None
        raise_to(newer, 2)

    world.stage.before = overtake
    assert raise_to(world, 3).outcome is Outcome.FAILED
    assert world.floors[0] == 2
    assert "deposed" in raise_to(world, 3).error


def test_who_only_looks_on_deposes_nobody_and_is_not_deposed(world: World, beside: Beside) -> None:
    onlooker = beside(Mode.SHADOW)
    assert raise_to(world, 2).outcome is Outcome.APPLIED
    seen = raise_to(onlooker, 5)
    assert (seen.outcome, seen.error) == (Outcome.SHADOW, "")
    assert raise_to(world, 3).outcome is Outcome.APPLIED


def test_who_does_not_lead_for_a_while_writes_nothing_and_goes_on_where_it_was(
    world: World,
) -> None:
    raise_to(world, 3)
    world.not_leading = "the Lease could not be renewed"
    idle = raise_to(world, 5)
    assert (idle.mode, idle.outcome, world.floors[0]) == (Mode.SHADOW, Outcome.SHADOW, 3)
    assert world.tick().standing.reasons[0].code is Code.NOT_LEADING
    world.not_leading = ""
    assert (raise_to(world, 5).outcome, world.floors[0]) == (Outcome.APPLIED, 5)


def test_a_decision_is_not_sent_once_the_lead_is_gone(world: World) -> None:
    append = world.journal.append_text

    def losing(*record: Any) -> int:
        world.not_leading = "b holds the Lease"
        return append(*record)

    raise_to(world, 3)
    world.journal.append_text = losing
    lost = raise_to(world, 5)
    assert (lost.outcome, lost.error, world.floors[0]) == (
        Outcome.FAILED, "b holds the Lease", 3,
    )  # fmt: skip


def test_a_writer_without_an_epoch_is_a_foreign_one(world: World) -> None:
    raise_to(world, 2)
    world.stage.write("kubectl", Ask("a", 3))
    world.stage.write("trimtab", Ask("a", 4))  # as a trimtab did before there were epochs
    assert world.stage.spec.epoch == world.mandate.epoch
    assert (
        raise_to(world, 5).error
        == "another trimtab changed web: in shadow until a human sets a mode"
    )


def test_a_stage_that_forgot_its_epochs_frees_nobody(world: World, beside: Beside) -> None:
    newer = beside()
    raise_to(newer, 2)
    raise_to(world, 3)
    world.stage.spec = type(world.stage.spec).initial(world.stage.profile)
    assert world.stage.spec.epoch == Epoch()
    assert raise_to(world, 3).mode is Mode.SHADOW
    assert raise_to(newer, 3).outcome is Outcome.APPLIED
