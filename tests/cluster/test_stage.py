"""A service's objects seen and written through the API, on the fake and on any real cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.client import Client, Object
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import (
    autoscaler,
    custom,
    definition,
    deployment,
    disruption_budget,
    route,
)

from trimtab_controller.config import load
from trimtab_controller.protocols import (
    Ask,
    Intent,
    Stage,
    StageError,
    StageMovedError,
    StageRefusedError,
    StageReport,
)
from trimtab_controller.stages import start
from trimtab_guard.authority import Epoch

YAML = """\
tick_s: 2
services:
  - name: web
    kubernetes: {{namespace: {namespace}, route: web}}
    sensor: pushed
    ceiling: guarded
    slo: {{latency_s: 0.3, share: 0.99}}
    miss_price: 50
    backends:
      - {{name: a, concurrency: 4, service_time_s: 0.05, startup_mean_s: 2,
         min_replicas: 1, max_replicas: 12, target: {{kind: Deployment, name: web-a}}}}
      - {{name: b, concurrency: 4, service_time_s: 0.05, startup_mean_s: 5, service: web-spot,
         min_replicas: 1, max_replicas: 12, target: {{kind: Deployment, name: web-b}}}}
"""
US = Epoch(7, "trimtab on here, process 1")
KEDA = ("keda.sh", "ScaledObject", "v1alpha1")
VPA = ("autoscaling.k8s.io", "VerticalPodAutoscaler", "v1")
PATIENCE_S = 20.0

Start = Callable[..., Stage]


@pytest.fixture
def begin(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Stage]]:
    """Make the objects and a stage on them; ``change`` is made to the configuration."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with ExitStack() as parts:

        def made(*change: str) -> Stage:
            for name in ("web-a", "web-b"):
                cluster.client.create(deployment(name, 2))
            cluster.client.create(autoscaler("web-a", 2))
            if "act: scale" not in "".join(change):
                cluster.client.create(autoscaler("web-b", 2))
            cluster.client.create(route("web", {"web-a": 1, "web-spot": 3}))
            file = tmp_path / "trimtab.yaml"
            text = YAML.format(namespace=cluster.namespace)
            file.write_text(text.replace(*change) if change else text)
            return start.start(load(file), None, parts)["web"]

        yield made


def intended(report: StageReport, *asks: Ask, name: str = "r1", epoch: Epoch = US) -> Intent:
    return Intent(name, "web", time.time(), report.version, asks, epoch=epoch, why="the test wants")


