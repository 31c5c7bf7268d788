"""One service's part of what Prometheus says, as the loop wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf, isfinite, nan

from trimtab_controller.protocols import SensorError, Signal, StageReport
from trimtab_controller.sensors.prometheus.spec import Key, PrometheusSpec
from trimtab_controller.sensors.prometheus.survey import Buckets, Survey
from trimtab_guard.model import Reading

NEEDED = ("time", "rate_rps", "in_flight")
# Of each backend, what there is of them.
SIGNALS = (
    "rate_rps",
    "in_flight",
    "error_share",
    "connections",
    "memory_bytes",
    "memory_limit_bytes",
)


class PrometheusSensor:
    """Rate, requests in flight and errors per backend; latency and misses of the service."""

    def __init__(
        self,
        keys: Mapping[str, Key],
        slo_latency_s: float,
        spec: PrometheusSpec,
        latest: Callable[[], Survey],
    ) -> None:
        """``keys`` are the labels' values of each backend; ``latest`` may raise `SensorError`."""
        self._keys = keys
        self._slo_s = slo_latency_s
        self._labels = tuple(spec.series)
        self._latest = latest

    def read(self, _report: StageReport) -> dict[Signal, Reading]:
        """Every signal with the time at which it was measured; raises `SensorError`."""
        seen = self._latest()
        self._check(seen)
        times = {name: seen.values["time"][key] for name, key in self._keys.items()}
        readings = {
            (signal, name): Reading(value, times[name])
            for signal in SIGNALS
            for name, key in self._keys.items()
            if (value := seen.values.get(signal, {}).get(key)) is not None
        }
        oldest_s = min(times.values())
        return readings | {
            (signal, ""): Reading(value, oldest_s) for signal, value in self._answers(seen)
        }

    def _check(self, seen: Survey) -> None:
        """`SensorError` names what is missing of the signals that nothing goes without."""
        for query in NEEDED:
            for name, key in self._keys.items():
                if key not in seen.values[query]:
                    wanted = zip(self._labels, key, strict=True)
                    raise SensorError(
                        f"Prometheus has no number for {query} of {name}: no series with "
                        + ", ".join(f'{label}="{value}"' for label, value in wanted)
                        + " now: is it scraped, and are prometheus.labels right?"
                    )

    def _answers(self, seen: Survey) -> Iterator[tuple[str, float]]:
        """Latency and misses, when there is something known of every backend that works."""
        busy = [key for key in self._keys.values() if seen.values["rate_rps"][key] > 0.0]
        parts = [seen.latency.get(key, {}) for key in busy]
        if not busy or any(part.get(inf, 0.0) <= 0.0 for part in parts):
            return
        buckets = total(parts)
        yield "p50_ms", quantile_s(buckets, 0.50) * 1e3
        yield "p95_ms", quantile_s(buckets, 0.95) * 1e3
        answers = _summed(seen.values["answers_rps"], busy)
        failed = _summed(seen.values["failed_rps"], busy)
        if answers > 0.0 and isfinite(failed):
            yield "miss_share", min((late(buckets, self._slo_s) + failed) / answers, 1.0)


def _summed(values: Mapping[Key, float], keys: Iterable[Key]) -> float:
    """Of all backends; NaN when one is not known."""
    return sum(values.get(key, nan) for key in keys)


def total(parts: Sequence[Buckets]) -> Buckets:
    """Of several backends together; those whose bounds differ have only the common ones."""
    common = set.intersection(*(set(part) for part in parts))
    summed: Counter[float] = Counter()
    for part in parts:
        summed.update({bound_s: rate for bound_s, rate in part.items() if bound_s in common})
    bounds = sorted(summed)
    # Each bucket's rate is extrapolated by itself, and may end a hair below the one before.
    return dict(zip(bounds, accumulate((summed[bound] for bound in bounds), max), strict=True))


def quantile_s(buckets: Buckets, q: float) -> float:
    """The latency below which the share ``q`` of the answers lies, linear within its bucket.

    Above the last finite bound nothing is known, so that is the largest.
    """
    rank = q * buckets[inf]
    below_s = below = 0.0
    for bound_s, count in buckets.items():
        if count >= rank and bound_s < inf:
            return below_s + (bound_s - below_s) * (rank - below) / (count - below)
        below_s, below = (bound_s, count) if bound_s < inf else (below_s, below)
    return below_s


def late(buckets: Buckets, slo_s: float) -> float:
    """Answers per second that took longer, linear within the bucket that ``slo_s`` cuts in two."""
    below_s = below = 0.0
    for bound_s, count in buckets.items():
        if bound_s >= slo_s:
            within = 1.0 if bound_s == slo_s else (slo_s - below_s) / (bound_s - below_s)
            return buckets[inf] - below - within * (count - below)
        below_s, below = bound_s, count
    return 0.0
