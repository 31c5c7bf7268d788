"""What a trial makes of a proposal: shares by its plan, and the replicas that carry them."""

from __future__ import annotations

import math

from trimtab_controller.canary.trial import Phase, Trial
from trimtab_guard.model import Proposal, State, Want
from trimtab_guard.modes import SAME_SHARE


def steered(trial: Trial, proposal: Proposal) -> Proposal:
    """``proposal`` with the trial's shares of what it gives both versions together.

    Each gets its part of the replicas as well: a version that is short of them would lose for
    that. A proposal that lacks one of the two is left to the guard.
    """
    wants = {want.name: want for want in proposal.backends}
    old, new = wants.get(trial.plan.old), wants.get(trial.plan.new)
    if old is None or new is None:
        return proposal
    weight, replicas = old.weight + new.weight, old.replicas + new.replicas
    for name, share in ((old.name, 1.0 - trial.share), (new.name, trial.share)):
        wants[name] = Want(name, math.ceil(replicas * share), weight * share)
    return proposal._replace(backends=tuple(wants.values()), why=f"{trial}; {proposal.why}")


def given_back(trial: Trial, state: State) -> tuple[Want, ...]:
    """What is, but with all of the new version's share at the old one; nothing when it is so."""
    shares = {backend.name: backend.weight for backend in state.backends}
    old, new = trial.plan.old, trial.plan.new
    if trial.phase is not Phase.GIVEN_BACK or old not in shares or shares.get(new, 0) < SAME_SHARE:
        return ()
    shares[old], shares[new] = shares[old] + shares[new], 0.0
    return tuple(Want(b.name, b.wanted, shares[b.name]) for b in state.backends)
