"""A service profile as a YAML file: what `trimtab fit` writes, and whoever simulates reads.

The keys are those of a service in trimtab.yaml, so that a fitted backend can be pasted there.
What a recording could not tell stands in the file as the word ``unknown``, which no number can
be read from: whoever needs it is told the line, and a human fills it in.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import yaml

from trimtab_sim.profile import BackendProfile, Profile
from trimtab_sim.schema import Count, NotNegative, Positive, Range, Share, check_unique, read_file

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SloSpec:
    """``share`` of the requests must be answered within ``latency_s``."""

    latency_s: Positive
    share: Share


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """One scalable group of replicas; the fields are `BackendProfile`'s."""

    name: str
    concurrency: Count
    service_time_s: Positive
    startup_mean_s: Positive
    min_replicas: Annotated[int, Range(least=0)]
    max_replicas: Count
    service_scv: NotNegative = 1.0
    startup_cv: NotNegative = 0.2
    price: Positive = 1.0

    @property
    def profile(self) -> BackendProfile:
        """The same for the simulator."""
        return BackendProfile(**_written(self))


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``low`` to ``high`` with 90 % confidence; ``backend`` is empty for the service's own."""

    quantity: str
    low: float
    high: float
    backend: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A quantity that the recording could not tell, and ``why``."""

    quantity: str
    why: str
    backend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What every file says of a service."""

    name: str
    slo: SloSpec
    backends: tuple[BackendSpec, ...]
    timeout_s: Positive = 10.0
    metric_lag_s: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_unique("backend", [backend.name for backend in self.backends])

    @property
    def profile(self) -> Profile:
        """The same for the simulator."""
        return Profile(
            name=self.name,
            backends=tuple(backend.profile for backend in self.backends),
            slo_latency_s=self.slo.latency_s,
            slo_share=self.slo.share,
            timeout_s=self.timeout_s,
            metric_lag_s=self.metric_lag_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile(Described):
    """The whole file. Without ``intervals`` and ``unknown`` it was written by hand."""

    intervals: tuple[Interval, ...] = ()
    unknown: tuple[Unknown, ...] = ()

    def __post_init__(self) -> None:
        Described.__post_init__(self)
        names = [backend.name for backend in self.backends]
        notes: tuple[Interval | Unknown, ...] = (*self.intervals, *self.unknown)
        for note in notes:
            if note.backend not in ("", *names):
                raise ValueError(
                    f"{note.quantity} is of backend {note.backend!r}: "
                    f"there is only {', '.join(names)}"
                )


def read_service(file: Path) -> ServiceFile:
    """Read a service profile; `ConfigError` names file, line and the way out."""
    return read_file(file, ServiceFile)


def service_text(
    profile: Profile, intervals: tuple[Interval, ...] = (), unknown: tuple[Unknown, ...] = ()
) -> str:
    """The file for ``profile``; what is in ``unknown`` is not written as a number."""
    missing = {(doubt.backend, doubt.quantity) for doubt in unknown}

    def known(backend: str, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: UNKNOWN if (backend, name) in missing else value for name, value in values.items()
        }

    document: dict[str, Any] = {
        "name": profile.name,
        "slo": {"latency_s": profile.slo_latency_s, "share": profile.slo_share},
        **known("", {"timeout_s": profile.timeout_s, "metric_lag_s": profile.metric_lag_s}),
        "backends": [known(backend.name, _written(backend)) for backend in profile.backends],
    }
    if intervals:
        document["intervals"] = [asdict(interval) for interval in intervals]
    if unknown:
        document["unknown"] = [asdict(doubt) for doubt in unknown]
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100))


def _written(backend: BackendProfile | BackendSpec) -> dict[str, Any]:
    """What the file has of a backend."""
    return {field.name: getattr(backend, field.name) for field in fields(BackendSpec)}
