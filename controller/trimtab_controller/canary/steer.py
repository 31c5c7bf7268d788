"""What a trial makes of a proposal: shares by its plan, and the replicas that carry them."""

from __future__ import annotations

import math
from dataclasses import replace

from trimtab_controller.canary.trial import Phase, Trial
from trimtab_guard.model import Proposal, State, Want
from trimtab_guard.modes import SAME_SHARE


def steered(trial: Trial, proposal: Proposal, state: State) -> Proposal:
    """``proposal`` with the trial's shares of what it gives both versions together.

    Each has the replicas that it wants for both, in proportion to its share. While the trial runs,
    the new one has no more to do per replica than the old one that is there, and with equal shares
    as many: a version that is short of replicas would lose for that. A proposal that lacks one of
    the two is left to the guard.
    """
    wants = {want.name: want for want in proposal.backends}
    old, new = wants.get(trial.plan.old), wants.get(trial.plan.new)
    if old is None or new is None:
        return proposal
    weight, share = old.weight + new.weight, trial.share
    least = _least(old.replicas + new.replicas, trial, state)
    wants |= {
        old.name: Want(old.name, least[0], weight * (1.0 - share)),
        new.name: Want(new.name, least[1], weight * share),
    }
    return replace(proposal, backends=tuple(wants.values()), why=f"{trial}; {proposal.why}")


def _least(replicas: int, trial: Trial, state: State) -> tuple[int, int]:
    """Of the old and the new version, for so many together."""
    share = trial.share
    old, new = math.ceil(replicas * (1.0 - share)), math.ceil(replicas * share)
    if trial.runs:
        ready = {backend.name: backend.ready for backend in state.backends}
        odds = share / (1.0 - share)
        new = max(new, math.ceil(ready[trial.plan.old] * odds))
        if trial.is_last:
            old = max(old, math.ceil(ready[trial.plan.new] / odds))
    return old, new


def given_back(trial: Trial, state: State) -> tuple[Want, ...]:
    """What is, but with all of the new version's share at the old one; nothing when it is so."""
    shares = {backend.name: backend.weight for backend in state.backends}
    old, new = trial.plan.old, trial.plan.new
    if trial.phase is not Phase.GIVEN_BACK or shares[new] < SAME_SHARE:
        return ()
    shares[old], shares[new] = shares[old] + shares[new], 0.0
    return tuple(Want(b.name, b.wanted, shares[b.name]) for b in state.backends)
