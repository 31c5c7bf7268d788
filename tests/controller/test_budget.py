"""Several services, one budget: who gets the last of it, and what a death in between costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_controller.approvals import Answer
from trimtab_controller.journal.replay import replay
from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.protocols import StageError
from trimtab_guard.limits import ClusterLimits
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here
MakeWorld = Callable[..., World]

WINDOW_S = 60  # an hour, sixty times faster


class Crash(BaseException):
    """Nothing in the loop may catch it."""


def crash() -> None:
    raise Crash


def cluster(budget: float = 1e9, services_at_once: int = 10) -> str:
    return (
        f"cluster: {{budget: {budget}, budget_window_s: 3600, "
        f"services_at_once: {services_at_once}, change_window_s: 3600}}\n"
    )


def together(new_world: MakeWorld, limits: str, *more: str) -> World:
    """Web and ``more`` services like it in a warm and guarded world, each with 1 + 1 replicas."""
    world = new_world(Mode.GUARDED, warm=False)
    text = (world.folder / "trimtab.yaml").read_text()
    web = text[text.index("  - name: web") :]
    others = (web.replace("name: web", f"name: {name}") for name in more)
    world.configure(limits + text + "".join(others))
    world.restart()
    ticks(world, 9)
    return world


def ticks(world: World, times: int = 1) -> dict[str, TickRecord]:
    """What each service's last tick was."""
    world.tick(times)
    return {status.tick.service: status.tick for status in world.board.latest()[1]}


def grown(world: World) -> dict[str, int]:
    """Floors of backend a."""
    return {name: stage.spec.floors["a"] for name, stage in world.stages.items()}


def codes(tick: TickRecord) -> list[str]:
    return [reason.code for reason in tick.verdict.reasons]


def test_the_first_listed_gets_the_last_of_the_budget(new_world: MakeWorld) -> None:
    world = together(new_world, cluster(budget=4), "api")
    world.want(a=4)
    seen = ticks(world)
    assert grown(world) == {"web": 4, "api": 2}
    assert (codes(seen["web"]), codes(seen["api"])) == ([], ["BUDGET"])
    assert codes(ticks(world, WINDOW_S - 2)["api"]) == ["BUDGET"]
    ticks(world, 3)
    assert grown(world) == {"web": 4, "api": 4}


def test_cheaper_replicas_take_less_of_it(new_world: MakeWorld) -> None:
    world = together(new_world, cluster(budget=1))
    world.reload("{name: a,", "{name: a, price: 0.5,")
    world.want(a=4)
    world.tick()
    assert world.floors == (3, 1)


@pytest.mark.parametrize("away_s", [1.0, WINDOW_S - 20.0])
def test_a_restart_in_the_middle_of_the_window_opens_no_new_one(
    new_world: MakeWorld, away_s: float
) -> None:
    world = together(new_world, cluster(budget=4), "api")
    world.want(a=4)
    ticks(world, 5)
    before = [service.memory for service in world.services]
    assert [memory.changes[0].cost for memory in before] == [3.0, 1.0]
    world.restart(after_s=away_s)
    assert [service.memory.changes for service in world.services] == [m.changes for m in before]
    assert codes(ticks(world, 9)["api"]) == ["BUDGET"]
    ticks(world, WINDOW_S)
    assert grown(world) == {"web": 4, "api": 4}


@pytest.mark.parametrize("arrived", [True, False])
def test_a_write_that_nobody_knows_of_is_paid_until_it_is_settled(
    new_world: MakeWorld, arrived: bool
) -> None:
    world = together(new_world, cluster(budget=4), "api")
    web = world.stages["web"]
    setattr(web, "after" if arrived else "before", crash)
    world.want(a=4)
    with pytest.raises(Crash):
        world.tick()
    web.after = web.before = lambda: None
    web.down = True  # nobody can ask what became of it
    world.restart()
    assert codes(ticks(world, 9)["api"]) == ["BUDGET"]
    assert grown(world) == {"web": 4 if arrived else 1, "api": 2}
    web.down = False
    assert ticks(world, 9)["web"].error == ""
    assert sum(grown(world).values()) == 6
    assert sum(change.cost for s in world.services for change in s.memory.changes) == 4.0


