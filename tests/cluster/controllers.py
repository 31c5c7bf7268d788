"""What a real cluster's controller-manager and scheduler do, for the fake: as little as tests need.

A Deployment gets its pods (without the ReplicaSet between), an HPA keeps its target within its
bounds (there are no metrics, so it does no more, as a real one without them), a
PodDisruptionBudget is counted, and a pod is placed on a node that has room.
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import Any

from tests.cluster.client import Client, Object
from tests.cluster.fake.selectors import matches

_MANAGER = "kube-controller-manager"


class Controllers:
    """Those of one namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made = 0

    def step(self) -> None:
        """One round of each."""
        for autoscaler in self._client.list("HorizontalPodAutoscaler"):
            self._autoscale(autoscaler)
        pods = self._client.list("Pod")
        for deployment in self._client.list("Deployment"):
            self._deploy(deployment, pods)
        for budget in self._client.list("PodDisruptionBudget"):
            self._count(budget, pods)
        self._place(pods)

    def _autoscale(self, autoscaler: Object) -> None:
        spec, name = autoscaler["spec"], autoscaler["metadata"]["name"]
        target = spec["scaleTargetRef"]
        now = self._client.get(target["kind"], target["name"], "scale")["spec"]["replicas"]
        wanted = min(spec["maxReplicas"], max(spec["minReplicas"], now)) if now else 0
        if wanted != now:
            self._client.scale(target["kind"], target["name"], wanted, _MANAGER)
        status = {"currentReplicas": now, "desiredReplicas": wanted}
        self._report("HorizontalPodAutoscaler", name, autoscaler, status)

    def _deploy(self, deployment: Object, pods: list[Object]) -> None:
        spec, name = deployment["spec"], deployment["metadata"]["name"]
        own = [pod for pod in pods if _selected(spec["selector"], pod) and not _ending(pod)]
        for _ in range(spec["replicas"] - len(own)):
            self._create(name, spec["template"])
        # As a real one: first those that are not ready.
        for pod in sorted(own, key=_ready)[: max(0, len(own) - spec["replicas"])]:
            self._client.delete("Pod", pod["metadata"]["name"])
        ready = sum(map(_ready, own))
        condition = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
        counts = {"replicas": len(own), "updatedReplicas": len(own), "readyReplicas": ready}
        counts |= {"availableReplicas": ready, "unavailableReplicas": len(own) - ready}
        seen = {"observedGeneration": deployment["metadata"]["generation"]}
        status = {**seen, **counts, "conditions": [condition]}
        self._report("Deployment", name, deployment, status)

    def _create(self, owner: str, template: Object) -> None:
        self._made += 1
        name = f"{owner}-{self._made}"
        metadata = {**template["metadata"], "name": name}
        self._client.create({"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata})

    def _count(self, budget: Object, pods: list[Object]) -> None:
        own = [pod for pod in pods if _selected(budget["spec"]["selector"], pod)]
        healthy, needed = sum(map(_ready, own)), _needed(budget["spec"], len(own))
        status = {
            "observedGeneration": budget["metadata"]["generation"],
            "expectedPods": len(own),
            "currentHealthy": healthy,
            "desiredHealthy": needed,
            "disruptionsAllowed": max(0, healthy - needed),
        }
        self._report("PodDisruptionBudget", budget["metadata"]["name"], budget, status)

    def _place(self, pods: list[Object]) -> None:
        taken = Counter(pod["spec"].get("nodeName") for pod in pods)
        nodes = self._client.list("Node")
        rooms = {n["metadata"]["name"]: _room(n) - taken[n["metadata"]["name"]] for n in nodes}
        for pod in pods:
            if pod["spec"].get("nodeName") or _ending(pod):
                continue
            name = next((name for name, room in rooms.items() if room > 0), "")
            if name:
                rooms[name] -= 1
                patch = {"spec": {"nodeName": name}}
                self._client.patch("Pod", pod["metadata"]["name"], patch, manager="scheduler")
            else:
                self._refuse(pod, len(nodes))

    def _refuse(self, pod: Object, nodes: int) -> None:
        message = f"0/{nodes} nodes are available: {nodes} Too many pods."
        why = {"reason": "Unschedulable", "message": message}
        status = {"conditions": [{"type": "PodScheduled", "status": "False", **why}]}
        self._report("Pod", pod["metadata"]["name"], pod, status)

    def _report(self, kind: str, name: str, thing: Object, status: Object) -> None:
        if any(thing.get("status", {}).get(field) != value for field, value in status.items()):
            self._client.patch(kind, name, {"status": status}, "status", _MANAGER)


def _selected(selector: Object, pod: Object) -> bool:
    return matches(selector, pod["metadata"].get("labels") or {})


def _ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _room(node: Object) -> int:
    return int(node.get("status", {}).get("allocatable", {}).get("pods", 0))


def _needed(spec: Object, pods: int) -> int:
    """How many must stay healthy."""
    if "minAvailable" in spec:
        return _share(spec["minAvailable"], pods)
    return max(0, pods - _share(spec["maxUnavailable"], pods))


def _share(number: Any, pods: int) -> int:
    if isinstance(number, str):
        return ceil(int(number.removesuffix("%")) / 100 * pods)
    return int(number)
