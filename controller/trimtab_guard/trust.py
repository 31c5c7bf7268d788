"""Whose word counts this tick: the policy's, the baseline's, or nobody's.

This is the Simplex switch: an untrusted policy, a plain rule, and a guard that trusts neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from trimtab_guard.history import History
from trimtab_guard.limits import Limits
from trimtab_guard.model import BackendState, Proposal, Reason, State, Want
from trimtab_guard.proposals import flaws, miscounted
from trimtab_guard.reasons import Code
from trimtab_guard.senses import (
    LARGEST,
    SKEW_S,
    WHOLE_SHARE,
    countable,
    doubts,
    possible,
)

Wants = tuple[Want, ...]


class Wish(NamedTuple):
    """What the limits are applied to, in the order of the state's backends.

    ``in_doubt``: some signal is not trusted, so nothing may be taken away. ``at_once``: the
    route need not go there in steps, because it comes from there.
    """

    wants: Wants
    in_doubt: bool
    reasons: tuple[Reason, ...]
    at_once: bool = False

    @property
    def is_policys(self) -> bool:
        """Whether it is what the policy asks for, and neither a hold nor the baseline."""
        return not self.in_doubt and not self.reasons


def refusals(state: State, limits: Limits, history: History, now_s: float) -> Iterator[Reason]:
    """Why nothing at all may be touched: the present must be listed, recent and possible."""
    if state.service != limits.service:
        yield Reason(Code.NOT_LISTED, state.service, 1, 0)
    for seen_s in (history.time_s, state.time_s):
        if not now_s >= seen_s - SKEW_S:
            yield Reason(Code.CLOCK, "", now_s, seen_s)
    stale_s = limits.stale_s
    for event_s in (state.time_s, state.replicas_time_s):
        if not -SKEW_S <= now_s - event_s <= stale_s:
            yield Reason(Code.UNSEEN, "", now_s - event_s, stale_s)
    listed = [backend.name for backend in limits.backends]
    for name, found, due in miscounted([backend.name for backend in state.backends], listed):
        yield Reason(Code.UNSEEN if due else Code.NOT_LISTED, name, found, due)
    for backend in state.backends:
        yield from _impossible(backend)


def _impossible(backend: BackendState) -> Iterator[Reason]:
    counts = (backend.wanted, backend.starting, backend.ready, backend.draining)
    for count in (*counts, backend.disruption_min):
        if not countable(count):
            yield Reason(Code.UNSEEN, backend.name, count, LARGEST)
    if not possible(backend.weight, WHOLE_SHARE):
        yield Reason(Code.UNSEEN, backend.name, backend.weight, 1.0)


def present(state: State) -> Wants:
    """What is, as if it had been wanted."""
    return tuple([Want(b.name, b.wanted, b.weight) for b in state.backends])


def choose(
    proposal: Proposal,
    baseline: Wants,
    state: State,
    limits: Limits,
    history: History,
    now_s: float,
) -> Wish:
    """The proposal where everything is in order; else hold, or the baseline, upward only.

    A doubtful signal holds the present; when it has been doubtful for longer than
    ``blind_s``, or when the signals are fine and the proposal is broken or was made outside
    of what its policy was trained on, the baseline may still add. ``history`` has learned
    from ``state``.
    """
    refused = tuple(_refused(proposal, state, limits, history, now_s))
    doubtful = doubts(state, history.senses, limits, now_s)
    if not refused and not doubtful:
        return Wish(_ordered(proposal, state), in_doubt=False, reasons=())
    doubted = {doubt.code for doubt in doubtful}
    holds = bool(doubted) and Code.BLIND not in doubted
    wants = present(state) if holds else _raised(present(state), baseline)
    if refused:
        return Wish(wants, in_doubt=bool(doubted), reasons=refused)
    worst = max(doubted, key=list(Code).index)
    reasons = tuple(_replaced(_ordered(proposal, state), wants, worst, Code.ROUTE_HELD))
    return Wish(wants, in_doubt=True, reasons=reasons)


def undo(before: Wants, state: State, limits: Limits, history: History, now_s: float) -> Wish:
    """The shares of ``before``, and the higher replicas of then and now; in doubt just as well.

    A backend that was not there then stays as it is.
    """
    then = {want.name: want for want in before}
    now = present(state)
    wants = tuple(
        Want(want.name, max(want.replicas, was.replicas), was.weight)
        for want in now
        for was in (then.get(want.name, want),)
    )
    in_doubt = bool(doubts(state, history.senses, limits, now_s))
    reasons = tuple(_replaced(now, wants, Code.REGRESSION, Code.REGRESSION))
    return Wish(wants, in_doubt, reasons, at_once=True)


def _refused(
    proposal: Proposal, state: State, limits: Limits, history: History, now_s: float
) -> Iterator[Reason]:
    if proposal.service != limits.service:
        yield Reason(Code.MISMATCH, proposal.service, 1, 0)
    names = [backend.name for backend in state.backends]
    yield from flaws(proposal, names, history.proposed_s, now_s)
    age_s = now_s - proposal.time_s
    if age_s > limits.blind_s:
        yield Reason(Code.EXPIRED, "", age_s, limits.blind_s)
    inside_s = now_s - history.strayed_s if proposal.in_envelope else 0.0
    if inside_s < limits.envelope_s:
        yield Reason(Code.ENVELOPE, "", inside_s, limits.envelope_s)


def _ordered(proposal: Proposal, state: State) -> Wants:
    wanted = {want.name: want for want in proposal.backends}
    return tuple([wanted[backend.name] for backend in state.backends])


def _raised(wants: Wants, baseline: Wants) -> Wants:
    """``wants`` with the baseline's replicas where they are more; its weights do not count."""
    floor = {want.name: want.replicas for want in baseline if countable(want.replicas)}
    return tuple(
        Want(want.name, max(want.replicas, floor.get(want.name, 0)), want.weight) for want in wants
    )


def _replaced(proposed: Wants, wants: Wants, scaled: Code, routed: Code) -> Iterator[Reason]:
    for before, after in zip(proposed, wants, strict=True):
        if before.replicas != after.replicas:
            yield Reason(scaled, after.name, before.replicas, after.replicas)
        if before.weight != after.weight:
            yield Reason(routed, after.name, before.weight, after.weight)
