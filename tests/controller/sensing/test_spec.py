"""What stands in trimtab.yaml of Prometheus: every mistake has its line and the way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trimtab_controller.config import load
from trimtab_controller.sensors.prometheus.presets import Proxy
from trimtab_sim.schema import ConfigError

GOOD = """\
services:
  - name: web
    kubernetes: {namespace: shop, route: web}
    sensor: prometheus
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
        target: {kind: Deployment, name: web-2}
        service: web-spot
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 40
        min_replicas: 2
        max_replicas: 12
prometheus:
  url: https://prometheus:9090
  preset: PRESET
  token: prometheus.token
  ca: /etc/ca.crt
"""
ISTIO = GOOD.replace("PRESET", "istio")


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "trimtab.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("preset", "keys"),
    [
        ("envoy", {"on-demand": ("on-demand",), "spot": ("spot",)}),
        ("istio", {"on-demand": ("shop", "web-on-demand"), "spot": ("shop", "web-2")}),
        ("ingress-nginx", {"on-demand": ("shop", "web-on-demand"), "spot": ("shop", "web-spot")}),
    ],
)
def test_whose_the_series_are(tmp_path: Path, preset: str, keys: dict[str, tuple[str]]) -> None:
    config = load(write(tmp_path, GOOD.replace("PRESET", preset)))
    spec = config.prometheus
    assert spec is not None
    assert config.services[0].spec.series(spec) == keys
    assert (spec.token, spec.ca) == (f"{tmp_path}/prometheus.token", "/etc/ca.crt")


def test_labels_and_queries_of_ones_own(tmp_path: Path) -> None:
    more = """\
  labels: {cluster: $namespace/$service, zone: "1"}
  range_s: 120
  bucket_unit_s: 1
  queries:
    rate_rps: sum by ($labels) (rate(requests{x=~"^a$"}[$range]))
"""
    text = ISTIO.replace("service: web-spot", 'labels: {zone: "2"}') + more
    config = load(write(tmp_path, text))
    spec = config.prometheus
    assert spec is not None
    assert config.services[0].spec.series(spec) == {
        "on-demand": ("shop/web", "1"),
        "spot": ("shop/web", "2"),
    }
    assert spec.asked["rate_rps"] == ('sum by (cluster, zone) (rate(requests{x=~"^a$"}[120000ms]))')
    assert "istio_requests_total" in spec.asked["time"]
    assert spec.bucket_s == 1.0
    assert not [query for query in spec.asked.values() if "$labels" in query or "$range" in query]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("https://prometheus:9090", "prometheus:9090", "25: prometheus: url is 'prometheus:9090'"),
        ("https://prometheus", "https://me:pass@prometheus", "put a token into the file of"),
        ("https:", "http:", "a token must not be sent in the clear"),
        ("istio", "linkerd", "prometheus.preset: 'linkerd' must be one of envoy, istio, ingress-"),
        ("  preset: istio", "  preset: istio\n  labels: {le: x}", "'le' cannot be the label"),
        ("  preset: istio", "  preset: istio\n  labels: [le]", "27: prometheus.labels: must be a"),
        ("  preset: istio", "  labels: {x: 1}", "26: prometheus.labels.x: '1' must be text"),
        ("  preset: istio", "  labels: {x: $pod}", "in '$pod' can stand $service, $backend, $name"),
        ("  preset: istio", "  labels: {x: $service}", "web/spot and web/on-demand have the same"),
        ("service: web-spot", "labels: {zone: a}", "labels: zone: these are not in prometheus.l"),
        (ISTIO[ISTIO.index("prometheus:\n") :], "", "web has `sensor: prometheus`: add `prom"),
        ("  token: pro", "  queries: {rate: x}\n  token: pro", "unknown key: did you mean 'rate"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ISTIO
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(write(tmp_path, ISTIO.replace(old, new, 1)))


@pytest.mark.parametrize("proxy", list(Proxy))
def test_every_preset_asks_every_query(proxy: Proxy) -> None:
    """An empty query of a preset would be a signal that nobody misses."""
    asked = proxy.value.queries.asked("label", 60.0)
    assert all(query.count("(") == query.count(")") > 0 for query in asked.values())
    assert all("label" in query for query in asked.values())
