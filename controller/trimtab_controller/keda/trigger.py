"""What a ScaledObject's trigger asks for: its metadata, checked against the configuration."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from itertools import islice

from trimtab_controller.config import ServiceConfig
from trimtab_controller.mandate import UnknownError
from trimtab_controller.refusals import InvalidRequest
from trimtab_guard.modes import Mode

KEYS = ("service", "backend", "metric", "mode")
MODES = (Mode.GUARDED, Mode.ASSIST)
NAMES_SHOWN = 5


class Metric(StrEnum):
    """What is reported: replicas that get past the HPA's tolerance, or exactly those wanted."""

    REPLICAS = "replicas"
    EXACT = "exact-replicas"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger: which ``backends`` of ``service`` it scales, how, and how far it is trusted."""

    service: ServiceConfig
    backends: tuple[str, ...]
    metric: Metric
    mode: Mode

    @property
    def metric_name(self) -> str:
        """As KEDA calls the metric; it adds the trigger's number."""
        return f"trimtab-{self.metric}"


def read(metadata: Mapping[str, str], services: Mapping[str, ServiceConfig]) -> Trigger:
    """The trigger of a metadata; raises `InvalidRequest` or `UnknownError`."""
    _check_spelling(metadata)
    name = metadata.get("service", "")
    if not name:
        raise InvalidRequest(_path("service"), "is missing: name a service of trimtab.yaml")
    if name not in services:
        known = ", ".join(islice(services, NAMES_SHOWN))
        raise UnknownError("service", name, f"the configuration has {known}")
    service = services[name]
    backend = metadata.get("backend")
    return Trigger(
        service,
        (_one_of("backend", backend, service.backends),) if backend else service.backends,
        Metric(_one_of("metric", metadata.get("metric", Metric.REPLICAS), list(Metric))),
        Mode(_one_of("mode", metadata.get("mode", Mode.GUARDED), MODES)),
    )


def _check_spelling(metadata: Mapping[str, str]) -> None:
    """KEDA's own keys come along, also those of later versions; what looks like ours must be."""
    for key in metadata.keys() - set(KEYS):
        if near := get_close_matches(key, KEYS, n=1, cutoff=0.75):
            raise InvalidRequest(_path(key), f"is unknown: did you mean {near[0]!r}?")


def _one_of(key: str, value: str, allowed: Collection[str]) -> str:
    if value not in allowed:
        raise InvalidRequest(_path(key), f"{value!r} must be one of {', '.join(allowed)}")
    return value


def _path(key: str) -> str:
    return f"scalerMetadata.{key}"