def eventually(stage: Stage, wanted: Callable[[StageReport], bool]) -> StageReport:
    """The first report that is as wanted."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            if wanted(report := stage.status()):
                return report
            last: object = report
        except StageError as error:
            last = error
        assert time.monotonic() < end_s, last
        time.sleep(0.02)


def note(thing: Object, name: str) -> str:
    return str(thing["metadata"]["annotations"][f"trimtab.dev/{name}"])


def happened(event: Object) -> tuple[str, str]:
    return event["involvedObject"]["name"], event["reason"]


def managers(thing: Object, field: str) -> set[str]:
    entries = thing["metadata"]["managedFields"]
    return {e["manager"] for e in entries if field in e["fieldsV1"].get("f:spec", {})}


def test_what_is_there_is_seen(begin: Start, cluster: Cluster) -> None:
    cluster.client.create(disruption_budget("web-a", 1))
    stage = begin()
    with cluster.alive():
        report = eventually(stage, lambda report: all(b.ready == 2 for b in report.backends))
    a, b = report.backends
    assert (a.name, a.wanted, a.starting, a.draining, a.floor) == ("a", 2, 0, 0, 2)
    assert (a.weight, b.weight) == (0.25, 0.75)
    assert (a.disruption_min, b.disruption_min) == (1, 0)
    assert report.writer.startswith("tests on ")
    assert (report.epoch, report.barred, report.warning) == (Epoch(), "", "")


def test_a_rollout_and_pods_without_a_node_are_told(begin: Start, cluster: Cluster) -> None:
    stage = begin()
    with cluster.alive(pods=2) as kubelet:
        full = eventually(stage, lambda report: "Unschedulable" in report.warning)
        assert ": 2 pods wait for a node: " in full.warning or ": 1 pods " in full.warning
        kubelet.start_s = 1e9
        image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x"}]
        cluster.client.patch("Deployment", "web-a", image)
        eventually(stage, lambda report: report.rollout)


def test_a_write_leaves_its_fields_its_fence_and_its_reason(begin: Start, cluster: Cluster) -> None:
    stage, client = begin(), cluster.client
    report = stage.status()
    version = stage.apply(intended(report, Ask("a", 2, 4, 0.5), Ask("b", 2, 1, 0.5)))
    a = client.get("HorizontalPodAutoscaler", "web-a")
    b = client.get("HorizontalPodAutoscaler", "web-b")
    written = client.get("HTTPRoute", "web")
    assert (a["spec"]["minReplicas"], b["spec"]["minReplicas"]) == (4, 1)
    assert (a["spec"]["maxReplicas"], a["spec"]["metrics"]) == (20, b["spec"]["metrics"])
    refs = written["spec"]["rules"][0]["backendRefs"]
    assert [(ref["name"], ref["port"], ref["weight"]) for ref in refs] == [
        ("web-a", 80, 5000),
        ("web-spot", 80, 5000),
    ]
    for thing in (a, b, written):
        assert note(thing, "epoch") == "7 trimtab on here, process 1"
        assert note(thing, "request-id") == "r1"
    assert note(a, "last-write").endswith(" minReplicas 2 to 4: the test wants")
    assert managers(a, "f:minReplicas") == managers(written, "f:rules") == {"trimtab"}
    now = stage.status()
    assert (now.version, now.writer, now.epoch) == (version, "trimtab", US)
    client.patch("HorizontalPodAutoscaler", "web-a", {"metadata": {"labels": {"seen": "yes"}}})
    client.patch("HTTPRoute", "web", {"metadata": {"labels": {"seen": "yes"}}})
    time.sleep(0.5)
    assert stage.status().version == version
    told = {("web-a", "FloorRaised"), ("web", "Rerouted"), ("web-b", "FloorLowered")}
    client.until(lambda: told <= {*map(happened, client.list("Event"))})


def test_replicas_themselves_only_where_chosen(begin: Start, cluster: Cluster) -> None:
    stage = begin("name: web-b}", "name: web-b}, act: scale")
    report = stage.status()
    assert [backend.floor for backend in report.backends] == [2, 2]
    version = stage.apply(intended(report, Ask("b", 2, 5, None)))
    thing = cluster.client.get("Deployment", "web-b")
    assert (thing["spec"]["replicas"], note(thing, "request-id")) == (5, "r1")
    assert managers(thing, "f:replicas") == {"trimtab"}
    assert eventually(stage, lambda report: report.backends[1].wanted == 5).version == version


def test_anything_that_scales_is_a_target(begin: Start, cluster: Cluster) -> None:
    group = f"{cluster.namespace}.example.com"
    cluster.client.define(definition(group, "Rollout", scale=True))
    made = cluster.client.create(custom(f"{group}/v1", "Rollout", "web-b", {"replicas": 3}))
    own = f"{{kind: Rollout, name: web-b, api_version: {group}/v1}}, act: scale"
    stage = begin("{kind: Deployment, name: web-b}", own)
    with pytest.raises(StageError, match="Rollout web-b: its scale does not say which pods"):
        stage.status()
    made["status"] = {"selector": "app=web-b,tier in (spot,cheap)", "replicas": 3}
    cluster.client.replace(made, "status")
    report = eventually(stage, lambda report: report.backends[1].wanted == 3)
    stage.apply(intended(report, Ask("b", 3, 4, None)))
    path = f"/apis/{group}/v1/namespaces/{cluster.namespace}/rollouts/web-b"
    after = cluster.client.call("GET", path)
    assert (after["spec"]["replicas"], note(after, "epoch")) == (4, f"{US.number} {US.leader}")
    cluster.client.delete("CustomResourceDefinition", f"rollouts.{group}")


def floor(client: Client, name: str, least: int) -> None:
    client.patch("HorizontalPodAutoscaler", name, {"spec": {"minReplicas": least}})


def lead(client: Client, number: int) -> None:
    notes = {"trimtab.dev/epoch": f"{number} another"}
    client.patch("HorizontalPodAutoscaler", "web-a", {"metadata": {"annotations": notes}})


REFUSED: dict[str, tuple[Callable[[Client], Any], type[StageError], str]] = {
    "somebody moved a floor": (
        lambda client: floor(client, "web-a", 3),
        StageMovedError,
        "Conflict: .* wrote since it was decided",
    ),
    "a newer leader": (
        lambda client: lead(client, 8),
        StageRefusedError,
        "another leads under epoch 8",
    ),
    "a leader of the same epoch": (
        lambda client: lead(client, 7),
        StageRefusedError,
        "another leads under epoch 7",
    ),
    "no room": (
        lambda client: client.patch(
            "HorizontalPodAutoscaler", "web-a", {"spec": {"maxReplicas": 3}}
        ),
        StageRefusedError,
        "Invalid: HorizontalPodAutoscaler web-a has maxReplicas 3, and 4 are needed",
    ),
}


@pytest.mark.parametrize(("act", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_what_somebody_else_did_meanwhile_is_left_alone(
    begin: Start, cluster: Cluster, act: Callable[[Client], Any], kind: type[StageError], words: str
) -> None:
    stage = begin()
    intent = intended(stage.status(), Ask("a", 2, 4, None))
    act(cluster.client)
    # Whether the watches have told it yet or not: what they have not, the API server refuses.
    with pytest.raises(kind, match=words):
        stage.apply(intent)
    assert cluster.client.get("HorizontalPodAutoscaler", "web-a")["spec"]["minReplicas"] != 4


def test_a_foreign_write_is_told_with_its_writer(begin: Start, cluster: Cluster) -> None:
    stage = begin()
    intent = intended(stage.status(), Ask("a", 2, 4, None))
    time.sleep(1.1)  # the times of writers have seconds only
    floor(cluster.client, "web-b", 3)
    report = eventually(stage, lambda report: report.version != intent.version)
    assert report.writer == "human on HorizontalPodAutoscaler web-b"
    with pytest.raises(StageMovedError, match="human on HorizontalPodAutoscaler web-b wrote"):
        stage.apply(intent)
    assert cluster.client.get("HorizontalPodAutoscaler", "web-a")["spec"]["minReplicas"] == 2


def test_a_write_that_arrived_is_not_repeated(begin: Start, cluster: Cluster) -> None:
    stage, client = begin(), cluster.client
    time.sleep(1.1)  # the times of writers have seconds only
    intent = intended(stage.status(), Ask("a", 2, 4, None), Ask("b", 2, 3, None))
    version = stage.apply(intent)
    assert stage.apply(intent._replace(asks=(Ask("a", 2, 9, None),))) == version
    assert client.get("HorizontalPodAutoscaler", "web-a")["spec"]["minReplicas"] == 4
    # Nor is what somebody did since then taken for a part of it.
    time.sleep(1.1)
    floor(client, "web-b", 5)
    assert (
        stage.apply(intent) != eventually(stage, lambda report: report.version != version).version
    )


def test_an_older_leader_is_followed(begin: Start, cluster: Cluster) -> None:
    stage = begin()
    lead(cluster.client, 6)
    report = eventually(stage, lambda report: report.epoch.number == 6)
    stage.apply(intended(report, Ask("a", 2, 4, None)))
    assert stage.status().epoch == US


def test_a_change_of_what_is_not_ours_is_no_conflict(begin: Start, cluster: Cluster) -> None:
    stage = begin()
    report = stage.status()
    for number in range(5):
        labels = {"metadata": {"labels": {"number": str(number)}}}
        cluster.client.patch("HorizontalPodAutoscaler", "web-a", labels)
        report = report._replace(
            version=stage.apply(intended(report, Ask("a", 2, 4 + number, None), name=f"{number}")),
        )
    assert cluster.client.get("HorizontalPodAutoscaler", "web-a")["spec"]["minReplicas"] == 8


def keda(name: str, target: str) -> Object:
    return custom("keda.sh/v1alpha1", "ScaledObject", name, {"scaleTargetRef": {"name": target}})


def vertical(target: str, mode: str) -> Object:
    of = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    spec = {"targetRef": of, "updatePolicy": {"updateMode": mode}}
    return custom("autoscaling.k8s.io/v1", "VerticalPodAutoscaler", "vpa", spec)


OWNERS: dict[str, tuple[list[Object], str]] = {
    "nobody": ([], ""),
    "KEDA": ([keda("so", "web-b")], "ScaledObject so owns Deployment web-b"),
    "KEDA of another": ([keda("so", "web-c")], ""),
    "a VPA": ([vertical("web-a", "Auto")], "VerticalPodAutoscaler vpa owns Deployment web-a"),
    "a VPA that only says": ([vertical("web-a", "Off")], ""),
    "a second HPA": (
        [autoscaler("zz", 1, 20, "web-a")],
        "HorizontalPodAutoscaler web-a and HorizontalPodAutoscaler zz both own Deployment web-a",
    ),
}


@pytest.mark.parametrize(("others", "words"), OWNERS.values(), ids=OWNERS)
def test_another_owner_is_named_and_not_fought(
    begin: Start, cluster: Cluster, others: list[Object], words: str
) -> None:
    for kind in (KEDA, VPA):
        cluster.client.define(definition(*kind))
    for other in others:
        cluster.client.create(other)
    stage = begin()
    report = stage.status()
    assert words in report.barred
    assert bool(words) == bool(report.barred)
    if words:
        with pytest.raises(StageRefusedError, match=words):
            stage.apply(intended(report, Ask("a", 2, 4, None)))
    assert [backend.wanted for backend in report.backends] == [2, 2]


MISSING: dict[str, tuple[Callable[[Client], Any], str]] = {
    "the target": (
        lambda client: client.delete("Deployment", "web-a"),
        "NotFound: Deployment web-a is not in namespace",
    ),
    "the route": (
        lambda client: client.delete("HTTPRoute", "web"),
        "NotFound: HTTPRoute web is not in namespace",
    ),
    "a backend in the route": (
        lambda client: client.patch(
            "HTTPRoute",
            "web",
            [{"op": "remove", "path": "/spec/rules/0/backendRefs/1"}],
        ),
        "Invalid: HTTPRoute web: each rule",
    ),
}


@pytest.mark.parametrize(("act", "words"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_told(
    begin: Start, cluster: Cluster, act: Callable[[Client], Any], words: str
) -> None:
    stage = begin()
    stage.status()
    act(cluster.client)
    end_s = time.monotonic() + PATIENCE_S
    told = ""
    while not re.match(words, told) and time.monotonic() < end_s:
        try:
            stage.status()
        except StageError as error:
            told = str(error)
    assert re.match(words, told)


def test_without_an_autoscaler_there_is_no_floor(begin: Start, cluster: Cluster) -> None:
    stage = begin()
    cluster.client.delete("HorizontalPodAutoscaler", "web-b")
    report = eventually(stage, lambda report: bool(report.barred))
    assert report.barred == (
        "no HorizontalPodAutoscaler scales Deployment web-b: `trimtab install` makes one, or "
        "write `act: scale`"
    )
    assert report.backends[1].floor == 2
