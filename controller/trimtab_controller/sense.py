"""Sense: joins what the stage reports with what the sensor measures into a `State`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from trimtab_controller.protocols import (
    BackendReport,
    Clock,
    Sensor,
    SensorError,
    Signal,
    Stage,
    StageError,
    StageReport,
)
from trimtab_guard.model import UNREAD, BackendState, Reading, State

Readings = Mapping[Signal, Reading]


class Sight(NamedTuple):
    """What one tick saw of a service.

    In ``state`` a signal that could not be measured now is NaN, as old as its last reading: the
    policy must not learn from it, and the guard holds. ``known`` has the last valid readings
    instead, for the baseline rule. Without a ``report`` the stage was not seen, and both only
    repeat the past. ``measured`` is all that the sensor gave, also what no decision needs.
    """

    state: State
    known: State
    report: StageReport | None
    error: str = ""
    measured: Readings = MappingProxyType({})

    @property
    def fresh(self) -> bool:
        """Whether every backend's signals were measured now."""
        readings = [r for b in self.state.backends for r in (b.rate_rps, b.in_flight)]
        return all(math.isfinite(reading.value) for reading in readings)


class Eyes:
    """Sees one service, and remembers what it last saw."""

    def __init__(
        self, service: str, backends: tuple[str, ...], stage: Stage, sensor: Sensor, clock: Clock
    ) -> None:
        self._service = service
        self._stage = stage
        self._sensor = sensor
        self._clock = clock
        self._readings: Readings = {}
        nothing = tuple(BackendReport(name, 0, 0, 0, 0, 0, 0.0) for name in backends)
        self._report = StageReport(0.0, "", "", nothing, "")

    def look(self) -> Sight:
        """Stage first, then the signals; a failure of either is told, never raised."""
        try:
            report = self._report = self._stage.status()
        except Exception as error:  # the loop must outlive whatever a stage raises
            return self._sight(None, {}, _told(error))
        try:
            told = report.barred or report.warning
            return self._sight(report, self._sensor.read(report), told)
        except Exception as error:  # nor may a sensor end it
            return self._sight(report, {}, _told(error))

    def _sight(self, report: StageReport | None, measured: Readings, error: str = "") -> Sight:
        before, now_s = self._readings, self._clock()
        self._readings = {**before, **measured}
        known = join(self._service, now_s, self._report, self._readings)
        if before.keys() <= measured.keys():
            return Sight(known, known, report, error, measured)
        missing = {
            signal: Reading(math.nan, old.time_s)
            for signal, old in before.items()
            if signal not in measured
        }
        state = join(self._service, now_s, self._report, {**self._readings, **missing})
        return Sight(state, known, report, error, measured)


def _told(error: Exception) -> str:
    """The message of an error that was foreseen; what any other one is, for a bug report."""
    return str(error) if isinstance(error, SensorError | StageError) else repr(error)


def join(service: str, time_s: float, report: StageReport, readings: Readings) -> State:
    """The state of a service; a signal without a reading is NaN and infinitely old."""
    read = readings.get
    backends = tuple(
        [
            BackendState(
                name=b.name,
                wanted=b.wanted,
                starting=b.starting,
                ready=b.ready,
                draining=b.draining,
                weight=b.weight,
                disruption_min=b.disruption_min,
                rate_rps=read(("rate_rps", b.name), UNREAD),
                in_flight=read(("in_flight", b.name), UNREAD),
                error_share=read(("error_share", b.name), UNREAD),
            )
            for b in report.backends
        ]
    )
    return State(
        service=service,
        time_s=time_s,
        replicas_time_s=report.time_s,
        backends=backends,
        p50_ms=read(("p50_ms", ""), UNREAD),
        p95_ms=read(("p95_ms", ""), UNREAD),
        miss_share=read(("miss_share", ""), UNREAD),
        rollout=report.rollout,
    )
