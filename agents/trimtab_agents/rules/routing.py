"""Routing rules: how the share of each backend is set, over one and the same scaling.

Replicas follow the calibrated estimate of the whole load, split as the rule means to route it,
so that a rule is never short of replicas where it sends its load.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trimtab_agents.rules.target import TargetRule
from trimtab_envs.memory import ESTIMATES
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted

LATENCY_MEMORY_S = 30.0


@dataclass(frozen=True, slots=True)
class View:
    """What a routing rule sees, ``[B, K]``, and for the whole service ``[B, 1]``.

    ``full`` is the utilisation up to which waterfall fills a backend.
    """

    profiles: Profiles
    demand_rps: Floats  # of the whole service
    full: Floats  # of the whole service
    capacity_rps: Floats  # of ready replicas
    latency_s: Floats


Route = Callable[[View], tuple[Floats, Floats]]


def equal(view: View) -> tuple[Floats, Floats]:
    """The same share for each, in replicas and in route."""
    shares = view.profiles.present / view.profiles.present.sum(1, keepdims=True)
    return shares, shares


def by_capacity(view: View) -> tuple[Floats, Floats]:
    """More replicas where they are cheap, and load to where replicas are ready."""
    return view.profiles.present / view.profiles.price, view.capacity_rps


def least_latency(view: View) -> tuple[Floats, Floats]:
    """Load in inverse proportion to the latency, and replicas where the load goes."""
    shares = view.profiles.present / np.maximum(view.latency_s, 1e-4)
    return shares, shares


def waterfall(view: View) -> tuple[Floats, Floats]:
    """The cheapest backend is filled first, then the next; capacity is built in that order."""
    profiles = view.profiles
    most_rps = profiles.max_replicas * profiles.replica_rps * view.full
    return (
        _poured(view.demand_rps, most_rps, profiles),
        _poured(view.demand_rps, view.full * view.capacity_rps, profiles),
    )


def _poured(demand_rps: Floats, room_rps: Floats, profiles: Profiles) -> Floats:
    """The demand over backends with so much room, the cheapest per request first."""
    order = np.argsort(profiles.price / profiles.replica_rps, axis=1)
    room = np.take_along_axis(room_rps, order, axis=1)
    before = np.cumsum(room, axis=1) - room
    poured = np.empty_like(room)
    np.put_along_axis(poured, order, np.clip(demand_rps - before, 0.0, room), axis=1)
    # What fits nowhere goes to all, by the room that they have.
    over = np.maximum(demand_rps - room.sum(1, keepdims=True), 0.0)
    total = np.maximum(room.sum(1, keepdims=True), 1e-9)
    return np.asarray(poured + over * room_rps / total)


ROUTES: dict[str, Route] = {
    "equal": equal,
    "capacity": by_capacity,
    "least_latency": least_latency,
    "waterfall": waterfall,
}


# What they are tried with in any search: the estimates that they may go by, and how full backends
# may get.
ROUTED_BY = tuple(float(ESTIMATES.index(name)) for name in ("noise", "surge95"))
FULL = (0.45, 0.6, 0.8)


def fullness(route: str) -> tuple[float, ...]:
    """How full backends may get; only waterfall looks at it."""
    return FULL if route == "waterfall" else FULL[:1]


class RoutedRule(TargetRule):
    """The target rule with another route: its parameters, and how ``full`` backends may get."""

    def __init__(
        self,
        route: str,
        estimate: ArrayLike,
        headroom: ArrayLike,
        hold_s: ArrayLike,
        full: ArrayLike = 0.8,
    ) -> None:
        super().__init__(estimate, headroom, hold_s)
        self.name, self._route = route, ROUTES[route]
        self._full = np.asarray(full, dtype=np.float64).reshape(-1, 1)

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        """Forget everything and prepare for B new services."""
        super().reset(profiles, miss_price, tick_s)
        self._profiles = profiles
        self._gain = -np.expm1(-tick_s / LATENCY_MEMORY_S)
        self._latency_s = profiles.service_time_s.copy()

    def act(self, sensed: Sensed) -> Wanted:
        """Decide for one tick."""
        self._codec.sense(sensed)
        self._measure(sensed)
        capacity_rps = sensed.ready * self._profiles.replica_rps
        rate_rps = np.nan_to_num(sensed.rate_rps).sum(1, keepdims=True)
        view = View(self._profiles, rate_rps, self._full, capacity_rps, self._latency_s)
        built, routed = self._route(view)
        built = built / np.maximum(built.sum(1, keepdims=True), 1e-9)
        routed = np.where(sensed.ready > 0.0, routed, 0.0)
        total = routed.sum(1, keepdims=True)
        weight = np.where(total > 0.0, routed / np.maximum(total, 1e-9), sensed.weight)
        return self._codec.want(built)._replace(weight=weight)

    def _measure(self, sensed: Sensed) -> None:
        """Mean latency by Little's law; a backend without load slowly seems fast again."""
        latency_s = sensed.in_flight / np.maximum(sensed.rate_rps, 1e-9)
        seen = np.isfinite(latency_s) & (sensed.rate_rps > 0.0)
        latency_s = np.where(seen, latency_s, self._profiles.service_time_s)
        self._latency_s += self._gain * (latency_s - self._latency_s)
