"""What happens to an object before it is stored: names, defaults, and what is invalid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.cluster.fake.errors import Object, invalid
from tests.cluster.fake.kinds import Kind
from tests.cluster.fake.selectors import dig

# Where a kind's field stands when nobody says.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "Deployment": {"replicas": 1, "strategy": {"type": "RollingUpdate"}},
    "StatefulSet": {"replicas": 1, "updateStrategy": {"type": "RollingUpdate"}},
    "ReplicaSet": {"replicas": 1},
    "HorizontalPodAutoscaler": {"minReplicas": 1},
    "Pod": {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30},
    "Service": {"type": "ClusterIP"},
}
_PHASES = {"Pod": "Pending", "Namespace": "Active"}

Complaints = Iterator[tuple[str, str]]


def defaulted(kind: Kind, thing: Object) -> Object:
    """``thing`` with what the server fills in."""
    result = dict(thing)
    if defaults := _DEFAULTS.get(kind.name):
        result["spec"] = {**defaults, **(thing.get("spec") or {})}
    if kind.name in _PHASES and not dig(thing, "status.phase"):
        result["status"] = {**(thing.get("status") or {}), "phase": _PHASES[kind.name]}
    return result


def check(kind: Kind, thing: Object) -> None:
    """Raises `ApiError` 422 with the first field that is wrong."""
    complaints = _CHECKS.get(kind.name, _nothing)
    for field, why in complaints(thing.get("spec") or {}):
        raise invalid(kind.resource, thing["metadata"]["name"], field, why)


def _nothing(_spec: Object) -> Complaints:
    return iter(())


def _workload(spec: Object) -> Complaints:
    for field in ("selector", "template"):
        if not spec.get(field):
            yield f"spec.{field}", "null: field is required"
    if spec["replicas"] < 0:
        yield "spec.replicas", f"{spec['replicas']}: must be greater than or equal to 0"


def _autoscaler(spec: Object) -> Complaints:
    if not dig(spec, "scaleTargetRef.name"):
        yield "spec.scaleTargetRef.name", '"": name is required'
    least, most = spec["minReplicas"], spec.get("maxReplicas", 0)
    if least < 1:
        yield "spec.minReplicas", f"{least}: must be greater than or equal to 1"
    if most < 1:
        yield "spec.maxReplicas", f"{most}: must be greater than 0"
    if most < least:
        yield "spec.maxReplicas", f"{most}: must be greater than or equal to `minReplicas`"


def _route(spec: Object) -> Complaints:
    for i, rule in enumerate(spec.get("rules", ())):
        for j, backend in enumerate(rule.get("backendRefs", ())):
            field, weight = f"spec.rules[{i}].backendRefs[{j}].weight", backend.get("weight", 1)
            if not isinstance(weight, int):
                yield field, f'"{type(weight).__name__}": must be of type integer'
            elif not 0 <= weight <= 1_000_000:
                yield field, f"{weight}: should be between 0 and 1e+06"


def _lease(spec: Object) -> Complaints:
    if spec.get("leaseDurationSeconds", 1) <= 0:
        yield "spec.leaseDurationSeconds", "must be greater than 0"
    if spec.get("leaseTransitions", 0) < 0:
        yield "spec.leaseTransitions", "must be greater than or equal to 0"


_CHECKS: dict[str, Callable[[Object], Complaints]] = {
    "Deployment": _workload,
    "StatefulSet": _workload,
    "ReplicaSet": _workload,
    "HorizontalPodAutoscaler": _autoscaler,
    "HTTPRoute": _route,
    "Lease": _lease,
}
