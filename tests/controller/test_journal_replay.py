"""Replay: a recorded run judged anew gives the same verdicts, and others under other limits."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trimtab_controller.cli import main
from trimtab_controller.config import load
from trimtab_controller.journal import Journal, JournalError, lines, reading
from trimtab_controller.journal.replay import Replayed, replay
from trimtab_controller.retention import prune
from trimtab_guard.model import Reason, Want
from trimtab_guard.reasons import Code

World = Any  # the class in conftest.py, which cannot be imported from here


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["journal", *arguments])


@pytest.fixture
def lived(world: World) -> World:
    """A day in a life: growth, a peak, trouble of every kind, two restarts, and the way down."""
    chance = Random(7)
    for tick in range(120):
        world.want(chance.randrange(1, 14), chance.randrange(1, 14), chance.random())
        world.sensor.error = "no answer" if tick in range(40, 44) else ""
        world.stage.down = tick in range(60, 63)
        world.policy.think = fail if tick in (70, 71) else idle
        world.tick()
        if tick in (50, 90):
            world.restart(after_s=30.0 if tick == 90 else 1.0)
    world.policy.wants = (Want("a", math.nan, 0.5), Want("b", 1, math.inf))
    world.tick(3)
    world.restart()
    world.tick(2)
    return world


def idle() -> None:
    pass


def fail() -> None:
    raise RuntimeError("lost my weights")


def differing(found: list[Replayed]) -> list[int]:
    return [verdict.seq for verdict in found if verdict.differs]


def test_a_recorded_run_replays_equal(lived: World) -> None:
    found = list(replay(lived.journal.location))
    assert len(found) > 100
    assert len({reason.code for verdict in found for reason in verdict.before.reasons}) > 5
    assert differing(found) == []


@pytest.fixture
def grown(world: World) -> World:
    """One tick of growth that a limit cut short, among quiet ones."""
    world.tick(5)
    world.want(8, 1)
    world.tick(2)
    return world


def slower(world: World, *, up_replicas: int) -> Path:
    """The world's configuration, but for one limit."""
    file: Path = world.folder / "slower.yaml"
    text = (world.folder / "trimtab.yaml").read_text()
    file.write_text(f"{text}    limits: {{up_replicas: {up_replicas}}}\n")
    return file


def test_a_changed_limit_shows_exactly_the_tick_that_it_concerns(grown: World) -> None:
    limits = replace(grown.config.services[0].limits, up_replicas=2)
    (changed,) = (each for each in replay(grown.journal.location, {"web": limits}) if each.differs)
    ticks = list(grown.journal.entries(kinds=["tick"]))
    assert changed.seq == ticks[-2].seq
    assert (changed.before.backends[0].replicas, changed.after.backends[0].replicas) == (5, 3)
    assert changed.before.reasons == (Reason(Code.RATE_UP, "a", 8, 5),)
    assert changed.after.reasons == (Reason(Code.RATE_UP, "a", 8, 3),)


def test_the_limits_that_were_recorded_count_from_when_they_changed(grown: World) -> None:
    grown.config = load(slower(grown, up_replicas=2))
    grown.want(12, 12)
    grown.restart()
    grown.tick(3)
    grown.services[0].config = load(slower(grown, up_replicas=1)).services[0]
    grown.want(1, 12)
    grown.tick(3)
    recorded = [entry.body["limits"] for entry in grown.journal.entries(kinds=["limits"])]
    assert [limits["up_replicas"] for limits in recorded] == [4, 2, 1]
    found = list(replay(grown.journal.location))
    assert len(found) > 15
    assert differing(found) == []


def test_an_export_replays_like_its_journal(lived: World, tmp_path: Path) -> None:
    export = tmp_path / "journal.jsonl"
    with reading(lived.journal.location) as snapshot:
        export.write_text("".join(lines(snapshot)))
    assert list(map(repr, replay(export))) == list(map(repr, replay(lived.journal.location)))


def test_the_command_shows_what_differs_and_says_so_by_its_exit(grown: World) -> None:
    location = str(grown.journal.location)
    same = cli("replay", location)
    assert (same.exit_code, same.output) == (0, "16 verdicts, 0 differ\n")
    other = cli("replay", location, "--config", str(slower(grown, up_replicas=2)))
    assert other.exit_code == 1
    seq = list(grown.journal.entries(kinds=["tick"]))[-2].seq
    assert other.output.splitlines() == [
        f"record {seq}  web  2027-01-15T08:00:15.000+00:00",
        "  before  a 5 at 50.0%, b 1 at 50.0%  (RATE_UP a 8 -> 5)",
        "  after   a 3 at 50.0%, b 1 at 50.0%  (RATE_UP a 8 -> 3)",
        "16 verdicts, 1 differ",
    ]


@pytest.mark.parametrize(
    ("records", "given", "message"),
    [
        pytest.param([], None, "the limits of web were not recorded before it", id="none"),
        pytest.param([], {}, "the limits of web are not in that configuration", id="not given"),
        pytest.param([{"speed": 3}], None, "its limits are none for this trimtab", id="unknown"),
        pytest.param([{"hold_s": -1}], None, "its limits are none for this trimtab", id="wrong"),
    ],
)
def test_limits_that_are_not_known_are_named(
    grown: World, tmp_path: Path, records: list[Any], given: Any, message: str
) -> None:
    *_, tick = grown.journal.entries(kinds=["tick"])
    (limits,) = grown.journal.entries(kinds=["limits"])
    with Journal.open(tmp_path / "other.db") as other:
        for wrong in records:
            body = {"limits": {**limits.body["limits"], **wrong}, "recalled": True}
            other.append("limits", body, 1.0)
        other.append("tick", tick.body, 1.0)
        with pytest.raises(JournalError, match=rf"other.db: record 1: {message}.*--config"):
            list(replay(other.location, given))


def test_a_pruned_journal_replays_what_it_has_all_memory_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if memories reached back thirty seconds."""
    for module in ("memory", "journal.replay"):
        monkeypatch.setattr(f"trimtab_controller.{module}.LONGEST_WINDOW_S", 30.0)
    for growth in range(120):
        world.want(1 + growth % 7, 1 + growth % 5)
        world.tick()
    whole = list(replay(world.journal.location))
    assert prune(world.journal, 60.0, world.clock())
    left = list(replay(world.journal.location))
    assert 20 < len(left) < 40
    assert left == whole[-len(left) :]
