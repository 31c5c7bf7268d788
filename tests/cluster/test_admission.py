"""The generated policies: a real API server compiles and enforces them.

The fake keeps them and enforces nothing, so there Google's CEL evaluates what it has kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.client import Client, Object, Refused
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import autoscaler, deployment, route
from tests.controller.admission.evaluator import Policy, Review

from trimtab_controller.config import load
from trimtab_controller.kubernetes.admission.policies import documents
from trimtab_controller.protocols import Ask, Intent, Stage, StageError, StageReport
from trimtab_controller.stages import start
from trimtab_guard.authority import Epoch

RBAC = "rbac.authorization.k8s.io"
YAML = """\
services:
  - name: web
    kubernetes: {namespace: NAMESPACE, route: web}
    sensor: pushed
    ceiling: assist
    slo: {latency_s: 0.3, share: 0.99}
    miss_price: 50
    backends:
      - {name: a, target: {kind: Deployment, name: web-a}, concurrency: 4, service_time_s: 0.05,
         startup_mean_s: 20, min_replicas: 2, max_replicas: 12}
      - {name: b, target: {kind: Deployment, name: web-b}, concurrency: 4, service_time_s: 0.05,
         startup_mean_s: 20, min_replicas: 2, max_replicas: 12}
"""
HPA, ROUTE = "HorizontalPodAutoscaler", "HTTPRoute"
GROUPS = {HPA: "autoscaling", ROUTE: "gateway.networking.k8s.io"}
READ = {
    "": ["pods"],
    "apps": ["deployments"],
    "policy": ["poddisruptionbudgets"],
    "keda.sh": ["scaledobjects"],
    "autoscaling.k8s.io": ["verticalpodautoscalers"],
}
RULES: list[Object] = [
    *(
        {"apiGroups": [group], "resources": [f"{kind.lower()}s"],
         "verbs": ["get", "list", "watch", "patch"]}
        for kind, group in GROUPS.items()
    ),
    *(
        {"apiGroups": [group], "resources": kinds, "verbs": ["get", "list", "watch"]}
        for group, kinds in READ.items()
    ),
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
]  # fmt: skip


def noted(epoch: str, **spec: Any) -> Object:
    return {"metadata": {"annotations": {"trimtab.dev/epoch": epoch}}, "spec": spec}


def weights(*weights: int, port: int = 80) -> Object:
    names = ("web-a", "web-b")
    backends = [
        {"name": name, "port": port, "weight": weight}
        for name, weight in zip(names, weights, strict=True)
    ]
    return noted("1 us", rules=[{"backendRefs": backends}])


WRITES = {
    "a step up": (HPA, "web-a", noted("1 us", minReplicas=8), ""),
    "two steps up": (HPA, "web-a", noted("1 us", minReplicas=9), "from 4 to 9 replicas is more"),
    "a step down": (HPA, "web-a", noted("1 us", minReplicas=3), ""),
    "two steps down": (HPA, "web-a", noted("1 us", minReplicas=2), "from 4 to 2 replicas is more"),
    "without an epoch": (HPA, "web-a", {"spec": {"minReplicas": 5}}, 'trimtab.dev/epoch is ""'),
    "more than the floor": (
        HPA, "web-a", noted("1 us", minReplicas=5, maxReplicas=99), "only minReplicas is for",
    ),
    "an autoscaler that is not ours": (
        HPA, "other", noted("1 us", minReplicas=2), "/Deployment.apps/other is not in trimtab.yaml",
    ),
    "weights": (ROUTE, "web", weights(90, 10), ""),
    "no weight": (ROUTE, "web", weights(0, 0), "the weights of a rule are all 0"),
    "a port": (ROUTE, "web", weights(50, 50, port=81), "of a route only weights are for trimtab"),
}  # fmt: skip


class Guarded:
    """A namespace under the policies."""

    def __init__(self, cluster: Cluster, file: Path) -> None:
        self._cluster = cluster
        self._human = cluster.client
        for thing in (
            *(deployment(name, replicas=4) for name in ("web-a", "web-b", "other")),
            *(autoscaler(name, least=4) for name in ("web-a", "web-b")),
            autoscaler("other", least=1),
            route("web", {"web-a": 50, "web-b": 50}),
        ):
            self._human.create(thing)
        file.write_text(YAML.replace("NAMESPACE", cluster.namespace))
        self.account = f"{cluster.namespace}/trimtab"
        self.config = load(file)
        self.documents = [self._renamed(each) for each in documents(self.config, self.account)]
        for document in self.documents:
            self._human.create(document)
        if not cluster.fake:
            self._client = self._as_trimtab()
            self._human.until(lambda: self._enforced())

    def end(self) -> None:
        for document in self.documents:
            self._human.delete(document["kind"], document["metadata"]["name"])

    @property
    def kubeconfig(self) -> Path:
        """Trimtab's, where its rights and the policies count."""
        fake = self._cluster.fake
        return self._cluster.kubeconfig if fake else self._cluster.as_account("trimtab")

    def written(self) -> dict[tuple[str, str], Object]:
        """All that trimtab may write to."""
        names = ((HPA, "web-a"), (HPA, "web-b"), (ROUTE, "web"))
        return {(kind, name): self._human.get(kind, name) for kind, name in names}

    def until_seen(self, stage: Stage) -> StageReport:
        """The first report of a stage, whose watches have to begin first."""

        def seen() -> StageReport | None:
            with suppress(StageError):
                return stage.status()
            return None

        report: StageReport = self._human.until(seen)
        return report

    def refusal(self, kind: str, name: str, patch: Object) -> str:
        """Why a write of trimtab's was refused; empty when it was done."""
        if self._cluster.fake:
            return self._judged(kind, name, patch)
        try:
            self._client.patch(kind, name, patch, manager="trimtab")
        except Refused as error:
            return str(error)
        return ""

    def _judged(self, kind: str, name: str, patch: Object) -> str:
        old = self._human.get(kind, name)
        return "; ".join(self.denials(kind, name, old, self._human.patch(kind, name, patch)))

    def denials(self, kind: str, name: str, old: Object, new: Object) -> list[str]:
        """What the policies, as the cluster has kept them, say against a write of trimtab's."""
        user = f"system:serviceaccount:{self.account.replace('/', ':')}"
        where = {"namespace": self._cluster.namespace, "name": name}
        review = Review(user, f"{kind.lower()}s", GROUPS[kind], new, old, **where)
        policies = self._human.list("ValidatingAdmissionPolicy")
        return [word for each in policies for word in Policy(each).denials(review)]

    def _renamed(self, document: Mapping[str, Any]) -> Object:
        """Under a name of this test's own: these objects are the whole cluster's."""
        name = document["metadata"]["name"].replace("trimtab", self._cluster.namespace)
        spec = dict(document["spec"])
        if "policyName" in spec:
            spec["policyName"] = name
        return {**document, "metadata": {"name": name}, "spec": spec}

    def _as_trimtab(self) -> Client:
        named, human = {"name": "trimtab"}, self._human
        human.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named})
        role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": named, "rules": RULES}
        human.create(role)
        subject = {"kind": "ServiceAccount", "name": "trimtab", "namespace": human.namespace}
        binding = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": named}
        ref = {"apiGroup": RBAC, "kind": "Role", "name": "trimtab"}
        human.create({**binding, "subjects": [subject], "roleRef": ref})
        return Client(self._cluster.as_account("trimtab"), human.namespace)

    def _enforced(self) -> bool:
        """Whether the policies hold already: what nobody may do is refused by them."""
        told = self.refusal(HPA, "other", {"metadata": {"labels": {"tried": "yes"}}})
        route = self.refusal(ROUTE, "web", {"metadata": {"labels": {"tried": "yes"}}})
        for kind, name in ((HPA, "other"), (ROUTE, "web")):
            self._human.patch(kind, name, {"metadata": {"labels": None}})
        return "denied request" in told and "denied request" in route


