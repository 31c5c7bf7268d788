"""Builders for guard tests: a calm service with two backends and a full memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import BackendState, Proposal, Reading, State, Verdict, Want

NOW_S = 1_700_000_000.0
NAMES = ("od", "spot")


def limits(minimum: int = 1, maximum: int = 10, **fields: Any) -> Limits:
    backends = tuple(BackendLimits(name, minimum, maximum) for name in NAMES)
    return Limits(**{"service": "web", "backends": backends} | fields)


def backend(name: str, time_s: float = NOW_S, **fields: Any) -> BackendState:
    """5 ready replicas with half of the route and a little load that moves with time."""
    calm: dict[str, Any] = {
        "wanted": 5,
        "starting": 0,
        "ready": 5,
        "draining": 0,
        "weight": 0.5,
        "rate_rps": Reading(100.0 + time_s % 7, time_s),
        "in_flight": Reading(5.0 + time_s % 3, time_s),
    }
    return BackendState(**{"name": name} | calm | fields)


def state(time_s: float = NOW_S, od: Any = None, spot: Any = None, **fields: Any) -> State:
    """A state at ``time_s``; ``od`` and ``spot`` are fields of the backends to set."""
    calm: dict[str, Any] = {
        "service": "web",
        "time_s": time_s,
        "replicas_time_s": time_s,
        "backends": (backend("od", time_s, **(od or {})), backend("spot", time_s, **(spot or {}))),
        "p50_ms": Reading(40.0, time_s),
        "p95_ms": Reading(90.0, time_s),
        "miss_share": Reading(0.0, time_s),
    }
    return State(**calm | fields)


def proposal(
    od: Any = 5,
    spot: Any = 5,
    shares: tuple[float, float] = (0.5, 0.5),
    time_s: float = NOW_S,
    **fields: Any,
) -> Proposal:
    wants = (Want("od", od, shares[0]), Want("spot", spot, shares[1]))
    return Proposal(
        **{"service": "web", "policy": "test", "time_s": time_s, "backends": wants} | fields
    )


def ages(span_s: int = 900) -> list[int]:
    """From ``span_s`` seconds ago to 5 s ago: few ticks for long, then one every 5 s."""
    return [*range(span_s, 60, -30), *range(min(span_s, 60), 0, -5)]


def watched(*states: State, asked: Mapping[str, Any] | None = None, span_s: int = 900) -> History:
    """A memory of ``span_s`` calm seconds up to just before NOW_S, then of ``states``.

    All that time a proposal was in force for the replicas ``asked`` (default 1 each).
    """
    history = History.empty(NOW_S - span_s)
    calm = [state(NOW_S - age_s) for age_s in ages(span_s)]
    for seen in (*calm, *states):
        wish = proposal(**{"od": 1, "spot": 1, "time_s": seen.time_s} | dict(asked or {}))
        history = history.with_state(seen).with_proposal(wish)
    return history


def verdict(
    wish: Proposal | None = None,
    seen: State | None = None,
    past: History | None = None,
    allowed: Limits | None = None,
    baseline: tuple[Want, ...] = (),
    now_s: float = NOW_S,
) -> Verdict:
    """``judge`` with everything that is not given in order."""
    return judge(
        wish or proposal(),
        baseline,
        seen or state(),
        allowed or limits(),
        watched() if past is None else past,
        now_s,
    )


def replicas(result: Verdict) -> dict[str, int]:
    return {want.name: want.replicas for want in result.backends}


def shares(result: Verdict) -> dict[str, float]:
    return {want.name: round(want.weight, 6) for want in result.backends}


def reasons(result: Verdict) -> list[tuple[str, str, float, float]]:
    """(code, backend, before, after) with shares rounded."""
    return [(str(r.code), r.backend, round(r.before, 6), round(r.after, 6)) for r in result.reasons]


def codes(result: Verdict) -> set[str]:
    return {str(reason.code) for reason in result.reasons}
