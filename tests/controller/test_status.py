"""`trimtab status` reads like `kubectl get`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from trimtab_controller.cli import main
from trimtab_controller.cli.status import age
from trimtab_controller.messages import status as message
from trimtab_controller.variants.plan import Plan, Variant
from trimtab_guard.modes import Mode

from .conftest import World


class Desk:
    """A world whose API is served, and the command line in front of it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.address = f"unix:{folder}/d.sock"
        self.served = world.serve(self.address)

    def status(self, *arguments: str) -> list[str]:
        told = CliRunner().invoke(main, ["status", "--address", self.address, *arguments])
        assert told.exit_code == 0, told.output
        return told.output.splitlines()

    def row(self, *arguments: str) -> dict[str, str]:
        """The only service, by column; WHY is in words."""
        header, row = self.status(*arguments)
        names = header.split()
        return dict(zip(names, row.split(maxsplit=len(names) - 1), strict=True))


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Iterator[Desk]:
    world.stage.hpa = {"a": 3, "b": 2}
    world.want(4, 2)
    world.tick(2)
    desk = Desk(world, tmp_path)
    yield desk
    desk.served.close()


def test_a_service_is_a_line(desk: Desk) -> None:
    row = desk.row()
    assert {name: row[name] for name in ("NAME", "MODE", "READY", "FLOOR", "OUTCOME")} == {
        "NAME": "web",
        "MODE": "guarded",
        "READY": "4/4,2/2",
        "FLOOR": "4,2",
        "OUTCOME": "unchanged",
    }
    assert row["SHARE"] == "50%,50%"
    assert row["MISSES"] == "-", "nobody measures it here"


def _expire(world: World) -> None:
    world.clock.now_s += 9 * 3600
    world.tick()


def _blind(world: World) -> None:
    world.sensor.error = "Prometheus at http://p: rate_rps: HTTP 503"
    world.tick()


def _ask(world: World) -> None:
    world.mandate.set_mode("web", Mode.APPROVE, "ann", world.clock())
    world.want(6, 2)
    world.tick()


@pytest.mark.parametrize(
    ("happens", "mode", "why"),
    [
        pytest.param(_blind, "guarded", "Prometheus at http://p: rate_rps: HTTP 503", id="blind"),
        pytest.param(_expire, "approve", "the lease on web has ended", id="lease"),
        pytest.param(_ask, "approve", "1 to approve", id="asked"),
        pytest.param(
            lambda world: world.mandate.halt(), "STOPPED", "undo with `trimtab resume`", id="stop"
        ),
    ],
)
def test_why_it_is_held(
    desk: Desk, happens: Callable[[World], object], mode: str, why: str
) -> None:
    happens(desk.world)
    desk.world.tick()
    row = desk.row()
    assert row["MODE"] == mode
    assert why in row["WHY"]


def test_more_columns(desk: Desk) -> None:
    row = desk.row("-o", "wide")
    assert (row["BACKENDS"], row["RPS"], row["P95"]) == ("a,b", "50,50", "-")
    assert list(row)[-1] == "WHY"


def test_json_has_the_names_of_the_api(desk: Desk) -> None:
    (line,) = desk.status("-o", "json")
    shown = json.loads(line)
    assert shown["backends"][0]["floor"] == 4
    assert shown.keys() == {
        field.name for field in message(desk.world.board.latest()[1][0]).DESCRIPTOR.fields
    }


def test_one_service_in_full(desk: Desk) -> None:
    first, *rest = desk.status("web")
    assert first == "web: guarded, policy fixed, 0 pending"
    assert any("4 ready, 0 starting" in line for line in rest)


def test_variants_are_told_while_they_run(desk: Desk) -> None:
    plan = Plan("web", "a", "threads", (Variant("v1"),), rate_rps=10.0, who="ann")
    rounds, now_s = desk.world.board.rounds, desk.world.clock()
    rounds.begin(plan, 0.3, 12, now_s)
    assert "web: round 1 of threads, variants of a" in desk.status("web")
    rounds.give_back("web", "enough", now_s)
    assert not any("threads" in line for line in desk.status("web"))


def test_watching_prints_what_changes_and_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    def echo(line: str, **_options: object) -> None:
        lines.append(line)
        if len(lines) == 2:
            desk.world.tick(3)  # of which the first two are alike
            desk.world.stage.hpa = {"a": 9, "b": 2}
            desk.world.tick()
        if "9/9" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr("click.echo", echo)
    CliRunner().invoke(main, ["status", "-w", "--address", desk.address])
    assert [line.split()[2] for line in lines] == ["READY", "4/4,2/2", "9/9,2/2"]


@pytest.mark.parametrize(
    ("span_s", "shown"),
    [
        (-1.0, "0s"),
        (0.4, "0s"),
        (119.0, "119s"),
        (120.0, "2m"),
        (7199.0, "119m"),
        (7200.0, "2h"),
        (172800.0, "2d"),
    ],
)
def test_ages(span_s: float, shown: str) -> None:
    assert age(span_s) == shown
