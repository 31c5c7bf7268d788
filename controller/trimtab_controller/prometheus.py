"""What Prometheus remembers of a service, as a recording for `trimtab fit`.

A range query is one GET that answers JSON; the client libraries bring pandas for it, so this
is urllib. The queries are the user's, in YAML; ``$step`` in them stands for the step::

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

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from math import inf, isfinite
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import numpy as np

from trimtab_agents.fit.recording import Recording
from trimtab_sim.schema import Positive, check_unique, read_file

DEADLINE_S = 30.0
GAUGES = ("wanted", "ready", "rate_rps", "in_flight")


class PrometheusError(Exception):
    """A query that gave nothing to work with; the message names it and says what to do."""


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
    """The whole file."""

    url: str
    backends: tuple[BackendQueries, ...]
    step_s: Positive = 60.0

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError(f"url {self.url!r} must begin with http:// or https://")
        check_unique("backend", [backend.name for backend in self.backends])


def read_queries(file: Path) -> Queries:
    """Read and check ``file``; `ConfigError` names line and way out."""
    return read_file(file, Queries)


def recordings(queries: Queries, start_s: float, end_s: float) -> list[Recording]:
    """Every backend between two moments, seconds since the epoch; `PrometheusError`.

    Moments at which a series has no value are left out.
    """
    found = [_recording(queries, backend, start_s, end_s) for backend in queries.backends]
    for one in found:
        if not np.array_equal(one.bounds_s, found[0].bounds_s):
            raise PrometheusError(
                f"{queries.url}: {one.backend} has other latency buckets than {found[0].backend}: "
                "record each with a file of its own"
            )
    return found


def _recording(
    queries: Queries, backend: BackendQueries, start_s: float, end_s: float
) -> Recording:
    place = f"{queries.url}: {backend.name}"

    def answer(name: str) -> list[Series]:
        query = getattr(backend, name).replace("$step", f"{round(queries.step_s * 1e3)}ms")
        window = {"start": start_s, "end": end_s, "step": queries.step_s}
        return _series(queries.url, f"{place}.{name}", {"query": query, **window})

    columns = [_single(f"{place}.{name}", answer(name)) for name in GAUGES]
    buckets = _buckets(f"{place}.latency", answer("latency"))
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


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and values by time, where they are numbers."""

    labels: dict[str, str]
    values: dict[float, float]


def _series(url: str, place: str, parameters: dict[str, Any]) -> list[Series]:
    """The series that a range query gives, one at least."""
    try:
        # The scheme was checked when the file was read.
        address = f"{url.rstrip('/')}/api/v1/query_range?{urlencode(parameters)}"
        with urlopen(address, timeout=DEADLINE_S) as response:  # noqa: S310 # http(s) only
            found = [_parsed(place, one) for one in json.load(response)["data"]["result"]]
    except HTTPError as error:
        raise PrometheusError(f"{place}: {_reason(error)}") from error
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        raise PrometheusError(
            f"{place}: no answer of a Prometheus ({error}): correct `url`"
        ) from error
    if not found:
        raise PrometheusError(
            f"{place}: the query gives nothing in this time: try it in Prometheus' own page"
        )
    return found


def _parsed(place: str, one: Mapping[str, Any]) -> Series:
    if "histograms" in one:
        raise PrometheusError(
            f"{place}: the query gives native histograms: query classic buckets, …_bucket"
        )
    values = ((float(time_s), float(value)) for time_s, value in one["values"])
    return Series(dict(one["metric"]), {t: value for t, value in values if isfinite(value)})


def _reason(error: HTTPError) -> str:
    """Prometheus' own words for what is wrong with a query."""
    try:
        return str(json.load(error)["error"])
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        return f"HTTP {error.code} {error.reason}"


def _single(place: str, found: list[Series]) -> dict[float, float]:
    if len(found) > 1:
        raise PrometheusError(
            f"{place}: the query gives {len(found)} series: make one of them, as with sum(…)"
        )
    return found[0].values


def _buckets(place: str, found: list[Series]) -> dict[float, dict[float, float]]:
    """Values by time for each bound, in order; the last bound is infinity."""
    buckets = {_bound_s(place, series): series.values for series in found}
    if len(buckets) < len(found):
        raise PrometheusError(f"{place}: several series have one label le: sum by (le) (…)")
    if inf not in buckets:
        raise PrometheusError(f'{place}: no series has the label le="+Inf"')
    return dict(sorted(buckets.items()))


def _bound_s(place: str, series: Series) -> float:
    try:
        return float(series.labels["le"])
    except (KeyError, ValueError):
        raise PrometheusError(
            f"{place}: a series has no label le: query buckets, sum by (le) (…)"
        ) from None
