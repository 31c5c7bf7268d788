"""One moment of a life: is the present known, and what of it can be believed?

Written from the promises of SAFETY.md, and not from the guard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trimtab_controller.guard_bench.past import (
    SKEW_S,
    WHOLE,
    Past,
    is_count,
    readings,
    since,
    within,
)
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import BackendState, State

DROP_ROUNDING = 0.85
"""The guard compares loads of two digits."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A ``past`` that has seen ``state``, and the clock of the judge."""

    past: Past
    state: State
    limits: Limits
    now_s: float

    @property
    def pairs(self) -> list[tuple[BackendState, BackendLimits]]:
        """Every backend with its limits; only where the present is known."""
        bounds = {backend.name: backend for backend in self.limits.backends}
        return [(backend, bounds[backend.name]) for backend in self.state.backends]

    def is_known(self) -> bool:
        """Whether the present is listed, recent and possible."""
        state, limits = self.state, self.limits
        names = sorted(backend.name for backend in state.backends)
        return (
            state.service == limits.service
            and names == sorted(backend.name for backend in limits.backends)
            and self.now_s >= self.past.before_s - SKEW_S
            and all(
                -SKEW_S <= self.now_s - time_s <= limits.stale_intervals * limits.interval_s
                for time_s in (state.time_s, state.replicas_time_s)
            )
            and all(_is_possible(backend) for backend in state.backends)
        )

    def doubt(self) -> str:
        """Of the least trusted signal: none, held or blind."""
        worst = "none"
        for name, reading, _, needed in readings(self.state):
            signal = self.past.signals.get(name)
            believed = signal is not None and signal.value == reading.value
            if not needed and (believed or math.isnan(reading.value)):
                continue
            age_s = self.now_s - self.past.believed_s(name)
            if age_s > self.limits.blind_s:
                return "blind"
            stale = age_s > self.limits.stale_intervals * self.limits.interval_s
            if not believed or stale or self.past.is_frozen(name):
                worst = "held"
        return worst

    def remembers(self) -> bool:
        """Whether a full hold window was watched without a hole."""
        limits = self.limits
        gap_s = max(limits.gap_s, limits.stale_intervals * limits.interval_s)
        return all(dark_s <= gap_s for dark_s in since(self.past.dark, self.now_s - limits.hold_s))

    def fell(self) -> bool:
        """Whether the load is far below what it was."""
        load_rps = sum(backend.rate_rps.value for backend in self.state.backends)
        recent_rps = since(self.past.loads, self.now_s - self.limits.drop_s)
        return load_rps < DROP_ROUNDING * self.limits.drop_share * max(recent_rps, default=0.0)


def _is_possible(here: BackendState) -> bool:
    counts = (here.wanted, here.starting, here.ready, here.draining, here.disruption_min)
    return within(here.weight, WHOLE) and all(map(is_count, counts))
