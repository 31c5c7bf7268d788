"""What replicas may become, as bounds on every count.

Written from the promises of SAFETY.md, and not from the guard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from trimtab_controller.guard_bench.moment import Moment
from trimtab_controller.guard_bench.past import in_force, since
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import BackendState


class Scaling(NamedTuple):
    """What one backend's replicas may become: at least every floor, at most every ceiling."""

    floors: dict[str, int]
    ceilings: dict[str, int]

    @classmethod
    def of(cls, at: Moment, here: BackendState, bounds: BackendLimits, doubt: str) -> Scaling:
        """What is there may always stay, so a floor is never above it, nor a ceiling below."""
        present, most, limits = here.wanted, bounds.max_replicas, at.limits
        since_s = at.now_s - limits.rate_window_s
        levels = [present, *in_force(at.past.levels[here.name], since_s)]
        still = doubt != "none" or at.state.rollout or not at.remembers()
        floors = {
            "never below the range": bounds.min_replicas,
            "doubt, rollouts and no memory take nothing away": present if still else 0,
            "a drop takes nothing away": most if at.fell() else 0,
            "down only to the highest proposal": min(_peak(at, here.name), most),
            "not below a disruption budget": here.disruption_min,
            "a share leaves before its replicas": min(_needed(here, limits, bounds, doubt), most),
            "shrinks at the allowed rate": _lowest(levels, limits),
            "a stop leaves room for the way back": _affordable(at, here, most),
        }
        ceilings = {
            "never above the range": most,
            "grows at the allowed rate": _highest(levels, limits),
        }
        return cls(
            {name: min(present, floor) for name, floor in floors.items()},
            {name: max(present, ceiling) for name, ceiling in ceilings.items()},
        )


def _peak(at: Moment, name: str) -> int:
    return int(max(since(at.past.asked[name], at.now_s - at.limits.hold_s), default=0))


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


def _affordable(at: Moment, here: BackendState, most: int) -> int:
    """The fewest for which churn, this stop and all starts up to the top fit in the budget."""
    levels = list(in_force(at.past.levels[here.name], at.now_s - at.limits.flap_window_s))
    churn = sum(abs(after - before) for after, before in pairwise(levels))
    top = max(here.wanted, most)
    return math.ceil((churn + here.wanted + top - at.limits.flap_budget * top) / 2)
