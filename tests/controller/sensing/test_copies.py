"""What a round counts through Prometheus: totals of Envoy's clusters, by their scrape."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.canary.sides import Totals
from trimtab_controller.protocols import SensorError, StageReport
from trimtab_controller.sensors.prometheus.client import Sample
from trimtab_controller.sensors.prometheus.copies import LABEL, Copies, counts_copies, read
from trimtab_controller.sensors.prometheus.presets import Proxy
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_controller.variants.sight import Look

from ..answers import http, web_server
from ..prometheus_server import needs_prometheus, page, prometheus

NOWHERE = StageReport(0.0, "", "", (), "")
RULE = "httproute/shop/web/rule/"
FIRST = f"{RULE}0-mirror-1|{RULE}1-mirror-0"
SPEC = PrometheusSpec(url="http://x")
PATIENCE_S = 20.0


def of(cluster: str, value: float, **labels: str) -> Sample:
    return Sample({LABEL: cluster, **labels}, value)


def answers(**changed: list[Sample]) -> dict[str, list[Sample]]:
    """The service's one cluster, and a variant that two rules copy to."""
    both = (f"{RULE}0-mirror-1", f"{RULE}1-mirror-0")
    rows: dict[str, list[Sample]] = {
        "requests": [of(f"{RULE}0", 900.0), *(of(each, 30.0) for each in both)],
        "answers": [of(f"{RULE}0", 890.0), *(of(each, 20.0) for each in both)],
        "active": [of(f"{RULE}0", 10.0), *(of(each, 5.0) for each in both)],
        "errors": [of(both[0], 2.0)],
        "latency": [
            of(each, count, le=bound)
            for each in both
            for bound, count in (("100", 8.0), ("250", 15.0), ("+Inf", 20.0))
        ],
        "time": [Sample({}, 1000.0)],
    }
    return rows | changed


def looked(found: dict[str, list[Sample]]) -> Look:
    backends = {"a": f"{RULE}0", "b": f"{RULE}0"}
    return read(found, backends, {**backends, FIRST: FIRST, "later": "later"}, SPEC.bucket_s)


def test_all_rules_of_a_variant_are_one() -> None:
    seen = looked(answers())
    bins = {(0.0, 100.0): 16, (100.0, 150.0): 14, (250.0, 250.0): 10}
    assert seen.totals[FIRST] == Totals(bins, answers=40, errors=2, active=10)
    assert seen.totals.keys() == {"a", "b", FIRST}  # what is not counted yet is not 0


def test_a_look_is_as_old_as_its_scrape_and_counts_each_request_once() -> None:
    seen = looked(answers())
    assert (seen.time_s, seen.reads, seen.requests) == (1000.0, 1_000_000, 900)


def test_nothing_counted_is_no_zero() -> None:
    nothing = {"status": "success", "data": {"resultType": "vector", "result": []}}
    with web_server(http(nothing)) as url:
        copies = Copies({"a": (f"{RULE}0",)}, PrometheusSpec(url))
        assert copies.look(NOWHERE, [FIRST], 0.0) is None
        assert copies._asked
        with pytest.raises(SensorError, match="no series with envoy_cluster_name=~"):
            copies._asked.result(PATIENCE_S)
        copies.close()


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        pytest.param(SPEC, True, id="Envoy"),
        pytest.param(None, False, id="none"),
        pytest.param(PrometheusSpec("http://x", Proxy.ISTIO), False, id="Istio"),
        pytest.param(PrometheusSpec("http://x", labels={"job": "$backend"}), False, id="labels"),
    ],
)
def test_only_envoy_counts_copies(spec: PrometheusSpec | None, counts: bool) -> None:
    assert counts_copies(spec) is counts


@needs_prometheus
def test_a_look_at_a_real_prometheus_is_of_one_scrape(tmp_path: Path) -> None:
    scrapes = count(1)

    def counters() -> bytes:
        """All the same, and one more each second."""
        now = next(scrapes)
        kept = [(f"{RULE}0", name) for name in ("total", "completed", "active")]
        copied = [(f"{RULE}0-mirror-1", name) for _, name in kept]
        return "".join(
            f'envoy_cluster_upstream_rq_{name}{{{LABEL}="{cluster}"}} {now}\n'
            for cluster, name in kept + copied
        ).encode()

    with page(counters) as gateway, prometheus(tmp_path, targets=(gateway,)) as url:
        copies = Copies({"a": (f"{RULE}0",)}, PrometheusSpec(url))
        assert copies.look(NOWHERE, [FIRST], 0.0) is None  # it was only just asked
        looks = {}
        while len(looks) < 5:
            look = until(lambda: copies.look(NOWHERE, [FIRST], 0.0))
            looks[look.requests] = look
        copies.close()
    for requests, look in looks.items():
        same = Totals({}, answers=requests, errors=0, active=requests)
        assert look.totals == {"a": same, FIRST: same}
    assert abs(look.time_s - time.time()) < PATIENCE_S


def until(found: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + PATIENCE_S
    while not (one := found()) and time.monotonic() < end_s:
        time.sleep(0.01)
    return one
