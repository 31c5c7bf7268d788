"""Two daemons and a cluster under load: the leader freezes, the other one goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import autoscaler, deployment, route

from trimtab_controller.journal import read, verify
from trimtab_controller.memory import TickRecord
from trimtab_controller.records import unpack
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

Replicas = Any  # the class in conftest.py

PATIENCE_S = 60.0
REPORT_S = 0.3
YAML = """\
tick_s: 1
speed: 60
lease: {{namespace: {namespace}}}
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


class Load:
    """Reports a load to whichever of the replicas takes it, until it is ended."""

    def __init__(self, folder: Path, rate_rps: float) -> None:
        self.folder = folder
        self.rate_rps = rate_rps
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._report, args=(name,)) for name in "ab"]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _report(self, name: str) -> None:
        while not self.ended.wait(REPORT_S):
            with (
                grpc.insecure_channel(f"unix:{self.folder}/{name}") as channel,
                suppress(grpc.RpcError),
            ):
                stub = controller_pb2_grpc.ControllerStub(channel)
                stub.ReportMetrics(iter([self._now()]), timeout=1.0)

    def _now(self) -> pb.MetricsReport:
        rate_rps = self.rate_rps / 2
        backends = [
            pb.BackendMetrics(name=name, rate_rps=rate_rps, in_flight=rate_rps / 20, error_share=0)
            for name in "ab"
        ]
        return pb.MetricsReport(
            service="web", backends=backends, p50_ms=50.0, p95_ms=90.0, miss_share=0.0
        )


@pytest.fixture
def load(replicas: Replicas, cluster: Cluster, tmp_path: Path) -> Iterator[Load]:
    """On two Deployments that are too small for it, each with an autoscaler."""
    (tmp_path / "trimtab.yaml").write_text(YAML.format(namespace=cluster.namespace))
    for name in ("web-a", "web-b"):
        cluster.client.create(deployment(name, 2))
        cluster.client.create(autoscaler(name, 2))
    cluster.client.create(route("web", {"web-a": 1, "web-b": 1}))
    # To the second in which it was made, an object is its maker's.
    time.sleep(1.1)
    with cluster.alive():
        load = Load(tmp_path, 300.0)
        yield load
        load.end()


def written(cluster: Cluster) -> dict[str, tuple[int, int]]:
    """Floors and the epochs under which they were written, of those that were."""
    found = {}
    for each in cluster.client.list("HorizontalPodAutoscaler"):
        if epoch := each["metadata"].get("annotations", {}).get("trimtab.dev/epoch"):
            number = int(epoch.split()[0])
            found[each["metadata"]["name"]] = (each["spec"]["minReplicas"], number)
    return found


def test_the_next_leader_goes_on_and_nothing_is_done_twice(
    replicas: Replicas, cluster: Cluster, load: Load
) -> None:
    old = replicas.start_replica("a")
    cluster.client.until(lambda: sum(floor for floor, _ in written(cluster).values()) > 5)
    replicas.start_replica("b")
    os.kill(old.pid, signal.SIGSTOP)
    cluster.client.until(lambda: replicas.epochs == [1, 2])
    before = written(cluster)
    assert {epoch for _, epoch in before.values()} == {1}
    load.rate_rps = 900.0
    cluster.client.until(lambda: {epoch for _, epoch in written(cluster).values()} == {2})
    os.kill(old.pid, signal.SIGCONT)
    assert old.wait(PATIENCE_S) == 1
    after = written(cluster)
    assert {epoch for _, epoch in after.values()} == {2}
    assert all(after[name][0] >= floor for name, (floor, _) in before.items())
    assert max(Counter(intended(replicas)).values()) == 1
    assert verify(replicas.url).ok


def intended(replicas: Replicas) -> list[str]:
    """Every write that was decided, by its name, in each tick that decided it."""
    ticks = [
        unpack(TickRecord, packed)
        for entry in read(replicas.url, ("tick",))
        for packed in entry.body["services"]
    ]
    return [tick.intent.request_id for tick in ticks if tick.intent and tick.outcome == "applied"]
