"""All that Prometheus says at one time, of all services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from trimtab_controller.protocols import SensorError
from trimtab_controller.sensors.prometheus.client import Client, Sample
from trimtab_controller.sensors.prometheus.spec import Key, PrometheusSpec

# Cumulative answers per second by their latency's upper bound in seconds.
Buckets = Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Survey:
    """Values by query and backend, where they are numbers; ``latency`` has buckets."""

    values: Mapping[str, Mapping[Key, float]]
    latency: Mapping[Key, Buckets]


def survey(client: Client, spec: PrometheusSpec) -> Survey:
    """Ask every query, each once; `SensorError` when one is not answered."""
    labels = (*spec.series, "le")
    # When it was measured is asked first: between two questions lies perhaps a scrape, and nothing
    # may be older than it is said to be.
    asked = sorted(spec.asked.items(), key=lambda query: query[0] != "time")
    answers = {name: client.instant(name, query) for name, query in asked}
    buckets: dict[Key, dict[float, float]] = {}
    for (*key, bound), rate in _by_key("latency", answers.pop("latency"), labels).items():
        bound_s, own = _bound_s(bound, spec), buckets.setdefault(tuple(key), {})
        # One exporter may write le="1", another "1.0".
        own[bound_s] = own.get(bound_s, 0.0) + rate
    values = {name: _by_key(name, found, labels[:-1]) for name, found in answers.items()}
    return Survey(values, {key: dict(sorted(found.items())) for key, found in buckets.items()})


def _by_key(name: str, samples: Sequence[Sample], labels: Sequence[str]) -> dict[Key, float]:
    """By the values of ``labels``; what is no number is as if it were not there."""
    found: dict[Key, float] = {}
    for sample in samples:
        key = tuple(sample.labels.get(label, "") for label in labels)
        if key in found:
            named = ", ".join(
                f'{label}="{value}"' for label, value in zip(labels, key, strict=True)
            )
            raise SensorError(
                f"Prometheus: {name} gives several series for {named}: write sum by ($labels) (…)"
            )
        found[key] = sample.value
    return {key: value for key, value in found.items() if isfinite(value)}


def _bound_s(bound: str, spec: PrometheusSpec) -> float:
    try:
        return float(bound) * spec.bucket_s
    except ValueError:
        raise SensorError(
            f"Prometheus: latency gives a series with le={bound!r}: write sum by ($labels, le) (…)"
        ) from None
