"""The limits on the route: shares always sum to one, so they are limited together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trimtab_guard.history import History
from trimtab_guard.limits import Limits
from trimtab_guard.model import Reason, State
from trimtab_guard.reasons import Code
from trimtab_guard.series import Band
from trimtab_guard.trust import Wish

Shares = tuple[float, ...]

WHOLE: Shares = (1.0,)
"""The route of a service with one backend."""
ROUNDING = 1e-6
"""Shares this close are the same: routes are written in whole numbers."""


class Sight(NamedTuple):
    """What the limits see of the route, per backend in the order of the state.

    ``held``: it stays as it is. ``able`` is what the ready replicas can serve, in any unit,
    and ``most`` the share that each backend can carry. ``base`` is the present without what
    cannot be served or carried: where a move starts. ``lowest`` and ``highest`` are how far it
    may go, the last weight interval in mind.
    """

    held: bool
    able: Shares
    most: Shares
    base: Shares
    lowest: Shares
    highest: Shares


def weight_sum(wish: Shares, at: Sight) -> Shares:
    """Shares sum to one; the present may be all zero before the first route is written."""
    return normalised(wish) if any(wish) else at.base


def rollout(wish: Shares, at: Sight) -> Shares:
    """The route stays while replicas are being replaced, but for what cannot be served."""
    return at.base if at.held else wish


def not_ready(wish: Shares, at: Sight) -> Shares:
    """No share to a backend without a ready replica; while none is ready, nothing moves."""
    return served(wish, at.able) if any(at.able) else at.base


def capacity(wish: Shares, at: Sight) -> Shares:
    """No more load than the ready replicas can take; the rest goes to whoever has room."""
    return carried(wish, at.most)


def weight_step(wish: Shares, at: Sight) -> Shares:
    """The whole move is cut short where a share would go too far, so the sum stays one.

    Leaving a backend that cannot serve its load is part of ``base`` and is not slowed down.
    """
    reach = min(map(_reach, wish, at.base, at.lowest, at.highest))
    if reach >= 1:
        return wish
    return tuple(b + reach * (w - b) for w, b in zip(wish, at.base, strict=True))


def _reach(wish: float, base: float, lowest: float, highest: float) -> float:
    """How much of the way from ``base`` to ``wish`` one share may go, 0 to 1 or more."""
    if lowest - ROUNDING <= wish <= highest + ROUNDING:
        return 1.0
    return ((highest if wish > base else lowest) - base) / (wish - base)


def normalised(shares: Sequence[float]) -> Shares:
    """In the same proportions with sum one. ``shares`` are not all zero."""
    total = sum(shares)
    if math.isclose(total, 1.0, rel_tol=0.0, abs_tol=ROUNDING):
        return tuple(shares)
    return tuple(share / total for share in shares)


def served(shares: Shares, able: Shares) -> Shares:
    """``shares`` over the backends that can serve; by what they can where those had none."""
    kept = tuple(share if can else 0.0 for share, can in zip(shares, able, strict=True))
    return normalised(kept if any(kept) else able)


def carried(shares: Shares, most: Shares) -> Shares:
    """``shares`` with what is too much for one backend spread over the room of the others.

    In proportion to what each can carry when together they cannot carry everything.
    """
    if all(share <= limit + ROUNDING for share, limit in zip(shares, most, strict=True)):
        return shares
    if sum(most) <= 1:
        return normalised(most)
    cut = tuple(map(min, shares, most))
    room = tuple(limit - share for share, limit in zip(cut, most, strict=True))
    part = (1 - sum(cut)) / sum(room)
    return tuple(share + part * free for share, free in zip(cut, room, strict=True))


LIMITS: tuple[tuple[Code, Callable[[Shares, Sight], Shares]], ...] = (
    (Code.WEIGHT_SUM, weight_sum),
    (Code.ROLLOUT, rollout),
    (Code.NOT_READY, not_ready),
    (Code.CAPACITY, capacity),
    (Code.WEIGHT_STEP, weight_step),
)


def limited(
    wish: Wish, state: State, limits: Limits, history: History, now_s: float
) -> tuple[Shares, tuple[Reason, ...]]:
    """The share of every want after every limit, and a reason for each change."""
    shares = tuple(want.weight for want in wish.wants)
    present = tuple(backend.weight for backend in state.backends)
    # All of it is at the only backend: whatever that one can serve, there is no other.
    if shares == present == WHOLE:
        return shares, ()
    able = _able(state, limits)
    most = _most(able, state, limits, wish.in_doubt)
    base = carried(_base(present, able), most)
    # Where it is, it may stay, whatever the last weight interval saw.
    if shares == present == base:
        return shares, ()
    at = _sight(wish, state, able, most, base, limits, history, now_s)
    reasons: list[Reason] = []
    for code, limit in LIMITS:
        allowed = limit(shares, at)
        if allowed != shares:
            changes = zip(state.backends, shares, allowed, strict=True)
            reasons += [Reason(code, b.name, old, new) for b, old, new in changes if old != new]
        shares = allowed
    return shares, tuple(reasons)


def _sight(
    wish: Wish,
    state: State,
    able: Shares,
    most: Shares,
    base: Shares,
    limits: Limits,
    history: History,
    now_s: float,
) -> Sight:
    since_s = now_s - limits.weight_interval_s
    spans = [
        (share, *history.shares.get(backend.name, Band(share)).span(since_s, share))
        for share, backend in zip(base, state.backends, strict=True)
    ]
    step = 1.0 if wish.at_once else limits.weight_step
    return Sight(
        held=state.rollout and not wish.at_once,
        able=able,
        most=most,
        base=base,
        lowest=tuple(min(share, highest - step) for share, _, highest in spans),
        highest=tuple(max(share, lowest + step) for share, lowest, _ in spans),
    )


def _able(state: State, limits: Limits) -> Shares:
    """Requests per second that the ready replicas of each backend can serve."""
    replica_rps = {backend.name: backend.capacity_rps for backend in limits.backends}
    return tuple(backend.ready * replica_rps[backend.name] for backend in state.backends)


def _most(able: Shares, state: State, limits: Limits, in_doubt: bool) -> Shares:
    """The share of the present load that each backend can carry with headroom.

    Everything while the load is in doubt, or while nobody can serve anyway.
    """
    load_rps = 0.0 if in_doubt else sum(backend.rate_rps.value for backend in state.backends)
    if load_rps == 0.0 or not any(able):
        return (math.inf,) * len(able)
    return tuple(can / (1 + limits.headroom) / load_rps for can in able)


def _base(shares: Shares, able: Shares) -> Shares:
    if any(able):
        return served(shares, able)
    return normalised(shares if any(shares) else (1.0,) * len(shares))
