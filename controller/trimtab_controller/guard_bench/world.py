"""Services as they really are, sensors that lie about them, and limits of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from trimtab_guard.limits import BackendLimits, ClusterLimits, Limits
from trimtab_guard.model import BackendState, Reading, State, Want

LOADS_RPS = (0.0, 5.0, 30.0, 70.0, 100.0, 100.0, 300.0)
SHORT = {
    "rate_window_s": 10.0,
    "flap_window_s": 60.0,
    "hold_s": 10.0,
    "gap_s": 6.0,
    "weight_interval_s": 8.0,
    "blind_s": 60.0,
    "drop_s": 15.0,
    "envelope_s": 6.0,
    "verify_s": 40.0,
    "cool_s": 20.0,
    "lease_s": 60.0,
}
"""Windows through which a life of some hundred ticks passes many times."""
EXTREMES: dict[str, tuple[float, ...]] = {
    "up_percent": (0, 100, 1000),
    "up_replicas": (0, 1, 4),
    "down_percent": (0, 10, 50, 100),
    "down_replicas": (0, 1, 3),
    "flap_budget": (2, 2.5, 1000),
    "drop_share": (0, 0.4, 1),
    "weight_step": (0, 0.1, 0.3, 1),
    "headroom": (0, 0.2, 1, 10),
    "stale_intervals": (1, 3),
    "blind_s": (20, 600),
    "verify_margin": (0.001, 0.02),
}


@dataclass(slots=True)
class Pool:
    """One backend; ``broken_ticks``: for how long yet it has no ready replica."""

    name: str
    wanted: int
    ready: int
    weight: float
    broken_ticks: int = 0

    def tick(self, rng: Random) -> None:
        """Replicas start one or two at a time, and stop at once."""
        if self.broken_ticks:
            self.broken_ticks -= 1
            self.ready = 0
        elif rng.random() < 0.003:
            self.broken_ticks = rng.randint(1, 15)
        else:
            self.ready = min(self.wanted, self.ready + rng.randint(0, 2))


@dataclass(slots=True)
class Service:
    """One service, its limits, and for how many ticks yet what is wrong with it."""

    name: str
    limits: Limits
    pools: list[Pool]
    load_rps: float = 100.0
    rollout_ticks: int = 0
    disruption_min: int = 0
    fault: str = ""
    fault_ticks: int = 0
    shown: list[State] = field(default_factory=list)

    def tick(self, rng: Random) -> None:
        """Load, replicas, people and sensors go their own ways."""
        for pool in self.pools:
            pool.tick(rng)
        self.rollout_ticks = max(0, self.rollout_ticks - 1)
        self.fault_ticks = max(0, self.fault_ticks - 1)
        chance = rng.random()
        if chance < 0.03:
            self.load_rps = rng.choice(LOADS_RPS)
        elif chance < 0.035:
            self.rollout_ticks = rng.randint(1, 15)
        elif chance < 0.04:
            self.disruption_min = rng.choice((0, 0, 0, 0, 1, 3, 100))
        elif chance < 0.05:
            self._meddle(rng)
        elif chance < 0.08 and not self.fault_ticks:
            self.fault, self.fault_ticks = rng.choice(tuple(FAULTS)), rng.choice((1, 1, 3, 20, 60))

    def state(self, now_s: float) -> State:
        """The truth."""
        miss_share = 0.0 if self.load_rps < 200 else 0.3
        return State(
            service=self.name,
            time_s=now_s,
            replicas_time_s=now_s,
            backends=tuple(self._backend(pool, now_s) for pool in self.pools),
            p50_ms=Reading(40.0, now_s),
            p95_ms=Reading(90.0, now_s),
            miss_share=Reading(miss_share, now_s),
            rollout=self.rollout_ticks > 0,
        )

    def sensed(self, rng: Random, truth: State) -> State:
        """What the guard is shown: the truth, or what today's fault makes of it."""
        shown = FAULTS[self.fault](rng, truth, self) if self.fault_ticks else truth
        self.shown = [*self.shown[-4:], shown]
        return shown

    def present(self) -> tuple[Want, ...]:
        """What is there."""
        return tuple(Want(pool.name, pool.wanted, pool.weight) for pool in self.pools)

    def _backend(self, pool: Pool, now_s: float) -> BackendState:
        rate_rps = self.load_rps * pool.weight
        moving = bool(rate_rps)
        return BackendState(
            name=pool.name,
            wanted=pool.wanted,
            starting=max(0, pool.wanted - pool.ready),
            ready=pool.ready,
            draining=0,
            weight=pool.weight,
            rate_rps=Reading(rate_rps + moving * (now_s % 7), now_s),
            in_flight=Reading(rate_rps * 0.05 + moving * (now_s % 3), now_s),
            disruption_min=self.disruption_min,
        )

    def _meddle(self, rng: Random) -> None:
        """Somebody else scales, or edits the route."""
        pool = rng.choice(self.pools)
        if rng.random() < 0.7:
            pool.wanted = rng.randint(0, 14)
            return
        odd = rng.choice(((0.0,), (1.0,), (0.3,), (1.0, 0.0), (0.25, 0.75)))
        for index, each in enumerate(self.pools):
            each.weight = odd[index % len(odd)]


