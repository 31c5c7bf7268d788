"""What Prometheus remembers of a service, as a recording for `trimtab fit`.

The queries are the user's, in YAML; ``$step`` in them stands for the step::

    url: http://127.0.0.1:9090
    step_s: 60
    backends:
      - name: web
        wanted: kube_deployment_spec_replicas{deployment="web"}
        ready: kube_deployment_status_replicas_ready{deployment="web"}
        rate_rps: sum(rate(http_requests_total{app="web"}[$step]))
        in_flight: sum(avg_over_time(http_requests_in_flight{app="web"}[$step]))
        latency: sum by (le) (increase(http_request_duration_seconds_bucket{app="web"}[$step]))

The step should be four scrape intervals or more: ``increase`` needs two scrapes in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np

from trimtab_agents.fit.recording import Recording
from trimtab_controller.sensors.prometheus.client import Client, PrometheusError, Series
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_sim.schema import Positive, check_unique, read_file

DEADLINE_S = 30.0
GAUGES = ("wanted", "ready", "rate_rps", "in_flight")


@dataclass(frozen=True, slots=True)
class BackendQueries:
    """One backend's queries: each gives one series, ``latency`` one for each ``le``."""

    name: str
    wanted: str
    ready: str
    rate_rps: str
    in_flight: str
    latency: str


@dataclass(frozen=True, slots=True)
class Queries:
    """The whole file.

    ``token`` and ``ca`` are files, as in `PrometheusSpec`; 1 of an ``le`` is ``bucket_unit_s``
    seconds.
    """

    url: str
    backends: tuple[BackendQueries, ...]
    step_s: Positive = 60.0
    token: str = ""
    ca: str = ""
    bucket_unit_s: Positive = 1.0

    def __post_init__(self) -> None:
        _ = self.server
        check_unique("backend", [backend.name for backend in self.backends])

    @property
    def server(self) -> PrometheusSpec:
        """Where to ask; ``ValueError`` when that cannot be."""
        return PrometheusSpec(self.url, token=self.token, ca=self.ca, timeout_s=DEADLINE_S)


def read_queries(file: Path) -> Queries:
    """Read and check ``file``; `ConfigError` names line and way out."""
    queries = read_file(file, Queries)
    server = queries.server.within(file.parent)
    return replace(queries, token=server.token, ca=server.ca)


def recordings(queries: Queries, start_s: float, end_s: float) -> list[Recording]:
    """Every backend between two moments, seconds since the epoch; `PrometheusError`.

    Moments at which a series has no value are left out.
    """
    client = Client(queries.server)
    found = [_recording(client, queries, each, start_s, end_s) for each in queries.backends]
    for one in found:
        if not np.array_equal(one.bounds_s, found[0].bounds_s):
            raise PrometheusError(
                f"{queries.url}: {one.backend} has other latency buckets than {found[0].backend}: "
                "record each with a file of its own"
            )
    return found


def _recording(
    client: Client, queries: Queries, backend: BackendQueries, start_s: float, end_s: float
) -> Recording:
    place = f"{queries.url}: {backend.name}"

    def answer(name: str) -> list[Series]:
        query = getattr(backend, name).replace("$step", f"{round(queries.step_s * 1e3)}ms")
        found = client.range(f"{backend.name}.{name}", query, start_s, end_s, queries.step_s)
        if not found:
            raise PrometheusError(
                f"{place}.{name}: the query gives nothing in this time: try it in Prometheus' "
                "own page"
            )
        return found

    columns = [_single(f"{place}.{name}", answer(name)) for name in GAUGES]
    buckets = _buckets(f"{place}.latency", answer("latency"), queries.bucket_unit_s)
    columns += buckets.values()
    moments = sorted(set.intersection(*map(set, columns)))
    if not moments:
        raise PrometheusError(f"{place}: there is no moment at which all queries have a value")
    table = np.array([[values[moment] for values in columns] for moment in moments])
    gauges, counts = np.split(table, [len(GAUGES)], axis=1)
    return Recording(
        backend=backend.name,
        time_s=np.array(moments),
        **dict(zip(GAUGES, gauges.T, strict=True)),
        bounds_s=np.array(list(buckets)[:-1]),
        # Extrapolation may leave a bucket a hair below the one before.
        answers=np.maximum(np.diff(counts, axis=1, prepend=0.0), 0.0),
    )


def _single(place: str, found: Sequence[Series]) -> Mapping[float, float]:
    if len(found) > 1:
        raise PrometheusError(
            f"{place}: the query gives {len(found)} series: make one of them, as with sum(…)"
        )
    return found[0].values


def _buckets(
    place: str, found: Sequence[Series], unit_s: float
) -> dict[float, Mapping[float, float]]:
    """Values by time for each bound in seconds, in order; the last bound is infinity."""
    buckets = {_bound(place, series) * unit_s: series.values for series in found}
    if len(buckets) < len(found):
        raise PrometheusError(f"{place}: several series have one label le: sum by (le) (…)")
    if inf not in buckets:
        raise PrometheusError(f'{place}: no series has the label le="+Inf"')
    return dict(sorted(buckets.items()))


def _bound(place: str, series: Series) -> float:
    try:
        return float(series.labels["le"])
    except (KeyError, ValueError):
        raise PrometheusError(
            f"{place}: a series has no label le: query buckets, sum by (le) (…)"
        ) from None
