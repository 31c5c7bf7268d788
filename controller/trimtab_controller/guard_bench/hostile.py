"""Policies that want the worst: each is a function of a state that it sees without any fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from trimtab_guard.limits import Limits
from trimtab_guard.model import Proposal, State, Want

ODD_COUNTS: tuple[Any, ...] = (-1, 10**12, math.nan, math.inf, -math.inf, 2.5, 1e300)
ODD_SHARES = (-0.1, math.nan, math.inf, 7.0, 1e-320, 1 + 1e-5)

Wants = tuple[Want, ...]
Policy = Callable[[Random, State, Limits, int], Wants]


def at_random(rng: Random, state: State, limits: Limits, _turn: int) -> Wants:
    """Anything that is possible."""
    most = max(backend.max_replicas for backend in limits.backends)
    return _wants(
        state,
        [rng.randint(0, most + 4) for _ in state.backends],
        [rng.random() + 1e-3 for _ in state.backends],
    )


def everything(_rng: Random, state: State, _limits: Limits, _turn: int) -> Wants:
    """Far more than the maximum, and the whole route on one backend."""
    return _wants(state, [1000] * len(state.backends), _all_on(state, 0))


def nothing(_rng: Random, state: State, _limits: Limits, _turn: int) -> Wants:
    """Scale to zero, on every tick."""
    return _wants(state, [0] * len(state.backends), _all_on(state, -1))


def the_least(_rng: Random, state: State, _limits: Limits, _turn: int) -> Wants:
    """One replica each, and the route as it is: looks harmless."""
    return _wants(state, [1] * len(state.backends), _present(state))


def oscillating(_rng: Random, state: State, limits: Limits, turn: int) -> Wants:
    """Between the extremes, now fast and now slow."""
    high = turn // (1 + turn // 20) % 2
    counts = [b.max_replicas if high else b.min_replicas for b in limits.backends]
    return _wants(state, counts, _all_on(state, -high))


def boundary(rng: Random, state: State, limits: Limits, _turn: int) -> Wants:
    """On every limit, one below and one above it."""
    counts, shares = [], []
    for here, bounds in zip(state.backends, limits.backends, strict=False):
        grown = here.wanted + max(limits.up_replicas, here.wanted * limits.up_percent // 100)
        shrunk = here.wanted - max(limits.down_replicas, here.wanted * limits.down_percent // 100)
        edges = (bounds.min_replicas, bounds.max_replicas, grown, shrunk, here.disruption_min)
        counts.append(max(0, rng.choice(edges) + rng.choice((-1, 0, 1))))
        move = rng.choice((-1, 0, 1)) * limits.weight_step + rng.choice((-1, 0, 1)) * 1e-6
        shares.append(min(1.0, max(0.0, here.weight + move)))
    return _wants(state, counts, shares)


def no_route(_rng: Random, state: State, _limits: Limits, _turn: int) -> Wants:
    """All weights zero."""
    return _wants(state, [here.wanted for here in state.backends], [0.0] * len(state.backends))


def impossible(rng: Random, state: State, _limits: Limits, _turn: int) -> Wants:
    """What cannot be a number of replicas or a share, in one place or in all."""
    counts: list[Any] = [here.wanted for here in state.backends]
    shares = _present(state)
    for index in range(len(counts)):
        if rng.random() < 0.6:
            counts[index] = rng.choice(ODD_COUNTS)
        if rng.random() < 0.6:
            shares[index] = rng.choice(ODD_SHARES)
    return _wants(state, counts, shares)


LEADERS: tuple[Policy, ...] = (
    *(at_random, everything, oscillating, oscillating, boundary),
    *(nothing, nothing, the_least, the_least),
)
"""What is in force for a while: always possible, or nothing would ever be scaled down."""
CHALLENGERS: tuple[Policy, ...] = (*LEADERS, no_route, no_route, impossible, impossible)


def disguised(rng: Random, proposal: Proposal) -> Proposal:
    """With something wrong about it that no number shows."""
    wants, now_s = proposal.backends, proposal.time_s
    lies: tuple[dict[str, Any], ...] = (
        {"service": "another"},
        {"time_s": now_s - rng.choice((0.5, 5, 50, 500))},
        {"time_s": now_s + rng.choice((0.5, 1.0, 1.1, 9999))},
        {"time_s": rng.choice((math.nan, math.inf, -math.inf, 0.0))},
        {"in_envelope": False},
        {"backends": ()},
        {"backends": wants[1:]},
        {"backends": (*wants, wants[0])},
        {"backends": (*wants[1:], wants[0]._replace(name="elsewhere"))},
        {"backends": wants[::-1]},
    )
    return proposal._replace(**rng.choice(lies))


def _wants(state: State, counts: Sequence[Any], shares: Sequence[float]) -> Wants:
    names = (backend.name for backend in state.backends)
    return tuple(map(Want, names, counts, shares))


def _present(state: State) -> list[float]:
    return [backend.weight for backend in state.backends]


def _all_on(state: State, index: int) -> list[float]:
    shares = [0.0] * len(state.backends)
    shares[index] = 1.0
    return shares