@pytest.fixture
def guarded(cluster: Cluster, tmp_path: Path) -> Iterator[Guarded]:
    guarded = Guarded(cluster, tmp_path / "trimtab.yaml")
    yield guarded
    guarded.end()


@pytest.mark.parametrize(("kind", "name", "patch", "says"), WRITES.values(), ids=WRITES)
def test_a_write_of_trimtab(
    guarded: Guarded, kind: str, name: str, patch: Object, says: str
) -> None:
    told = guarded.refusal(kind, name, patch)
    assert (says in told) if says else told == ""


def test_what_the_stage_writes_is_let_through(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(guarded.kubeconfig))
    before, now_s = guarded.written(), time.time()
    with ExitStack() as parts:
        stage = start.start(guarded.config, None, parts)["web"]
        report = guarded.until_seen(stage)
        asks = (Ask("a", 4, 8, 0.9), Ask("b", 4, 3, 0.1))
        intent = Intent("r1", "web", now_s, report.version, asks, epoch=Epoch(1, "us"), why="so")
        stage.apply(intent)  # raises where a real API server refuses it
    after = guarded.written()
    assert [after[HPA, name]["spec"]["minReplicas"] for name in ("web-a", "web-b")] == [8, 3]
    for (kind, name), new in after.items():
        assert guarded.denials(kind, name, before[kind, name], new) == []
