"""What can be turned on a HorizontalPodAutoscaler, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from math import ceil

from optuna.distributions import IntDistribution

from trimtab_agents.hpa import HpaConfig, ScalingPolicy, Unit
from trimtab_agents.training.history import History, Service

UP_PERIOD_S = 15
# A minute, as rates of scaling down are usually given: 10 % of few pods is one of them a minute.
DOWN_PERIOD_S = 60
# No maximum is tried below so many times the replicas that the past's peak would have filled.
ROOM = 2.0
# From least to most: what Kubernetes takes, or more than anybody wants.
ALLOWED: Mapping[str, tuple[int, int]] = {
    "target": (1, 100),
    "down_window_s": (0, 3600),
    "up_window_s": (0, 3600),
    "up_percent": (1, 10_000),
    "up_pods": (1, 10_000),
    "down_percent": (1, 100),
    "min_replicas": (1, 100_000),
    "max_replicas": (1, 100_000),
}


class DialError(ValueError):
    """Dials that cannot be set so; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Dials:
    """An HPA's settings; the defaults are Kubernetes'.

    target: percent of the CPU request; up_percent, up_pods: of the pods there, and at least so
    many, that may be added in 15 s; down_percent: that may be removed in a minute.
    """

    max_replicas: int
    min_replicas: int = 1
    target: int = 80
    down_window_s: int = 300
    up_window_s: int = 0
    up_percent: int = 100
    up_pods: int = 4
    down_percent: int = 100

    def __post_init__(self) -> None:
        for name, (least, most) in ALLOWED.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise DialError(f"{name} is {value}: it must be from {least} to {most}")
        if self.min_replicas > self.max_replicas:
            raise DialError(
                f"min_replicas is {self.min_replicas}, above max_replicas, {self.max_replicas}"
            )

    @property
    def config(self) -> HpaConfig:
        """The same for the rule."""
        return HpaConfig(
            target=self.target / 100.0,
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            up_stabilization_s=float(self.up_window_s),
            down_stabilization_s=float(self.down_window_s),
            up=(
                ScalingPolicy(Unit.PERCENT, self.up_percent, UP_PERIOD_S),
                ScalingPolicy(Unit.PODS, self.up_pods, UP_PERIOD_S),
            ),
            down=(ScalingPolicy(Unit.PERCENT, self.down_percent, DOWN_PERIOD_S),),
        )

    def bounded(self, service: Service) -> Service:
        """The service whose replicas stay within these bounds."""
        (backend,) = service.profile.backends
        own = replace(backend, min_replicas=self.min_replicas, max_replicas=self.max_replicas)
        return replace(service, profile=replace(service.profile, backends=(own,)))


def current_dials(text: str, service: Service) -> Dials:
    """What is set now: ``target=60,min_replicas=2``; what is not named is Kubernetes' default.

    The bounds' defaults are the profile's. Raises `DialError`.
    """
    (backend,) = service.profile.backends
    start = Dials(backend.max_replicas, max(backend.min_replicas, 1))
    return replace(start, **dict(_assigned(part) for part in text.split(",") if part.strip()))


def _assigned(part: str) -> tuple[str, int]:
    name, _, number = (word.strip() for word in part.partition("="))
    names = [field.name for field in fields(Dials)]
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
        raise DialError(f"{part.strip()!r}: unknown dial {name!r}: {hint}")
    if not number.isdigit():
        raise DialError(f"{part.strip()!r}: give {name} a whole number")
    return name, int(number)


def space(history: History, service: Service, current: Dials) -> dict[str, IntDistribution]:
    """From where to where each dial is tried; what is set now lies within.

    The maximum keeps room over the past's peak, since the next one may be higher.
    """
    (backend,) = service.profile.backends
    peak = ceil(history.past_rps.max() * backend.service_time_s / backend.concurrency)
    least, most = max(backend.min_replicas, 1), backend.max_replicas
    ranges = {
        "target": (20, 95, False),
        "down_window_s": (15, 3600, True),
        "up_window_s": (0, 300, False),
        "up_percent": (10, 900, True),
        "up_pods": (1, max(4, peak), True),
        "down_percent": (5, 100, True),
        "min_replicas": (least, min(max(least, peak), most), True),
        "max_replicas": (min(ceil(ROOM * peak), most), most, True),
    }
    now = asdict(current)
    return {
        name: IntDistribution(min(low, now[name]), max(high, now[name]), log=log and now[name] > 0)
        for name, (low, high, log) in ranges.items()
    }
