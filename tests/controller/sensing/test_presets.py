"""Every preset finds its signals in a real Prometheus, in series as its proxy labels them."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.fit.recording import read_recordings
from trimtab_controller.cli.record import record
from trimtab_controller.protocols import StageReport
from trimtab_controller.sensors.prometheus.client import Client
from trimtab_controller.sensors.prometheus.presets import Proxy
from trimtab_controller.sensors.prometheus.sensor import PrometheusSensor
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_controller.sensors.prometheus.survey import survey

from ..prometheus_server import needs_prometheus, open_metrics, prometheus

pytestmark = needs_prometheus

SCRAPE_S, PAST_S = 15, 900
NOWHERE = StageReport(0.0, "", "", (), "")
CALLED = {
    "namespace": "shop",
    "target": "web-spot",
    "backend_service": "web-spot",
    "service": "web",
    "backend": "spot",
}
Sample = tuple[str, float, float]

# Of a hundred answers a second: 40 within 0.1 s, 50 more within 0.25 s, 6 of them quick errors,
# 8 later ones, and 2 that timed out after 10 s.
BOUNDS_S = {0.1: 40, 0.25: 90, 0.5: 98, 10.0: 100, math.inf: 100}
SECONDS = 60.0  # of waiting and running, by all of a second's answers


def grown(series: str, rate: float, now_s: float) -> Iterator[Sample]:
    """A counter since the past began."""
    for age_s in range(0, PAST_S, SCRAPE_S):
        time_s = now_s - age_s
        yield series, rate * (PAST_S - age_s), time_s


def still(series: str, value: float, now_s: float) -> Iterator[Sample]:
    for age_s in range(0, PAST_S, SCRAPE_S):
        yield series, value, now_s - age_s


def envoy(now_s: float) -> Iterator[Sample]:
    spot = 'job="envoy",instance="gateway",envoy_cluster_name="spot"'
    errors = f'envoy_cluster_upstream_rq_xx{{{spot},envoy_response_code_class="5"}}'
    yield from grown(f"envoy_cluster_upstream_rq_total{{{spot}}}", 100, now_s)
    yield from grown(f"envoy_cluster_upstream_rq_completed{{{spot}}}", 100, now_s)
    yield from grown(f"envoy_cluster_upstream_rq_timeout{{{spot}}}", 2, now_s)
    yield from grown(errors, 8, now_s)
    yield from still(f"envoy_cluster_upstream_rq_active{{{spot}}}", SECONDS, now_s)
    for bound_s, count in BOUNDS_S.items():
        series = f'envoy_cluster_upstream_rq_time_bucket{{{spot},le="{le(bound_s * 1e3)}"}}'
        yield from grown(series, min(count, 98), now_s)


def istio(now_s: float) -> Iterator[Sample]:
    spot = 'job="istio",instance="gateway",destination_workload_namespace="shop"'
    spot += ',destination_workload="web-spot",reporter="source"'
    for code, flags, rate in (("200", "-", 92), ("503", "UF", 6), ("504", "UT", 2)):
        labels = f'{spot},response_code="{code}",response_flags="{flags}"'
        yield from grown(f"istio_requests_total{{{labels}}}", rate, now_s)
    # The same requests, as the pods' own proxies saw them.
    twice = spot.replace("source", "destination")
    yield from grown(f'istio_requests_total{{{twice},response_code="200"}}', 92, now_s)
    yield from histogram("istio_request_duration_milliseconds", spot, 1e3, now_s)


def nginx(now_s: float) -> Iterator[Sample]:
    spot = 'job="nginx",instance="controller",namespace="shop",service="web-spot",canary=""'
    for status, rate in (("200", 92), ("502", 6), ("504", 2)):
        series = f'nginx_ingress_controller_requests{{{spot},status="{status}"}}'
        yield from grown(series, rate, now_s)
    canary = spot.replace('canary=""', 'canary="shop-web-next-80"') + ',status="200"'
    yield from grown(f"nginx_ingress_controller_requests{{{canary}}}", 11, now_s)
    yield from histogram("nginx_ingress_controller_request_duration_seconds", spot, 1.0, now_s)


def histogram(name: str, labels: str, scale: float, now_s: float) -> Iterator[Sample]:
    yield from grown(f"{name}_sum{{{labels}}}", SECONDS * scale, now_s)
    for bound_s, count in BOUNDS_S.items():
        yield from grown(f'{name}_bucket{{{labels},le="{le(bound_s * scale)}"}}', count, now_s)


def le(bound: float) -> str:
    return "+Inf" if bound == math.inf else f"{bound:g}"


def seen(url: str, preset: Proxy) -> dict[tuple[str, str], tuple[float, float]]:
    spec = PrometheusSpec(url=url, preset=preset)
    found = survey(Client(spec), spec)
    keys = {"spot": spec.key(CALLED, {})}
    return {
        signal: (reading.value, reading.time_s)
        for signal, reading in PrometheusSensor(keys, 0.3, spec, lambda: found)
        .read(NOWHERE)
        .items()
    }


@pytest.mark.parametrize(
    ("preset", "series", "answers", "errors"),
    [
        # Envoy's histogram has no request that timed out.
        pytest.param(Proxy.ENVOY, envoy, 98, 8, id="envoy"),
        pytest.param(Proxy.ISTIO, istio, 100, 6, id="istio"),
        pytest.param(Proxy.INGRESS_NGINX, nginx, 100, 6, id="ingress-nginx"),
    ],
)
def test_what_each_proxy_tells(
    tmp_path: Path,
    preset: Proxy,
    series: Callable[[float], Iterator[Sample]],
    answers: int,
    errors: int,
) -> None:
    now_s = math.floor(time.time())
    with prometheus(tmp_path, open_metrics(series(now_s))) as url:
        found = seen(url, preset)
    values = {signal: value for signal, (value, _) in found.items()}
    assert values["rate_rps", "spot"] == pytest.approx(100, rel=0.01)
    assert values["in_flight", "spot"] == pytest.approx(SECONDS, rel=0.01)
    assert values["error_share", "spot"] == pytest.approx(0.06, rel=0.01)
    assert values["p50_ms", ""] == pytest.approx(130, abs=5)
    assert values["p95_ms", ""] == pytest.approx(250 + 250 * (0.95 * answers - 90) / 8, rel=0.01)
    late = answers - (90 + 8 * 0.2)
    assert values["miss_share", ""] == pytest.approx((late + errors) / 100, rel=0.01)
    assert {time_s for _, time_s in found.values()} == {now_s}


YAML = """\
services:
  - name: web
    kubernetes: {namespace: shop}
    sensor: prometheus
    ceiling: shadow
    slo: {latency_s: 0.3, share: 0.99}
    miss_price: 50
    backends:
      - name: spot
        target: {kind: Deployment, name: web-spot}
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 20
        min_replicas: 2
        max_replicas: 12
