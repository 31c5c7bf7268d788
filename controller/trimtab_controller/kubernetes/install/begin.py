"""What `trimtab install` does: an autoscaler where there is none, and a note of what is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from trimtab_controller.config import ServiceSpec
from trimtab_controller.kubernetes import kinds
from trimtab_controller.kubernetes.api import JSON, Json
from trimtab_controller.kubernetes.install.plan import (
    BEFORE,
    OURS,
    Plan,
    Step,
    remember,
    remembered,
)
from trimtab_controller.kubernetes.install.scan import Found, Space
from trimtab_controller.kubernetes.objects import route
from trimtab_controller.kubernetes.owners import rivals
from trimtab_controller.kubernetes.spec import Acting

MANAGED = {"app.kubernetes.io/managed-by": "trimtab"}


def begun(service: ServiceSpec, found: Sequence[Found], space: Space, utilization: int) -> Plan:
    """The plan for one service; a new autoscaler adds replicas above ``utilization`` percent."""
    plan = Plan()
    for each in found:
        plan += _target(service, each, space, utilization)
    return plan + _route(service, space)


def _target(service: ServiceSpec, found: Found, space: Space, utilization: int) -> Plan:
    if found.raw is None:
        return Plan(problems=(f"there is no {found}: create it, or correct trimtab.yaml",))
    scalers, owners = space.autoscalers_of(found.target), space.owners_of(found.target)
    missing = found.spec.act is Acting.FLOOR and not scalers
    if missing and all(owner.idle for owner in owners):
        return _created(service, found, utilization)
    kept = [kinds.AUTOSCALERS.read(raw) for raw in scalers]
    if problems := tuple(rivals(found.spec, found.target, kept, owners)):
        return Plan(problems=problems)
    if found.spec.act is Acting.SCALE:
        words = f"{found}: replicas {found.replicas}"
        return _kept(words, found.path, found.raw, {"replicas": found.replicas})
    return _floor(scalers[0])


def _floor(raw: Json) -> Plan:
    own = raw["metadata"]
    least = raw["spec"].get("minReplicas", 1)
    words = f"HorizontalPodAutoscaler {own['namespace']}/{own['name']}: minReplicas {least}"
    path = kinds.AUTOSCALERS.resource.path(own["namespace"], own["name"])
    return _kept(words, path, raw, {"minReplicas": least})


def _created(service: ServiceSpec, found: Found, utilization: int) -> Plan:
    """An autoscaler that begins with what is there, and so takes nothing away."""
    least = max(1, found.replicas)
    most = max(least, found.spec.max_replicas)
    target, before = found.target, {"created": True, "replicas": found.replicas}
    annotations = {f"{OURS}owner": f"{service.name}/{found.spec.name}", BEFORE: json.dumps(before)}
    cpu = {"type": "Utilization", "averageUtilization": utilization}
    body = {
        "apiVersion": kinds.AUTOSCALERS.resource.api_version,
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": target.name, "labels": MANAGED, "annotations": annotations},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": target.api_version,
                "kind": target.kind,
                "name": target.name,
            },
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}],
        },
    }
    words = (
        f"create HorizontalPodAutoscaler {found.namespace}/{target.name}: minReplicas {least}, as "
        f"many as there are, maxReplicas {most}, CPU {utilization} %"
    )
    # Created, not applied: what is applied later under this name is the floor alone.
    step = Step(words, "POST", kinds.AUTOSCALERS.resource.path(found.namespace), body, JSON)
    return Plan((step,), notes=_unmeasured(found))


def _unmeasured(found: Found) -> tuple[str, ...]:
    """An autoscaler measures CPU against what the containers request."""
    spec: Json = (found.raw or {}).get("spec") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    if all("cpu" in ((c.get("resources") or {}).get("requests") or {}) for c in containers):
        return ()
    return (
        f"{found} requests no CPU: its autoscaler will keep a floor and add nothing; set "
        "resources.requests.cpu",
    )


def _route(service: ServiceSpec, space: Space) -> Plan:
    if not (service.kubernetes and service.kubernetes.route):
        return Plan()
    name = service.kubernetes.route
    thing, path = f"HTTPRoute {space.name}/{name}", kinds.ROUTES.resource.path(space.name, name)
    for raw in space.routes:
        if raw["metadata"]["name"] == name:
            places = route(raw).weights
            weights = [[each.rule, each.service, each.weight] for each in places]
            told = ", ".join(f"{each.service} {each.weight}" for each in places)
            return _kept(f"{thing}: {told}", path, raw, {"weights": weights})
    return Plan(problems=(f"there is no {thing}: create it, or correct trimtab.yaml",))


def _kept(words: str, path: str, raw: Json, what: Mapping[str, object]) -> Plan:
    """Write down what is, once: a second time it might be ours already."""
    if remembered(raw) is not None:
        return Plan()
    return Plan((Step(f"remember on {words}", "PATCH", path, remember(raw, what)),))
