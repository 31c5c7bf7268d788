"""What `trimtab uninstall` does: everything as it was before `trimtab install`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from trimtab_controller.kubernetes import kinds
from trimtab_controller.kubernetes.api import JSON_PATCH, Json
from trimtab_controller.kubernetes.install.plan import (
    Plan,
    Step,
    deletion,
    forgotten,
    remembered,
    unannotated,
)
from trimtab_controller.kubernetes.install.scan import Found, Space
from trimtab_controller.kubernetes.objects import WRITTEN, Weight, route


def ended(spaces: Iterable[Space], found: Iterable[Found]) -> Plan:
    """The plan for all: replicas first, then floors, then routes."""
    plan, spaces = Plan(), tuple(spaces)
    for each in found:
        plan += _target(each)
    for raw in chain.from_iterable(space.autoscalers for space in spaces):
        plan += _autoscaler(raw)
    for raw in chain.from_iterable(space.routes for space in spaces):
        plan += _route(raw)
    return plan


def _target(found: Found) -> Plan:
    """Never fewer replicas than now: the load of today is not that of then."""
    before = remembered(found.raw) if found.raw else None
    if found.raw is None or before is None:
        return Plan()
    least = int(before["replicas"])
    forget = {"metadata": {"annotations": unannotated(found.raw)}}
    if found.replicas >= least:
        words = f"{found}: {found.replicas} replicas stay, of {least} before"
        return Plan((Step(words, "PATCH", found.path, forget),))
    words, scale = f"{found}: replicas {found.replicas} to {least}", {"spec": {"replicas": least}}
    return Plan(
        (
            Step(words, "PATCH", f"{found.path}/scale", scale),
            Step(f"{found}: forget what was before", "PATCH", found.path, forget),
        )
    )


def _autoscaler(raw: Json) -> Plan:
    before, own, now = remembered(raw), raw["metadata"], raw["spec"].get("minReplicas", 1)
    thing = f"HorizontalPodAutoscaler {own['namespace']}/{own['name']}"
    if before is None:
        return _unknown(raw, f"{thing} keeps minReplicas {now}")
    if before.get("created"):
        words = f"delete {thing}, which install made: its target stays as it is"
        return Plan((deletion(raw, kinds.AUTOSCALERS.resource, words),))
    least = int(before["minReplicas"])
    path = kinds.AUTOSCALERS.resource.path(own["namespace"], own["name"])
    patch = {**forgotten(raw), "spec": {"minReplicas": least}}
    return Plan((Step(f"{thing}: minReplicas {now} to {least}", "PATCH", path, patch),))


def _route(raw: Json) -> Plan:
    before, own, weights = remembered(raw), raw["metadata"], route(raw).weights
    thing = f"HTTPRoute {own['namespace']}/{own['name']}"
    if before is None:
        now = ", ".join(f"{each.service} {each.weight}" for each in weights)
        return _unknown(raw, f"{thing} keeps its weights: {now}")
    then = {(rule, service): weight for rule, service, weight in before["weights"]}
    # A place that is new since then keeps what it has.
    back = [(each, then.get((each.rule, each.service), each.weight)) for each in weights]
    told = ", ".join(f"{each.service} {each.weight} to {weight}" for each, weight in back)
    path = kinds.ROUTES.resource.path(own["namespace"], own["name"])
    patch = [*_weighed(back), *_forgotten(raw)]
    return Plan((Step(f"{thing}: weights {told}", "PATCH", path, patch, JSON_PATCH),))


def _weighed(back: Iterable[tuple[Weight, int]]) -> Iterator[Json]:
    for each, weight in back:
        path = f"/spec/rules/{each.rule}/backendRefs/{each.place}/weight"
        yield {"op": "add", "path": path, "value": weight}


def _forgotten(raw: Json) -> Iterator[Json]:
    version = raw["metadata"]["resourceVersion"]
    yield {"op": "add", "path": "/metadata/resourceVersion", "value": version}
    for key in unannotated(raw):
        yield {"op": "remove", "path": f"/metadata/annotations/{key.replace('/', '~1')}"}


def _unknown(raw: Json, words: str) -> Plan:
    """trimtab wrote to it, and nobody wrote down what was before."""
    if WRITTEN not in (raw["metadata"].get("annotations") or {}):
        return Plan()
    return Plan(notes=(f"{words}: what it had before `trimtab install` is not known",))
