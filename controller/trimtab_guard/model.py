"""What passes from step to step: State -> Proposal -> Verdict.

Standard library only: these are the words that every layer above shares, and the
guard must be readable without knowing any of those layers. Named tuples, because thousands
of each are made every tick: a frozen dataclass takes twice as long.
Times are wall-clock seconds since the epoch, rates requests per second, shares in [0, 1].
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Reading(NamedTuple):
    """One measured value and the time of the event that it measures (not of its arrival)."""

    value: float
    time_s: float


UNREAD = Reading(math.nan, 0.0)
"""A signal that was never measured."""


class BackendState(NamedTuple):
    """One backend as the stage reports it and the sensor measures it.

    The counts and the weight are what *is* (for weight: what the data plane has
    acknowledged), never what was asked for; ``wanted`` is what was asked for.
    ``disruption_min`` is the fewest replicas that a PodDisruptionBudget allows;
    ``error_share`` of the answers were errors, where anybody counts them.
    """

    name: str
    wanted: int
    starting: int
    ready: int
    draining: int
    weight: float
    rate_rps: Reading
    in_flight: Reading
    disruption_min: int = 0
    error_share: Reading = UNREAD


class State(NamedTuple):
    """One service at one tick. ``replicas_time_s`` is the event time of counts and weights.

    ``rollout``: somebody is replacing the replicas right now.
    """

    service: str
    time_s: float
    replicas_time_s: float
    backends: tuple[BackendState, ...]
    p50_ms: Reading
    p95_ms: Reading
    miss_share: Reading
    rollout: bool = False


class Want(NamedTuple):
    """What one backend should have: replicas asked for, and its share of the route."""

    name: str
    replicas: int
    weight: float


class Proposal(NamedTuple):
    """What a policy wants for one service, in the order of the state's backends.

    ``why`` is one sentence with numbers for a human, and ``demand_rps`` the load that it is sized
    for by ``due_s``, when what is started now serves; the guard never reads them.
    ``in_envelope``: the state is like those that the policy was trained on.
    """

    service: str
    policy: str
    time_s: float
    backends: tuple[Want, ...]
    why: str = ""
    in_envelope: bool = True
    demand_rps: float = math.nan
    due_s: float = math.nan


class Reason(NamedTuple):
    """One change that the guard made: which limit, on which backend, from what to what."""

    code: str
    backend: str
    before: float
    after: float


class Verdict(NamedTuple):
    """The allowed decision. ``reasons`` is empty when the proposal passed untouched."""

    service: str
    time_s: float
    backends: tuple[Want, ...]
    reasons: tuple[Reason, ...] = ()
