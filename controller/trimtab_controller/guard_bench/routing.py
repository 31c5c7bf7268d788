"""Where shares of the route may go, as bounds on every share.

Written from the promises of SAFETY.md, and not from the guard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from trimtab_controller.guard_bench.moment import Moment
from trimtab_controller.guard_bench.past import in_force

EXACT = 1e-6
"""Shares this close are the same."""


class Span(NamedTuple):
    """Between which shares a backend may end up."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Routing:
    """Where shares may go: by a policy's wish (``free``), or only where they must (``held``)."""

    ready: tuple[bool, ...]
    free: tuple[Span, ...]
    held: tuple[Span, ...]
    most: tuple[float, ...]

    @classmethod
    def of(cls, at: Moment, doubt: str) -> Routing:
        """By what the ready replicas can carry, and how far shares have moved already."""
        ready = tuple(backend.ready > 0 for backend in at.state.backends)
        most = _most(at, doubt)
        shares = [backend.weight for backend in at.state.backends]
        total = sum(shares)
        if not total:  # before the first route is written
            anywhere = (Span(0.0, 1.0),) * len(shares)
            return cls(ready, anywhere, anywhere, most)
        present = [share / total for share in shares]
        if not any(ready):
            here_only = tuple(Span(share, share) for share in present)
            return cls(ready, here_only, here_only, most)
        excess = [max(0.0, share - top) for share, top in zip(present, most, strict=True)]
        spread = sum(excess)
        held = tuple(Span(s - gone, s + spread) for s, gone in zip(present, excess, strict=True))
        if spread > EXACT or abs(total - 1) > EXACT:
            step = at.limits.weight_step
            return cls(
                ready, tuple(Span(low - step, high + step) for low, high in held), held, most
            )
        names = (backend.name for backend in at.state.backends)
        return cls(ready, tuple(map(_reach, (at,) * len(present), names, present)), held, most)


NOWHERE = Routing((), (), (), ())


def _reach(at: Moment, name: str, share: float) -> Span:
    log, step = at.past.shares[name], at.limits.weight_step
    recent = [share, *in_force(log, at.now_s - at.limits.weight_interval_s)]
    return Span(min(share, max(recent) - step), max(share, min(recent) + step))


def _most(at: Moment, doubt: str) -> tuple[float, ...]:
    """The largest share that each can carry with headroom; in proportion where all is too little.

    A backend without a ready replica carries nothing, unless there is no other.
    """
    able = [here.ready * bounds.capacity_rps for here, bounds in at.pairs]
    rates = (backend.rate_rps.value for backend in at.state.backends)
    load_rps = sum(rates) if doubt == "none" else 0.0
    if not any(able):
        return (math.inf,) * len(able)
    if not load_rps:
        return tuple(math.inf if can else 0.0 for can in able)
    most = [can / load_rps / (1 + at.limits.headroom) for can in able]
    together = min(1.0, sum(most))
    return tuple(share / together for share in most)
