"""The name of every limit: what a verdict, the journal and SAFETY.md call it.

A reason's ``before`` and ``after`` are the replicas or shares that a limit changed. Where a
whole state or proposal is refused they are what was found and what would have been allowed.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """One member per limit, in the order in which the guard applies them."""

    # The present is not known: the verdict names no backend, nothing may be written.
    NOT_LISTED = "NOT_LISTED"  # mentions of a service or backend that the limits do not list
    CLOCK = "CLOCK"  # now, and the later time that was already seen
    UNSEEN = "UNSEEN"  # age of the counts, mentions of a backend, or an impossible count

    # The proposal is broken: the baseline takes over, upward only.
    MISMATCH = "MISMATCH"  # mentions of a service or backend
    BAD_VALUE = "BAD_VALUE"  # impossible replicas or share
    OUT_OF_ORDER = "OUT_OF_ORDER"  # time of the proposal, and the time that it contradicts
    EXPIRED = "EXPIRED"  # age of the proposal
    ENVELOPE = "ENVELOPE"  # seconds since the last proposal from outside of it

    # A signal is in doubt: hold, and after a while the baseline, upward only.
    STALE = "STALE"
    FROZEN = "FROZEN"
    INVALID = "INVALID"
    BLIND = "BLIND"
    ROUTE_HELD = "ROUTE_HELD"

    # Replicas.
    MIN_REPLICAS = "MIN_REPLICAS"
    MAX_REPLICAS = "MAX_REPLICAS"
    ROUTED = "ROUTED"
    DISRUPTION = "DISRUPTION"
    ROLLOUT = "ROLLOUT"
    NO_HISTORY = "NO_HISTORY"
    DROP = "DROP"
    HOLD = "HOLD"
    RATE_UP = "RATE_UP"
    RATE_DOWN = "RATE_DOWN"
    FLAP = "FLAP"

    # Route.
    WEIGHT_SUM = "WEIGHT_SUM"
    NOT_READY = "NOT_READY"
    CAPACITY = "CAPACITY"
    WEIGHT_STEP = "WEIGHT_STEP"

    # All services together.
    BUDGET = "BUDGET"
    CROWD = "CROWD"  # services that would change at once, and how many may

    # After an action: what it changed is put back.
    REGRESSION = "REGRESSION"

    # Authority: the mode that was set is lowered, to shadow or to approve.
    STOPPED = "STOPPED"
    FOREIGN_WRITER = "FOREIGN_WRITER"
    DEPOSED = "DEPOSED"
    NOT_LEADING = "NOT_LEADING"
    LATE = "LATE"
    LEASE = "LEASE"
    COOLING = "COOLING"
    FREEZE = "FREEZE"
    CLOSED = "CLOSED"
