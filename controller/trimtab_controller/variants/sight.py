"""What Envoy counted of the service and of each variant, and what lies between two looks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab_controller.canary.sides import Totals
from trimtab_controller.protocols import SensorError, StageReport
from trimtab_controller.sensors.envoy import READS, fetch_stats, quantile
from trimtab_controller.variants.round import Result, Step


@dataclass(frozen=True, slots=True)
class Look:
    """The totals of every cluster at one moment; ``requests`` are the service's own."""

    time_s: float
    reads: int
    requests: int
    totals: dict[str, Totals]


# Looks at the service and at these clusters beside its backends; ``None`` when that fails.
Looks = Callable[[StageReport, Sequence[str], float], Look | None]


def look(report: StageReport, clusters: Sequence[str], now_s: float) -> Look | None:
    """Ask Envoy; clusters that it does not count (yet) are left out."""
    backends = [backend.name for backend in report.backends]
    names = "|".join(map(re.escape, (*backends, *clusters)))
    counters = rf"^cluster\.({names})\.upstream_rq_(5xx|active|completed|time|total)$"
    try:
        stats = fetch_stats(report.metrics, rf"{counters}|^{re.escape(READS)}$")
        requests = sum(stats.value(f"cluster.{name}.upstream_rq_total") for name in backends)
        reads = stats.value(READS)
    except SensorError:
        return None
    totals = {
        name: Totals.of(stats, name)
        for name in (*backends, *clusters)
        if f"cluster.{name}.upstream_rq_active" in stats.values
    }
    return Look(now_s, reads, requests, totals)


def rate_rps(before: Look, after: Look) -> float:
    """What the service itself got between two looks, requests per second."""
    return (after.requests - before.requests) / max(after.time_s - before.time_s, 1e-3)


def goes_on(before: Look, after: Look) -> bool:
    """Whether one can be taken from the other: Envoy did not begin anew in between."""
    return (
        after.reads > before.reads
        and after.time_s > before.time_s
        and after.requests >= before.requests
        and all(
            after.totals[name].answers >= totals.answers
            for name, totals in before.totals.items()
            if name in after.totals
        )
    )


def measured(name: str, before: Totals, after: Totals, seconds: float, slo_s: float) -> Result:
    """What was answered between two looks.

    A bin that the SLO cuts in two is late. What is inside and cannot all have come within the last
    SLO's time is late already, so that one that hangs is not taken for one that rests.
    """
    bins = {key: n - before.bins.get(key, 0) for key, n in after.bins.items()}
    answers, errors = after.answers - before.answers, after.errors - before.errors
    late = sum(n for (lower, width), n in bins.items() if lower + width > slo_s * 1e3)
    stuck = max(0, after.active - int(answers / seconds * slo_s) - 1) if seconds else 0
    known = sum(bins.values()) > 0
    return Result(
        name,
        Step.MEASURING,
        requests=answers + stuck,
        misses=min(answers, late + errors) + stuck,
        errors=errors,
        seconds=seconds,
        p50_ms=quantile(bins, 0.50) if known else math.nan,
        p95_ms=quantile(bins, 0.95) if known else math.nan,
    )
