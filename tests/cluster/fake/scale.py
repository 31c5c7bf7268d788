"""The ``scale`` subresource: any kind's replicas in one form."""

from __future__ import annotations

from copy import deepcopy

from tests.cluster.fake.errors import Object, bad_request, invalid
from tests.cluster.fake.kinds import Kind
from tests.cluster.fake.selectors import dig

_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def shown(kind: Kind, thing: Object) -> Object:
    """``thing`` as a ``Scale`` of autoscaling/v1."""
    assert kind.scale
    selector = dig(thing, kind.scale.selector, "")
    if isinstance(selector, dict):
        labels = selector.get("matchLabels") or {}
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
    status = {"replicas": dig(thing, kind.scale.status, 0)}
    metadata = {name: thing["metadata"][name] for name in _SHOWN if name in thing["metadata"]}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": dig(thing, kind.scale.spec, 0)},
        "status": {**status, "selector": selector} if selector else status,
    }


def scaled(kind: Kind, thing: Object, scale: Object) -> Object:
    """``thing`` with the replicas of ``scale``, and the version that it insists on."""
    assert kind.scale
    if scale.get("kind") != "Scale":
        raise bad_request(f"expected input object type to be Scale, but {scale.get('kind')}")
    replicas = dig(scale, "spec.replicas", 0)
    if replicas < 0:
        why = f"{replicas}: must be greater than or equal to 0"
        raise invalid("scales.autoscaling", thing["metadata"]["name"], "spec.replicas", why)
    result = deepcopy(thing)
    result["metadata"]["resourceVersion"] = scale["metadata"].get("resourceVersion", "")
    *parents, last = kind.scale.spec.split(".")
    place = result
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = replicas
    return result
