"""The objects that tests begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

# A real cluster may have nodes of its own: pods of tests go to those of `Kubelet`.
NODES = {"trimtab.dev/tests": "yes"}

# A container image is only named: nothing here ever runs one.
_IMAGE = "pause:3.10"


def deployment(name: str, replicas: int = 1, **more: Any) -> Object:
    """``more`` goes into its spec."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod_spec()}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **more}
    return _object("apps/v1", "Deployment", name, spec)


def pod(name: str, labels: Mapping[str, str], node: str = "") -> Object:
    spec = {**pod_spec(), **({"nodeName": node} if node else {})}
    return _object("v1", "Pod", name, spec, labels=dict(labels))


def pod_spec() -> Object:
    requests = {"cpu": "10m", "memory": "10Mi"}
    container = {"name": "main", "image": _IMAGE, "resources": {"requests": requests}}
    return {
        "containers": [container],
        "nodeSelector": NODES,
        "terminationGracePeriodSeconds": 1,
    }


def autoscaler(name: str, least: int = 1, most: int = 20, target: str = "") -> Object:
    """An HPA of the Deployment ``target``, by default of its own name."""
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 85}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target or name},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }
    return _object("autoscaling/v2", "HorizontalPodAutoscaler", name, spec)


def route(name: str, weights: Mapping[str, int]) -> Object:
    """An HTTPRoute with one rule; ``weights`` by the names of the Services behind it."""
    backends = [{"name": each, "port": 80, "weight": weight} for each, weight in weights.items()]
    spec = {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": backends}]}
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", name, spec)


def disruption_budget(name: str, least: int | str, app: str = "") -> Object:
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": app or name}}}
    return _object("policy/v1", "PodDisruptionBudget", name, spec)


def lease(name: str, holder: str, duration_s: int = 15) -> Object:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": duration_s}
    return _object("coordination.k8s.io/v1", "Lease", name, spec)


def definition(group: str, kind: str, version: str = "v1", *, scale: bool = False) -> Object:
    """A CRD of anything; ``scale``: with replicas and a selector, as Argo's Rollouts have."""
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    parts: Object = {"status": {}}
    if scale:
        parts["scale"] = {**paths, "labelSelectorPath": ".status.selector"}
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": anything},
        "subresources": parts,
    }
    plural = f"{kind.lower()}s"
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [served]}
    name = f"{plural}.{group}"
    return _object("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, spec)


def custom(api_version: str, kind: str, name: str, spec: Object) -> Object:
    """An object of a kind that a `definition` brought."""
    return _object(api_version, kind, name, spec)


def _object(api_version: str, kind: str, name: str, spec: Object, **metadata: Any) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }
