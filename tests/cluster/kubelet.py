"""Nodes without machines: pods that are placed on them become ready, and end when they are told.

For the fake, and for a real cluster that has a control plane but no kubelets.
"""

from __future__ import annotations

import time
from contextlib import suppress

from tests.cluster.client import Client, Object, Refused
from tests.cluster.fake.writing import timestamp
from tests.cluster.objects import NODES

# A node that says nothing for 40 s is taken for dead.
HEARTBEAT_S = 10.0


class Kubelet:
    """``nodes`` of so many ``pods`` each; a pod is ready ``start_s`` after it was placed."""

    def __init__(
        self, client: Client, nodes: int = 1, pods: int = 100, start_s: float = 0.0
    ) -> None:
        self._client = client
        self.nodes = [f"{client.namespace}-node-{number}" for number in range(nodes)]
        self._pods = pods
        self.start_s = start_s
        self._beaten_s = 0.0
        self._placed_s: dict[str, float] = {}
        for name in self.nodes:
            metadata = {"name": name, "labels": NODES}
            client.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata})

    def step(self) -> None:
        """Beat the nodes' hearts, start what was placed, end what was deleted."""
        now_s = time.monotonic()
        if now_s - self._beaten_s > HEARTBEAT_S:
            self._beaten_s = now_s
            for name in self.nodes:
                self._beat(name)
        for pod in self._client.list("Pod"):
            if pod["spec"].get("nodeName"):
                self._tend(pod, now_s)

    def end(self) -> None:
        """Take the nodes away."""
        for name in self.nodes:
            with suppress(Refused):
                self._client.delete("Node", name)

    def _beat(self, name: str) -> None:
        room = {"cpu": "64", "memory": "256Gi", "pods": str(self._pods)}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        ready["lastHeartbeatTime"] = timestamp(time.time())
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        self._client.patch("Node", name, {"status": status}, "status", "kubelet")

    def _tend(self, pod: Object, now_s: float) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        if pod["metadata"].get("deletionTimestamp"):
            self._client.delete("Pod", name, grace_s=0)
            return
        waited_s = now_s - self._placed_s.setdefault(uid, now_s)
        if pod["status"]["phase"] == "Pending" and waited_s >= self.start_s:
            self._client.patch("Pod", name, {"status": _running(pod)}, "status", "kubelet")


def _running(pod: Object) -> Object:
    now = timestamp(time.time())
    types = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running",
        "startTime": now,
        "conditions": [
            {"type": each, "status": "True", "lastTransitionTime": now} for each in types
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for container in pod["spec"]["containers"]
        ],
    }
