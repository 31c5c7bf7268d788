"""Whether a backend's replicas may be replaced one by one now, whoever has leave to."""

from __future__ import annotations

from trimtab_guard.history import History
from trimtab_guard.limits import Limits
from trimtab_guard.model import BackendState, Reason, State
from trimtab_guard.reasons import Code
from trimtab_guard.replicas import needed
from trimtab_guard.senses import doubts
from trimtab_guard.trust import refusals


def objections(
    name: str, state: State, limits: Limits, history: History, now_s: float
) -> tuple[Reason, ...]:
    """Why ``name`` must not be restarted; empty when it may.

    What speaks against it: nobody knows enough (the present, a signal), some replicas are on their
    way already, or those that are there cannot carry the load. ``history`` has learned from
    ``state``.
    """
    if refused := tuple(refusals(state, limits, history, now_s)):
        return refused
    backend = next((backend for backend in state.backends if backend.name == name), None)
    if backend is None:
        return (Reason(Code.NOT_LISTED, name, 1, 0),)
    doubted = doubts(state, history.senses, limits, now_s)
    unsure = tuple(Reason(doubt.code, doubt.signal, doubt.age_s, 0) for doubt in doubted)
    return unsure + _unsettled(backend, state) + _short(backend, limits)


def _unsettled(backend: BackendState, state: State) -> tuple[Reason, ...]:
    if state.rollout or backend.starting or backend.draining or backend.ready != backend.wanted:
        return (Reason(Code.ROLLOUT, backend.name, backend.ready, backend.wanted),)
    return ()


def _short(backend: BackendState, limits: Limits) -> tuple[Reason, ...]:
    """The new one is ready before the old one goes: those that are there must be enough."""
    its = next(each for each in limits.backends if each.name == backend.name)
    least = max(needed(backend, its, limits), backend.disruption_min)
    if backend.ready < least:
        return (Reason(Code.ROUTED, backend.name, backend.ready, least),)
    return ()
