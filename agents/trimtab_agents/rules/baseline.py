"""What the guard falls back on when it trusts neither the policy nor its inputs.

Requests per replica from the last readings, upward only: no memory, nothing learned, nothing
that could be wrong in an interesting way.
"""

from __future__ import annotations

import math

from trimtab_guard.model import BackendState, State, Want
from trimtab_sim.profile import BackendProfile, Profile


def baseline(state: State, profile: Profile, target: float = 0.6) -> tuple[Want, ...]:
    """Replicas that keep each backend at ``target`` utilisation, weights unchanged.

    Never fewer than wanted now, and no more than wanted now where a reading is not a number.
    ``KeyError`` when the profile lacks a backend of the state.
    """
    known = {backend.name: backend for backend in profile.backends}
    return tuple([_want(backend, known[backend.name], target) for backend in state.backends])


def _want(state: BackendState, profile: BackendProfile, target: float) -> Want:
    replica_rps = profile.concurrency / profile.service_time_s
    demand_rps = state.rate_rps.value + _backlog_rps(state, profile)
    replicas = state.wanted
    if math.isfinite(demand_rps):
        needed = math.ceil(demand_rps / (target * replica_rps))
        replicas = max(state.wanted, min(needed, profile.max_replicas))
    return Want(state.name, replicas, state.weight)


def _backlog_rps(state: BackendState, profile: BackendProfile) -> float:
    """The rate that clears what waits now by the time a new replica would be ready."""
    waiting = state.in_flight.value - profile.concurrency * state.ready
    return max(waiting, 0.0) / max(profile.startup_mean_s, profile.service_time_s)
