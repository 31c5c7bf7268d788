"""A real Prometheus scrapes what changes while it looks: lost targets, and the local stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab_controller.protocols import SensorError, StageReport
from trimtab_controller.sensors.envoy import EnvoySensor, fetch
from trimtab_controller.sensors.prometheus.client import Client
from trimtab_controller.sensors.prometheus.sensor import PrometheusSensor
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_controller.sensors.prometheus.survey import survey

from ..prometheus_server import discover, needs_prometheus, page, prometheus

Processes = Any  # the class in the controller's conftest.py, which cannot be imported from here

pytestmark = needs_prometheus

PATIENCE_S = 60.0
RANGE_S = 10.0
CLUSTERS = ("on-demand", "spot")


def report(admin_socket: str = "") -> StageReport:
    return StageReport(0.0, "", "", (), admin_socket)


def sensor(url: str, *backends: str) -> PrometheusSensor:
    spec = PrometheusSpec(url=url, range_s=RANGE_S)
    client, keys = Client(spec), {name: (name,) for name in backends}
    return PrometheusSensor(keys, 0.3, spec, lambda: survey(client, spec))


def until(found: Callable[[], bool]) -> None:
    """Look again until it is so; what cannot be read yet is not so."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        try:
            if found():
                return
        except SensorError:
            pass
        time.sleep(0.5)
    raise TimeoutError


class Gateway:
    """An Envoy that serves a hundred requests a second, until it is told to hang up."""

    def __init__(self) -> None:
        self.broken = False

    def tell(self) -> bytes:
        if self.broken:
            raise ConnectionError
        total = round(100 * time.monotonic())
        spot = '{envoy_cluster_name="spot"}'
        return (
            f"envoy_cluster_upstream_rq_total{spot} {total}\n"
            f"envoy_cluster_upstream_rq_completed{spot} {total}\n"
            f"envoy_cluster_upstream_rq_timeout{spot} 0\n"
            f"envoy_cluster_upstream_rq_active{spot} 5\n"
        ).encode()


def test_a_target_that_is_lost_makes_readings_old_until_it_is_removed(tmp_path: Path) -> None:
    """With one of two gateways unseen, half of the load is no small load."""
    kept, lost = Gateway(), Gateway()
    with (
        page(kept.tell) as first,
        page(lost.tell) as second,
        prometheus(tmp_path, targets=(first, second)) as url,
    ):
        spot = sensor(url, "spot")

        def age_s() -> float:
            return time.time() - spot.read(report())["rate_rps", "spot"].time_s

        def rate_rps() -> float:
            return spot.read(report())["rate_rps", "spot"].value

        until(lambda: rate_rps() == pytest.approx(200, rel=0.05))
        assert age_s() < 3.0
        lost.broken = True
        # Half of the rate is there still, and as fresh as ever: only its age tells.
        until(lambda: rate_rps() < 150 and age_s() > RANGE_S / 2)
        discover(tmp_path, (first,))
        until(lambda: rate_rps() == pytest.approx(100, rel=0.05) and age_s() < 3.0)


@pytest.mark.stage
def test_envoy_and_prometheus_tell_the_same_of_the_stage(
    processes: Processes, tmp_path: Path
) -> None:
    processes.start_stage()
    admin = processes.stage_status().envoy_admin_socket
    own = EnvoySensor("web", CLUSTERS, 0.3, time.time)
    with (
        page(lambda: fetch(admin, "/stats/prometheus")) as gateway,
        prometheus(tmp_path, targets=(gateway,)) as url,
    ):
        theirs = sensor(url, *CLUSTERS)
        until(lambda: ("p95_ms", "") in theirs.read(report()))
        own.read(report(admin))
        time.sleep(RANGE_S)
        expected, found = own.read(report(admin)), theirs.read(report())
    # Connections are asked for by a query of one's own: docs/FORECAST.md.
    assert {signal for signal in expected if signal[0] != "connections"} == found.keys()
    for name in CLUSTERS:
        close = pytest.approx(expected["rate_rps", name].value, rel=0.2)
        assert found["rate_rps", name].value == close
        assert found["error_share", name].value == 0.0
        assert 0 <= found["in_flight", name].value < 100
    assert found["p50_ms", ""].value == pytest.approx(expected["p50_ms", ""].value, rel=0.25)
    assert found["p95_ms", ""].value == pytest.approx(expected["p95_ms", ""].value, rel=0.25)
    assert found["miss_share", ""].value == pytest.approx(
        expected["miss_share", ""].value, abs=0.03
    )
    ages_s = {time.time() - reading.time_s for reading in found.values()}
    assert max(ages_s) < 5.0


@pytest.mark.stage
def test_the_daemon_steers_by_prometheus_and_holds_without_it(
    processes: Processes, tmp_path: Path
) -> None:
    processes.start_stage()
    admin = processes.stage_status().envoy_admin_socket
    with page(lambda: fetch(admin, "/stats/prometheus")) as gateway:
        with prometheus(tmp_path / "prometheus", targets=(gateway,)) as url:
            config = yaml.safe_load(Path(processes.demo).read_text())
            config["services"][0]["sensor"] = "prometheus"
            config["prometheus"] = {"url": url, "range_s": RANGE_S}
            (tmp_path / "trimtab.yaml").write_text(yaml.safe_dump(config))
            processes.start_daemon("--config", f"{tmp_path}/trimtab.yaml")
            seen = processes.status(lambda status: status.actions > 0 and status.p95_ms > 0)
            assert not seen.error
        blind = processes.status(lambda status: "Prometheus at" in status.error)
    assert "time: " in blind.error
    assert blind.outcome == "held"