prometheus: {url: "URL", preset: PRESET}
"""


@pytest.mark.parametrize(
    ("preset", "series", "answers"),
    [
        pytest.param("envoy", envoy, 98, id="envoy"),
        pytest.param("istio", istio, 100, id="istio"),
        pytest.param("ingress-nginx", nginx, 100, id="ingress-nginx"),
    ],
)
def test_the_same_configuration_records_the_past(
    tmp_path: Path, preset: str, series: Callable[[float], Iterator[Sample]], answers: int
) -> None:
    now_s = math.floor(time.time())
    replicas = [
        *still('kube_deployment_spec_replicas{namespace="shop",deployment="web-spot"}', 4, now_s)
    ]
    for n in "12":  # of kube-state-metrics, which count the same
        labels = f'{{namespace="shop",deployment="web-spot",pod="{n}"}}'
        replicas += still(f"kube_deployment_status_replicas_ready{labels}", 3, now_s)
    # Another backend, which is not asked for.
    others = [(re.sub("web-spot|spot", "web-other", name), *rest) for name, *rest in series(now_s)]
    file, output = tmp_path / "trimtab.yaml", tmp_path / "web.csv"
    with prometheus(tmp_path / "p", open_metrics([*series(now_s), *others, *replicas])) as url:
        file.write_text(YAML.replace("URL", url).replace("PRESET", preset))
        arguments = [str(output), "--config", str(file), "--since", "10m"]
        told = CliRunner().invoke(record, arguments)
    assert told.exit_code == 0, told.output
    (found,) = read_recordings(output)
    assert (found.backend, found.step_s) == ("spot", 60.0)
    assert (set(found.wanted), set(found.ready)) == ({4.0}, {3.0})
    np.testing.assert_allclose(found.rate_rps, 100, rtol=0.01)
    np.testing.assert_allclose(found.in_flight, SECONDS, rtol=0.01)
    assert list(found.bounds_s) == [0.1, 0.25, 0.5, 10.0]
    np.testing.assert_allclose(found.answers.sum(axis=1), 60 * answers, rtol=0.01)
    np.testing.assert_allclose(found.answers[:, 1], 60 * 50, rtol=0.01)


@pytest.mark.parametrize(
    ("old", "new", "arguments", "message"),
    [
        ("kind: Deployment", "kind: Rollout", [], "only known of Deployment and StatefulSet: give"),
        ("prometheus: {", "# {", [], "add `prometheus: {url: …}`"),
        (
            "sensor: prometheus",
            "sensor: pushed",
            ["--service", "api"],
            "no service 'api': there is",
        ),
        ("", "", ["--queries", __file__], "give one"),
        ("", "", ["--seconds", "5"], "--seconds goes only without"),
    ],
)
def test_what_cannot_be_recorded(
    tmp_path: Path, old: str, new: str, arguments: list[str], message: str
) -> None:
    file = tmp_path / "trimtab.yaml"
    text = YAML.replace("URL", "http://localhost").replace("PRESET", "envoy")
    file.write_text(text.replace(old, new))
    told = CliRunner().invoke(record, [str(tmp_path / "o"), "--config", str(file), *arguments])
    assert told.exit_code != 0
    assert message in told.output
