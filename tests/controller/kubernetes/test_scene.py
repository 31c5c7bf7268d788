"""What follows from a service's objects: versions, writers, shares, floors and what is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from trimtab_controller.config import BackendSpec
from trimtab_controller.kubernetes.kinds import Resource
from trimtab_controller.kubernetes.objects import (
    Autoscaler,
    Budget,
    Meta,
    Phase,
    Pod,
    Reference,
    Route,
    Selector,
    Weight,
    Workload,
    Writer,
)
from trimtab_controller.kubernetes.scene import Group, Scene, protected
from trimtab_controller.kubernetes.spec import Acting, TargetSpec
from trimtab_controller.kubernetes.writes import beyond, steps
from trimtab_controller.protocols import Ask, Intent, StageError
from trimtab_guard.authority import Epoch

HELM, US = Writer("helm", "2026-01-01T00:00:00Z"), Writer("trimtab", "2026-01-01T00:00:01Z")


def pods(name: str, count: int) -> list[Pod]:
    labels = {"app": "web", "backend": name}
    return [Pod(Meta(f"{name}{n}", f"p{n}", "1"), labels, Phase.READY) for n in range(count)]


def group(name: str, replicas: int = 4, floor: int = 2, act: Acting = Acting.FLOOR) -> Group:
    target = TargetSpec("Deployment", f"web-{name}")
    spec = BackendSpec(name, 4, 0.05, 2.0, 1, 12, target=target, act=act)
    selector = Selector({"backend": name})
    own = Workload(Meta(f"web-{name}", f"d{name}", "5"), replicas, selector, False, (HELM,))
    to = Reference("apps", "Deployment", f"web-{name}")
    scaler = Autoscaler(Meta(f"web-{name}", f"h{name}", "7"), to, floor, 10, (HELM,))
    return Group(
        spec,
        target,
        Resource("apps/v1", "deployments"),
        own,
        pods(name, replicas),
        scaler if act is Acting.FLOOR else None,
    )


def route(*weights: int, writers: tuple[Writer, ...] = (HELM,)) -> Route:
    meta = Meta("web", "r", "9")
    names = ("web-a", "web-b", "web-c")
    given = tuple(Weight(0, n, names[n], weight) for n, weight in enumerate(weights))
    return Route(meta, given, writers)


SCENE = Scene("shop", 0.0, (group("a"), group("b", act=Acting.SCALE)), route(1, 3))


def scaled(scene: Scene, **changes: Any) -> Scene:
    """With another autoscaler of the first backend."""
    first, second = scene.groups
    assert first.autoscaler
    return replace(
        scene, groups=(replace(first, autoscaler=replace(first.autoscaler, **changes)), second)
    )


def loaded(scene: Scene, number: int, **changes: Any) -> Scene:
    """With another target of the backend of that number."""
    groups = list(scene.groups)
    groups[number] = replace(groups[number], workload=replace(groups[number].workload, **changes))
    return replace(scene, groups=tuple(groups))


VERSIONS: dict[str, tuple[Callable[[Scene], Scene], bool]] = {
    "nothing": (lambda scene: scene, False),
    "a floor": (lambda scene: scaled(scene, least=3), True),
    "its writer": (lambda scene: scaled(scene, writers=(US,)), True),
    "when it wrote": (lambda scene: scaled(scene, writers=(Writer("helm", "later"),)), False),
    "the ceiling": (lambda scene: scaled(scene, most=99), False),
    "its status": (lambda scene: scaled(scene, meta=Meta("web-a", "ha", "8")), False),
    "another of its name": (lambda scene: scaled(scene, meta=Meta("web-a", "new", "7")), True),
    "replicas over a floor": (lambda scene: loaded(scene, 0, replicas=9), False),
    "replicas that are ours": (lambda scene: loaded(scene, 1, replicas=9), True),
    "a rollout": (lambda scene: loaded(scene, 1, rolling=True), False),
    "weights": (lambda scene: replace(scene, route=route(2, 3)), True),
    "a filter": (lambda scene: replace(scene, route=route(1, 3, writers=(US,))), False),
}


@pytest.mark.parametrize(("change", "moved"), VERSIONS.values(), ids=VERSIONS)
def test_what_makes_another_version(change: Callable[[Scene], Scene], moved: bool) -> None:
    assert (change(SCENE).version != SCENE.version) is moved


LATE = Writer("kubectl", "2026-01-01T00:00:01Z")
WRITERS: dict[str, tuple[Scene, str]] = {
    "before trimtab": (SCENE, "helm on HorizontalPodAutoscaler web-a"),
    "trimtab last": (scaled(SCENE, writers=(US,)), "trimtab"),
    "somebody in the same second": (
        loaded(scaled(SCENE, writers=(US,)), 1, writers=(LATE,)),
        "kubectl on Deployment web-b",
    ),
    "nobody": (Scene("shop", 0.0, (), None), ""),
    "who took an autoscaler away, or made another": (
        replace(SCENE, groups=(replace(group("a"), autoscaler=None),)),
        "whoever changed the autoscalers of Deployment web-a",
    ),
}


@pytest.mark.parametrize(("scene", "writer"), WRITERS.values(), ids=WRITERS)
def test_who_wrote_last(scene: Scene, writer: str) -> None:
    assert scene.writer == writer


def rules(*given: tuple[int, str, int]) -> Scene:
    weights = tuple(Weight(rule, 0, service, weight) for rule, service, weight in given)
    return replace(SCENE, route=replace(route(), weights=weights))


BOTH = ((0, "web-a", 1), (0, "web-b", 3))
SHARES: dict[str, tuple[Scene, dict[str, float] | None]] = {
    "no route": (replace(SCENE, route=None), {"web-a": 1.0, "web-b": 1.0}),
    "one rule": (rules(*BOTH), {"web-a": 0.25, "web-b": 0.75}),
    "nothing anywhere": (rules((0, "web-a", 0), (0, "web-b", 0)), {"web-a": 0.0, "web-b": 0.0}),
    "others' rules": (rules(*BOTH, (1, "api", 1)), {"web-a": 0.25, "web-b": 0.75}),
    "two alike": (
        rules(*BOTH, (1, "web-a", 10), (1, "web-b", 30)),
        {"web-a": 0.25, "web-b": 0.75},
    ),
    "two that differ": (rules(*BOTH, (1, "web-a", 1), (1, "web-b", 1)), None),
    "a stranger": (rules(*BOTH, (0, "api", 1)), None),
    "one is missing": (rules((0, "web-a", 1)), None),
    "one is there twice": (rules(*BOTH, (0, "web-a", 1)), None),
    "none": (rules((0, "api", 1)), None),
}


@pytest.mark.parametrize(("scene", "shares"), SHARES.values(), ids=SHARES)
def test_shares(scene: Scene, shares: dict[str, float] | None) -> None:
    if shares is not None:
        assert scene.shares() == shares
        return
    with pytest.raises(StageError, match="Invalid: HTTPRoute web: each rule"):
        scene.shares()


def test_only_pods_that_shall_start_wait_for_a_node() -> None:
    waiting = replace(pods("a", 1)[0], phase=Phase.STARTING, unschedulable="0/3 nodes")
    leaving = replace(waiting, phase=Phase.DRAINING)
    own = replace(group("a"), pods=[*pods("a", 2), waiting, waiting, leaving])
    assert own.stuck == "Unschedulable: a: 2 pods wait for a node: 0/3 nodes"
    assert replace(own, pods=[leaving]).stuck == ""


@pytest.mark.parametrize(
    ("replicas", "floor", "act", "wanted"),
    [
        (4, 2, Acting.FLOOR, 4),
        (4, 6, Acting.FLOOR, 6),
        (0, 6, Acting.FLOOR, 0),
        (4, 6, Acting.SCALE, 4),
    ],
    ids=["above", "the autoscaler follows soon", "it is off", "there is none"],
)
def test_what_is_wanted(replicas: int, floor: int, act: Acting, wanted: int) -> None:
    assert group("a", replicas, floor, act).report(1.0).wanted == wanted


def budget(least: int, **labels: str) -> Budget:
    return Budget(Meta("b", "b", "1"), Selector(labels), least)


BUDGETS: dict[str, tuple[list[Budget], list[int]]] = {
    "none": ([], [0, 0]),
    "of one": ([budget(3, backend="a")], [3, 0]),
    "of both": ([budget(5, app="web")], [3, 3]),
    "of others": ([budget(5, app="api")], [0, 0]),
    "the higher": ([budget(5, app="web"), budget(4, backend="b")], [3, 4]),
    "more than there are": ([budget(99, app="web")], [50, 50]),
}


@pytest.mark.parametrize(("budgets", "least"), BUDGETS.values(), ids=BUDGETS)
def test_what_disruption_budgets_keep(budgets: list[Budget], least: list[int]) -> None:
    found = protected([group("a"), group("b")], budgets)
    assert [each.disruption_min for each in found] == least


def intent(*asks: Ask) -> Intent:
    epoch = Epoch(3, "us")
    return Intent("r1", "web", 0.0, SCENE.version, asks, epoch=epoch, why="load rises")


STEPS: dict[str, tuple[tuple[Ask, ...], list[tuple[str, str]]]] = {
    "nothing": ((), []),
    "as it is": ((Ask("a", 4, 2, 0.25), Ask("b", 4, 4, 0.75)), []),
    "up before the route before down": (
        (Ask("a", 4, 1, 0.5), Ask("b", 4, 6, 0.5)),
        [
            ("ScaledUp", "replicas 4 to 6"),
            ("Rerouted", "weights web-a 50.0%, web-b 50.0%"),
            ("FloorLowered", "minReplicas 2 to 1"),
        ],
    ),
    "the route alone": (
        (Ask("a", 4, None, 1 / 3), Ask("b", 4, None, 2 / 3)),
        [("Rerouted", "weights web-a 33.3%, web-b 66.7%")],
    ),
}


@pytest.mark.parametrize(("asks", "expected"), STEPS.values(), ids=STEPS)
def test_the_order_of_writes(asks: tuple[Ask, ...], expected: list[tuple[str, str]]) -> None:
    # The weights of a share are of ten thousand: 1 to 3 is written as 2500 to 7500.
    scene = replace(SCENE, route=route(2500, 7500))
    assert [(step.reason, step.words) for step in steps(scene, intent(*asks))] == expected


@pytest.mark.parametrize(("floor", "refused"), [(10, False), (11, True), (None, False)])
def test_a_floor_above_the_ceiling_of_the_autoscaler(floor: int | None, refused: bool) -> None:
    assert ("maxReplicas 10, and 11" in beyond(SCENE, intent(Ask("a", 4, floor, None)))) is refused
