"""Sees what others push over gRPC, as often as they like: monitoring that is scraped is late.

The loop reads at its ticks. What came between two of them is one reading: rates as their mean over
time, shares over the requests that they are shares of, and the newest of all else.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from trimtab_controller.protocols import SensorError, Signal, StageReport
from trimtab_controller.recommend.report import SKEW_S, number
from trimtab_controller.refusals import InvalidRequest
from trimtab_guard.model import Reading
from trimtab_proto.v1 import controller_pb2 as pb

SHARES = ("error_share", "miss_share")


@dataclass(slots=True)
class Gathered:
    """One signal since the last tick: its newest value and time, and what its mean is made of."""

    value: float
    time_s: float
    area: float = 0.0
    weight: float = 0.0

    def add(self, value: float, time_s: float, rate_rps: float) -> None:
        """A later value that held since the last one, at ``rate_rps`` of what it is a mean over."""
        weight = rate_rps * (time_s - self.time_s)
        self.area += value * weight
        self.weight += weight
        self.value, self.time_s = value, time_s

    def take(self) -> Reading:
        """The reading of this tick; the next one begins."""
        if self.weight:
            self.value = self.area / self.weight
        self.area = self.weight = 0.0
        return Reading(self.value, self.time_s)


class PushedSensor:
    """One service's readings, from any number of reporters."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._gathered: dict[Signal, Gathered] = {}
        self._turn = threading.Lock()

    def push(self, values: Mapping[Signal, float], time_s: float) -> bool:
        """Take in what was measured at ``time_s``; False when all came before, or is too late."""
        with self._turn:
            news = [self._push(signal, values, time_s) for signal in values]
        return any(news)

    def read(self, _report: StageReport) -> Mapping[Signal, Reading]:
        """The signals that were ever pushed, as old as they are; raises `SensorError`."""
        with self._turn:
            if not self._gathered:
                raise SensorError(f"{self._service}: nothing was pushed yet: send ReportMetrics")
            return {signal: gathered.take() for signal, gathered in self._gathered.items()}

    def _push(self, signal: Signal, values: Mapping[Signal, float], time_s: float) -> bool:
        known = self._gathered.setdefault(signal, new := Gathered(values[signal], time_s))
        if known is not new and time_s > known.time_s:
            known.add(values[signal], time_s, _weight_rps(signal, values))
            return True
        return known is new


def _weight_rps(signal: Signal, values: Mapping[Signal, float]) -> float:
    """Of how many requests per second the signal is a mean; 1 for over time, 0 for none at all."""
    kind, backend = signal
    if kind not in SHARES:
        return float(kind == "rate_rps")
    rates = [values[one] for one in values if one[0] == "rate_rps" and backend in ("", one[1])]
    return sum(rates) if rates else 1.0


def measured(report: pb.MetricsReport, backends: Collection[str]) -> dict[Signal, float]:
    """What a report says; raises `InvalidRequest`."""
    values = dict(_set(report, "", "", ("p50_ms", "p95_ms", "miss_share")))
    for one in report.backends:
        if one.name not in backends:
            raise InvalidRequest(f"backends[{one.name}]", f"must be one of {', '.join(backends)}")
        path = f"backends[{one.name}]."
        values |= dict(_set(one, one.name, path, ("rate_rps", "in_flight", "error_share")))
    if not values:
        raise InvalidRequest("backends", "nothing is reported: set at least one reading")
    return values


def event_time_s(report: pb.MetricsReport, now_s: float) -> float:
    """When it was measured: now, unless it says so; raises `InvalidRequest`."""
    return number("time_s", report.time_s, now_s + SKEW_S) or now_s


def _set(
    message: pb.MetricsReport | pb.BackendMetrics, backend: str, path: str, names: Collection[str]
) -> Iterator[tuple[Signal, float]]:
    for name in names:
        if message.HasField(name):
            most = 1.0 if name in SHARES else math.inf
            yield (name, backend), number(path + name, getattr(message, name), most)
