"""The most that trimtab could ever do within its limits, whatever its policy wants.

For whoever has to answer for switching it on: computed with the guard's own functions from the
limits alone, for a service in guarded mode whose replicas start anywhere from 0 to the maximum.
Only off a backend whose ready replicas cannot carry its load, and back from a write that is undone,
does a share move faster than this.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from math import fsum
from typing import NamedTuple

from trimtab_controller.config import Config
from trimtab_guard.limits import BackendLimits, ClusterLimits, Limits
from trimtab_guard.replicas import Sight, max_replicas, min_replicas, rate_down, rate_up

SPANS_S = {"a minute": 60.0, "ten minutes": 600.0, "an hour": 3600.0}


class Worst(NamedTuple):
    """What could happen to one backend within a span: replicas started and stopped, net, and
    how far its share of the route could move.
    """

    up: int
    down: int
    share: float


def worst(limits: Limits, backend: BackendLimits, span_s: float) -> Worst:
    """The most within any ``span_s`` seconds."""
    return Worst(
        up=_most_up(limits, backend, span_s),
        down=_most_down(limits, backend, span_s),
        share=min(1.0, limits.weight_step * _windows(span_s, limits.weight_interval_s)),
    )


def described(config: Config) -> Iterator[str]:
    """The worst case of every service, in lines for a human."""
    for service in config.services:
        yield f"{service.name}: the most that trimtab could do, whatever its policy wants"
        for backend in service.limits.backends:
            for span, span_s in SPANS_S.items():
                most = worst(service.limits, backend, span_s)
                yield (
                    f"  {backend.name:12} within {span + ':':12} "
                    f"+{most.up} replicas (+{most.up * backend.price:g} an hour), "
                    f"-{most.down} replicas, {most.share * 100:.0f} points of the route"
                )
        yield _at_once(service.limits)
        yield _left_behind(service.limits)
    yield "all services: the most that trimtab could do to them together"
    for span, span_s in SPANS_S.items():
        cost, services = together(
            [service.limits for service in config.services], config.cluster, span_s
        )
        yield f"  {'':12} within {span + ':':12} +{cost:g} an hour, {services} services changed"
    yield "  beyond it: what a rollback or an abort puts back, and leaving what cannot serve"


def together(
    services: Sequence[Limits], cluster: ClusterLimits, span_s: float
) -> tuple[float, int]:
    """The most new cost within any ``span_s`` seconds, and how many services may change in it."""
    growth = (
        worst(limits, backend, span_s).up * backend.price
        for limits in services
        for backend in limits.backends
    )
    budget = cluster.budget * _windows(span_s, cluster.budget_window_s)
    at_once = cluster.services_at_once * _windows(span_s, cluster.change_window_s)
    return min(fsum(growth), budget), min(len(services), at_once)


def _at_once(limits: Limits) -> str:
    carries = ", ".join(
        f"{backend.name} {backend.capacity_rps / (1 + limits.headroom):.3g}"
        for backend in limits.backends
    )
    return (
        "  at once, up to the whole route: load off a backend whose ready replicas cannot carry it "
        f"(each carries {carries} requests/s), and shares back when a write is undone"
    )


def _left_behind(limits: Limits) -> str:
    backends = limits.backends
    floors = ", ".join(f"{backend.name} {backend.max_replicas}" for backend in backends)
    cost = fsum((b.max_replicas - b.min_replicas) * b.price for b in backends)
    return (
        f"  if it dies at the worst moment: the floors stay, at most {floors} replicas "
        f"(+{cost:g} an hour over the minimum), and so does the route, at worst all on one "
        "backend; the autoscaler underneath goes on above the floors, until somebody lowers them"
    )


def _most_up(limits: Limits, backend: BackendLimits, span_s: float) -> int:
    """Growth is steeper from a higher level, and cut short by the maximum.

    So the most is gained from the lowest level that just reaches the maximum, or the one below.
    """
    top, windows = backend.max_replicas, _windows(span_s, limits.rate_window_s)

    def grown(level: int) -> int:
        return _repeated(lambda now: grown_from(now, limits, backend), level, windows)

    first = bisect_left(range(top), top, key=grown)
    return max(grown(level) - level for level in {first, max(0, first - 1)})


def _most_down(limits: Limits, backend: BackendLimits, span_s: float) -> int:
    """Shrinking is steepest from the top."""
    top, windows = backend.max_replicas, _windows(span_s, limits.rate_window_s)
    return top - _repeated(lambda now: shrunk_from(now, limits, backend), top, windows)


def _windows(span_s: float, window_s: float) -> int:
    """How many full steps a sliding window lets into a span: those it counts lie in both ends."""
    return math.ceil(span_s / window_s)


def _repeated(step: Callable[[int], int], level: int, times: int) -> int:
    for _ in range(times):
        before, level = level, step(level)
        if level == before:
            break
    return level


def grown_from(level: int, limits: Limits, backend: BackendLimits) -> int:
    """The most replicas within a window that began with ``level``."""
    at = _calm(level, limits, backend)
    return rate_up(max_replicas(backend.max_replicas, at), at)


def shrunk_from(level: int, limits: Limits, backend: BackendLimits) -> int:
    """The fewest replicas within a window that began with ``level``."""
    at = _calm(level, limits, backend)
    return rate_down(min_replicas(0, at), at)


def _calm(level: int, limits: Limits, backend: BackendLimits) -> Sight:
    """One backend at ``level`` for a whole window, with nothing but the rates in its way."""
    return Sight(
        present=level,
        needed=0,
        peak=0,
        recent=(level,),
        churn=0,
        remembered=True,
        in_doubt=False,
        backend=backend,
        limits=limits,
    )
