"""The queries that docs/FORECAST.md gives for Kubernetes, asked a real Prometheus."""

from __future__ import annotations

import re
import time
from pathlib import Path

import yaml

from trimtab_controller.protocols import StageReport
from trimtab_controller.sensors.prometheus.client import Client
from trimtab_controller.sensors.prometheus.presets import Queries
from trimtab_controller.sensors.prometheus.sensor import PrometheusSensor
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_controller.sensors.prometheus.survey import Survey, survey

from ..prometheus_server import needs_prometheus, prometheus

PAGE = Path(__file__).parents[3] / "docs" / "FORECAST.md"
NOWHERE = StageReport(0.0, "", "", (), "")
PODS = {"web-7d4b9c6f5-x2x9q": 90e6, "web-7d4b9c6f5-k8s2p": 120e6, "shop-55f6bd7c8-zzzzz": 500e6}


def queries() -> Queries:
    (block,) = re.findall(r"```yaml\n(prometheus:\n.*?)```", PAGE.read_text(), re.DOTALL)
    return Queries(**yaml.safe_load(block)["prometheus"]["queries"])


def past(now_s: float) -> str:
    """What cAdvisor and kube-state-metrics told for the last minute."""
    used, limits, count = [], [], []
    for at in (now_s - 60.0, now_s - 1.0):
        for pod, held in PODS.items():
            labels = f'namespace="prod",pod="{pod}",container="app"'
            used.append(f"container_memory_working_set_bytes{{{labels}}} {held} {at}")
            pause = f'namespace="prod",pod="{pod}",container=""'
            used.append(f"container_memory_working_set_bytes{{{pause}}} 9e9 {at}")
            resource = f'{labels},resource="memory"'
            limits.append(f"kube_pod_container_resource_limits{{{resource}}} 268435456 {at}")
            cpu = f'{labels},resource="cpu"'
            limits.append(f"kube_pod_container_resource_limits{{{cpu}}} 1 {at}")
        count.append(f'envoy_cluster_upstream_cx_active{{envoy_cluster_name="web"}} 40 {at}')
    series = {
        "container_memory_working_set_bytes": used,
        "kube_pod_container_resource_limits": limits,
        "envoy_cluster_upstream_cx_active": count,
    }
    lines = [
        line for name, found in series.items() for line in (f"# TYPE {name} gauge", *sorted(found))
    ]
    return "\n".join([*lines, "# EOF", ""])


@needs_prometheus
def test_memory_and_connections_of_a_backend(tmp_path: Path) -> None:
    with prometheus(tmp_path / "server", past(time.time())) as url:
        spec = PrometheusSpec(url=url, queries=queries())
        found = survey(Client(spec), spec)
    told = {name: found.values[name] for name in ("memory_bytes", "memory_limit_bytes")}
    assert told["memory_bytes"]["web",] == 120e6
    assert told["memory_limit_bytes"]["web",] == 256 * 2**20
    assert found.values["connections"]["web",] == 40.0


def test_what_is_not_asked_is_not_read() -> None:
    values = {"rate_rps": 10.0, "in_flight": 2.0, "error_share": 0.0, "time": 500.0}
    values |= {"answers_rps": 10.0, "failed_rps": 0.0}
    seen = Survey({name: {("web",): value} for name, value in values.items()}, {})
    spec = PrometheusSpec(url="http://x")
    sensor = PrometheusSensor({"web": ("web",)}, 0.3, spec, lambda: seen)
    assert ("memory_bytes", "web") not in sensor.read(NOWHERE)
    seen = Survey({**seen.values, "memory_bytes": {("web",): 9e6}}, {})
    assert sensor.read(NOWHERE)["memory_bytes", "web"] == (9e6, 500.0)
