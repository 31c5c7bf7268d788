"""trimtab install and uninstall: what was there is there again, whatever happened in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.cluster.fake.faults import WRITES, Refusal
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import autoscaler, custom, definition, deployment, route

from trimtab_controller.cli import main
from trimtab_controller.config import load
from trimtab_controller.protocols import Ask, Intent, StageError
from trimtab_controller.stages import start
from trimtab_guard.authority import Epoch

YAML = """\
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
      - {{name: b, concurrency: 4, service_time_s: 0.05, startup_mean_s: 5,
         min_replicas: 1, max_replicas: 12, target: {{kind: Deployment, name: web-b}}}}
"""
DEMO = str(files("trimtab_controller") / "demo.yaml")
HPA = "HorizontalPodAutoscaler"
PATIENCE_S = 20.0

Call = Callable[..., Result]


@pytest.fixture
def call(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A command on the cluster: ``a`` has no autoscaler, ``b`` has one."""
    return called(cluster, tmp_path, monkeypatch)


def called(cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    for name, replicas in (("web-a", 2), ("web-b", 3)):
        cluster.client.create(deployment(name, replicas))
    cluster.client.create(autoscaler("web-b", 3))
    cluster.client.create(route("web", {"web-a": 1, "web-b": 3}))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    file = folder / "trimtab.yaml"
    file.write_text(YAML.format(namespace=cluster.namespace))

    def run(command: str, *options: str, answer: str = "") -> Result:
        arguments = [command, "--config", str(file), *options]
        return CliRunner().invoke(main, arguments, input=answer)

    return run


def shape(cluster: Cluster) -> list[object]:
    """What trimtab may have changed; replicas are also the autoscalers' business."""
    kinds = ("Deployment", HPA, "HTTPRoute")
    return [
        (
            each["metadata"]["name"],
            [key for key in each["metadata"].get("annotations", {}) if "trimtab" in key],
            {} if kind == "Deployment" else each["spec"],
        )
        for kind in kinds
        for each in cluster.client.list(kind)
    ]


def done(told: Result) -> int:
    """How many steps were taken."""
    return sum(line.startswith("done: ") for line in told.output.splitlines())


@pytest.fixture
def act(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Have the daemon's stage write floors and shares."""
    with ExitStack() as parts:

        def write(*asks: Ask) -> None:
            config = load(tmp_path / "trimtab.yaml")
            stage = start.start(config, None, parts)["web"]
            end_s = time.monotonic() + PATIENCE_S
            while True:
                try:
                    version = stage.status().version
                    break
                except StageError:
                    assert time.monotonic() < end_s
                    time.sleep(0.02)
            epoch = Epoch(1, "trimtab")
            stage.apply(Intent("r1", "web", time.time(), version, asks, epoch=epoch))

        yield write


def test_all_is_as_before(call: Call, cluster: Cluster, act: Callable[..., None]) -> None:
    before = shape(cluster)
    installed = call("install", "--yes")
    assert installed.exit_code == 0, installed.output
    made = cluster.client.get(HPA, "web-a")
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (2, 12)
    (metric,) = made["spec"]["metrics"]
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 85}
    assert made["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "trimtab"}
    assert made["metadata"]["annotations"]["trimtab.dev/owner"] == "web/a"
    assert call("install", "--yes").output == "nothing to do\n"

    act(Ask("a", 2, 6, 0.5), Ask("b", 3, 5, 0.5))
    steered = cluster.client.get(HPA, "web-a")["spec"]
    assert steered == made["spec"] | {"minReplicas": 6}
    assert call("install", "--yes").output == "nothing to do\n"

    removed = call("uninstall", "--yes")
    assert removed.exit_code == 0, removed.output
    cluster.client.until(lambda: shape(cluster) == before)
    assert call("uninstall", "--yes").output == "nothing to do\n"


@pytest.mark.parametrize("command", ["install", "uninstall"])
@pytest.mark.parametrize(
    ("options", "answer"),
    [(["--dry-run", "--yes"], ""), ([], "n\n"), ([], "")],
    ids=["a dry run", "no", "no answer"],
)
def test_nothing_is_done_unasked(
    call: Call, cluster: Cluster, command: str, options: list[str], answer: str
) -> None:
    if command == "uninstall":
        call("install", "--yes")
    before = shape(cluster)
    told = call(command, *options, answer=answer)
    assert f"{HPA} {cluster.namespace}/web-a" in told.output
    assert done(told) == 0
    assert shape(cluster) == before


def test_what_another_owns_is_left_alone_and_the_rest_is_done(call: Call, cluster: Cluster) -> None:
    cluster.client.define(definition("keda.sh", "ScaledObject", "v1alpha1"))
    spec = {"scaleTargetRef": {"name": "web-a"}}
    owner = custom("keda.sh/v1alpha1", "ScaledObject", "web-a", spec)
    cluster.client.create(owner)
    told = call("install", "--yes")
    assert told.exit_code == 1
    assert "cannot: ScaledObject web-a owns Deployment web-a: remove one of the two" in told.output
    assert [each["metadata"]["name"] for each in cluster.client.list(HPA)] == ["web-b"]
    assert "trimtab.dev/before" in cluster.client.get(HPA, "web-b")["metadata"]["annotations"]


def test_what_is_missing_is_named(call: Call, cluster: Cluster) -> None:
    cluster.client.delete("Deployment", "web-a")
    cluster.client.delete("HTTPRoute", "web")
    told = call("install", "--dry-run")
    assert told.exit_code == 1
    for thing in ("Deployment", "HTTPRoute"):
        name = "web-a" if thing == "Deployment" else "web"
        assert f"cannot: there is no {thing} {cluster.namespace}/{name}" in told.output


def test_without_cpu_requests_the_autoscaler_is_said_to_add_nothing(
    call: Call, cluster: Cluster
) -> None:
    path = "/spec/template/spec/containers/0/resources/requests/cpu"
    cluster.client.patch("Deployment", "web-a", [{"op": "remove", "path": path}])
    assert "web-a requests no CPU" in call("install", "--dry-run").output


def test_who_was_never_asked_cannot_put_back(
    call: Call, cluster: Cluster, act: Callable[..., None]
) -> None:
    cluster.client.create(autoscaler("web-a", 2))
    act(Ask("b", 3, 5, None))
    told = call("uninstall", "--yes")
    assert f"note: {HPA} {cluster.namespace}/web-b keeps minReplicas 5: what it had" in told.output
    assert cluster.client.get(HPA, "web-b")["spec"]["minReplicas"] == 5


def test_replicas_that_were_written_directly_are_never_taken_away(
    call: Call, cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "trimtab.yaml"
    scaled = "name: web-a}, act: scale}"
    file.write_text(file.read_text().replace("name: web-a}}", scaled))
    call("install", "--yes")
    cluster.client.scale("Deployment", "web-a", 1)
    assert call("uninstall", "--yes").exit_code == 0
    assert cluster.client.get("Deployment", "web-a")["spec"]["replicas"] == 2
    call("install", "--yes")
    cluster.client.scale("Deployment", "web-a", 9)
    assert "9 replicas stay, of 2 before" in call("uninstall", "--yes").output
    left = cluster.client.get("Deployment", "web-a")
    assert left["spec"]["replicas"] == 9
    assert "trimtab" not in str(left["metadata"].get("annotations"))


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_when_it_stops_half_way_it_goes_on_from_there(
    fake: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, at: int
) -> None:
    call = called(fake, tmp_path, monkeypatch)
    before = shape(fake)
    if command == "uninstall":
        call("install", "--yes")
    assert fake.fake
    steps = [line for line in call(command, "--dry-run").output.splitlines() if "to do" in line]
    plurals = ["horizontalpodautoscalers", "horizontalpodautoscalers", "httproutes"]
    assert len(steps) == 3
    names = ["", "web-b", "web"] if command == "install" else ["web-a", "web-b", "web"]
    verbs = WRITES if names[at] else frozenset({"create"})
    with fake.fake.fault(Refusal(500), verbs=verbs, plural=plurals[at], name=names[at]):
        stopped = call(command, "--yes")
        assert stopped.exit_code == 1
        assert "what is done is done: call it again" in stopped.output
        assert done(stopped) == at
    assert call(command, "--yes").exit_code == 0
    assert call(command, "--yes").output == "nothing to do\n"
    if command == "install":
        assert call("uninstall", "--yes").exit_code == 0
    assert shape(fake) == before


def test_what_changes_in_between_is_not_overwritten(
    call: Call, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(_: str) -> bool:
        cluster.client.patch(HPA, "web-b", {"spec": {"minReplicas": 4}})
        return True

    monkeypatch.setattr("click.confirm", meddle)
    told = call("install")
    assert told.exit_code == 1
    assert "Conflict" in told.output
    assert call("install", "--yes").exit_code == 0
    assert '{"minReplicas": 4}' in str(cluster.client.get(HPA, "web-b")["metadata"]["annotations"])


@pytest.mark.parametrize(
    ("file", "problem"),
    [("/nowhere/no.yaml", "no.yaml: No such file"), (DEMO, "no service in it lives on Kubernetes")],
)
def test_without_a_service_on_kubernetes_there_is_nothing_to_install(
    file: str, problem: str
) -> None:
    told = CliRunner().invoke(main, ["install", "--config", file])
    assert (told.exit_code, problem in told.output) == (1, True)


def test_an_autoscaler_that_was_made_anew_is_not_deleted(
    call: Call, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(_: str) -> bool:
        cluster.client.delete(HPA, "web-a")
        cluster.client.create(autoscaler("web-a", 7))
        return True

    call("install", "--yes")
    monkeypatch.setattr("click.confirm", meddle)
    assert "Conflict" in call("uninstall").output
    assert cluster.client.get(HPA, "web-a")["spec"]["minReplicas"] == 7
