"""Every limit as a field with its unit, allowed range, default and purpose.

The ranges live in the annotations, so one check covers every field, and a test compares
SAFETY.md with them. Reading limits from YAML is the controller's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

LONGEST_WINDOW_S = 3600.0
"""How far back the guard remembers, and so the longest window; as for a Kubernetes HPA."""


class Bound(NamedTuple):
    """What a limit may be set to. A ``window`` is a span of the policy's time: see ``scaled``."""

    least: float
    most: float
    unit: str
    window: bool = False


Replicas = Annotated[int, Bound(0, 100_000, "replicas")]
Window = Annotated[float, Bound(0.001, LONGEST_WINDOW_S, "s", window=True)]


@dataclass(frozen=True, slots=True)
class BackendLimits:
    """How many replicas one backend may have. ``ValueError`` names a field out of range."""

    name: str
    min_replicas: Replicas = 1
    """Fewest that may be asked for."""
    max_replicas: Annotated[int, Bound(1, 100_000, "replicas")] = 10
    """Most that may be asked for."""
    capacity_rps: Annotated[float, Bound(0.001, 1e9, "rps")] = 1e9
    """What one ready replica can serve; the default is no limit."""
    price: Annotated[float, Bound(1e-6, 1e4, "price")] = 1.0
    """What a replica takes of the budget that all services share."""

    def __post_init__(self) -> None:
        owner = f"backend {self.name!r}"
        _require(bool(self.name), "a backend has no name", "every backend needs one")
        _check_ranges(self, owner)
        _require(
            self.min_replicas <= self.max_replicas,
            f"{owner}: min_replicas is {self.min_replicas}",
            f"it must be at most max_replicas, {self.max_replicas}",
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one service. ``ValueError`` names the field, its value and what is allowed.

    Where there is a percentage and a number, the larger of the two counts.
    """

    service: str
    backends: tuple[BackendLimits, ...]

    rate_window_s: Window = 60.0
    """Replica changes are counted over this long, sliding."""
    up_percent: Annotated[int, Bound(0, 1000, "%")] = 100
    """Growth of a backend within the rate window."""
    up_replicas: Replicas = 4
    """The same for small backends."""
    down_percent: Annotated[int, Bound(0, 100, "%")] = 10
    """Shrinking of a backend within the rate window."""
    down_replicas: Replicas = 1
    """The same for small backends."""

    flap_window_s: Window = 600.0
    """Starts and stops are added up over this long, sliding."""
    flap_budget: Annotated[float, Bound(2, 1000, "x max_replicas")] = 2.0
    """Starts + stops within the flap window that a stop must leave room in, way back included."""

    hold_s: Window = 300.0
    """Scale down only to the highest proposal of this long, and not before it has passed."""
    drop_s: Window = 600.0
    """The load is compared with its highest level of this long."""
    drop_share: Annotated[float, Bound(0, 1, "share")] = 0.4
    """Below this share of that level nothing is scaled down: an outage looks like no load."""
    gap_s: Window = 60.0
    """Longest hole in the memory that still counts as memory."""

    weight_interval_s: Window = 30.0
    """Moves of a backend's share are counted over this long, sliding."""
    weight_step: Annotated[float, Bound(0, 1, "share")] = 0.10
    """Largest move of a backend's share within the weight interval."""
    headroom: Annotated[float, Bound(0, 10, "x load")] = 0.2
    """What a backend must be able to serve beyond its load."""

    verify_s: Window = 300.0
    """An action is watched for a regression for this long."""
    verify_margin: Annotated[float, Bound(0.001, 0.5, "share")] = 0.02
    """Misses above the expected share that are no regression."""
    verify_alpha: Annotated[float, Bound(1e-9, 0.1, "chance")] = 0.001
    """Chance of rolling back a harmless action, however often one looks."""
    verify_requests: Annotated[int, Bound(1, 10_000, "requests")] = 20
    """Most that one tick weighs: requests that miss together are one piece of evidence."""
    cool_s: Window = 600.0
    """Nothing is autonomous for this long after a rollback."""
    lease_s: Annotated[float, Bound(60, 604_800, "s")] = 28_800.0
    """For how long a human entrusts a service at a time."""

    interval_s: Annotated[float, Bound(0.01, 600, "s")] = 1.0
    """One tick."""
    stale_intervals: Annotated[int, Bound(1, 100, "ticks")] = 3
    """A signal older than this is stale: the present is held."""
    envelope_s: Window = 120.0
    """The policy must have been inside its training envelope for this long."""
    blind_s: Annotated[float, Bound(0.01, LONGEST_WINDOW_S, "s")] = 60.0
    """A signal or proposal older than this is gone: the baseline takes over, upward only."""

    def __post_init__(self) -> None:
        owner = f"service {self.service!r}"
        names = [backend.name for backend in self.backends]
        _require(bool(self.service), "a service has no name", "every service needs one")
        _require(bool(names), f"{owner}: backends is empty", "it must list at least one")
        _require(
            len(set(names)) == len(names),
            f"{owner}: backends lists {names}",
            "each name may appear once",
        )
        _check_ranges(self, owner)
        _require(
            self.blind_s > self.stale_s,
            f"{owner}: blind_s is {self.blind_s}",
            f"it must be more than stale_intervals x interval_s, {self.stale_s} s",
        )

    @property
    def stale_s(self) -> float:
        """Age in seconds beyond which a signal is stale."""
        return self.stale_intervals * self.interval_s

    @property
    def memory_gap_s(self) -> float:
        """Longest hole that still counts as memory: never shorter than ticks may be apart."""
        return max(self.gap_s, self.stale_s)

    def scaled(self, speed: float) -> Limits:
        """For a trace replayed ``speed`` times faster than life: every policy window shrinks.

        Ticks and freshness are about the real sensor and stay. ``ValueError`` when ``speed``
        is not a positive number or a window leaves its range.
        """
        return _scaled(self, speed)


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """The limits of all services together. ``ValueError`` names a field out of range."""

    budget_window_s: Window = 600.0
    """New replicas are paid for over this long, sliding."""
    budget: Annotated[float, Bound(0, 1e9, "price x replicas")] = 1e9
    """What all new replicas of the budget window may cost; the default is no limit."""
    change_window_s: Window = 60.0
    """Services that change are counted over this long, sliding."""
    services_at_once: Annotated[int, Bound(1, 100_000, "services")] = 10
    """How many services may change within the change window."""
    drills_at_once: Annotated[int, Bound(1, 100_000, "services")] = 1
    """How many services may have a drill at the same time."""

    def __post_init__(self) -> None:
        _check_ranges(self, "cluster")

    def scaled(self, speed: float) -> ClusterLimits:
        """As `Limits.scaled`."""
        return _scaled(self, speed)


@dataclass(frozen=True, slots=True)
class DrillLimits:
    """How much of one service a drill may break. ``ValueError`` names a field out of range.

    Drills are in seconds of life, whatever is replayed how fast: nothing here is ever scaled.
    """

    replicas_share: Annotated[float, Bound(0, 1, "share")] = 0.34
    """Of the replicas that are ready at its first fault: those killed, and those under a fault."""
    replicas_left: Annotated[int, Bound(1, 100_000, "replicas")] = 1
    """Ready and untouched ones that each backend on the route must keep."""
    lasts_s: Annotated[float, Bound(1, 3600, "s")] = 300.0
    """From its first fault until the last one has ended."""
    error_budget_s: Annotated[float, Bound(0, 3600, "s")] = 30.0
    """Seconds in which every request misses, or twice as many in which half of them do."""
    proxy_s: Annotated[float, Bound(0, 60, "s")] = 0.0
    """For how long the proxy itself may be stopped; the default is never."""

    def __post_init__(self) -> None:
        _check_ranges(self, "drills")


AnyLimits = TypeVar("AnyLimits", BackendLimits, Limits, ClusterLimits)
Bounded = BackendLimits | Limits | ClusterLimits | DrillLimits


def _scaled(limits: AnyLimits, speed: float) -> AnyLimits:
    _require(0 < speed < float("inf"), f"speed is {speed!r}", "it must be more than 0")
    windows = [name for name, (_, bound) in bounds(type(limits)).items() if bound.window]
    # replace() is typed for literal keywords only.
    shrunk: dict[str, Any] = {name: getattr(limits, name) / speed for name in windows}
    return replace(limits, **shrunk)


def bounds(kind: type[Bounded]) -> Mapping[str, tuple[type, Bound]]:
    """Name -> (type, range) of every numeric limit of a class of limits."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Annotated}


def _check_ranges(limits: Bounded, owner: str) -> None:
    for name, (number, bound) in bounds(type(limits)).items():
        value = getattr(limits, name)
        # A bool is an int to Python, and an int will do where a float is asked for.
        right_type = type(value) in (int, number)
        what = "a whole number" if number is int else "a number"
        _require(
            right_type and bound.least <= value <= bound.most,
            f"{owner}: {name} is {value!r}",
            f"it must be {what} from {bound.least} to {bound.most:g} {bound.unit}",
        )


def _require(condition: bool, found: str, allowed: str) -> None:
    if not condition:
        raise ValueError(f"{found}; {allowed}")
