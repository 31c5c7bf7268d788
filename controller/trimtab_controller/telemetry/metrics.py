"""Everything that Prometheus may ask about, named by its conventions.

Labels are services, backends and words of our own, never what a caller sent: their number is
bounded by the configuration.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import islice

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from trimtab_controller.board import Board
from trimtab_controller.memory import TickRecord
from trimtab_controller.protocols import Clock
from trimtab_controller.telemetry.present import Present

# From a fast tick of one service to one that ate most of a cluster's interval.
TICK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """A registry, and the events that are counted into it."""

    def __init__(self, board: Board, policy: str, services_max: int, clock: Clock) -> None:
        # When a counter began is of use to no one here, and would double their series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # its own fault
        self.registry = CollectorRegistry()
        self._board = board
        self._clock = clock
        self._shown = frozenset(islice(board.configs, services_max))
        Info("trimtab", "What runs.", registry=self.registry).info(
            {"version": version("trimtab"), "policy": policy}
        )
        self._duration = Histogram(
            "trimtab_tick_duration_seconds",
            "How long a tick of all services took.",
            buckets=TICK_BUCKETS_S,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "trimtab_tick_outcomes",
            "Ticks of a service, by what became of its decision.",
            ["service", "outcome"],
            registry=self.registry,
        )
        self._reasons = Counter(
            "trimtab_guard_reasons",
            "Changes that the guard made to proposals, by the limit that asked for them.",
            ["service", "code"],
            registry=self.registry,
        )
        self._pending = Gauge(
            "trimtab_approvals_pending",
            "Envelopes that waited for a human at the latest tick.",
            ["service"],
            registry=self.registry,
        )
        self.registry.register(Present(board, self._shown))
        for collector in (GCCollector, PlatformCollector, ProcessCollector):
            collector(registry=self.registry)

    def timed(self, tick: Callable[[], None]) -> Callable[[], None]:
        """``tick``, with its duration observed."""

        def observed() -> None:
            with self._duration.time():
                tick()

        return observed

    def count(self, ticks: Sequence[TickRecord]) -> None:
        """Count one tick of all services; called by the loop, under the board's lock."""
        envelopes = self._board.approvals.pending(self._clock())
        pending = collections.Counter(envelope.service for envelope in envelopes)
        for tick in ticks:
            if tick.service in self._shown:
                self._pending.labels(tick.service).set(pending[tick.service])
                self._outcomes.labels(tick.service, tick.outcome.value).inc()
                for reason in tick.verdict.reasons if tick.verdict else ():
                    self._reasons.labels(tick.service, str(reason.code)).inc()
