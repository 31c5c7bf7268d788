"""Rates, the hold window and the memory, recomputed from what the stage showed and was asked.

Levels are the stage's own, as it showed them to a daemon that lived to write its tick down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from trimtab_controller.config import load
from trimtab_controller.memory import TickRecord
from trimtab_controller.protocols import Ask, Intent
from trimtab_guard.limits import Limits
from trimtab_guard.model import State

from . import evidence
from .life import Life

# A stage rounds shares to five digits; clocks of one machine agree to a millisecond.
ROUNDING = 1e-4
INSTANT_S = 0.001

Levels = Sequence[tuple[float, float]]


class Bill(NamedTuple):
    """What a write cost, and whether it was a rollback."""

    time_s: float
    cost: float
    undoes: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """All that a guard with a perfect memory would know; ``replica_rps`` is what one serves."""

    limits: Limits
    replica_rps: Mapping[str, float]
    replicas: dict[str, Levels]
    shares: dict[str, Levels]
    ticks: tuple[TickRecord, ...]


def limits_kept(life: Life) -> Iterator[str]:
    """No intent goes beyond a limit, counted across all deaths."""
    past = _past(life)
    floors = {p.time_s: {b.name: b.floor for b in p.backends} for p in life.proxy.polls}
    for decision in evidence.decisions(life.records):
        tick = decision.tick
        before = floors[tick.state.replicas_time_s]
        if decision.intent.undoes:
            yield from undone(decision.intent, before)
            continue
        now_s = tick.verdict.time_s
        for ask in decision.intent.asks:
            if ask.floor is not None and ask.floor > ask.wanted:
                broken = rise(past, ask, now_s)
            elif ask.floor is not None and ask.floor < before[ask.backend]:
                broken = (*fall(past, ask, now_s), *unremembered(past, now_s))
            else:
                broken = ()
            shares = route(past, ask, tick.state, now_s) if ask.weight is not None else ()
            yield from (f"{decision.intent.request_id}: {fault}" for fault in (*broken, *shares))


def paid_for(life: Life) -> Iterator[str]:
    """New replicas of all decisions cost no more than the budget, counted across all deaths."""
    config = load(life.config)
    prices = {b.name: b.price for service in config.services for b in service.spec.backends}
    applied = {write.request.request_id for write in life.proxy.writes if write.applied}
    bills = [
        Bill(d.intent.time_s, cost(d.intent, prices), d.intent.undoes)
        for d in evidence.decisions(life.records)
        if d.intent.request_id in applied
    ]
    yield from overspent(bills, config.cluster.budget, config.cluster.budget_window_s)


def cost(intent: Intent, prices: Mapping[str, float]) -> float:
    raises = ((ask.backend, (ask.floor or 0) - ask.wanted) for ask in intent.asks)
    return sum(prices[name] * replicas for name, replicas in raises if replicas > 0)


def overspent(bills: Sequence[Bill], budget: float, window_s: float) -> Iterator[str]:
    """A rollback may cost more than there is, and counts."""
    for bill in bills:
        spent = sum(b.cost for b in bills if bill.time_s - window_s <= b.time_s <= bill.time_s)
        if bill.cost and spent > budget + ROUNDING and not bill.undoes:
            yield f"{bill} makes it {spent} within {window_s} s"


def undone(intent: Intent, before: Mapping[str, int]) -> Iterator[str]:
    """What is taken back may move at once, and takes no floor away."""
    for ask in intent.asks:
        if ask.floor is not None and ask.floor < before[ask.backend]:
            yield f"{intent.request_id}: {ask} lowers a floor to undo a write"


def rise(past: Past, ask: Ask, now_s: float) -> Iterator[str]:
    limits, levels = past.limits, past.replicas[ask.backend]
    for level in _in_force(levels, now_s - limits.rate_window_s, now_s):
        if ask.floor > level + max(level * limits.up_percent // 100, limits.up_replicas):
            yield f"{ask} grows from {level} within {limits.rate_window_s} s"


def fall(past: Past, ask: Ask, now_s: float) -> Iterator[str]:
    limits, levels = past.limits, past.replicas[ask.backend]
    highest = max(_in_force(levels, now_s - limits.rate_window_s, now_s))
    allowed = highest - max(highest * limits.down_percent // 100, limits.down_replicas)
    if ask.floor < allowed:
        yield f"{ask} shrinks from {highest} within {limits.rate_window_s} s"
    peak = max(
        want.replicas
        for tick in past.ticks
        for want in tick.proposal.backends
        if want.name == ask.backend and now_s - limits.hold_s <= tick.time_s <= now_s
    )
    if ask.floor < peak:
        yield f"{ask} shrinks below the proposal of {peak} within {limits.hold_s} s"


def unremembered(past: Past, now_s: float) -> Iterator[str]:
    """Nothing shrinks unless a whole hold window was watched without a long hole."""
    since_s = now_s - past.limits.hold_s
    times = [tick.time_s for tick in past.ticks if tick.time_s <= now_s]
    if times[0] > since_s:
        yield f"shrinks {now_s - times[0]:.1f} s after a start without history"
    for earlier_s, later_s in pairwise(times):
        if later_s >= since_s and later_s - earlier_s > past.limits.memory_gap_s + INSTANT_S:
            yield f"shrinks {now_s - later_s:.1f} s after a hole of {later_s - earlier_s:.1f} s"


def route(past: Past, ask: Ask, state: State, now_s: float) -> Iterator[str]:
    """A share moves by steps, but what a backend cannot carry leaves it at once for the others."""
    shares, fits = {b.name: b.weight for b in state.backends}, carried(past, state)
    levels = _in_force(past.shares[ask.backend], now_s - past.limits.weight_interval_s, now_s)
    now, step = shares.pop(ask.backend), past.limits.weight_step
    spilled = sum(max(0.0, share - fits[name]) for name, share in shares.items())
    lowest = min(max(levels) - step, now, fits[ask.backend])
    highest = max(min(levels) + step, now + spilled)
    if not lowest - ROUNDING <= ask.weight <= highest + ROUNDING:
        yield f"{ask} moves too far from {levels}, with {spilled:.3f} too much for the others"


def carried(past: Past, state: State) -> dict[str, float]:
    """The share of the load that each backend's ready replicas can take, and headroom beyond it.

    Nothing without a ready one. No bound where nobody is ready, or while the load is not known.
    """
    load_rps = sum(backend.rate_rps.value for backend in state.backends)
    able = {b.name: b.ready * past.replica_rps[b.name] for b in state.backends}
    if not any(able.values()):
        return dict.fromkeys(able, math.inf)
    each = 1 / (1 + past.limits.headroom) / load_rps if load_rps > 0 else math.inf
    return {name: rps * each if rps else 0.0 for name, rps in able.items()}


def _in_force(levels: Levels, since_s: float, now_s: float) -> list[float]:
    """Every level within the window, and the one that held at its start."""
    older = [level for time_s, level in levels if time_s < since_s + INSTANT_S]
    return older[-1:] + [level for t, level in levels if since_s + INSTANT_S <= t <= now_s]


def _past(life: Life) -> Past:
    (service,) = load(life.config).services
    ticks = tuple(tick for tick in evidence.ticks(life.records) if tick.state and tick.proposal)
    remembered = {tick.state.replicas_time_s for tick in evidence.ticks(life.records) if tick.state}
    polls = [poll for poll in life.proxy.polls if poll.time_s in remembered]
    replicas = {name: _levels(polls, name, "wanted") for name in service.backends}
    applied = {write.request.request_id for write in life.proxy.writes if write.applied}
    for decision in evidence.decisions(life.records):
        for ask in decision.intent.asks if decision.intent.request_id in applied else ():
            if ask.floor is not None and ask.floor > ask.wanted:
                replicas[ask.backend].append((decision.intent.time_s, ask.floor))
    return Past(
        limits=service.limits,
        replica_rps={b.name: b.concurrency / b.service_time_s for b in service.spec.backends},
        replicas={name: sorted(levels) for name, levels in replicas.items()},
        shares={name: _levels(polls, name, "weight") for name in service.backends},
        ticks=ticks,
    )


def _levels(polls: Sequence[object], name: str, what: str) -> list[tuple[float, float]]:
    return [
        (poll.time_s, getattr(backend, what))
        for poll in polls
        for backend in poll.backends
        if backend.name == name
    ]
