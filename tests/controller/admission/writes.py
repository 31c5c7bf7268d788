"""Writes of trimtab's, and the policies of a configuration that judge them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from trimtab_controller.config import load
from trimtab_controller.kubernetes.admission.policies import documents

from .evaluator import Policy, Review

Object = dict[str, Any]

US = "system:serviceaccount:trimtab:trimtab"
YAML = """\
services:
  - name: web
    kubernetes: {namespace: shop, route: web}
    sensor: pushed
    ceiling: assist
    slo: {latency_s: 0.3, share: 0.99}
    miss_price: 50
    backends:
      - name: on-demand
        target: {kind: Deployment, name: web-on-demand}
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 20
        min_replicas: 2
        max_replicas: 12
      - name: spot
        target: {kind: Fleet, name: web-2, api_version: example.org/v1}
        service: web-spot
        act: scale
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 40
        min_replicas: 0
        max_replicas: 12
    limits: {LIMITS}
"""


class Server:
    """All policies of a configuration."""

    def __init__(
        self, folder: Path, limits: str = "hold_s: 300", least: int = 2, **more: bool
    ) -> None:
        folder.mkdir(exist_ok=True)
        file = folder / "trimtab.yaml"
        text = YAML.replace("LIMITS", limits)
        file.write_text(text.replace("min_replicas: 2", f"min_replicas: {least}"))
        self.config = load(file)
        found = [*documents(self.config, "trimtab/trimtab", **more)]
        self.policies = [Policy(each) for each in found if each["kind"].endswith("Policy")]

    def denials(self, review: Review) -> list[str]:
        return [word for policy in self.policies for word in policy.denials(review)]


def meta(epoch: str = "3 ann", **more: Any) -> Object:
    notes = {"trimtab.dev/epoch": epoch} if epoch else {}
    return {"name": "web", "labels": {"app": "web"}, "annotations": {**notes, "team": "a"}, **more}


def autoscaler(least: int, present: int, target: str = "web-on-demand") -> Object:
    return {
        "metadata": meta(),
        "spec": {
            "minReplicas": least,
            "maxReplicas": 30,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "metrics": [{"type": "Resource"}],
        },
        "status": {"currentReplicas": present, "desiredReplicas": present},
    }


def floor(least: int, was: int, present: int = 0, target: str = "web-on-demand") -> Review:
    new, old = (autoscaler(each, present or was, target) for each in (least, was))
    return Review(US, "horizontalpodautoscalers", "autoscaling", new, old)


def scale(replicas: int, was: int, name: str = "web-2") -> Review:
    new, old = ({"metadata": {}, "spec": {"replicas": n} if n else {}} for n in (replicas, was))
    return Review(US, "fleets", "example.org", new, old, part="scale", name=name)


def route(*weights: int, kept: int = 7) -> Object:
    names = ("web-on-demand", "web-spot", "other")
    backends = [
        {"name": name, "port": 80, "weight": weight}
        for name, weight in zip(names, (*weights, kept), strict=True)
    ]
    path = {"type": "PathPrefix", "value": "/"}
    rules = [{"matches": [{"path": path}], "backendRefs": backends}, {"filters": []}]
    return {"metadata": meta(), "spec": {"hostnames": ["web"], "rules": rules}}


def moved(new: Object, old: Object | None = None) -> Review:
    return Review(US, "httproutes", "gateway.networking.k8s.io", new, old or route(50, 50))


def edited(review: Review, *path: Any, value: Any) -> Review:
    """The same with another value at ``path`` of what is written; None takes it away."""
    new = copy.deepcopy(review.new)
    place: Any = new
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return replace(review, new=new)
