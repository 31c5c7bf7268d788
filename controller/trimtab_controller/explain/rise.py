"""When misses rose: the time with the most of them beyond what the SLO allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

from trimtab_controller.explain.hindsight import load_rps
from trimtab_guard.model import State

# Fewer requests than these, beyond what is allowed, are chance.
LEAST_EXCESS = 5.0
# So many times the misses before are a rise, and no more of the same.
TIMES_BEFORE = 2.0
LEAST_TICKS = 3


@dataclass(frozen=True, slots=True)
class Rise:
    """Misses from ``since_s`` to ``until_s``, and those before, as shares of the requests.

    ``before`` is NaN where nothing was seen before.
    """

    since_s: float
    until_s: float
    before: float
    share: float


@dataclass(frozen=True, slots=True)
class Missed:
    """One tick: its requests, and how many of them missed."""

    time_s: float
    requests: float
    missed: float


def rise(states: Sequence[State], allowed: float) -> Rise | None:
    """The latest rise above ``allowed``, a share; ``None`` when misses have not risen.

    States where misses or load were not measured tell nothing.
    """
    ticks = [tick for tick in _missed(states) if isfinite(tick.missed)]
    span = _most_excess(ticks, allowed)
    if span is None:
        return None
    first, last = span
    during, earlier = ticks[first : last + 1], ticks[:first]
    before = _share(earlier) if len(earlier) >= LEAST_TICKS else nan
    share = _share(during)
    if isfinite(before) and share < TIMES_BEFORE * before:
        return None
    return Rise(during[0].time_s, during[-1].time_s, before, share)


def _missed(states: Sequence[State]) -> list[Missed]:
    found, last_s = [], nan
    for state in states:
        interval_s = state.time_s - last_s if isfinite(last_s) else 0.0
        requests = load_rps(state) * interval_s
        found.append(Missed(state.time_s, requests, requests * state.miss_share.value))
        last_s = state.time_s
    return found


def _most_excess(ticks: Sequence[Missed], allowed: float) -> tuple[int, int] | None:
    """Kadane's algorithm: the run of ticks whose misses beyond the allowed ones sum to most."""
    best, span, total, first = LEAST_EXCESS, None, 0.0, 0
    for index, tick in enumerate(ticks):
        if total <= 0.0:
            total, first = 0.0, index
        total += tick.missed - allowed * tick.requests
        if total > best:
            best, span = total, (first, index)
    return span


def _share(ticks: Sequence[Missed]) -> float:
    requests = sum(tick.requests for tick in ticks)
    return sum(tick.missed for tick in ticks) / requests if requests else nan
