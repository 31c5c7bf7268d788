"""What the present allows, as bounds on every replica count and share.

Written from the promises of SAFETY.md, and not from the guard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from trimtab_controller.guard_bench.ceilings import Means
from trimtab_controller.guard_bench.past import (
    SKEW_S,
    WHOLE,
    Log,
    Past,
    in_force,
    is_count,
    readings,
    since,
    within,
)
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import BackendState, State

EXACT = 1e-6
"""Shares this close are the same."""
DROP_ROUNDING = 0.85
"""The guard compares loads of two digits."""


class Span(NamedTuple):
    """Between which shares a backend may end up."""

    low: float
    high: float


class Scaling(NamedTuple):
    """What one backend's replicas may become: at least every floor, at most every ceiling."""

    floors: dict[str, int]
    ceilings: dict[str, int]


@dataclass(frozen=True, slots=True)
class Routing:
    """Where shares may go: by a policy's wish (``free``), or only where they must (``held``)."""

    ready: tuple[bool, ...]
    free: tuple[Span, ...]
    held: tuple[Span, ...]
    most: tuple[float, ...]


NOWHERE = Routing((), (), (), ())


@dataclass(frozen=True, slots=True)
class Scene:
    """One state as a perfect memory sees it. ``doubt`` is none, held or blind.

    Where the present is not ``known`` there is nothing more to say.
    """

    past: Past
    state: State
    limits: Limits
    now_s: float
    known: bool
    doubt: str
    scaling: tuple[Scaling, ...]
    routing: Routing
    means: Means

    @classmethod
    def of(cls, past: Past, state: State, limits: Limits, now_s: float, means: Means) -> Scene:
        """After ``past`` has seen ``state``."""
        if not _is_known(past, state, limits, now_s):
            return cls(past, state, limits, now_s, False, "none", (), NOWHERE, means)
        doubt = _doubt(past, state, limits, now_s)
        bounds = {backend.name: backend for backend in limits.backends}
        pairs = [(backend, bounds[backend.name]) for backend in state.backends]
        still = doubt != "none" or state.rollout or not _remembers(past, limits, now_s)
        fell = _fell(past, state, limits, now_s)
        scaling = tuple(_scaling(past, *p, limits, now_s, doubt, still, fell) for p in pairs)
        routing = _routing(past, pairs, limits, now_s, doubt)
        return cls(past, state, limits, now_s, True, doubt, scaling, routing, means)


def _is_known(past: Past, state: State, limits: Limits, now_s: float) -> bool:
    names = sorted(backend.name for backend in state.backends)
    return (
        state.service == limits.service
        and names == sorted(backend.name for backend in limits.backends)
        and now_s >= past.before_s - SKEW_S
        and all(
            -SKEW_S <= now_s - time_s <= limits.stale_intervals * limits.interval_s
            for time_s in (state.time_s, state.replicas_time_s)
        )
        and all(within(b.weight, WHOLE) and all(map(is_count, _counts(b))) for b in state.backends)
    )


def _counts(here: BackendState) -> tuple[int, ...]:
    return here.wanted, here.starting, here.ready, here.draining, here.disruption_min


def _doubt(past: Past, state: State, limits: Limits, now_s: float) -> str:
    worst = "none"
    for name, reading, _, needed in readings(state):
        signal = past.signals.get(name)
        believed = signal is not None and signal.value == reading.value
        if not needed and (believed or math.isnan(reading.value)):
            continue
        age_s = now_s - past.believed_s(name)
        if age_s > limits.blind_s:
            return "blind"
        stale = age_s > limits.stale_intervals * limits.interval_s
        if not believed or stale or past.is_frozen(name):
            worst = "held"
    return worst


def _remembers(past: Past, limits: Limits, now_s: float) -> bool:
    gap_s = max(limits.gap_s, limits.stale_intervals * limits.interval_s)
    return all(dark_s <= gap_s for dark_s in since(past.dark, now_s - limits.hold_s))


def _fell(past: Past, state: State, limits: Limits, now_s: float) -> bool:
    load_rps = sum(backend.rate_rps.value for backend in state.backends)
    highest_rps = max(since(past.loads, now_s - limits.drop_s), default=0.0)
    return load_rps < DROP_ROUNDING * limits.drop_share * highest_rps


