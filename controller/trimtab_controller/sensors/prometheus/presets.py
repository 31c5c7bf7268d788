"""The queries for proxies whose metrics are known, and what each of them must give.

``$labels`` stands for the labels that tell the backends apart, ``$range`` for ``range_s``. Each
query gives one series for each backend; ``latency`` one for each of its ``le``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum


@dataclass(frozen=True, slots=True)
class Queries:
    """PromQL by signal; one that is empty is the preset's.

    ``rate_rps`` are requests per second; ``in_flight`` those being served or waiting;
    ``error_share`` errors of them, 0 to 1, without what timed out, which was only slow.
    Of the answers per second, ``answers_rps`` are all, ``latency`` those by how long they took, and
    ``failed_rps`` those that failed without showing in ``latency`` as late. ``time`` is when all
    of it was measured, in seconds since the epoch: that of the oldest part counts.
    `trimtab forecast` also looks at open ``connections`` to the backend, and at the memory of the
    replica that has most, ``memory_bytes``, with what each may have, ``memory_limit_bytes``.
    """

    rate_rps: str = ""
    in_flight: str = ""
    error_share: str = ""
    answers_rps: str = ""
    failed_rps: str = ""
    latency: str = ""
    time: str = ""
    connections: str = ""
    memory_bytes: str = ""
    memory_limit_bytes: str = ""

    def over(self, other: Queries) -> Queries:
        """These, and those of ``other`` where there is none here."""
        names = [field.name for field in fields(self)]
        return Queries(*(getattr(self, name) or getattr(other, name) for name in names))

    def asked(self, labels: str, range_s: float) -> dict[str, str]:
        """Each query by its name, as Prometheus is asked; there need not be one of each."""
        asked = {field.name: getattr(self, field.name) for field in fields(self)}
        asked = {name: query for name, query in asked.items() if query}
        span = f"{round(range_s * 1e3)}ms"
        return {
            name: " ".join(query.replace("$labels", labels).replace("$range", span).split())
            for name, query in asked.items()
        }


@dataclass(frozen=True, slots=True)
class Preset:
    """``labels`` are those that name a backend; 1 of an ``le`` is ``bucket_unit_s`` seconds."""

    labels: Mapping[str, str]
    bucket_unit_s: float
    queries: Queries


def measured(metric: str) -> str:
    """When ``metric`` was scraped, the oldest of its targets in mind.

    A target that cannot be scraped any more takes its part of a rate away little by little, which
    looks like less load. So for an hour it counts with the time of its last answer. One that is
    gone on purpose has no ``up``, and does not count.
    """
    past = " or ".join(f"max_over_time(timestamp({metric})[{span}])" for span in ("5m:5s", "1h:1m"))
    return f"""
        min by ($labels) (
          timestamp({metric}) or ({past}) and on (job, instance) up == 0
        )"""


def _rate(metric: str) -> str:
    return f"sum by ($labels) (rate({metric}[$range]))"


def _counted_at_the_end(count: str, errors: str, duration: str, unit_s: float) -> Queries:
    """Of a proxy that counts a request when it is answered, with a histogram of durations.

    ``count``, ``errors`` and ``duration`` are selectors; the histogram's name comes first.
    """
    name, _, selector = duration.partition("{")
    in_flight = _rate(f"{name}_sum{{{selector}")
    failed = f"({_rate(errors)} or 0 * {_rate(count)})"
    return Queries(
        rate_rps=_rate(count),
        # Little's law: what is answered in a second has waited and run so many seconds in all.
        in_flight=in_flight if unit_s == 1.0 else f"{in_flight} * {unit_s:g}",
        error_share=f"{failed} / {_rate(count)}",
        answers_rps=_rate(count),
        failed_rps=failed,
        latency=f"sum by ($labels, le) (rate({name}_bucket{{{selector}[$range]))",
        time=measured(count),
    )


_TOTAL = "envoy_cluster_upstream_rq_total"
_ANSWERS = "envoy_cluster_upstream_rq_completed"
# A class of answers is counted from the first one on: until then there was none.
_ERRORS = (
    f'({_rate("""envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}""")}'
    f" or 0 * {_rate(_ANSWERS)})"
)

ENVOY = Preset(
    labels={"envoy_cluster_name": "$backend"},
    bucket_unit_s=1e-3,
    queries=Queries(
        rate_rps=_rate(_TOTAL),
        in_flight="sum by ($labels) (envoy_cluster_upstream_rq_active)",
        error_share=f"""
            clamp(
              ({_ERRORS} - {_rate("envoy_cluster_upstream_rq_timeout")}) / {_rate(_TOTAL)}, 0, 1
            )""",
        answers_rps=_rate(_ANSWERS),
        # A cluster's histogram has no request that timed out, so these are not counted twice.
        failed_rps=_ERRORS,
        latency="sum by ($labels, le) (rate(envoy_cluster_upstream_rq_time_bucket[$range]))",
        time=measured(_TOTAL),
    ),
)

ISTIO = Preset(
    labels={
        "destination_workload_namespace": "$namespace",
        "destination_workload": "$target",
    },
    bucket_unit_s=1e-3,
    queries=_counted_at_the_end(
        'istio_requests_total{reporter="source"}',
        # UT: the proxy gave up waiting.
        'istio_requests_total{reporter="source",response_code=~"5..",response_flags!~".*UT.*"}',
        'istio_request_duration_milliseconds{reporter="source"}',
        1e-3,
    ),
)

INGRESS_NGINX = Preset(
    labels={"namespace": "$namespace", "service": "$backend_service"},
    bucket_unit_s=1.0,
    queries=_counted_at_the_end(
        'nginx_ingress_controller_requests{canary=""}',
        # 504: nginx gave up waiting.
        'nginx_ingress_controller_requests{canary="",status=~"5..",status!="504"}',
        'nginx_ingress_controller_request_duration_seconds{canary=""}',
        1.0,
    ),
)


class Proxy(Enum):
    """Whose metrics they are."""

    ENVOY = ENVOY
    ISTIO = ISTIO
    INGRESS_NGINX = INGRESS_NGINX