Fault = Callable[[Random, State, Service], State]


def _spoilt(state: State, **fields: Any) -> State:
    """With other fields of its last backend."""
    *others, last = state.backends
    return state._replace(backends=(*others, last._replace(**fields)))


def _rate(value: float, age_s: float = 0.0) -> Fault:
    return lambda _rng, state, _of: _spoilt(state, rate_rps=Reading(value, state.time_s - age_s))


def _late(ticks: tuple[int, ...]) -> Fault:
    """With an event time so many ticks ago."""

    def fault(rng: Random, state: State, of: Service) -> State:
        rate_rps, age_s = state.backends[-1].rate_rps, rng.choice(ticks) * of.limits.interval_s
        return _spoilt(state, rate_rps=rate_rps._replace(time_s=state.time_s - age_s))

    return fault


def _field(**fields: Any) -> Fault:
    return lambda _rng, state, _of: _spoilt(state, **fields)


def _top(**fields: Any) -> Fault:
    return lambda _rng, state, _of: state._replace(**fields)


def _old_counts(rng: Random, state: State, _of: Service) -> State:
    return state._replace(replicas_time_s=state.time_s - rng.choice((-5, -0.5, 1, 2, 3, 4, 60)))


def _again(rng: Random, state: State, of: Service) -> State:
    """An older state comes once more, or late."""
    return rng.choice(of.shown) if of.shown else state


def _other_backends(rng: Random, state: State, _of: Service) -> State:
    first, rest = state.backends[0], state.backends[1:]
    sets = (rest, (*state.backends, first), (first._replace(name="stray"), *rest))
    return state._replace(backends=rng.choice((*sets, state.backends[::-1])))


FAULTS: dict[str, Fault] = {
    "": lambda _rng, state, _of: state,
    "nan": _rate(math.nan),
    "infinite": _rate(math.inf),
    "counter reset": _rate(-3.0),
    "huge": _rate(1e300),
    "dead": _rate(0.0, age_s=700),
    "late": _late((5,)),
    "out of order": _late((1, 2, 8)),
    "frozen": _rate(42.0),
    "frozen, too": _rate(17.0),
    "silent": _rate(0.0),
    "ahead": lambda _rng, state, _of: _spoilt(state, in_flight=Reading(4.0, state.time_s + 5)),
    "bad latency": lambda _rng, state, _of: state._replace(p95_ms=Reading(-1.0, state.time_s)),
    "no latency": lambda _rng, state, _of: state._replace(p50_ms=Reading(math.nan, state.time_s)),
    "bad misses": lambda _rng, state, _of: state._replace(miss_share=Reading(2.0, state.time_s)),
    "bad count": _field(wanted=-2),
    "part of a replica": _field(ready=2.5),
    "infinite count": _field(draining=math.inf),
    "bad share": _field(weight=math.nan),
    "too large a share": _field(weight=1.5),
    "bad budget": _field(disruption_min=math.nan),
    "another service": _top(service="another"),
    "no time": _top(time_s=math.nan),
    "old counts": _old_counts,
    "again": _again,
    "other backends": _other_backends,
}


def make_service(rng: Random, name: str, is_slow: bool) -> Service:
    """With one to three backends and limits of any kind."""
    names = ("od", "spot", "zone")[: rng.choice((1, 2, 2, 3))]
    backends = tuple(_bounds(rng, backend) for backend in names)
    count = rng.randint(0, 6)
    pools = [Pool(backend, count, count, 1 / len(names)) for backend in names]
    return Service(name, make_limits(rng, name, backends, is_slow), pools)


def make_limits(
    rng: Random, name: str, backends: tuple[BackendLimits, ...], is_slow: bool
) -> Limits:
    """The defaults at a slow tick, or short windows; some limits at an extreme."""
    fields: dict[str, Any] = {"interval_s": 5.0} if is_slow else dict(SHORT)
    for limit in rng.sample(sorted(EXTREMES), rng.randint(0, 3)):
        fields[limit] = rng.choice(EXTREMES[limit])
    return Limits(name, backends, **fields)


def make_cluster_limits(rng: Random) -> ClusterLimits:
    """None at all, or tight ones."""
    if rng.random() < 0.3:
        return ClusterLimits()
    return ClusterLimits(
        budget_window_s=rng.choice((10.0, 60.0)),
        budget=rng.choice((0.0, 3.0, 20.0)),
        change_window_s=rng.choice((5.0, 60.0)),
        services_at_once=rng.choice((1, 1, 2)),
    )


def _bounds(rng: Random, name: str) -> BackendLimits:
    least = rng.choice((0, 1, 1, 3))
    most = rng.choice((max(1, least), 5, 10, 10, 40))
    capacity_rps = rng.choice((1e9, 1e9, 10.0, 30.0, 70.0))
    return BackendLimits(name, least, most, capacity_rps, rng.choice((0.5, 1.0, 1.5)))