def test_a_write_that_never_arrived_is_not_paid(new_world: MakeWorld) -> None:
    world = together(new_world, cluster(budget=3), "api")
    web = world.stages["web"]
    web.before = crash
    world.want(a=4)
    with pytest.raises(Crash):
        world.tick()
    world.mandate.set_mode("web", Mode.SHADOW, "ann", world.clock())
    web.before = lambda: None
    world.restart()
    ticks(world, 9)
    assert grown(world) == {"web": 1, "api": 4}


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.APPROVE])
def test_who_does_not_act_takes_nothing(new_world: MakeWorld, mode: Mode) -> None:
    world = together(new_world, cluster(budget=3), "api")
    world.mandate.set_mode("web", mode, "ann", world.clock())
    world.want(a=4)
    ticks(world)
    assert grown(world) == {"web": 1, "api": 4}


def test_an_approval_is_used_within_the_budget_and_says_so(new_world: MakeWorld) -> None:
    world = together(new_world, cluster(budget=2), "api")
    world.mandate.set_mode("web", Mode.APPROVE, "ann", world.clock())
    world.want(a=5)
    assert ticks(world)["web"].outcome is Outcome.ASKED
    world.stages["api"].down = True
    (envelope,) = world.approvals.pending(world.clock())
    assert (envelope.most, envelope.service) == (3, "web")
    assert envelope.why == "because; all services' budget allows 3 of 5 a"
    world.approvals.answer(envelope.id, Answer.GRANTED, "ann", "", world.clock())
    world.reload("budget: 2", "budget: 3")  # api has had 2 of it
    ticks(world)
    assert grown(world) == {"web": 2, "api": 3}


def test_only_so_many_services_change_at_once_and_who_has_begun_goes_on(
    new_world: MakeWorld,
) -> None:
    world = together(new_world, cluster(services_at_once=2), "api", "batch")
    world.want(a=4)
    seen = ticks(world)
    assert grown(world) == {"web": 4, "api": 4, "batch": 1}
    assert [codes(seen[name]) for name in ("web", "api", "batch")] == [[], [], ["CROWD"]]
    world.restart()
    world.want(a=5)
    assert codes(ticks(world, 5)["batch"]) == ["CROWD"]
    assert grown(world) == {"web": 5, "api": 5, "batch": 1}


def test_a_floor_that_only_keeps_what_is_there_changes_nothing(new_world: MakeWorld) -> None:
    world = together(new_world, cluster(budget=3, services_at_once=1), "api")
    world.stages["web"].hpa["a"] = 4
    world.want(a=4)
    ticks(world)
    assert grown(world) == {"web": 4, "api": 4}
    assert world.services[0].memory.changes == ()


@pytest.mark.parametrize("way", ["rollback", "abort"])
def test_nothing_keeps_a_write_from_being_undone(new_world: MakeWorld, way: str) -> None:
    world = together(new_world, cluster(), "api")
    world.sensor.values["miss_share", ""] = 0.002
    world.want(a=3, b=3)
    ticks(world, 20)
    world.want(a=3, b=2)
    while world.floors != (3, 2):
        world.tick()
    world.want(a=3, b=2, share_a=0.45)
    world.tick()
    world.reload("budget: 1000000000.0", "budget: 0")
    world.reload("services_at_once: 10", "services_at_once: 1")
    if way == "abort":
        world.mandate.abort("ann", "", world.clock())
    else:
        world.sensor.values["miss_share", ""] = 0.3
    ticks(world, 3)
    assert (world.floors, world.stage.spec.weights["a"]) == ((3, 3), 0.5)
    assert world.services[0].memory.changes[-1].cost == 1.0


def test_what_the_budget_said_replays_equal(new_world: MakeWorld) -> None:
    world = together(new_world, cluster(budget=9, services_at_once=2), "api", "batch")
    for number in range(60):
        world.want(a=1 + number % 7, b=1 + number % 3, share_a=0.5 - 0.05 * (number % 2))
        world.stages["web"].after = lost if number in (7, 20) else nothing
        world.stages["batch"].down = number in range(30, 36)
        world.tick()
        if number == 25:
            world.reload("budget: 9", "budget: 15")
        if number in (8, 40):
            world.restart()
    found = list(replay(world.journal.location))
    reasons = {reason.code for verdict in found for reason in verdict.before.reasons}
    assert {"BUDGET", "CROWD"} <= reasons
    assert [verdict.seq for verdict in found if verdict.differs] == []
    given = {service.name: service.limits for service in world.config.services}
    others = list(replay(world.journal.location, given, ClusterLimits()))
    assert any(verdict.differs for verdict in others)


def lost() -> None:
    raise StageError("the answer is lost")


def nothing() -> None:
    pass
