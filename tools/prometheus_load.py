"""What it costs to see 1,000 services through Prometheus: `python -m tools.prometheus_load`.

A real server with six minutes of one Envoy's metrics, two backends a service. Prints how long it
takes to ask it, the processor time of that here, and of all services' readings out of the answers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from tests.controller.prometheus_server import open_metrics, prometheus

from trimtab_controller.protocols import StageReport
from trimtab_controller.sensors.prometheus.client import Client
from trimtab_controller.sensors.prometheus.sensor import PrometheusSensor
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_controller.sensors.prometheus.survey import survey

PAST_S, SCRAPE_S = 360, 15
NOWHERE = StageReport(0.0, "", "", (), "")
EDGES_MS = ("1", "5", "10", "25", "50", "100", "250", "500", "1000", "5000", "+Inf")
METRICS = {
    "total": [""], "completed": [""], "active": [""], "timeout": [""],
    "xx": [',envoy_response_code_class="5"'],
    "time_bucket": [f',le="{edge}"' for edge in EDGES_MS],
}  # fmt: skip


def past(backends: int, now_s: int) -> Iterator[tuple[str, float, float]]:
    """Series, value and time."""
    for metric, labels in METRICS.items():
        for backend in range(backends):
            target = f'job="envoy",instance="gateway",envoy_cluster_name="{backend}"'
            for label in labels:
                series = f"envoy_cluster_upstream_rq_{metric}{{{target}{label}}}"
                for age_s in range(0, PAST_S, SCRAPE_S):
                    yield series, 7.0 * (PAST_S - age_s), now_s - age_s


def measured(services: int, client: Client, spec: PrometheusSpec) -> str:
    """One round: the questions, and the readings of every service."""
    began_s, cpu_s = time.monotonic(), time.thread_time()
    found = survey(client, spec)
    asked_s, parsed_s = time.monotonic() - began_s, time.thread_time() - cpu_s
    cpu_s = time.thread_time()
    for number in range(0, 2 * services, 2):
        keys = {"a": (str(number),), "b": (str(number + 1),)}
        PrometheusSensor(keys, 0.3, spec, lambda: found).read(NOWHERE)
    return (
        f"{services} services: asked in {asked_s:.2f} s, {parsed_s:.2f} s of processor time here; "
        f"read in {time.thread_time() - cpu_s:.3f} s"
    )


@click.command()
@click.option("--services", default=1000, show_default=True)
@click.option("--times", default=5, show_default=True)
def main(services: int, times: int) -> None:
    """Measure so many services, a few times."""
    with tempfile.TemporaryDirectory() as folder:
        text = open_metrics(past(2 * services, int(time.time())))
        with prometheus(Path(folder) / "prometheus", text) as url:
            spec = PrometheusSpec(url=url, timeout_s=60.0)
            client = Client(spec)
            for _ in range(times):
                click.echo(measured(services, client, spec))


if __name__ == "__main__":
    main()
