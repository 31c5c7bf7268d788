"""The whole daemon on a cluster: it looks, it acts, and when it is killed the autoscalers go on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import autoscaler, deployment, route

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

YAML = """\
tick_s: 1
speed: 60
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
      - {{name: b, concurrency: 4, service_time_s: 0.05, startup_mean_s: 5, price: 0.4,
         min_replicas: 1, max_replicas: 12, target: {{kind: Deployment, name: web-b}}}}
"""
PATIENCE_S = 60.0
REPORT_S = 0.3


class Daemon:
    """`trimtab daemon` in ``folder``, on a cluster with one service under ``rate_rps``."""

    def __init__(self, folder: Path, cluster: Cluster, rate_rps: float) -> None:
        self.folder = folder
        self.cluster = cluster
        self.rate_rps = rate_rps
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "trimtab.yaml").write_text(YAML.format(namespace=cluster.namespace))
        for name in ("web-a", "web-b"):
            cluster.client.create(deployment(name, 2))
            cluster.client.create(autoscaler(name, 2))
        cluster.client.create(route("web", {"web-a": 1, "web-b": 1}))

    @contextmanager
    def running(self, mode: str) -> Iterator[None]:
        """Inside the ``with`` it runs, and is told its load."""
        options = ["--config", "trimtab.yaml", "--journal", "j.db", "--listen", "unix:d.sock"]
        command = [sys.executable, "-m", "trimtab_controller.daemon", *options, "--mode", mode]
        environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        self.process = subprocess.Popen(command, cwd=self.folder, env=environment)
        ended = threading.Event()
        load = threading.Thread(target=self._load, args=(ended,))
        load.start()
        try:
            yield
        finally:
            ended.set()
            load.join()
            self.process.terminate()
            self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it as a node that fails would."""
        assert self.process
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def floors(self) -> list[int]:
        """As the API server has them."""
        return [
            self.cluster.client.get("HorizontalPodAutoscaler", name)["spec"]["minReplicas"]
            for name in ("web-a", "web-b")
        ]

    def ticks(self, count: int) -> list[pb.ServiceStatus]:
        """What it shows of so many ticks."""
        with grpc.insecure_channel(f"unix:{self.folder}/d.sock") as channel:
            stream = controller_pb2_grpc.ControllerStub(channel).WatchDecisions(
                pb.WatchDecisionsRequest(), timeout=PATIENCE_S, wait_for_ready=True
            )
            return [next(stream) for _ in range(count)]

    def _load(self, ended: threading.Event) -> None:
        with (
            grpc.insecure_channel(f"unix:{self.folder}/d.sock") as channel,
            suppress(grpc.RpcError),
        ):
            controller_pb2_grpc.ControllerStub(channel).ReportMetrics(
                self._reports(ended), wait_for_ready=True
            )

    def _reports(self, ended: threading.Event) -> Iterator[pb.MetricsReport]:
        while not ended.wait(REPORT_S):
            rate_rps = self.rate_rps / 2
            backends = [
                pb.BackendMetrics(
                    name=name, rate_rps=rate_rps, in_flight=rate_rps * 0.05, error_share=0.0
                )
                for name in "ab"
            ]
            yield pb.MetricsReport(
                service="web", backends=backends, p50_ms=50.0, p95_ms=90.0, miss_share=0.0
            )


@pytest.fixture
def daemon(cluster: Cluster, tmp_path: Path) -> Iterator[Daemon]:
    """One under a load that needs more than there is."""
    with cluster.alive():
        yield Daemon(tmp_path, cluster, rate_rps=300.0)


def test_in_shadow_it_decides_and_writes_nothing(fake: Cluster, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, fake, rate_rps=300.0)
    assert fake.fake
    with fake.alive(), daemon.running("shadow"):
        fake.client.until(lambda: any(tick.outcome == "shadow" for tick in daemon.ticks(5)))
        daemon.ticks(10)
    ours = [seen.call.verb for seen in fake.fake.seen if seen.call.agent == "trimtab"]
    assert set(ours) == {"list", "watch"}
    assert daemon.floors() == [2, 2]


def test_killed_under_load_the_autoscalers_carry_on(daemon: Daemon, cluster: Cluster) -> None:
    client = cluster.client
    with daemon.running("guarded"):
        client.until(lambda: sum(daemon.floors()) > 5)
        daemon.kill()
    left = daemon.floors()

    def replicas() -> list[int]:
        return [client.get("Deployment", name)["spec"]["replicas"] for name in ("web-a", "web-b")]

    client.until(lambda: all(now >= least for now, least in zip(replicas(), left, strict=True)))
    # Above what trimtab left, the autoscaler is free; below, it still keeps it.
    client.scale("Deployment", "web-a", 15)
    client.scale("Deployment", "web-b", 1)
    client.until(lambda: replicas() == [15, max(1, left[1])])
    # And a human who takes the floor away gets it: nobody puts it back.
    client.patch("HorizontalPodAutoscaler", "web-b", {"spec": {"minReplicas": 1}})
    client.scale("Deployment", "web-b", 1)
    client.until(lambda: replicas() == [15, 1])
    # The next daemon takes what it finds, and whoever wrote meanwhile for the owner.
    with daemon.running("guarded"):
        client.until(lambda: any("human" in tick.error for tick in daemon.ticks(2)))
    assert daemon.floors() == [left[0], 1]
