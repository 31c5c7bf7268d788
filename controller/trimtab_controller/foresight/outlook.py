"""What a chart foretells: one outlook for each measure of the service and of its backends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from trimtab_agents.foresight import Finding, Forecast, Record, Series, forecast, record
from trimtab_controller.config import ServiceConfig
from trimtab_controller.foresight.chart import Chart

# What may be met within so long is proposed against, in the time of the service: long enough to
# ask in, and not so long that a healthy replica is restarted for what may never come.
ACT_WITHIN_S = 4 * 3600.0


class Measure(StrEnum):
    """What may grow to a limit."""

    MEMORY = "memory"
    CONNECTIONS = "connections"
    LATENCY = "latency"


class Remedy(StrEnum):
    """What helps against it."""

    NONE = ""
    RESTART = "restart one by one"
    ADD = "add replicas"


REMEDIES = {
    Measure.MEMORY: Remedy.RESTART,
    Measure.CONNECTIONS: Remedy.RESTART,
    Measure.LATENCY: Remedy.ADD,
}


@dataclass(frozen=True, slots=True)
class Outlook:
    """Of one measure; ``backend`` is empty for what is the whole service's.

    Values are in bytes, connections per replica, or milliseconds. ``remedy`` is what is proposed
    now: nothing where the limit is far, or such calls were mostly wrong before.
    """

    measure: Measure
    backend: str
    forecast: Forecast
    record: Record
    remedy: Remedy


def outlooks(
    chart: Chart, config: ServiceConfig, speed: float, *, judge: bool
) -> Iterator[Outlook]:
    """All of a service, whose time runs ``speed`` times as fast as life."""
    within_s = ACT_WITHIN_S / speed
    for measure, backend, series, limit in _measured(chart, config):
        found = forecast(series, limit)
        judged = record(series) if judge or is_near(found, within_s) else Record()
        yield Outlook(measure, backend, found, judged, remedy(measure, found, judged, within_s))


def is_near(found: Forecast, within_s: float) -> bool:
    """Whether something has to be done about it."""
    return found.finding is Finding.DUE and found.low_s <= within_s


def remedy(measure: Measure, found: Forecast, judged: Record, within_s: float) -> Remedy:
    """What is proposed; nothing on the word of calls that were mostly wrong."""
    return REMEDIES[measure] if is_near(found, within_s) and not judged.bad else Remedy.NONE


def _measured(chart: Chart, config: ServiceConfig) -> Iterator[tuple[Measure, str, Series, float]]:
    """What is watched at all, with its limit."""
    for number, backend in enumerate(config.spec.backends):
        if len(memory := chart.memory(number)):
            yield Measure.MEMORY, backend.name, memory, chart.memory_limit(number)
        if backend.connections_max and len(connections := chart.connections(number)):
            yield Measure.CONNECTIONS, backend.name, connections, float(backend.connections_max)
    yield Measure.LATENCY, "", chart.latency(), config.profile.slo_latency_s * 1e3
