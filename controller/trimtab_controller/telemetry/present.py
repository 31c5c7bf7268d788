"""The latest tick and what holds now, as gauges, made when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from math import isfinite
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trimtab_controller.board import Board
from trimtab_controller.memory import TickRecord
from trimtab_guard.model import BackendState, Want
from trimtab_guard.modes import Mode

# Labels and the value.
Sample = tuple[Sequence[str], float]


class Family(NamedTuple):
    """A gauge or counter of every service, and how its samples follow from a tick."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[TickRecord], Iterable[Sample]]
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily] = GaugeMetricFamily


class Present(Collector):
    """Reads the board without its lock: a tick that hangs keeps nobody from it."""

    def __init__(self, board: Board, shown: Collection[str]) -> None:
        """``shown`` are the services that have series of their own."""
        self._board = board
        self._shown = shown

    def collect(self) -> Iterator[Metric]:
        """All gauges of this moment."""
        yield from self._whole()
        ticks = [tick for name in self._shown if (tick := self._board.tick(name))]
        for family in FAMILIES:
            metric = family.kind(family.name, family.help, labels=family.labels)
            for tick in ticks:
                for labels, value in family.samples(tick):
                    metric.add_metric(labels, value)
            yield metric

    def _whole(self) -> Iterator[Metric]:
        board = self._board
        for name, text, value in (
            ("trimtab_stopped", "1 while nothing may be written.", bool(board.stopped)),
            (
                "trimtab_config_rejected",
                "1 while a changed configuration is not followed.",
                bool(board.config_error),
            ),
            ("trimtab_services", "Services in the configuration.", len(board.configs)),
            ("trimtab_services_shown", "Those with series of their own.", len(self._shown)),
        ):
            yield GaugeMetricFamily(name, text, float(value))


def _once(value: Callable[[TickRecord], float]) -> Callable[[TickRecord], Iterator[Sample]]:
    """One sample of the service itself; what is not a number was not measured and is left out."""

    def samples(tick: TickRecord) -> Iterator[Sample]:
        found = value(tick)
        if isfinite(found):
            yield (tick.service,), found

    return samples


def _each(
    value: Callable[[BackendState], float], *more: str
) -> Callable[[TickRecord], Iterator[Sample]]:
    """One sample per backend."""

    def samples(tick: TickRecord) -> Iterator[Sample]:
        for backend in tick.state.backends if tick.state else ():
            if isfinite(found := value(backend)):
                yield (tick.service, backend.name, *more), found

    return samples


def _modes(tick: TickRecord) -> Iterator[Sample]:
    return (((tick.service, mode.value), float(mode is tick.mode)) for mode in Mode)


def _latencies(tick: TickRecord) -> Iterator[Sample]:
    if tick.state:
        for quantile, reading in (("0.5", tick.state.p50_ms), ("0.95", tick.state.p95_ms)):
            if isfinite(reading.value):
                yield (tick.service, quantile), reading.value / 1e3


def _replicas(tick: TickRecord) -> Iterator[Sample]:
    for backend in tick.state.backends if tick.state else ():
        for state in ("wanted", "starting", "ready", "draining"):
            yield (tick.service, backend.name, state), getattr(backend, state)


def _wants(tick: TickRecord, wants: Iterable[Want]) -> Iterator[Sample]:
    return (((tick.service, want.name), want.replicas) for want in wants)


def _proposed(tick: TickRecord) -> Iterator[Sample]:
    return _wants(tick, tick.proposal.backends if tick.proposal else ())


def _allowed(tick: TickRecord) -> Iterator[Sample]:
    return _wants(tick, tick.verdict.backends if tick.verdict else ())


SERVICE, BACKEND = ("service",), ("service", "backend")
NAN = float("nan")
FAMILIES = (
    Family(
        "trimtab_tick_timestamp_seconds",
        "When the latest tick looked.",
        SERVICE,
        _once(lambda tick: tick.time_s),
    ),
    Family("trimtab_mode", "1 for the mode that holds.", (*SERVICE, "mode"), _modes),
    Family(
        "trimtab_trouble",
        "1 while the latest tick could not do all; `trimtab status` says why.",
        SERVICE,
        _once(lambda tick: float(bool(tick.error))),
    ),
    Family(
        "trimtab_miss_ratio",
        "Requests that missed the SLO, of all of the latest interval.",
        SERVICE,
        _once(lambda tick: tick.state.miss_share.value if tick.state else NAN),
    ),
    Family(
        "trimtab_latency_seconds",
        "Latency of the latest interval, by quantile.",
        (*SERVICE, "quantile"),
        _latencies,
    ),
    Family(
        "trimtab_planned_requests_per_second",
        "The load that the policy sizes for.",
        SERVICE,
        _once(lambda tick: tick.proposal.demand_rps if tick.proposal else NAN),
    ),
    Family(
        "trimtab_requests_per_second",
        "The load as it was measured.",
        BACKEND,
        _each(lambda backend: backend.rate_rps.value),
    ),
    Family(
        "trimtab_requests_in_flight",
        "Requests being served or waiting.",
        BACKEND,
        _each(lambda backend: backend.in_flight.value),
    ),
    Family("trimtab_replicas", "Replicas, by their state.", (*BACKEND, "state"), _replicas),
    Family(
        "trimtab_route_ratio",
        "Share of the route.",
        BACKEND,
        _each(lambda backend: backend.weight),
    ),
    Family("trimtab_proposed_replicas", "What the policy wants.", BACKEND, _proposed),
    Family("trimtab_allowed_replicas", "What the guard lets be.", BACKEND, _allowed),
    Family(
        "trimtab_decisions",
        "Decisions since the journal began.",
        SERVICE,
        _once(lambda tick: tick.decisions),
        CounterMetricFamily,
    ),
    Family(
        "trimtab_actions",
        "Writes to the stage since the journal began.",
        SERVICE,
        _once(lambda tick: tick.actions),
        CounterMetricFamily,
    ),
)
