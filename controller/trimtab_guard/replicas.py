"""The limits on replicas, one small function each, and the order in which they apply.

The first two bring the want into its absolute range. Every limit after them only moves it
back towards the present: one where it would grow, the others where it would shrink. So whatever
they do together, a want never leaves the span between the present and the range, and a limit can
be read without the others in mind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from trimtab_guard.history import History, load_rps
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import BackendState, Reason, State
from trimtab_guard.reasons import Code
from trimtab_guard.senses import possible
from trimtab_guard.series import Peaks, Steps
from trimtab_guard.trust import Wish


class Sight(NamedTuple):
    """What the limits see of one backend: replicas, what its share needs, and the windows.

    ``recent`` is every level of the rate window; ``in_doubt``: no signal may be taken for a
    reason to shrink. The rest is only looked at where it would shrink: ``needed`` is how many its
    present load takes, at least one while it has a share; ``peak`` is the highest earlier
    proposal of the hold window, ``churn`` the starts + stops of the flap window;
    ``remembered``: the memory covers the whole hold window; ``dropped``: the load is far below
    what it was.
    """

    present: int
    recent: tuple[int, ...]
    in_doubt: bool
    backend: BackendLimits
    limits: Limits
    needed: int = 0
    peak: int = 0
    churn: int = 0
    remembered: bool = False
    disruption_min: int = 0
    rollout: bool = False
    dropped: bool = False


def min_replicas(want: int, at: Sight) -> int:
    """Never fewer than the backend's minimum; this needs no metric, so it holds in doubt too."""
    return max(want, at.backend.min_replicas)


def max_replicas(want: int, at: Sight) -> int:
    """Never more than the backend's maximum; in doubt what is already there may stay."""
    most = at.backend.max_replicas
    return min(want, max(most, at.present) if at.in_doubt else most)


def routed(want: int, at: Sight) -> int:
    """A share must leave before its replicas do: what the load takes stays, and the last one."""
    return max(want, min(at.present, at.needed, at.backend.max_replicas))


def disruption(want: int, at: Sight) -> int:
    """Not below what a PodDisruptionBudget allows: what stops there would be fought over."""
    return max(want, min(at.present, at.disruption_min))


def rollout(want: int, at: Sight) -> int:
    """No scale-down while replicas are being replaced: some of those there may not last."""
    return at.present if at.rollout else want


def no_history(want: int, at: Sight) -> int:
    """No scale-down before a full hold window has been watched without a hole."""
    return want if at.remembered else at.present


def hold(want: int, at: Sight) -> int:
    """Down only to the highest recent proposal; one above the maximum counts as the maximum."""
    return max(want, min(at.present, at.peak, at.backend.max_replicas))


def drop(want: int, at: Sight) -> int:
    """No scale-down after a sudden drop: in an outage those who wait will all come back."""
    return max(want, min(at.present, at.backend.max_replicas)) if at.dropped else want


def rate_up(want: int, at: Sight) -> int:
    """No more than the allowed growth above the lowest level of the rate window."""
    allowed = min(
        level + _step(level, at.limits.up_percent, at.limits.up_replicas) for level in at.recent
    )
    return min(want, max(at.present, allowed))


def rate_down(want: int, at: Sight) -> int:
    """No more than the allowed shrinking below the highest level of the rate window."""
    allowed = max(
        level - _step(level, at.limits.down_percent, at.limits.down_replicas) for level in at.recent
    )
    return max(want, min(at.present, allowed))


def flap(want: int, at: Sight) -> int:
    """Stop only what the budget could also start again, all the way up to the maximum.

    So the budget never stands in the way of capacity: it only ever refuses to scale down.
    """
    top = max(at.present, at.backend.max_replicas)
    spare = int(at.limits.flap_budget * top) - at.churn - (top - at.present)
    return max(want, at.present - max(0, spare // 2))


def _step(level: int, percent: int, replicas: int) -> int:
    return max(level * percent // 100, replicas)


Table = tuple[tuple[Code, Callable[[int, Sight], int]], ...]

RANGE: Table = (
    (Code.MIN_REPLICAS, min_replicas),
    (Code.MAX_REPLICAS, max_replicas),
)
GROWTH: Table = ((Code.RATE_UP, rate_up),)
SHRINKING: Table = (
    (Code.ROUTED, routed),
    (Code.DISRUPTION, disruption),
    (Code.ROLLOUT, rollout),
    (Code.NO_HISTORY, no_history),
    (Code.DROP, drop),
    (Code.HOLD, hold),
    (Code.RATE_DOWN, rate_down),
    (Code.FLAP, flap),
)


def limited(
    wish: Wish, state: State, limits: Limits, history: History, now_s: float
) -> tuple[tuple[int, ...], tuple[Reason, ...]]:
    """The replicas of every want after every limit, and a reason for each change."""
    counts: list[int] = []
    reasons: list[Reason] = []
    ranges = {backend.name: backend for backend in limits.backends}
    for want, backend in zip(wish.wants, state.backends, strict=True):
        count, its = int(want.replicas), ranges[backend.name]
        # What is there and in its range stays: that is where every limit pulls.
        if count == backend.wanted and its.min_replicas <= count <= its.max_replicas:
            counts.append(count)
            continue
        at = _sight(backend, its, wish.in_doubt, limits, history, now_s)
        count = _through(RANGE, count, at, reasons)
        if count > at.present:
            count = _through(GROWTH, count, at, reasons)
        elif count < at.present:
            at = _shrinking(at, state, backend, history, now_s)
            count = _through(SHRINKING, count, at, reasons)
        counts.append(count)
    return tuple(counts), tuple(reasons)


def _through(table: Table, count: int, at: Sight, reasons: list[Reason]) -> int:
    for code, limit in table:
        allowed = limit(count, at)
        if allowed != count:
            reasons.append(Reason(code, at.backend.name, count, allowed))
        count = allowed
    return count


def _sight(
    state: BackendState,
    backend: BackendLimits,
    in_doubt: bool,
    limits: Limits,
    history: History,
    now_s: float,
) -> Sight:
    present = int(state.wanted)
    steps = history.replicas.get(state.name, Steps())
    recent = (present, *map(int, steps.levels(now_s - limits.rate_window_s)))
    return Sight(present, recent, in_doubt, backend, limits)


def _shrinking(
    at: Sight, service: State, state: BackendState, history: History, now_s: float
) -> Sight:
    limits = at.limits
    steps = history.replicas.get(state.name, Steps())
    proposals = history.proposals.get(state.name, Peaks())
    return at._replace(
        needed=needed(state, at.backend, limits),
        peak=int(proposals.highest(now_s - limits.hold_s)),
        churn=int(steps.churn(now_s - limits.flap_window_s)),
        remembered=history.dark_s.highest(now_s - limits.hold_s) <= limits.memory_gap_s,
        disruption_min=int(state.disruption_min),
        rollout=service.rollout,
        dropped=_dropped(service, limits, history, now_s),
    )


def _dropped(state: State, limits: Limits, history: History, now_s: float) -> bool:
    return load_rps(state) < limits.drop_share * history.load.highest(now_s - limits.drop_s)


def needed(state: BackendState, backend: BackendLimits, limits: Limits) -> int:
    """How many replicas the load of a backend takes, with headroom; one while it has a share."""
    if state.weight == 0:
        return 0
    load_rps = state.rate_rps.value if possible(state.rate_rps.value) else 0.0
    return max(1, math.ceil(load_rps * (1 + limits.headroom) / backend.capacity_rps))
