"""Rates, the hold window and the memory, recomputed from what the stage showed and was asked.

Levels are the stage's own, as it showed them to a daemon that lived to write its tick down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from trimtab_controller.config import load
from trimtab_controller.memory import TickRecord
from trimtab_controller.protocols import Ask
from trimtab_guard.limits import Limits

from . import evidence
from .life import Life

# A stage rounds shares to five digits; clocks of one machine agree to a millisecond.
ROUNDING = 1e-4
INSTANT_S = 0.001

Levels = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Past:
    """All that a guard with a perfect memory would know."""

    limits: Limits
    replicas: dict[str, Levels]
    shares: dict[str, Levels]
    unready_s: tuple[float, ...]
    ticks: tuple[TickRecord, ...]


def limits_kept(life: Life) -> Iterator[str]:
    """No intent goes beyond a limit, counted across all deaths."""
    past = _past(life)
    floors = {p.time_s: {b.name: b.floor for b in p.backends} for p in life.proxy.polls}
    for decision in evidence.decisions(life.records):
        tick, now_s = decision.tick, decision.tick.verdict.time_s
        before = floors[tick.state.replicas_time_s]
        for ask in decision.intent.asks:
            if ask.floor is not None and ask.floor > ask.wanted:
                broken = rise(past, ask, now_s)
            elif ask.floor is not None and ask.floor < before[ask.backend]:
                broken = (*fall(past, ask, now_s), *unremembered(past, now_s))
            else:
                broken = ()
            shares = route(past, ask, now_s) if ask.weight is not None else ()
            yield from (f"{decision.intent.request_id}: {fault}" for fault in (*broken, *shares))


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


def route(past: Past, ask: Ask, now_s: float) -> Iterator[str]:
    since_s = now_s - past.limits.weight_interval_s
    if any(since_s <= time_s <= now_s for time_s in past.unready_s):
        return  # leaving a backend that cannot serve is not slowed down
    levels = _in_force(past.shares[ask.backend], since_s, now_s)
    step = past.limits.weight_step + ROUNDING
    if not max(levels) - step <= ask.weight <= min(levels) + step:
        yield f"{ask} moves too far from {levels}"


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
        replicas={name: sorted(levels) for name, levels in replicas.items()},
        shares={name: _levels(polls, name, "weight") for name in service.backends},
        unready_s=tuple(p.time_s for p in polls if any(not b.ready for b in p.backends)),
        ticks=ticks,
    )


def _levels(polls: Sequence[object], name: str, what: str) -> list[tuple[float, float]]:
    return [
        (poll.time_s, getattr(backend, what))
        for poll in polls
        for backend in poll.backends
        if backend.name == name
    ]