def _scaling(
    past: Past,
    here: BackendState,
    bounds: BackendLimits,
    limits: Limits,
    now_s: float,
    doubt: str,
    still: bool,
    fell: bool,
) -> Scaling:
    present, most = here.wanted, bounds.max_replicas
    log = past.levels[here.name]
    levels = [present, *in_force(log, now_s - limits.rate_window_s)]
    peak = max(since(past.asked[here.name], now_s - limits.hold_s), default=0)
    floors = {
        "never below the range": bounds.min_replicas,
        "doubt, rollouts and no memory take nothing away": present if still else 0,
        "a drop takes nothing away": min(present, most) if fell else 0,
        "down only to the highest proposal": int(min(peak, most)),
        "not below a disruption budget": here.disruption_min,
        "a share leaves before its replicas": min(_needed(here, limits, bounds, doubt), most),
        "shrinks at the allowed rate": _lowest(levels, limits),
        "a stop leaves room for the way back": _affordable(past, here, most, limits, now_s),
    }
    return Scaling(
        floors={name: min(present, floor) for name, floor in floors.items()},
        ceilings={
            "never above the range": max(present, most),
            "grows at the allowed rate": max(present, _highest(levels, limits)),
        },
    )


def _highest(levels: Sequence[float], limits: Limits) -> int:
    steps = (max(level * limits.up_percent // 100, limits.up_replicas) for level in levels)
    return int(min(level + step for level, step in zip(levels, steps, strict=True)))


def _lowest(levels: Sequence[float], limits: Limits) -> int:
    steps = (max(level * limits.down_percent // 100, limits.down_replicas) for level in levels)
    return int(max(level - step for level, step in zip(levels, steps, strict=True)))


def _needed(here: BackendState, limits: Limits, bounds: BackendLimits, doubt: str) -> int:
    if here.weight == 0:
        return 0
    load_rps = here.rate_rps.value if doubt == "none" else 0.0
    return max(1, math.ceil(load_rps * (1 + limits.headroom) / bounds.capacity_rps))


def _affordable(past: Past, here: BackendState, most: int, limits: Limits, now_s: float) -> int:
    """The fewest for which churn, this stop and all starts up to the top fit in the budget."""
    levels = list(in_force(past.levels[here.name], now_s - limits.flap_window_s))
    churn = sum(abs(after - before) for after, before in pairwise(levels))
    top = max(here.wanted, most)
    return math.ceil((churn + here.wanted + top - limits.flap_budget * top) / 2)


def _routing(
    past: Past,
    pairs: Sequence[tuple[BackendState, BackendLimits]],
    limits: Limits,
    now_s: float,
    doubt: str,
) -> Routing:
    ready = tuple(here.ready > 0 for here, _ in pairs)
    most = _most(pairs, limits, doubt)
    total = sum(here.weight for here, _ in pairs)
    if not total:  # before the first route is written
        anywhere = tuple(Span(0.0, 1.0) for _ in pairs)
        return Routing(ready, anywhere, anywhere, most)
    present = [here.weight / total for here, _ in pairs]
    if not any(ready):
        here_only = tuple(Span(share, share) for share in present)
        return Routing(ready, here_only, here_only, most)
    excess = [max(0.0, share - top) for share, top in zip(present, most, strict=True)]
    spread = sum(excess)
    held = tuple(Span(s - gone, s + spread) for s, gone in zip(present, excess, strict=True))
    if spread > EXACT or abs(total - 1) > EXACT:
        step = limits.weight_step
        free = tuple(Span(span.low - step, span.high + step) for span in held)
    else:
        logs = (past.shares[here.name] for here, _ in pairs)
        free = tuple(_reach(s, log, limits, now_s) for s, log in zip(present, logs, strict=True))
    return Routing(ready, free, held, most)


def _reach(share: float, log: Log, limits: Limits, now_s: float) -> Span:
    recent = [share, *in_force(log, now_s - limits.weight_interval_s)]
    low, high = max(recent) - limits.weight_step, min(recent) + limits.weight_step
    return Span(min(share, low), max(share, high))


def _most(
    pairs: Sequence[tuple[BackendState, BackendLimits]], limits: Limits, doubt: str
) -> tuple[float, ...]:
    """The largest share that each can carry with headroom; in proportion where all is too little.

    A backend without a ready replica carries nothing, unless there is no other.
    """
    able = [here.ready * bounds.capacity_rps for here, bounds in pairs]
    load_rps = 0.0 if doubt != "none" else sum(here.rate_rps.value for here, _ in pairs)
    if not any(able):
        return (math.inf,) * len(able)
    if not load_rps:
        return tuple(math.inf if can else 0.0 for can in able)
    most = [can / load_rps / (1 + limits.headroom) for can in able]
    together = min(1.0, sum(most))
    return tuple(share / together for share in most)
