"""What Envoy counted of a service and of variants on copies of its requests, by Prometheus.

Totals, not rates: a round takes one look from another, whatever lies in between. They are as old as
their oldest scrape, and the time of a look is that scrape's, not the question's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf, isfinite

from trimtab_controller.canary.sides import Totals
from trimtab_controller.protocols import SensorError, StageReport
from trimtab_controller.sensors.envoy import Bin
from trimtab_controller.sensors.prometheus.client import Client, Sample
from trimtab_controller.sensors.prometheus.presets import Proxy
from trimtab_controller.sensors.prometheus.spec import Key, PrometheusSpec
from trimtab_controller.variants.sight import Look

LABEL = "envoy_cluster_name"
_SUM = f"sum by ({LABEL}) "
QUERIES = {
    "requests": _SUM + "(envoy_cluster_upstream_rq_total{$of})",
    "answers": _SUM + "(envoy_cluster_upstream_rq_completed{$of})",
    "active": _SUM + "(envoy_cluster_upstream_rq_active{$of})",
    "errors": _SUM + '(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",$of})',
    "latency": f"sum by ({LABEL}, le) (envoy_cluster_upstream_rq_time_bucket{{$of}})",
    "time": "min(timestamp(envoy_cluster_upstream_rq_total{$of}))",
}
_NEWEST = "max(timestamp(envoy_cluster_upstream_rq_total{$of}))"

Answers = Mapping[str, Sequence[Sample]]


def counts_copies(spec: PrometheusSpec | None) -> bool:
    """Whether copies can be counted: only Envoy counts them where they are made."""
    return spec is not None and spec.preset is Proxy.ENVOY and [*spec.series] == [LABEL]


class Copies:
    """Looks at one service in a thread of its own: a slow Prometheus makes no tick late.

    ``keys`` are the labels of its backends, as of `ServiceSpec.series`.
    """

    def __init__(self, keys: Mapping[str, Key], spec: PrometheusSpec) -> None:
        self._clusters = {name: key[0] for name, key in keys.items()}
        self._spec = spec
        self._client = Client(spec)
        self._thread = ThreadPoolExecutor(1, "copies")
        self._asked: Future[Look] | None = None

    def look(self, _report: StageReport, clusters: Sequence[str], _now_s: float) -> Look | None:
        """As `Looks`: what was asked for in the look before, and the next question is sent."""
        asked = self._asked
        if asked and not asked.done():
            return None
        self._asked = self._thread.submit(self._ask, tuple(clusters))
        return asked.result() if asked and not asked.exception() else None

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, clusters: Sequence[str]) -> Look:
        wanted = self._clusters | {each: each for each in clusters if each}
        names = {name for each in wanted.values() for name in each.split("|")}
        of = f'{LABEL}=~"{"|".join(_quoted(name) for name in sorted(names))}"'
        # All as of one scrape: the next one may come between two questions.
        newest = self._client.instant("time", _NEWEST.replace("$of", of))
        if not newest:
            raise SensorError(f"Prometheus has no series with {of}")
        answers = {
            name: self._client.instant(name, query.replace("$of", of), newest[0].value)
            for name, query in QUERIES.items()
        }
        return read(answers, self._clusters, wanted, self._spec.bucket_s)


def read(
    answers: Answers, backends: Mapping[str, str], wanted: Mapping[str, str], bucket_s: float
) -> Look:
    """A look, by the names of the ``backends`` and of all that is ``wanted``.

    Each is one of Envoy's clusters, or several with | between them; those that it does not count
    are left out.
    """
    time_s = answers["time"][0].value
    counted = {
        name: _by_cluster(answers[name]) for name in ("requests", "answers", "active", "errors")
    }
    totals = {
        name: Totals(
            _bins(answers["latency"], parts, bucket_s * 1e3),
            *(_sum(counted[part], parts) for part in ("answers", "errors", "active")),
        )
        for name, clusters in wanted.items()
        if (parts := set(clusters.split("|"))) & counted["active"].keys()
    }
    # Backends may be one cluster of Envoy's: its requests count once.
    live = {part for clusters in backends.values() for part in clusters.split("|")}
    return Look(time_s, round(time_s * 1e3), _sum(counted["requests"], live), totals)


def _quoted(name: str) -> str:
    """Taken literally by a regular expression in a PromQL string."""
    return re.escape(name).replace("\\", "\\\\").replace('"', '\\"')


def _by_cluster(samples: Sequence[Sample]) -> dict[str, float]:
    return {each.labels.get(LABEL, ""): each.value for each in samples if isfinite(each.value)}


def _sum(counted: Mapping[str, float], clusters: set[str]) -> int:
    return round(sum(counted.get(cluster, 0.0) for cluster in clusters))


def _bins(samples: Sequence[Sample], clusters: set[str], unit_ms: float) -> dict[Bin, int]:
    """The answers by latency in milliseconds; what is above all bounds counts as twice the last."""
    below: dict[float, float] = {}
    for each in samples:
        if each.labels.get(LABEL) in clusters:
            bound_ms = float(each.labels["le"]) * unit_ms
            below[bound_ms] = below.get(bound_ms, 0.0) + each.value
    bins: dict[Bin, int] = {}
    lower, count = 0.0, 0.0
    for bound_ms, answers in sorted(below.items()):
        width = bound_ms - lower if bound_ms < inf else max(lower, 1.0)
        bins[lower, width] = round(answers - count)
        lower, count = bound_ms, answers
    return bins
