"""Between the loop and what it sees and writes through: here a drill breaks metrics and the API.

Behind it everything is read as ever, so that the drill itself knows the truth while trimtab does
not. Without a drill it changes nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

from trimtab_controller.drills.plan import Fault, Injection
from trimtab_controller.protocols import (
    Clock,
    Intent,
    Sensor,
    SensorError,
    Signal,
    Stage,
    StageError,
    StageReport,
)
from trimtab_guard.model import Reading

Readings = Mapping[Signal, Reading]
CUT = "cut off from the stage by a drill"


class Lens:
    """A `Stage` and a `Sensor` in one, of one service; ``faults`` are those in force.

    ``report`` and ``readings`` are what really was at the last look, nothing where that failed.
    """

    def __init__(self, stage: Stage, sensor: Sensor, clock: Clock) -> None:
        self.stage = stage
        self.faults: Sequence[Injection] = ()
        self.report: StageReport | None = None
        self.readings: Readings = {}
        self._sensor = sensor
        self._clock = clock
        # What is shown in the place of news: the last readings before the fault.
        self._held: Readings = {}
        self._late: deque[tuple[float, Readings]] = deque()

    def have(self, faults: Sequence[Injection]) -> None:
        """Break just this from the next look on."""
        if not self.faults:
            self._held = self.readings
            self._late.clear()
        self.faults = faults

    def status(self) -> StageReport:
        """As `Stage.status`."""
        self.report, self.readings = None, {}
        self.report = self.stage.status()
        if self._has(Fault.CUT_STAGE):
            self._measure(self.report)  # which the loop will not ask for now
            raise StageError(CUT)
        return self.report

    def apply(self, intent: Intent) -> str:
        """As `Stage.apply`."""
        if self._has(Fault.CUT_STAGE):
            raise StageError(CUT)
        return self.stage.apply(intent)

    def read(self, report: StageReport) -> Readings:
        """As `Sensor.read`."""
        shown = self._measure(report)
        for fault in self.faults:
            shown = self._through(fault, shown)
        return shown

    def _measure(self, report: StageReport) -> Readings:
        self.readings = self._sensor.read(report)
        if self.faults:
            self._late.append((self._clock(), self.readings))
        return self.readings

    def _has(self, fault: Fault) -> bool:
        return any(each.fault is fault for each in self.faults)

    def _through(self, injection: Injection, shown: Readings) -> Readings:
        """What is left of ``shown``; `SensorError` where that is nothing."""
        mine = {signal for signal in shown if injection.backend in ("", signal[1])}
        others = {signal: shown[signal] for signal in shown.keys() - mine}
        if injection.fault is Fault.NO_METRICS and not others:
            raise SensorError("no metrics: a drill")
        if injection.fault is Fault.NAN_METRICS:
            return others | {s: Reading(math.nan, shown[s].time_s) for s in mine}
        if injection.fault is Fault.FROZEN_METRICS:
            return others | {
                s: Reading(self._held[s].value, shown[s].time_s) for s in mine & self._held.keys()
            }
        if injection.fault is Fault.LATE_METRICS:
            old = self._until(self._clock() - injection.late_s)
            return others | {s: old[s] for s in mine & old.keys()}
        return others if injection.fault is Fault.NO_METRICS else shown

    def _until(self, time_s: float) -> Readings:
        """The last readings of that time, or of before the fault."""
        known = self._held
        for then_s, readings in self._late:
            if then_s <= time_s:
                known = readings
        return known
